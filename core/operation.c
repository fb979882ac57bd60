/* SPDX-License-Identifier: MIT */
/*
 * operation.c - write back or evict what the CPU caches hold of a buffer.
 *
 * Only pages that are in memory have lines. To touch another would page it in,
 * or allocate it, so that they are asked for first: the file for what holds
 * data, which is quick however large it is, then the kernel for what of it is
 * resident.
 */
#include "internal.h"

enum { CHUNK_PAGES = 1024 };

struct lines {
	void (*operate)(const void *p, size_t n);
	const unsigned char *at;
	size_t size;
};

static void operate(void *context)
{
	const struct lines *lines = context;

	lines->operate(lines->at, lines->size);
}

/* [at, at + size) reaches over CHUNK_PAGES pages at most. */
static int each_resident_page(struct lines lines)
{
	const uint64_t page = iobuf_page_bytes();
	const unsigned char *const end = lines.at + lines.size;
	const unsigned char *const first =
		lines.at - ((uintptr_t)lines.at & (page - 1));
	unsigned char in_core[CHUNK_PAGES];
	int r = iobuf_memory_residency(first, (size_t)(end - first), in_core);

	if (r < 0)
		return r;
	for (size_t i = 0; lines.at < end; i++, lines.at += lines.size) {
		const unsigned char *next = first + (i + 1) * page;

		lines.size = (size_t)((next < end ? next : end) - lines.at);
		/* A page that has gone meanwhile took its lines along. */
		if (in_core[i] & 1)
			(void)iobuf_catch_fault(lines.at, lines.size, operate,
						&lines);
	}
	return 0;
}

/* The same for any size, in a file or, without one, in the mapping. */
static int each_chunk(struct iobuf *b, struct lines lines, uint64_t from,
		      uint64_t to)
{
	const uint64_t chunk = CHUNK_PAGES * iobuf_page_bytes();
	int r = 0;

	for (uint64_t next; r == 0 && from < to; from = next) {
		__attribute__((cleanup(iobuf_view_close)))
		struct iobuf_view view = { 0 };

		next = (from / chunk + 1) * chunk;
		next = next < to ? next : to;
		lines.size = (size_t)(next - from);
		if ((r = iobuf_view_open(b, from, lines.size, &view)) < 0)
			break;
		lines.at = view.at;
		r = each_resident_page(lines);
	}
	return r;
}

int iobuf_operate_locked(struct iobuf *buffer, enum iobuf_operation operation,
			 uint64_t offset, uint64_t size)
{
	const struct iobuf_cache *by = iobuf_cache_chosen();
	const struct lines lines = {
		.operate = operation == IOBUF_OPERATION_FLUSH ? by->flush
							      : by->store,
	};
	const uint64_t end = offset + size;
	uint64_t from = offset, to = end;
	int own = iobuf_memory_reopen(buffer->fd);
	int r = 0;

	for (; r == 0 && from < end; from = to) {
		r = iobuf_memory_next_data(own, from, end, &from, &to);
		if (r == 0)
			r = each_chunk(buffer, lines, from, to);
	}
	if (own >= 0)
		close(own);
	return r;
}

int iobuf_perform_operation(struct iobuf *buffer,
			    enum iobuf_operation operation, uint64_t offset,
			    uint64_t size)
{
	IOBUF_LOCKED(buffer);
	const uint64_t capacity = iobuf_get_capacity(buffer);

	if ((operation != IOBUF_OPERATION_FLUSH &&
	     operation != IOBUF_OPERATION_STORE) ||
	    offset > capacity || size > capacity - offset)
		return -EINVAL;
	return iobuf_operate_locked(buffer, operation, offset, size);
}
