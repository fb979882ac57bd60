/* SPDX-License-Identifier: MIT */
/*
 * xattr.h - extended attributes: the user.iobuf ones, which are a table, and
 * the ordinary ones, which are the pool's own.
 */
#ifndef BFS_XATTR_H
#define BFS_XATTR_H

#include "fs.h"

#include <stdio.h>
#include <sys/types.h>

/*
 * The four calls of xattr(7) on a nodeid. Values and lists go to ret_value and
 * *ret_size; more than XATTR_SIZE_MAX bytes never arise.
 *
 * caller: the process that asks; physical addresses and the names of trusted.*
 * attributes are for CAP_SYS_ADMIN only.
 *
 * Returns 0; -ENODATA not set; -EINVAL unknown user.iobuf name, or a bad value;
 * -EPERM read-only; -EBUSY too late; -ERANGE when `size` is too small; and what
 * bfs_file_configure() returns. changed: set to true when attributes of the
 * file (its size) changed with it.
 */
int bfs_getxattr(struct bfs_fs *fs, uint64_t nodeid, const char *name,
		 pid_t caller, char *ret_value, size_t size, size_t *ret_size);
int bfs_listxattr(struct bfs_fs *fs, uint64_t nodeid, pid_t caller,
		  char *ret_list, size_t size, size_t *ret_size);
int bfs_setxattr(struct bfs_fs *fs, uint64_t nodeid, const char *name,
		 const char *value, size_t size, int flags, pid_t caller,
		 bool *changed);
int bfs_removexattr(struct bfs_fs *fs, uint64_t nodeid, const char *name);

/* Walk the table: name of row `index` and its help, NULL past the last. */
const char *bfs_xattr_help(size_t index, const char **ret_help);

#endif
