/* SPDX-License-Identifier: MIT */
/*
 * mount.h - the mount itself, by mount(2) with the privilege for it and by
 * fusermount3 without.
 */
#ifndef BFS_MOUNT_H
#define BFS_MOUNT_H

#include "shared.h"

/*
 * Mount on config->mountpoint. `flags` are MS_* of mount(2). Returns the /dev/fuse descriptor (close-on-exec)
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

/*
 * Detach a mount there whose daemon died. Something that the kernel does not let
 * end can keep such a mount from being seen to be dead: it does not answer. To be
 * called with the pool's lock, which no daemon has then. Whoever waits for the
 * dead mount gets an error.
 */
void bfs_detach_dead(const struct bfs_config *config);

#endif
