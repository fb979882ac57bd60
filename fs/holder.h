/* SPDX-License-Identifier: MIT */
/*
 * holder.h - the process that mounts.
 *
 * It keeps the /dev/fuse descriptor, the shared block and the pool's root open
 * while workers come and go, and does nothing else: no request is served here,
 * and nothing here links against libfuse's session or libiobuf.
 */
#ifndef BFS_HOLDER_H
#define BFS_HOLDER_H

#include "mount_options.h"

/*
 * Mount and hold until unmounted. ready_fd: -1, or where to write a byte when
 * the mount serves. Returns the exit status of the program.
 */
int bfs_hold(const struct bfs_mount_options *options, int ready_fd);

#endif
