/* SPDX-License-Identifier: MIT */
/*
 * transfer.c - bytes into and out of a buffer, under its direction, length and
 * capacity.
 *
 * With a file the bytes go by pread(2) and pwrite(2), which answer a lack of
 * memory with an errno where a store through a mapping would raise SIGBUS: the
 * file may have been punched by whoever else maps it. Without one (the owner
 * let go of it) they go through the locked mapping.
 */
#include "internal.h"

#include <string.h>

enum way { OUT_OF, INTO };

static ssize_t once(int fd, enum way way, unsigned char *at, size_t size,
		    uint64_t offset)
{
	return way == INTO ? pwrite(fd, at, size, (off_t)offset)
			   : pread(fd, at, size, (off_t)offset);
}

/* All of it, or as much as went before an error or the file's end. */
static int move(const struct iobuf *b, enum way way, uint64_t offset,
		unsigned char *at, size_t size, size_t *ret_size)
{
	size_t done = 0;

	if (b->fd < 0) {
		unsigned char *inside = b->mapping.base + offset;

		memcpy(way == INTO ? inside : at, way == INTO ? at : inside,
		       size);
		done = size;
	}
	while (done < size) {
		ssize_t n = once(b->fd, way, at + done, size - done,
				 offset + done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && done == 0)
			return -errno;
		if (n <= 0)
			break;
		done += (size_t)n;
	}
	*ret_size = done;
	return 0;
}

static int put(const struct iobuf *b, uint64_t offset, const void *from,
	       size_t size, size_t *ret_size)
{
	/* INTO reads what it is given. */
	return move(b, INTO, offset, (unsigned char *)(uintptr_t)from, size,
		    ret_size);
}

static int zero(const struct iobuf *b, uint64_t from, uint64_t to)
{
	static const unsigned char zeros[65536];

	while (from < to) {
		size_t n = to - from < sizeof(zeros) ? (size_t)(to - from)
						     : sizeof(zeros);
		int r = put(b, from, zeros, n, &n);

		if (r < 0)
			return r;
		from += n;
	}
	return 0;
}

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

int iobuf_read_bytes(struct iobuf *buffer, uint64_t offset, void *bytes,
		     size_t size, size_t *ret_size)
{
	const uint64_t length = iobuf_get_length(buffer);

	if (!(iobuf_get_direction(buffer) & IOBUF_DIRECTION_OUT))
		return -EPERM;
	if (offset >= length || size == 0) {
		*ret_size = 0;
		return 0;
	}
	return move(buffer, OUT_OF, offset, bytes,
		    (size_t)least(size, length - offset), ret_size);
}

/* Where writes have to end. */
static uint64_t limit_of(const struct iobuf *b)
{
	return iobuf_is_fixed(b) ? b->spec.capacity
				 : (uint64_t)INT64_MAX - iobuf_page_bytes();
}

/* Zero the gap between the length and `offset`; `lock` held. */
static int extend_fixed(struct iobuf *b, uint64_t offset)
{
	const uint64_t length = iobuf_get_length(b);

	return offset > length ? zero(b, length, offset) : 0;
}

/* What an elastic buffer has mapped or wired follows its length, and what a
 * wired one grows by is wired before the write returns; `lock` held. */
static int extend_elastic(struct iobuf *b, uint64_t end)
{
	if (b->fd < 0)
		return -EBADF;
	if (end > iobuf_get_length(b) &&
	    (iobuf_is_wired(&b->spec) || b->mapping.base || b->wirings))
		return iobuf_resize_locked(b, end);
	return 0;
}

/* The length after a write that was to reach further, or that raised none. */
static void settle_length(struct iobuf *b, uint64_t length)
{
	if (iobuf_get_length(b) > length && !iobuf_is_fixed(b))
		iobuf_resize_locked(b, length);
	else
		atomic_store(&b->length, length);
}

/* Write past the length; `lock` held. The capacity allows it. */
static int extend(struct iobuf *b, uint64_t offset, const void *bytes,
		  size_t size, size_t *ret_size)
{
	const uint64_t old = iobuf_get_length(b);
	size_t done = 0;
	int r = iobuf_is_fixed(b) ? extend_fixed(b, offset)
				  : extend_elastic(b, offset + size);

	if (r < 0)
		return r;
	r = put(b, offset, bytes, size, &done);
	settle_length(b, done && offset + done > old ? offset + done : old);
	if (r < 0)
		return r;
	*ret_size = done;
	return 0;
}

int iobuf_write_bytes(struct iobuf *buffer, uint64_t offset, const void *bytes,
		      size_t size, size_t *ret_size)
{
	const uint64_t limit = limit_of(buffer);

	if (!(iobuf_get_direction(buffer) & IOBUF_DIRECTION_IN))
		return -EPERM;
	if (size == 0) {
		*ret_size = 0;
		return 0;
	}
	if (offset >= limit)
		return -EFBIG;
	size = (size_t)least(size, limit - offset);
	if (offset + size <= iobuf_get_length(buffer))
		return put(buffer, offset, bytes, size, ret_size);

	IOBUF_LOCKED(buffer);
	return extend(buffer, offset, bytes, size, ret_size);
}

int iobuf_append_bytes(struct iobuf *buffer, const void *bytes, size_t size,
		       size_t *ret_size)
{
	IOBUF_LOCKED(buffer);
	const uint64_t length = iobuf_get_length(buffer);
	size_t added = 0;
	int r = 0;

	size = (size_t)least(size, limit_of(buffer) - length);
	if (size)
		r = extend(buffer, length, bytes, size, &added);
	if (r == 0 && ret_size)
		*ret_size = added;
	return r;
}

int iobuf_truncate(struct iobuf *buffer, uint64_t length)
{
	int r = 0;

	if (!iobuf_is_fixed(buffer))
		return iobuf_resize(buffer, length);
	if (length > buffer->spec.capacity)
		return -EFBIG;

	IOBUF_LOCKED(buffer);
	r = extend_fixed(buffer, length);
	if (r == 0)
		atomic_store(&buffer->length, length);
	return r;
}
