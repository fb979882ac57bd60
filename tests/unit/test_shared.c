/* SPDX-License-Identifier: MIT */
/*
 * What a worker that ran wild left of the shared block: the next one believes what
 * makes sense, and nothing else.
 */
#include "unit.h"

#include "shared.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static struct bfs_shared *shared;

static int begin(void **state)
{
	const int fd = bfs_shared_create(&shared);

	(void)state;
	assert_true(fd >= 0);
	close(fd);
	for (uint32_t i = 0; i < 4; i++) {
		shared->slots[i].nodeid = 100 + i;
		shared->slots[i].opens = 1;
		shared->slots[i].backing_id = (int32_t)(10 + i);
	}
	shared->slots_used = 4;
	shared->highest_backing_id = 13;
	shared->counted_pool = true;
	return 0;
}

static int end(void **state)
{
	(void)state;
	return munmap(shared, sizeof(*shared));
}

static void is_mended(uint32_t slots_left)
{
	uint32_t n = 0;

	assert_true(bfs_shared_mend(shared));
	for (uint32_t i = 0; i < shared->slots_used; i++)
		n += shared->slots[i].nodeid != 0;
	assert_int_equal(n, slots_left);
	assert_true(shared->config.adopted_pool);
	assert_false(shared->counted_pool);
	assert_false(bfs_shared_mend(shared));
}

static void what_makes_sense_is_left_alone(void **state)
{
	(void)state;
	shared->slots[2].nodeid = 0; /* what a free one has means nothing */
	shared->slots[2].backing_id = 10;
	shared->slots[1].backing_id = 0; /* no id is not one that two have */
	shared->slots[3].backing_id = 0;
	assert_false(bfs_shared_mend(shared));
	assert_int_equal(shared->slots[0].backing_id, 10);
	assert_int_equal(shared->slots[1].nodeid, 101);
	assert_int_equal(shared->highest_backing_id, 13);
	assert_true(shared->counted_pool);
	assert_false(shared->config.adopted_pool);
}

static void an_id_of_two_inodes_is_neither_ones(void **state)
{
	(void)state;
	shared->slots[0].backing_id = 12;
	is_mended(2);
	assert_int_equal(shared->slots[1].nodeid, 101);
	assert_int_equal(shared->slots[3].nodeid, 103);
}

static void an_id_of_all_inodes_is_nobodys(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < 4; i++)
		shared->slots[i].backing_id = 7;
	is_mended(0);
}

/* A worker can be killed after a slot has its id and before that is noted. */
static void an_id_that_is_not_noted_yet_is_no_damage(void **state)
{
	(void)state;
	shared->highest_backing_id = 12;
	assert_false(bfs_shared_mend(shared));
	assert_int_equal(shared->slots[3].backing_id, 13);
}

static void a_highest_id_that_cannot_be_goes_alone(void **state)
{
	(void)state;
	shared->highest_backing_id = -1;
	is_mended(4);
	assert_int_equal(shared->highest_backing_id, 0);
}

static void slots_that_make_no_sense_go_alone(void **state)
{
	(void)state;
	shared->slots[0].flags = ~0u;
	shared->slots[1].backing_id = -1;
	shared->slots[2].plain_opens = 2;
	is_mended(1);
	assert_int_equal(shared->slots[3].nodeid, 103);
}

static void a_count_of_slots_beyond_the_block_is_made_out_anew(void **state)
{
	(void)state;
	shared->slots_used = BFS_SLOTS_MAX + 1u;
	is_mended(4);
	assert_int_equal(shared->slots_used, 4);
}

static void what_is_no_bool_is_not_looked_at_as_one(void **state)
{
	(void)state;
	memset(&shared->crashed, 7, 1);
	is_mended(4);
	assert_true(shared->crashed);
	memset(&shared->counted_pool, 7, 1);
	is_mended(4);
}

static void an_attempt_that_makes_no_sense_is_forgotten_alone(void **state)
{
	(void)state;
	shared->attempts[5] = (struct bfs_attempts){ 10, 16, false };
	shared->attempts[6] = (struct bfs_attempts){ 12, 16, false };
	memset(&shared->attempts[5].waits, 7, 1);
	is_mended(4);
	assert_int_equal(shared->attempts[5].weight, 0);
	assert_int_equal(shared->attempts[6].weight, 16);
}

static void a_block_that_is_refused_is_not_handed_out(void **state)
{
	struct bfs_shared *made, *mapped = NULL;
	const int fd = bfs_shared_create(&made);

	(void)state;
	memset(made->config.mountpoint, 'x', sizeof(made->config.mountpoint));
	assert_int_equal(bfs_shared_map(fd, &mapped), -EUCLEAN);
	assert_null(mapped);
	made->config.mountpoint[0] = '\0';
	made->magic++;
	assert_int_equal(bfs_shared_map(fd, &mapped), -EINVAL);
	assert_null(mapped);
	made->magic--;
	assert_int_equal(bfs_shared_map(fd, &mapped), 0);
	munmap(mapped, sizeof(*mapped));
	munmap(made, sizeof(*made));
	close(fd);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_makes_sense_is_left_alone),
		TEST(an_id_of_two_inodes_is_neither_ones),
		TEST(an_id_of_all_inodes_is_nobodys),
		TEST(an_id_that_is_not_noted_yet_is_no_damage),
		TEST(a_highest_id_that_cannot_be_goes_alone),
		TEST(slots_that_make_no_sense_go_alone),
		TEST(a_count_of_slots_beyond_the_block_is_made_out_anew),
		TEST(what_is_no_bool_is_not_looked_at_as_one),
		TEST(an_attempt_that_makes_no_sense_is_forgotten_alone),
		TEST(a_block_that_is_refused_is_not_handed_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
