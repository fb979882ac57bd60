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

/* True when a bufferfs whose daemon lives is mounted there already. */
bool bfs_is_mounted(const char *mountpoint);

#endif
