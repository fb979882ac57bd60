/* SPDX-License-Identifier: MIT */
/*
 * A buffer that keeps its contents while it becomes another kind.
 */
#include "files.h"

#include "file_internal.h"

static const char contents[] = "what was copied";

static uint64_t created_full(const char *name)
{
	uint64_t nodeid = created(name);
	size_t n;

	assert_int_equal(write_at(nodeid, 0, contents, sizeof(contents), &n),
			 0);
	return nodeid;
}

static void assert_contents(uint64_t nodeid)
{
	char bytes[sizeof(contents) + 1];
	size_t n = 0;

	assert_int_equal(attributes(nodeid).st_size, sizeof(contents));
	assert_int_equal(bfs_file_read(&fs, nodeid, 0, bytes, sizeof(bytes),
				       &n),
			 0);
	assert_int_equal(n, sizeof(contents));
	assert_memory_equal(bytes, contents, sizeof(contents));
}

static void a_length_that_fits_converts_and_keeps_the_contents(void **state)
{
	static const char *const specs[] = {
		"capacity=64K,length=16",
		"wired,capacity=1M,length=16",
		"wired,length=16",
		"cache=inhibit,capacity=4K,tag=x,length=16",
		"unshared,tag=y,length=16",
		"out,capacity=4K,length=16",
	};

	(void)state;
	NEEDS_POOL();
	assert_int_equal(sizeof(contents), 16);
	for (size_t i = 0; i < COUNT_OF(specs); i++) {
		uint64_t nodeid = created_full(specs[i]);
		const struct stat before = attributes(nodeid);
		struct stat after;
		char text[512];

		assert_int_equal(configure(nodeid, specs[i]), 0);
		assert_contents(nodeid);
		assert_int_equal(get(nodeid, "user.iobuf", text, sizeof(text)),
				 0);
		assert_non_null(strstr(text, ",length=16"));
		assert_int_equal(configure(nodeid, text), 0);
		assert_contents(nodeid);
		after = attributes(nodeid);
		assert_memory_equal(&after.st_mtim, &before.st_mtim,
				    sizeof(after.st_mtim));
	}
}

static void without_a_length_or_with_another_it_stays_ebusy(void **state)
{
	static const char *const specs[] = {
		"capacity=64K",
		"capacity=64K,length=15",
		"capacity=64K,length=17",
		"wired,length=0",
		"contiguous,length=16",
	};
	struct picture before;
	uint64_t nodeid;

	(void)state;
	NEEDS_POOL();
	nodeid = created_full("f");
	before = picture_of(nodeid);
	for (size_t i = 0; i < COUNT_OF(specs); i++)
		assert_int_equal(configure(nodeid, specs[i]), -EBUSY);
	assert_unchanged(nodeid, &before);
}

static void goes_one_way(uint64_t nodeid)
{
	struct bfs_inode *inode = bfs_inode_lock(fs.inodes, nodeid);

	inode->one_way = 1;
	bfs_inode_unlock(fs.inodes, inode);
}

static void a_fixed_buffer_may_only_grow_where_it_is(void **state)
{
	static const char *const specs[] = {
		"pageable,length=65536",
		"capacity=32K,length=32768",
		"contiguous,capacity=64K,length=65536",
		"contiguous,capacity=1M,length=65536",
	};
	struct picture before;
	uint64_t nodeid;
	size_t n;

	(void)state;
	NEEDS_POOL();
	nodeid = created_as("f", "capacity=64K");
	assert_int_equal(write_at(nodeid, 0, contents, sizeof(contents), &n),
			 0);
	before = picture_of(nodeid);
	for (size_t i = 0; i < COUNT_OF(specs); i++)
		assert_true(configure(nodeid, specs[i]) < 0);
	assert_unchanged(nodeid, &before);
	assert_int_equal(configure(nodeid, "wired,capacity=1M,length=65536"),
			 0);
	assert_int_equal(truncate_to(nodeid, sizeof(contents)), 0);
	assert_contents(nodeid);
}

static void who_writes_without_the_daemon_elsewhere_keeps_it_ebusy(void **state)
{
	struct picture before;
	uint64_t nodeid;

	(void)state;
	NEEDS_POOL();
	nodeid = created_full("f");
	opened(nodeid, true);
	opened(nodeid, true);
	before = picture_of(nodeid);
	assert_int_equal(configure(nodeid, "capacity=64K,length=16"), -EBUSY);
	assert_unchanged(nodeid, &before);
	closed(nodeid, true);
	assert_int_equal(configure(nodeid, "capacity=64K,length=16"), -EBUSY);
	/* One may be the program that restores: it writes or reads. */
	goes_one_way(nodeid);
	assert_int_equal(configure(nodeid, "capacity=64K,length=16"), 0);
	assert_contents(nodeid);
	closed(nodeid, true);
}

static void a_conversion_over_a_limit_changes_nothing(void **state)
{
	struct picture before;
	uint64_t plain, wired;

	(void)state;
	NEEDS_POOL();
	plain = created_full("plain");
	wired = created_full("wired");
	assert_int_equal(configure(wired, "wired,length=16"), 0);
	fs.wired.max = 65536;
	before = picture_of(plain);
	assert_int_equal(configure(plain, "wired,capacity=1M,length=16"),
			 -ENOMEM);
	assert_unchanged(plain, &before);
	before = picture_of(wired);
	assert_int_equal(configure(wired, "wired,capacity=1M,length=16"),
			 -ENOMEM);
	assert_unchanged(wired, &before);
	assert_int_equal(fs.wired.used, sizeof(contents));
}

static void a_half_done_conversion_is_undone_by_the_next_worker(void **state)
{
	uint64_t nodeid;
	BFS_FILE struct bfs_file file = { 0 };
	struct bfs_record record;

	(void)state;
	NEEDS_POOL();
	nodeid = created_full("f");
	assert_int_equal(bfs_file_open(&fs, nodeid, O_RDWR, &file), 0);
	assert_int_equal(bfs_inode_take_slot(fs.inodes, file.inode), 0);
	file.inode->slot->flags |= BFS_SLOT_CONVERTING;
	record = file.record;
	record.flags |= BFS_RECORD_CONVERTING;
	record.length = sizeof(contents);
	assert_int_equal(bfs_record_store(file.fd, &record), 0);
	assert_int_equal(ftruncate(file.fd, 65536), 0);
	bfs_file_close(&file);
	assert_int_equal(new_worker(), 0);
	bfs_files_recover(&fs);
	assert_contents(nodeid);
	assert_int_equal(slots_taken(), 0);
	assert_int_equal(configure(nodeid, "capacity=64K,length=16"), 0);
	assert_contents(nodeid);
}

/* A conversion as a worker leaves it that dies over it: what the slot says, what
 * the record, and what is aside. */
static void left_converting(uint64_t nodeid, bool marked, int *ret_aside)
{
	BFS_FILE struct bfs_file file = { 0 };
	struct bfs_record record;

	assert_int_equal(bfs_file_open(&fs, nodeid, O_RDWR, &file), 0);
	assert_int_equal(bfs_inode_take_slot(fs.inodes, file.inode), 0);
	file.inode->slot->flags |= BFS_SLOT_CONVERTING | BFS_SLOT_WIRED;
	if (ret_aside)
		assert_int_equal(bfs_aside_make(&file, sizeof(contents),
						ret_aside),
				 0);
	record = file.record;
	record.flags |= BFS_RECORD_CONVERTING;
	record.flags |= ret_aside ? BFS_RECORD_ASIDE : 0;
	record.length = sizeof(contents);
	if (marked)
		assert_int_equal(bfs_record_store(file.fd, &record), 0);
	if (marked && ret_aside) {
		assert_int_equal(ftruncate(file.fd, 0), 0);
		assert_int_equal(ftruncate(file.fd, 65536), 0);
	}
}

static void a_conversion_that_was_only_begun_costs_no_contents(void **state)
{
	uint64_t nodeid;
	int aside = -1;

	(void)state;
	NEEDS_POOL();
	nodeid = created_full("f");
	left_converting(nodeid, false, NULL);
	assert_int_equal(new_worker(), 0);
	bfs_files_recover(&fs);
	assert_contents(nodeid);
	left_converting(nodeid, false, &aside);
	assert_int_equal(new_worker(), 0);
	bfs_files_recover(&fs);
	assert_contents(nodeid);
	assert_int_equal(slots_taken(), 0);
	close(aside);
}

/* The kernel's connection keeps the file; here it is this process. */
static void contents_that_are_aside_come_back_with_the_next_worker(void **state)
{
	uint64_t nodeid;
	int aside = -1;

	(void)state;
	NEEDS_POOL();
	nodeid = created_full("f");
	left_converting(nodeid, true, &aside);
	assert_int_equal(new_worker(), 0);
	bfs_files_recover(&fs);
	assert_contents(nodeid);
	assert_int_equal(slots_taken(), 0);
	assert_int_equal(configure(nodeid, "capacity=64K,length=16"), 0);
	assert_contents(nodeid);
	close(aside);
}

static void more_contents_than_can_be_set_aside_stay_where_they_are(void **state)
{
	BFS_FILE struct bfs_file file = { 0 };
	uint64_t nodeid;
	int aside;

	(void)state;
	NEEDS_POOL();
	nodeid = created_full("f");
	for (size_t i = 0; i < BFS_ASIDES_MAX; i++)
		fs.shared->asides[i].nodeid = 1000000 + i;
	assert_int_equal(bfs_file_open(&fs, nodeid, O_RDWR, &file), 0);
	assert_int_equal(bfs_aside_make(&file, sizeof(contents), &aside),
			 -ENFILE);
	bfs_file_close(&file);
	assert_contents(nodeid);
}

static void first_contents_go_in_against_a_direction(void **state)
{
	uint64_t nodeid;
	size_t n = 0;

	(void)state;
	NEEDS_POOL();
	nodeid = created_as("f", "out,capacity=4K,length=16");
	opened(nodeid, false);
	assert_int_equal(write_at(nodeid, 0, contents, sizeof(contents), &n),
			 0);
	closed(nodeid, false);
	assert_int_equal(write_at(nodeid, 0, "x", 1, &n), -EPERM);
	assert_contents(nodeid);
	nodeid = created_as("g", "out,capacity=4K");
	assert_int_equal(write_at(nodeid, 0, "x", 1, &n), -EPERM);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		over_pool(a_length_that_fits_converts_and_keeps_the_contents),
		over_pool(without_a_length_or_with_another_it_stays_ebusy),
		over_pool(a_fixed_buffer_may_only_grow_where_it_is),
		over_pool(
			who_writes_without_the_daemon_elsewhere_keeps_it_ebusy),
		over_pool(a_conversion_over_a_limit_changes_nothing),
		over_pool(a_half_done_conversion_is_undone_by_the_next_worker),
		over_pool(a_conversion_that_was_only_begun_costs_no_contents),
		over_pool(
			contents_that_are_aside_come_back_with_the_next_worker),
		over_pool(
			more_contents_than_can_be_set_aside_stay_where_they_are),
		over_pool(first_contents_go_in_against_a_direction),
	};

	bfs_log_open(1, 0);
	return RUN_TESTS("restore", tests);
}
