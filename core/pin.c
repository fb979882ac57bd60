/* SPDX-License-Identifier: MIT */
/*
 * pin.c - long-term pins, by io_uring's fixed buffers.
 *
 * mlock(2) keeps memory resident, but lets the kernel move it: compaction and
 * gigantic pages do. Memory that is registered with an io_uring has a long-term
 * pin, which they respect. One ring holds all pins of the process, in a sparse
 * table; a buffer over 1 GiB, the limit of an entry, takes several entries.
 */
#include "physical.h"

#include <linux/io_uring.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>

enum { ENTRIES_MAX = 1 << 14 }; /* IORING_MAX_REG_BUFFERS */

#define ENTRY_BYTES (UINT64_C(1) << 30)

static struct {
	pthread_mutex_t lock;
	int ring; /* -1: not tried; else a descriptor, kept for good */
	/* Of entry i: how many a pin takes that begins there, -1 within. */
	int16_t taken[ENTRIES_MAX];
} pins = { .lock = PTHREAD_MUTEX_INITIALIZER, .ring = -1 };

static int make_ring(void)
{
	struct io_uring_params params = { 0 };
	struct io_uring_rsrc_register table = {
		.nr = ENTRIES_MAX,
		.flags = IORING_RSRC_REGISTER_SPARSE,
	};
	int ring = (int)syscall(SYS_io_uring_setup, 1, &params);

	if (ring < 0)
		return -errno;
	if (syscall(SYS_io_uring_register, ring, IORING_REGISTER_BUFFERS2,
		    &table, sizeof(table)) < 0) {
		int error = errno;

		close(ring);
		return -error;
	}
	pins.ring = ring;
	return 0;
}

/* Set entry `index` to a range; or clear it, with an empty one. */
static int update(int index, void *base, size_t size)
{
	struct iovec range = { base, size };
	uint64_t tag = 0;
	struct io_uring_rsrc_update2 change = {
		.offset = (uint32_t)index,
		.data = (uintptr_t)&range,
		.tags = (uintptr_t)&tag,
		.nr = 1,
	};

	return syscall(SYS_io_uring_register, pins.ring,
		       IORING_REGISTER_BUFFERS_UPDATE, &change,
		       sizeof(change)) < 0
		       ? -errno
		       : 0;
}

/* The first of `count` free entries in a row, or -ENOSPC. */
static int find_free(int count)
{
	for (int i = 0, free = 0; i < ENTRIES_MAX; i++) {
		free = pins.taken[i] ? 0 : free + 1;
		if (free == count)
			return i - count + 1;
	}
	return -ENOSPC;
}

static void clear(int first, int count)
{
	for (int i = first; i < first + count; i++) {
		update(i, NULL, 0);
		pins.taken[i] = 0;
	}
}

static int fill(int first, int count, const struct iobuf_mapping *mapping)
{
	for (int i = 0; i < count; i++) {
		size_t at = (size_t)i * ENTRY_BYTES;
		size_t size = mapping->size - at;
		int r = update(first + i, mapping->base + at,
			       size < ENTRY_BYTES ? size : ENTRY_BYTES);

		if (r < 0) {
			clear(first, i);
			return r;
		}
		pins.taken[first + i] = i ? -1 : (int16_t)count;
	}
	return 0;
}

int iobuf_pin(const struct iobuf_mapping *mapping, int *ret_pin)
{
	uint64_t count = (mapping->size + ENTRY_BYTES - 1) / ENTRY_BYTES;
	int first = 0, r = 0;

	if (count == 0 || count >= ENTRIES_MAX)
		return -EINVAL;
	pthread_mutex_lock(&pins.lock);
	if (pins.ring < 0)
		r = make_ring();
	if (r == 0)
		r = first = find_free((int)count);
	if (r >= 0)
		r = fill(first, (int)count, mapping);
	pthread_mutex_unlock(&pins.lock);
	if (r == 0)
		*ret_pin = first + 1;
	return r;
}

void iobuf_unpin(int pin)
{
	if (pin <= 0)
		return;
	pthread_mutex_lock(&pins.lock);
	clear(pin - 1, pins.taken[pin - 1]);
	pthread_mutex_unlock(&pins.lock);
}
