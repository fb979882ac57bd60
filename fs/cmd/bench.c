/* SPDX-License-Identifier: MIT */
/*
 * bench.c - iobuf bench: what each kind of buffer gives on this machine. One row
 * of `kinds` is one line, one row of `columns` one figure of it.
 *
 * Each buffer is used by one process and has no name from the moment that it is
 * made: nothing is left, whatever happens.
 */
#include "../clock.h"
#include "cmd.h"
#include "json.h"
#include "terminal.h"
#include "text.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum {
	TRIES = 3, /* the median counts */
	STEP_BYTES = 1 << 20,
	PAGE_BYTES = 4096,
	HUGE_BYTES = 2 << 20,
	ERROR_MAX = 64,
};

#define SIZE_DEFAULT (UINT64_C(64) << 20)

static const struct buffer_kind {
	const char *name;
	const char *spec; /* NULL: of /dev/shm; it gets the capacity */
	bool elastic;     /* no capacity: it is made by its size */
} kinds[] = {
	{ "elastic", "pageable", true },
	{ "fixed", "pageable", false },
	{ "wired", "wired", false },
	{ "contiguous", "contiguous", false },
	{ "purgeable", "purgeable", false },
	{ "writecombine", "cache=writecombine", false },
	{ "inhibit", "cache=inhibit", false },
	{ "unshared", "unshared", false },
	{ "/dev/shm", NULL, true },
};

enum figure_id { CREATE, TOUCH, COPY, WRITE, READ, HUGE_SHARE, COLUMNS };

static const struct column {
	const char *heading, *key;
	int digits;
} columns[COLUMNS] = {
	[CREATE] = { "CREATE us", "create_us", 1 },
	[TOUCH] = { "TOUCH ms", "first_touch_ms", 2 },
	[COPY] = { "MEMCPY GB/s", "memcpy_gb_per_s", 1 },
	[WRITE] = { "WRITE GB/s", "write_gb_per_s", 1 },
	[READ] = { "READ GB/s", "read_gb_per_s", 1 },
	[HUGE_SHARE] = { "HUGE %", "huge_percent", 0 },
};

#define NONE (-1.0)

struct result {
	double values[COLUMNS]; /* NONE: it cannot be had */
	int error;              /* why there is nothing of it; 0 */
};

struct bench {
	const char *directory;
	uint64_t size;
	char *bytes; /* memory of our own, STEP_BYTES */
};

static double now(void)
{
	return (double)bfs_now_ns() / 1e9;
}

static int allocate(const struct bench *b, const struct buffer_kind *k, int fd)
{
	char spec[96];

	if (!k->elastic) {
		snprintf(spec, sizeof(spec), "%s,capacity=%llu", k->spec,
			 (unsigned long long)b->size);
		return attribute_set(path_of(fd), "user.iobuf", spec);
	}
	return 0;
}

/* A store that finds no room for its page is a signal. */
static int grow(const struct bench *b, int fd)
{
	struct statvfs vfs;

	if (fstatvfs(fd, &vfs) < 0)
		return -errno;
	if ((uint64_t)vfs.f_bavail * vfs.f_frsize < b->size)
		return -ENOSPC;
	return ftruncate(fd, (off_t)b->size) < 0 ? -errno : 0;
}

/* A buffer without a name: a descriptor for reading and writing. */
static int make(const struct bench *b, const struct buffer_kind *k, double *ret_create)
{
	const char *directory = k->spec ? b->directory : "/dev/shm";
	char path[PATH_MAX];
	double begun;
	int node, fd, r;

	if (snprintf(path, sizeof(path), "%s/.iobuf-bench-%d", directory,
		     getpid()) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	begun = now();
	if ((r = file_make(path, 0600, &node)) < 0)
		return r;
	r = allocate(b, k, node);
	*ret_create = (now() - begun) * 1e6;
	fd = r < 0 ? r : open(path_of(node), O_RDWR | O_CLOEXEC);
	if (r == 0 && fd < 0)
		fd = -errno;
	unlink(path);
	close(node);
	if (fd < 0 || !k->elastic || (r = grow(b, fd)) == 0)
		return fd;
	close(fd);
	return r;
}

static int touch(const struct bench *b, int fd, struct result *result)
{
	double begun = now();
	char *map = mmap(NULL, b->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (map == MAP_FAILED)
		return errno == ENODEV ? 0 : -errno; /* unshared */
	for (uint64_t at = 0; at < b->size; at += PAGE_BYTES)
		((volatile char *)map)[at] = 1;
	result->values[TOUCH] = (now() - begun) * 1e3;
	begun = now();
	for (uint64_t at = 0; at < b->size; at += STEP_BYTES)
		memcpy(map + at, b->bytes, STEP_BYTES);
	result->values[COPY] = (double)b->size / (now() - begun) / 1e9;
	munmap(map, b->size);
	return 0;
}

static int transfer(const struct bench *b, int fd, bool write, double *ret_rate)
{
	const double begun = now();

	for (uint64_t at = 0; at < b->size; at += STEP_BYTES) {
		const ssize_t n =
			write ? pwrite(fd, b->bytes, STEP_BYTES, (off_t)at)
			      : pread(fd, b->bytes, STEP_BYTES, (off_t)at);

		if (n != STEP_BYTES)
			return n < 0 ? -errno : -EIO;
	}
	*ret_rate = (double)b->size / (now() - begun) / 1e9;
	return 0;
}

static double huge_share(const struct bench *b, int fd)
{
	const char *state = attribute_get(path_of(fd), "user.iobuf.state");
	char huge[32] = "";

	if (state)
		state_find(state, "huge", huge, sizeof(huge));
	return *huge ? strtod(huge, NULL) * 100 / (double)b->size : NONE;
}

static void clear(struct result *result)
{
	result->error = 0;
	for (size_t i = 0; i < COLUMNS; i++)
		result->values[i] = NONE;
}

static void try(const struct bench *b, const struct buffer_kind *k, struct result *result)
{
	int fd, reopened, r;

	clear(result);
	fd = make(b, k, &result->values[CREATE]);
	if (fd < 0) {
		clear(result);
		result->error = -fd;
		return;
	}
	r = touch(b, fd, result);
	/* What was opened while it was empty goes by the daemon. */
	reopened = open(path_of(fd), O_RDWR | O_CLOEXEC);
	if (r == 0 && reopened < 0)
		r = -errno;
	if (r == 0)
		r = transfer(b, reopened, true, &result->values[WRITE]);
	if (r == 0)
		r = transfer(b, reopened, false, &result->values[READ]);
	if (r == 0)
		result->values[HUGE_SHARE] = huge_share(b, fd);
	if (reopened >= 0)
		close(reopened);
	close(fd);
	if (r < 0)
		clear(result);
	result->error = -r;
}

static int compare(const void *x, const void *y)
{
	const double a = *(const double *)x, b = *(const double *)y;

	return (a > b) - (a < b);
}

static void measure(const struct bench *b, const struct buffer_kind *k,
		    struct result *ret_result)
{
	struct result results[TRIES];
	double values[TRIES];

	for (int i = 0; i < TRIES; i++) {
		try(b, k, &results[i]);
		if (results[i].error) {
			*ret_result = results[i];
			return;
		}
	}
	ret_result->error = 0;
	for (size_t c = 0; c < COLUMNS; c++) {
		for (int i = 0; i < TRIES; i++)
			values[i] = results[i].values[c];
		qsort(values, TRIES, sizeof(values[0]), compare);
		ret_result->values[c] = values[TRIES / 2];
	}
}

static void print_line(const struct buffer_kind *k, const struct result *result)
{
	printf("%-12s", k->name);
	for (size_t c = 0; c < COLUMNS && !result->error; c++)
		if (result->values[c] == NONE)
			printf(" %11s", "-");
		else
			printf(" %11.*f", columns[c].digits, result->values[c]);
	if (result->error)
		printf("  %s", strerror(result->error));
	putchar('\n');
	fflush(stdout);
}

static void print_object(struct json *json, const struct buffer_kind *k,
			 const struct result *result)
{
	json_open(json, NULL, '{');
	json_text(json, "kind", k->name);
	for (size_t c = 0; c < COLUMNS; c++)
		if (result->values[c] == NONE)
			json_null(json, columns[c].key);
		else
			json_real(json, columns[c].key, result->values[c]);
	if (result->error)
		json_text(json, "error", strerror(result->error));
	json_close(json, '}');
}

static void print_head(const struct bench *b)
{
	char size[BYTES_TEXT_MAX];

	print_bytes(b->size, size, sizeof(size));
	printf("buffers of %s in ", size);
	put_text(stdout, b->directory);
	putchar('\n');
	put_colour(stdout, BOLD);
	printf("%-12s", "KIND");
	for (size_t c = 0; c < COLUMNS; c++)
		printf(" %11s", columns[c].heading);
	put_colour(stdout, PLAIN);
	putchar('\n');
}

/* Whole steps, in huge pages where there is room for them. */
static int choose_size(const struct arguments *a, struct bench *b)
{
	const struct value *size = &a->values[OPTION_SIZE];
	struct statvfs vfs;
	uint64_t most;

	if (statvfs(b->directory, &vfs) < 0)
		return complain(b->directory, errno);
	if (!attribute_get(b->directory, "user.iobuf.options"))
		return complain(b->directory,
				errno == ENODATA ? EOPNOTSUPP : errno);
	most = (uint64_t)vfs.f_bavail * vfs.f_frsize / 2;
	b->size = size->text ? size->bytes : SIZE_DEFAULT;
	if (!size->text && b->size > most)
		b->size = most;
	b->size -= b->size % (b->size < HUGE_BYTES ? STEP_BYTES : HUGE_BYTES);
	if (b->size > 0)
		return EXIT_SUCCESS;
	if (!size->text)
		return complain(b->directory, ENOSPC);
	fputs("iobuf: size: at least 1M\n", stderr);
	return EXIT_USAGE;
}

static void run(const struct bench *b, bool as_json)
{
	struct json json = { .to = stdout };
	struct result result;

	if (as_json) {
		json_open(&json, NULL, '{');
		json_text(&json, "directory", b->directory);
		json_number(&json, "size", b->size);
		json_open(&json, "kinds", '[');
	} else {
		print_head(b);
	}
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		measure(b, &kinds[i], &result);
		if (as_json)
			print_object(&json, &kinds[i], &result);
		else
			print_line(&kinds[i], &result);
	}
	if (as_json) {
		json_close(&json, ']');
		json_close(&json, '}');
	}
}

int command_bench(const struct arguments *a)
{
	struct bench b = { .directory = a->count ? a->operands[0] : "." };
	int status = choose_size(a, &b);

	if (status != EXIT_SUCCESS)
		return status;
	b.bytes = malloc(STEP_BYTES);
	if (!b.bytes)
		return complain_that("memory", strerror(ENOMEM));
	memset(b.bytes, 1, STEP_BYTES);
	run(&b, a->values[OPTION_JSON].text);
	free(b.bytes);
	return EXIT_SUCCESS;
}
