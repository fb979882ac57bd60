/* SPDX-License-Identifier: MIT */
/*
 * log.h - words for the administrator: to stderr until the mount serves and
 * always in the foreground, else to syslog(3). Any thread, any time.
 */
#ifndef BFS_LOG_H
#define BFS_LOG_H

#include <syslog.h> /* LOG_ERR, LOG_WARNING, LOG_INFO, LOG_DEBUG */

/* Open the log; debug messages are dropped unless `debug`. */
void bfs_log_open(int foreground, int debug);

/* The mount serves: stop writing to stderr unless in the foreground. */
void bfs_log_to_syslog(void);

void bfs_log(int priority, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/*
 * As bfs_log() at LOG_NOTICE, for what any client can provoke: at most 20 a
 * second, so that nobody can flood the log.
 */
void bfs_log_refusal(const char *format, ...)
	__attribute__((format(printf, 1, 2)));

#endif
