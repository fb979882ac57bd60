/* SPDX-License-Identifier: MIT */
/*
 * names.c - what programs do to names: open, stat, create, list.
 */
#include "bench.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

void open_group(const struct bench *b)
{
	const uint64_t count = 10000 / b->divide;
	uint64_t start;

	start = now_ns();
	for (uint64_t i = 0; i < count; i++) {
		int fd = open(BENCH_FILES "/0", O_RDWR | O_CLOEXEC);

		if (fd < 0)
			die("open");
		close(fd);
	}
	print_ns("open-close", start, count);
}

static void stat_each_once(void)
{
	char path[64];
	struct stat st;
	uint64_t start;

	drop_name_caches();
	start = now_ns();
	for (unsigned int i = 0; i < BENCH_FILES_COUNT; i++) {
		snprintf(path, sizeof(path), BENCH_FILES "/%u", i);
		if (stat(path, &st) < 0)
			die("stat");
	}
	print_ns("stat-uncached", start, BENCH_FILES_COUNT);
}

void stat_group(const struct bench *b)
{
	const uint64_t count = 40000 / b->divide;
	struct stat st;
	uint64_t start;

	stat_each_once();
	start = now_ns();
	for (uint64_t i = 0; i < count; i++)
		if (stat(BENCH_FILES "/0", &st) < 0)
			die("stat");
	print_ns("stat-cached", start, count);
}

/* A name of its own for each file: none is known to be absent. */
void create_group(const struct bench *b)
{
	const unsigned int count = 4000 / b->divide;
	char path[64];
	uint64_t start;

	start = now_ns();
	for (unsigned int i = 0; i < count; i++) {
		int fd;

		snprintf(path, sizeof(path), BENCH_CREATED "/%u", i);
		fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		if (fd < 0)
			die("create");
		close(fd);
		if (unlink(path) < 0)
			die("unlink");
	}
	print_ns("create-unlink", start, count);
}

static void list(const char *key)
{
	uint64_t start = now_ns();
	unsigned int entries = 0;
	DIR *dir = opendir(BENCH_MANY);

	if (!dir)
		die("opendir");
	errno = 0;
	while (readdir(dir))
		entries++;
	if (errno)
		die("readdir");
	closedir(dir);
	print_ns(key, start, 1);
	if (entries != BENCH_MANY_COUNT && entries != BENCH_MANY_COUNT + 2) {
		errno = EIO; /* "." and ".." are optional, no name is */
		die("readdir misses names");
	}
}

void readdir_group(const struct bench *b)
{
	(void)b;
	drop_name_caches();
	list("readdir-uncached");
	list("readdir-cached");
}
