/* SPDX-License-Identifier: MIT */
#include "attempt.h"

#include <stddef.h>

/* The request that this thread works on; 0: none. */
static __thread struct {
	struct bfs_attempts *attempts;
	uint64_t unique;
} current;

/* The place for it, which another may have had, or may take at the same time. The
 * kernel counts requests in steps of two. */
static struct bfs_attempts *place_of(struct bfs_attempts *attempts,
				     uint64_t unique)
{
	struct bfs_attempts *a = &attempts[unique / 2 % BFS_COUNTED_MAX];

	if (a->unique != unique) {
		a->weight = 0;
		a->waits = false;
		a->unique = unique;
	}
	return a;
}

bool bfs_attempt_begin(struct bfs_attempts attempts[BFS_COUNTED_MAX],
		       uint64_t unique, bool again, bool crashed)
{
	enum { KILLED = 1, CRASHED = 8, WEIGHT_MAX = 3 * CRASHED };
	struct bfs_attempts *a;

	current.attempts = attempts;
	current.unique = unique;
	if (!again)
		return true;
	a = place_of(attempts, unique);
	if (!a->waits)
		a->weight += crashed ? CRASHED : KILLED;
	a->waits = false;
	return a->weight < WEIGHT_MAX;
}

void bfs_attempt_end(void)
{
	current.attempts = NULL;
}

void bfs_attempt_waits(void)
{
	if (current.attempts)
		place_of(current.attempts, current.unique)->waits = true;
}

void bfs_attempt_goes_on(void)
{
	if (current.attempts)
		place_of(current.attempts, current.unique)->waits = false;
}
