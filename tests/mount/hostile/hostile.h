/* SPDX-License-Identifier: MIT */
/*
 * hostile.h - what the hostile clients share. Each is a function that works in
 * its current directory and returns 0, or 1 when it got what nobody may get;
 * each thing of that kind was told on stderr.
 */
#ifndef HOSTILE_H
#define HOSTILE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* One line to stderr, with errno's name; the process ends in failure. */
void tell(const char *what, int line);
int told(void);

/* It has to succeed; -1 when it has not. */
#define MUST(call)                                                             \
	({                                                                     \
		const long result_ = (long)(call);                             \
		if (result_ < 0)                                               \
			tell(#call, __LINE__);                                 \
		result_;                                                       \
	})

/* It has to hold. */
#define IS(condition)                                                          \
	do {                                                                   \
		errno = 0;                                                     \
		if (!(condition))                                              \
			tell(#condition, __LINE__);                            \
	} while (0)

/* A file with `size` bytes of `byte` in it; 0, or -1 with errno. */
int make(const char *name, char byte, size_t size);

/* Run it in a process; its id. */
pid_t in_process(int (*work)(int number), int number);

/* Wait for one; whether it ended well. */
bool ended_well(pid_t pid);

/* Has SIGTERM come, or does it come within a time below a second? */
bool is_asked_to_end(long within_ns);

int rights(int argc, char **argv);
int own_rights(int argc, char **argv);
int keeps_open(int argc, char **argv);
int maps_and_forks(int argc, char **argv);
int threads(int argc, char **argv);
int fills(int argc, char **argv);
int storms(int argc, char **argv);
int signals(int argc, char **argv);
int killed(int argc, char **argv);
int attributes(int argc, char **argv);
int names(int argc, char **argv);
int swaps(int argc, char **argv);
int follows(int argc, char **argv);
int inherits(int argc, char **argv);
int appends(int argc, char **argv);
int deep(int argc, char **argv);
int links(int argc, char **argv);
int ranges(int argc, char **argv);
int changing(int argc, char **argv);

#endif
