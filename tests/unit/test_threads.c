/* SPDX-License-Identifier: MIT */
/*
 * test_threads.c - descriptors of several threads at once. What it proves, it
 * proves under ThreadSanitizer (-DBUFFERFS_TSAN=ON) above all.
 */
#include "unit.h"

#include <iobuf/iobuf.h>
#include <pthread.h>
#include <stdatomic.h>

enum { THREADS = 8, ROUNDS = 200, STRIPE = 8192, RECORDS = 100 };

/* What a thread is given, and where it failed; cmocka knows one thread. */
struct worker {
	pthread_t thread;
	unsigned int number;
	uint32_t random;
	struct iobuf *shared;
	const char *failed;
	int line;
};

static pthread_barrier_t start;

#define CHECK(condition)                                                       \
	do {                                                                   \
		if (!(condition)) {                                            \
			w->failed = #condition;                                \
			w->line = __LINE__;                                    \
			return NULL;                                           \
		}                                                              \
	} while (0)

static uint32_t next_random(struct worker *w)
{
	w->random ^= w->random << 13;
	w->random ^= w->random >> 17;
	w->random ^= w->random << 5;
	return w->random;
}

/* Run `body` in all threads at once, each with a reference to `shared`. */
static void run_threads(void *(*body)(void *), struct iobuf *shared)
{
	struct worker workers[THREADS];

	pthread_barrier_init(&start, NULL, THREADS);
	for (unsigned int i = 0; i < THREADS; i++) {
		workers[i] = (struct worker){ .number = i, .random = i + 1 };
		if (shared)
			workers[i].shared = iobuf_retain(shared);
		assert_int_equal(pthread_create(&workers[i].thread, NULL, body,
						&workers[i]),
				 0);
	}
	iobuf_release(shared);
	for (unsigned int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(workers[i].thread, NULL), 0);
	pthread_barrier_destroy(&start);
	for (unsigned int i = 0; i < THREADS; i++)
		if (workers[i].failed)
			fail_msg("line %d, thread %u: %s", workers[i].line, i,
				 workers[i].failed);
}

static int construct(struct worker *w, struct iobuf **ret_buffer)
{
	static const unsigned char bytes[STRIPE];
	const uint32_t inout = IOBUF_DIRECTION_INOUT;

	switch (next_random(w) % 7) {
	case 0:
		return iobuf_with_options(IOBUF_PAGEABLE | inout, STRIPE, 1,
					  ret_buffer);
	case 1:
		return iobuf_with_capacity(STRIPE, inout, false, ret_buffer);
	case 2:
		return iobuf_with_bytes(bytes, STRIPE, inout, false,
					ret_buffer);
	case 3:
		return iobuf_with_copy(0, IOBUF_PAGEABLE | inout, 0,
				       (uintptr_t)bytes, STRIPE, ret_buffer);
	case 4:
		return iobuf_in_task_with_guard_pages(0, inout, STRIPE,
						      ret_buffer);
	case 5:
		return iobuf_with_options(IOBUF_PAGEABLE | inout |
						  IOBUF_CACHE_COPYBACK,
					  STRIPE, 1, ret_buffer);
	default:
		return iobuf_in_task_with_options_and_tags(
			0, IOBUF_PAGEABLE | inout | IOBUF_SHARED, STRIPE, 1, 1,
			2, ret_buffer);
	}
}

static void *use_private(void *argument)
{
	struct worker *w = argument;
	const int value = (int)w->number + 1;

	pthread_barrier_wait(&start);
	for (int i = 0; i < ROUNDS; i++) {
		struct iobuf *b = NULL;
		struct iobuf_report report;
		unsigned char in[STRIPE], out[STRIPE];
		size_t n = 0;

		CHECK(construct(w, &b) == 0);
		memset(in, value, sizeof(in));
		CHECK(iobuf_write_bytes(b, 0, in, STRIPE, &n) == 0);
		CHECK(n == STRIPE);
		CHECK(iobuf_prepare(b) == 0);
		CHECK(iobuf_get_report(b, &report) == 0);
		CHECK(report.wired >= STRIPE);
		CHECK(iobuf_read_bytes(b, 0, out, STRIPE, &n) == 0);
		CHECK(n == STRIPE && all_bytes_are(out, STRIPE, value));
		CHECK(iobuf_complete(b) == 0);
		CHECK(all_bytes_are(iobuf_get_bytes_no_copy(b, 0, STRIPE),
				    STRIPE, value));
		iobuf_release(b);
	}
	return NULL;
}

static void private_descriptors_do_not_meet(void **state)
{
	const unsigned int fds = open_fds();
	const uint64_t locked = locked_bytes();

	(void)state;
	run_threads(use_private, NULL);
	assert_int_equal(open_fds(), fds);
	assert_int_equal(locked_bytes(), locked);
	assert_int_equal(mapped_bytes("memfd:iobuf"), 0);
}

/* A transfer is whole, cut short by a length, or refused by a direction. */
static void *use_shared_fixed(void *argument)
{
	struct worker *w = argument;
	const int value = (int)w->number + 1;
	const uint64_t at = w->number * (uint64_t)STRIPE;
	unsigned char in[STRIPE], out[STRIPE];

	memset(in, value, sizeof(in));
	pthread_barrier_wait(&start);
	for (int i = 0; i < ROUNDS; i++) {
		struct iobuf_report report;
		size_t n = 0;
		int r;

		CHECK(iobuf_set_direction(w->shared, next_random(w) % 4) == 0);
		CHECK(iobuf_get_direction(w->shared) <= IOBUF_DIRECTION_INOUT);
		r = iobuf_write_bytes(w->shared, at, in, STRIPE, &n);
		CHECK(r == -EPERM || (r == 0 && n == STRIPE));
		n = 0;
		CHECK(iobuf_prepare(w->shared) == 0);
		r = iobuf_read_bytes(w->shared, at, out, STRIPE, &n);
		CHECK(r == -EPERM || (r == 0 && n <= STRIPE));
		CHECK(iobuf_get_report(w->shared, &report) == 0);
		CHECK(report.wired == (uint64_t)THREADS * STRIPE);
		CHECK(iobuf_complete(w->shared) == 0);
		CHECK(iobuf_set_length(w->shared,
				       next_random(w) % (THREADS * STRIPE)) ==
		      0);
		CHECK(iobuf_get_length(w->shared) <=
		      iobuf_get_capacity(w->shared));
		iobuf_get_bytes_no_copy(w->shared, at, STRIPE);
		iobuf_release(iobuf_retain(w->shared));
	}
	iobuf_release(w->shared);
	return NULL;
}

static void a_fixed_descriptor_is_shared_by_threads(void **state)
{
	const unsigned int fds = open_fds();
	const uint64_t locked = locked_bytes();
	struct iobuf *b = NULL;

	(void)state;
	assert_int_equal(iobuf_with_options(IOBUF_PAGEABLE | IOBUF_SHARED |
						    IOBUF_DIRECTION_INOUT,
					    THREADS * STRIPE, 1, &b),
			 0);
	run_threads(use_shared_fixed, b);
	/* The last of the threads has freed it. */
	assert_int_equal(open_fds(), fds);
	assert_int_equal(locked_bytes(), locked);
	assert_int_equal(mapped_bytes("memfd:iobuf"), 0);
}

static void *count_references(void *argument)
{
	struct worker *w = argument;

	pthread_barrier_wait(&start);
	for (int i = 0; i < 500 * ROUNDS; i++)
		iobuf_release(iobuf_retain(w->shared));
	iobuf_release(w->shared);
	return NULL;
}

static void no_reference_is_lost_or_counted_twice(void **state)
{
	const unsigned int fds = open_fds();
	struct iobuf *b = NULL;

	(void)state;
	assert_int_equal(iobuf_with_options(IOBUF_PAGEABLE, STRIPE, 1, &b), 0);
	run_threads(count_references, iobuf_retain(b));
	assert_int_equal(open_fds(), fds + 1);
	assert_int_equal(iobuf_get_length(b), STRIPE);
	iobuf_release(b);
	assert_int_equal(open_fds(), fds);
}

static void *own_a_stripe(void *argument)
{
	struct worker *w = argument;
	const uint64_t at = w->number * (uint64_t)STRIPE;
	unsigned char in[STRIPE], out[STRIPE];
	size_t n = 0;

	pthread_barrier_wait(&start);
	for (int i = 0; i < ROUNDS; i++) {
		memset(in, i, sizeof(in));
		CHECK(iobuf_write_bytes(w->shared, at, in, STRIPE, &n) == 0);
		CHECK(n == STRIPE);
		CHECK(iobuf_read_bytes(w->shared, at, out, STRIPE, &n) == 0);
		CHECK(n == STRIPE && !memcmp(in, out, STRIPE));
	}
	iobuf_release(w->shared);
	return NULL;
}

static void transfers_of_different_bytes_do_not_disturb_each_other(void **state)
{
	struct iobuf *b = NULL;

	(void)state;
	assert_int_equal(iobuf_with_capacity(THREADS * STRIPE,
					     IOBUF_DIRECTION_INOUT, false, &b),
			 0);
	run_threads(own_a_stripe, b);
}

/* A wired elastic buffer over `fd`, which the caller closes. */
static struct iobuf *wired_elastic(int fd)
{
	struct iobuf_spec spec = iobuf_spec_default;
	struct iobuf *b = NULL;

	spec.options &= ~IOBUF_PAGEABLE;
	assert_int_equal(iobuf_attach(&spec, fd, 0, &b), 0);
	assert_int_equal(iobuf_prepare(b), 0);
	return b;
}

struct record {
	uint32_t number, serial;
	unsigned char rest[504];
};

static void *append_records(void *argument)
{
	struct worker *w = argument;
	struct record record = { .number = w->number };
	struct iobuf_report report;
	size_t n = 0;

	pthread_barrier_wait(&start);
	for (uint32_t i = 0; i < RECORDS; i++) {
		record.serial = i;
		CHECK(iobuf_append_bytes(w->shared, &record, sizeof(record),
					 &n) == 0);
		CHECK(n == sizeof(record));
		CHECK(iobuf_get_length(w->shared) % sizeof(record) == 0);
		CHECK(iobuf_get_report(w->shared, &report) == 0);
		CHECK(report.wired > 0);
	}
	iobuf_release(w->shared);
	return NULL;
}

/* The records of each thread are there, once, in its order. */
static void expect_all_records(int fd)
{
	uint32_t next[THREADS] = { 0 };
	struct record record;

	assert_int_equal(stat_of(fd).st_size,
			 THREADS * RECORDS * sizeof(record));
	for (int i = 0; i < THREADS * RECORDS; i++) {
		assert_int_equal(pread(fd, &record, sizeof(record),
				       (off_t)((size_t)i * sizeof(record))),
				 sizeof(record));
		assert_in_range(record.number, 0, THREADS - 1);
		assert_int_equal(record.serial, next[record.number]++);
	}
}

static void bytes_that_threads_append_are_neither_lost_nor_mixed(void **state)
{
	const uint64_t locked = locked_bytes();
	int fd = new_memfd();

	(void)state;
	run_threads(append_records, wired_elastic(fd));
	expect_all_records(fd);
	assert_int_equal(locked_bytes(), locked);
	close(fd);
}

static void *resize_and_transfer(void *argument)
{
	struct worker *w = argument;
	const uint64_t limit = (uint64_t)THREADS * STRIPE;
	unsigned char bytes[512] = { 0 };
	struct iobuf_report report;
	size_t n = 0;

	pthread_barrier_wait(&start);
	for (int i = 0; i < ROUNDS; i++) {
		CHECK(iobuf_resize(w->shared, next_random(w) % limit) == 0);
		CHECK(iobuf_write_bytes(w->shared, next_random(w) % limit,
					bytes, sizeof(bytes), &n) == 0);
		CHECK(iobuf_read_bytes(w->shared, next_random(w) % limit, bytes,
				       sizeof(bytes), &n) == 0);
		CHECK(all_bytes_are(bytes, n, 0));
		CHECK(iobuf_get_report(w->shared, &report) == 0);
		CHECK(iobuf_get_length(w->shared) < limit + sizeof(bytes));
	}
	iobuf_release(w->shared);
	return NULL;
}

static void an_elastic_descriptor_is_resized_by_threads(void **state)
{
	const uint64_t locked = locked_bytes();
	int fd = new_memfd();
	struct iobuf *b = wired_elastic(fd);
	uint64_t length;

	(void)state;
	iobuf_retain(b);
	run_threads(resize_and_transfer, b);
	length = iobuf_get_length(b);
	assert_int_equal(stat_of(fd).st_size, length);
	assert_int_equal(locked_bytes(),
			 locked + (length + page_bytes() - 1) / page_bytes() *
					  page_bytes());
	iobuf_release(b);
	assert_int_equal(locked_bytes(), locked);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(private_descriptors_do_not_meet),
		cmocka_unit_test(a_fixed_descriptor_is_shared_by_threads),
		cmocka_unit_test(no_reference_is_lost_or_counted_twice),
		cmocka_unit_test(
			transfers_of_different_bytes_do_not_disturb_each_other),
		cmocka_unit_test(
			bytes_that_threads_append_are_neither_lost_nor_mixed),
		cmocka_unit_test(an_elastic_descriptor_is_resized_by_threads),
	};

	return RUN_TESTS("threads", tests);
}
