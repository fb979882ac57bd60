/* SPDX-License-Identifier: MIT */
#include "log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>

static struct {
	bool foreground, debug;
	atomic_bool to_stderr;
} log_state = { .to_stderr = true };

void bfs_log_open(int foreground, int debug)
{
	log_state.foreground = foreground != 0;
	log_state.debug = debug != 0;
	openlog("bufferfs", LOG_PID | LOG_NDELAY, LOG_DAEMON);
}

void bfs_log_to_syslog(void)
{
	log_state.to_stderr = log_state.foreground;
}

__attribute__((format(printf, 2, 0))) static void
vlog(int priority, const char *format, va_list args)
{
	char line[1024];

	if (priority == LOG_DEBUG && !log_state.debug)
		return;
	vsnprintf(line, sizeof(line), format, args);
	if (log_state.to_stderr)
		fprintf(stderr, "bufferfs: %s\n", line);
	if (!log_state.foreground)
		syslog(priority, "%s", line);
}

void bfs_log(int priority, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vlog(priority, format, args);
	va_end(args);
}

void bfs_log_refusal(const char *format, ...)
{
	enum { PER_SECOND = 20 };
	static _Atomic int64_t second;
	static atomic_uint count;
	struct timespec now;
	va_list args;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	if (atomic_exchange(&second, now.tv_sec) != now.tv_sec)
		atomic_store(&count, 0);
	if (atomic_fetch_add(&count, 1) >= PER_SECOND)
		return;
	va_start(args, format);
	vlog(LOG_NOTICE, format, args);
	va_end(args);
}
