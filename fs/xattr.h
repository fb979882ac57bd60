/* SPDX-License-Identifier: MIT */
/*
 * xattr.h - extended attributes: the user.iobuf ones, which are a table, and
 * the ordinary ones, which are the pool's own.
 */
#ifndef BFS_XATTR_H
#define BFS_XATTR_H

#include "file.h"

#include <stdio.h>
#include <sys/types.h>

/*
 * The four calls of xattr(7) on a nodeid. Values and lists go to ret_value and
 * *ret_size; more than XATTR_SIZE_MAX bytes never arise.
 *
 * caller: the process that asks, which task= and `self` are about; physical addresses and the names of trusted.*
 * attributes are for CAP_SYS_ADMIN only.
 *
 * Returns 0; -ENODATA not set; -EINVAL unknown user.iobuf name, or a bad value;
 * -EPERM read-only; -EBUSY too late; -ERANGE when `size` is too small; and what
 * bfs_file_configure() and bfs_file_set_purgeable() return. ret_changed: what
 * the kernel has to be told, of a call that succeeds.
 */
int bfs_getxattr(struct bfs_fs *fs, uint64_t nodeid, const char *name,
		 pid_t caller, char *ret_value, size_t size, size_t *ret_size);
int bfs_listxattr(struct bfs_fs *fs, uint64_t nodeid, pid_t caller,
		  char *ret_list, size_t size, size_t *ret_size);
int bfs_setxattr(struct bfs_fs *fs, uint64_t nodeid, const char *name,
		 const char *value, size_t size, int flags, pid_t caller,
		 enum bfs_changed *ret_changed);
int bfs_removexattr(struct bfs_fs *fs, uint64_t nodeid, const char *name,
		    pid_t caller);

/* The same for our own names alone, which are rows of the table: "user.iobuf" and
 * "user.iobuf.anything", known or not. */
#define BFS_XATTR_NAME "user.iobuf"

bool bfs_xattr_is_ours(const char *name);
int bfs_xattr_get(struct bfs_fs *fs, uint64_t nodeid, const char *name,
		  pid_t caller, char *ret_value, size_t size, size_t *ret_size);
int bfs_xattr_set(struct bfs_fs *fs, uint64_t nodeid, const char *name,
		  const char *value, size_t size, int flags, pid_t caller,
		  enum bfs_changed *ret_changed);
int bfs_xattr_remove(struct bfs_fs *fs, uint64_t nodeid, const char *name,
		     pid_t caller);

/* Walk the table: name of row `index` and its help, NULL past the last. */
const char *bfs_xattr_help(size_t index, const char **ret_help);

#endif
