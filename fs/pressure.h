/* SPDX-License-Identifier: MIT */
/*
 * pressure.h - the thread that purges volatile buffers before memory is short.
 *
 * It sleeps while nothing is volatile. Else it does two things:
 *
 * - Room. It looks at each place where memory can run out (room.h). Is less
 *   left than the reserve, it purges what is missing. That comes before ENOSPC
 *   for those who write past the daemon, and before the kernel's OOM killer.
 *   It looks again when a quarter of the room could be used up, at 8 GB/s:
 *   after half a millisecond at the earliest and a second at the latest.
 * - Pressure. The kernel tells that processes have waited for memory
 *   (/proc/pressure/memory, and memory.pressure of the daemon's own version 2
 *   control group). Each time it purges an eighth of what is volatile, and
 *   not less than the largest reserve: pressure that goes on takes all within
 *   a few of its windows, and a short one leaves the most.
 *
 * Only the daemon's own control groups are watched, not those of its clients.
 */
#ifndef BFS_PRESSURE_H
#define BFS_PRESSURE_H

#include "pressure_trigger.h"

#include <stdint.h>

struct bfs_fs;
struct bfs_room;

/*
 * Start the thread, once. It has the triggers from then on; where there are none,
 * room is watched without. fs outlives it, and is not changed.
 * 0; errors of pthread_create(3).
 */
int bfs_pressure_start(struct bfs_fs *fs,
		       const struct bfs_pressure_triggers *triggers);

/*
 * What has to be left of a place. asked: -o reserve=, of which at most a half of
 * the place counts; or BFS_RESERVE_DEFAULT: a sixteenth, at least 32 MiB but no
 * more than a quarter, at most 256 MiB.
 */
uint64_t bfs_pressure_reserve(uint64_t asked, uint64_t total);

/* Nanoseconds until a place is looked at again. */
uint64_t bfs_pressure_pause_ns(const struct bfs_room *room);

#endif
