/* SPDX-License-Identifier: MIT */
/*
 * pressure_trigger.h - having the kernel tell of memory pressure, by the triggers
 * of Documentation/accounting/psi.rst.
 *
 * The holder has them, and workers inherit them: closing one takes the kernel
 * some 10 ms, for which a worker that was killed would keep its clients waiting.
 */
#ifndef BFS_PRESSURE_TRIGGER_H
#define BFS_PRESSURE_TRIGGER_H

#include <stdint.h>

struct bfs_config;

/* Descriptors that are ready for POLLPRI when processes have waited for memory;
 * -1: that cannot be had. */
struct bfs_pressure_triggers {
	int system; /* of the machine */
	int group;  /* of our version 2 control group, where that is a part of it */
};

/* What config asks for: pressure_stall_ms and pressure_window_ms. What cannot be
 * had is said in the log. */
struct bfs_pressure_triggers
bfs_pressure_triggers_open(const struct bfs_config *config);

/*
 * Ask the kernel to tell when processes waited so long for memory within a
 * window, in the file `path`. Windows that take a privilege that we lack are
 * made longer. A descriptor, close-on-exec, and the window in *window_ms; errors
 * of open(2) and write(2).
 */
int bfs_pressure_trigger_open(const char *path, uint32_t stall_ms,
			      uint32_t *window_ms);

#endif
