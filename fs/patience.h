/* SPDX-License-Identifier: MIT */
/*
 * patience.h - waiting for what the kernel has not told us of yet: a close(2) or
 * the end of a file that whoever asks has behind him, and we still before us.
 *
 * 50 ms; and where the one that is waited for can be behind other requests, 50 ms
 * more while such are answered, up to a second. Not where very many are at work: who
 * waits has a thread, and they may all wait.
 */
#ifndef BFS_PATIENCE_H
#define BFS_PATIENCE_H

#include "shared.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

struct bfs_patience {
	const struct bfs_shared *shared;
	uint64_t progress;          /* when `end` was set */
	struct timespec end, last;  /* CLOCK_MONOTONIC */
};

/* shared: where it shows that requests are answered; NULL: 50 ms are all. */
void bfs_patience_begin(struct bfs_patience *patience,
			const struct bfs_shared *shared);

/*
 * Wait on a condition of CLOCK_MONOTONIC, with its mutex locked. False: patience
 * is at its end. The request of this thread is not to blame for a worker's death
 * meanwhile (attempt.h).
 */
bool bfs_patience_wait(struct bfs_patience *patience, pthread_cond_t *condition,
		       pthread_mutex_t *mutex);

#endif
