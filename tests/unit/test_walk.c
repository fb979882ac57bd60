/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "walk.h"

struct seen {
	unsigned int entries, files, directories;
	const char *stop_at; /* the visit of this name returns 7 */
	char last[64];
};

static int see(void *context, const struct bfs_walk_entry *entry)
{
	struct seen *seen = context;

	seen->entries++;
	seen->files += S_ISREG(entry->st.st_mode);
	seen->directories += S_ISDIR(entry->st.st_mode);
	snprintf(seen->last, sizeof(seen->last), "%s", entry->name);
	return seen->stop_at && !strcmp(seen->stop_at, entry->name) ? 7 : 0;
}

static struct scratch dir;

static int make_dir(void **state)
{
	(void)state;
	dir = scratch_make();
	return 0;
}

static int drop_dir(void **state)
{
	(void)state;
	scratch_remove(&dir);
	return 0;
}

#define in_dir(test) cmocka_unit_test_setup_teardown(test, make_dir, drop_dir)

static void make_file(int at, const char *name)
{
	int fd = openat(at, name, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	close(fd);
}

static void every_entry_at_any_depth_is_visited_once(void **state)
{
	struct seen seen = { 0 };

	(void)state;
	make_file(dir.fd, "a");
	assert_int_equal(mkdirat(dir.fd, "d", 0700), 0);
	assert_int_equal(mkdirat(dir.fd, "d/e", 0700), 0);
	make_file(dir.fd, "d/b");
	make_file(dir.fd, "d/e/c");
	assert_int_equal(mkfifoat(dir.fd, "d/fifo", 0600), 0);
	assert_int_equal(bfs_walk(dir.fd, see, &seen), 0);
	assert_int_equal(seen.entries, 6);
	assert_int_equal(seen.files, 3);
	assert_int_equal(seen.directories, 2);
}

static void an_empty_directory_has_no_entry(void **state)
{
	struct seen seen = { 0 };

	(void)state;
	assert_int_equal(bfs_walk(dir.fd, see, &seen), 0);
	assert_int_equal(seen.entries, 0);
}

static void a_link_is_visited_and_not_followed(void **state)
{
	struct seen seen = { 0 };

	(void)state;
	assert_int_equal(symlinkat("/", dir.fd, "out"), 0);
	assert_int_equal(symlinkat(".", dir.fd, "loop"), 0);
	assert_int_equal(bfs_walk(dir.fd, see, &seen), 0);
	assert_int_equal(seen.entries, 2);
	assert_int_equal(seen.files + seen.directories, 0);
}

static void a_visit_that_returns_other_than_0_ends_it(void **state)
{
	struct seen seen = { .stop_at = "only" };

	(void)state;
	assert_int_equal(mkdirat(dir.fd, "d", 0700), 0);
	make_file(dir.fd, "d/only");
	assert_int_equal(bfs_walk(dir.fd, see, &seen), 7);
	assert_string_equal(seen.last, "only");
	assert_int_equal(seen.entries, 2);
}

static void the_entries_fd_and_name_lead_to_the_file(void **state)
{
	struct seen seen = { 0 };
	const unsigned int before = open_fds();

	(void)state;
	assert_int_equal(mkdirat(dir.fd, "d", 0700), 0);
	make_file(dir.fd, "d/a");
	assert_int_equal(bfs_walk(dir.fd, see, &seen), 0);
	assert_int_equal(open_fds(), before);
	/* The position of the caller's descriptor is not used up. */
	assert_int_equal(bfs_walk(dir.fd, see, &seen), 0);
	assert_int_equal(seen.entries, 4);
}

static void directories_too_deep_are_left_out_without_harm(void **state)
{
	enum { DEPTH = 1200 };
	struct seen seen = { 0 };
	int at = dup(dir.fd);

	(void)state;
	for (int i = 0; i < DEPTH; i++) {
		int next;

		assert_int_equal(mkdirat(at, "d", 0700), 0);
		next = openat(at, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		assert_true(next >= 0);
		close(at);
		at = next;
	}
	close(at);
	assert_int_equal(bfs_walk(dir.fd, see, &seen), 0);
	assert_in_range(seen.entries, 500, DEPTH - 1);
}

static void walk_around_a_mount(void)
{
	struct seen seen = { 0 };
	char path[96];
	int fd;

	if (unshare(CLONE_NEWNS) < 0 ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		_exit(UNIT_SKIPPED);
	snprintf(path, sizeof(path), "%s/mnt", dir.path);
	CHILD_CHECK(mkdir(path, 0700) == 0);
	if (mount("unit", path, "tmpfs", 0, "size=1M") < 0)
		_exit(UNIT_SKIPPED);
	snprintf(path, sizeof(path), "%s/mnt/inside", dir.path);
	CHILD_CHECK(mkdir(path, 0700) == 0);
	/* By a descriptor of this namespace, where the mount is. */
	fd = open(dir.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CHILD_CHECK(fd >= 0);
	CHILD_CHECK(bfs_walk(fd, see, &seen) == 0);
	CHILD_CHECK(seen.entries == 0);
}

static void another_filesystem_is_not_entered(void **state)
{
	(void)state;
	if (run_in_child(walk_around_a_mount) == UNIT_SKIPPED)
		SKIP("no mounting here");
}

static void what_is_no_directory_is_refused(void **state)
{
	struct seen seen = { 0 };

	(void)state;
	assert_int_equal(bfs_walk(-1, see, &seen), -EBADF);
	assert_int_equal(seen.entries, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		in_dir(every_entry_at_any_depth_is_visited_once),
		in_dir(an_empty_directory_has_no_entry),
		in_dir(a_link_is_visited_and_not_followed),
		in_dir(a_visit_that_returns_other_than_0_ends_it),
		in_dir(the_entries_fd_and_name_lead_to_the_file),
		in_dir(directories_too_deep_are_left_out_without_harm),
		in_dir(another_filesystem_is_not_entered),
		in_dir(what_is_no_directory_is_refused),
	};

	return RUN_TESTS("walk", tests);
}
