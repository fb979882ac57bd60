/* SPDX-License-Identifier: MIT */
/*
 * fuzz.h - what the targets share: an input that is eaten piece by piece, and all
 * of a worker but its threads, over a pool of its own.
 */
#ifndef FUZZ_H
#define FUZZ_H

#include "fs.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

struct input {
	const uint8_t *at;
	size_t left;
};

/* 0 past the end. */
static inline uint8_t take_byte(struct input *in)
{
	if (!in->left)
		return 0;
	in->left--;
	return *in->at++;
}

static inline uint32_t take_number(struct input *in)
{
	uint32_t n = 0;

	for (int i = 0; i < 4; i++)
		n = n << 8 | take_byte(in);
	return n;
}

/* Up to `size` bytes; how many there are. */
static inline size_t take_bytes(struct input *in, size_t size,
				const uint8_t **ret_bytes)
{
	const size_t n = size < in->left ? size : in->left;

	*ret_bytes = in->at;
	in->at += n;
	in->left -= n;
	return n;
}

/* Stops the fuzzer: what was found is a defect. */
#define PROMISE(condition)                                                     \
	do {                                                                   \
		if (!(condition))                                              \
			fuzz_fail(#condition, __FILE__, __LINE__);             \
	} while (0)
_Noreturn void fuzz_fail(const char *promise, const char *file, int line);

/* No output, and no file of this process beyond 8 MiB. */
void fuzz_be_modest(void);

/*
 * An empty pool in a directory of /dev/shm, which is removed at the end of the
 * process, and a worker's knowledge of it; the shared block is that of a mount
 * which has just begun.
 */
extern struct bfs_fs fuzz_fs;
extern int fuzz_shared_fd;
void fuzz_fs_create(void);

/* Around an input. At its end everything in the pool goes, and all that is known of
 * it: no descriptor may be left. */
void fuzz_fs_begin(void);
void fuzz_fs_clear(void);

/* As after the death of a worker: nothing is known but what is shared. */
void fuzz_next_worker(void);

#endif
