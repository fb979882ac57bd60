/* SPDX-License-Identifier: MIT */
/*
 * map.c - iobuf map: bytes as a client's mapping has them.
 *
 * Whoever may truncate the file can do so while it is looked at; what is touched
 * past its end then is a signal, not an error. So bytes go in and out in steps,
 * each of which can be given up.
 */
#include "cmd.h"
#include "json.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { STEP_BYTES = 1 << 16, ROW_BYTES = 16 };

struct range {
	const char *path;
	unsigned char *bytes; /* of the mapping, at `offset` */
	uint64_t offset, size;
	void *base;
	size_t mapped;
};

static sigjmp_buf past_end;

static void on_sigbus(int number)
{
	(void)number;
	siglongjmp(past_end, 1);
}

/* One step; false: the file is shorter than it was. */
static bool move(unsigned char *to, const unsigned char *from, int fill, size_t n)
{
	if (sigsetjmp(past_end, 1))
		return false;
	if (from)
		memcpy(to, from, n);
	else
		memset(to, fill, n);
	return true;
}

/* How far a mapping reaches: over the capacity of a fixed buffer. */
static uint64_t limit_of(int fd, const struct stat *st)
{
	const char *state = attribute_get(path_of(fd), "user.iobuf.state");
	char capacity[32] = "";
	uint64_t n;

	if (state)
		state_find(state, "capacity", capacity, sizeof(capacity));
	n = strtoull(capacity, NULL, 10);
	return n > (uint64_t)st->st_size ? n : (uint64_t)st->st_size;
}

static int find_range(int fd, const struct arguments *a, struct range *r)
{
	const struct value *size = &a->values[OPTION_SIZE];
	struct stat st;
	uint64_t limit;
	char words[96];

	if (fstat(fd, &st) < 0)
		return complain(r->path, errno);
	if (!S_ISREG(st.st_mode))
		return complain_that(r->path, "not a file that can be mapped");
	limit = limit_of(fd, &st);
	r->offset = a->values[OPTION_OFFSET].bytes;
	r->size = (uint64_t)st.st_size > r->offset
			  ? (uint64_t)st.st_size - r->offset
			  : 0;
	if (size->text)
		r->size = size->bytes;
	if (r->offset <= limit && r->size <= limit - r->offset)
		return EXIT_SUCCESS;
	snprintf(words, sizeof(words),
		 "the range reaches beyond its end, at %llu bytes",
		 (unsigned long long)limit);
	return complain_that(r->path, words);
}

static int map_range(int fd, bool write, struct range *r)
{
	const uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	const uint64_t before = r->offset % page;

	if (r->size == 0)
		return EXIT_SUCCESS;
	r->mapped = (size_t)(before + r->size);
	r->base = mmap(NULL, r->mapped, write ? PROT_READ | PROT_WRITE : PROT_READ,
		       MAP_SHARED, fd, (off_t)(r->offset - before));
	if (r->base == MAP_FAILED) {
		r->base = NULL;
		return complain(r->path, errno);
	}
	r->bytes = (unsigned char *)r->base + before;
	return EXIT_SUCCESS;
}

static void print_row(uint64_t at, const unsigned char *row, size_t n)
{
	printf("%08llx ", (unsigned long long)at);
	for (size_t i = 0; i < ROW_BYTES; i++) {
		if (i == ROW_BYTES / 2)
			putchar(' ');
		if (i < n)
			printf(" %02x", row[i]);
		else
			fputs("   ", stdout);
	}
	fputs("  |", stdout);
	for (size_t i = 0; i < n; i++)
		putchar(row[i] >= ' ' && row[i] < 127 ? row[i] : '.');
	puts("|");
}

/* Rows that are as the one before: one star for all. */
struct rows {
	unsigned char last[ROW_BYTES];
	bool any, starred;
};

static void print_rows(struct rows *rows, uint64_t at, const unsigned char *step,
		       size_t size)
{
	for (size_t i = 0; i < size; i += ROW_BYTES) {
		const size_t n = size - i < ROW_BYTES ? size - i : ROW_BYTES;

		if (rows->any && n == ROW_BYTES &&
		    !memcmp(rows->last, step + i, ROW_BYTES)) {
			if (!rows->starred)
				puts("*");
			rows->starred = true;
			continue;
		}
		print_row(at + i, step + i, n);
		memcpy(rows->last, step + i, n);
		rows->any = true;
		rows->starred = false;
	}
}

static void print_hex(const unsigned char *step, size_t size)
{
	for (size_t i = 0; i < size; i++)
		printf("%02x", step[i]);
}

static int show(const struct range *r, bool json)
{
	static unsigned char step[STEP_BYTES];
	struct rows rows = { 0 };

	for (uint64_t at = 0; at < r->size; at += STEP_BYTES) {
		const size_t n = r->size - at < STEP_BYTES ? r->size - at
							   : STEP_BYTES;

		if (!move(step, r->bytes + at, 0, n))
			return -EFAULT;
		if (json)
			print_hex(step, n);
		else
			print_rows(&rows, r->offset + at, step, n);
	}
	if (!json && r->size)
		printf("%08llx\n", (unsigned long long)(r->offset + r->size));
	return 0;
}

static int fill(const struct range *r, int byte)
{
	for (uint64_t at = 0; at < r->size; at += STEP_BYTES)
		if (!move(r->bytes + at, NULL, byte,
			  r->size - at < STEP_BYTES ? r->size - at : STEP_BYTES))
			return -EFAULT;
	return 0;
}

static int work(const struct range *r, const struct arguments *a)
{
	const struct value *byte = &a->values[OPTION_FILL];
	struct json json = { .to = stdout };
	const bool as_json = a->values[OPTION_JSON].text;
	int error;

	if (as_json) {
		json_open(&json, NULL, '{');
		json_text(&json, "path", r->path);
		json_number(&json, "offset", r->offset);
		json_number(&json, "size", r->size);
	}
	if (byte->text) {
		error = fill(r, (int)byte->number);
	} else {
		if (as_json)
			json_open(&json, "hex", '"');
		error = show(r, as_json);
		if (as_json)
			json_close(&json, '"');
	}
	if (as_json)
		json_close(&json, '}');
	return error ? complain_that(r->path, "it was made shorter meanwhile")
		     : EXIT_SUCCESS;
}

int command_map(const struct arguments *a)
{
	const bool write = a->values[OPTION_FILL].text;
	struct range r = { .path = a->operands[0] };
	struct sigaction action = { .sa_handler = on_sigbus };
	/* Of a pipe that nobody else has open, too. */
	const int fd = open(r.path, (write ? O_RDWR : O_RDONLY) | O_CLOEXEC |
					    O_NONBLOCK | O_NOCTTY);
	int status;

	if (fd < 0)
		return complain(r.path, errno);
	sigaction(SIGBUS, &action, NULL);
	status = find_range(fd, a, &r);
	if (status == EXIT_SUCCESS)
		status = map_range(fd, write, &r);
	if (status == EXIT_SUCCESS)
		status = work(&r, a);
	if (r.base)
		munmap(r.base, r.mapped);
	close(fd);
	return status;
}
