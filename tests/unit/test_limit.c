/* SPDX-License-Identifier: MIT */
/*
 * What one user may have: the table of owners, and what buffers take of it.
 */
#include "files.h"

#include "limit.h"

#include <pthread.h>
#include <time.h>

enum { UID = 4711, OTHER = 4712, SEVERAL = 4711 + 256 };

static struct bfs_owners *owners;

static int make_owners(void **state)
{
	(void)state;
	return bfs_owners_create(1000, &owners);
}

static int drop_owners(void **state)
{
	(void)state;
	bfs_owners_destroy(owners);
	return 0;
}

#define of_owners(test)                                                        \
	cmocka_unit_test_setup_teardown(test, make_owners, drop_owners)

static void an_owner_has_up_to_the_limit_and_no_more(void **state)
{
	(void)state;
	assert_int_equal(bfs_owners_charge(owners, UID, 600), 0);
	assert_int_equal(bfs_owners_charge(owners, UID, 401), -EDQUOT);
	assert_int_equal(bfs_owners_charge(owners, UID, UINT64_MAX), -EDQUOT);
	assert_int_equal(bfs_owners_used(owners, UID), 600);
	assert_int_equal(bfs_owners_charge(owners, UID, 400), 0);
	assert_int_equal(bfs_owners_charge(owners, UID, 1), -EDQUOT);
	bfs_owners_uncharge(owners, UID, 1);
	assert_int_equal(bfs_owners_charge(owners, UID, 1), 0);
}

static void each_owner_has_a_limit_of_his_own(void **state)
{
	(void)state;
	assert_int_equal(bfs_owners_charge(owners, UID, 1000), 0);
	assert_int_equal(bfs_owners_charge(owners, OTHER, 1000), 0);
	assert_int_equal(bfs_owners_charge(owners, SEVERAL, 1000), 0);
	bfs_owners_uncharge(owners, SEVERAL, 1000);
	assert_int_equal(bfs_owners_used(owners, UID), 1000);
	assert_int_equal(bfs_owners_used(owners, SEVERAL), 0);
	assert_int_equal(bfs_owners_charge(owners, 0, 1001), -EDQUOT);
}

static void what_is_there_counts_over_the_limit_too(void **state)
{
	(void)state;
	assert_int_equal(bfs_owners_count(owners, UID, 5000), 0);
	assert_int_equal(bfs_owners_used(owners, UID), 5000);
	assert_int_equal(bfs_owners_charge(owners, UID, 1), -EDQUOT);
	bfs_owners_uncharge(owners, UID, 4000);
	assert_int_equal(bfs_owners_charge(owners, UID, 1), -EDQUOT);
	bfs_owners_uncharge(owners, UID, 1);
	assert_int_equal(bfs_owners_charge(owners, UID, 1), 0);
}

static void *give_back_soon(void *argument)
{
	const struct timespec moment = { .tv_nsec = 5 * 1000 * 1000 };

	nanosleep(&moment, NULL);
	bfs_owners_uncharge(owners, UID, 500);
	return argument;
}

static void at_the_limit_it_waits_for_what_is_about_to_go(void **state)
{
	pthread_t thread;

	(void)state;
	assert_int_equal(bfs_owners_charge(owners, UID, 1000), 0);
	assert_int_equal(pthread_create(&thread, NULL, give_back_soon, NULL), 0);
	assert_int_equal(bfs_owners_charge(owners, UID, 500), 0);
	pthread_join(thread, NULL);
	assert_int_equal(bfs_owners_used(owners, UID), 1000);
}

static void *charge_one(void *argument)
{
	*(int *)argument = bfs_owners_charge(owners, UID, 1);
	return NULL;
}

/* All of them come back, however many wait. */
static void many_who_wait_are_all_answered(void **state)
{
	pthread_t threads[32];
	int results[32];

	(void)state;
	assert_int_equal(bfs_owners_charge(owners, UID, 1000), 0);
	for (size_t i = 0; i < COUNT_OF(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, charge_one,
						&results[i]), 0);
	for (size_t i = 0; i < COUNT_OF(threads); i++) {
		pthread_join(threads[i], NULL);
		assert_int_equal(results[i], -EDQUOT);
	}
	assert_int_equal(bfs_owners_used(owners, UID), 1000);
}

/* Buffers of a pool. */
static uid_t me;

static int make_limited_fs(void **state)
{
	me = geteuid();
	return make_fs(state) || bfs_owners_create(1 << 20, &fs.owners);
}

static int drop_limited_fs(void **state)
{
	bfs_owners_destroy(fs.owners);
	return drop_fs(state);
}

#define limited(test)                                                          \
	cmocka_unit_test_setup_teardown(test, make_limited_fs, drop_limited_fs)

static uint64_t used(void)
{
	return bfs_owners_used(fs.owners, me);
}

static void a_fixed_buffer_takes_its_capacity(void **state)
{
	uint64_t nodeid, second;
	struct picture before;

	(void)state;
	NEEDS_POOL();
	nodeid = created_as("f", "capacity=768K");
	assert_int_equal(used(), 768 << 10);
	assert_int_equal(truncate_to(nodeid, 0), 0);
	assert_int_equal(used(), 768 << 10);
	second = created("g");
	before = picture_of(second);
	assert_int_equal(configure(second, "capacity=257K"), -EDQUOT);
	assert_unchanged(second, &before);
	assert_int_equal(configure(second, "capacity=256K"), 0);
	assert_int_equal(used(), 1 << 20);
}

static void an_elastic_pageable_buffer_takes_nothing(void **state)
{
	uint64_t nodeid;

	(void)state;
	NEEDS_POOL();
	nodeid = created("f");
	assert_int_equal(truncate_to(nodeid, 8 << 20), 0);
	assert_int_equal(used(), 0);
	assert_int_equal(slots_taken(), 0);
}

static void a_wired_buffer_takes_what_it_grows_by(void **state)
{
	uint64_t nodeid;
	size_t n;

	(void)state;
	NEEDS_POOL();
	nodeid = created_as("f", "wired");
	assert_int_equal(truncate_to(nodeid, 512 << 10), 0);
	assert_int_equal(used(), 512 << 10);
	assert_int_equal(truncate_to(nodeid, 2 << 20), -EDQUOT);
	assert_int_equal(attributes(nodeid).st_size, 512 << 10);
	assert_int_equal(write_at(nodeid, 1 << 20, "x", 1, &n), -EDQUOT);
	assert_int_equal(used(), 512 << 10);
	assert_int_equal(truncate_to(nodeid, 4096), 0);
	assert_int_equal(used(), 4096);
	assert_int_equal(truncate_to(nodeid, 0), 0);
	assert_int_equal(used(), 0);
}

/* Counted once, whatever limits it is of. */
static void a_wired_fixed_buffer_takes_its_capacity_once(void **state)
{
	(void)state;
	NEEDS_POOL();
	created_as("f", "wired,capacity=1M");
	assert_int_equal(used(), 1 << 20);
	assert_int_equal(fs.wired.used, 1 << 20);
}

static void what_another_limit_refuses_takes_nothing(void **state)
{
	uint64_t nodeid;

	(void)state;
	NEEDS_POOL();
	fs.wired = (struct bfs_limit){ "wired_max", 4096, 0 };
	nodeid = created("f");
	assert_int_equal(configure(nodeid, "wired,capacity=8192"), -ENOMEM);
	assert_int_equal(used(), 0);
	assert_int_equal(slots_taken(), 0);
	assert_int_equal(configure(nodeid, "wired,capacity=4096"), 0);
}

static void a_forgotten_buffer_gives_back(void **state)
{
	uint64_t nodeid;

	(void)state;
	NEEDS_POOL();
	nodeid = created_as("f", "capacity=1M");
	bfs_file_forget(&fs, nodeid);
	assert_int_equal(used(), 1 << 20); /* it has its name */
	assert_int_equal(bfs_unlink(&fs, BFS_ROOT_NODEID, "f", 0), 0);
	bfs_file_forget(&fs, nodeid);
	assert_int_equal(used(), 0);
	assert_int_equal(slots_taken(), 0);
}

static int give_to(uint64_t nodeid, uid_t uid)
{
	const struct bfs_attributes a = {
		.set_owner = true,
		.owner = { uid, (gid_t)-1, 0 },
		.times = { { .tv_nsec = UTIME_OMIT }, { .tv_nsec = UTIME_OMIT } },
	};
	struct stat st;

	return bfs_setattr(&fs, nodeid, &a, &st);
}

static void a_buffer_takes_its_bytes_along_to_its_new_owner(void **state)
{
	uint64_t first, second;

	(void)state;
	NEEDS_POOL();
	if (me != 0)
		SKIP("chown needs CAP_CHOWN");
	first = created_as("f", "capacity=768K");
	assert_int_equal(give_to(first, UID), 0);
	assert_int_equal(used(), 0);
	assert_int_equal(bfs_owners_used(fs.owners, UID), 768 << 10);
	second = created_as("g", "wired,capacity=512K");
	assert_int_equal(give_to(second, UID), -EDQUOT);
	assert_int_equal(attributes(second).st_uid, 0);
	assert_int_equal(used(), 512 << 10);
	assert_int_equal(give_to(first, UID), 0);
	assert_int_equal(give_to(first, (uid_t)-1), 0);
	assert_int_equal(give_to(first, 0), -EDQUOT);
	assert_int_equal(bfs_owners_used(fs.owners, UID), 768 << 10);
	assert_int_equal(bfs_unlink(&fs, BFS_ROOT_NODEID, "f", 0), 0);
	bfs_file_forget(&fs, first);
	assert_int_equal(bfs_owners_used(fs.owners, UID), 0);
}

static void start_next_worker(uint64_t max)
{
	fs.wired.used = fs.contiguous.used = 0;
	bfs_owners_destroy(fs.owners);
	assert_int_equal(bfs_owners_create(max, &fs.owners), 0);
	assert_int_equal(new_worker(), 0);
	bfs_files_recover(&fs);
}

static void the_next_worker_counts_all_of_it_again(void **state)
{
	(void)state;
	NEEDS_POOL();
	created_as("f", "capacity=256K");
	created_as("g", "wired,capacity=512K");
	truncate_to(created_as("h", "wired"), 128 << 10);
	start_next_worker(1 << 20);
	assert_int_equal(used(), (256 + 512 + 128) << 10);
	assert_int_equal(fs.wired.used, (512 + 128) << 10);
	assert_int_equal(configure(created("i"), "capacity=129K"), -EDQUOT);
}

/* What is there stays, though nobody could have it now. */
static void the_next_worker_counts_what_is_over_the_limit(void **state)
{
	uint64_t nodeid;

	(void)state;
	NEEDS_POOL();
	nodeid = created_as("f", "wired,capacity=1M");
	fs.wired.max = 4096;
	start_next_worker(4096);
	assert_int_equal(used(), 1 << 20);
	assert_int_equal(fs.wired.used, 1 << 20);
	assert_int_equal(truncate_to(nodeid, 4096), 0); /* wires it again */
	assert_int_equal(fs.wired.used, 1 << 20);
	assert_int_equal(configure(created("g"), "capacity=4096"), -EDQUOT);
}

static void a_slot_of_a_file_that_is_gone_is_given_back(void **state)
{
	(void)state;
	NEEDS_POOL();
	created_as("f", "capacity=256K");
	assert_int_equal(unlinkat(pool.fd, "f", 0), 0);
	start_next_worker(1 << 20);
	assert_int_equal(used(), 0);
	assert_int_equal(slots_taken(), 0);
}

static void an_adopted_pool_counts_once(void **state)
{
	(void)state;
	NEEDS_POOL();
	bfs_owners_destroy(fs.owners);
	fs.owners = NULL;
	created_as("f", "capacity=256K");
	truncate_to(created_as("g", "wired"), 128 << 10);
	truncate_to(created("h"), 64 << 10);
	memset(fs.shared->slots, 0, 16 * sizeof(fs.shared->slots[0]));
	fs.shared->slots_used = 0;
	fs.shared->config.adopted_pool = true;
	start_next_worker(1 << 20);
	assert_int_equal(used(), (256 + 128) << 10);
	assert_true(fs.shared->counted_pool);
	start_next_worker(1 << 20);
	assert_int_equal(used(), (256 + 128) << 10);
}

static void a_conversion_takes_what_the_new_kind_does(void **state)
{
	uint64_t nodeid;
	struct picture before;
	size_t n;

	(void)state;
	NEEDS_POOL();
	nodeid = created("f");
	assert_int_equal(write_at(nodeid, 0, "abc", 3, &n), 0);
	before = picture_of(nodeid);
	assert_int_equal(configure(nodeid, "capacity=2M,length=3"), -EDQUOT);
	assert_unchanged(nodeid, &before);
	assert_int_equal(used(), 0);
	assert_int_equal(configure(nodeid, "wired,length=3"), 0);
	assert_int_equal(used(), 3);
	assert_int_equal(configure(nodeid, "wired,capacity=1M,length=3"), 0);
	assert_int_equal(used(), 1 << 20);
	assert_int_equal(fs.wired.used, 1 << 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		of_owners(an_owner_has_up_to_the_limit_and_no_more),
		of_owners(each_owner_has_a_limit_of_his_own),
		of_owners(what_is_there_counts_over_the_limit_too),
		of_owners(at_the_limit_it_waits_for_what_is_about_to_go),
		of_owners(many_who_wait_are_all_answered),
		limited(a_fixed_buffer_takes_its_capacity),
		limited(an_elastic_pageable_buffer_takes_nothing),
		limited(a_wired_buffer_takes_what_it_grows_by),
		limited(a_wired_fixed_buffer_takes_its_capacity_once),
		limited(what_another_limit_refuses_takes_nothing),
		limited(a_forgotten_buffer_gives_back),
		limited(a_buffer_takes_its_bytes_along_to_its_new_owner),
		limited(the_next_worker_counts_all_of_it_again),
		limited(the_next_worker_counts_what_is_over_the_limit),
		limited(a_slot_of_a_file_that_is_gone_is_given_back),
		limited(an_adopted_pool_counts_once),
		limited(a_conversion_takes_what_the_new_kind_does),
	};

	return RUN_TESTS("limit", tests);
}
