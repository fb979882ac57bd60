/* SPDX-License-Identifier: MIT */
/*
 * mmap.c - a fresh file, touched by one process and then by another.
 *
 * The file is new every time: its memory is what the first touch obtains,
 * unless its kind is populated at creation. The second process finds the pages
 * there and has only to map them.
 *
 * A virtual machine's memory may have to come from its host when it is used
 * for the first time in a while, which takes several times as long as what is
 * measured here. So another fresh file is touched before, and removed: the
 * memory of the one that is measured was in use a moment ago.
 */
#include "bench.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

static const char name[] = "touched";

/* Map the file and write a byte to each page, timed together. */
static volatile char *touch(const struct bench *b, int fd, const char *key)
{
	uint64_t start = now_ns();
	volatile char *map = mmap(NULL, b->size_bytes, PROT_READ | PROT_WRITE,
				  MAP_SHARED, fd, 0);

	if (map == MAP_FAILED)
		die("mmap");
	for (size_t at = 0; at < b->size_bytes; at += BENCH_PAGE)
		map[at] = 1;
	if (key)
		print_ns(key, start, 1);
	return map;
}

static void discard(const struct bench *b, int fd, volatile char *map)
{
	munmap((void *)map, b->size_bytes);
	close(fd);
	if (unlink(name) < 0)
		die("unlink");
}

static void read_randomly(const struct bench *b, volatile const char *map)
{
	const uint64_t reads = 4000000 / b->divide;
	const volatile uint64_t *words = (const volatile uint64_t *)map;
	const size_t count = b->size_bytes / sizeof(*words);
	uint64_t start = now_ns();

	for (uint64_t i = 0; i < reads; i++)
		(void)words[random_next() % count];
	print_ns("random-read", start, reads);
}

static _Noreturn void second_process(const struct bench *b)
{
	int fd = open(name, O_RDWR | O_CLOEXEC);

	if (fd < 0)
		die("second open");
	touch(b, fd, "second-touch");
	exit(EXIT_SUCCESS);
}

/* When the second process fails, what the first one measured still holds. */
static bool run_second_process(const struct bench *b)
{
	int status;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid < 0)
		die("fork");
	if (pid == 0)
		second_process(b);
	if (waitpid(pid, &status, 0) < 0)
		die("waitpid");
	if (WIFSIGNALED(status))
		fprintf(stderr, "second process: %s\n",
			strsignal(WTERMSIG(status)));
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* A touch that takes a few milliseconds is measured more than once. */
static void run_second_processes(const struct bench *b)
{
	const uint64_t enough_ns = 50000000, start = now_ns();

	while (run_second_process(b) && now_ns() - start < enough_ns)
		;
}

static fsblkcnt_t free_blocks(void)
{
	struct statvfs st;

	if (statvfs(".", &st) < 0)
		die("statvfs");
	return st.f_bfree;
}

/* A daemon gives the memory back a moment after the unlink: only then can the
 * next file have it. Not all know what is free, so that there is an end. */
static void use_memory_before(const struct bench *b)
{
	const fsblkcnt_t before = free_blocks();
	int fd = make_large_file(b, name);

	discard(b, fd, touch(b, fd, NULL));
	for (int ms = 0; ms < 200 && free_blocks() < before; ms++)
		usleep(1000);
}

void mmap_group(const struct bench *b)
{
	volatile char *map;
	int fd;

	use_memory_before(b);
	fd = make_large_file(b, name);
	map = touch(b, fd, "first-touch");
	read_randomly(b, map);
	run_second_processes(b);
	discard(b, fd, map);
}
