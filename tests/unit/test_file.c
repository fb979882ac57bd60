/* SPDX-License-Identifier: MIT */
/*
 * Files as buffers, their names and their xattrs: all of a worker but FUSE,
 * over a pool in /dev/shm.
 */
#include "files.h"

static const uint64_t MIB = UINT64_C(1) << 20;

static void a_new_file_is_an_empty_buffer(void **state)
{
	uint64_t nodeid;
	char text[64];

	(void)state;
	NEEDS_POOL();
	nodeid = created("f");
	assert_int_equal(attributes(nodeid).st_size, 0);
	assert_int_equal(attributes(nodeid).st_blocks, 0);
	assert_int_equal(get(nodeid, "user.iobuf", text, sizeof(text)),
			 -ENODATA);
	assert_xattr(nodeid, "user.iobuf.options", "pageable,inout,shared");
	assert_int_equal(slots_taken(), 0);
}

static void a_capacity_allocates_a_fixed_buffer(void **state)
{
	struct picture p;
	uint64_t nodeid;

	(void)state;
	NEEDS_POOL();
	nodeid = created_as("f", "capacity=1M,tag=t");
	p = picture_of(nodeid);
	assert_int_equal(p.own.st_size, MIB);
	assert_int_equal(p.pools.st_size, MIB);
	assert_true((uint64_t)p.pools.st_blocks * 512 >= MIB);
	assert_xattr(nodeid, "user.iobuf",
		     "pageable,inout,shared,capacity=1048576,align=4096,"
		     "tag=t,length=1048576");
	assert_int_equal(p.slots, 0); /* nothing to remember */
}

static void after_allocation_options_are_ebusy_and_nothing_changes(void **state)
{
	static const char *const late[] = { "capacity=2M", "wired,capacity=1M",
					    "in,capacity=1M",
					    "unshared,capacity=1M",
					    "capacity=1M,tag=x", "pageable" };
	struct picture before;
	uint64_t nodeid;

	(void)state;
	NEEDS_POOL();
	nodeid = created_as("f", "capacity=1M");
	before = picture_of(nodeid);
	for (size_t i = 0; i < COUNT_OF(late); i++) {
		assert_int_equal(configure(nodeid, late[i]), -EBUSY);
		assert_unchanged(nodeid, &before);
	}
	assert_int_equal(set(nodeid, "user.iobuf.capacity", "2M"), -EBUSY);
	assert_int_equal(set(nodeid, "user.iobuf.options", "wired"), -EBUSY);
	assert_int_equal(set(nodeid, "user.iobuf.tag", "x"), -EBUSY);
	assert_int_equal(bfs_removexattr(&fs, nodeid, "user.iobuf", 0), -EBUSY);
	assert_unchanged(nodeid, &before);
}

static void setting_the_same_value_succeeds_after_allocation(void **state)
{
	struct picture before;
	uint64_t nodeid;

	(void)state;
	NEEDS_POOL();
	nodeid = created_as("f", "capacity=1M,tag=t");
	before = picture_of(nodeid);
	assert_int_equal(configure(nodeid, "tag=t,capacity=1024K"), 0);
	assert_int_equal(set(nodeid, "user.iobuf.capacity", "1M"), 0);
	assert_int_equal(set(nodeid, "user.iobuf.tag", "t"), 0);
	assert_int_equal(set(nodeid, "user.iobuf.options", "pageable"), 0);
	assert_int_equal(set(nodeid, "user.iobuf.options", "0x10023"), 0);
	assert_unchanged(nodeid, &before);
}

static void bytes_in_an_elastic_buffer_fix_its_options(void **state)
{
	struct picture before;
	uint64_t nodeid;
	size_t n;

	(void)state;
	NEEDS_POOL();
	nodeid = created("f");
	assert_int_equal(write_at(nodeid, 0, "abc", 3, &n), 0);
	before = picture_of(nodeid);
	assert_int_equal(configure(nodeid, "capacity=1M"), -EBUSY);
	assert_int_equal(configure(nodeid, "in"), -EBUSY);
	assert_unchanged(nodeid, &before);
	/* Empty again, it may become anything. */
	assert_int_equal(truncate_to(nodeid, 0), 0);
	assert_int_equal(configure(nodeid, "capacity=1M"), 0);
}

static void bad_requests_have_their_errno_and_change_nothing(void **state)
{
	static const struct {
		const char *name, *value;
		int error;
	} bad[] = {
		{ "user.iobuf", "", EINVAL },
		{ "user.iobuf", "bogus", EINVAL },
		{ "user.iobuf", "wired,", EINVAL },
		{ "user.iobuf", "wired,pageable", EINVAL },
		{ "user.iobuf", "capacity=0", EINVAL },
		{ "user.iobuf", "capacity=18446744073709551616", EOVERFLOW },
		{ "user.iobuf", "capacity=18446744073709551615", EOVERFLOW },
		{ "user.iobuf", "wired,purgeable", EINVAL },
		{ "user.iobuf.purgeable", "volatile", EINVAL },
		{ "user.iobuf.options", "capacity=1M", EINVAL },
		{ "user.iobuf.options", "0x100000", EINVAL },
		{ "user.iobuf.options", "bogus", EINVAL },
		{ "user.iobuf.capacity", "0", EINVAL },
		{ "user.iobuf.capacity", "1M,wired", EINVAL },
		{ "user.iobuf.capacity", "", EINVAL },
		{ "user.iobuf.alignment", "3", EINVAL },
		{ "user.iobuf.task", "nobody", EINVAL },
		{ "user.iobuf.direction", "sideways", EINVAL },
		{ "user.iobuf.direction", "in,wired", EINVAL },
		{ "user.iobuf.length", "-1", EINVAL },
		{ "user.iobuf.length", "1", EOPNOTSUPP }, /* it is elastic */
		{ "user.iobuf.state", "x", EPERM },
		{ "user.iobuf.segments", "x", EPERM },
		{ "user.iobuf.bogus", "x", EINVAL },
		{ "user.iobuf.", "x", EINVAL },
		{ "user.iobuf.record", "x", EINVAL },
		{ "trusted.iobuf.record", "x", EPERM },
	};
	struct picture before;
	uint64_t nodeid;

	(void)state;
	NEEDS_POOL();
	nodeid = created("f");
	before = picture_of(nodeid);
	for (size_t i = 0; i < COUNT_OF(bad); i++) {
		int r = set(nodeid, bad[i].name, bad[i].value);

		if (r != -bad[i].error)
			fail_msg("%s '%s': %d", bad[i].name, bad[i].value, r);
		assert_unchanged(nodeid, &before);
	}
}

static void a_write_past_the_capacity_is_efbig(void **state)
{
	static const char bytes[8192] = "payload";
	struct picture before;
	uint64_t nodeid;
	size_t n = 77;

	(void)state;
	NEEDS_POOL();
	nodeid = created_as("f", "capacity=64K");
	before = picture_of(nodeid);
	assert_int_equal(write_at(nodeid, 65536, bytes, 1, &n), -EFBIG);
	assert_int_equal(write_at(nodeid, UINT64_MAX, bytes, 1, &n), -EFBIG);
	assert_int_equal(n, 77);
	assert_unchanged(nodeid, &before);
	/* What fits is written first. */
	assert_int_equal(write_at(nodeid, 65530, bytes, 100, &n), 0);
	assert_int_equal(n, 6);
	assert_int_equal(attributes(nodeid).st_size, 65536);
}

static void the_length_is_the_size_that_clients_see(void **state)
{
	uint64_t nodeid;
	size_t n;
	char out[16];

	(void)state;
	NEEDS_POOL();
	nodeid = created_as("f", "capacity=64K");
	assert_int_equal(truncate_to(nodeid, 0), 0);
	assert_int_equal(attributes(nodeid).st_size, 0);
	assert_int_equal(write_at(nodeid, 2, "abc", 3, &n), 0);
	assert_int_equal(attributes(nodeid).st_size, 5);
	assert_xattr(nodeid, "user.iobuf.length", "5");
	assert_int_equal(bfs_file_read(&fs, nodeid, 0, out, 16, &n), 0);
	assert_int_equal(n, 5);
	assert_memory_equal(out, "\0\0abc", 5);
	/* The pool file keeps the whole capacity. */
	assert_int_equal(picture_of(nodeid).pools.st_size, 65536);
}

static void truncate_past_the_capacity_changes_nothing(
	void **state)
{
	struct bfs_attributes a = {
		.set_size = true,
		.set_mode = true,
		.mode = 0600,
		.size = 65537,
	};
	struct picture before;
	uint64_t nodeid;
	struct stat st;

	(void)state;
	NEEDS_POOL();
	nodeid = created_as("f", "capacity=64K");
	before = picture_of(nodeid);
	assert_int_equal(truncate_to(nodeid, 65537), -EFBIG);
	assert_int_equal(bfs_setattr(&fs, nodeid, &a, &st), -EFBIG);
	assert_unchanged(nodeid, &before);
}

static void bytes_that_truncate_cut_off_are_zero_when_it_grows(void **state)
{
	uint64_t nodeid;
	size_t n;
	char out[8];

	(void)state;
	NEEDS_POOL();
	nodeid = created_as("f", "capacity=4K");
	assert_int_equal(write_at(nodeid, 0, "abcdefgh", 8, &n), 0);
	assert_int_equal(truncate_to(nodeid, 4), 0);
	assert_int_equal(truncate_to(nodeid, 8), 0);
	assert_int_equal(bfs_file_read(&fs, nodeid, 0, out, 8, &n), 0);
	assert_memory_equal(out, "abcd\0\0\0\0", 8);
}

static void setting_the_length_clears_nothing(void **state)
{
	uint64_t nodeid;
	size_t n;
	char out[8];

	(void)state;
	NEEDS_POOL();
	nodeid = created_as("f", "capacity=4K");
	assert_int_equal(write_at(nodeid, 0, "abcdefgh", 8, &n), 0);
	assert_int_equal(set(nodeid, "user.iobuf.length", "4"), 0);
	assert_int_equal(attributes(nodeid).st_size, 4);
	assert_int_equal(set(nodeid, "user.iobuf.length", "8"), 0);
	assert_int_equal(bfs_file_read(&fs, nodeid, 0, out, 8, &n), 0);
	assert_memory_equal(out, "abcdefgh", 8);
	assert_int_equal(set(nodeid, "user.iobuf.length", "4097"), -EINVAL);
	assert_int_equal(attributes(nodeid).st_size, 8);
}

static void fallocate_keeps_within_the_capacity(void **state)
{
	struct picture before;
	uint64_t nodeid;

	(void)state;
	NEEDS_POOL();
	nodeid = created_as("f", "capacity=64K");
	assert_int_equal(truncate_to(nodeid, 10), 0);
	before = picture_of(nodeid);
	assert_int_equal(allocate(nodeid, 0, 65536, 1), -EFBIG);
	assert_int_equal(allocate(nodeid, 0, UINT64_MAX, 2), -EFBIG);
	assert_int_equal(allocate(nodeid, FALLOC_FL_COLLAPSE_RANGE, 0, 4096),
			 -EOPNOTSUPP);
	assert_int_equal(allocate(nodeid, FALLOC_FL_ZERO_RANGE, 65536, 1),
			 -EFBIG);
	assert_int_equal(allocate(nodeid, 0, 0, 5), 0);
	assert_unchanged(nodeid, &before);
	assert_int_equal(allocate(nodeid, 0, 0, 100), 0);
	assert_int_equal(attributes(nodeid).st_size, 100);
}

static void punching_a_fixed_buffer_zeroes_and_keeps_its_pages(void **state)
{
	const int punch = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
	uint64_t nodeid, blocks;
	char bytes[16] = "";
	size_t n = 0;

	(void)state;
	NEEDS_POOL();
	nodeid = created_as("f", "capacity=64K");
	blocks = (uint64_t)attributes(nodeid).st_blocks;
	assert_int_equal(write_at(nodeid, 0, "abcdefgh", 8, &n), 0);
	assert_int_equal(allocate(nodeid, punch, 2, 3), 0);
	assert_int_equal(allocate(nodeid, punch, 8192, UINT64_C(1) << 40), 0);
	assert_int_equal(bfs_file_read(&fs, nodeid, 0, bytes, 8, &n), 0);
	assert_memory_equal(bytes, "ab\0\0\0fgh", 8);
	assert_int_equal(attributes(nodeid).st_blocks, blocks);
	assert_int_equal(attributes(nodeid).st_size, 65536);
}

static void zeroing_a_range_of_an_elastic_buffer_reserves_it(void **state)
{
	const int keep = FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE;
	char bytes[16] = "";
	uint64_t nodeid;
	size_t n = 0;

	(void)state;
	NEEDS_POOL();
	nodeid = created("f");
	assert_int_equal(write_at(nodeid, 0, "abcdefgh", 8, &n), 0);
	assert_int_equal(allocate(nodeid, keep, 6, 8190), 0);
	assert_int_equal(attributes(nodeid).st_size, 8);
	assert_int_equal(attributes(nodeid).st_blocks, 3 * 8);
	assert_int_equal(allocate(nodeid, FALLOC_FL_ZERO_RANGE, 7, 3), 0);
	assert_int_equal(attributes(nodeid).st_size, 10);
	assert_int_equal(bfs_file_read(&fs, nodeid, 0, bytes, 16, &n), 0);
	assert_int_equal(n, 10);
	assert_memory_equal(bytes, "abcdef\0\0\0\0", 10);
}

static void copying_keeps_to_directions_and_capacities(void **state)
{
	uint64_t from, fixed, out;
	char bytes[16] = "";
	size_t n = 77;

	(void)state;
	NEEDS_POOL();
	from = created("from");
	fixed = created_as("fixed", "capacity=4K");
	out = created_as("out", "out,capacity=4K");
	assert_int_equal(write_at(from, 0, "abcdefgh", 8, &n), 0);
	assert_int_equal(bfs_file_copy(&fs, from, 2, fixed, 4094, 6, &n), 0);
	assert_int_equal(n, 2);
	assert_int_equal(bfs_file_read(&fs, fixed, 4094, bytes, 8, &n), 0);
	assert_memory_equal(bytes, "cd", 2);
	assert_int_equal(bfs_file_copy(&fs, from, 8, fixed, 0, 6, &n), 0);
	assert_int_equal(n, 0);
	assert_int_equal(bfs_file_copy(&fs, from, 0, out, 0, 8, &n), -EPERM);
	assert_int_equal(bfs_file_copy(&fs, from, 0, from, 8, 8, &n), 0);
	assert_int_equal(attributes(from).st_size, 16);
}

static void direction_binds_transfers_and_may_change(void **state)
{
	uint64_t nodeid;
	size_t n = 77;
	char byte;

	(void)state;
	NEEDS_POOL();
	nodeid = created_as("f", "in,capacity=4K");
	assert_int_equal(write_at(nodeid, 0, "x", 1, &n), 0);
	assert_int_equal(bfs_file_read(&fs, nodeid, 0, &byte, 1, &n), -EPERM);
	assert_int_equal(set(nodeid, "user.iobuf.direction", "out"), 0);
	assert_xattr(nodeid, "user.iobuf.direction", "out");
	assert_int_equal(write_at(nodeid, 0, "y", 1, &n), -EPERM);
	assert_int_equal(bfs_file_read(&fs, nodeid, 0, &byte, 1, &n), 0);
	assert_int_equal(byte, 'x');
}

static void a_direction_without_passthrough_is_eopnotsupp(void **state)
{
	uint64_t nodeid;

	(void)state;
	NEEDS_POOL();
	fs.shared->passthrough = false;
	nodeid = created("f");
	assert_int_equal(configure(nodeid, "in,capacity=4K"), -EOPNOTSUPP);
	assert_int_equal(configure(nodeid, "in,unshared,capacity=4K"), 0);
	nodeid = created_as("g", "capacity=4K");
	assert_int_equal(set(nodeid, "user.iobuf.direction", "in"),
			 -EOPNOTSUPP);
	assert_xattr(nodeid, "user.iobuf.direction", "inout");
}

static void a_plain_open_freezes_the_options(void **state)
{
	struct picture before;
	uint64_t nodeid;

	(void)state;
	NEEDS_POOL();
	nodeid = created("f");
	opened(nodeid, true);
	before = picture_of(nodeid);
	assert_int_equal(configure(nodeid, "capacity=1M"), -EBUSY);
	assert_int_equal(configure(nodeid, "in"), -EBUSY);
	assert_int_equal(set(nodeid, "user.iobuf.direction", "in"), -EBUSY);
	assert_unchanged(nodeid, &before);
	closed(nodeid, true);
	assert_int_equal(configure(nodeid, "capacity=1M"), 0);
}

static void a_watched_open_freezes_only_sharing(void **state)
{
	uint64_t nodeid;

	(void)state;
	NEEDS_POOL();
	nodeid = created("f");
	opened(nodeid, false);
	assert_int_equal(configure(nodeid, "unshared,capacity=1M"), -EBUSY);
	assert_int_equal(configure(nodeid, "capacity=1M"), 0);
	assert_int_equal(attributes(nodeid).st_size, MIB);
	closed(nodeid, false);
}

static void a_wired_file_is_locked_until_it_is_gone(void **state)
{
	const uint64_t locked = locked_bytes();
	uint64_t nodeid;
	size_t n;

	(void)state;
	NEEDS_POOL();
	nodeid = created_as("f", "wired,capacity=1M");
	assert_int_equal(locked_bytes(), locked + MIB);
	assert_int_equal(slots_taken(), 1);
	assert_int_equal(write_at(nodeid, 0, "x", 1, &n), 0);
	assert_int_equal(truncate_to(nodeid, 0), 0);
	assert_int_equal(locked_bytes(), locked + MIB);
	assert_int_equal(bfs_unlink(&fs, BFS_ROOT_NODEID, "f", 0), 0);
	bfs_file_forget(&fs, nodeid);
	assert_int_equal(locked_bytes(), locked);
	assert_int_equal(slots_taken(), 0);
}

static void an_elastic_wired_file_wires_what_it_grows_by(void **state)
{
	static const char bytes[1 << 20];
	const uint64_t locked = locked_bytes();
	uint64_t nodeid;
	size_t n;

	(void)state;
	NEEDS_POOL();
	nodeid = created_as("f", "wired");
	assert_int_equal(write_at(nodeid, 0, bytes, MIB, &n), 0);
	assert_int_equal(locked_bytes(), locked + MIB);
	assert_int_equal(truncate_to(nodeid, 3 * MIB), 0);
	assert_int_equal(locked_bytes(), locked + 3 * MIB);
	assert_int_equal(bfs_unlink(&fs, BFS_ROOT_NODEID, "f", 0), 0);
	bfs_file_forget(&fs, nodeid);
	assert_int_equal(locked_bytes(), locked);
	assert_int_equal(slots_taken(), 0);
}

/* No mapping keeps the inode of such a file alive: it cannot be opened. */
static void a_wired_file_of_no_bytes_gives_its_slot_back_too(void **state)
{
	uint64_t nodeid;
	size_t n;

	(void)state;
	NEEDS_POOL();
	nodeid = created_as("f", "wired");
	assert_int_equal(write_at(nodeid, 0, "x", 1, &n), 0);
	assert_int_equal(truncate_to(nodeid, 0), 0);
	assert_int_equal(slots_taken(), 1);
	assert_int_equal(bfs_unlink(&fs, BFS_ROOT_NODEID, "f", 0), 0);
	bfs_file_forget(&fs, nodeid);
	assert_int_equal(slots_taken(), 0);
}

static void forgetting_a_file_that_has_a_name_keeps_it_wired(void **state)
{
	const uint64_t locked = locked_bytes();
	uint64_t nodeid;

	(void)state;
	NEEDS_POOL();
	nodeid = created_as("f", "wired,capacity=1M");
	bfs_file_forget(&fs, nodeid);
	assert_int_equal(locked_bytes(), locked + MIB);
	assert_int_equal(bfs_unlink(&fs, BFS_ROOT_NODEID, "f", 0), 0);
	bfs_file_forget(&fs, nodeid);
	assert_int_equal(locked_bytes(), locked);
}

static void files_get_what_their_directory_hands_down(void **state)
{
	struct bfs_entry dir, sub;
	uint64_t nodeid;
	char text[256];

	(void)state;
	NEEDS_POOL();
	assert_int_equal(bfs_mkdir(&fs, BFS_ROOT_NODEID, "d", 0755, OWNER,
				   &dir),
			 0);
	assert_int_equal(configure(dir.nodeid, "in,capacity=64K"), 0);
	nodeid = created_in(dir.nodeid, "f");
	assert_int_equal(attributes(nodeid).st_size, 65536);
	assert_xattr(nodeid, "user.iobuf.direction", "in");
	/* A new subdirectory copies the defaults. */
	assert_int_equal(bfs_mkdir(&fs, dir.nodeid, "s", 0755, OWNER, &sub), 0);
	nodeid = created_in(sub.nodeid, "f");
	assert_int_equal(attributes(nodeid).st_size, 65536);
	/* Removing them restores the mount's. */
	assert_int_equal(bfs_removexattr(&fs, dir.nodeid, "user.iobuf", 0), 0);
	assert_int_equal(bfs_removexattr(&fs, dir.nodeid, "user.iobuf", 0),
			 -ENODATA);
	nodeid = created_in(dir.nodeid, "g");
	assert_int_equal(attributes(nodeid).st_size, 0);
	assert_int_equal(get(nodeid, "user.iobuf", text, sizeof(text)),
			 -ENODATA);
}

static void what_a_file_does_not_ask_comes_from_its_directory(void **state)
{
	struct bfs_entry dir;
	uint64_t nodeid;

	(void)state;
	NEEDS_POOL();
	assert_int_equal(bfs_mkdir(&fs, BFS_ROOT_NODEID, "d", 0755, OWNER,
				   &dir),
			 0);
	assert_int_equal(configure(dir.nodeid, "in,tag=label"), 0);
	nodeid = created_in(dir.nodeid, "f");
	assert_int_equal(configure(nodeid, "capacity=4K"), 0);
	assert_xattr(nodeid, "user.iobuf.direction", "in");
	assert_xattr(nodeid, "user.iobuf.tag", "label");
	assert_xattr(nodeid, "user.iobuf.capacity", "4096");
}

static void removing_the_specification_of_an_empty_file_forgets_it(void **state)
{
	uint64_t nodeid;
	char text[256];

	(void)state;
	NEEDS_POOL();
	nodeid = created_as("f", "in,tag=t");
	assert_xattr(nodeid, "user.iobuf.direction", "in");
	assert_int_equal(bfs_removexattr(&fs, nodeid, "user.iobuf", 0), 0);
	assert_xattr(nodeid, "user.iobuf.direction", "inout");
	assert_int_equal(get(nodeid, "user.iobuf", text, sizeof(text)),
			 -ENODATA);
	assert_int_equal(bfs_removexattr(&fs, nodeid, "user.iobuf", 0), -ENODATA);
	assert_int_equal(bfs_removexattr(&fs, nodeid, "user.iobuf.tag", 0),
			 -EINVAL);
	assert_int_equal(bfs_removexattr(&fs, nodeid, "user.iobuf.state", 0),
			 -EPERM);
}

static void listing_shows_the_specification_only_where_it_was_set(void **state)
{
	static const char explicit[] = "user.x\0user.iobuf";
	uint64_t plain, set_one;
	enum bfs_changed changed;
	char list[256];
	size_t n = 0;

	(void)state;
	NEEDS_POOL();
	plain = created("plain");
	set_one = created_as("set", "capacity=4K");
	assert_int_equal(bfs_listxattr(&fs, plain, 0, list, sizeof(list), &n), 0);
	assert_int_equal(n, 0);
	assert_int_equal(bfs_setxattr(&fs, set_one, "user.x", "1", 1, 0,
				      0, &changed),
			 0);
	assert_false(changed);
	assert_int_equal(bfs_listxattr(&fs, set_one, 0, list, sizeof(list), &n),
			 0);
	assert_int_equal(n, sizeof(explicit));
	assert_memory_equal(list, explicit, n);
	assert_int_equal(bfs_listxattr(&fs, set_one, 0, list, 0, &n), 0);
	assert_int_equal(n, sizeof(explicit));
	assert_int_equal(bfs_listxattr(&fs, set_one, 0, list, n - 1, &n), -ERANGE);
}

static void the_record_can_be_neither_seen_nor_forged(void **state)
{
	static const char *const names[] = { "user.iobuf.record",
					     "trusted.iobuf.record" };
	uint64_t nodeid;
	char text[512];

	(void)state;
	NEEDS_POOL();
	nodeid = created_as("f", "capacity=4K");
	for (size_t i = 0; i < COUNT_OF(names); i++) {
		assert_int_equal(get(nodeid, names[i], text, sizeof(text)),
				 -ENODATA);
		assert_true(set(nodeid, names[i], "x") < 0);
		assert_true(bfs_removexattr(&fs, nodeid, names[i], 0) < 0);
	}
	assert_xattr(nodeid, "user.iobuf.capacity", "4096");
}

static void every_row_of_the_xattr_table_can_be_read(void **state)
{
	const char *name, *help;
	uint64_t nodeid;
	char text[8192];
	size_t rows = 0;

	(void)state;
	NEEDS_POOL();
	nodeid = created_as("f", "capacity=4K,tag=t");
	for (; (name = bfs_xattr_help(rows, &help)); rows++) {
		int r = get(nodeid, name, text, sizeof(text));

		assert_true(help && help[0]);
		if (r != 0 && r != -ENODATA && r != -EOPNOTSUPP)
			fail_msg("%s: %d", name, r);
	}
	assert_int_equal(rows, 12);
}

static void a_small_buffer_is_erange_and_none_asks_for_the_size(void **state)
{
	uint64_t nodeid;
	size_t n = 77;
	char text[8];

	(void)state;
	NEEDS_POOL();
	nodeid = created_as("f", "capacity=1M");
	assert_int_equal(bfs_getxattr(&fs, nodeid, "user.iobuf.capacity", getpid(), text,
				      6, &n),
			 -ERANGE);
	assert_int_equal(bfs_getxattr(&fs, nodeid, "user.iobuf.capacity", getpid(), NULL,
				      0, &n),
			 0);
	assert_int_equal(n, 7);
	assert_int_equal(bfs_getxattr(&fs, nodeid, "user.iobuf.capacity", getpid(), text,
				      7, &n),
			 0);
	assert_memory_equal(text, "1048576", 7);
}

static void create_and_replace_are_obeyed(void **state)
{
	uint64_t nodeid;
	enum bfs_changed changed;

	(void)state;
	NEEDS_POOL();
	nodeid = created("f");
	assert_int_equal(bfs_setxattr(&fs, nodeid, "user.iobuf", "tag=a", 5,
				      XATTR_REPLACE, 0, &changed),
			 -ENODATA);
	assert_int_equal(bfs_setxattr(&fs, nodeid, "user.iobuf", "tag=a", 5,
				      XATTR_CREATE, 0, &changed),
			 0);
	assert_int_equal(bfs_setxattr(&fs, nodeid, "user.iobuf", "tag=b", 5,
				      XATTR_CREATE, 0, &changed),
			 -EEXIST);
	assert_int_equal(bfs_setxattr(&fs, nodeid, "user.iobuf", "tag=b", 5,
				      XATTR_REPLACE, 0, &changed),
			 0);
	assert_xattr(nodeid, "user.iobuf.tag", "b");
}

static void the_state_tells_what_was_obtained(void **state)
{
	uint64_t empty, elastic, fixed;
	char text[8192];
	size_t n;

	(void)state;
	NEEDS_POOL();
	empty = created("empty");
	elastic = created("elastic");
	assert_int_equal(write_at(elastic, 0, "abc", 3, &n), 0);
	fixed = created_as("fixed", "capacity=64K,tag=label");
	assert_int_equal(get(empty, "user.iobuf.state", text, sizeof(text)), 0);
	assert_non_null(strstr(text, "kind=empty\n"));
	assert_int_equal(get(elastic, "user.iobuf.state", text, sizeof(text)),
			 0);
	assert_non_null(strstr(text, "kind=elastic\n"));
	assert_non_null(strstr(text, "length=3\n"));
	assert_int_equal(get(fixed, "user.iobuf.state", text, sizeof(text)), 0);
	assert_non_null(strstr(text, "kind=fixed\n"));
	assert_non_null(strstr(text, "capacity=65536\n"));
	assert_non_null(strstr(text, "allocated=65536\n"));
	assert_non_null(strstr(text, "tag=label\n"));
	assert_non_null(strstr(text, "datapath=passthrough\n"));
}

static void names_are_one_component(void **state)
{
	static const char *const bad[] = { "", ".", "..", "a/b", "/", "/etc" };
	struct bfs_entry entry;

	(void)state;
	NEEDS_POOL();
	for (size_t i = 0; i < COUNT_OF(bad); i++) {
		assert_int_equal(bfs_lookup(&fs, BFS_ROOT_NODEID, bad[i],
					    &entry),
				 -EINVAL);
		assert_int_equal(bfs_create(&fs, BFS_ROOT_NODEID, bad[i], 0644,
					    OWNER, &entry, NULL),
				 -EINVAL);
		assert_int_equal(bfs_unlink(&fs, BFS_ROOT_NODEID, bad[i], 0),
				 -EINVAL);
	}
}

static void lookup_finds_what_create_made(void **state)
{
	struct bfs_entry entry = { 0 };
	uint64_t nodeid;

	(void)state;
	NEEDS_POOL();
	nodeid = created_as("f", "capacity=64K");
	assert_int_equal(truncate_to(nodeid, 100), 0);
	assert_int_equal(bfs_lookup(&fs, BFS_ROOT_NODEID, "f", &entry), 0);
	assert_true(entry.nodeid == nodeid);
	assert_int_equal(entry.st.st_size, 100);
	assert_int_equal(bfs_lookup(&fs, BFS_ROOT_NODEID, "none", &entry),
			 -ENOENT);
	assert_int_equal(bfs_create(&fs, BFS_ROOT_NODEID, "f", 0644, OWNER,
				    &entry, NULL),
			 -EEXIST);
	assert_int_equal(attributes(nodeid).st_size, 100);
}

static void a_create_that_fails_leaves_neither_name_nor_slot(void **state)
{
	const uint64_t locked = locked_bytes();
	struct bfs_entry dir, entry;

	(void)state;
	NEEDS_POOL();
	assert_int_equal(bfs_mkdir(&fs, BFS_ROOT_NODEID, "d", 0755, OWNER,
				   &dir),
			 0);
	created_in(dir.nodeid, "taken");
	assert_int_equal(configure(dir.nodeid, "wired,capacity=64K"), 0);
	assert_int_equal(bfs_create(&fs, dir.nodeid, "taken", 0644, OWNER,
				    &entry, NULL),
			 -EEXIST);
	assert_int_equal(slots_taken(), 0);
	assert_int_equal(locked_bytes(), locked);
}

/* A slot as a worker leaves it that dies while it allocates. */
static void mark_allocating(uint64_t nodeid)
{
	struct bfs_inode *inode = bfs_inode_lock(fs.inodes, nodeid);

	assert_int_equal(bfs_inode_take_slot(fs.inodes, inode), 0);
	inode->slot->flags |= BFS_SLOT_ALLOCATING;
	bfs_inode_unlock(fs.inodes, inode);
}

static void a_half_done_allocation_is_undone_by_the_next_worker(void **state)
{
	uint64_t half, whole;
	int fd;

	(void)state;
	NEEDS_POOL();
	half = created("half");
	whole = created_as("whole", "capacity=64K");
	fd = bfs_node_open(fs.nodes, half, O_RDWR);
	assert_int_equal(fallocate(fd, 0, 0, 65536), 0);
	close(fd);
	mark_allocating(half);
	mark_allocating(whole);
	assert_int_equal(new_worker(), 0);
	bfs_files_recover(&fs);
	assert_int_equal(attributes(half).st_size, 0);
	assert_int_equal(attributes(half).st_blocks, 0);
	assert_int_equal(attributes(whole).st_size, 65536);
	assert_true(attributes(whole).st_blocks >= 128);
	assert_int_equal(slots_taken(), 0);
	assert_int_equal(configure(half, "capacity=4K"), 0);
}

static void a_corrupt_record_is_eio(void **state)
{
	struct stat st;
	uint64_t nodeid;
	size_t n = 77;
	char byte;
	int fd;

	(void)state;
	NEEDS_POOL();
	nodeid = created("f");
	fd = bfs_node_open(fs.nodes, nodeid, O_RDWR);
	assert_int_equal(fsetxattr(fd, bfs_record_xattr(), "junk", 4, 0), 0);
	close(fd);
	assert_int_equal(bfs_getattr(&fs, nodeid, &st), -EIO);
	assert_int_equal(write_at(nodeid, 0, "x", 1, &n), -EIO);
	assert_int_equal(bfs_file_read(&fs, nodeid, 0, &byte, 1, &n), -EIO);
	assert_int_equal(configure(nodeid, "capacity=4K"), -EIO);
	assert_int_equal(slots_taken(), 0);
	/* It can still be got rid of. */
	assert_int_equal(bfs_unlink(&fs, BFS_ROOT_NODEID, "f", 0), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		over_pool(a_new_file_is_an_empty_buffer),
		over_pool(a_capacity_allocates_a_fixed_buffer),
		over_pool(
			after_allocation_options_are_ebusy_and_nothing_changes),
		over_pool(setting_the_same_value_succeeds_after_allocation),
		over_pool(bytes_in_an_elastic_buffer_fix_its_options),
		over_pool(bad_requests_have_their_errno_and_change_nothing),
		over_pool(a_write_past_the_capacity_is_efbig),
		over_pool(the_length_is_the_size_that_clients_see),
		over_pool(
			truncate_past_the_capacity_changes_nothing),
		over_pool(bytes_that_truncate_cut_off_are_zero_when_it_grows),
		over_pool(setting_the_length_clears_nothing),
		over_pool(fallocate_keeps_within_the_capacity),
		over_pool(punching_a_fixed_buffer_zeroes_and_keeps_its_pages),
		over_pool(zeroing_a_range_of_an_elastic_buffer_reserves_it),
		over_pool(copying_keeps_to_directions_and_capacities),
		over_pool(direction_binds_transfers_and_may_change),
		over_pool(a_direction_without_passthrough_is_eopnotsupp),
		over_pool(a_plain_open_freezes_the_options),
		over_pool(a_watched_open_freezes_only_sharing),
		over_pool(a_wired_file_is_locked_until_it_is_gone),
		over_pool(an_elastic_wired_file_wires_what_it_grows_by),
		over_pool(a_wired_file_of_no_bytes_gives_its_slot_back_too),
		over_pool(forgetting_a_file_that_has_a_name_keeps_it_wired),
		over_pool(files_get_what_their_directory_hands_down),
		over_pool(what_a_file_does_not_ask_comes_from_its_directory),
		over_pool(
			removing_the_specification_of_an_empty_file_forgets_it),
		over_pool(
			listing_shows_the_specification_only_where_it_was_set),
		over_pool(the_record_can_be_neither_seen_nor_forged),
		over_pool(every_row_of_the_xattr_table_can_be_read),
		over_pool(a_small_buffer_is_erange_and_none_asks_for_the_size),
		over_pool(create_and_replace_are_obeyed),
		over_pool(the_state_tells_what_was_obtained),
		over_pool(names_are_one_component),
		over_pool(lookup_finds_what_create_made),
		over_pool(a_create_that_fails_leaves_neither_name_nor_slot),
		over_pool(a_half_done_allocation_is_undone_by_the_next_worker),
		over_pool(a_corrupt_record_is_eio),
	};

	bfs_log_open(1, 0);
	return RUN_TESTS("file", tests);
}
