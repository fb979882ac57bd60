/* SPDX-License-Identifier: MIT */
/*
 * test_spsc_ring.c - the ring of spsc_ring.h: alone, between two threads (above
 * all under ThreadSanitizer), between two processes, and with a peer that writes
 * whatever it likes.
 */
#include "shared_memory.h"

#include <iobuf/spsc_ring.h>

enum { SLOTS = 8, ELEMENTS = 20000 };

/* An element says what it is in each word, so that a torn one shows. */
struct element {
	uint64_t words[5];
};

struct fixture {
	struct region region;
	struct iobuf_spsc_ring_shared *shared;
	struct iobuf_spsc_ring producer, consumer;
};

static struct element element_of(uint64_t n)
{
	return (struct element){ { n, n, n, n, n } };
}

static bool is_element(const struct element *e, uint64_t n)
{
	for (size_t i = 0; i < COUNT_OF(e->words); i++)
		if (e->words[i] != n)
			return false;
	return true;
}

static int attach(struct iobuf_spsc_ring *ring, const struct region *region,
		  enum iobuf_spsc_side side)
{
	return iobuf_spsc_ring_attach(ring, region->memory, region->bytes,
				      sizeof(struct element), side);
}

static struct fixture fixture_make(void)
{
	const size_t bytes =
		iobuf_spsc_ring_bytes(sizeof(struct element), SLOTS);
	struct fixture f = { .region = region_make(bytes) };

	f.shared = f.region.memory;
	assert_int_equal(iobuf_spsc_ring_init(f.region.memory, bytes,
					      sizeof(struct element), SLOTS),
			 0);
	assert_int_equal(attach(&f.producer, &f.region, IOBUF_SPSC_PRODUCER),
			 0);
	assert_int_equal(attach(&f.consumer, &f.region, IOBUF_SPSC_CONSUMER),
			 0);
	return f;
}

static int push(struct iobuf_spsc_ring *ring, uint64_t n)
{
	const struct element e = element_of(n);

	return iobuf_spsc_ring_push(ring, &e);
}

static void assert_pops(struct iobuf_spsc_ring *ring, uint64_t n)
{
	struct element e;

	assert_int_equal(iobuf_spsc_ring_pop(ring, &e), 0);
	assert_true(is_element(&e, n));
}

static void elements_come_in_order_and_once(void **state)
{
	struct fixture f = fixture_make();
	struct element e;

	(void)state;
	for (uint64_t round = 0; round < 3 * SLOTS; round += 5) {
		for (uint64_t i = 0; i < 5; i++)
			assert_int_equal(push(&f.producer, round + i), 0);
		for (uint64_t i = 0; i < 5; i++)
			assert_pops(&f.consumer, round + i);
		assert_int_equal(iobuf_spsc_ring_pop(&f.consumer, &e), -EAGAIN);
	}
	region_free(&f.region);
}

static void a_full_ring_takes_no_more_and_changes_nothing(void **state)
{
	struct fixture f = fixture_make();

	(void)state;
	assert_int_equal(iobuf_spsc_ring_ready(&f.producer), SLOTS);
	for (uint64_t i = 0; i < SLOTS; i++)
		assert_int_equal(push(&f.producer, i), 0);
	assert_int_equal(push(&f.producer, 99), -EAGAIN);
	assert_int_equal(iobuf_spsc_ring_ready(&f.consumer), SLOTS);
	assert_pops(&f.consumer, 0);
	assert_int_equal(push(&f.producer, SLOTS), 0);
	for (uint64_t i = 1; i <= SLOTS; i++)
		assert_pops(&f.consumer, i);
	region_free(&f.region);
}

static void indices_wrap_around(void **state)
{
	struct fixture f = fixture_make();

	(void)state;
	f.shared->head = f.shared->tail = UINT32_MAX - 3;
	assert_int_equal(attach(&f.producer, &f.region, IOBUF_SPSC_PRODUCER),
			 0);
	assert_int_equal(attach(&f.consumer, &f.region, IOBUF_SPSC_CONSUMER),
			 0);
	for (uint64_t i = 0; i < SLOTS; i++)
		assert_int_equal(push(&f.producer, i), 0);
	assert_int_equal(push(&f.producer, 99), -EAGAIN);
	for (uint64_t i = 0; i < SLOTS; i++)
		assert_pops(&f.consumer, i);
	assert_int_equal(f.shared->tail, SLOTS - 4);
	region_free(&f.region);
}

static void what_is_not_committed_or_released_is_as_if_never_done(void **state)
{
	struct fixture f = fixture_make();
	const void *peeked = NULL;
	void *reserved = NULL;

	(void)state;
	assert_int_equal(push(&f.producer, 1), 0);
	assert_int_equal(iobuf_spsc_ring_reserve(&f.producer, &reserved), 0);
	memset(reserved, 0xAA, sizeof(struct element));
	assert_int_equal(iobuf_spsc_ring_peek(&f.consumer, &peeked), 0);
	/* Both die here; their successors go on. */
	assert_int_equal(attach(&f.producer, &f.region, IOBUF_SPSC_PRODUCER),
			 0);
	assert_int_equal(attach(&f.consumer, &f.region, IOBUF_SPSC_CONSUMER),
			 0);
	assert_int_equal(iobuf_spsc_ring_ready(&f.consumer), 1);
	assert_int_equal(push(&f.producer, 2), 0);
	assert_pops(&f.consumer, 1);
	assert_pops(&f.consumer, 2);
	region_free(&f.region);
}

static void each_side_refuses_the_calls_of_the_other(void **state)
{
	struct fixture f = fixture_make();
	const void *peeked = NULL;
	void *reserved = NULL;

	(void)state;
	assert_int_equal(iobuf_spsc_ring_reserve(&f.consumer, &reserved),
			 -EBADF);
	assert_int_equal(iobuf_spsc_ring_peek(&f.producer, &peeked), -EBADF);
	region_free(&f.region);
}

static void init_refuses_what_is_no_ring_or_does_not_fit(void **state)
{
	static const struct {
		uint32_t slot_bytes, slots;
	} none[] = { { 0, 8 }, { 8, 0 }, { 8, 6 }, { 8, 1u << 31 } };
	struct region region = region_make(4096);
	unsigned char *memory = region.memory;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(none); i++) {
		assert_int_equal(iobuf_spsc_ring_bytes(none[i].slot_bytes,
						       none[i].slots),
				 0);
		assert_int_equal(iobuf_spsc_ring_init(memory, 4096,
						      none[i].slot_bytes,
						      none[i].slots),
				 -EINVAL);
	}
	assert_int_equal(iobuf_spsc_ring_bytes(9, 8), 384 + 8 * 16);
	assert_int_equal(iobuf_spsc_ring_init(memory, 511, 9, 8), -EINVAL);
	assert_int_equal(iobuf_spsc_ring_init(memory + 4, 2048, 9, 8), -EINVAL);
	assert_true(all_bytes_are(memory, 4096, 0));
	assert_int_equal(iobuf_spsc_ring_init(memory, 512, 9, 8), 0);
	assert_true(all_bytes_are(memory + 512, 4096 - 512, 0));
	region_free(&region);
}

static void attach_refuses_what_is_not_such_a_ring(void **state)
{
	struct fixture f = fixture_make();
	const struct iobuf_spsc_ring_shared good = *f.shared;
	struct iobuf_spsc_ring ring;
	struct region cut = f.region;

	(void)state;
	memset(&ring, 0x55, sizeof(ring));
	cut.bytes = 100;
	assert_int_equal(attach(&ring, &cut, IOBUF_SPSC_CONSUMER), -EINVAL);
	cut.bytes = f.region.bytes - 1;
	assert_int_equal(attach(&ring, &cut, IOBUF_SPSC_CONSUMER), -EPROTO);
	assert_int_equal(iobuf_spsc_ring_attach(&ring, f.region.memory,
						f.region.bytes, 39,
						IOBUF_SPSC_CONSUMER),
			 -EPROTO);
#define REFUSED(field, value, err)                                             \
	do {                                                                   \
		f.shared->field = (value);                                     \
		assert_int_equal(attach(&ring, &f.region, IOBUF_SPSC_CONSUMER), \
				 err);                                         \
		*f.shared = good;                                              \
	} while (0)
	REFUSED(magic, 0, -EAGAIN);
	REFUSED(magic, 12345, -EPROTO);
	REFUSED(slots, 7, -EPROTO);
	REFUSED(slots, SLOTS * 2, -EPROTO);
	REFUSED(slots, 1u << 31, -EPROTO);
	REFUSED(slot_bytes, 0, -EPROTO);
	REFUSED(slot_bytes, UINT32_MAX, -EPROTO);
	REFUSED(head, SLOTS + 1, -EPROTO);
	REFUSED(tail, 1, -EPROTO);
#undef REFUSED
	assert_true(all_bytes_are(&ring, sizeof(ring), 0x55));
	region_free(&f.region);
}

static void a_peers_index_that_cannot_be_is_told(void **state)
{
	struct fixture f = fixture_make();
	struct element e;

	(void)state;
	f.shared->head = SLOTS + 1;
	assert_int_equal(iobuf_spsc_ring_pop(&f.consumer, &e), -EPROTO);
	assert_int_equal(iobuf_spsc_ring_ready(&f.consumer), -EPROTO);
	assert_int_equal(iobuf_spsc_ring_wait(&f.consumer, -1), -EPROTO);
	f.shared->head = UINT32_MAX;
	assert_int_equal(iobuf_spsc_ring_pop(&f.consumer, &e), -EPROTO);
	for (uint64_t i = 0; i < SLOTS; i++)
		assert_int_equal(push(&f.producer, i), 0);
	f.shared->tail = SLOTS + 1;
	assert_int_equal(push(&f.producer, 99), -EPROTO);
	region_free(&f.region);
}

/* Guard pages around the memory catch what leaves it. */
static void a_hostile_peer_makes_no_access_leave_the_memory(void **state)
{
	struct fixture f = fixture_make();
	uint32_t *const header = f.region.memory;
	uint32_t random = 12345;
	struct element e;

	(void)state;
	for (unsigned int i = 0; i < 200000; i++) {
		random ^= random << 13;
		random ^= random >> 17;
		random ^= random << 5;
		/* Any word of the header, mostly an index that could be. */
		if (random % 4)
			header[random / 8 % 96] = random;
		else
			f.shared->head = f.consumer.own + random / 8 % 10;
		push(&f.producer, i);
		iobuf_spsc_ring_pop(&f.consumer, &e);
	}
	region_free(&f.region);
}

static void a_wait_ends_at_its_timeout(void **state)
{
	struct fixture f = fixture_make();

	(void)state;
	assert_int_equal(iobuf_spsc_ring_wait(&f.consumer, 20), -ETIMEDOUT);
	assert_int_equal(f.shared->consumer_waits, 0);
	assert_int_equal(iobuf_spsc_ring_wait(&f.producer, 0), 0);
	for (uint64_t i = 0; i < SLOTS; i++)
		push(&f.producer, i);
	assert_int_equal(iobuf_spsc_ring_wait(&f.producer, 0), -ETIMEDOUT);
	assert_int_equal(iobuf_spsc_ring_wait(&f.consumer, 0), 0);
	region_free(&f.region);
}

/* ---- two at once ---------------------------------------------------------- */

/* Each returns NULL, or what went wrong; both sleep when there is nothing. */
static const char *produce(struct iobuf_spsc_ring *ring)
{
	for (uint64_t n = 0; n < ELEMENTS; n++) {
		while (push(ring, n) == -EAGAIN)
			if (iobuf_spsc_ring_wait(ring, DEADLINE_MS) < 0)
				return "no room came";
		iobuf_spsc_ring_wake(ring);
	}
	return NULL;
}

static const char *consume(struct iobuf_spsc_ring *ring)
{
	const void *e = NULL;

	for (uint64_t n = 0; n < ELEMENTS; n++) {
		while (iobuf_spsc_ring_peek(ring, &e) == -EAGAIN)
			if (iobuf_spsc_ring_wait(ring, DEADLINE_MS) < 0)
				return "no element came";
		if (!e || !is_element(e, n))
			return "another element than the next one";
		iobuf_spsc_ring_release(ring);
		iobuf_spsc_ring_wake(ring);
	}
	return NULL;
}

static const char *produce_in_region(const struct region *region)
{
	struct iobuf_spsc_ring ring;

	return attach(&ring, region, IOBUF_SPSC_PRODUCER) ? "cannot attach" :
							     produce(&ring);
}

static const char *consume_in_region(const struct region *region)
{
	struct iobuf_spsc_ring ring;

	return attach(&ring, region, IOBUF_SPSC_CONSUMER) ? "cannot attach" :
							     consume(&ring);
}

static void two_threads_exchange_elements(void **state)
{
	struct fixture f = fixture_make();

	(void)state;
	run_in_two_threads(&f.region, produce_in_region, consume_in_region);
	region_free(&f.region);
}

static void two_processes_exchange_elements(void **state)
{
	struct fixture f = fixture_make();

	(void)state;
	run_in_two_processes(&f.region, produce_in_region, consume_in_region);
	region_free(&f.region);
}

static const char *die_while_producing(const struct region *region)
{
	struct iobuf_spsc_ring ring;
	void *slot;

	if (attach(&ring, region, IOBUF_SPSC_PRODUCER) < 0)
		return "cannot attach";
	if (push(&ring, 0) < 0 || push(&ring, 1) < 0 ||
	    iobuf_spsc_ring_reserve(&ring, &slot) < 0)
		return "no room";
	memset(slot, 0x77, sizeof(struct element));
	raise(SIGKILL);
	return "it lives";
}

static void another_process_goes_on_for_a_killed_producer(void **state)
{
	struct fixture f = fixture_make();

	(void)state;
	assert_killed(&f.region, die_while_producing);
	assert_int_equal(attach(&f.producer, &f.region, IOBUF_SPSC_PRODUCER),
			 0);
	assert_int_equal(push(&f.producer, 2), 0);
	for (uint64_t i = 0; i < 3; i++)
		assert_pops(&f.consumer, i);
	assert_int_equal(iobuf_spsc_ring_ready(&f.consumer), 0);
	region_free(&f.region);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(elements_come_in_order_and_once),
		cmocka_unit_test(a_full_ring_takes_no_more_and_changes_nothing),
		cmocka_unit_test(indices_wrap_around),
		cmocka_unit_test(
			what_is_not_committed_or_released_is_as_if_never_done),
		cmocka_unit_test(each_side_refuses_the_calls_of_the_other),
		cmocka_unit_test(init_refuses_what_is_no_ring_or_does_not_fit),
		cmocka_unit_test(attach_refuses_what_is_not_such_a_ring),
		cmocka_unit_test(a_peers_index_that_cannot_be_is_told),
		cmocka_unit_test(
			a_hostile_peer_makes_no_access_leave_the_memory),
		cmocka_unit_test(a_wait_ends_at_its_timeout),
		cmocka_unit_test(two_threads_exchange_elements),
		cmocka_unit_test(two_processes_exchange_elements),
		cmocka_unit_test(another_process_goes_on_for_a_killed_producer),
	};

	return RUN_TESTS("spsc_ring", tests);
}
