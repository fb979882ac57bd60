/* SPDX-License-Identifier: MIT */
/* test_construct.c - Apple's constructors, one test a promise. */
#include "unit.h"

#include <iobuf/iobuf.h>

static const uint64_t MIB = UINT64_C(1) << 20;

static const uint32_t PLAIN = IOBUF_PAGEABLE | IOBUF_DIRECTION_INOUT;

enum { NOBODY = 65534 };

/* What a failed construction may not leave behind. */
struct footprint {
	unsigned int fds;
	uint64_t mapped, locked;
};

static struct footprint footprint(void)
{
	return (struct footprint){ open_fds(), mapped_bytes("memfd:iobuf"),
				   locked_bytes() };
}

static bool same_footprint(struct footprint before)
{
	struct footprint now = footprint();

	return now.fds == before.fds && now.mapped == before.mapped &&
	       now.locked == before.locked;
}

/* A page that nobody can read; held, so that no buffer is mapped there. */
static void *unreadable_page(void)
{
	static void *page;

	if (!page)
		page = mmap(NULL, page_bytes(), PROT_NONE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_true(page != MAP_FAILED);
	return page;
}

/* An absent bit is off: no direction, unshared, wired. */
static void options_are_exact(void **state)
{
	const uint64_t locked = locked_bytes();
	struct iobuf *b = NULL;

	(void)state;
	assert_int_equal(iobuf_in_task_with_options(0, 0, 100, 1, &b), 0);
	assert_int_equal(iobuf_get_spec(b)->options, 0);
	assert_int_equal(iobuf_get_direction(b), IOBUF_DIRECTION_NONE);
	assert_int_equal(iobuf_get_capacity(b), 100);
	assert_int_equal(iobuf_get_length(b), 100);
	assert_int_equal(locked_bytes(), locked + page_bytes());
	iobuf_release(b);

	assert_int_equal(iobuf_in_task_with_options(0, PLAIN | IOBUF_SHARED,
						    100, 1, &b),
			 0);
	assert_int_equal(iobuf_get_spec(b)->options, PLAIN | IOBUF_SHARED);
	assert_int_equal(iobuf_get_capacity(b), page_bytes());
	assert_int_equal(locked_bytes(), locked);
	iobuf_release(b);
}

static void a_page_of_alignment_rounds_the_capacity_up(void **state)
{
	struct iobuf *b = NULL;

	(void)state;
	assert_int_equal(iobuf_in_task_with_options(0, PLAIN, 100, page_bytes(),
						    &b),
			 0);
	assert_int_equal(iobuf_get_capacity(b), page_bytes());
	assert_int_equal(iobuf_get_spec(b)->alignment, page_bytes());
	iobuf_release(b);
	assert_int_equal(iobuf_in_task_with_options(0, PLAIN, 100, 64, &b), 0);
	assert_int_equal(iobuf_get_capacity(b), 100);
	assert_int_equal(iobuf_get_spec(b)->alignment, 64);
	iobuf_release(b);
}

static void a_cache_mode_rounds_the_capacity_up(void **state)
{
	struct iobuf *b = NULL;

	(void)state;
	assert_int_equal(iobuf_in_task_with_options(
				 0, PLAIN | IOBUF_CACHE_COPYBACK, 100, 1, &b),
			 0);
	assert_int_equal(iobuf_get_capacity(b), page_bytes());
	iobuf_release(b);
}

static void what_the_rules_refuse_is_refused_and_leaves_nothing(void **state)
{
	static const struct {
		int32_t task;
		uint32_t options;
		uint64_t capacity, alignment;
		int error;
	} rows[] = {
		{ 0, 0, 0, 1, -EINVAL },
		{ 0, 0, 100, 0, -EINVAL },
		{ 0, 0, 100, 3, -EINVAL },
		{ 0, 0, UINT64_MAX, 1, -EOVERFLOW },
		{ 0, 0, INT64_MAX, 4096, -EOVERFLOW },
		{ 0, 0x80000000u, 100, 1, -EINVAL },
		{ 0, IOBUF_PURGEABLE, 100, 1, -EINVAL },
		{ 0, IOBUF_PAGEABLE | IOBUF_CONTIGUOUS, 100, 1, -EINVAL },
		{ 0, IOBUF_PAGEABLE, 100, UINT64_C(2) << 20, -EINVAL },
		{ 1, 0, 100, 1, -EINVAL }, /* a task's is pageable */
		{ 1, IOBUF_PAGEABLE, 100, 1, -EOPNOTSUPP }, /* and a file */
		{ 0, 0, UINT64_C(1) << 60, 1, -ENOMEM },
	};
	const struct footprint before = footprint();
	struct iobuf *b = NULL;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		assert_int_equal(iobuf_in_task_with_options(
					 rows[i].task, rows[i].options,
					 rows[i].capacity, rows[i].alignment,
					 &b),
				 rows[i].error);
		assert_int_equal(iobuf_in_task_with_options_and_tags(
					 rows[i].task, rows[i].options,
					 rows[i].capacity, rows[i].alignment, 1,
					 2, &b),
				 rows[i].error);
	}
	assert_null(b);
	assert_true(same_footprint(before));
}

static void tags_are_kept(void **state)
{
	struct iobuf *b = NULL;

	(void)state;
	assert_int_equal(iobuf_in_task_with_options_and_tags(
				 0, PLAIN, MIB, 1, 0xfedcba98, 0x01234567, &b),
			 0);
	assert_int_equal(iobuf_get_kernel_tag(b), 0xfedcba98);
	assert_int_equal(iobuf_get_user_tag(b), 0x01234567);
	assert_string_equal(iobuf_get_spec(b)->tag, "");
	iobuf_release(b);
}

static void other_buffers_have_no_tags(void **state)
{
	struct iobuf *a = NULL, *b = NULL;

	(void)state;
	assert_int_equal(iobuf_with_options(PLAIN, MIB, 1, &a), 0);
	assert_int_equal(iobuf_get_kernel_tag(a), 0);
	assert_int_equal(iobuf_get_user_tag(a), 0);
	assert_int_equal(iobuf_attach(iobuf_get_spec(a), iobuf_fd(a), MIB, &b),
			 0);
	assert_int_equal(iobuf_get_kernel_tag(b), 0);
	assert_int_equal(iobuf_get_user_tag(b), 0);
	iobuf_release(b);
	iobuf_release(a);
}

static void with_options_is_of_this_process(void **state)
{
	struct iobuf *b = NULL;

	(void)state;
	assert_int_equal(iobuf_with_options(IOBUF_DIRECTION_OUT, MIB, 64, &b),
			 0);
	assert_int_equal(iobuf_get_spec(b)->options, IOBUF_DIRECTION_OUT);
	assert_int_equal(iobuf_get_spec(b)->task, IOBUF_TASK_KERNEL);
	assert_int_equal(iobuf_get_spec(b)->alignment, 64);
	iobuf_release(b);
}

static void with_capacity_is_wired_unshared_and_not_rounded(void **state)
{
	const uint64_t locked = locked_bytes();
	struct iobuf *b = NULL;

	(void)state;
	assert_int_equal(iobuf_with_capacity(MIB + 1, IOBUF_DIRECTION_IN, false,
					     &b),
			 0);
	assert_int_equal(iobuf_get_spec(b)->options,
			 IOBUF_DIRECTION_IN | IOBUF_UNSHARED);
	assert_int_equal(iobuf_get_capacity(b), MIB + 1);
	assert_int_equal(iobuf_get_length(b), MIB + 1);
	assert_int_equal(locked_bytes(), locked + MIB + page_bytes());
	iobuf_release(b);
	assert_int_equal(locked_bytes(), locked);
}

/* Contiguous memory may be out of reach here; it may not be forgotten. */
static void contiguous_is_passed_on(void **state)
{
	struct iobuf *b = NULL;
	int r = iobuf_with_capacity(page_bytes(), IOBUF_DIRECTION_IN, true, &b);

	(void)state;
	if (r == 0)
		assert_true(iobuf_get_spec(b)->options & IOBUF_CONTIGUOUS);
	else
		assert_true(r == -EOPNOTSUPP || r == -ENOMEM || r == -EPERM);
	iobuf_release(b);
}

static void a_direction_with_other_bits_is_einval(void **state)
{
	struct iobuf *b = NULL;

	(void)state;
	assert_int_equal(iobuf_with_capacity(MIB, IOBUF_PAGEABLE, false, &b),
			 -EINVAL);
	assert_int_equal(iobuf_with_capacity(MIB, 4, false, &b), -EINVAL);
	assert_int_equal(iobuf_with_bytes("x", 1, IOBUF_SHARED, false, &b),
			 -EINVAL);
	assert_int_equal(iobuf_with_capacity(0, 0, false, &b), -EINVAL);
	assert_null(b);
}

/* Not even `none` keeps the first bytes out. */
static void with_bytes_holds_the_bytes_whatever_the_direction(void **state)
{
	static const char text[] = "eleven byte";
	struct iobuf *b = NULL;

	(void)state;
	for (uint32_t way = 0; way <= IOBUF_DIRECTION_INOUT; way++) {
		assert_int_equal(iobuf_with_bytes(text, 11, way, false, &b), 0);
		assert_int_equal(iobuf_get_direction(b), way);
		assert_int_equal(iobuf_get_length(b), 11);
		assert_int_equal(iobuf_get_capacity(b), 11);
		assert_memory_equal(iobuf_get_bytes_no_copy(b, 0, 11), text,
				    11);
		iobuf_release(b);
	}
}

static void with_bytes_that_cannot_be_read_is_efault(void **state)
{
	const struct footprint before = footprint();
	struct iobuf *b = NULL;

	(void)state;
	assert_int_equal(iobuf_with_bytes(unreadable_page(), 100, 0, false,
					  &b),
			 -EFAULT);
	assert_int_equal(iobuf_with_bytes("", 0, 0, false, &b), -EINVAL);
	assert_null(b);
	assert_true(same_footprint(before));
}

/* A child that sleeps until it is killed. */
static pid_t sleeping_child(void)
{
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0)
		for (;;)
			pause();
	return pid;
}

static void end_child(pid_t pid)
{
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void with_copy_holds_the_memory_of_another_process(void **state)
{
	const size_t size = 3 * page_bytes() + 5;
	unsigned char *bytes = malloc(size);
	struct iobuf *b = NULL;
	pid_t pid;

	(void)state;
	memset(bytes, 0x5a, size);
	pid = sleeping_child();
	memset(bytes, 0, size); /* what is ours is not the child's */
	assert_int_equal(iobuf_with_copy(0, IOBUF_DIRECTION_OUT, pid,
					 (uintptr_t)bytes, size, &b),
			 0);
	end_child(pid);
	assert_int_equal(iobuf_get_length(b), size);
	assert_int_equal(iobuf_get_capacity(b), size);
	assert_true(all_bytes_are(iobuf_get_bytes_no_copy(b, 0, size), size,
				  0x5a));
	iobuf_release(b);
	free(bytes);
}

static void with_copy_of_this_process_is_source_0(void **state)
{
	struct iobuf *b = NULL;
	char bytes[] = "my own";

	(void)state;
	assert_int_equal(iobuf_with_copy(0, PLAIN | IOBUF_SHARED, 0,
					 (uintptr_t)bytes, sizeof(bytes), &b),
			 0);
	assert_int_equal(iobuf_get_length(b), sizeof(bytes));
	assert_int_equal(iobuf_get_capacity(b), page_bytes()); /* shared */
	assert_memory_equal(iobuf_get_bytes_no_copy(b, 0, sizeof(bytes)), bytes,
			    sizeof(bytes));
	iobuf_release(b);
}

static void with_copy_of_a_dead_process_is_esrch(void **state)
{
	const struct footprint before = footprint();
	pid_t pid = sleeping_child();
	struct iobuf *b = NULL;
	char byte = 0;

	(void)state;
	end_child(pid);
	assert_int_equal(iobuf_with_copy(0, PLAIN, pid, (uintptr_t)&byte, 1,
					 &b),
			 -ESRCH);
	assert_int_equal(iobuf_with_copy(0, PLAIN, IOBUF_TASK_SELF,
					 (uintptr_t)&byte, 1, &b),
			 -ESRCH);
	assert_null(b);
	assert_true(same_footprint(before));
}

static void copy_from_another_user(void)
{
	const pid_t source = geteuid() == 0 ? getppid() : 1;
	struct footprint before;
	struct iobuf *b = NULL;
	char byte = 0;

	if (geteuid() == 0)
		CHILD_CHECK(setresuid(NOBODY, NOBODY, NOBODY) == 0);
	before = footprint();
	CHILD_CHECK(iobuf_with_copy(0, PLAIN, source, (uintptr_t)&byte, 1,
				    &b) == -EPERM);
	CHILD_CHECK(!b && same_footprint(before));
}

static void with_copy_of_another_users_process_is_eperm(void **state)
{
	(void)state;
	run_in_child(copy_from_another_user);
}

static void a_copy_that_ends_early_is_efault_and_leaves_nothing(void **state)
{
	const uint64_t page = page_bytes();
	const struct footprint before = footprint();
	unsigned char *p = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE,
				MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct iobuf *b = NULL;

	(void)state;
	assert_true(p != MAP_FAILED);
	assert_int_equal(mprotect(p + page, page, PROT_NONE), 0);
	assert_int_equal(iobuf_with_copy(0, PLAIN, 0, (uintptr_t)p, 2 * page,
					 &b),
			 -EFAULT);
	assert_int_equal(iobuf_with_copy(0, 0, 0, (uintptr_t)p, page + 1, &b),
			 -EFAULT);
	assert_int_equal(iobuf_with_copy(0, 0, 0, (uintptr_t)unreadable_page(),
					 1, &b),
			 -EFAULT);
	assert_int_equal(iobuf_with_copy(0, 0, 0, UINT64_MAX - 10, 100, &b),
			 -EFAULT);
	assert_null(b);
	munmap(p, 2 * page);
	assert_true(same_footprint(before));
}

static void a_copy_of_nothing_is_einval(void **state)
{
	struct iobuf *b = NULL;

	(void)state;
	assert_int_equal(iobuf_with_copy(0, PLAIN, 0, (uintptr_t)&b, 0, &b),
			 -EINVAL);
	assert_null(b);
}

static void a_physical_mask_of_0_is_any_address(void **state)
{
	struct iobuf *b = NULL;

	(void)state;
	assert_int_equal(iobuf_in_task_with_physical_mask(0, PLAIN, 100, 0, &b),
			 0);
	assert_int_equal(iobuf_get_spec(b)->physical_mask, 0);
	assert_int_equal(iobuf_get_spec(b)->alignment, 1);
	iobuf_release(b);
}

/* Such memory may be out of reach here; the mask may not be forgotten. */
static void a_physical_mask_is_passed_on(void **state)
{
	const uint64_t mask = UINT64_C(0xfffffffff000);
	struct iobuf *b = NULL;
	int r = iobuf_in_task_with_physical_mask(0, 0, page_bytes(), mask, &b);

	(void)state;
	if (r == 0) {
		assert_int_equal(iobuf_get_spec(b)->physical_mask, mask);
		assert_int_equal(iobuf_get_spec(b)->alignment, page_bytes());
	} else {
		assert_true(r == -EOPNOTSUPP || r == -ENOMEM || r == -EPERM);
	}
	iobuf_release(b);
}

static void masked_pageable_memory_is_einval(void **state)
{
	struct iobuf *b = NULL;

	(void)state;
	assert_int_equal(iobuf_in_task_with_physical_mask(0, PLAIN, MIB,
							  0xfffff000, &b),
			 -EINVAL);
	assert_null(b);
}

/* The signal that a store to `at` ends a child with; 0: none. */
static int signal_of_store(volatile unsigned char *at)
{
	const struct rlimit none = { 0, 0 };
	int status = 0;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		setrlimit(RLIMIT_CORE, &none);
		signal(SIGSEGV, SIG_DFL); /* also under a sanitizer */
		signal(SIGBUS, SIG_DFL);
		*at = 1;
		_exit(EXIT_SUCCESS);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

/* Below, at and above the size of a huge page, whose mapping is aligned. */
static void running_over_either_end_of_guarded_memory_faults(void **state)
{
	const uint64_t sizes[] = { 1, 3 * page_bytes(), 2 * MIB, 3 * MIB + 1 };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(sizes); i++) {
		struct iobuf *b = NULL;
		unsigned char *p;
		uint64_t capacity;

		assert_int_equal(iobuf_in_task_with_guard_pages(
					 0, IOBUF_DIRECTION_INOUT, sizes[i],
					 &b),
				 0);
		capacity = iobuf_get_capacity(b);
		assert_int_equal(capacity % page_bytes(), 0);
		assert_true(capacity >= sizes[i] &&
			    capacity < sizes[i] + page_bytes());
		p = iobuf_get_bytes_no_copy(b, 0, capacity);
		assert_int_equal(signal_of_store(p), 0);
		assert_int_equal(signal_of_store(p + capacity - 1), 0);
		assert_int_equal(signal_of_store(p - 1), SIGSEGV);
		assert_int_equal(signal_of_store(p - page_bytes()), SIGSEGV);
		assert_int_equal(signal_of_store(p + capacity), SIGSEGV);
		assert_int_equal(
			signal_of_store(p + capacity + page_bytes() - 1),
			SIGSEGV);
		iobuf_release(b);
	}
}

/* Whether anything is mapped on the page at `at`. */
static bool is_mapped(void *at)
{
	unsigned char in_core;

	return mincore(at, page_bytes(), &in_core) == 0;
}

static void guard_pages_go_with_the_buffer(void **state)
{
	const uint64_t page = page_bytes();
	struct iobuf *b = NULL;
	unsigned char *p;

	(void)state;
	assert_int_equal(iobuf_in_task_with_guard_pages(0, 0, page, &b), 0);
	p = iobuf_get_bytes_no_copy(b, 0, page);
	assert_true(is_mapped(p - page) && is_mapped(p + page));
	iobuf_release(b);
	assert_false(is_mapped(p - page));
	assert_false(is_mapped(p));
	assert_false(is_mapped(p + page));
}

static void guarded_memory_is_wired_and_transfers(void **state)
{
	const uint64_t locked = locked_bytes();
	struct iobuf *b = NULL;
	char out[4] = "";
	size_t n = 0;

	(void)state;
	assert_int_equal(iobuf_in_task_with_guard_pages(
				 0, IOBUF_DIRECTION_INOUT, MIB, &b),
			 0);
	assert_int_equal(locked_bytes(), locked + MIB);
	assert_int_equal(iobuf_write_bytes(b, MIB - 3, "end", 3, &n), 0);
	assert_int_equal(iobuf_read_bytes(b, MIB - 3, out, 3, &n), 0);
	assert_string_equal(out, "end");
	iobuf_release(b);
	assert_int_equal(locked_bytes(), locked);
}

static void guards_refuse_what_apple_refuses(void **state)
{
	const struct footprint before = footprint();
	struct iobuf *b = NULL;

	(void)state;
	assert_int_equal(iobuf_in_task_with_guard_pages(0, IOBUF_PAGEABLE, MIB,
							&b),
			 -EINVAL);
	assert_int_equal(iobuf_in_task_with_guard_pages(0, IOBUF_CONTIGUOUS,
							MIB, &b),
			 -EINVAL);
	assert_int_equal(iobuf_in_task_with_guard_pages(0, 0, 0, &b), -EINVAL);
	assert_int_equal(iobuf_in_task_with_guard_pages(getpid(), 0, MIB, &b),
			 -EINVAL);
	assert_int_equal(iobuf_in_task_with_guard_pages(0, 0, UINT64_MAX, &b),
			 -EOVERFLOW);
	assert_null(b);
	assert_true(same_footprint(before));
}

static void construct_without_any_lock(void)
{
	const struct rlimit none = { 0, 0 };
	const struct footprint before = footprint();
	struct iobuf *b = NULL;

	drop_capability(CAP_IPC_LOCK);
	CHILD_CHECK(setrlimit(RLIMIT_MEMLOCK, &none) == 0);
	CHILD_CHECK(iobuf_with_options(0, MIB, 1, &b) == -ENOMEM);
	CHILD_CHECK(iobuf_with_capacity(MIB, 0, false, &b) == -ENOMEM);
	CHILD_CHECK(iobuf_with_bytes("x", 1, 0, false, &b) == -ENOMEM);
	CHILD_CHECK(iobuf_with_copy(0, 0, 0, (uintptr_t)&b, 1, &b) == -ENOMEM);
	CHILD_CHECK(iobuf_in_task_with_guard_pages(0, 0, MIB, &b) == -ENOMEM);
	CHILD_CHECK(!b && same_footprint(before));
}

static void the_lock_limit_is_enomem_and_leaves_nothing(void **state)
{
	(void)state;
	run_in_child(construct_without_any_lock);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(options_are_exact),
		cmocka_unit_test(a_page_of_alignment_rounds_the_capacity_up),
		cmocka_unit_test(a_cache_mode_rounds_the_capacity_up),
		cmocka_unit_test(
			what_the_rules_refuse_is_refused_and_leaves_nothing),
		cmocka_unit_test(tags_are_kept),
		cmocka_unit_test(other_buffers_have_no_tags),
		cmocka_unit_test(with_options_is_of_this_process),
		cmocka_unit_test(
			with_capacity_is_wired_unshared_and_not_rounded),
		cmocka_unit_test(contiguous_is_passed_on),
		cmocka_unit_test(a_direction_with_other_bits_is_einval),
		cmocka_unit_test(
			with_bytes_holds_the_bytes_whatever_the_direction),
		cmocka_unit_test(with_bytes_that_cannot_be_read_is_efault),
		cmocka_unit_test(with_copy_holds_the_memory_of_another_process),
		cmocka_unit_test(with_copy_of_this_process_is_source_0),
		cmocka_unit_test(with_copy_of_a_dead_process_is_esrch),
		cmocka_unit_test(with_copy_of_another_users_process_is_eperm),
		cmocka_unit_test(
			a_copy_that_ends_early_is_efault_and_leaves_nothing),
		cmocka_unit_test(a_copy_of_nothing_is_einval),
		cmocka_unit_test(a_physical_mask_of_0_is_any_address),
		cmocka_unit_test(a_physical_mask_is_passed_on),
		cmocka_unit_test(masked_pageable_memory_is_einval),
		cmocka_unit_test(
			running_over_either_end_of_guarded_memory_faults),
		cmocka_unit_test(guard_pages_go_with_the_buffer),
		cmocka_unit_test(guarded_memory_is_wired_and_transfers),
		cmocka_unit_test(guards_refuse_what_apple_refuses),
		cmocka_unit_test(the_lock_limit_is_enomem_and_leaves_nothing),
	};

	return RUN_TESTS("construct", tests);
}
