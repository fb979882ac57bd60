/* SPDX-License-Identifier: MIT */
/*
 * program.h - the binary that workers are started from.
 */
#ifndef BFS_PROGRAM_H
#define BFS_PROGRAM_H

#include <stddef.h>

/* The binary that this process runs: a descriptor to execute, or a negative
 * errno. ret_path: where it lay then. */
int bfs_program_self(char *ret_path, size_t size);

/*
 * The one that lies there now: a descriptor to execute. -EPERM when others than
 * root and our user may write it or a directory above it, with the path that is
 * at fault in ret_fault; else a negative errno.
 */
int bfs_program_open(const char *path, char *ret_fault, size_t size);

#endif
