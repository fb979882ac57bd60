/* SPDX-License-Identifier: MIT */
#include "patience.h"

#include "attempt.h"

#define NS_PER_S 1000000000L

enum {
	QUIET_NS = 50 * 1000 * 1000,
	TURNS_MAX = 20,
	WORKING_MAX = 256, /* a quarter of the threads there may be */
};

static struct timespec from_now(long ns)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_nsec += ns % NS_PER_S;
	t.tv_sec += ns / NS_PER_S + t.tv_nsec / NS_PER_S;
	t.tv_nsec %= NS_PER_S;
	return t;
}

static uint64_t progress_of(const struct bfs_shared *shared)
{
	return shared ? shared->progress : 0;
}

static bool is_before(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec != b->tv_sec ? a->tv_sec < b->tv_sec
				      : a->tv_nsec < b->tv_nsec;
}

void bfs_patience_begin(struct bfs_patience *patience,
			const struct bfs_shared *shared)
{
	*patience = (struct bfs_patience){
		.shared = shared,
		.progress = progress_of(shared),
		.end = from_now(QUIET_NS),
		.last = from_now((long)TURNS_MAX * QUIET_NS),
	};
}

bool bfs_patience_wait(struct bfs_patience *patience, pthread_cond_t *condition,
		       pthread_mutex_t *mutex)
{
	struct bfs_patience *p = patience;
	uint64_t progress;
	int r;

	bfs_attempt_waits();
	r = pthread_cond_timedwait(condition, mutex, &p->end);
	bfs_attempt_goes_on();
	if (r == 0)
		return true;
	progress = progress_of(p->shared);
	if (progress == p->progress || !is_before(&p->end, &p->last) ||
	    p->shared->working > WORKING_MAX)
		return false;
	p->progress = progress;
	p->end = from_now(QUIET_NS);
	return true;
}
