/* SPDX-License-Identifier: MIT */
#include "watchdog.h"

enum bfs_watchdog_finding bfs_watchdog_look(struct bfs_watchdog *watchdog,
					    bool waiting, bool working,
					    uint64_t progress)
{
	const bool goes_on = progress != watchdog->progress;

	watchdog->progress = progress;
	if (goes_on || (!waiting && !working)) {
		watchdog->quiet = 0;
		return BFS_WATCHDOG_WELL;
	}
	if (!waiting) {
		/* It may well work on something long: what counts is whether
		 * others are answered meanwhile. */
		watchdog->quiet = 0;
		return BFS_WATCHDOG_PROBE;
	}
	if (++watchdog->quiet < BFS_WATCHDOG_LOOKS)
		return BFS_WATCHDOG_WELL;
	watchdog->quiet = 0;
	return BFS_WATCHDOG_HANGS;
}
