/* SPDX-License-Identifier: MIT */
/*
 * transfer.c - bytes into and out of a buffer, under its direction, length and
 * capacity.
 *
 * With a file the bytes go by pread(2) and pwrite(2), which answer a lack of
 * memory with an errno where a store through a mapping would raise SIGBUS: the
 * file may have been punched by whoever else maps it. In a cache mode of its
 * own, and without a file (the owner let go of it), they go through a mapping;
 * where that meets a page that is gone, the file, if there is one, does the
 * transfer again, and knows the errno.
 *
 * `lock` is held by a transfer in a cache mode, so that the mapping stays.
 */
#include "internal.h"

#include <fcntl.h>

enum way { OUT_OF, INTO };

static ssize_t once(int fd, enum way way, unsigned char *at, size_t size,
		    uint64_t offset)
{
	return way == INTO ? pwrite(fd, at, size, (off_t)offset)
			   : pread(fd, at, size, (off_t)offset);
}

static uint32_t cache_mode(const struct iobuf *b)
{
	return b->spec.options & IOBUF_CACHE_MASK;
}

static bool has_cache_mode(const struct iobuf *b)
{
	return cache_mode(b) != IOBUF_CACHE_DEFAULT &&
	       cache_mode(b) != IOBUF_CACHE_COPYBACK;
}

/* All of it, or as much as went before an error or the file's end. */
static int move_by_file(const struct iobuf *b, enum way way, uint64_t offset,
			unsigned char *at, size_t size, size_t *ret_size)
{
	size_t done = 0;

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

struct copy {
	uint32_t mode;
	enum way way;
	unsigned char *inside, *outside;
	size_t size;
};

static void copy(void *context)
{
	const struct iobuf_cache *by = iobuf_cache_chosen();
	const struct copy *c = context;

	if (c->way == INTO)
		iobuf_cache_copy_in(by, c->mode, c->inside, c->outside,
				    c->size);
	else
		iobuf_cache_copy_out(by, c->mode, c->outside, c->inside,
				     c->size);
}

/* What write(2) does to a file's times and a store does not; a courtesy. */
static void touch(const struct iobuf *b)
{
	const struct timespec times[2] = { { .tv_nsec = UTIME_OMIT },
					   { .tv_nsec = UTIME_NOW } };

	if (b->fd >= 0)
		futimens(b->fd, times);
}

/* All of it; -EFAULT when a page is gone, and then some of it may have gone
 * over; -EBADF when the memory cannot be written. */
static int move_by_mapping(struct iobuf *b, enum way way, uint64_t offset,
			   unsigned char *at, size_t size)
{
	__attribute__((cleanup(iobuf_view_close))) struct iobuf_view view = { 0 };
	struct copy c = { cache_mode(b), way, NULL, at, size };
	int r = iobuf_view_open(b, offset, size, &view);

	if (r < 0)
		return r;
	if (way == INTO && !view.writable)
		return -EBADF;
	c.inside = view.at;
	r = iobuf_catch_fault(view.at, size, copy, &c);
	if (r == 0 && way == INTO)
		touch(b);
	return r;
}

/* By the file, but with no lines of it left where the mode wants none. */
static int move_uncached(struct iobuf *b, enum way way, uint64_t offset,
			 unsigned char *at, size_t size, size_t *ret_size)
{
	int r = move_by_file(b, way, offset, at, size, &size);

	if (r < 0)
		return r;
	*ret_size = size;
	/* The bytes are there, whatever becomes of their lines. */
	if (cache_mode(b) == IOBUF_CACHE_INHIBIT)
		iobuf_operate_locked(b, IOBUF_OPERATION_FLUSH, offset, size);
	else if (way == INTO)
		iobuf_operate_locked(b, IOBUF_OPERATION_STORE, offset, size);
	return 0;
}

static int move(struct iobuf *b, enum way way, uint64_t offset,
		unsigned char *at, size_t size, size_t *ret_size)
{
	int r;

	if (b->fd >= 0 && !has_cache_mode(b))
		return move_by_file(b, way, offset, at, size, ret_size);
	r = move_by_mapping(b, way, offset, at, size);
	if (b->fd >= 0 && (r == -EFAULT || r == -EBADF))
		return move_uncached(b, way, offset, at, size, ret_size);
	if (r < 0)
		return r == -EFAULT ? -EIO : r;
	*ret_size = size;
	return 0;
}

static int put(struct iobuf *b, uint64_t offset, const void *from,
	       size_t size, size_t *ret_size)
{
	/* INTO reads what it is given. */
	return move(b, INTO, offset, (unsigned char *)(uintptr_t)from, size,
		    ret_size);
}

static int zero(struct iobuf *b, uint64_t from, uint64_t to)
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

static int get(struct iobuf *b, uint64_t offset, void *bytes, size_t size,
	       size_t *ret_size)
{
	const uint64_t length = iobuf_get_length(b);

	if (offset >= length || size == 0) {
		*ret_size = 0;
		return 0;
	}
	return move(b, OUT_OF, offset, bytes,
		    (size_t)least(size, length - offset), ret_size);
}

int iobuf_read_bytes(struct iobuf *buffer, uint64_t offset, void *bytes,
		     size_t size, size_t *ret_size)
{
	if (!(iobuf_get_direction(buffer) & IOBUF_DIRECTION_OUT))
		return -EPERM;
	if (!has_cache_mode(buffer))
		return get(buffer, offset, bytes, size, ret_size);

	IOBUF_LOCKED(buffer);
	return get(buffer, offset, bytes, size, ret_size);
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
 * wired one grows by is wired before the write returns. Stores through a
 * mapping do not move the file's end. `lock` held. */
static int extend_elastic(struct iobuf *b, uint64_t end)
{
	if (b->fd < 0)
		return -EBADF;
	if (end > iobuf_get_length(b) &&
	    (iobuf_is_wired(&b->spec) || b->mapping.base || b->wirings ||
	     has_cache_mode(b)))
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
	struct stat before = { 0 };
	size_t done = 0;
	bool grown;
	int r;

	if (!iobuf_is_fixed(b) && fstat(b->fd, &before) < 0)
		return -errno;
	r = iobuf_is_fixed(b) ? extend_fixed(b, offset)
			      : extend_elastic(b, offset + size);
	if (r < 0)
		return r;
	grown = iobuf_get_length(b) > old;
	r = put(b, offset, bytes, size, &done);
	settle_length(b, done && offset + done > old ? offset + done : old);
	if (r < 0) {
		if (grown) /* its times, too, are as they were */
			iobuf_memory_restore(b->fd, &before);
		return r;
	}
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
	if (offset + size <= iobuf_get_length(buffer) &&
	    !has_cache_mode(buffer))
		return put(buffer, offset, bytes, size, ret_size);

	IOBUF_LOCKED(buffer);
	return offset + size <= iobuf_get_length(buffer)
		       ? put(buffer, offset, bytes, size, ret_size)
		       : extend(buffer, offset, bytes, size, ret_size);
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

int iobuf_zero_bytes(struct iobuf *buffer, uint64_t offset, uint64_t size)
{
	const uint64_t capacity = iobuf_get_capacity(buffer);

	if (offset > capacity || size > capacity - offset)
		return -EINVAL;

	IOBUF_LOCKED(buffer);
	return zero(buffer, offset, offset + size);
}

/* What a mapping shows of the last page past the end is zero (mmap(2)). */
static int zero_page_past(struct iobuf *b, uint64_t length)
{
	return zero(b, length, least(iobuf_round_up(length, iobuf_page_bytes()),
				     b->spec.capacity));
}

int iobuf_truncate(struct iobuf *buffer, uint64_t length)
{
	int r = 0;

	if (!iobuf_is_fixed(buffer))
		return iobuf_resize(buffer, length);
	if (length > buffer->spec.capacity)
		return -EFBIG;

	IOBUF_LOCKED(buffer);
	r = length < iobuf_get_length(buffer) ? zero_page_past(buffer, length)
					      : extend_fixed(buffer, length);
	if (r == 0)
		atomic_store(&buffer->length, length);
	return r;
}
