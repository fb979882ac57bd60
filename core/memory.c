/* SPDX-License-Identifier: MIT */
/*
 * memory.c - how memory is obtained: the thin layer over mmap(2), mlock(2),
 * fallocate(2) and madvise(2). Nothing here knows of specifications.
 */
#include "internal.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25 /* Linux 6.1 */
#endif

void iobuf_memory_restore(int fd, const struct stat *before)
{
	const struct timespec times[2] = { before->st_atim, before->st_mtim };

	/* Shrinking does not fail for want of anything; times are a courtesy:
	 * who failed to change a file should not seem to have changed it. */
	if (ftruncate(fd, before->st_size) == 0)
		futimens(fd, times);
}

int iobuf_memory_reserve(int fd, uint64_t from, uint64_t size)
{
	struct stat st;
	int r = 0;

	if (fstat(fd, &st) < 0)
		return -errno;
	/* The size comes first: a tmpfs with huge=within_size allocates a huge
	 * page only where the file reaches over all of it. */
	if (ftruncate(fd, (off_t)size) < 0)
		return -errno;
	if (size > from &&
	    fallocate(fd, 0, (off_t)from, (off_t)(size - from)) < 0)
		r = -errno;
	if (r < 0)
		iobuf_memory_restore(fd, &st);
	return r;
}

static int protection_of(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0)
		return -errno;
	return (flags & O_ACCMODE) == O_RDWR ? PROT_READ | PROT_WRITE
					     : PROT_READ;
}

/* An address range that starts on a huge page, so that huge pages of the file
 * are mapped as such; the kernel aligns only where the file asks for it. */
static void *aligned_range(size_t size)
{
	size_t slack = size >= IOBUF_HUGE_BYTES ? IOBUF_HUGE_BYTES : 0;
	unsigned char *p = mmap(NULL, size + slack, PROT_NONE,
				MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
				0);
	size_t before, after;

	if (p == MAP_FAILED || !slack)
		return p;
	before = (size_t)(iobuf_round_up((uintptr_t)p, IOBUF_HUGE_BYTES) -
			  (uintptr_t)p);
	after = slack - before;
	if (before)
		munmap(p, before);
	if (after)
		munmap(p + before + size, after);
	return p + before;
}

int iobuf_memory_map(int fd, uint64_t size, struct iobuf_mapping *ret_mapping)
{
	int protection = protection_of(fd);
	void *range;

	if (protection < 0)
		return protection;
	if (size == 0 || size > SIZE_MAX - IOBUF_HUGE_BYTES)
		return -ENOMEM;
	range = aligned_range(size);
	if (range == MAP_FAILED)
		return -ENOMEM;
	if (mmap(range, size, protection, MAP_SHARED | MAP_FIXED, fd, 0) ==
	    MAP_FAILED) {
		int error = errno;

		munmap(range, size);
		return -error;
	}
	*ret_mapping = (struct iobuf_mapping){ range, size };
	return 0;
}

int iobuf_memory_remap(struct iobuf_mapping *mapping, uint64_t size)
{
	void *range, *p = mremap(mapping->base, mapping->size, size, 0);

	if (p == MAP_FAILED) { /* something is in the way */
		range = aligned_range(size);
		if (range == MAP_FAILED)
			return -ENOMEM;
		p = mremap(mapping->base, mapping->size, size,
			   MREMAP_MAYMOVE | MREMAP_FIXED, range);
		if (p == MAP_FAILED) {
			munmap(range, size);
			return -ENOMEM;
		}
	}
	*mapping = (struct iobuf_mapping){ p, size };
	return 0;
}

void iobuf_memory_unmap(struct iobuf_mapping *mapping)
{
	if (mapping->base)
		munmap(mapping->base, mapping->size);
	*mapping = (struct iobuf_mapping){ 0 };
}

/*
 * Best effort: whole huge pages where the file's filesystem gave small ones.
 * Only after every page was faulted in: what fallocate(2) reserved is cleared
 * by a fault, and MADV_COLLAPSE would map it as it is, with the bytes of
 * whoever had it before.
 */
static void ask_for_huge_pages(const struct iobuf_mapping *mapping)
{
	size_t whole = mapping->size & ~(IOBUF_HUGE_BYTES - 1);

	if (whole && !((uintptr_t)mapping->base & (IOBUF_HUGE_BYTES - 1)))
		madvise(mapping->base, whole, MADV_COLLAPSE);
}

void iobuf_memory_unwire(const struct iobuf_mapping *mapping)
{
	syscall(SYS_munlock, mapping->base, mapping->size);
}

int iobuf_memory_wire(const struct iobuf_mapping *mapping)
{
	/* On the whole mapping: mremap(2) wants it in one piece. */
	madvise(mapping->base, mapping->size, MADV_HUGEPAGE);
	/* Not by libc's name: sanitizers make a mlock(3) of their own of it,
	 * which locks nothing and succeeds. */
	if (syscall(SYS_mlock, mapping->base, mapping->size) < 0) {
		/* The limit is ENOMEM, or EPERM when it is 0; pages that could
		 * not be had are EAGAIN: all of them are want of memory. */
		iobuf_memory_unwire(mapping);
		return -ENOMEM;
	}
	ask_for_huge_pages(mapping);
	return 0;
}
