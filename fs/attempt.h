/* SPDX-License-Identifier: MIT */
/*
 * attempt.h - how often a request was tried. The kernel sends a request again when
 * the worker died that had it; one that workers die over must not be tried for ever.
 *
 * What is known of it is in the memory that outlives workers. Any thread may call
 * what is here, each for the request that it works on.
 */
#ifndef BFS_ATTEMPT_H
#define BFS_ATTEMPT_H

#include "shared.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * This thread begins with a request. again: it was sent before, to the worker that
 * is no more; crashed: that one ended by its own fault, or hung.
 *
 * A crash counts for eight, and 24 are enough. A worker that was killed has died of
 * something else, as a rule; but the kernel's killer looks for whoever takes much
 * memory, so that this counts for one. Who only waited had no part in either.
 *
 * Returns false when the request is to be refused: EIO.
 */
bool bfs_attempt_begin(struct bfs_attempts attempts[BFS_COUNTED_MAX],
		       uint64_t unique, bool again, bool crashed);

/* It has been answered. */
void bfs_attempt_end(void);

/* It sleeps until others do something, and is not to blame for what happens
 * meanwhile; and it goes on. Of a thread without a request they say nothing. */
void bfs_attempt_waits(void);
void bfs_attempt_goes_on(void);

#endif
