/* SPDX-License-Identifier: MIT */
/*
 * triple_buffer.h - the latest frame of one producer for one consumer, in shared
 * memory.
 *
 * The producer always has a frame to write into and never waits; the consumer
 * always gets the newest complete frame, keeps it for as long as it likes, and
 * does not see those that it was too slow for. For what is overtaken by the next:
 * camera frames, positions, states. (spsc_ring.h loses nothing.)
 * core/python/iobuf.py is the same in Python.
 *
 *	iobuf_triple_buffer_init(memory, bytes, frame_bytes);
 *	iobuf_triple_buffer_attach(&camera, memory, bytes, frame_bytes,
 *				   IOBUF_TRIPLE_BUFFER_PRODUCER);
 *	for (;;) {
 *		iobuf_triple_buffer_begin(&camera, &frame);
 *		... write frame_bytes there
 *		iobuf_triple_buffer_publish(&camera);
 *	}
 *
 * and in the consumer, after attaching as IOBUF_TRIPLE_BUFFER_CONSUMER
 *
 *	if (iobuf_triple_buffer_acquire(&viewer, &frame, &sequence) == 0)
 *		... read it: it stays until the next acquire, or release
 *
 * Give the buffer a capacity: a peer cannot shorten it then, and no access to
 * the mapping can fail.
 *
 * Layout, in the machine's own byte order:
 *
 *	   0  magic        32 bits, IOBUF_TRIPLE_BUFFER_MAGIC, written last by init
 *	   8  frame_bytes  64 bits, size of a frame
 *	 128  latest       32 bits: which frame was published last in bits 0 and 1
 *	                   (0 to 2; 3: none), and above them how many were, modulo
 *	                   2^30; the producer's
 *	 256  reading      32 bits: which frame the consumer holds (3: none); the
 *	                   consumer's
 *	 260  consumer_waits  32 bits: not 0: it may be asleep; the consumer's
 *	4096  the three frames, each frame_bytes rounded up to a multiple of 4096:
 *	      aligned for O_DIRECT and for any element
 *
 * How it works. The producer writes into the frame that is neither the latest nor
 * the one that is read: of three there always is one. The consumer says which one
 * it is going to read, and then looks whether that is the latest still; if so the
 * producer has to see what it said before it chooses again. If not, it tries
 * again with the newer one. It takes loads and stores alone, and no exchange, so
 * that it can be spoken by languages that have no other; and all that there is to
 * know lies in the memory, so that each side can be replaced.
 *
 * Memory ordering. `latest` is stored and `reading` loaded by the producer,
 * `reading` stored and `latest` loaded by the consumer, each in sequentially
 * consistent order: each store is seen before the load that follows it. (Another
 * implementation needs a full fence there.) All that the producer wrote before
 * publish is seen after acquire, and a frame is written to again only after the
 * last read of it.
 *
 * When the producer dies the latest frame stays the latest, and what it was
 * writing is not seen. When the consumer dies, the frame that it held is not
 * written to until another attaches; the producer has two others. There is nothing
 * to clean up: another process attaches as that side. A peer that is dead and one
 * that is slow look the same: see the sequence numbers, or the file.
 *
 * A hostile peer, one that writes anything into the memory at any time, can hand
 * over rubbish, also while it is looked at, or nothing; it cannot make this side
 * touch a byte outside the memory that was attached: the geometry is checked once
 * and kept in private, a frame's number is checked at each load. Nor can it keep
 * a call from returning. Two producers, or two consumers, tear frames, and
 * nothing else.
 *
 * Header only: nothing to link. C and C++, gcc and clang.
 */
#ifndef IOBUF_TRIPLE_BUFFER_H
#define IOBUF_TRIPLE_BUFFER_H

#include <iobuf/futex.h>

#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define IOBUF_TRIPLE_BUFFER_MAGIC 0x31425449u /* "ITB1" on little endian */
#define IOBUF_TRIPLE_BUFFER_NONE  3u          /* no frame */
#define IOBUF_TRIPLE_BUFFER_TRIES 1000        /* of one acquire */

/* What lies in the shared memory: see above. */
struct iobuf_triple_buffer_shared {
	uint32_t magic;
	uint32_t unused_word;
	uint64_t frame_bytes;
	uint32_t unused[28];
	uint32_t latest;
	uint32_t producer_unused[31];
	uint32_t reading;
	uint32_t consumer_waits;
	uint32_t consumer_unused[958];
};

static_assert(offsetof(struct iobuf_triple_buffer_shared, latest) == 128,
	      "layout");
static_assert(offsetof(struct iobuf_triple_buffer_shared, reading) == 256,
	      "layout");
static_assert(sizeof(struct iobuf_triple_buffer_shared) == 4096, "layout");

enum iobuf_triple_buffer_side {
	IOBUF_TRIPLE_BUFFER_PRODUCER,
	IOBUF_TRIPLE_BUFFER_CONSUMER,
};

/*
 * One side, in private memory of the process that attached it. One thread at a
 * time uses it. frame_bytes may be read; the rest is for the functions below. It
 * holds nothing that would have to be released.
 */
struct iobuf_triple_buffer {
	uint64_t frame_bytes;
	size_t stride; /* from a frame to the next one */
	struct iobuf_triple_buffer_shared *shared;
	uint32_t word;  /* `latest`: of the producer as it stored it, of the
			   consumer that of the frame it got last */
	uint32_t frame; /* that the producer writes */
	enum iobuf_triple_buffer_side side;
};

/*
 * How many bytes a triple buffer takes: 0 when frame_bytes is 0, or it does not
 * fit.
 */
static inline size_t iobuf_triple_buffer_bytes(uint64_t frame_bytes)
{
	const uint64_t page = sizeof(struct iobuf_triple_buffer_shared);

	if (frame_bytes == 0 || frame_bytes > SIZE_MAX / 8 - page)
		return 0;
	return (size_t)(page + 3 * ((frame_bytes + page - 1) / page * page));
}

/*
 * Make one without a frame in `bytes` of memory, which begin at a multiple of 8,
 * as those of each mapping do. Once, by whoever makes the buffer, and before
 * anybody has attached it.
 *
 * Returns 0; -EINVAL when iobuf_triple_buffer_bytes() of it is 0 or more than
 * `bytes`, or the memory is not aligned.
 */
static inline int iobuf_triple_buffer_init(void *memory, size_t bytes,
					   uint64_t frame_bytes)
{
	struct iobuf_triple_buffer_shared *shared =
		(struct iobuf_triple_buffer_shared *)memory;
	const size_t needed = iobuf_triple_buffer_bytes(frame_bytes);

	if (needed == 0 || needed > bytes || (uintptr_t)memory % 8)
		return -EINVAL;
	__atomic_store_n(&shared->magic, 0, __ATOMIC_SEQ_CST);
	shared->frame_bytes = frame_bytes;
	shared->latest = shared->reading = IOBUF_TRIPLE_BUFFER_NONE;
	shared->consumer_waits = 0;
	__atomic_store_n(&shared->magic, IOBUF_TRIPLE_BUFFER_MAGIC,
			 __ATOMIC_RELEASE);
	return 0;
}

/* A word of `latest` that can be: of a frame, or of none because of no frame yet. */
static inline int iobuf_triple_buffer_is_word(uint32_t word)
{
	return (word & 3) != IOBUF_TRIPLE_BUFFER_NONE ||
	       word == IOBUF_TRIPLE_BUFFER_NONE;
}

/*
 * Become one side of the triple buffer in `bytes` of memory: those that are
 * mapped, which may be more than it takes.
 *
 * frame_bytes  the size that frames are expected to have, so that others are
 *              refused; 0 takes any: see buffer->frame_bytes then.
 * side         nobody else is attached as that one; who was has ended, or will not
 *              use it again. A producer goes on with the sequence numbers of the
 *              one before; a consumer holds no frame, and the latest is new to it.
 *
 * The memory has to stay mapped for as long as it is used.
 *
 * Returns 0; -EAGAIN where none was made yet: try again; -EPROTO when what is
 * there is not a triple buffer, has other frames, or does not fit into `bytes`;
 * -EINVAL when the memory is too small for any, or is not aligned. `buffer` is
 * untouched on failure.
 */
static inline int
iobuf_triple_buffer_attach(struct iobuf_triple_buffer *buffer, void *memory,
			   size_t bytes, uint64_t frame_bytes,
			   enum iobuf_triple_buffer_side side)
{
	struct iobuf_triple_buffer b;
	uint32_t magic;
	size_t needed;

	if (bytes < sizeof(*b.shared) || (uintptr_t)memory % 8)
		return -EINVAL;
	b.shared = (struct iobuf_triple_buffer_shared *)memory;
	magic = __atomic_load_n(&b.shared->magic, __ATOMIC_ACQUIRE);
	if (magic != IOBUF_TRIPLE_BUFFER_MAGIC)
		return magic == 0 ? -EAGAIN : -EPROTO;
	/* Looked at once: a peer may change it between two looks. */
	b.frame_bytes =
		__atomic_load_n(&b.shared->frame_bytes, __ATOMIC_RELAXED);
	needed = iobuf_triple_buffer_bytes(b.frame_bytes);
	if (needed == 0 || needed > bytes ||
	    (frame_bytes && frame_bytes != b.frame_bytes))
		return -EPROTO;
	b.stride = (needed - sizeof(*b.shared)) / 3;
	b.word = __atomic_load_n(&b.shared->latest, __ATOMIC_ACQUIRE);
	if (!iobuf_triple_buffer_is_word(b.word))
		return -EPROTO;
	b.frame = IOBUF_TRIPLE_BUFFER_NONE;
	b.side = side;
	if (side == IOBUF_TRIPLE_BUFFER_CONSUMER) {
		b.word = IOBUF_TRIPLE_BUFFER_NONE;
		__atomic_store_n(&b.shared->reading, IOBUF_TRIPLE_BUFFER_NONE,
				 __ATOMIC_RELEASE);
		__atomic_store_n(&b.shared->consumer_waits, 0,
				 __ATOMIC_RELAXED);
	}
	*buffer = b;
	return 0;
}

static inline void *
iobuf_triple_buffer_frame(const struct iobuf_triple_buffer *buffer,
			  uint32_t frame)
{
	return (unsigned char *)(buffer->shared + 1) + frame * buffer->stride;
}

/*
 * The producer: where the next frame is to be written, frame_bytes at a multiple
 * of 4096 from the start of the memory. What is there is some earlier frame. It
 * is the producer's until iobuf_triple_buffer_publish(). Never blocks.
 *
 * Returns 0; -EBADF on the consumer's side.
 */
static inline int iobuf_triple_buffer_begin(struct iobuf_triple_buffer *buffer,
					    void **ret_frame)
{
	uint32_t reading;

	if (buffer->side != IOBUF_TRIPLE_BUFFER_PRODUCER)
		return -EBADF;
	/* After the store of publish, in sequentially consistent order. */
	reading = __atomic_load_n(&buffer->shared->reading, __ATOMIC_SEQ_CST);
	for (buffer->frame = 0; buffer->frame == (buffer->word & 3) ||
				buffer->frame == reading;)
		buffer->frame++; /* at most to 2 */
	*ret_frame = iobuf_triple_buffer_frame(buffer, buffer->frame);
	return 0;
}

/* Make the frame that begin gave the latest one. Only after it returned 0. */
static inline void
iobuf_triple_buffer_publish(struct iobuf_triple_buffer *buffer)
{
	buffer->word = (((buffer->word >> 2) + 1) << 2) | buffer->frame;
	__atomic_store_n(&buffer->shared->latest, buffer->word,
			 __ATOMIC_SEQ_CST);
}

/*
 * The consumer: the latest frame, in place, if it is newer than the one that it
 * got before, which it no longer holds then. It may be read until the next acquire
 * that does not return -EAGAIN, or release. Never blocks.
 *
 * ret_sequence  receives how many frames were published up to this one, modulo
 *               2^30: the difference from the one before, less one, was skipped.
 *               NULL where it is of no interest.
 *
 * Returns 0; -EAGAIN when there is no newer one: the one before is held still;
 * -EBUSY when each of many looks found yet another one, because frames are
 * published faster than this side can look, or by a hostile peer: none is held,
 * try again; -EPROTO when what the peer says cannot be: none is held; -EBADF on
 * the producer's side.
 */
static inline int
iobuf_triple_buffer_acquire(struct iobuf_triple_buffer *buffer,
			    const void **ret_frame, uint32_t *ret_sequence)
{
	struct iobuf_triple_buffer_shared *shared = buffer->shared;
	uint32_t word = __atomic_load_n(&shared->latest, __ATOMIC_ACQUIRE);

	if (buffer->side != IOBUF_TRIPLE_BUFFER_CONSUMER)
		return -EBADF;
	if (word == buffer->word || word == IOBUF_TRIPLE_BUFFER_NONE)
		return -EAGAIN;
	for (int i = 0; i < IOBUF_TRIPLE_BUFFER_TRIES; i++) {
		const uint32_t frame = word & 3;
		uint32_t now;

		if (frame == IOBUF_TRIPLE_BUFFER_NONE)
			return -EPROTO;
		__atomic_store_n(&shared->reading, frame, __ATOMIC_SEQ_CST);
		now = __atomic_load_n(&shared->latest, __ATOMIC_SEQ_CST);
		if (now == word) {
			buffer->word = word;
			*ret_frame = iobuf_triple_buffer_frame(buffer, frame);
			if (ret_sequence)
				*ret_sequence = word >> 2;
			return 0;
		}
		word = now;
	}
	return -EBUSY;
}

/*
 * The consumer holds no frame from now on. There is no need to before the next
 * acquire.
 */
static inline void
iobuf_triple_buffer_release(struct iobuf_triple_buffer *buffer)
{
	__atomic_store_n(&buffer->shared->reading, IOBUF_TRIPLE_BUFFER_NONE,
			 __ATOMIC_RELEASE);
}

/*
 * The consumer sleeps until there is a newer frame than the one that it got last.
 * It returns in time only if the producer calls iobuf_triple_buffer_wake(); a
 * negative timeout is none.
 *
 * Returns 0 when there is one; -ETIMEDOUT, -EINTR (a signal handler ran); -EBADF
 * on the producer's side.
 */
static inline int iobuf_triple_buffer_wait(struct iobuf_triple_buffer *buffer,
					   int timeout_ms)
{
	struct iobuf_triple_buffer_shared *shared = buffer->shared;
	const int forever = timeout_ms < 0;
	const struct timespec deadline =
		iobuf_futex_deadline(forever ? 0 : timeout_ms);
	int err = 0;

	if (buffer->side != IOBUF_TRIPLE_BUFFER_CONSUMER)
		return -EBADF;
	while (err == 0 || err == -EAGAIN) {
		/* Whoever publishes after this sees the word. */
		__atomic_exchange_n(&shared->consumer_waits, 1,
				    __ATOMIC_SEQ_CST);
		if (__atomic_load_n(&shared->latest, __ATOMIC_ACQUIRE) !=
		    buffer->word)
			break;
		err = iobuf_futex_wait(&shared->latest, buffer->word,
				       forever ? NULL : &deadline);
	}
	__atomic_store_n(&shared->consumer_waits, 0, __ATOMIC_RELAXED);
	return err == -EAGAIN ? 0 : err;
}

/*
 * The producer wakes a consumer that sleeps in iobuf_triple_buffer_wait(), after
 * publish. A system call only when one does.
 */
static inline void iobuf_triple_buffer_wake(struct iobuf_triple_buffer *buffer)
{
	/* To read it by adding nothing orders it after `latest`. */
	if (__atomic_fetch_add(&buffer->shared->consumer_waits, 0,
			       __ATOMIC_SEQ_CST))
		iobuf_futex_wake(&buffer->shared->latest);
}

#ifdef __cplusplus
}
#endif

#endif
