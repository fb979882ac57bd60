/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "watchdog.h"

static struct bfs_watchdog watchdog;

static int begin(void **state)
{
	(void)state;
	watchdog = (struct bfs_watchdog){ 0 };
	return 0;
}

/* Until just before it would be taken for hanging. */
static void look_in_vain(void)
{
	for (int i = 1; i < BFS_WATCHDOG_LOOKS; i++)
		assert_int_equal(bfs_watchdog_look(&watchdog, true, false, 0),
				 BFS_WATCHDOG_WELL);
}

static void a_request_that_waits_through_all_looks_is_a_hang(void **state)
{
	(void)state;
	look_in_vain();
	assert_int_equal(bfs_watchdog_look(&watchdog, true, false, 0),
			 BFS_WATCHDOG_HANGS);
}

static void anything_that_goes_on_begins_it_anew(void **state)
{
	(void)state;
	look_in_vain();
	assert_int_equal(bfs_watchdog_look(&watchdog, true, true, 1),
			 BFS_WATCHDOG_WELL);
	for (int i = 1; i < BFS_WATCHDOG_LOOKS; i++)
		assert_int_equal(bfs_watchdog_look(&watchdog, true, true, 1),
				 BFS_WATCHDOG_WELL);
	assert_int_equal(bfs_watchdog_look(&watchdog, true, true, 1),
			 BFS_WATCHDOG_HANGS);
}

static void an_idle_worker_is_not_asked(void **state)
{
	(void)state;
	for (int i = 0; i < 10 * BFS_WATCHDOG_LOOKS; i++)
		assert_int_equal(bfs_watchdog_look(&watchdog, false, false, 0),
				 BFS_WATCHDOG_WELL);
}

static void a_long_operation_is_no_hang_while_others_are_answered(void **state)
{
	(void)state;
	look_in_vain();
	for (int i = 0; i < 10 * BFS_WATCHDOG_LOOKS; i++)
		assert_int_equal(bfs_watchdog_look(&watchdog, false, true, 0),
				 BFS_WATCHDOG_PROBE);
	look_in_vain();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(
			a_request_that_waits_through_all_looks_is_a_hang,
			begin),
		cmocka_unit_test_setup(anything_that_goes_on_begins_it_anew,
				       begin),
		cmocka_unit_test_setup(an_idle_worker_is_not_asked, begin),
		cmocka_unit_test_setup(
			a_long_operation_is_no_hang_while_others_are_answered,
			begin),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
