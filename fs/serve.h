/* SPDX-License-Identifier: MIT */
/*
 * serve.h - the worker's threads.
 */
#ifndef BFS_SERVE_H
#define BFS_SERVE_H

#include "fs.h"

/*
 * Serve requests until the mount is gone or the holder wants an end: the process
 * ends then. Returns when there are no threads to be had, with its exit status.
 */
int bfs_serve(struct bfs_fs *fs);

#endif
