/* SPDX-License-Identifier: MIT */
/*
 * Nodeids, in both ways: as file handles, with CAP_DAC_READ_SEARCH, and by the
 * table of descriptors, which a child without that capability gets.
 */
#include "unit.h"

#include "node.h"

/* A tree on a tmpfs: file, directory/inner, link -> nowhere. */
struct tree {
	struct scratch dir;
	struct bfs_nodes *nodes;
};

static struct tree *new_tree(void)
{
	struct tree *t = calloc(1, sizeof(*t));
	int fd;

	assert_non_null(t);
	t->dir = scratch_make();
	fd = openat(t->dir.fd, "file", O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	assert_int_equal(write(fd, "bytes", 5), 5);
	close(fd);
	assert_int_equal(mkdirat(t->dir.fd, "directory", 0700), 0);
	fd = openat(t->dir.fd, "directory/inner", O_CREAT | O_RDWR | O_CLOEXEC,
		    0600);
	close(fd);
	assert_int_equal(symlinkat("nowhere", t->dir.fd, "link"), 0);
	assert_int_equal(bfs_nodes_create(t->dir.fd, &t->nodes), 0);
	return t;
}

static void free_tree(struct tree *t)
{
	bfs_nodes_destroy(t->nodes);
	scratch_remove(&t->dir);
	free(t);
}

static int make_tree(void **state)
{
	*state = new_tree();
	return 0;
}

static int drop_tree(void **state)
{
	free_tree(*state);
	return 0;
}

#define over_tree(test)                                                        \
	cmocka_unit_test_setup_teardown(test, make_tree, drop_tree)

/* Nodeids are handles only with the capability and on a fitting filesystem. */
static bool handles_are_nodeids(const struct tree *t)
{
	uint64_t nodeid = 0;

	return bfs_node_lookup(t->nodes, t->dir.fd, "file", &nodeid) == 0 &&
	       nodeid >> 32;
}

#define NEEDS_HANDLES(tree)                                                    \
	do {                                                                   \
		if (!handles_are_nodeids(tree))                                \
			SKIP("file handles take CAP_DAC_READ_SEARCH");         \
	} while (0)

static uint64_t nodeid_of(const struct tree *t, const char *name)
{
	uint64_t nodeid = 0;

	assert_int_equal(bfs_node_lookup(t->nodes, t->dir.fd, name, &nodeid),
			 0);
	assert_true(nodeid > BFS_ROOT_NODEID);
	return nodeid;
}

static bool is_same(int fd, const struct stat *st)
{
	struct stat own;

	return fstat(fd, &own) == 0 && own.st_ino == st->st_ino &&
	       own.st_dev == st->st_dev;
}

static void what_was_looked_up_opens_as_the_same_inode(void **state)
{
	static const char *const names[] = { "file", "directory", "link" };
	const struct tree *t = *state;
	struct stat st;

	for (size_t i = 0; i < COUNT_OF(names); i++) {
		int fd = bfs_node_open(t->nodes, nodeid_of(t, names[i]),
				       O_PATH | O_NOFOLLOW);

		assert_true(fd >= 0);
		assert_int_equal(fstatat(t->dir.fd, names[i], &st,
					 AT_SYMLINK_NOFOLLOW),
				 0);
		assert_true(is_same(fd, &st));
		assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
		close(fd);
	}
}

static void an_opened_file_has_its_bytes(void **state)
{
	const struct tree *t = *state;
	char bytes[5];
	int fd = bfs_node_open(t->nodes, nodeid_of(t, "file"),
			       O_RDWR | O_NOFOLLOW);

	assert_true(fd >= 0);
	assert_int_equal(read(fd, bytes, 5), 5);
	assert_memory_equal(bytes, "bytes", 5);
	assert_int_equal(write(fd, "!", 1), 1);
	close(fd);
}

static void nodeids_are_stable_and_differ(void **state)
{
	const struct tree *t = *state;
	const uint64_t file = nodeid_of(t, "file");

	assert_true(nodeid_of(t, "file") == file);
	assert_true(nodeid_of(t, "directory") != file);
	assert_true(nodeid_of(t, "link") != file);
	assert_int_equal(linkat(t->dir.fd, "file", t->dir.fd, "hard", 0), 0);
	assert_true(nodeid_of(t, "hard") == file);
	assert_int_equal(renameat(t->dir.fd, "file", t->dir.fd, "renamed"), 0);
	assert_true(nodeid_of(t, "renamed") == file);
}

static void an_empty_name_is_the_descriptor_itself(void **state)
{
	const struct tree *t = *state;
	uint64_t nodeid = 0;
	int fd = openat(t->dir.fd, "file", O_PATH | O_CLOEXEC);

	assert_int_equal(bfs_node_lookup(t->nodes, fd, "", &nodeid), 0);
	assert_true(nodeid == nodeid_of(t, "file"));
	close(fd);
}

static void the_root_is_nodeid_1(void **state)
{
	const struct tree *t = *state;
	const struct stat st = stat_of(t->dir.fd);
	int fd = bfs_node_open(t->nodes, BFS_ROOT_NODEID,
			       O_PATH | O_DIRECTORY | O_NOFOLLOW);

	assert_true(fd >= 0);
	assert_true(is_same(fd, &st));
	close(fd);
}

static void a_missing_name_is_enoent(void **state)
{
	const struct tree *t = *state;
	uint64_t nodeid = 77;

	assert_int_equal(bfs_node_lookup(t->nodes, t->dir.fd, "none", &nodeid),
			 -ENOENT);
	assert_int_equal(nodeid, 77);
}

static void a_name_in_a_file_is_enotdir(void **state)
{
	const struct tree *t = *state;
	uint64_t nodeid = 77;
	int fd = openat(t->dir.fd, "file", O_PATH | O_CLOEXEC);

	assert_int_equal(bfs_node_lookup(t->nodes, fd, "x", &nodeid), -ENOTDIR);
	close(fd);
}

static void an_unlinked_file_that_is_open_still_decodes(void **state)
{
	const struct tree *t = *state;
	const uint64_t nodeid = nodeid_of(t, "file");
	int held = openat(t->dir.fd, "file", O_RDONLY | O_CLOEXEC);
	const struct stat st = stat_of(held);
	int fd;

	assert_int_equal(unlinkat(t->dir.fd, "file", 0), 0);
	fd = bfs_node_open(t->nodes, nodeid, O_RDWR);
	assert_true(fd >= 0);
	assert_true(is_same(fd, &st));
	close(fd);
	close(held);
}

static void a_file_that_is_gone_is_estale(void **state)
{
	const struct tree *t = *state;
	uint64_t nodeid;

	NEEDS_HANDLES(t);
	nodeid = nodeid_of(t, "file");
	assert_int_equal(unlinkat(t->dir.fd, "file", 0), 0);
	assert_int_equal(bfs_node_open(t->nodes, nodeid, O_RDONLY), -ESTALE);
}

static void an_unknown_nodeid_is_estale(void **state)
{
	const struct tree *t = *state;

	assert_int_equal(bfs_node_open(t->nodes, 0, O_PATH), -ESTALE);
	assert_int_equal(bfs_node_open(t->nodes, UINT64_C(0x1234567800000123),
				       O_PATH),
			 -ESTALE);
	assert_int_equal(bfs_node_open(t->nodes, UINT64_MAX, O_PATH), -ESTALE);
}

static void another_generation_of_an_inode_is_estale(void **state)
{
	const struct tree *t = *state;
	uint64_t nodeid;

	NEEDS_HANDLES(t);
	nodeid = nodeid_of(t, "file");
	assert_int_equal(bfs_node_open(t->nodes, nodeid ^ UINT64_C(1) << 40,
				       O_PATH),
			 -ESTALE);
}

static void a_new_worker_knows_the_nodeids_of_the_last_one(void **state)
{
	const struct tree *t = *state;
	const uint64_t nodeid = nodeid_of(t, "file");
	int fd = openat(t->dir.fd, "directory", O_PATH | O_CLOEXEC);
	struct bfs_nodes *other = NULL;
	uint64_t inner = 0;
	struct stat st;

	assert_int_equal(bfs_node_lookup(t->nodes, fd, "inner", &inner), 0);
	close(fd);
	assert_int_equal(bfs_nodes_create(t->dir.fd, &other), 0);
	fd = bfs_node_open(other, nodeid, O_RDONLY);
	assert_true(fd >= 0);
	assert_int_equal(fstatat(t->dir.fd, "file", &st, 0), 0);
	assert_true(is_same(fd, &st));
	close(fd);
	fd = bfs_node_open(other, inner, O_RDONLY);
	assert_int_equal(fstatat(t->dir.fd, "directory/inner", &st, 0), 0);
	assert_true(is_same(fd, &st));
	close(fd);
	bfs_nodes_destroy(other);
}

static void open_flags_are_obeyed(void **state)
{
	const struct tree *t = *state;

	assert_int_equal(bfs_node_open(t->nodes, nodeid_of(t, "directory"),
				       O_RDWR),
			 -EISDIR);
	assert_int_equal(bfs_node_open(t->nodes, nodeid_of(t, "file"),
				       O_RDONLY | O_DIRECTORY),
			 -ENOTDIR);
	assert_int_equal(bfs_node_open(t->nodes, nodeid_of(t, "link"),
				       O_RDONLY | O_NOFOLLOW),
			 -ELOOP);
}

static void handles_cost_no_descriptor(void **state)
{
	const struct tree *t = *state;
	const unsigned int before = open_fds();

	NEEDS_HANDLES(t);
	for (int i = 0; i < 100; i++)
		nodeid_of(t, "file");
	assert_int_equal(open_fds(), before);
	bfs_node_forget(t->nodes, nodeid_of(t, "file"), 101);
	assert_int_equal(open_fds(), before);
}

static void a_bad_root_is_refused(void **state)
{
	struct bfs_nodes *nodes = NULL;

	(void)state;
	assert_int_equal(bfs_nodes_create(-1, &nodes), -EBADF);
	assert_null(nodes);
	bfs_nodes_destroy(NULL);
}

static void look_up_a_mount_point(void)
{
	struct tree *t;
	uint64_t nodeid = 77;

	enter_small_tmpfs("1M");
	t = new_tree();
	CHILD_CHECK(fchdir(t->dir.fd) == 0);
	CHILD_CHECK(mount("unit", "directory", "tmpfs", 0, "size=64K") == 0);
	CHILD_CHECK(bfs_node_lookup(t->nodes, t->dir.fd, "directory",
				    &nodeid) == -EXDEV);
	CHILD_CHECK(nodeid == 77);
	CHILD_CHECK(umount("directory") == 0);
	free_tree(t);
}

static void a_mount_inside_the_pool_is_exdev(void **state)
{
	(void)state;
	if (run_in_child(look_up_a_mount_point) == UNIT_SKIPPED)
		SKIP("mounting is not allowed");
}

/* The same promises, kept by the table. */
static const struct CMUnitTest by_table[] = {
	over_tree(what_was_looked_up_opens_as_the_same_inode),
	over_tree(an_opened_file_has_its_bytes),
	over_tree(nodeids_are_stable_and_differ),
	over_tree(an_empty_name_is_the_descriptor_itself),
	over_tree(the_root_is_nodeid_1),
	over_tree(a_missing_name_is_enoent),
	over_tree(a_name_in_a_file_is_enotdir),
	over_tree(an_unlinked_file_that_is_open_still_decodes),
	over_tree(an_unknown_nodeid_is_estale),
	over_tree(a_new_worker_knows_the_nodeids_of_the_last_one),
	over_tree(open_flags_are_obeyed),
};

static void run_by_table(void)
{
	struct tree *t;
	int failed;

	drop_capability(CAP_DAC_READ_SEARCH);
	t = new_tree();
	CHILD_CHECK(!handles_are_nodeids(t));
	free_tree(t);
	failed = cmocka_run_group_tests_name("node, by table", by_table, NULL,
					     NULL);
	CHILD_CHECK(failed == 0);
}

static void without_handles_a_table_keeps_the_same_promises(void **state)
{
	(void)state;
	run_in_child(run_by_table);
}

static void forget_by_table(void)
{
	struct tree *t;
	unsigned int before;
	uint64_t nodeid;

	drop_capability(CAP_DAC_READ_SEARCH);
	t = new_tree();
	before = open_fds();
	nodeid = nodeid_of(t, "file");
	nodeid_of(t, "file");
	nodeid_of(t, "file");
	CHILD_CHECK(open_fds() == before + 1);
	bfs_node_forget(t->nodes, nodeid, 2);
	CHILD_CHECK(open_fds() == before + 1);
	bfs_node_forget(t->nodes, nodeid, 1);
	CHILD_CHECK(open_fds() == before);
	/* Of nothing, or more than there is: nothing, or all of it. */
	bfs_node_forget(t->nodes, nodeid, 1);
	nodeid_of(t, "file");
	bfs_node_forget(t->nodes, nodeid, UINT64_MAX);
	CHILD_CHECK(open_fds() == before);
	/* What is gone and forgotten is stale. */
	unlinkat(t->dir.fd, "file", 0);
	CHILD_CHECK(bfs_node_open(t->nodes, nodeid, O_PATH) == -ESTALE);
	nodeid_of(t, "directory");
	free_tree(t); /* closes what is still looked up */
	CHILD_CHECK(open_fds() == before - 1);
}

static void the_table_forgets_with_the_last_lookup(void **state)
{
	(void)state;
	run_in_child(forget_by_table);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		over_tree(what_was_looked_up_opens_as_the_same_inode),
		over_tree(an_opened_file_has_its_bytes),
		over_tree(nodeids_are_stable_and_differ),
		over_tree(an_empty_name_is_the_descriptor_itself),
		over_tree(the_root_is_nodeid_1),
		over_tree(a_missing_name_is_enoent),
		over_tree(a_name_in_a_file_is_enotdir),
		over_tree(an_unlinked_file_that_is_open_still_decodes),
		over_tree(a_file_that_is_gone_is_estale),
		over_tree(an_unknown_nodeid_is_estale),
		over_tree(another_generation_of_an_inode_is_estale),
		over_tree(a_new_worker_knows_the_nodeids_of_the_last_one),
		over_tree(open_flags_are_obeyed),
		over_tree(handles_cost_no_descriptor),
		cmocka_unit_test(a_bad_root_is_refused),
		cmocka_unit_test(a_mount_inside_the_pool_is_exdev),
		cmocka_unit_test(
			without_handles_a_table_keeps_the_same_promises),
		cmocka_unit_test(the_table_forgets_with_the_last_lookup),
	};

	return RUN_TESTS("node", tests);
}
