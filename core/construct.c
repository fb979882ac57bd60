/* SPDX-License-Identifier: MIT */
/*
 * construct.c - Apple's constructors. Each turns its arguments into a
 * specification and hands it to iobuf_create_with(); nothing here obtains
 * memory by itself.
 */
#include "internal.h"

#include <sys/uio.h>

static const struct iobuf_extras no_extras = { 0 };

/* Options are exact, as in Apple's calls: an absent bit is off. No cache bit is
 * no cache mode, which the rules tell from one that was named. */
static struct iobuf_spec exact(int32_t task, uint32_t options,
			       uint64_t capacity, uint64_t alignment)
{
	uint32_t given = IOBUF_GIVEN_OPTIONS | IOBUF_GIVEN_TASK |
			 IOBUF_GIVEN_CAPACITY | IOBUF_GIVEN_ALIGNMENT;

	if (!(options & IOBUF_CACHE_MASK))
		given &= ~(uint32_t)IOBUF_GIVEN_CACHE;
	return (struct iobuf_spec){
		.given = given,
		.options = options,
		.task = task,
		.capacity = capacity,
		.alignment = alignment,
	};
}

int iobuf_in_task_with_options_and_tags(int32_t task, uint32_t options,
					uint64_t capacity, uint64_t alignment,
					uint32_t kernel_tag, uint32_t user_tag,
					struct iobuf **ret_buffer)
{
	struct iobuf_spec spec = exact(task, options, capacity, alignment);
	struct iobuf_extras extras = {
		.kernel_tag = kernel_tag,
		.user_tag = user_tag,
	};

	return iobuf_create_with(&spec, &extras, ret_buffer, NULL);
}

int iobuf_in_task_with_options(int32_t task, uint32_t options,
			       uint64_t capacity, uint64_t alignment,
			       struct iobuf **ret_buffer)
{
	struct iobuf_spec spec = exact(task, options, capacity, alignment);

	return iobuf_create_with(&spec, &no_extras, ret_buffer, NULL);
}

int iobuf_with_options(uint32_t options, uint64_t capacity, uint64_t alignment,
		       struct iobuf **ret_buffer)
{
	return iobuf_in_task_with_options(IOBUF_TASK_KERNEL, options, capacity,
					  alignment, ret_buffer);
}

int iobuf_with_capacity(uint64_t capacity, uint32_t direction, bool contiguous,
			struct iobuf **ret_buffer)
{
	if (direction > IOBUF_DIRECTION_INOUT)
		return -EINVAL;
	return iobuf_with_options(direction | IOBUF_UNSHARED |
					  (contiguous ? IOBUF_CONTIGUOUS : 0),
				  capacity, 1, ret_buffer);
}

/* Fill a new buffer with its first bytes. */
static int fill(struct iobuf *b, const unsigned char *bytes, size_t size)
{
	int r = iobuf_set_length(b, 0);

	while (r == 0 && size > 0) {
		size_t added = 0;

		r = iobuf_append_bytes(b, bytes, size, &added);
		if (r == 0 && added == 0)
			r = -EIO;
		bytes += added;
		size -= added;
	}
	return r;
}

int iobuf_with_bytes(const void *bytes, size_t size, uint32_t direction,
		     bool contiguous, struct iobuf **ret_buffer)
{
	struct iobuf *b = NULL;
	int r = iobuf_with_capacity(size, direction, contiguous, &b);

	if (r < 0)
		return r;
	if ((r = fill(b, bytes, size)) < 0) {
		iobuf_release(b);
		return r;
	}
	*ret_buffer = b;
	return 0;
}

/* All of it or an error: where a part was read, the next call says why no more
 * of it can be. */
static int copy_from(pid_t source, uint64_t address, unsigned char *at,
		     size_t size)
{
	while (size > 0) {
		struct iovec local = { at, size };
		struct iovec remote = { (void *)(uintptr_t)address, size };
		ssize_t n = process_vm_readv(source, &local, 1, &remote, 1, 0);

		if (n <= 0)
			return n < 0 ? -errno : -EFAULT;
		at += n;
		address += (uint64_t)n;
		size -= (size_t)n;
	}
	return 0;
}

static int fill_from(struct iobuf *b, pid_t source, uint64_t address,
		     uint64_t size)
{
	void *at = iobuf_get_bytes_no_copy(b, 0, size);
	int r = at ? copy_from(source, address, at, size) : -ENOMEM;

	return r < 0 ? r : iobuf_set_length(b, size);
}

int iobuf_with_copy(int32_t task, uint32_t options, int32_t source,
		    uint64_t address, uint64_t size, struct iobuf **ret_buffer)
{
	struct iobuf *b = NULL;
	int r = iobuf_in_task_with_options(task, options, size, 1, &b);

	if (r < 0)
		return r;
	if (source == IOBUF_TASK_KERNEL)
		source = getpid();
	if ((r = fill_from(b, source, address, size)) < 0) {
		iobuf_release(b);
		return r;
	}
	*ret_buffer = b;
	return 0;
}

int iobuf_in_task_with_physical_mask(int32_t task, uint32_t options,
				     uint64_t capacity, uint64_t mask,
				     struct iobuf **ret_buffer)
{
	struct iobuf_spec spec = exact(task, options, capacity, 1);

	spec.given |= IOBUF_GIVEN_PHYSICAL_MASK;
	spec.physical_mask = mask;
	return iobuf_create_with(&spec, &no_extras, ret_buffer, NULL);
}

int iobuf_in_task_with_guard_pages(int32_t task, uint32_t options,
				   uint64_t capacity,
				   struct iobuf **ret_buffer)
{
	/* Aligned to a page, the capacity is whole pages, and its last byte
	 * lies against the guard. */
	struct iobuf_spec spec =
		exact(task, options, capacity, iobuf_page_bytes());
	const struct iobuf_extras extras = { .guarded = true };

	if (options & (IOBUF_CONTIGUOUS | IOBUF_PAGEABLE))
		return -EINVAL;
	return iobuf_create_with(&spec, &extras, ret_buffer, NULL);
}

uint32_t iobuf_get_kernel_tag(const struct iobuf *buffer)
{
	return buffer->extras.kernel_tag;
}

uint32_t iobuf_get_user_tag(const struct iobuf *buffer)
{
	return buffer->extras.user_tag;
}
