/* SPDX-License-Identifier: MIT */
/*
 * futex.h - sleep until a word of shared memory changes (futex(2)).
 *
 * What spsc_ring.h and triple_buffer.h sleep with, and of use without them: the
 * word lies in memory that several processes map shared, at an address that is a
 * multiple of four. Each side may be in any language that has syscall(2).
 *
 * Header only: nothing to link. Any thread, any process, at any time. A compiler
 * that is told a strict standard (-std=c17 rather than gnu17) needs _GNU_SOURCE.
 */
#ifndef IOBUF_FUTEX_H
#define IOBUF_FUTEX_H

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The end of a wait that begins now: a time of CLOCK_MONOTONIC. */
static inline struct timespec iobuf_futex_deadline(int timeout_ms)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_sec += timeout_ms / 1000;
	t.tv_nsec += timeout_ms % 1000 * 1000000L;
	if (t.tv_nsec >= 1000000000L) {
		t.tv_sec++;
		t.tv_nsec -= 1000000000L;
	}
	return t;
}

/*
 * Sleep while *word is `value`, until somebody wakes it or the deadline; NULL is
 * none. Looking and falling asleep are one step: who changes the word and then
 * wakes it is not missed.
 *
 * Returns 0 when woken, for any reason: look at the word again; -EAGAIN at once
 * when it is not `value`; -ETIMEDOUT, -EINTR.
 */
static inline int iobuf_futex_wait(const uint32_t *word, uint32_t value,
				   const struct timespec *deadline)
{
	if (syscall(SYS_futex, word, FUTEX_WAIT_BITSET, value, deadline, NULL,
		    FUTEX_BITSET_MATCH_ANY) == 0)
		return 0;
	return -errno;
}

/* Wake all who sleep on the word. */
static inline void iobuf_futex_wake(const uint32_t *word)
{
	syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

#ifdef __cplusplus
}
#endif

#endif
