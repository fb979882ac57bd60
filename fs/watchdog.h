/* SPDX-License-Identifier: MIT */
/*
 * watchdog.h - does the worker hang?
 *
 * It hangs when for as long as -o watchdog= says a request has waited for it and
 * nothing went on: no request was answered, and no allocation that takes long
 * took a step. A worker that has answered everything is not asked whether it
 * would answer; one that has not, while nothing waits to be read, gets a request
 * to read: the probe.
 */
#ifndef BFS_WATCHDOG_H
#define BFS_WATCHDOG_H

#include <stdbool.h>
#include <stdint.h>

/* So often does one look before the bound is over: a holder that was held up
 * itself makes one look late, and does not take the worker for hanging. */
enum { BFS_WATCHDOG_LOOKS = 8 };

struct bfs_watchdog {
	uint64_t progress;  /* as of the last look */
	unsigned int quiet; /* looks in a row that saw none, where there was
			       something to do */
};

enum bfs_watchdog_finding {
	BFS_WATCHDOG_WELL,
	BFS_WATCHDOG_PROBE, /* see whether it reads a request */
	BFS_WATCHDOG_HANGS,
};

/*
 * waiting   a request waits to be read, or the probe for its answer.
 * working   there are requests that were read and not answered.
 * progress  grows with whatever goes on.
 */
enum bfs_watchdog_finding bfs_watchdog_look(struct bfs_watchdog *watchdog,
					    bool waiting, bool working,
					    uint64_t progress);

#endif
