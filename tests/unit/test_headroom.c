/* SPDX-License-Identifier: MIT */
/*
 * Memory that is not there is refused, where bytes of the pool are memory.
 */
#include "unit.h"

#include "headroom.h"

static int memory_pool(void)
{
	int fd = memfd_create("pool", MFD_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

static void more_than_there_is_is_refused_once_told_how_much(void **state)
{
	struct bfs_headroom *h = NULL;
	int fd = memory_pool();

	(void)state;
	assert_int_equal(bfs_headroom_create(fd, &h), 0);
	assert_non_null(h);
	assert_int_equal(bfs_headroom_take(h, 4096), 0);
	assert_int_equal(bfs_headroom_missing(), 0);
	assert_int_equal(bfs_headroom_take(h, UINT64_C(1) << 60), -ENOMEM);
	assert_in_range(bfs_headroom_missing(), UINT64_C(1) << 59,
			UINT64_C(1) << 61);
	assert_int_equal(bfs_headroom_missing(), 0);
	assert_int_equal(bfs_headroom_take(h, 4096), 0);
	bfs_headroom_destroy(h);
	close(fd);
}

static void a_pool_on_a_disk_takes_no_memory(void **state)
{
	struct bfs_headroom *h = NULL;
	int fd = open("/proc/self", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(bfs_headroom_create(fd, &h), 0);
	assert_null(h);
	assert_int_equal(bfs_headroom_take(h, UINT64_C(1) << 60), 0);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			more_than_there_is_is_refused_once_told_how_much),
		cmocka_unit_test(a_pool_on_a_disk_takes_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
