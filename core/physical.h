/* SPDX-License-Identifier: MIT */
/*
 * physical.h - physical memory, as far as user space can tell and choose it.
 *
 * frames.c reads frame numbers, contiguous.c makes physical runs, pin.c keeps
 * them from moving. None of it is seen outside libiobuf.
 */
#ifndef IOBUF_PHYSICAL_H
#define IOBUF_PHYSICAL_H

#include "internal.h"

/* frames.c: open /proc/self/pagemap. A descriptor; -EPERM when the kernel hides
 * frame numbers from us (it takes CAP_SYS_ADMIN); errors of open(2). */
int iobuf_frames_open(void);

/* The frames behind `count` pages from `address` on; 0 where nothing is mapped
 * there. 0 or errors of pread(2). */
int iobuf_frames_read(int pagemap, const void *address, size_t count,
		      uint64_t *ret_frames);

/* Runs among frames that are looked at one after the other, in pages. Starts
 * zeroed; a frame of 0 ends a run. */
struct iobuf_runs {
	uint64_t previous, current, longest;
};

static inline void iobuf_runs_add(struct iobuf_runs *runs, uint64_t frame)
{
	bool follows = frame && frame == runs->previous + 1;

	runs->current = !frame ? 0 : follows ? runs->current + 1 : 1;
	runs->previous = frame;
	if (runs->current > runs->longest)
		runs->longest = runs->current;
}

/* What a buffer's physical memory has to be. */
struct iobuf_physical {
	bool contiguous;    /* one run */
	uint64_t alignment; /* of the start, in bytes */
	uint64_t mask;      /* bits an address may have; 0: any */
};

/* May a page of `want` be in this frame? Frame 0 is none. */
bool iobuf_frame_fits(uint64_t frame, const struct iobuf_physical *want);

/* Walk a mapping: is it what `want` says? *ret_longest: bytes of the longest
 * run. 0; -ENOMEM when it is not; errors of pread(2). */
int iobuf_frames_verify(int pagemap, const struct iobuf_mapping *mapping,
			const struct iobuf_physical *want,
			uint64_t *ret_longest);

/*
 * contiguous.c: give an empty file on a tmpfs `size` bytes of memory as `want`
 * says. Builds are serialised; the thread is bound to one CPU meanwhile.
 * On failure the file is as it was. *ret_longest: the longest run seen.
 * 0; -ENOMEM not to be had; -EPERM; -EINTR; -ENOSPC the filesystem is full.
 */
int iobuf_physical_build(int fd, uint64_t size, const struct iobuf_physical *want,
			 uint64_t *ret_longest);

/*
 * area.c: a file that is mapped whole, whose huge pages are told apart by
 * index. Holes cost nothing.
 */
enum { IOBUF_PAGES_PER_HUGE = 512 };

struct iobuf_area {
	int fd; /* -1: closed */
	struct iobuf_mapping mapping;
};

/* A nameless file on a tmpfs of our own that gives huge pages. */
int iobuf_physical_file(void);

int iobuf_area_open(struct iobuf_area *area, uint64_t size);
void iobuf_area_close(struct iobuf_area *area);

/* Give a huge page back. */
void iobuf_area_punch(const struct iobuf_area *area, size_t index);

/*
 * Take one, cleared, and tell its frame; compacts memory if it has to. -ENOMEM:
 * there was none, only small pages or nothing; -ENOSPC: the file's filesystem
 * is full. The place is empty again then.
 */
int iobuf_area_fault(int pagemap, const struct iobuf_area *area, size_t index,
		     uint64_t *ret_frame);

/* The same for pages whose bytes nobody will see. */
int iobuf_area_reserve(int pagemap, const struct iobuf_area *area, size_t index,
		       uint64_t *ret_frame);

/*
 * pin.c: take a long-term pin on memory, so that neither compaction nor a
 * gigantic page's allocation moves it. 0 and a handle above 0; errors of
 * io_uring_register(2).
 */
int iobuf_pin(const struct iobuf_mapping *mapping, int *ret_pin);
void iobuf_unpin(int pin);

#endif
