/* SPDX-License-Identifier: MIT */
/*
 * test_physical.c - contiguous, aligned and masked memory, and its segments.
 * Frame numbers are read here, not by the code under test.
 */
#include "buffers.h"

#include <pthread.h>
#include <semaphore.h>

static uint64_t frame_at(const void *address)
{
	uint64_t entry = 0;
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(pread(fd, &entry, sizeof(entry),
			       (off_t)((uintptr_t)address / page_bytes() *
				       sizeof(entry))),
			 sizeof(entry));
	close(fd);
	return entry >> 63 ? entry & ((UINT64_C(1) << 55) - 1) : 0;
}

static bool sees_frames(void)
{
	int here = 0;

	return frame_at(&here) != 0;
}

#define NEEDS_FRAMES()                                                         \
	do {                                                                   \
		if (!sees_frames())                                            \
			SKIP("page frame numbers take CAP_SYS_ADMIN");         \
	} while (0)

static const unsigned char *bytes_of(struct iobuf *b)
{
	return iobuf_get_bytes_no_copy(b, 0, iobuf_get_length(b));
}

static void contiguous_memory_is_one_run_over_the_whole_capacity(void **state)
{
	static const char *const specs[] = {
		"contiguous,capacity=4K", "contiguous,capacity=12K",
		"contiguous,capacity=1M", "contiguous,capacity=2M",
		"contiguous,capacity=5M",
	};

	(void)state;
	NEEDS_FRAMES();
	for (size_t i = 0; i < COUNT_OF(specs); i++) {
		struct iobuf *b = created(specs[i]);
		const unsigned char *p = bytes_of(b);
		uint64_t size = iobuf_get_capacity(b), first = frame_at(p);

		for (uint64_t at = 0; at < size; at += page_bytes())
			assert_int_equal(frame_at(p + at),
					 first + at / page_bytes());
		assert_true(all_bytes_are(p, size, 0));
		assert_int_equal((uint64_t)stat_of(iobuf_fd(b)).st_blocks * 512,
				 size);
		iobuf_release(b);
	}
}

static void contiguous_memory_is_wired_and_pinned(void **state)
{
	const uint64_t before = locked_bytes();
	struct iobuf_report report;
	struct iobuf *b;

	(void)state;
	NEEDS_FRAMES();
	b = created("contiguous,capacity=4M");
	assert_int_equal(locked_bytes() - before, 4 * MIB);
	assert_int_equal(iobuf_get_report(b, &report), 0);
	assert_int_equal(report.wired, 4 * MIB);
	assert_int_equal(report.longest_run, 4 * MIB);
	assert_int_equal(report.pinned, 4 * MIB);
	iobuf_release(b);
	assert_int_equal(locked_bytes(), before);
}

static void alignment_above_a_page_is_that_of_the_physical_start(void **state)
{
	static const struct {
		const char *text;
		uint64_t alignment;
	} specs[] = {
		{ "align=8K,capacity=4K", 8192 },
		{ "align=64K,capacity=4K", 65536 },
		{ "align=2M,capacity=4K", 2 * MIB },
		{ "align=4M,capacity=4K", 4 * MIB },
	};

	(void)state;
	NEEDS_FRAMES();
	for (size_t i = 0; i < COUNT_OF(specs); i++) {
		struct iobuf *b = created(specs[i].text);

		assert_int_equal(frame_at(bytes_of(b)) * page_bytes() %
					 specs[i].alignment,
				 0);
		iobuf_release(b);
	}
}

static void a_mask_holds_for_every_page(void **state)
{
	struct iobuf *b;
	const unsigned char *p;

	(void)state;
	NEEDS_FRAMES();
	b = created("mask=0xffffffff,capacity=3M");
	p = bytes_of(b);
	for (uint64_t at = 0; at < 3 * MIB; at += page_bytes())
		assert_true(frame_at(p + at) * page_bytes() <= 0xffffffff);
	iobuf_release(b);
}

static void a_mask_that_no_memory_has_is_enomem_never_a_silent_pass(void **state)
{
	struct iobuf_spec spec = resolved("mask=0x1000,capacity=64K");
	struct iobuf_reason reason = { 0 };
	struct iobuf *b = NULL;

	(void)state;
	NEEDS_FRAMES();
	assert_int_equal(iobuf_create(&spec, &b, &reason), -ENOMEM);
	assert_null(b);
	assert_true(reason.text[0] != '\0');
}

static void create_without_the_right_to_see_frames(void)
{
	struct iobuf_spec spec = resolved("contiguous,capacity=8K");
	struct iobuf *b = NULL;
	int fd = new_shm_file();

	drop_capability(CAP_SYS_ADMIN);
	CHILD_CHECK(iobuf_create_in_file(&spec, fd, &b, NULL) == -EPERM);
	CHILD_CHECK(!b && stat_of(fd).st_size == 0 && stat_of(fd).st_blocks == 0);
	CHILD_CHECK(iobuf_create(&spec, &b, NULL) == -EPERM);
}

static void without_the_right_to_see_frames_it_is_eperm(void **state)
{
	(void)state;
	run_in_child(create_without_the_right_to_see_frames);
}

static int count_down(void *context)
{
	int *left = context;

	return (*left)-- <= 0 ? -EINTR : 0;
}

static int refuse_to_wait(void *context)
{
	(void)context;
	return -EAGAIN;
}

static void a_creation_can_be_interrupted_and_leaves_nothing(void **state)
{
	struct iobuf_spec spec = resolved("contiguous,capacity=64M");
	const unsigned int fds = open_fds();
	struct iobuf *b = NULL;
	int left = 3;

	(void)state;
	NEEDS_FRAMES();
	iobuf_set_interrupt_check(count_down, &left);
	assert_int_equal(iobuf_create(&spec, &b, NULL), -EINTR);
	iobuf_set_interrupt_check(NULL, NULL);
	assert_null(b);
	assert_in_range(open_fds(), fds, fds + 1); /* the tmpfs stays */
}

static int bound(void *context, uint64_t bytes)
{
	uint64_t *left = context;

	if (bytes > *left)
		return -ENOMEM;
	*left -= bytes;
	return 0;
}

static void a_search_takes_no_more_than_it_may(void **state)
{
	struct iobuf_spec spec = resolved("contiguous,capacity=64M");
	const unsigned int fds = open_fds();
	uint64_t left = 32 << 20;
	struct iobuf *b = NULL;

	(void)state;
	NEEDS_FRAMES();
	iobuf_set_memory_check(bound, &left);
	assert_int_equal(iobuf_create(&spec, &b, NULL), -ENOMEM);
	iobuf_set_memory_check(NULL, NULL);
	assert_null(b);
	assert_true(left < 2 << 20);
	assert_in_range(open_fds(), fds, fds + 1); /* the tmpfs stays */
}

static sem_t entered, leave;

static int stop_here(void *context)
{
	(void)context;
	sem_post(&entered);
	sem_wait(&leave);
	return -EINTR;
}

static void *create_and_stop(void *ret_error)
{
	struct iobuf_spec spec = resolved("contiguous,capacity=64M");
	struct iobuf *b = NULL;

	iobuf_set_interrupt_check(stop_here, NULL);
	*(int *)ret_error = iobuf_create(&spec, &b, NULL);
	return NULL;
}

static void waiting_for_another_creation_ends_with_what_the_check_says(void **state)
{
	struct iobuf_spec spec = resolved("contiguous,capacity=64M");
	struct iobuf *b = NULL;
	int left = 0, error = 0;
	pthread_t other;

	(void)state;
	NEEDS_FRAMES();
	sem_init(&entered, 0, 0);
	sem_init(&leave, 0, 0);
	assert_int_equal(pthread_create(&other, NULL, create_and_stop, &error),
			 0);
	sem_wait(&entered); /* it is in the middle of its build now */
	iobuf_set_interrupt_check(count_down, &left);
	assert_int_equal(iobuf_create(&spec, &b, NULL), -EINTR);
	iobuf_set_interrupt_check(refuse_to_wait, NULL);
	assert_int_equal(iobuf_create(&spec, &b, NULL), -EAGAIN);
	iobuf_set_interrupt_check(NULL, NULL);
	sem_post(&leave);
	assert_int_equal(pthread_join(other, NULL), 0);
	assert_int_equal(error, -EINTR);
}

static void segments_walk_the_runs(void **state)
{
	uint64_t address, size;
	struct iobuf *b;

	(void)state;
	NEEDS_FRAMES();
	b = created("contiguous,capacity=1M");
	assert_int_equal(iobuf_get_physical_segment(b, 0, &address, &size), 0);
	assert_int_equal(address, frame_at(bytes_of(b)) * page_bytes());
	assert_int_equal(size, MIB);
	assert_int_equal(iobuf_get_physical_segment(b, 5000, &address, &size),
			 0);
	assert_int_equal(address,
			 frame_at(bytes_of(b)) * page_bytes() + 5000);
	assert_int_equal(size, MIB - 5000);
	assert_int_equal(iobuf_get_physical_segment(b, MIB, &address, &size),
			 -EINVAL);
	iobuf_release(b);
}

static void segments_of_wired_memory_cover_it_without_a_gap(void **state)
{
	struct iobuf *b;

	(void)state;
	NEEDS_FRAMES();
	b = created("wired,capacity=3M");
	for (uint64_t at = 0, address, size; at < 3 * MIB; at += size) {
		assert_int_equal(iobuf_get_physical_segment(b, at, &address,
							    &size),
				 0);
		assert_in_range(size, 1, 3 * MIB - at);
		assert_int_equal(address,
				 frame_at(bytes_of(b) + at) * page_bytes());
	}
	iobuf_release(b);
}

static void segments_of_absent_memory_are_enxio(void **state)
{
	uint64_t address, size;
	struct iobuf *b;

	(void)state;
	NEEDS_FRAMES();
	b = created("capacity=1M");
	assert_int_equal(iobuf_get_physical_segment(b, 0, &address, &size),
			 -ENXIO);
	iobuf_release(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			contiguous_memory_is_one_run_over_the_whole_capacity),
		cmocka_unit_test(contiguous_memory_is_wired_and_pinned),
		cmocka_unit_test(
			alignment_above_a_page_is_that_of_the_physical_start),
		cmocka_unit_test(a_mask_holds_for_every_page),
		cmocka_unit_test(
			a_mask_that_no_memory_has_is_enomem_never_a_silent_pass),
		cmocka_unit_test(without_the_right_to_see_frames_it_is_eperm),
		cmocka_unit_test(
			a_creation_can_be_interrupted_and_leaves_nothing),
		cmocka_unit_test(a_search_takes_no_more_than_it_may),
		cmocka_unit_test(
			waiting_for_another_creation_ends_with_what_the_check_says),
		cmocka_unit_test(segments_walk_the_runs),
		cmocka_unit_test(
			segments_of_wired_memory_cover_it_without_a_gap),
		cmocka_unit_test(segments_of_absent_memory_are_enxio),
	};

	/* Not RUN_TESTS: scratch files are as large as memory, but sparse. */
	return cmocka_run_group_tests_name("physical", tests, NULL, NULL);
}
