/* SPDX-License-Identifier: MIT */
/*
 * test_triple_buffer.c - the latest frame, as triple_buffer.h promises it: alone,
 * between two threads (above all under ThreadSanitizer), between two processes,
 * and with a peer that writes whatever it likes.
 */
#include "shared_memory.h"

/*
 * Runs before each atomic access of the header: a test can have the peer come in
 * between any two.
 */
static void (*before_access)(void);

#define BEFORE_ACCESS() (before_access ? before_access() : (void)0)
#define __atomic_load_n(from, order)                                           \
	(BEFORE_ACCESS(), __atomic_load_n(from, order))
#define __atomic_store_n(to, value, order)                                     \
	(BEFORE_ACCESS(), __atomic_store_n(to, value, order))

#include <iobuf/triple_buffer.h>

enum { WORDS = 600, FRAME_BYTES = WORDS * 8, FRAMES = 20000 };

struct fixture {
	struct region region;
	struct iobuf_triple_buffer_shared *shared;
	struct iobuf_triple_buffer producer, consumer;
};

static int attach(struct iobuf_triple_buffer *buffer,
		  const struct region *region,
		  enum iobuf_triple_buffer_side side)
{
	return iobuf_triple_buffer_attach(buffer, region->memory, region->bytes,
					  FRAME_BYTES, side);
}

static int attach_producer(struct fixture *f)
{
	return attach(&f->producer, &f->region, IOBUF_TRIPLE_BUFFER_PRODUCER);
}

static int attach_consumer(struct fixture *f)
{
	return attach(&f->consumer, &f->region, IOBUF_TRIPLE_BUFFER_CONSUMER);
}

static struct fixture fixture_make(void)
{
	const size_t bytes = iobuf_triple_buffer_bytes(FRAME_BYTES);
	struct fixture f = { .region = region_make(bytes) };

	f.shared = f.region.memory;
	assert_int_equal(iobuf_triple_buffer_init(f.region.memory, bytes,
						  FRAME_BYTES),
			 0);
	assert_int_equal(attach_producer(&f), 0);
	assert_int_equal(attach_consumer(&f), 0);
	return f;
}

/* A frame has its number in each word, so that a torn one shows. */
static void publish(struct iobuf_triple_buffer *producer, uint64_t number)
{
	void *frame = NULL;
	uint64_t *words;

	if (iobuf_triple_buffer_begin(producer, &frame) < 0)
		return;
	words = frame;
	for (size_t i = 0; i < WORDS; i++)
		words[i] = number;
	iobuf_triple_buffer_publish(producer);
}

static bool is_frame(const void *frame, uint64_t number)
{
	const uint64_t *words = frame;

	for (size_t i = 0; i < WORDS; i++)
		if (words[i] != number)
			return false;
	return true;
}

static void assert_latest(struct fixture *f, uint64_t number, uint32_t count)
{
	const void *frame = NULL;
	uint32_t sequence = 0;

	assert_int_equal(iobuf_triple_buffer_acquire(&f->consumer, &frame,
						     &sequence),
			 0);
	assert_true(is_frame(frame, number));
	assert_int_equal(sequence, count);
}

static void the_consumer_gets_the_newest_frame_once(void **state)
{
	struct fixture f = fixture_make();
	const void *frame = NULL;

	(void)state;
	assert_int_equal(iobuf_triple_buffer_acquire(&f.consumer, &frame, NULL),
			 -EAGAIN);
	publish(&f.producer, 10);
	assert_latest(&f, 10, 1);
	assert_int_equal(iobuf_triple_buffer_acquire(&f.consumer, &frame, NULL),
			 -EAGAIN);
	for (uint64_t i = 0; i < 5; i++)
		publish(&f.producer, 20 + i);
	assert_latest(&f, 24, 6);
	region_free(&f.region);
}

static void a_frame_that_is_held_or_latest_is_not_written_to(void **state)
{
	struct fixture f = fixture_make();
	const void *held = NULL;
	void *frame = NULL;

	(void)state;
	publish(&f.producer, 1);
	assert_int_equal(iobuf_triple_buffer_acquire(&f.consumer, &held, NULL),
			 0);
	for (uint64_t i = 2; i < 50; i++) {
		publish(&f.producer, i);
		assert_true(is_frame(held, 1));
		/* One is begun, too, and the latest is whole none the less. */
		iobuf_triple_buffer_begin(&f.producer, &frame);
		memset(frame, 0xEE, FRAME_BYTES);
	}
	assert_latest(&f, 49, 49);
	region_free(&f.region);
}

static void frames_are_aligned_to_4096_and_apart(void **state)
{
	struct region region = region_make(iobuf_triple_buffer_bytes(100));
	struct iobuf_triple_buffer producer = { 0 };
	unsigned char *frame = NULL;
	uint32_t seen = 0;

	(void)state;
	assert_int_equal(region.bytes, 4 * 4096);
	assert_int_equal(iobuf_triple_buffer_init(region.memory, region.bytes,
						  100),
			 0);
	assert_int_equal(iobuf_triple_buffer_attach(
				 &producer, region.memory, region.bytes, 100,
				 IOBUF_TRIPLE_BUFFER_PRODUCER),
			 0);
	for (unsigned int i = 0; i < 6; i++) {
		ptrdiff_t at;

		iobuf_triple_buffer_begin(&producer, (void **)&frame);
		iobuf_triple_buffer_publish(&producer);
		at = frame - (unsigned char *)region.memory;
		assert_int_equal(at % 4096, 0);
		assert_in_range(at, 4096, 3 * 4096);
		seen |= 1u << at / 4096;
	}
	/* Nobody reads: it takes turns between two of the three. */
	assert_int_equal(__builtin_popcount(seen), 2);
	region_free(&region);
}

static void sequence_numbers_wrap_around(void **state)
{
	struct fixture f = fixture_make();

	(void)state;
	f.shared->latest = UINT32_MAX - 4 - 1; /* frame 2, number 2^30 - 2 */
	assert_int_equal(attach_producer(&f), 0);
	publish(&f.producer, 1);
	assert_latest(&f, 1, (1u << 30) - 1);
	publish(&f.producer, 2);
	assert_latest(&f, 2, 0);
	publish(&f.producer, 3);
	assert_latest(&f, 3, 1);
	region_free(&f.region);
}

static void others_go_on_where_a_side_died(void **state)
{
	struct fixture f = fixture_make();
	void *frame = NULL;

	(void)state;
	publish(&f.producer, 1);
	assert_latest(&f, 1, 1);
	publish(&f.producer, 2);
	iobuf_triple_buffer_begin(&f.producer, &frame);
	memset(frame, 0xEE, FRAME_BYTES);
	/* Both die here. */
	assert_int_equal(attach_producer(&f), 0);
	assert_int_equal(attach_consumer(&f), 0);
	assert_latest(&f, 2, 2);
	publish(&f.producer, 3);
	assert_latest(&f, 3, 3);
	iobuf_triple_buffer_release(&f.consumer);
	assert_int_equal(f.shared->reading, IOBUF_TRIPLE_BUFFER_NONE);
	region_free(&f.region);
}

static void each_side_refuses_the_calls_of_the_other(void **state)
{
	struct fixture f = fixture_make();
	const void *latest = NULL;
	void *frame = NULL;

	(void)state;
	publish(&f.producer, 1);
	assert_int_equal(iobuf_triple_buffer_begin(&f.consumer, &frame),
			 -EBADF);
	assert_int_equal(iobuf_triple_buffer_acquire(&f.producer, &latest,
						     NULL),
			 -EBADF);
	assert_int_equal(iobuf_triple_buffer_wait(&f.producer, 0), -EBADF);
	region_free(&f.region);
}

static void init_refuses_what_does_not_fit(void **state)
{
	struct region region = region_make(4 * 4096);
	unsigned char *memory = region.memory;

	(void)state;
	assert_int_equal(iobuf_triple_buffer_bytes(0), 0);
	assert_int_equal(iobuf_triple_buffer_bytes(UINT64_MAX), 0);
	assert_int_equal(iobuf_triple_buffer_bytes(SIZE_MAX / 8), 0);
	assert_int_equal(iobuf_triple_buffer_bytes(4097), 7 * 4096);
	assert_int_equal(iobuf_triple_buffer_init(memory, 4 * 4096, 0),
			 -EINVAL);
	assert_int_equal(iobuf_triple_buffer_init(memory, 4 * 4096 - 1, 1),
			 -EINVAL);
	assert_int_equal(iobuf_triple_buffer_init(memory, 4 * 4096, 4097),
			 -EINVAL);
	assert_int_equal(iobuf_triple_buffer_init(memory + 4, 4 * 4096, 1),
			 -EINVAL);
	assert_true(all_bytes_are(memory, 4 * 4096, 0));
	region_free(&region);
}

static void attach_refuses_what_is_not_such_a_buffer(void **state)
{
	struct fixture f = fixture_make();
	const struct iobuf_triple_buffer_shared good = *f.shared;
	struct iobuf_triple_buffer buffer;
	struct region cut = f.region;

	(void)state;
	memset(&buffer, 0x55, sizeof(buffer));
	cut.bytes = 4095;
	assert_int_equal(attach(&buffer, &cut, IOBUF_TRIPLE_BUFFER_CONSUMER),
			 -EINVAL);
	cut.bytes = f.region.bytes - 1;
	assert_int_equal(attach(&buffer, &cut, IOBUF_TRIPLE_BUFFER_CONSUMER),
			 -EPROTO);
	assert_int_equal(iobuf_triple_buffer_attach(
				 &buffer, f.region.memory, f.region.bytes, 8,
				 IOBUF_TRIPLE_BUFFER_CONSUMER),
			 -EPROTO);
#define REFUSED(field, value, err)                                             \
	do {                                                                   \
		f.shared->field = (value);                                     \
		assert_int_equal(attach(&buffer, &f.region,                    \
					IOBUF_TRIPLE_BUFFER_CONSUMER),         \
				 err);                                         \
		*f.shared = good;                                              \
	} while (0)
	REFUSED(magic, 0, -EAGAIN);
	REFUSED(magic, 12345, -EPROTO);
	REFUSED(frame_bytes, 0, -EPROTO);
	REFUSED(frame_bytes, UINT64_MAX, -EPROTO);
	REFUSED(frame_bytes, 2 * FRAME_BYTES, -EPROTO);
	REFUSED(latest, 7, -EPROTO);
#undef REFUSED
	assert_true(all_bytes_are(&buffer, sizeof(buffer), 0x55));
	region_free(&f.region);
}

static void a_frame_that_cannot_be_is_told(void **state)
{
	struct fixture f = fixture_make();
	const void *frame = NULL;

	(void)state;
	f.shared->latest = 7;
	assert_int_equal(iobuf_triple_buffer_acquire(&f.consumer, &frame, NULL),
			 -EPROTO);
	region_free(&f.region);
}

/* Guard pages around the memory catch what leaves it. */
static void a_hostile_peer_makes_no_access_leave_the_memory(void **state)
{
	struct fixture f = fixture_make();
	uint32_t *const header = f.region.memory;
	const void *frame = NULL;
	uint32_t random = 54321;

	(void)state;
	for (unsigned int i = 0; i < 20000; i++) {
		random ^= random << 13;
		random ^= random >> 17;
		random ^= random << 5;
		header[random / 8 % 1024] = random;
		f.shared->latest = random / 3;
		f.shared->reading = random % 2 ? random : random / 2 % 4;
		publish(&f.producer, i);
		if (random % 2)
			f.shared->latest = random / 5;
		if (iobuf_triple_buffer_acquire(&f.consumer, &frame, NULL) == 0)
			is_frame(frame, i);
	}
	region_free(&f.region);
}

static void a_wait_ends_at_its_timeout(void **state)
{
	struct fixture f = fixture_make();

	(void)state;
	assert_int_equal(iobuf_triple_buffer_wait(&f.consumer, 20), -ETIMEDOUT);
	assert_int_equal(f.shared->consumer_waits, 0);
	publish(&f.producer, 1);
	assert_int_equal(iobuf_triple_buffer_wait(&f.consumer, 0), 0);
	assert_latest(&f, 1, 1);
	assert_int_equal(iobuf_triple_buffer_wait(&f.consumer, 0), -ETIMEDOUT);
	region_free(&f.region);
}

static struct fixture *interrupted;
static int accesses_left;

/* Two frames, and half of the next one. */
static void publish_in_between(void)
{
	void *frame = NULL;

	if (accesses_left-- != 0)
		return;
	before_access = NULL;
	publish(&interrupted->producer, 2);
	publish(&interrupted->producer, 3);
	iobuf_triple_buffer_begin(&interrupted->producer, &frame);
	memset(frame, 0xEE, FRAME_BYTES);
}

static void a_frame_is_whole_wherever_the_producer_comes_in_between(void **state)
{
	(void)state;
	/* An acquire has three accesses: each time one later, until none. */
	for (int access = 0; access <= 3; access++) {
		struct fixture f = fixture_make();
		const void *frame = NULL;
		uint32_t sequence = 0;

		publish(&f.producer, 1);
		interrupted = &f;
		accesses_left = access;
		before_access = publish_in_between;
		assert_int_equal(iobuf_triple_buffer_acquire(&f.consumer,
							     &frame, &sequence),
				 0);
		before_access = NULL;
		assert_true(is_frame(frame, sequence));
		assert_int_equal(sequence, access < 3 ? 3 : 1);
		region_free(&f.region);
	}
}

/* ---- two at once ---------------------------------------------------------- */

static const char *produce_frames(const struct region *region, bool wakes)
{
	struct iobuf_triple_buffer producer;

	if (attach(&producer, region, IOBUF_TRIPLE_BUFFER_PRODUCER) < 0)
		return "cannot attach";
	for (uint64_t n = 1; n <= FRAMES; n++) {
		publish(&producer, n);
		if (wakes)
			iobuf_triple_buffer_wake(&producer);
	}
	return NULL;
}

/* Each frame is whole, and newer than the one before; the last one comes. */
static const char *consume_frames(const struct region *region, bool sleeps)
{
	struct iobuf_triple_buffer consumer;
	const void *frame = NULL;
	uint32_t sequence = 0, last = 0;
	int err;

	if (attach(&consumer, region, IOBUF_TRIPLE_BUFFER_CONSUMER) < 0)
		return "cannot attach";
	while (last < FRAMES) {
		if (sleeps &&
		    iobuf_triple_buffer_wait(&consumer, DEADLINE_MS) < 0)
			return "no frame came";
		err = iobuf_triple_buffer_acquire(&consumer, &frame, &sequence);
		if (err == -EBUSY || (err == -EAGAIN && !sleeps)) {
			sched_yield();
			continue;
		}
		if (err < 0)
			return "a frame that was waited for is not there";
		if (sequence <= last)
			return "an older frame";
		if (!is_frame(frame, sequence))
			return "a torn frame";
		last = sequence;
	}
	return NULL;
}

static const char *produce(const struct region *region)
{
	return produce_frames(region, true);
}

static const char *consume(const struct region *region)
{
	return consume_frames(region, true);
}

static const char *produce_silently(const struct region *region)
{
	return produce_frames(region, false);
}

static const char *consume_polling(const struct region *region)
{
	return consume_frames(region, false);
}

static void two_threads_hand_over_whole_frames(void **state)
{
	struct fixture f = fixture_make();

	(void)state;
	run_in_two_threads(&f.region, produce, consume);
	region_free(&f.region);
}

/* Nothing but the frames orders their accesses. */
static void two_threads_that_do_not_sleep_do_so_too(void **state)
{
	struct fixture f = fixture_make();

	(void)state;
	run_in_two_threads(&f.region, produce_silently, consume_polling);
	region_free(&f.region);
}

static void two_processes_hand_over_whole_frames(void **state)
{
	struct fixture f = fixture_make();

	(void)state;
	run_in_two_processes(&f.region, produce, consume);
	region_free(&f.region);
}

static const char *die_while_producing(const struct region *region)
{
	struct iobuf_triple_buffer producer;
	void *frame = NULL;

	if (attach(&producer, region, IOBUF_TRIPLE_BUFFER_PRODUCER) < 0)
		return "cannot attach";
	publish(&producer, 1);
	iobuf_triple_buffer_begin(&producer, &frame);
	memset(frame, 0x77, FRAME_BYTES);
	raise(SIGKILL);
	return "it lives";
}

static void another_process_goes_on_for_a_killed_producer(void **state)
{
	struct fixture f = fixture_make();

	(void)state;
	assert_killed(&f.region, die_while_producing);
	assert_latest(&f, 1, 1);
	assert_int_equal(attach_producer(&f), 0);
	publish(&f.producer, 2);
	assert_latest(&f, 2, 2);
	region_free(&f.region);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_consumer_gets_the_newest_frame_once),
		cmocka_unit_test(
			a_frame_that_is_held_or_latest_is_not_written_to),
		cmocka_unit_test(frames_are_aligned_to_4096_and_apart),
		cmocka_unit_test(sequence_numbers_wrap_around),
		cmocka_unit_test(others_go_on_where_a_side_died),
		cmocka_unit_test(each_side_refuses_the_calls_of_the_other),
		cmocka_unit_test(init_refuses_what_does_not_fit),
		cmocka_unit_test(attach_refuses_what_is_not_such_a_buffer),
		cmocka_unit_test(a_frame_that_cannot_be_is_told),
		cmocka_unit_test(
			a_hostile_peer_makes_no_access_leave_the_memory),
		cmocka_unit_test(a_wait_ends_at_its_timeout),
		cmocka_unit_test(
			a_frame_is_whole_wherever_the_producer_comes_in_between),
		cmocka_unit_test(two_threads_hand_over_whole_frames),
		cmocka_unit_test(two_threads_that_do_not_sleep_do_so_too),
		cmocka_unit_test(two_processes_hand_over_whole_frames),
		cmocka_unit_test(another_process_goes_on_for_a_killed_producer),
	};

	return RUN_TESTS("triple_buffer", tests);
}
