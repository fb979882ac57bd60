/* SPDX-License-Identifier: MIT */
/*
 * memory.c - how memory is obtained: the thin layer over mmap(2), mlock(2),
 * fallocate(2) and madvise(2). Nothing here knows of specifications.
 */
#include "internal.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/vfs.h>

void iobuf_memory_restore(int fd, const struct stat *before)
{
	const struct timespec times[2] = { before->st_atim, before->st_mtim };

	/* Shrinking does not fail for want of anything; times are a courtesy:
	 * who failed to change a file should not seem to have changed it. */
	if (ftruncate(fd, before->st_size) == 0)
		futimens(fd, times);
}

static int allocate_unwritten(int fd, uint64_t offset, uint64_t size)
{
	return fallocate(fd, 0, (off_t)offset, (off_t)size) < 0 ? -errno : 0;
}

int iobuf_memory_populate(void *base, uint64_t size)
{
	if (madvise(base, size, MADV_POPULATE_WRITE) == 0)
		return 0;
	return errno == EFAULT ? -ENOSPC : -errno;
}

/* A page of a tmpfs is cleared by the fault that allocates it. */
static int fault_in(int fd, uint64_t offset, uint64_t size)
{
	const uint64_t start = offset & ~(uint64_t)(IOBUF_HUGE_BYTES - 1);
	struct iobuf_mapping m = { 0 };
	uint64_t before;
	int r = iobuf_memory_map_at(fd, start, offset + size - start, &m);

	if (r < 0)
		return r;
	before = (offset - start) & ~(uint64_t)(iobuf_page_bytes() - 1);
	r = iobuf_memory_populate(m.base + before, m.size - before);
	iobuf_memory_unmap(&m);
	return r;
}

int iobuf_allocate_range(int fd, uint64_t offset, uint64_t size)
{
	struct statfs fs;
	int r;

	if (size == 0)
		return 0;
	if (fstatfs(fd, &fs) < 0)
		return -errno;
	if (fs.f_type != TMPFS_MAGIC)
		return allocate_unwritten(fd, offset, size);
	r = fault_in(fd, offset, size);
	/* Linux before 5.14; before 6.1 nothing maps what was not cleared. */
	return r == -EINVAL ? allocate_unwritten(fd, offset, size) : r;
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
	if (size > from)
		r = iobuf_allocate_range(fd, from, size - from);
	if (r == 0)
		return 0;
	if (st.st_blocks == 0) /* no byte of anybody's is in it */
		iobuf_memory_discard(fd, size);
	iobuf_memory_restore(fd, &st);
	return r;
}

int iobuf_memory_discard(int fd, uint64_t size)
{
	const int mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;

	/* What fallocate(2) reserved past the end as well, where the filesystem
	 * takes a range as long. */
	if (fallocate(fd, mode, 0, INT64_MAX) == 0)
		return 0;
	if (errno != EFBIG && errno != EINVAL)
		return -errno;
	return size && fallocate(fd, mode, 0, (off_t)size) < 0 ? -errno : 0;
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
 * are mapped as such; the kernel aligns only where the file asks for it. It has
 * `guard` bytes more on each side. */
static void *aligned_range(size_t size, size_t guard)
{
	size_t slack = size >= IOBUF_HUGE_BYTES ? IOBUF_HUGE_BYTES : 0;
	unsigned char *p = mmap(NULL, size + slack + 2 * guard, PROT_NONE,
				MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
				0);
	size_t before, after;

	if (p == MAP_FAILED)
		return p;
	if (!slack)
		return p + guard;
	before = (size_t)(iobuf_round_up((uintptr_t)p + guard,
					 IOBUF_HUGE_BYTES) -
			  guard - (uintptr_t)p);
	after = slack - before;
	if (before)
		munmap(p, before);
	if (after)
		munmap(p + before + size + 2 * guard, after);
	return p + before + guard;
}

static int map_between(int fd, uint64_t offset, uint64_t size, size_t guard,
		       struct iobuf_mapping *ret_mapping)
{
	struct iobuf_mapping m = { .size = size, .guard = guard };
	int protection = protection_of(fd);
	void *range;

	if (protection < 0)
		return protection;
	if (size == 0 || size > SIZE_MAX - IOBUF_HUGE_BYTES - 2 * guard)
		return -ENOMEM;
	range = aligned_range(size, guard);
	if (range == MAP_FAILED)
		return -ENOMEM;
	m.base = range;
	m.writable = protection & PROT_WRITE;
	if (mmap(range, size, protection, MAP_SHARED | MAP_FIXED, fd,
		 (off_t)offset) == MAP_FAILED) {
		int error = errno;

		iobuf_memory_unmap(&m);
		return -error;
	}
	*ret_mapping = m;
	return 0;
}

int iobuf_memory_map(int fd, uint64_t size, struct iobuf_mapping *ret_mapping)
{
	return map_between(fd, 0, size, 0, ret_mapping);
}

int iobuf_memory_map_at(int fd, uint64_t offset, uint64_t size,
			struct iobuf_mapping *ret_mapping)
{
	return map_between(fd, offset, size, 0, ret_mapping);
}

int iobuf_memory_map_guarded(int fd, uint64_t size,
			     struct iobuf_mapping *ret_mapping)
{
	return map_between(fd, 0, size, iobuf_page_bytes(), ret_mapping);
}

int iobuf_memory_remap(struct iobuf_mapping *mapping, uint64_t size)
{
	void *range, *p = mremap(mapping->base, mapping->size, size, 0);

	if (p == MAP_FAILED) { /* something is in the way */
		range = aligned_range(size, 0);
		if (range == MAP_FAILED)
			return -ENOMEM;
		p = mremap(mapping->base, mapping->size, size,
			   MREMAP_MAYMOVE | MREMAP_FIXED, range);
		if (p == MAP_FAILED) {
			munmap(range, size);
			return -ENOMEM;
		}
	}
	mapping->base = p;
	mapping->size = size;
	return 0;
}

void iobuf_memory_unmap(struct iobuf_mapping *mapping)
{
	if (mapping->base)
		munmap(mapping->base - mapping->guard,
		       mapping->size + 2 * mapping->guard);
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

int iobuf_memory_wire(const struct iobuf_mapping *mapping, bool may_move)
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
	if (may_move)
		ask_for_huge_pages(mapping);
	return 0;
}

int iobuf_memory_residency(const void *base, size_t size,
			   unsigned char *ret_pages)
{
	return mincore((void *)(uintptr_t)base, size, ret_pages) < 0 ? -errno
								     : 0;
}

int iobuf_memory_reopen(int fd)
{
	char path[32];

	if (fd < 0)
		return -1;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return open(path, O_RDONLY | O_CLOEXEC);
}

int iobuf_memory_next_data(int fd, uint64_t from, uint64_t end,
			   uint64_t *ret_from, uint64_t *ret_to)
{
	off_t data = (off_t)from, hole = (off_t)end;

	if (fd >= 0 && (data = lseek(fd, (off_t)from, SEEK_DATA)) < 0) {
		if (errno != ENXIO)
			return -errno;
		data = (off_t)end;
	}
	if (fd >= 0 && (uint64_t)data < end &&
	    (hole = lseek(fd, data, SEEK_HOLE)) < 0)
		return -errno;
	*ret_from = (uint64_t)data < end ? (uint64_t)data : end;
	*ret_to = (uint64_t)hole < end ? (uint64_t)hole : end;
	return 0;
}
