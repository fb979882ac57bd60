/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "uring.h"

static void a_libfuse_without_it_is_named_with_the_version_it_takes(void **unused)
{
	(void)unused;
	assert_non_null(strstr(bfs_uring_obstacle(false, false), "libfuse"));
	assert_non_null(strstr(bfs_uring_obstacle(false, false), "3.18"));
	/* It comes first: nothing else helps without. */
	assert_string_equal(bfs_uring_obstacle(false, true),
			    bfs_uring_obstacle(false, false));
}

static void a_kernel_that_does_not_offer_it_is_told_how_to(void **unused)
{
	const char parameter[] = "/sys/module/fuse/parameters/enable_uring";

	(void)unused;
	if (access(parameter, F_OK) == 0) {
		assert_non_null(strstr(bfs_uring_obstacle(true, false), "echo Y"));
		assert_non_null(strstr(bfs_uring_obstacle(true, false), parameter));
	} else {
		assert_non_null(strstr(bfs_uring_obstacle(true, false), "6.14"));
	}
}

static void rings_that_cannot_be_set_up_are_the_last_reason(void **unused)
{
	(void)unused;
	assert_non_null(strstr(bfs_uring_obstacle(true, true), "rings"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			a_libfuse_without_it_is_named_with_the_version_it_takes),
		cmocka_unit_test(a_kernel_that_does_not_offer_it_is_told_how_to),
		cmocka_unit_test(rings_that_cannot_be_set_up_are_the_last_reason),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
