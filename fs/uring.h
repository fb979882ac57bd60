/* SPDX-License-Identifier: MIT */
/*
 * uring.h - requests by io_uring instead of by reading /dev/fuse.
 */
#ifndef BFS_URING_H
#define BFS_URING_H

#include <stdbool.h>

/*
 * What keeps a mount that asked for it from it, and what to do about that, in
 * words. `in_libfuse`: the library knows of it; `offered`: the kernel had it in
 * its FUSE_INIT. Any thread; the text is constant.
 */
const char *bfs_uring_obstacle(bool in_libfuse, bool offered);

#endif
