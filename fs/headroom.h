/* SPDX-License-Identifier: MIT */
/*
 * headroom.h - refuse memory that is not there, before the kernel looks for a
 * process to kill. That would be the worker, whose end gives nothing back: what it
 * has taken is in the pool.
 *
 * Counted is what the machine and the control groups of this process have left,
 * and free swap on top of that, also where a group may have less of it. It is an
 * estimate: others take memory at the same time.
 */
#ifndef BFS_HEADROOM_H
#define BFS_HEADROOM_H

#include <stdbool.h>
#include <stdint.h>

struct bfs_headroom;

/* Of a pool in memory; NULL for one on a disk, where bytes are no memory that is not
 * given back. 0; -ENOMEM. */
int bfs_headroom_create(int pool_fd, struct bfs_headroom **ret_headroom);

/* NULL: nothing is done. Nobody takes from it any more. */
void bfs_headroom_destroy(struct bfs_headroom *headroom);

/*
 * Before taking so many bytes that are not reserved yet: 0; -ENOMEM, of which the
 * log tells where they are missing. NULL: there is always enough. Any thread.
 */
int bfs_headroom_take(struct bfs_headroom *headroom, uint64_t bytes);

/* As that, for an estimate that may be too high: false, and nothing is said. */
bool bfs_headroom_try(struct bfs_headroom *headroom, uint64_t bytes);

/* How many were missing when this thread was refused, once; 0: it was not. */
uint64_t bfs_headroom_missing(void);

#endif
