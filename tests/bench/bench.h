/* SPDX-License-Identifier: MIT */
/*
 * bench.h - one group of measurements on one filesystem.
 *
 * A group prints "KEY VALUE" lines: nanoseconds per operation, or bytes.
 * Whatever cannot be done ends the program with a line on stderr: the
 * filesystem does not offer it.
 */
#ifndef BENCH_H
#define BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct bench {
	/* Where to measure: the working directory, except in start_group. */
	const char *dir;
	/* The user.iobuf of every file, without its capacity; or NULL. */
	const char *spec;
	size_t size_bytes;   /* of the large files */
	unsigned int divide; /* how much shorter than usual loops are */
	bool memfd;	     /* names are links to memory without one */
	bool returns;	     /* start: the command ends when it serves */
	char **command;	     /* start: what mounts */
};

enum {
	BENCH_PAGE = 4096,
	BENCH_MIB = 1 << 20,
	BENCH_FILES_COUNT = 1000,
	BENCH_MANY_COUNT = 10000,
};

/* What setup_group makes in DIR. */
#define BENCH_DATA "data"	/* a large file that has all its data */
#define BENCH_FILES "files"	/* files 0, 1, ... of a page each */
#define BENCH_MANY "many"	/* files without data */
#define BENCH_CREATED "created" /* nothing */

/* The groups; bench.c says what each measures. */
void setup_group(const struct bench *b);
void mmap_group(const struct bench *b);
void io_group(const struct bench *b);
void open_group(const struct bench *b);
void stat_group(const struct bench *b);
void create_group(const struct bench *b);
void readdir_group(const struct bench *b);
void purge_group(const struct bench *b);
void pressure_group(const struct bench *b);
void restart_group(const struct bench *b);
void start_group(const struct bench *b);

/* Say on stderr what failed, with errno's text, and exit. */
_Noreturn void die(const char *what);

uint64_t now_ns(void);

/* Print the time since start_ns as the mean of that many operations. */
void print_ns(const char *key, uint64_t start_ns, uint64_t operations);

/* The next of a sequence of random numbers that is the same in every run. */
uint64_t random_next(void);

/* Have the kernel drop every name and inode that it caches. Takes root. */
void drop_name_caches(void);

/* A process that the root of a bufferfs names in its state ("worker_pid="); or 0. */
pid_t process_of(const char *mountpoint, const char *field);

/* Make a file of b->size_bytes that holds no data yet; a descriptor of it. */
int make_large_file(const struct bench *b, const char *name);

/* Make a directory; its files get the specification, and a page each. */
void make_directory(const struct bench *b, const char *dir);

/* Make a directory of files named 0, 1, ...; each holds so many bytes. */
void make_files(const struct bench *b, const char *dir, unsigned int count,
		size_t bytes);

#endif
