/* SPDX-License-Identifier: MIT */
/*
 * How long is waited for what the kernel has not told yet.
 */
#include "unit.h"

#include "patience.h"

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t condition;
static struct bfs_shared *shared;

static int make_shared(void **state)
{
	pthread_condattr_t monotonic;

	(void)state;
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&condition, &monotonic);
	pthread_condattr_destroy(&monotonic);
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	return shared == MAP_FAILED ? -1 : 0;
}

static int drop_shared(void **state)
{
	(void)state;
	pthread_cond_destroy(&condition);
	return munmap(shared, sizeof(*shared));
}

/* How often it is waited until patience is at its end, when `answers` requests are
 * answered in each turn. */
static unsigned int turns(const struct bfs_shared *where, uint64_t answers)
{
	struct bfs_patience patience;
	unsigned int count = 1;

	pthread_mutex_lock(&mutex);
	bfs_patience_begin(&patience, where);
	for (; count < 100; count++) {
		shared->progress += answers;
		if (!bfs_patience_wait(&patience, &condition, &mutex))
			break;
	}
	pthread_mutex_unlock(&mutex);
	return count;
}

static void where_nothing_goes_on_it_ends_soon(void **state)
{
	(void)state;
	assert_int_equal(turns(shared, 0), 1);
	assert_int_equal(turns(NULL, 1), 1);
}

static void while_requests_are_answered_it_lasts_but_not_for_ever(void **state)
{
	unsigned int count = turns(shared, 1);

	(void)state;
	assert_in_range(count, 2, 21);
}

static void where_very_many_are_at_work_it_ends_soon(void **state)
{
	(void)state;
	shared->working = 1000;
	assert_int_equal(turns(shared, 1), 1);
}

static void *wake(void *argument)
{
	pthread_mutex_lock(&mutex);
	pthread_cond_signal(&condition);
	pthread_mutex_unlock(&mutex);
	return argument;
}

static void who_is_woken_has_patience_left(void **state)
{
	struct bfs_patience patience;
	pthread_t thread;

	(void)state;
	pthread_mutex_lock(&mutex);
	bfs_patience_begin(&patience, shared);
	shared->progress++; /* a slow machine has a second for the thread */
	assert_int_equal(pthread_create(&thread, NULL, wake, NULL), 0);
	assert_true(bfs_patience_wait(&patience, &condition, &mutex));
	pthread_mutex_unlock(&mutex);
	pthread_join(thread, NULL);
}

#define over_shared(test)                                                      \
	cmocka_unit_test_setup_teardown(test, make_shared, drop_shared)

int main(void)
{
	const struct CMUnitTest tests[] = {
		over_shared(where_nothing_goes_on_it_ends_soon),
		over_shared(
			while_requests_are_answered_it_lasts_but_not_for_ever),
		over_shared(where_very_many_are_at_work_it_ends_soon),
		over_shared(who_is_woken_has_patience_left),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
