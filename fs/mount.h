/* SPDX-License-Identifier: MIT */
/*
 * mount.h - the mount itself, by mount(2) with the privilege for it and by
 * fusermount3 without.
 */
#ifndef BFS_MOUNT_H
#define BFS_MOUNT_H

#include "shared.h"

/*
 * Mount on config->mountpoint, detaching a mount there whose daemon died.
 * `flags` are MS_* of mount(2). Returns the /dev/fuse descriptor (close-on-exec)
 * or a negative errno, logged.
 */
int bfs_mount(const struct bfs_config *config, unsigned long flags);

/* Unmount unless busy. 0 or a negative errno. */
int bfs_unmount(const struct bfs_config *config);

/*
 * End a mount that nobody serves any more, busy or not: what waits for it, and
 * whoever comes later, gets an error. Closes fuse_fd, which has to be its last
 * descriptor. 0 or a negative errno.
 */
int bfs_abandon(const struct bfs_config *config, int fuse_fd);

/* True when a bufferfs whose daemon lives is mounted there already. */
bool bfs_is_mounted(const char *mountpoint);

#endif
