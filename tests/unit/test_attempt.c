/* SPDX-License-Identifier: MIT */
/*
 * When a request that workers died over is refused, and when it is not to blame.
 */
#include "unit.h"

#include "attempt.h"

enum { UNIQUE = 4712 };

static struct bfs_attempts attempts[BFS_COUNTED_MAX];

static int forget_all(void **state)
{
	(void)state;
	bfs_attempt_end();
	memset(attempts, 0, sizeof(attempts));
	return 0;
}

#define of_attempts(test) cmocka_unit_test_setup(test, forget_all)

/* After how many deaths it is refused; waits: it slept in each of them. */
static unsigned int deaths_until_refused(bool crashed, bool waits)
{
	enum { MANY = 100 };
	unsigned int deaths = 0;
	bool again = false;

	while (deaths < MANY &&
	       bfs_attempt_begin(attempts, UNIQUE, again, crashed)) {
		if (waits)
			bfs_attempt_waits();
		again = true;
		deaths++;
	}
	return deaths;
}

static void three_crashes_are_enough(void **state)
{
	(void)state;
	assert_int_equal(deaths_until_refused(true, false), 3);
}

static void a_worker_that_was_killed_counts_for_an_eighth(void **state)
{
	(void)state;
	assert_int_equal(deaths_until_refused(false, false), 24);
}

static void who_only_waits_is_never_refused(void **state)
{
	(void)state;
	assert_int_equal(deaths_until_refused(true, true), 100);
	assert_int_equal(deaths_until_refused(false, true), 100);
}

static void who_went_on_after_a_wait_is_to_blame(void **state)
{
	(void)state;
	for (int i = 0; i < 3; i++) {
		assert_true(bfs_attempt_begin(attempts, UNIQUE, i > 0, true));
		bfs_attempt_waits();
		bfs_attempt_goes_on();
	}
	assert_false(bfs_attempt_begin(attempts, UNIQUE, true, true));
}

static void a_wait_is_of_one_attempt(void **state)
{
	(void)state;
	assert_true(bfs_attempt_begin(attempts, UNIQUE, false, true));
	bfs_attempt_waits();
	for (int i = 0; i < 3; i++)
		assert_true(bfs_attempt_begin(attempts, UNIQUE, true, true));
	assert_false(bfs_attempt_begin(attempts, UNIQUE, true, true));
}

static void another_request_in_its_place_has_its_own_count(void **state)
{
	enum { OTHER = UNIQUE + 2 * BFS_COUNTED_MAX };

	(void)state;
	assert_true(bfs_attempt_begin(attempts, UNIQUE, false, true));
	assert_true(bfs_attempt_begin(attempts, UNIQUE, true, true));
	assert_true(bfs_attempt_begin(attempts, UNIQUE, true, true));
	bfs_attempt_waits();
	assert_true(bfs_attempt_begin(attempts, OTHER, true, true));
	assert_true(bfs_attempt_begin(attempts, OTHER, true, true));
	assert_false(bfs_attempt_begin(attempts, OTHER, true, true));
}

static void who_has_no_request_does_not_wait_for_one(void **state)
{
	static const struct bfs_attempts none[BFS_COUNTED_MAX];

	(void)state;
	assert_true(bfs_attempt_begin(attempts, UNIQUE, false, true));
	bfs_attempt_end();
	bfs_attempt_waits();
	bfs_attempt_goes_on();
	assert_memory_equal(attempts, none, sizeof(none));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		of_attempts(three_crashes_are_enough),
		of_attempts(a_worker_that_was_killed_counts_for_an_eighth),
		of_attempts(who_only_waits_is_never_refused),
		of_attempts(who_went_on_after_a_wait_is_to_blame),
		of_attempts(a_wait_is_of_one_attempt),
		of_attempts(another_request_in_its_place_has_its_own_count),
		of_attempts(who_has_no_request_does_not_wait_for_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
