/* SPDX-License-Identifier: MIT */
/*
 * frames.c - page frame numbers, from /proc/self/pagemap
 * (Documentation/admin-guide/mm/pagemap.rst).
 */
#include "physical.h"

#include <fcntl.h>

#define PAGEMAP_PRESENT (UINT64_C(1) << 63)
#define PAGEMAP_FRAME_MASK ((UINT64_C(1) << 55) - 1)

int iobuf_frames_read(int pagemap, const void *address, size_t count,
		      uint64_t *ret_frames)
{
	off_t at = (off_t)((uintptr_t)address / iobuf_page_bytes() *
			   sizeof(ret_frames[0]));
	size_t size = count * sizeof(ret_frames[0]);
	ssize_t n = pread(pagemap, ret_frames, size, at);

	if (n < 0)
		return -errno;
	if ((size_t)n != size)
		return -EIO;
	for (size_t i = 0; i < count; i++)
		ret_frames[i] = ret_frames[i] & PAGEMAP_PRESENT
					? ret_frames[i] & PAGEMAP_FRAME_MASK
					: 0;
	return 0;
}

int iobuf_frames_open(void)
{
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	uint64_t frame = 0;
	/* Our stack is in memory: a frame of 0 is one that is hidden. */
	int r = fd < 0 ? -errno : iobuf_frames_read(fd, &frame, 1, &frame);

	if (r == 0 && frame == 0)
		r = -EPERM;
	if (r < 0 && fd >= 0)
		close(fd);
	return r < 0 ? r : fd;
}

bool iobuf_frame_fits(uint64_t frame, const struct iobuf_physical *want)
{
	/* The mask's low zero bits are an alignment of the start. */
	const uint64_t lowest = want->mask & -want->mask;
	const uint64_t allowed = want->mask | (lowest - 1);

	return frame && (!want->mask || !(frame * iobuf_page_bytes() & ~allowed));
}

int iobuf_frames_verify(int pagemap, const struct iobuf_mapping *mapping,
			const struct iobuf_physical *want, uint64_t *ret_longest)
{
	const uint64_t page = iobuf_page_bytes();
	const size_t pages = mapping->size / page;
	struct iobuf_runs runs = { 0 };
	uint64_t frames[512];
	bool fits = true;

	for (size_t at = 0, n; at < pages; at += n) {
		int r;

		n = pages - at < 512 ? pages - at : 512;
		r = iobuf_frames_read(pagemap, mapping->base + at * page, n,
				      frames);
		if (r < 0)
			return r;
		if (at == 0 && want->alignment > page &&
		    (frames[0] * page & (want->alignment - 1)))
			fits = false;
		for (size_t i = 0; i < n; i++) {
			fits = fits && iobuf_frame_fits(frames[i], want);
			iobuf_runs_add(&runs, frames[i]);
		}
	}
	*ret_longest = runs.longest * page;
	return fits && (!want->contiguous || runs.longest == pages) ? 0 : -ENOMEM;
}
