/* SPDX-License-Identifier: MIT */
/*
 * report.c - what was obtained, as the kernel tells it: mincore(2) for
 * residency, /proc/self/pagemap for frame numbers and huge pages
 * (Documentation/admin-guide/mm/pagemap.rst).
 */
#include "internal.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22 /* Linux 5.14 */
#endif

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

#define PAGEMAP_PRESENT (UINT64_C(1) << 63)
#define PAGEMAP_FRAME_MASK ((UINT64_C(1) << 55) - 1)

enum { CHUNK_PAGES = 4096 };

static void close_cleanup(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

static void unmap_cleanup(struct iobuf_mapping *mapping)
{
	iobuf_memory_unmap(mapping);
}

/*
 * Count resident pages, and map each run of them, so that pagemap can tell
 * their frames. Only what is in memory already is touched.
 */
static int count_resident(const struct iobuf_mapping *m, uint64_t *ret_resident)
{
	const uint64_t page = iobuf_page_bytes();
	unsigned char in_core[CHUNK_PAGES];
	uint64_t pages = 0;

	for (size_t at = 0; at < m->size; at += CHUNK_PAGES * page) {
		size_t n = m->size - at < CHUNK_PAGES * page
				   ? (m->size - at) / page
				   : CHUNK_PAGES;

		if (mincore(m->base + at, n * page, in_core) < 0)
			return -errno;
		for (size_t i = 0, run; i < n; i += run ? run : 1) {
			for (run = 0; i + run < n && (in_core[i + run] & 1);)
				run++;
			if (run)
				madvise(m->base + at + i * page, run * page,
					MADV_POPULATE_READ);
			pages += run;
		}
	}
	*ret_resident = pages * page;
	return 0;
}

static uint64_t count_huge(int pagemap, const struct iobuf_mapping *m)
{
	struct page_region regions[64];
	const uint64_t end = (uintptr_t)m->base + m->size;
	uint64_t at = (uintptr_t)m->base, huge = 0;

	while (at < end) {
		struct pm_scan_arg arg = {
			.size = sizeof(arg),
			.start = at,
			.end = end,
			.vec = (uintptr_t)regions,
			.vec_len = sizeof(regions) / sizeof(regions[0]),
			.category_mask = PAGE_IS_HUGE,
			.return_mask = PAGE_IS_HUGE,
		};
		int n = ioctl(pagemap, PAGEMAP_SCAN, &arg);

		if (n < 0)
			return IOBUF_UNKNOWN;
		for (int i = 0; i < n; i++)
			huge += regions[i].end - regions[i].start;
		if (arg.walk_end <= at)
			break;
		at = arg.walk_end;
	}
	return huge;
}

/* Longest stretch of frames that follow each other. The kernel shows frame 0
 * to those who may not know. */
static uint64_t measure_run(int pagemap, const struct iobuf_mapping *m)
{
	const uint64_t page = iobuf_page_bytes();
	uint64_t entries[512];
	uint64_t previous = 0, run = 0, longest = 0, frames = 0;

	for (size_t at = 0; at < m->size;) {
		size_t want = (m->size - at) / page;
		ssize_t got;

		if (want > 512)
			want = 512;
		got = pread(pagemap, entries, want * sizeof(entries[0]),
			    (off_t)(((uintptr_t)m->base + at) / page *
				    sizeof(entries[0])));
		if (got < (ssize_t)sizeof(entries[0]))
			return IOBUF_UNKNOWN;
		want = (size_t)got / sizeof(entries[0]);
		for (size_t i = 0; i < want; i++) {
			uint64_t frame = entries[i] & PAGEMAP_PRESENT
						 ? entries[i] & PAGEMAP_FRAME_MASK
						 : 0;

			frames += frame != 0;
			run = !frame ? 0 : frame == previous + 1 ? run + 1 : 1;
			previous = frame;
			if (run > longest)
				longest = run;
		}
		at += want * page;
	}
	return frames ? longest * page : IOBUF_UNKNOWN;
}

static int fill_report(const struct iobuf_mapping *m, bool wired,
		       struct iobuf_report *report)
{
	__attribute__((cleanup(close_cleanup))) int pagemap =
		open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	int r = count_resident(m, &report->resident);

	if (r < 0)
		return r;
	report->wired = wired ? report->resident : 0;
	report->huge = pagemap < 0 ? IOBUF_UNKNOWN : count_huge(pagemap, m);
	if (report->resident == 0)
		report->longest_run = 0;
	else
		report->longest_run = pagemap < 0 ? IOBUF_UNKNOWN
						  : measure_run(pagemap, m);
	return 0;
}

int iobuf_get_report(struct iobuf *buffer, struct iobuf_report *ret_report)
{
	IOBUF_LOCKED(buffer);
	__attribute__((cleanup(unmap_cleanup))) struct iobuf_mapping own = { 0 };
	struct iobuf_report report = { 0 };
	const uint64_t extent = iobuf_extent(buffer);
	struct stat st;
	int r = 0;

	if (buffer->fd >= 0) {
		if (fstat(buffer->fd, &st) < 0)
			return -errno;
		report.allocated = (uint64_t)st.st_blocks * 512;
	}
	if (buffer->mapping.base)
		r = fill_report(&buffer->mapping, buffer->wirings > 0, &report);
	else if (extent && report.allocated &&
		 (r = iobuf_memory_map(buffer->fd, extent, &own)) == 0)
		r = fill_report(&own, false, &report);
	if (r < 0)
		return r;
	if (buffer->fd < 0)
		report.allocated = report.resident;
	*ret_report = report;
	return 0;
}
