/* SPDX-License-Identifier: MIT */
/*
 * stress.h - what the parts of the stress program share: a process, its random
 * numbers, the stamps that files are filled with, and how it gives up.
 *
 * Every 8 bytes of a file are a stamp: who wrote it, into which file, where.
 * Bytes that came from another file, or from another time, are known by it.
 */
#ifndef STRESS_H
#define STRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	FILES = 12,		/* own ones of a process */
	SIZE_MAX_BYTES = 65536,	/* of each of them */
	SHARED_OWNER = 0xfff,
};

/* What one process knows of a file of its own. */
struct own_file {
	char path[64]; /* "" when there is none */
	unsigned char *bytes;
	size_t size;
	uint32_t version;
	uint32_t mode;
	bool fixed; /* a buffer with a capacity: SIZE_MAX_BYTES */
};

/* Counted by the processes, added up by their parent. */
struct counts {
	uint64_t operations, flocked, locked;
};

struct process {
	unsigned int number;
	uint64_t random;
	bool buffers; /* the filesystem knows user.iobuf */
	bool cached; /* it does not pass opens through, nor is it root's */
	unsigned int names; /* given to files so far */
	int top, own, shared; /* directories */
	struct counts *counts;
	const char *doing;
	struct own_file files[FILES];
};

uint32_t pick(struct process *p, uint32_t below);

/* Stamps for [offset, offset + size), both multiples of 8 or not. */
void fill(unsigned char *to, unsigned int owner, uint32_t version,
	  uint64_t offset, size_t size);

/* Only zeros and stamps that `owner` wrote there. */
bool is_stamped(const unsigned char *bytes, unsigned int owner,
		uint64_t offset, size_t size);

/* Say what went wrong, with errno when it is not 0, and end the process. */
__attribute__((noreturn, format(printf, 2, 3)))
void give_up(const struct process *p, const char *format, ...);

#define CHECK(p, condition, ...)                                               \
	do {                                                                   \
		if (!(condition))                                              \
			give_up(p, __VA_ARGS__);                               \
	} while (0)

/* One operation each, picked at random. */
void operate_on_own(struct process *p);
void operate_on_shared(struct process *p);

/* Read each own file, and each own name, once more. */
void check_own(struct process *p);

#endif
