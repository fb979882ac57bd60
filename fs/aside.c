/* SPDX-License-Identifier: MIT */
/*
 * aside.c - the contents of a buffer whose memory is built anew, where a worker's
 * death leaves them.
 *
 * They are in a file without a name, which would be gone with the last descriptor
 * of it. The kernel's connection keeps a backing file for as long as the mount is
 * there: so the file is that of an open which no client has, and the shared block
 * says whose contents it has. What is noted before the record of the buffer says
 * that it is being converted is not complete, and not needed. Without passthrough
 * nothing outlives the worker, and a holder's end takes them, too.
 *
 * Lock order: the buffer's inode, then that of the nameless file, which nobody
 * else knows of.
 */
#include "file_internal.h"

#include "fd.h"
#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

/* The note of a buffer's contents; with 0, one that is free. */
static struct bfs_aside *find(struct bfs_fs *fs, uint64_t nodeid)
{
	for (size_t i = 0; i < BFS_ASIDES_MAX; i++)
		if (fs->shared->asides[i].nodeid == nodeid)
			return &fs->shared->asides[i];
	return NULL;
}

static struct bfs_aside *take(struct bfs_fs *fs, uint64_t nodeid)
{
	struct bfs_aside *aside;
	uint64_t unused;

	do {
		unused = 0;
		if (!(aside = find(fs, 0)))
			return NULL;
	} while (!atomic_compare_exchange_strong(&aside->nodeid, &unused, nodeid));
	return aside;
}

int bfs_copy_bytes(int from, int to, uint64_t size)
{
	off_t at = 0;

	if (lseek(to, 0, SEEK_SET) < 0)
		return -errno;
	while ((uint64_t)at < size) {
		ssize_t n = copy_file_range(from, &at, to, NULL,
					    (size_t)(size - (uint64_t)at), 0);

		if (n <= 0)
			return n < 0 ? -errno : -EIO;
	}
	return 0;
}

/* Have the kernel keep the file. */
static void keep(struct bfs_fs *fs, int fd, uint64_t nodeid)
{
	struct bfs_inode *inode = bfs_inode_lock(fs->inodes, nodeid);
	int r;

	if (!inode)
		return;
	r = bfs_inode_add_open(fs->inodes, inode, fd, false, 0);
	bfs_inode_unlock(fs->inodes, inode);
	if (r < 0)
		bfs_log(LOG_WARNING, "contents that are set aside would not "
			"outlive this worker: %s", strerror(-r));
}

int bfs_aside_make(struct bfs_file *file, uint64_t size, int *ret_fd)
{
	struct bfs_fs *fs = file->fs;
	BFS_FD int fd = openat(fs->root_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC,
			       0600);
	struct bfs_aside *aside;
	int r = fd < 0 ? -errno : bfs_copy_bytes(file->fd, fd, size);

	if (r < 0)
		return r;
	if (!(aside = take(fs, file->inode->nodeid)))
		return -ENFILE;
	aside->file = 0;
	if (fs->shared->passthrough &&
	    bfs_node_lookup(fs->nodes, fd, "", &aside->file) == 0)
		keep(fs, fd, aside->file);
	*ret_fd = bfs_fd_take(&fd);
	return 0;
}

int bfs_aside_open(struct bfs_file *file)
{
	const struct bfs_aside *aside = find(file->fs, file->inode->nodeid);

	if (!aside)
		return -ENOENT;
	return aside->file ? bfs_node_open(file->fs->nodes, aside->file, O_RDWR)
			   : -ESTALE;
}

void bfs_aside_drop(struct bfs_file *file)
{
	struct bfs_fs *fs = file->fs;
	struct bfs_aside *aside = find(fs, file->inode->nodeid);
	struct bfs_inode *inode;

	if (!aside)
		return;
	if (aside->file && (inode = bfs_inode_lock(fs->inodes, aside->file))) {
		bfs_inode_drop_open(fs->inodes, inode, false, 0);
		bfs_inode_unlock(fs->inodes, inode);
		bfs_node_forget(fs->nodes, aside->file, 1);
	}
	atomic_store(&aside->nodeid, 0);
}
