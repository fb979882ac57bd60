/* SPDX-License-Identifier: MIT */
/*
 * clock.h - how late it is, for what has to be measured or waited for.
 */
#ifndef BFS_CLOCK_H
#define BFS_CLOCK_H

#include <stdint.h>
#include <time.h>

#define BFS_NS_PER_S UINT64_C(1000000000)

/* Nanoseconds of CLOCK_MONOTONIC. */
static inline uint64_t bfs_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * BFS_NS_PER_S + (uint64_t)now.tv_nsec;
}

static inline int64_t bfs_now_ms(void)
{
	return (int64_t)(bfs_now_ns() / 1000000);
}

#endif
