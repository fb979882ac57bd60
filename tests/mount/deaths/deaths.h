/* SPDX-License-Identifier: MIT */
/*
 * deaths.h - processes that work while the worker is killed again and again. Each
 * knows what every call has to return, and what its directory has to hold;
 * whatever else comes is told and counted.
 */
#ifndef DEATHS_H
#define DEATHS_H

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/types.h>

enum { PROCESSES = 6 };

/* Of all processes. */
struct common {
	atomic_uint wrong;
	atomic_ulong calls, refused;
	atomic_bool done;
	int allowed; /* the error that the mount's limit may give; 0: none */
};

extern struct common *all;

/* Of this process. Its directory is the working directory, too. */
extern int dir, shared;
extern unsigned int self, turn;

void tell(const char *what, int line, int got);

/* Of a call that the limit may refuse: has it been done? */
bool has_done(bool success, const char *what, int line);

/* It has to succeed. */
#define WANT(call)                                                             \
	do {                                                                   \
		atomic_fetch_add(&all->calls, 1);                              \
		if ((call) < 0)                                                \
			tell(#call, __LINE__, errno);                          \
	} while (0)

/* It has to fail like that. */
#define WANT_ERROR(call, error)                                                \
	do {                                                                   \
		atomic_fetch_add(&all->calls, 1);                              \
		if ((call) >= 0)                                               \
			tell(#call, __LINE__, 0);                              \
		else if (errno != (error))                                     \
			tell(#call, __LINE__, errno);                          \
	} while (0)

/* It takes memory: it has to succeed, or to be refused as the limit has it. */
#define DONE(call) has_done((call) >= 0, #call, __LINE__)

#define IS(condition)                                                          \
	do {                                                                   \
		errno = 0;                                                     \
		if (!(condition))                                              \
			tell(#condition, __LINE__, errno);                     \
	} while (0)

typedef void play_function(void);

/* Creators and renamers. */
extern play_function *const names_plays[];
extern const unsigned int names_plays_count;

/* Configurers. */
extern play_function *const buffers_plays[];
extern const unsigned int buffers_plays_count;

/* Mappers and readers: after each play of another kind. */
void map_play(void);
void map_end(void);
void read_others(void);

/* Contents that are known by their seed. */
void fill(void *to, size_t size, unsigned int seed);
bool is_filled(const void *bytes, size_t size, unsigned int seed);

/* The memory that outlives workers, as the holder has it. NULL: cannot be seen. */
struct bfs_shared;
const struct bfs_shared *shared_block(pid_t holder);

/* Is anything kept for opens and buffers, when there are none any more? */
void check_nothing_kept(const struct bfs_shared *block);

#endif
