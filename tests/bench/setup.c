/* SPDX-License-Identifier: MIT */
/*
 * setup.c - the files that are measured, and the ones that every round uses.
 */
#include "bench.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

static void specify(const struct bench *b, const char *path, size_t capacity)
{
	char value[256];
	int n = snprintf(value, sizeof(value), "%s,capacity=%zu", b->spec,
			 capacity);

	if (setxattr(path, "user.iobuf", value, (size_t)n, 0) < 0)
		die("setxattr user.iobuf");
}

/* Who opens the name opens the memory, as long as we have it. */
static int make_memfd(const char *name)
{
	char path[64];
	int fd = memfd_create(name, MFD_CLOEXEC);

	snprintf(path, sizeof(path), "/proc/%d/fd/%d", getpid(), fd);
	return fd < 0 || symlink(path, name) < 0 ? -1 : fd;
}

int make_large_file(const struct bench *b, const char *name)
{
	int fd = b->memfd ? make_memfd(name)
			  : open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC,
				 0600);

	if (fd < 0)
		die("create");
	if (b->spec)
		specify(b, name, b->size_bytes);
	else if (ftruncate(fd, (off_t)b->size_bytes) < 0)
		die("ftruncate");
	return fd;
}

void make_directory(const struct bench *b, const char *dir)
{
	if (mkdir(dir, 0700) < 0)
		die("mkdir");
	if (b->spec)
		specify(b, dir, BENCH_PAGE);
}

void make_files(const struct bench *b, const char *dir, unsigned int count,
		size_t bytes)
{
	static const char zeros[BENCH_PAGE];
	char path[64];

	make_directory(b, dir);
	for (unsigned int i = 0; i < count; i++) {
		int fd;

		snprintf(path, sizeof(path), "%s/%u", dir, i);
		fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		if (fd < 0)
			die("create");
		if (bytes && write(fd, zeros, bytes) != (ssize_t)bytes)
			die("write");
		close(fd);
	}
}

static void make_data(const struct bench *b)
{
	char *bytes = calloc(1, BENCH_MIB);
	int fd = make_large_file(b, BENCH_DATA);

	if (!bytes)
		die("memory");
	for (size_t at = 0; at < b->size_bytes; at += BENCH_MIB)
		if (pwrite(fd, bytes, BENCH_MIB, (off_t)at) != BENCH_MIB)
			die("write the data");
	close(fd);
	free(bytes);
}

void setup_group(const struct bench *b)
{
	make_data(b);
	make_directory(b, BENCH_CREATED);
	make_files(b, BENCH_FILES, BENCH_FILES_COUNT, BENCH_PAGE);
	make_files(b, BENCH_MANY, BENCH_MANY_COUNT, 0);
}
