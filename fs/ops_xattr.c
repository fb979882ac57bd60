/* SPDX-License-Identifier: MIT */
#include "ops.h"

#include "xattr.h"

#include <errno.h>
#include <linux/limits.h>
#include <stdlib.h>

/* Reply with a value of `n` bytes, or with its size when none was wanted. */
static void reply_value(fuse_req_t req, int r, size_t size, const char *value,
			size_t n)
{
	if (r < 0)
		fuse_reply_err(req, -r);
	else if (size == 0)
		fuse_reply_xattr(req, n);
	else
		fuse_reply_buf(req, value, n);
}

static char *value_buffer(size_t size)
{
	return malloc(size && size <= XATTR_SIZE_MAX ? size : XATTR_SIZE_MAX);
}

static void op_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name,
			size_t size)
{
	char *value = value_buffer(size);
	size_t n = 0;
	int r = value ? bfs_getxattr(bfs_fs_of(req), ino, name,
				     fuse_req_ctx(req)->pid, value, size, &n)
		      : -ENOMEM;

	reply_value(req, r, size, value, n);
	free(value);
}

static void op_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
	char *list = value_buffer(size);
	size_t n = 0;
	int r = list ? bfs_listxattr(bfs_fs_of(req), ino,
				      fuse_req_ctx(req)->pid, list, size, &n)
		     : -ENOMEM;

	reply_value(req, r, size, list, n);
	free(list);
}

static void op_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name,
			const char *value, size_t size, int flags)
{
	struct bfs_fs *fs = bfs_fs_of(req);
	BFS_INTERRUPTIBLE(req);
	enum bfs_changed changed;
	int r;

	if (bfs_xattr_is_ours(name))
		bfs_flush_page_cache(fs, ino);
	do
		r = bfs_setxattr(fs, ino, name, value, size, flags,
				 fuse_req_ctx(req)->pid, &changed);
	while (bfs_make_room(fs, r));
	/* The kernel does not expect that an xattr changes a file. */
	if (r == 0)
		bfs_tell_changed(fs, ino, changed);
	fuse_reply_err(req, -r);
}

static void op_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name)
{
	struct bfs_fs *fs = bfs_fs_of(req);
	int r;

	do
		r = bfs_removexattr(fs, ino, name, fuse_req_ctx(req)->pid);
	while (bfs_make_room(fs, r));
	fuse_reply_err(req, -r);
}

void bfs_ops_xattr(struct fuse_lowlevel_ops *ops)
{
	ops->getxattr = op_getxattr;
	ops->listxattr = op_listxattr;
	ops->setxattr = op_setxattr;
	ops->removexattr = op_removexattr;
}
