/* SPDX-License-Identifier: MIT */
#include "files.h"

#include "account.h"

#include <linux/limits.h>

enum { ANN = 1001, BOB = 1002 };

static const struct bfs_account_reader root = { .sees_all = true };
static struct bfs_accounts *accounts;
static char text[XATTR_SIZE_MAX];

static int make_accounts(void **state)
{
	(void)state;
	return bfs_accounts_create(&accounts);
}

static int drop_accounts(void **state)
{
	(void)state;
	bfs_accounts_free(accounts);
	return 0;
}

#define of_accounts(test)                                                      \
	cmocka_unit_test_setup_teardown(test, make_accounts, drop_accounts)

static void add(uid_t owner, const char *tag, int32_t task, uint64_t asked)
{
	struct iobuf_spec spec = { .task = task };
	const struct bfs_account buffer = {
		.buffers = 1,
		.asked = asked,
		.resident = 2,
		.wired = 3,
		.huge = 4,
		.volatile_bytes = 5,
		.purged = 6,
	};

	snprintf(spec.tag, sizeof(spec.tag), "%s", tag);
	assert_int_equal(bfs_accounts_add(accounts, owner, &spec, &buffer), 0);
}

/* What a reader sees; its length. */
static size_t printed(struct bfs_account_reader reader, size_t size)
{
	int n = bfs_accounts_print(accounts, reader, text, size);

	assert_in_range(n, 1, size);
	text[n] = '\0';
	return (size_t)n;
}

static void assert_sees(struct bfs_account_reader reader, const char *lines)
{
	printed(reader, sizeof(text) - 1);
	assert_string_equal(text, lines);
}

#define REST " resident:2 wired:3 huge:4 volatile:5 purged:6\n"
#define TWICE " resident:4 wired:6 huge:8 volatile:10 purged:12\n"

static void nothing_is_a_total_of_nothing(void **state)
{
	(void)state;
	assert_sees(root, "total=buffers:0 asked:0 resident:0 wired:0 huge:0 "
			  "volatile:0 purged:0\n");
}

static void a_buffer_is_its_owners_its_tags_and_its_tasks(void **state)
{
	(void)state;
	add(ANN, "cam", 77, 10);
	assert_sees(root, "total=buffers:1 asked:10" REST
			  "owner.1001=buffers:1 asked:10" REST
			  "tag.cam=buffers:1 asked:10" REST
			  "task.77=buffers:1 asked:10" REST);
}

static void without_tag_or_task_it_has_no_row_of_them(void **state)
{
	(void)state;
	add(ANN, "", IOBUF_TASK_KERNEL, 10);
	assert_sees(root, "total=buffers:1 asked:10" REST
			  "owner.1001=buffers:1 asked:10" REST);
}

static void the_largest_comes_first_and_owners_before_the_rest(void **state)
{
	(void)state;
	add(ANN, "x", 0, 10);
	add(BOB, "y", 0, 30);
	add(ANN, "", 5, 15);
	printed(root, sizeof(text) - 1);
	assert_non_null(strstr(text, "total=buffers:3 asked:55 "));
	assert_true(strstr(text, "owner.1002=") < strstr(text, "owner.1001="));
	assert_true(strstr(text, "owner.1001=") < strstr(text, "tag.y="));
	assert_true(strstr(text, "tag.y=") < strstr(text, "task.5="));
	assert_true(strstr(text, "task.5=") < strstr(text, "tag.x="));
}

static void who_may_see_all_sees_a_tag_of_all_owners_as_one(void **state)
{
	(void)state;
	add(ANN, "cam", 0, 10);
	add(BOB, "cam", 0, 30);
	printed(root, sizeof(text) - 1);
	assert_non_null(strstr(text, "tag.cam=buffers:2 asked:40" TWICE));
}

static void others_see_the_total_and_what_is_their_own(void **state)
{
	const struct bfs_account_reader bob = { .uid = BOB };
	const struct bfs_account_reader nobody = { .uid = (uid_t)-1 };

	(void)state;
	add(ANN, "cam", 7, 10);
	add(BOB, "cam", 8, 30);
	assert_sees(bob, "total=buffers:2 asked:40" TWICE
			 "owner.1002=buffers:1 asked:30" REST
			 "tag.cam=buffers:1 asked:30" REST
			 "task.8=buffers:1 asked:30" REST);
	assert_sees(nobody, "total=buffers:2 asked:40" TWICE);
}

static void sums_that_do_not_fit_stay_at_the_most(void **state)
{
	(void)state;
	add(ANN, "", 0, UINT64_MAX - 1);
	add(ANN, "", 0, UINT64_MAX - 1);
	printed(root, sizeof(text) - 1);
	assert_non_null(strstr(text, "asked:18446744073709551615 "));
}

static void what_is_unknown_of_one_is_unknown_of_all(void **state)
{
	const struct iobuf_spec spec = { 0 };
	const struct bfs_account b = { .buffers = 1, .huge = IOBUF_UNKNOWN };

	(void)state;
	add(ANN, "", 0, 1);
	assert_int_equal(bfs_accounts_add(accounts, ANN, &spec, &b), 0);
	printed(root, sizeof(text) - 1);
	assert_non_null(strstr(text, "huge:unknown"));
	assert_null(strstr(text, "huge:4"));
}

static void rows_that_do_not_fit_are_counted_the_smallest_left_out(void **state)
{
	enum { TAGS = 5000 };
	unsigned int lines = 0, omitted = 0;
	const char *last;
	char tag[16];

	(void)state;
	for (unsigned int i = 0; i < TAGS; i++) {
		snprintf(tag, sizeof(tag), "t%u", i);
		add(ANN, tag, 0, 1000 + i);
	}
	add(BOB, "", 0, 1);
	printed(root, sizeof(text) - 1);
	for (const char *p = text; (p = strchr(p, '\n')); p++)
		lines++;
	last = strstr(text, "omitted=");
	assert_non_null(last);
	assert_int_equal(sscanf(last, "omitted=%u\n", &omitted), 1);
	/* total, two owners and tags; and the line itself */
	assert_int_equal(lines - 1 + omitted, TAGS + 3);
	assert_non_null(strstr(text, "owner.1002="));
	assert_non_null(strstr(text, "tag.t4999="));
	assert_null(strstr(text, "tag.t0="));
}

static void all_that_fits_exactly_is_there(void **state)
{
	size_t whole;

	(void)state;
	add(ANN, "cam", 7, 10);
	whole = printed(root, sizeof(text) - 1);
	assert_int_equal(printed(root, whole + 32), whole);
	assert_null(strstr(text, "omitted"));
	assert_int_equal(bfs_accounts_print(accounts, root, text, 60), -ERANGE);
}

/* Of a pool. */
static void assert_line(const char *line)
{
	const struct bfs_account_reader reader = { .sees_all = true };
	int n = bfs_account_print(&fs, reader, text, sizeof(text) - 1);

	assert_true(n > 0);
	text[n] = '\0';
	if (!strstr(text, line))
		fail_msg("no '%s' in\n%s", line, text);
}

static void every_regular_file_of_a_pool_counts_once(void **state)
{
	struct bfs_entry dir, entry;
	uint64_t nodeid;
	size_t n;

	(void)state;
	NEEDS_POOL();
	assert_int_equal(bfs_mkdir(&fs, BFS_ROOT_NODEID, "d", 0755, OWNER, &dir),
			 0);
	nodeid = created_in(dir.nodeid, "f");
	assert_int_equal(write_at(nodeid, 0, "abc", 3, &n), 0);
	assert_int_equal(bfs_link(&fs, nodeid, BFS_ROOT_NODEID, "link", &entry),
			 0);
	assert_int_equal(bfs_symlink(&fs, "f", BFS_ROOT_NODEID, "s", OWNER,
				     &entry), 0);
	created("empty");
	assert_line("total=buffers:2 asked:3 resident:4096 wired:0 ");
}

static void a_fixed_buffer_asked_for_its_capacity(void **state)
{
	(void)state;
	NEEDS_POOL();
	assert_int_equal(truncate_to(created_as("f", "capacity=64K,tag=t"), 10),
			 0);
	created_as("g", "wired,capacity=64K,tag=t");
	assert_line("tag.t=buffers:2 asked:131072 resident:131072 wired:65536 ");
}

static void a_volatile_buffer_counts_as_such_until_it_is_purged(void **state)
{
	uint64_t nodeid;
	size_t n;

	(void)state;
	NEEDS_POOL();
	nodeid = created_as("f", "purgeable");
	assert_int_equal(write_at(nodeid, 0, "abc", 3, &n), 0);
	assert_line("volatile:0 purged:0");
	assert_int_equal(set(nodeid, "user.iobuf.purgeable", "volatile"), 0);
	assert_line("volatile:4096 purged:0");
	assert_int_equal(set(nodeid, "user.iobuf.purgeable", "empty"), 0);
	assert_line("volatile:0 purged:1");
}

static void an_open_file_without_a_name_counts_once(void **state)
{
	uint64_t nodeid;
	size_t n;

	(void)state;
	NEEDS_POOL();
	nodeid = created("f");
	assert_int_equal(write_at(nodeid, 0, "abc", 3, &n), 0);
	opened(nodeid, false);
	assert_int_equal(bfs_unlink(&fs, BFS_ROOT_NODEID, "f", 0), 0);
	assert_line("total=buffers:1 asked:3 ");
	closed(nodeid, false);
	assert_line("total=buffers:1 asked:3 "); /* kept: see bfs_node_hold() */
	bfs_node_forget(fs.nodes, nodeid, 1);
	assert_line("total=buffers:0 asked:0 ");
}

static void an_open_file_that_never_had_a_name_counts(void **state)
{
	BFS_FILE struct bfs_file file = { 0 };
	struct bfs_entry entry;

	(void)state;
	NEEDS_POOL();
	assert_int_equal(bfs_tmpfile(&fs, BFS_ROOT_NODEID, 0600, OWNER, &entry,
				     &file), 0);
	assert_int_equal(bfs_inode_add_open(fs.inodes, file.inode, -1, false, 0),
			 0);
	/* The walk waits for nobody who works on a buffer, as we do. */
	assert_line("total=buffers:1 asked:0 ");
}

static void a_forged_record_is_a_plain_buffer(void **state)
{
	(void)state;
	NEEDS_POOL();
	created("f");
	assert_int_equal(setxattr(pool.path, "user.unit", "x", 1, 0), 0);
	{
		char path[128];

		snprintf(path, sizeof(path), "%s/f", pool.path);
		assert_int_equal(setxattr(path, bfs_record_xattr(), "bad", 3, 0),
				 0);
	}
	assert_line("total=buffers:1 asked:0 ");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		of_accounts(nothing_is_a_total_of_nothing),
		of_accounts(a_buffer_is_its_owners_its_tags_and_its_tasks),
		of_accounts(without_tag_or_task_it_has_no_row_of_them),
		of_accounts(the_largest_comes_first_and_owners_before_the_rest),
		of_accounts(who_may_see_all_sees_a_tag_of_all_owners_as_one),
		of_accounts(others_see_the_total_and_what_is_their_own),
		of_accounts(sums_that_do_not_fit_stay_at_the_most),
		of_accounts(what_is_unknown_of_one_is_unknown_of_all),
		of_accounts(
			rows_that_do_not_fit_are_counted_the_smallest_left_out),
		of_accounts(all_that_fits_exactly_is_there),
		over_pool(every_regular_file_of_a_pool_counts_once),
		over_pool(a_fixed_buffer_asked_for_its_capacity),
		over_pool(a_volatile_buffer_counts_as_such_until_it_is_purged),
		over_pool(an_open_file_without_a_name_counts_once),
		over_pool(an_open_file_that_never_had_a_name_counts),
		over_pool(a_forged_record_is_a_plain_buffer),
	};

	return RUN_TESTS("account", tests);
}
