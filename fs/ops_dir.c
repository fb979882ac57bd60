/* SPDX-License-Identifier: MIT */
#include "ops.h"

#include "fd.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

static void op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ino;
	/* Names in a pool of our own change through this mount alone: the
	 * kernel may keep what it read, and need not ask to open (ENOSYS). */
	if (bfs_fs_of(req)->shared->config.own_pool)
		fuse_reply_err(req, ENOSYS);
	else
		fuse_reply_open(req, fi);
}

/* A reply being filled. */
struct listing {
	fuse_req_t req;
	struct bfs_fs *fs;
	bool plus;
	int dir_fd;
	char *buf;
	size_t size, used;
};

static bool is_dots(const char *name)
{
	return !strcmp(name, ".") || !strcmp(name, "..");
}

static size_t add_plain(struct listing *l, const struct dirent64 *d)
{
	const struct stat st = {
		.st_ino = d->d_ino,
		.st_mode = (mode_t)DTTOIF(d->d_type),
	};

	return fuse_add_direntry(l->req, l->buf + l->used, l->size - l->used,
				 d->d_name, &st, d->d_off);
}

/* With attributes: a lookup each, taken back when the entry does not fit. */
static size_t add_plus(struct listing *l, const struct dirent64 *d)
{
	struct bfs_entry entry = {
		.st = { .st_ino = d->d_ino,
			.st_mode = (mode_t)DTTOIF(d->d_type) },
	};
	struct fuse_entry_param param;
	size_t n;

	/* "." and ".." are not looked up; nor is what has just gone. */
	if (!is_dots(d->d_name) &&
	    bfs_entry_at(l->fs, l->dir_fd, d->d_name, &entry) < 0)
		return 0;
	param = bfs_entry_param(l->fs, &entry);
	n = fuse_add_direntry_plus(l->req, l->buf + l->used, l->size - l->used,
				   d->d_name, &param, d->d_off);
	if (n > l->size - l->used && entry.nodeid)
		bfs_node_forget(l->fs->nodes, entry.nodeid, 1);
	return n;
}

/*
 * How much to read of the directory: about what the reply has room for, because
 * the rest would be read again. An entry of a short name takes 24 bytes here, 32
 * in a reply and 160 with attributes; one of the longest fits in any case.
 */
static size_t bytes_to_read(const struct listing *l, size_t max)
{
	const size_t room = (l->size - l->used) * 24 / (l->plus ? 160 : 32);
	const size_t min = 512;

	return room < min ? min : room < max ? room : max;
}

/* Add entries until the reply is full. 0: the directory's end. */
static int fill(struct listing *l)
{
	char entries[32768] __attribute__((aligned(8)));
	ssize_t n = getdents64(l->dir_fd, entries,
			       bytes_to_read(l, sizeof(entries)));

	for (ssize_t at = 0; at < n;) {
		const struct dirent64 *d = (const void *)(entries + at);
		size_t added = l->plus ? add_plus(l, d) : add_plain(l, d);

		if (added > l->size - l->used)
			return 0;
		l->used += added;
		at += d->d_reclen;
	}
	return n < 0 ? -errno : n > 0;
}

static int do_readdir(struct listing *l, uint64_t nodeid, off_t offset)
{
	BFS_FD int fd = bfs_node_open(l->fs->nodes, nodeid,
				      O_RDONLY | O_DIRECTORY);
	int r;

	if (fd < 0)
		return fd;
	if (offset && lseek(fd, offset, SEEK_SET) < 0)
		return -errno;
	l->dir_fd = fd;
	while ((r = fill(l)) > 0)
		;
	/* What was added must not be lost to a later error. */
	return l->used ? 0 : r;
}

static void reply_listing(fuse_req_t req, fuse_ino_t ino, size_t size,
			  off_t offset, bool plus)
{
	struct listing l = {
		.req = req,
		.fs = bfs_fs_of(req),
		.plus = plus,
		.buf = malloc(size),
		.size = size,
	};
	int r = l.buf ? do_readdir(&l, ino, offset) : -ENOMEM;

	if (r < 0)
		fuse_reply_err(req, -r);
	else
		fuse_reply_buf(req, l.buf, l.used);
	free(l.buf);
}

static void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
		       struct fuse_file_info *fi)
{
	(void)fi;
	reply_listing(req, ino, size, offset, false);
}

/*
 * The kernel asks for attributes at the start of each directory, and later where
 * they were used: an attempt of some entries tells whether they will be, and
 * does not cost those who only want names a lookup of each.
 */
static void op_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size,
			   off_t offset, struct fuse_file_info *fi)
{
	enum { ATTEMPT_BYTES = 4096 };

	(void)fi;
	if (offset == 0 && size > ATTEMPT_BYTES)
		size = ATTEMPT_BYTES;
	reply_listing(req, ino, size, offset, true);
}

void bfs_ops_dir(struct fuse_lowlevel_ops *ops)
{
	ops->opendir = op_opendir;
	ops->readdir = op_readdir;
	ops->readdirplus = op_readdirplus;
}
