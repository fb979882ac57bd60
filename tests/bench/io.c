/* SPDX-License-Identifier: MIT */
/*
 * io.c - read and write at random aligned offsets of a large file that has
 * all its data, through a descriptor that was opened after that.
 */
#include "bench.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

/* What may have been dropped from a page cache comes back before the clock
 * runs. */
static void warm_up(const struct bench *b, int fd, char *bytes)
{
	for (size_t at = 0; at < b->size_bytes; at += BENCH_MIB)
		if (pread(fd, bytes, BENCH_MIB, (off_t)at) != BENCH_MIB)
			die("pread");
}

static off_t random_offset(const struct bench *b, size_t block)
{
	return (off_t)(random_next() % (b->size_bytes / block) * block);
}

static void measure_reads(const struct bench *b, int fd, char *bytes,
			  size_t block, uint64_t count, const char *key)
{
	uint64_t start = now_ns();

	for (uint64_t i = 0; i < count; i++)
		if (pread(fd, bytes, block, random_offset(b, block)) !=
		    (ssize_t)block)
			die("pread");
	print_ns(key, start, count);
}

static void measure_writes(const struct bench *b, int fd, const char *bytes,
			   size_t block, uint64_t count, const char *key)
{
	uint64_t start = now_ns();

	for (uint64_t i = 0; i < count; i++)
		if (pwrite(fd, bytes, block, random_offset(b, block)) !=
		    (ssize_t)block)
			die("pwrite");
	print_ns(key, start, count);
}

void io_group(const struct bench *b)
{
	const uint64_t large = 1024 / b->divide, small = 20000 / b->divide;
	char *bytes = aligned_alloc(BENCH_PAGE, BENCH_MIB);
	int fd;

	if (!bytes)
		die("memory");
	fd = open(BENCH_DATA, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		die("open");
	warm_up(b, fd, bytes);
	measure_reads(b, fd, bytes, BENCH_MIB, large, "pread-1m");
	measure_writes(b, fd, bytes, BENCH_MIB, large, "pwrite-1m");
	measure_reads(b, fd, bytes, BENCH_PAGE, small, "pread-4k");
	measure_writes(b, fd, bytes, BENCH_PAGE, small, "pwrite-4k");
	close(fd);
	free(bytes);
}
