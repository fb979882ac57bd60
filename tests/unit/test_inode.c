/* SPDX-License-Identifier: MIT */
/*
 * Inodes and their slots, over a shared block of one's own and without a FUSE
 * connection: opens here have no backing file.
 */
#include "unit.h"

#include "inode.h"

static struct bfs_shared *shared;
static int shared_fd = -1;

/* A table is for the life of a worker and has no end: these are the workers. */
static struct bfs_inode_table *workers[64];
static size_t worker_count;

static struct bfs_inode_table *new_worker(void)
{
	struct bfs_inode_table **table = &workers[worker_count++];

	assert_true(worker_count < COUNT_OF(workers));
	assert_int_equal(bfs_inode_table_create(shared, -1, table), 0);
	return *table;
}

static int make_shared(void **state)
{
	(void)state;
	shared_fd = bfs_shared_create(&shared);
	return shared_fd < 0 ? -1 : 0;
}

static int drop_shared(void **state)
{
	(void)state;
	munmap(shared, sizeof(*shared));
	close(shared_fd);
	return 0;
}

#define over_shared(test)                                                      \
	cmocka_unit_test_setup_teardown(test, make_shared, drop_shared)

static unsigned int slots_taken(void)
{
	unsigned int taken = 0;

	for (uint32_t i = 0; i < shared->slots_used; i++)
		taken += shared->slots[i].nodeid != 0;
	return taken;
}

static void opened(struct bfs_inode_table *t, uint64_t nodeid, bool plain)
{
	struct bfs_inode *inode = bfs_inode_lock(t, nodeid);

	assert_non_null(inode);
	assert_int_equal(bfs_inode_add_open(t, inode, -1, plain, 0), 0);
	bfs_inode_unlock(t, inode);
}

static void closed(struct bfs_inode_table *t, uint64_t nodeid, bool plain)
{
	struct bfs_inode *inode = bfs_inode_lock(t, nodeid);

	assert_non_null(inode);
	bfs_inode_drop_open(t, inode, plain, 0);
	bfs_inode_unlock(t, inode);
}

static void the_shared_block_is_mapped_by_who_inherits_it(void **state)
{
	struct bfs_shared *again = NULL;
	int other = new_memfd();

	(void)state;
	assert_int_equal(fcntl(shared_fd, F_GETFD), FD_CLOEXEC);
	assert_int_equal(bfs_shared_map(shared_fd, &again), 0);
	again->workers_started = 7;
	assert_int_equal(shared->workers_started, 7);
	munmap(again, sizeof(*again));
	assert_int_equal(bfs_shared_map(other, &again), -EINVAL);
	assert_int_equal(ftruncate(other, sizeof(*again)), 0);
	assert_int_equal(bfs_shared_map(other, &again), -EINVAL);
	assert_true(bfs_shared_map(-1, &again) < 0);
	close(other);
}

static void an_inode_that_is_only_looked_at_takes_no_slot(void **state)
{
	struct bfs_inode_table *t = new_worker();
	struct bfs_inode *inode = bfs_inode_lock(t, 42);

	(void)state;
	assert_non_null(inode);
	assert_int_equal(inode->nodeid, 42);
	assert_null(inode->slot);
	assert_true(bfs_inode_is_known(t, 42));
	assert_false(bfs_inode_is_known(t, 43));
	bfs_inode_unlock(t, inode);
	assert_false(bfs_inode_is_known(t, 42));
	assert_int_equal(shared->slots_used, 0);
}

static void the_last_release_gives_the_slot_of_an_open_back(
	void **state)
{
	struct bfs_inode_table *t = new_worker();

	(void)state;
	opened(t, 42, false);
	opened(t, 42, false);
	assert_int_equal(slots_taken(), 1);
	assert_int_equal(shared->slots[0].nodeid, 42);
	assert_int_equal(shared->slots[0].opens, 2);
	assert_int_equal(shared->slots[0].backing_id, 0);
	closed(t, 42, false);
	assert_int_equal(shared->slots[0].opens, 1);
	assert_true(bfs_inode_is_known(t, 42));
	closed(t, 42, false);
	assert_int_equal(slots_taken(), 0);
	assert_false(bfs_inode_is_known(t, 42));
}

static void a_slot_given_back_is_used_again_and_clean(void **state)
{
	struct bfs_inode_table *t = new_worker();

	(void)state;
	for (uint64_t nodeid = 2; nodeid < 1000; nodeid++) {
		opened(t, nodeid, true);
		assert_int_equal(shared->slots[0].nodeid, nodeid);
		assert_int_equal(shared->slots[0].opens, 1);
		assert_int_equal(shared->slots[0].plain_opens, 1);
		assert_int_equal(shared->slots[0].flags, 0);
		closed(t, nodeid, true);
	}
	assert_int_equal(shared->slots_used, 1);
}

static void many_inodes_have_a_slot_each(void **state)
{
	struct bfs_inode_table *t = new_worker();
	enum { MANY = 3000 };

	(void)state;
	for (uint64_t n = 0; n < MANY; n++)
		opened(t, n << 32 | 5, false);
	assert_int_equal(slots_taken(), MANY);
	for (uint64_t n = 0; n < MANY; n++)
		closed(t, n << 32 | 5, false);
	assert_int_equal(slots_taken(), 0);
	for (uint64_t n = 0; n < MANY; n++)
		opened(t, n + 10, false);
	assert_int_equal(shared->slots_used, MANY);
	for (uint64_t n = 0; n < MANY; n++)
		closed(t, n + 10, false);
}

static void plain_opens_are_counted_among_the_opens(void **state)
{
	struct bfs_inode_table *t = new_worker();
	const struct bfs_slot *slot = &shared->slots[0];

	(void)state;
	opened(t, 9, true);
	opened(t, 9, false);
	opened(t, 9, true);
	assert_int_equal(slot->opens, 3);
	assert_int_equal(slot->plain_opens, 2);
	closed(t, 9, false);
	assert_int_equal(slot->opens, 2);
	assert_int_equal(slot->plain_opens, 2);
	closed(t, 9, true);
	assert_int_equal(slot->opens, 1);
	assert_int_equal(slot->plain_opens, 1);
	closed(t, 9, true);
	assert_int_equal(slots_taken(), 0);
}

static void plain_opens_never_exceed_the_opens(
	void **state)
{
	struct bfs_inode_table *t = new_worker();

	(void)state;
	opened(t, 9, true);
	opened(t, 9, true);
	closed(t, 9, false);
	assert_int_equal(shared->slots[0].opens, 1);
	assert_int_equal(shared->slots[0].plain_opens, 1);
	closed(t, 9, true);
	closed(t, 9, true); /* one too many finds nothing to do */
	assert_int_equal(slots_taken(), 0);
}

static void take_slot_is_idempotent_and_undone_when_idle(void **state)
{
	struct bfs_inode_table *t = new_worker();
	struct bfs_inode *inode = bfs_inode_lock(t, 5);
	struct bfs_slot *slot;

	(void)state;
	assert_int_equal(bfs_inode_take_slot(t, inode), 0);
	slot = inode->slot;
	assert_int_equal(bfs_inode_take_slot(t, inode), 0);
	assert_ptr_equal(inode->slot, slot);
	assert_int_equal(slots_taken(), 1);
	bfs_inode_unlock(t, inode);
	assert_int_equal(slots_taken(), 0);
}

static void a_flag_keeps_the_slot(void **state)
{
	struct bfs_inode_table *t = new_worker();
	struct bfs_inode *inode = bfs_inode_lock(t, 5);

	(void)state;
	assert_int_equal(bfs_inode_take_slot(t, inode), 0);
	inode->slot->flags = BFS_SLOT_WIRED;
	bfs_inode_unlock(t, inode);
	assert_int_equal(slots_taken(), 1);
	opened(t, 5, false);
	closed(t, 5, false);
	assert_int_equal(slots_taken(), 1);
	inode = bfs_inode_lock(t, 5);
	inode->slot->flags = 0;
	bfs_inode_unlock(t, inode);
	assert_int_equal(slots_taken(), 0);
}

static void no_slot_left_is_enfile_and_counts_nothing(void **state)
{
	struct bfs_inode_table *t = new_worker();
	struct bfs_inode *inode;

	(void)state;
	opened(t, 1, false);
	shared->slots_used = BFS_SLOTS_MAX;
	inode = bfs_inode_lock(t, 2);
	assert_int_equal(bfs_inode_take_slot(t, inode), -ENFILE);
	assert_int_equal(bfs_inode_add_open(t, inode, -1, true, 0), -ENFILE);
	assert_null(inode->slot);
	bfs_inode_unlock(t, inode);
	assert_false(bfs_inode_is_known(t, 2));
	closed(t, 1, false); /* the slot of another is free now */
	opened(t, 2, false);
	assert_int_equal(shared->slots[0].nodeid, 2);
	closed(t, 2, false);
}

static void what_is_kept_leaves_slots_for_opens(void **state)
{
	struct bfs_inode_table *t = new_worker();
	struct bfs_inode *inode;

	(void)state;
	shared->slots_used = BFS_SLOTS_MAX / 4 * 3 - 1;
	inode = bfs_inode_lock(t, 1);
	assert_int_equal(bfs_inode_take_slot(t, inode), 0);
	inode->slot->flags = BFS_SLOT_VOLATILE;
	bfs_inode_unlock(t, inode);
	inode = bfs_inode_lock(t, 2);
	assert_int_equal(bfs_inode_take_slot(t, inode), -ENFILE);
	assert_int_equal(bfs_inode_add_open(t, inode, -1, false, 0), 0);
	bfs_inode_unlock(t, inode);
	closed(t, 2, false);
}

static void a_backing_that_is_refused_counts_no_open(void **state)
{
	struct bfs_inode_table *t = new_worker();
	struct bfs_inode *inode = bfs_inode_lock(t, 2);
	int fd = new_memfd();

	(void)state;
	assert_int_equal(bfs_inode_add_open(t, inode, fd, true, 0), -EBADF);
	bfs_inode_unlock(t, inode);
	assert_int_equal(slots_taken(), 0);
	assert_false(bfs_backing_works(-1, fd));
	close(fd);
}

static void a_new_worker_adopts_what_the_last_one_left(void **state)
{
	struct bfs_inode_table *first = new_worker(), *second;
	struct bfs_inode *inode;

	(void)state;
	for (uint64_t nodeid = 10; nodeid < 210; nodeid++)
		opened(first, nodeid, nodeid % 2);
	for (uint64_t nodeid = 10; nodeid < 210; nodeid += 4)
		closed(first, nodeid, nodeid % 2);
	/* It is killed here. */
	second = new_worker();
	for (uint64_t nodeid = 10; nodeid < 210; nodeid++)
		assert_int_equal(bfs_inode_is_known(second, nodeid),
				 (nodeid - 10) % 4 != 0);
	inode = bfs_inode_lock(second, 11);
	assert_non_null(inode->slot);
	assert_int_equal(inode->slot->opens, 1);
	assert_int_equal(inode->slot->plain_opens, 1);
	bfs_inode_unlock(second, inode);
	/* Free slots are used before new ones. */
	for (uint64_t nodeid = 1000; nodeid < 1050; nodeid++)
		opened(second, nodeid, false);
	assert_int_equal(shared->slots_used, 200);
	for (uint64_t nodeid = 10; nodeid < 210; nodeid++)
		if ((nodeid - 10) % 4)
			closed(second, nodeid, nodeid % 2);
	for (uint64_t nodeid = 1000; nodeid < 1050; nodeid++)
		closed(second, nodeid, false);
	assert_int_equal(slots_taken(), 0);
}

static void a_slot_half_taken_at_a_workers_death_is_free(void **state)
{
	struct bfs_inode_table *t;

	(void)state;
	new_worker();
	/* Counted as used, and its nodeid not stored yet. */
	shared->slots_used = 1;
	shared->slots[0].opens = 3;
	shared->slots[0].flags = BFS_SLOT_WIRED;
	t = new_worker();
	opened(t, 5, false);
	assert_int_equal(shared->slots_used, 1);
	assert_int_equal(shared->slots[0].nodeid, 5);
	assert_int_equal(shared->slots[0].opens, 1);
	assert_int_equal(shared->slots[0].flags, 0);
	closed(t, 5, false);
}

static void an_idle_slot_that_was_adopted_is_given_back(void **state)
{
	struct bfs_inode_table *t;

	(void)state;
	/* Taken, and its worker died before it counted the open. */
	shared->slots_used = 1;
	shared->slots[0].nodeid = 5;
	t = new_worker();
	assert_int_equal(slots_taken(), 0);
	assert_false(bfs_inode_is_known(t, 5));
}

static void adoption_survives_many_deaths(void **state)
{
	struct bfs_inode_table *t = NULL;

	(void)state;
	for (uint64_t life = 0; life < 10; life++) {
		t = new_worker();
		for (uint64_t n = 0; n < 100; n++)
			opened(t, 2 + life * 100 + n, false);
	}
	assert_int_equal(slots_taken(), 1000);
	for (uint64_t n = 0; n < 1000; n++)
		closed(t, 2 + n, false);
	assert_int_equal(slots_taken(), 0);
	assert_int_equal(shared->slots_used, 1000);
}

struct visits {
	struct bfs_inode_table *table;
	uint64_t sum;
	unsigned int count;
};

static void visit(void *context, uint64_t nodeid)
{
	struct visits *v = context;
	struct bfs_inode *inode = bfs_inode_lock(v->table, nodeid);

	/* No lock was held, else this could not be. */
	assert_non_null(inode);
	bfs_inode_unlock(v->table, inode);
	v->sum += nodeid;
	v->count++;
}

static void each_visits_those_with_one_of_the_flags(void **state)
{
	struct bfs_inode_table *t = new_worker();
	struct visits wired = { .table = t }, any = { .table = t };

	(void)state;
	for (uint64_t nodeid = 10; nodeid < 20; nodeid++) {
		struct bfs_inode *inode = bfs_inode_lock(t, nodeid);

		assert_int_equal(bfs_inode_add_open(t, inode, -1, false, 0), 0);
		inode->slot->flags = nodeid == 12   ? BFS_SLOT_WIRED
				     : nodeid == 15 ? BFS_SLOT_ALLOCATING
						    : 0;
		bfs_inode_unlock(t, inode);
	}
	bfs_inode_each(t, BFS_SLOT_WIRED, visit, &wired);
	assert_int_equal(wired.count, 1);
	assert_int_equal(wired.sum, 12);
	bfs_inode_each(t, BFS_SLOT_WIRED | BFS_SLOT_ALLOCATING, visit, &any);
	assert_int_equal(any.count, 2);
	assert_int_equal(any.sum, 27);
}

enum { THREADS = 4, ROUNDS = 20000, NODEIDS = 7 };

struct locker {
	struct bfs_inode_table *table;
	bool same;
	unsigned int seed;
};

/* Guarded by the locks of the inodes, not by anything of their own. */
static unsigned int counters[NODEIDS + THREADS];

static void *lock_many(void *context)
{
	struct locker *l = context;

	for (unsigned int i = 0; i < ROUNDS; i++) {
		const unsigned int n = l->same ? (i + l->seed) % NODEIDS
					       : NODEIDS + l->seed;
		struct bfs_inode *inode = bfs_inode_lock(l->table, 100 + n);

		if (!inode || inode->nodeid != 100 + n)
			return (void *)1;
		counters[n]++;
		if (i % 3 == 0 &&
		    bfs_inode_add_open(l->table, inode, -1, false, 0) < 0)
			return (void *)1;
		bfs_inode_unlock(l->table, inode);
		if (i % 3 == 0) {
			if (!(inode = bfs_inode_lock(l->table, 100 + n)))
				return (void *)1;
			bfs_inode_drop_open(l->table, inode, false, 0);
			bfs_inode_unlock(l->table, inode);
		}
	}
	return NULL;
}

static void run_lockers(struct bfs_inode_table *t, bool same)
{
	struct locker lockers[THREADS];
	pthread_t threads[THREADS];
	void *failed;

	memset(counters, 0, sizeof(counters));
	for (unsigned int i = 0; i < THREADS; i++) {
		lockers[i] = (struct locker){ t, same, i };
		assert_int_equal(pthread_create(&threads[i], NULL, lock_many,
						&lockers[i]),
				 0);
	}
	for (unsigned int i = 0; i < THREADS; i++) {
		assert_int_equal(pthread_join(threads[i], &failed), 0);
		assert_null(failed);
	}
}

static unsigned int sum_of_counters(void)
{
	unsigned int sum = 0;

	for (size_t i = 0; i < COUNT_OF(counters); i++)
		sum += counters[i];
	return sum;
}

static void threads_that_lock_the_same_inodes_exclude_each_other(void **state)
{
	struct bfs_inode_table *t = new_worker();

	(void)state;
	run_lockers(t, true);
	assert_int_equal(sum_of_counters(), THREADS * ROUNDS);
	assert_int_equal(slots_taken(), 0);
	for (uint64_t n = 0; n < NODEIDS; n++)
		assert_false(bfs_inode_is_known(t, 100 + n));
}

static void threads_that_lock_different_inodes_leave_no_trace(void **state)
{
	struct bfs_inode_table *t = new_worker();

	(void)state;
	run_lockers(t, false);
	for (unsigned int i = 0; i < THREADS; i++)
		assert_int_equal(counters[NODEIDS + i], ROUNDS);
	assert_int_equal(slots_taken(), 0);
	assert_true(shared->slots_used <= THREADS);
}

static void *lock_the_other(void *context)
{
	struct bfs_inode_table *t = context;
	struct bfs_inode *inode = bfs_inode_lock(t, 2);

	if (inode)
		bfs_inode_unlock(t, inode);
	return inode ? NULL : (void *)1;
}

/* Hangs, and so fails, if one inode's lock kept another's from being had. */
static void a_locked_inode_does_not_block_another(void **state)
{
	struct bfs_inode_table *t = new_worker();
	struct bfs_inode *inode = bfs_inode_lock(t, 1);
	pthread_t thread;
	void *failed;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, lock_the_other, t), 0);
	assert_int_equal(pthread_join(thread, &failed), 0);
	assert_null(failed);
	assert_true(bfs_inode_is_known(t, 1));
	bfs_inode_unlock(t, inode);
}

static atomic_bool flagging_ended;

static void *flag_many(void *context)
{
	struct bfs_inode_table *t = context;

	for (uint64_t i = 0; i < ROUNDS; i++) {
		struct bfs_inode *inode = bfs_inode_lock(t, 2 + i % 50);

		if (!inode || bfs_inode_take_slot(t, inode) < 0)
			return (void *)1;
		inode->slot->flags ^= BFS_SLOT_WIRED;
		bfs_inode_unlock(t, inode);
	}
	flagging_ended = true;
	return NULL;
}

static void each_may_run_while_others_work(void **state)
{
	struct bfs_inode_table *t = new_worker();
	struct visits v = { .table = t };
	pthread_t thread;
	void *failed;

	(void)state;
	flagging_ended = false;
	assert_int_equal(pthread_create(&thread, NULL, flag_many, t), 0);
	while (!flagging_ended)
		bfs_inode_each(t, BFS_SLOT_WIRED, visit, &v);
	assert_int_equal(pthread_join(thread, &failed), 0);
	assert_null(failed);
}

static void the_last_request_that_was_counted_is_known_to_the_next_worker(
	void **state)
{
	struct bfs_inode_table *t = new_worker();
	struct bfs_inode *inode = bfs_inode_lock(t, 10);

	(void)state;
	assert_false(bfs_inode_has_counted(inode, 1234));
	assert_int_equal(bfs_inode_add_open(t, inode, -1, true, 1234), 0);
	bfs_inode_unlock(t, inode);
	/* It is killed here. */
	t = new_worker();
	inode = bfs_inode_lock(t, 10);
	assert_true(bfs_inode_has_counted(inode, 1234));
	assert_false(bfs_inode_has_counted(inode, 1236));
	assert_int_equal(shared->counted[1234 / 2], 0); /* nobody came to that */
	bfs_inode_drop_open(t, inode, true, 1236);
	assert_false(bfs_inode_has_counted(inode, 1234));
	assert_int_equal(shared->counted[1234 / 2], 1234);
	bfs_inode_unlock(t, inode);
}

static void a_request_is_told_by_its_tag_among_those_in_flight(void **state)
{
	static const uint64_t uniques[] = {
		2, 1234, 1ull << 21, (1ull << 21) + 2, (1ull << 40) - 2, 1ull << 40,
	};

	(void)state;
	for (size_t i = 0; i < sizeof(uniques) / sizeof(uniques[0]); i++)
		for (uint64_t near = uniques[i] > 1000 ? uniques[i] - 1000 : 0;
		     near <= uniques[i] + 1000; near += 2)
			assert_int_equal(bfs_request_of_tag(
						 bfs_request_tag(uniques[i]), near),
					 uniques[i]);
}

static void a_slot_without_opens_is_given_back_by_the_next_worker(void **state)
{
	struct bfs_inode_table *t = new_worker();

	(void)state;
	opened(t, 10, false);
	/* Killed between the last release and the end of giving it back. */
	atomic_store(&shared->slots[0].counts, 0);
	shared->slots[0].backing_id = 77;
	t = new_worker();
	assert_false(bfs_inode_is_known(t, 10));
	assert_int_equal(slots_taken(), 0);
	assert_int_equal(shared->slots[0].backing_id, 0);
}

static uint32_t flags_at_close;

/* The one call between the count of the last open and the end of giving it up. */
int __wrap_ioctl(int fd, unsigned long request, ...);
int __wrap_ioctl(int fd, unsigned long request, ...)
{
	(void)fd;
	(void)request;
	flags_at_close = shared->slots[0].flags;
	errno = EBADF;
	return -1;
}

static void what_lasts_until_the_last_close_is_over_when_that_is_counted(
	void **state)
{
	struct bfs_inode_table *t = new_worker();
	struct bfs_inode *inode = bfs_inode_lock(t, 10);

	(void)state;
	assert_int_equal(bfs_inode_add_open(t, inode, -1, true, 1234), 0);
	inode->slot->backing_id = 77;
	inode->slot->flags = BFS_SLOT_NEW | BFS_SLOT_FILLING;
	flags_at_close = UINT32_MAX;
	bfs_inode_drop_open(t, inode, true, 1236);
	assert_int_equal(flags_at_close, 0);
	bfs_inode_unlock(t, inode);
	assert_int_equal(slots_taken(), 0);
}

static void a_release_is_counted_once_though_its_worker_dies_over_it(void **state)
{
	struct bfs_inode_table *t = new_worker();
	struct bfs_inode *inode = bfs_inode_lock(t, 10);

	(void)state;
	assert_int_equal(bfs_inode_add_open(t, inode, -1, true, 1234), 0);
	bfs_inode_drop_open(t, inode, true, 1236);
	shared->newest_request = 1240;
	/* Killed before it is noted; the next worker gives the slot back. */
	t = new_worker();
	assert_false(bfs_inode_is_known(t, 10));
	assert_int_equal(shared->counted[1236 / 2], 1236);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		over_shared(the_shared_block_is_mapped_by_who_inherits_it),
		over_shared(an_inode_that_is_only_looked_at_takes_no_slot),
		over_shared(
			the_last_release_gives_the_slot_of_an_open_back),
		over_shared(a_slot_given_back_is_used_again_and_clean),
		over_shared(many_inodes_have_a_slot_each),
		over_shared(
			the_last_request_that_was_counted_is_known_to_the_next_worker),
		cmocka_unit_test(
			a_request_is_told_by_its_tag_among_those_in_flight),
		over_shared(
			a_slot_without_opens_is_given_back_by_the_next_worker),
		over_shared(
			what_lasts_until_the_last_close_is_over_when_that_is_counted),
		over_shared(
			a_release_is_counted_once_though_its_worker_dies_over_it),
		over_shared(plain_opens_are_counted_among_the_opens),
		over_shared(
			plain_opens_never_exceed_the_opens),
		over_shared(take_slot_is_idempotent_and_undone_when_idle),
		over_shared(a_flag_keeps_the_slot),
		over_shared(no_slot_left_is_enfile_and_counts_nothing),
		over_shared(what_is_kept_leaves_slots_for_opens),
		over_shared(a_backing_that_is_refused_counts_no_open),
		over_shared(a_new_worker_adopts_what_the_last_one_left),
		over_shared(a_slot_half_taken_at_a_workers_death_is_free),
		over_shared(an_idle_slot_that_was_adopted_is_given_back),
		over_shared(adoption_survives_many_deaths),
		over_shared(each_visits_those_with_one_of_the_flags),
		over_shared(
			threads_that_lock_the_same_inodes_exclude_each_other),
		over_shared(threads_that_lock_different_inodes_leave_no_trace),
		over_shared(a_locked_inode_does_not_block_another),
		over_shared(each_may_run_while_others_work),
	};

	return RUN_TESTS("inode", tests);
}
