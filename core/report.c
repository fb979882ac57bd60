/* SPDX-License-Identifier: MIT */
/*
 * report.c - what was obtained, as the kernel tells it: mincore(2) for
 * residency, /proc/self/pagemap for frame numbers and huge pages
 * (Documentation/admin-guide/mm/pagemap.rst).
 *
 * A mapped buffer is looked at through its mapping. Of another one, only what
 * its file holds is mapped, a window at a time: a sparse file of terabytes
 * costs no more than its bytes do.
 */
#include "physical.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/vfs.h>

/* PAGEMAP_SCAN of linux/fs.h, Linux 6.7; older headers lack it. */
struct page_region {
	uint64_t start, end, categories;
};

struct pm_scan_arg {
	uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages,
		category_inverted, category_mask, category_anyof_mask,
		return_mask;
};

#ifndef PAGEMAP_SCAN
#define PAGEMAP_SCAN _IOWR('f', 16, struct pm_scan_arg)
#define PAGE_IS_HUGE (1 << 6)
#endif

/* cachestat(2) of Linux 6.5; older headers lack it. */
#ifndef SYS_cachestat
#define SYS_cachestat 451
#endif

struct cachestat_range {
	uint64_t offset, length; /* a length of 0: to the end */
};

struct cachestat {
	uint64_t cached, dirty, writeback, evicted, recently_evicted;
};

/* Pages that are looked at together: mincore and pagemap fill arrays. */
enum { CHUNK_PAGES = 512 };

/* How much of a file is mapped at once; whole huge pages. */
#define WINDOW_BYTES (UINT64_C(64) << 20)

struct survey {
	struct iobuf_report *report;
	int pagemap;       /* -1: frame numbers are hidden from us */
	int scan;          /* pagemap for PAGEMAP_SCAN, which needs no right */
	struct iobuf_runs runs;
};

static void close_cleanup(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

static void unmap_cleanup(struct iobuf_mapping *mapping)
{
	iobuf_memory_unmap(mapping);
}

/* Follow the frames of a chunk that is mapped. */
static int measure_run(struct survey *s, const unsigned char *at, size_t pages)
{
	uint64_t frames[CHUNK_PAGES];
	int r = iobuf_frames_read(s->pagemap, at, pages, frames);

	if (r < 0)
		return r;
	for (size_t i = 0; i < pages; i++)
		iobuf_runs_add(&s->runs, frames[i]);
	return 0;
}

/*
 * Count the resident pages of a chunk, and map each run of them so that pagemap
 * can tell their frames. Only what is in memory already is touched.
 */
static int survey_chunk(struct survey *s, unsigned char *at, size_t pages)
{
	const uint64_t page = iobuf_page_bytes();
	unsigned char in_core[CHUNK_PAGES];
	int r;

	if ((r = iobuf_memory_residency(at, pages * page, in_core)) < 0)
		return r;
	for (size_t i = 0, run; i < pages; i += run ? run : 1) {
		for (run = 0; i + run < pages && (in_core[i + run] & 1);)
			run++;
		if (run)
			madvise(at + i * page, run * page, MADV_POPULATE_READ);
		s->report->resident += run * page;
	}
	return s->pagemap < 0 ? 0 : measure_run(s, at, pages);
}

static void count_huge(struct survey *s, const unsigned char *from, size_t size)
{
	struct page_region regions[64];
	const uint64_t end = (uintptr_t)from + size;

	for (uint64_t at = (uintptr_t)from, next; at < end; at = next) {
		struct pm_scan_arg arg = {
			.size = sizeof(arg),
			.start = at,
			.end = end,
			.vec = (uintptr_t)regions,
			.vec_len = sizeof(regions) / sizeof(regions[0]),
			.category_mask = PAGE_IS_HUGE,
			.return_mask = PAGE_IS_HUGE,
		};
		int n = s->scan < 0 ? -1 : ioctl(s->scan, PAGEMAP_SCAN, &arg);

		if (n < 0) {
			s->report->huge = IOBUF_UNKNOWN;
			return;
		}
		for (int i = 0; i < n; i++)
			s->report->huge += regions[i].end - regions[i].start;
		next = arg.walk_end > at ? arg.walk_end : end;
	}
}

static int survey_mapped(struct survey *s, unsigned char *from, size_t size)
{
	const uint64_t page = iobuf_page_bytes();
	int r = 0;

	for (size_t at = 0; at < size && r == 0; at += CHUNK_PAGES * page) {
		size_t pages = (size - at) / page;

		r = survey_chunk(s, from + at,
				 pages < CHUNK_PAGES ? pages : CHUNK_PAGES);
	}
	if (r == 0 && s->report->huge != IOBUF_UNKNOWN)
		count_huge(s, from, size);
	return r;
}

/* Bytes [from, to) of a file, by windows of it that begin on a huge page. */
static int survey_range(struct survey *s, int fd, uint64_t from, uint64_t to)
{
	int r = 0;

	while (from < to && r == 0) {
		__attribute__((cleanup(unmap_cleanup)))
		struct iobuf_mapping m = { 0 };
		uint64_t start = from & ~(IOBUF_HUGE_BYTES - 1);
		uint64_t end = start + WINDOW_BYTES < to ? start + WINDOW_BYTES
							 : to;

		r = iobuf_memory_map_at(fd, start, end - start, &m);
		if (r == 0)
			r = survey_mapped(s, m.base + (from - start),
					  end - from);
		from = end;
	}
	return r;
}

/* Every range that holds bytes: what is between is not even looked at. */
static int survey_file(struct survey *s, int fd, uint64_t extent)
{
	__attribute__((cleanup(close_cleanup))) int own =
		iobuf_memory_reopen(fd);
	uint64_t from = 0, to = 0;
	int r = 0;

	for (; r == 0 && to < extent; s->runs.previous = 0) {
		r = iobuf_memory_next_data(own, to, extent, &from, &to);
		/* The last page may be more than the file has of it. */
		if (r == 0 && from < to)
			r = survey_range(s, fd, from,
					 iobuf_round_up(to,
							iobuf_page_bytes()));
	}
	return r;
}

static int survey_buffer(struct iobuf *buffer, struct iobuf_report *report)
{
	__attribute__((cleanup(close_cleanup))) int pagemap =
		iobuf_frames_open();
	__attribute__((cleanup(close_cleanup))) int scan =
		open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	struct survey s = { .report = report, .pagemap = pagemap, .scan = scan };
	int r;

	if (buffer->mapping.base)
		r = survey_mapped(&s, buffer->mapping.base,
				  buffer->mapping.size);
	else
		r = survey_file(&s, buffer->fd, iobuf_extent(buffer));
	report->longest_run = pagemap < 0 && report->resident
				      ? IOBUF_UNKNOWN
				      : s.runs.longest * iobuf_page_bytes();
	return r;
}

int iobuf_get_report(struct iobuf *buffer, struct iobuf_report *ret_report)
{
	IOBUF_LOCKED(buffer);
	struct iobuf_report report = { 0 };
	struct stat st;
	int r = 0;

	if (buffer->fd >= 0) {
		if (fstat(buffer->fd, &st) < 0)
			return -errno;
		report.allocated = (uint64_t)st.st_blocks * 512;
	}
	if (buffer->mapping.base || report.allocated)
		r = survey_buffer(buffer, &report);
	if (r < 0)
		return r;
	if (buffer->fd < 0)
		report.allocated = report.resident;
	if (buffer->wirings > 0)
		report.wired = report.resident;
	if (buffer->pin > 0)
		report.pinned = report.resident;
	report.purge_count = buffer->purge_count;
	*ret_report = report;
	return 0;
}

/* Is what a file has allocated in memory, for want of anywhere else? Without
 * swap that is so on a tmpfs, and counting its pages can be spared. */
static bool is_all_in_memory(int fd)
{
	struct statfs fs;
	struct sysinfo info;

	return fstatfs(fd, &fs) == 0 && fs.f_type == TMPFS_MAGIC &&
	       sysinfo(&info) == 0 && info.totalswap == info.freeswap;
}

static uint64_t count_resident(int fd, uint64_t allocated)
{
	/* Below it is cheaper to count than to ask whether it is needed. */
	const uint64_t small = 1 << 20;
	struct cachestat_range all = { 0, 0 };
	struct cachestat pages;

	if (allocated == 0 || (allocated > small && is_all_in_memory(fd)) ||
	    syscall(SYS_cachestat, fd, &all, &pages, 0) < 0)
		return allocated;
	return pages.cached * iobuf_page_bytes();
}

/* Have huge pages mapped as such: by one page of each that is in memory. */
static void map_huge(const struct iobuf_mapping *m)
{
	const size_t page = iobuf_page_bytes();
	unsigned char in_core;

	/* Nobody is to take this for a use of the memory. */
	madvise(m->base, m->size, MADV_RANDOM);
	for (size_t at = 0; at < m->size; at += IOBUF_HUGE_BYTES)
		if (iobuf_memory_residency(m->base + at, page, &in_core) == 0 &&
		    (in_core & 1))
			madvise(m->base + at, page, MADV_POPULATE_READ);
}

/* Whole huge pages up to `end`, a window of the file at a time. */
static int survey_huge(struct survey *s, int fd, uint64_t end)
{
	uint64_t at = 0, start, stop;
	off_t data;
	int r;

	for (; at < end && (data = lseek(fd, (off_t)at, SEEK_DATA)) >= 0;
	     at = stop) {
		__attribute__((cleanup(unmap_cleanup)))
		struct iobuf_mapping m = { 0 };

		start = (uint64_t)data & ~(IOBUF_HUGE_BYTES - 1);
		stop = start + WINDOW_BYTES < end ? start + WINDOW_BYTES : end;
		if (start >= end)
			break;
		if ((r = iobuf_memory_map_at(fd, start, stop - start, &m)) < 0)
			return r;
		map_huge(&m);
		count_huge(s, m.base, m.size);
	}
	return 0;
}

int iobuf_get_file_usage(int fd, struct iobuf_usage *ret_usage)
{
	__attribute__((cleanup(close_cleanup))) int own = -1;
	__attribute__((cleanup(close_cleanup))) int scan = -1;
	struct iobuf_report report = { 0 };
	struct survey s = { .report = &report };
	struct stat st;
	uint64_t whole;
	int r;

	if (fstat(fd, &st) < 0)
		return -errno;
	report.allocated = (uint64_t)st.st_blocks * 512;
	report.resident = count_resident(fd, report.allocated);
	whole = (uint64_t)st.st_size & ~(IOBUF_HUGE_BYTES - 1);
	if (whole && report.resident >= IOBUF_HUGE_BYTES) {
		/* A position of its own, to look for data with. */
		if ((own = iobuf_memory_reopen(fd)) < 0)
			return -errno;
		s.scan = scan = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
		if ((r = survey_huge(&s, own, whole)) < 0)
			return r;
	}
	*ret_usage = (struct iobuf_usage){ report.allocated, report.resident,
					   report.huge };
	return 0;
}

/* Pages of the run that begins at `at`; 0 where nothing is mapped in. */
static int walk_run(int pagemap, const unsigned char *at, uint64_t pages,
		    uint64_t *ret_first, uint64_t *ret_run)
{
	uint64_t frames[CHUNK_PAGES], first = 0, run = 0;

	for (uint64_t n; run < pages; run += n) {
		uint64_t want = pages - run < CHUNK_PAGES ? pages - run
							  : CHUNK_PAGES;
		int r = iobuf_frames_read(pagemap, at + run * iobuf_page_bytes(),
					  want, frames);

		if (r < 0)
			return r;
		first = run ? first : frames[0];
		for (n = 0; n < want && frames[n] &&
			    frames[n] == first + run + n; n++)
			;
		if (n < want) {
			run += n;
			break;
		}
	}
	*ret_first = first;
	*ret_run = run;
	return 0;
}

int iobuf_get_physical_segment(struct iobuf *buffer, uint64_t offset,
			       uint64_t *ret_address, uint64_t *ret_size)
{
	IOBUF_LOCKED(buffer);
	__attribute__((cleanup(close_cleanup))) int pagemap = -1;
	const uint64_t capacity = iobuf_get_capacity(buffer);
	const uint64_t page = iobuf_page_bytes();
	uint64_t within, first, run;
	int r;

	if (offset >= capacity)
		return -EINVAL;
	if ((pagemap = iobuf_frames_open()) < 0)
		return pagemap;
	if ((r = iobuf_map_locked(buffer)) < 0)
		return r;
	within = offset & (page - 1);
	if ((r = walk_run(pagemap, buffer->mapping.base + (offset - within),
			  iobuf_round_up(capacity, page) / page -
				  offset / page,
			  &first, &run)) < 0)
		return r;
	if (run == 0)
		return -ENXIO;
	*ret_address = first * page + within;
	*ret_size = run * page - within < capacity - offset
			    ? run * page - within
			    : capacity - offset;
	return 0;
}
