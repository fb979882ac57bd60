/* SPDX-License-Identifier: MIT */
/*
 * probe.h - what is mounted on a directory, found without being held up by a
 * mount that nobody answers for.
 */
#ifndef BFS_PROBE_H
#define BFS_PROBE_H

#include <stdbool.h>
#include <sys/types.h>

struct bfs_mount_found {
	bool is_ours;     /* the one on top is a bufferfs */
	uid_t owner;      /* who mounted it, by the kernel's word */
	pid_t holder_pid; /* by its own word; 0: it said none */
	bool is_dead;     /* nobody serves it: ENOTCONN */
	bool is_silent;   /* no answer in time */
};

/* Look at what is mounted there, for wait_ms at most. */
struct bfs_mount_found bfs_probe_mount(const char *mountpoint, int wait_ms);

#endif
