/* SPDX-License-Identifier: MIT */
/*
 * spsc_ring.h - a single-producer single-consumer ring in shared memory.
 *
 * Elements of one size go from one thread to another one, of the same process or
 * of another, in order and each once. Neither side waits for the other, takes a
 * lock or enters the kernel, unless it asks to sleep. core/python/iobuf.py is the
 * same in Python.
 *
 *	int fd = open("frames", O_RDWR | O_CREAT, 0600);  // a file of bufferfs,
 *	fsetxattr(fd, "user.iobuf", "wired,capacity=1M", 17, 0); // or a memfd
 *	void *memory = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_SHARED,
 *			    fd, 0);
 *	struct iobuf_spsc_ring ring;
 *
 *	iobuf_spsc_ring_init(memory, 1 << 20, sizeof(struct message), 1024);
 *	iobuf_spsc_ring_attach(&ring, memory, 1 << 20, sizeof(struct message),
 *			       IOBUF_SPSC_PRODUCER);
 *	if (iobuf_spsc_ring_push(&ring, &message) == -EAGAIN)
 *		... the ring is full: drop it, or iobuf_spsc_ring_wait()
 *
 * and in the consumer, after attaching as IOBUF_SPSC_CONSUMER
 *
 *	while (iobuf_spsc_ring_wait(&ring, -1) == 0)
 *		while (iobuf_spsc_ring_pop(&ring, &message) == 0)
 *			...
 *
 * Give the buffer a capacity: a peer cannot shorten it then, and no access to
 * the mapping can fail.
 *
 * Layout. All fields are 32-bit words in the machine's own byte order, each
 * written by one side; what the two sides write is 128 bytes apart, so that no
 * cache line, nor a pair of them, is fought for.
 *
 *	  0  magic       IOBUF_SPSC_RING_MAGIC, written last by init
 *	  4  slot_bytes  size of an element
 *	  8  slots       how many: a power of two
 *	128  head        elements ever put in, modulo 2^32; the producer's
 *	132  producer_waits  not 0: it may be asleep; the producer's
 *	256  tail        elements ever taken out, modulo 2^32; the consumer's
 *	260  consumer_waits  not 0: it may be asleep; the consumer's
 *	384  the slots, each slot_bytes rounded up to a multiple of 8: element n is
 *	     in slot n modulo `slots`
 *
 * The elements from tail up to head are the consumer's, the other slots the
 * producer's. Choose a multiple of 64 as slot_bytes where elements are handed
 * over one by one, or the two sides fight for the line that two slots share.
 *
 * Memory ordering. A side hands slots over by a store of its index with release
 * semantics, and takes them by a load of the other index with acquire semantics:
 * all that the producer wrote before commit is seen after peek, and all that the
 * consumer read before release was read before reserve gives the slot again.
 *
 * When a side dies, at whatever instruction, the other one goes on with what
 * there is: an element that was not committed is not seen, one that was not
 * released is given again to the next consumer (which may see it a second time).
 * There is nothing to clean up: another process attaches as that side, and goes
 * on at its index. A peer that is dead and one that is slow look the same: give
 * waits a timeout, and have the file tell (a buffer of `task=`, a pidfd).
 *
 * A hostile peer, one that writes anything into the memory at any time, can hand
 * over rubbish, or nothing; it cannot make this side touch a byte outside the
 * memory that was attached: the geometry is checked once and then kept in
 * private, this side's own index too, and the peer's index is checked at each
 * load (-EPROTO). An element that was peeked at can change while it is looked
 * at: pop it, and check the copy. Two producers, or two consumers, break the
 * order and the contents of elements, and nothing else.
 *
 * Header only: nothing to link. C and C++, gcc and clang.
 */
#ifndef IOBUF_SPSC_RING_H
#define IOBUF_SPSC_RING_H

#include <iobuf/futex.h>

#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

#define IOBUF_SPSC_RING_MAGIC     0x31525349u /* "ISR1" on little endian */
#define IOBUF_SPSC_RING_SLOTS_MAX (1u << 30)

/* What lies in the shared memory: see above. */
struct iobuf_spsc_ring_shared {
	uint32_t magic;
	uint32_t slot_bytes;
	uint32_t slots;
	uint32_t unused[29];
	uint32_t head;
	uint32_t producer_waits;
	uint32_t producer_unused[30];
	uint32_t tail;
	uint32_t consumer_waits;
	uint32_t consumer_unused[30];
};

static_assert(offsetof(struct iobuf_spsc_ring_shared, head) == 128, "layout");
static_assert(offsetof(struct iobuf_spsc_ring_shared, tail) == 256, "layout");
static_assert(sizeof(struct iobuf_spsc_ring_shared) == 384, "layout");

enum iobuf_spsc_side {
	IOBUF_SPSC_PRODUCER,
	IOBUF_SPSC_CONSUMER,
};

/*
 * One side of a ring, in private memory of the process that attached it. One
 * thread at a time uses it. slot_bytes and slots may be read; the rest is for the
 * functions below. It holds nothing that would have to be released.
 */
struct iobuf_spsc_ring {
	uint32_t slot_bytes;
	uint32_t slots;
	size_t stride;           /* from a slot to the next one */
	unsigned char *first;    /* slot 0 */
	uint32_t *own_index;     /* what this side publishes... */
	uint32_t own;            /* ...and its value */
	const uint32_t *peer_index;
	uint32_t peer;           /* its value when it was looked at last */
	uint32_t *own_waits;
	uint32_t *peer_waits;
	enum iobuf_spsc_side side;
};

/*
 * How many bytes a ring takes: 0 when there is none like that, because slot_bytes
 * is 0, slots is not a power of two up to IOBUF_SPSC_RING_SLOTS_MAX, or the sum
 * does not fit.
 */
static inline size_t iobuf_spsc_ring_bytes(uint32_t slot_bytes, uint32_t slots)
{
	const uint64_t stride = ((uint64_t)slot_bytes + 7) / 8 * 8;
	uint64_t bytes;

	if (slot_bytes == 0 || slots == 0 || (slots & (slots - 1)) ||
	    slots > IOBUF_SPSC_RING_SLOTS_MAX)
		return 0;
	bytes = sizeof(struct iobuf_spsc_ring_shared) + stride * slots;
	return bytes > SIZE_MAX / 2 ? 0 : (size_t)bytes;
}

/*
 * Make an empty ring in `bytes` of memory, which begin at a multiple of 8, as
 * those of each mapping do. Once, by whoever makes the buffer, and before anybody
 * has attached it: what was in the memory is lost.
 *
 * Returns 0; -EINVAL when iobuf_spsc_ring_bytes() of it is 0 or more than `bytes`,
 * or the memory is not aligned.
 */
static inline int iobuf_spsc_ring_init(void *memory, size_t bytes,
				       uint32_t slot_bytes, uint32_t slots)
{
	struct iobuf_spsc_ring_shared *shared =
		(struct iobuf_spsc_ring_shared *)memory;
	const size_t needed = iobuf_spsc_ring_bytes(slot_bytes, slots);

	if (needed == 0 || needed > bytes || (uintptr_t)memory % 8)
		return -EINVAL;
	__atomic_store_n(&shared->magic, 0, __ATOMIC_SEQ_CST);
	shared->slot_bytes = slot_bytes;
	shared->slots = slots;
	shared->head = shared->tail = 0;
	shared->producer_waits = shared->consumer_waits = 0;
	__atomic_store_n(&shared->magic, IOBUF_SPSC_RING_MAGIC,
			 __ATOMIC_RELEASE);
	return 0;
}

/*
 * Become one side of the ring in `bytes` of memory: those that are mapped, which
 * may be more than it takes.
 *
 * slot_bytes  the size that elements are expected to have, so that a ring of
 *             others is refused; 0 takes any: look at ring->slot_bytes before
 *             giving room to iobuf_spsc_ring_pop().
 * side        nobody else is attached as that one; who was has ended, or will not
 *             use the ring again.
 *
 * The memory has to stay mapped for as long as the ring is used.
 *
 * Returns 0; -EAGAIN where no ring was made yet: try again; -EPROTO when what is
 * there is not a ring, has other elements, or does not fit into `bytes`; -EINVAL
 * when the memory is too small for any, or is not aligned. `ring` is untouched on
 * failure.
 */
static inline int iobuf_spsc_ring_attach(struct iobuf_spsc_ring *ring,
					 void *memory, size_t bytes,
					 uint32_t slot_bytes,
					 enum iobuf_spsc_side side)
{
	struct iobuf_spsc_ring_shared *shared =
		(struct iobuf_spsc_ring_shared *)memory;
	const int produces = side == IOBUF_SPSC_PRODUCER;
	struct iobuf_spsc_ring r;
	uint32_t magic;
	size_t needed;

	if (bytes < sizeof(*shared) || (uintptr_t)memory % 8)
		return -EINVAL;
	magic = __atomic_load_n(&shared->magic, __ATOMIC_ACQUIRE);
	if (magic != IOBUF_SPSC_RING_MAGIC)
		return magic == 0 ? -EAGAIN : -EPROTO;
	/* Looked at once: a peer may change them between two looks. */
	r.slot_bytes = __atomic_load_n(&shared->slot_bytes, __ATOMIC_RELAXED);
	r.slots = __atomic_load_n(&shared->slots, __ATOMIC_RELAXED);
	needed = iobuf_spsc_ring_bytes(r.slot_bytes, r.slots);
	if (needed == 0 || needed > bytes ||
	    (slot_bytes && slot_bytes != r.slot_bytes))
		return -EPROTO;
	r.stride = (needed - sizeof(*shared)) / r.slots;
	r.first = (unsigned char *)(shared + 1);
	r.own_index = produces ? &shared->head : &shared->tail;
	r.peer_index = produces ? &shared->tail : &shared->head;
	r.own_waits = produces ? &shared->producer_waits :
				 &shared->consumer_waits;
	r.peer_waits = produces ? &shared->consumer_waits :
				  &shared->producer_waits;
	r.own = __atomic_load_n(r.own_index, __ATOMIC_RELAXED);
	r.peer = __atomic_load_n(r.peer_index, __ATOMIC_ACQUIRE);
	r.side = side;
	if ((produces ? r.own - r.peer : r.peer - r.own) > r.slots)
		return -EPROTO;
	__atomic_store_n(r.own_waits, 0, __ATOMIC_RELAXED);
	*ring = r;
	return 0;
}

/*
 * How many slots this side has now: elements to take for the consumer, room for
 * the producer. The other side can only make it more. Never blocks.
 *
 * Returns the number; -EPROTO when the peer's index cannot be.
 */
static inline int iobuf_spsc_ring_ready(struct iobuf_spsc_ring *ring)
{
	const uint32_t peer =
		__atomic_load_n(ring->peer_index, __ATOMIC_ACQUIRE);
	const int produces = ring->side == IOBUF_SPSC_PRODUCER;
	const uint32_t used = produces ? ring->own - peer : peer - ring->own;

	if (used > ring->slots)
		return -EPROTO;
	ring->peer = peer;
	return (int)(produces ? ring->slots - used : used);
}

/* The slot that is this side's next one, when it has one. */
static inline int iobuf_spsc_ring_next(struct iobuf_spsc_ring *ring,
				       enum iobuf_spsc_side side,
				       void **ret_slot)
{
	/* The peer's index that says that there is nothing. */
	const uint32_t none = side == IOBUF_SPSC_PRODUCER ?
				      ring->own - ring->slots :
				      ring->own;
	int ready;

	if (ring->side != side)
		return -EBADF;
	if (ring->peer == none) {
		ready = iobuf_spsc_ring_ready(ring);
		if (ready <= 0)
			return ready < 0 ? ready : -EAGAIN;
	}
	*ret_slot = ring->first + (ring->own & (ring->slots - 1)) * ring->stride;
	return 0;
}

/* Hand this side's next slot over. */
static inline void iobuf_spsc_ring_hand_over(struct iobuf_spsc_ring *ring)
{
	__atomic_store_n(ring->own_index, ++ring->own, __ATOMIC_RELEASE);
}

/*
 * The producer: where the next element is to be written, slot_bytes at a multiple
 * of 8. It stays the producer's, and the next call gives the same, until
 * iobuf_spsc_ring_commit().
 *
 * Returns 0; -EAGAIN when the ring is full; -EPROTO when the peer's index cannot
 * be; -EBADF on the consumer's side.
 */
static inline int iobuf_spsc_ring_reserve(struct iobuf_spsc_ring *ring,
					  void **ret_element)
{
	return iobuf_spsc_ring_next(ring, IOBUF_SPSC_PRODUCER, ret_element);
}

/* Hand over the element that reserve gave. Only after it returned 0. */
static inline void iobuf_spsc_ring_commit(struct iobuf_spsc_ring *ring)
{
	iobuf_spsc_ring_hand_over(ring);
}

/*
 * The consumer: the next element, in place. It stays there, and the next call
 * gives the same, until iobuf_spsc_ring_release(). Where the peer is not trusted
 * use iobuf_spsc_ring_pop().
 *
 * Returns 0; -EAGAIN when the ring is empty; -EPROTO when the peer's index cannot
 * be; -EBADF on the producer's side.
 */
static inline int iobuf_spsc_ring_peek(struct iobuf_spsc_ring *ring,
				       const void **ret_element)
{
	void *slot;
	int err = iobuf_spsc_ring_next(ring, IOBUF_SPSC_CONSUMER, &slot);

	if (err == 0)
		*ret_element = slot;
	return err;
}

/* Give back the element that peek gave. Only after it returned 0. */
static inline void iobuf_spsc_ring_release(struct iobuf_spsc_ring *ring)
{
	iobuf_spsc_ring_hand_over(ring);
}

/* Copy an element of slot_bytes in; returns what reserve does. */
static inline int iobuf_spsc_ring_push(struct iobuf_spsc_ring *ring,
				       const void *element)
{
	void *slot;
	int err = iobuf_spsc_ring_reserve(ring, &slot);

	if (err < 0)
		return err;
	memcpy(slot, element, ring->slot_bytes);
	iobuf_spsc_ring_commit(ring);
	return 0;
}

/* Copy the next element, slot_bytes, out; returns what peek does. */
static inline int iobuf_spsc_ring_pop(struct iobuf_spsc_ring *ring,
				      void *ret_element)
{
	const void *slot;
	int err = iobuf_spsc_ring_peek(ring, &slot);

	if (err < 0)
		return err;
	memcpy(ret_element, slot, ring->slot_bytes);
	iobuf_spsc_ring_release(ring);
	return 0;
}

/*
 * Sleep until this side has a slot: an element, or room. It returns in time only
 * if the peer calls iobuf_spsc_ring_wake(); a negative timeout is none. Who needs
 * the shortest time calls peek or reserve in a loop instead, which takes a CPU.
 *
 * Returns 0 when there is one; -ETIMEDOUT, -EINTR (a signal handler ran), -EPROTO.
 */
static inline int iobuf_spsc_ring_wait(struct iobuf_spsc_ring *ring,
				       int timeout_ms)
{
	const int forever = timeout_ms < 0;
	struct timespec deadline;
	uint32_t seen;
	int ready, err;

	/* Without a system call when there is something. */
	ready = iobuf_spsc_ring_ready(ring);
	if (ready != 0)
		return ready < 0 ? ready : 0;
	deadline = iobuf_futex_deadline(forever ? 0 : timeout_ms);
	for (;;) {
		/*
		 * Whoever hands over after this sees the word; whoever did
		 * before is seen now.
		 */
		__atomic_exchange_n(ring->own_waits, 1, __ATOMIC_SEQ_CST);
		ready = iobuf_spsc_ring_ready(ring);
		seen = ring->peer;
		err = ready != 0 ? 0 :
				   iobuf_futex_wait(ring->peer_index, seen,
						    forever ? NULL : &deadline);
		__atomic_store_n(ring->own_waits, 0, __ATOMIC_RELAXED);
		if (ready != 0)
			return ready < 0 ? ready : 0;
		if (err == -ETIMEDOUT || err == -EINTR)
			return err;
	}
}

/*
 * Wake the peer if it sleeps in iobuf_spsc_ring_wait(): after one commit or
 * release, or after several. A system call only when it does.
 */
static inline void iobuf_spsc_ring_wake(struct iobuf_spsc_ring *ring)
{
	/* To read it by adding nothing orders it after the index. */
	if (__atomic_fetch_add(ring->peer_waits, 0, __ATOMIC_SEQ_CST))
		iobuf_futex_wake(ring->own_index);
}

#ifdef __cplusplus
}
#endif

#endif
