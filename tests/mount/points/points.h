/* SPDX-License-Identifier: MIT */
/*
 * points.h - deaths at chosen points: before and after every system call that a
 * worker makes for a request.
 *
 * The program traces the holder and its workers, and lets processes of its own
 * do what a client does: it must not wait for a worker itself.
 */
#ifndef POINTS_H
#define POINTS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum { TEXT_MAX = 1 << 16 };

/* When workers are to die, by which signal: each at the same point, counted from
 * the first request that it is given while a client is followed. */
struct plan {
	unsigned int point;
	unsigned int deaths; /* 0: nobody dies */
	int signal;
};

/* What came of it. */
struct outcome {
	unsigned int deaths;
	char where[128]; /* the last one died */
	int status;      /* of the client, as of wait(2) */
};

/* Trace the holder and its worker from now on. */
void trace_begin(pid_t holder, pid_t worker);

/* Run `body` in a process of its own, and see to it that workers go on, and die
 * as planned, until it has ended. */
struct outcome trace_client(int (*body)(void), struct plan plan);

/* What a client does, in a directory of its own. */
struct operation {
	const char *name;
	void (*prepare)(void); /* NULL: there is nothing before */
	int (*run)(void);      /* what it returns, or -errno */
	int expected;
};

extern const struct operation operations[];
extern const size_t operation_count;

extern int dir; /* of the operation; of this process */

/* What is there now: names, attributes, contents, as the mount shows them and as
 * the pool holds them. Of the directory `dir` and of the pool's `pool_dir`. */
void describe(int pool_dir, char text[TEXT_MAX]);

/* Remove what is in it. */
void clear(int at);

#endif
