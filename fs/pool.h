/* SPDX-License-Identifier: MIT */
/*
 * pool.h - the directory that keeps the tree: made, adopted and removed by the
 * holder. (How the worker looks into it is node.h.)
 *
 * Without -o pool= it is a tmpfs of our own in a directory that only we may
 * enter: /run/bufferfs/NAME for root, /dev/shm/bufferfs-UID/NAME for others,
 * where only root of a user namespace (unshare -Urm) mounts one. NAME is the
 * mount point, escaped.
 */
#ifndef BFS_POOL_H
#define BFS_POOL_H

#include "shared.h"

/*
 * Make or find the pool of config->mountpoint; fills in config->pool, own_pool
 * and adopted_pool. The pool is locked against a second daemon until the
 * process that called this ends, or closes ret_lock_fd, which is its alone.
 * Where config->reads_pool, nothing is locked, and nothing can be changed by the
 * descriptors; it is cleared where that cannot be had.
 * Returns a descriptor of the pool's root for workers (close-on-exec); -EBUSY
 * when another daemon serves it; errors of mount(2), mkdir(2), open(2); all
 * logged.
 */
int bfs_pool_open(struct bfs_config *config, int *ret_lock_fd);

/* Wait until nothing is left of the workers of a holder that was killed. -EBUSY
 * when that takes long. */
int bfs_pool_wait(const struct bfs_config *config, int fd);

/* Remove a pool of our own with all that is in it, unless it is to be kept; leave
 * any other alone. */
void bfs_pool_remove(const struct bfs_config *config);

#endif
