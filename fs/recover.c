/* SPDX-License-Identifier: MIT */
/*
 * recover.c - what a new worker does for the buffers of its predecessor.
 */
#include "fd.h"
#include "file_internal.h"
#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <pthread.h>
#include <string.h>

/* A slot whose file is gone: it went with the last worker's mapping. */
static void drop_slot(struct bfs_fs *fs, uint64_t nodeid)
{
	struct bfs_inode *inode = bfs_inode_lock(fs->inodes, nodeid);

	if (!inode)
		return;
	if (inode->slot)
		inode->slot->flags = 0;
	bfs_inode_unlock(fs->inodes, inode);
}

/* The record is the commit: without a capacity on it, nothing happened. */
static void undo_allocation(void *context, uint64_t nodeid)
{
	struct bfs_fs *fs = context;
	BFS_FILE struct bfs_file file = { 0 };
	int r = bfs_file_open(fs, nodeid, O_RDWR, &file);

	if (r == -ESTALE)
		drop_slot(fs, nodeid);
	if (r < 0 || !file.inode->slot)
		return;
	if (file.record.flags & BFS_RECORD_CONVERTING) {
		if (bfs_file_undo_conversion(&file) < 0)
			return;
	} else if (file.record.spec.capacity == 0) {
		if (ftruncate(file.fd, 0) < 0)
			return;
		file.inode->slot->flags &= ~(uint32_t)BFS_SLOT_WIRED;
	}
	file.inode->slot->flags &= ~(uint32_t)BFS_SLOT_ALLOCATING;
}

static void wire_again(void *context, uint64_t nodeid)
{
	struct bfs_fs *fs = context;
	BFS_FILE struct bfs_file file = { 0 };
	struct stat st;
	int r = bfs_file_open(fs, nodeid, O_RDWR, &file);

	if (r == -ESTALE) {
		drop_slot(fs, nodeid);
		return;
	}
	/* Setting the length that it has wires what is not wired. */
	if (r == 0 && (r = bfs_file_stat(&file, &st)) == 0)
		r = bfs_file_truncate(&file, (uint64_t)st.st_size);
	if (r < 0)
		bfs_log(LOG_ERR, "a buffer could not be wired again: %s",
			strerror(-r));
}

/* nftw(3) has no argument for its function; one thread searches. */
static struct bfs_fs *searched;

static int wire_if_wired(const char *path, const struct stat *st, int flag,
			 struct FTW *where)
{
	struct bfs_record record;
	uint64_t nodeid;

	(void)where;
	if (flag != FTW_F || !S_ISREG(st->st_mode) || st->st_size == 0 ||
	    bfs_record_load(path, &record) < 0 ||
	    (record.spec.options & IOBUF_PAGEABLE) ||
	    bfs_node_lookup(searched->nodes, AT_FDCWD, path, &nodeid) < 0)
		return 0;
	wire_again(searched, nodeid);
	bfs_node_forget(searched->nodes, nodeid, 1);
	return 0;
}

static void *rewire(void *context)
{
	enum { TRIES = 16 };
	struct bfs_fs *fs = context;

	bfs_inode_each(fs->inodes, BFS_SLOT_WIRED, wire_again, fs);
	searched = fs;
	/* nftw(3) gives up when a directory vanishes under it: look again. */
	for (int i = 0; fs->shared->config.adopted_pool && i < TRIES; i++)
		if (nftw(bfs_fd_path_at(fs->root_fd, ".").text, wire_if_wired,
			 16, FTW_PHYS | FTW_MOUNT) == 0)
			break;
	return NULL;
}

void bfs_files_recover(struct bfs_fs *fs)
{
	bfs_inode_each(fs->inodes, BFS_SLOT_ALLOCATING, undo_allocation, fs);
}

void bfs_files_rewire(struct bfs_fs *fs)
{
	pthread_t thread;
	int r = pthread_create(&thread, NULL, rewire, fs);

	if (r)
		bfs_log(LOG_ERR, "wired buffers are not wired again: %s",
			strerror(r));
	else
		pthread_detach(thread);
}
