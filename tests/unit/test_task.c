/* SPDX-License-Identifier: MIT */
/*
 * What is bound to a process goes with it, and what ends with its last close.
 */
#include "tasks.h"

/* What the end of a process does. */

static void the_end_of_a_task_takes_every_name(void **state)
{
	uint64_t nodeid, dir;
	pid_t pid;
	int fd;

	(void)state;
	NEEDS_POOL();
	pid = child();
	nodeid = bound("first", pid);
	dir = directory(directory(BFS_ROOT_NODEID, "d"), "e");
	link_to(nodeid, BFS_ROOT_NODEID, "second");
	link_to(nodeid, dir, "third");
	created("stays");
	fd = bfs_node_open(fs.nodes, nodeid, O_RDWR);
	assert_true(fd >= 0);
	end_and_reap(pid);
	assert_false(exists("first"));
	assert_false(exists("second"));
	assert_false(exists_in(dir, "third"));
	assert_true(exists("stays"));
	/* Who has it open keeps it. */
	assert_int_equal(stat_of(fd).st_nlink, 0);
	assert_int_equal(pwrite(fd, "x", 1, 0), 1);
	close(fd);
	assert_int_equal(slots_taken(), 0);
	assert_int_equal(told.count, 3);
	for (unsigned int i = 0; i < told.count; i++)
		assert_int_equal(told.parents[i],
				 strcmp(told.names[i], "third")
					 ? BFS_ROOT_NODEID
					 : dir);
}

static void what_took_the_name_over_stays(void **state)
{
	pid_t pid;

	(void)state;
	NEEDS_POOL();
	pid = child();
	bound("old", pid);
	assert_int_equal(bfs_rename(&fs, BFS_ROOT_NODEID, "old",
				    BFS_ROOT_NODEID, "new", 0),
			 0);
	created("old");
	end_and_reap(pid);
	assert_true(exists("old"));
	assert_false(exists("new"));
}

static void a_name_too_deep_for_a_path_goes_too(void **state)
{
	char name[200];
	uint64_t dir = BFS_ROOT_NODEID, nodeid;
	pid_t pid;

	(void)state;
	NEEDS_POOL();
	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	for (size_t depth = 0; depth <= PATH_MAX / sizeof(name); depth++)
		dir = directory(dir, name);
	pid = child();
	nodeid = created_in(dir, "deep (deleted)");
	assert_int_equal(bind_to(nodeid, pid, ""), 0);
	link_to(nodeid, dir, "deeper");
	end_and_reap(pid);
	assert_false(exists_in(dir, "deep (deleted)"));
	assert_false(exists_in(dir, "deeper"));
}

static void an_end_between_two_buffers_is_not_missed(void **state)
{
	struct bfs_file file = { 0 };
	struct bfs_record record;
	struct bfs_task *task;
	uint64_t nodeid;
	pid_t pid;

	(void)state;
	NEEDS_POOL();
	pid = child();
	bound("first", pid);
	nodeid = created("second");
	record = record_of(nodeid);
	record.spec.task = pid;
	record.task_start = start_of(pid);
	assert_int_equal(bfs_file_open(&fs, nodeid, O_PATH, &file), 0);
	assert_int_equal(bfs_task_begin(&file, &record, &task), 0);
	end_and_reap(pid); /* the thread has been there */
	assert_false(exists("first"));
	assert_int_equal(bfs_record_store(file.fd, &record), 0);
	assert_int_equal(bfs_task_end(&file, task, 0), 0);
	bfs_file_close(&file);
	bfs_tasks_wait(fs.tasks, WAIT_MS);
	assert_false(exists("second"));
}

static void a_buffer_bound_elsewhere_outlives_its_first_task(void **state)
{
	uint64_t nodeid;
	pid_t first, second;

	(void)state;
	NEEDS_POOL();
	first = child();
	second = child();
	nodeid = bound("f", first);
	bound("kernel", first);
	assert_int_equal(bind_to(nodeid, second, ""), 0);
	assert_int_equal(bind_by(getpid(), created("kernel2"), "task=kernel"), 0);
	end_and_reap(first);
	assert_true(exists("f"));
	assert_false(exists("kernel"));
	end_and_reap(second);
	assert_false(exists("f"));
}

static void a_buffer_given_back_to_the_kernel_stays(void **state)
{
	uint64_t nodeid, other;
	pid_t pid;

	(void)state;
	NEEDS_POOL();
	pid = child();
	nodeid = bound("f", pid);
	other = bound("g", pid);
	assert_int_equal(slots_taken(), 2);
	assert_int_equal(bind_by(getpid(), nodeid, "task=kernel"), 0);
	assert_xattr(nodeid, "user.iobuf.task", "kernel");
	assert_int_equal(bfs_removexattr(&fs, other, "user.iobuf", getpid()), 0);
	assert_int_equal(record_of(other).task_start, 0);
	assert_int_equal(slots_taken(), 0);
	end_and_reap(pid);
	assert_true(exists("f"));
	assert_true(exists("g"));
}

static void a_refused_change_leaves_it_bound(void **state)
{
	uint64_t nodeid, kernels;
	pid_t first, second;

	(void)state;
	NEEDS_POOL();
	first = child();
	second = child();
	nodeid = bound("f", first);
	kernels = created("g");
	assert_int_equal(bind_to(nodeid, second, ",capacity=4E0"), -EINVAL);
	/* More than a file of this test may have. */
	assert_int_equal(bind_to(nodeid, second, ",capacity=0x3000000000000000"),
			 -EFBIG);
	assert_int_equal(bind_to(kernels, second, ",capacity=0x3000000000000000"),
			 -EFBIG);
	assert_int_equal(slots_taken(), 1);
	end_and_reap(second);
	assert_true(exists("f"));
	assert_true(exists("g"));
	end_and_reap(first);
	assert_false(exists("f"));
	assert_true(exists("g"));
}

static void the_same_specification_again_succeeds(void **state)
{
	char text[32];
	uint64_t nodeid;
	pid_t pid;

	(void)state;
	NEEDS_POOL();
	pid = child();
	nodeid = created("f");
	assert_int_equal(bind_to(nodeid, pid, ",capacity=4K"), 0);
	assert_int_equal(bind_to(nodeid, pid, ",capacity=4K"), 0);
	assert_int_equal(bind_to(nodeid, child(), ",capacity=4K"), -EBUSY);
	assert_int_equal(bind_by(getpid(), nodeid, "task=self,capacity=4K"),
			 -EBUSY);
	assert_int_equal(bind_by(getpid(), nodeid, "task=kernel,capacity=4K"),
			 -EBUSY);
	snprintf(text, sizeof(text), "%d", pid);
	assert_xattr(nodeid, "user.iobuf.task", text);
	end_and_reap(pid);
	assert_false(exists("f"));
}

static void a_task_takes_pageable_memory(void **state)
{
	uint64_t nodeid;

	(void)state;
	NEEDS_POOL();
	nodeid = created("f");
	assert_int_equal(bind_to(nodeid, getpid(), ",wired"), -EINVAL);
	assert_int_equal(bind_to(nodeid, getpid(), ",contiguous,capacity=2M"),
			 -EINVAL);
}

static void contents_can_be_bound_by_their_length(void **state)
{
	size_t done;
	uint64_t nodeid;
	pid_t pid;

	(void)state;
	NEEDS_POOL();
	pid = child();
	nodeid = created("f");
	assert_int_equal(write_at(nodeid, 0, "abc", 3, &done), 0);
	assert_int_equal(bind_to(nodeid, pid, ""), -EBUSY);
	assert_int_equal(bind_to(nodeid, pid, ",capacity=4K,length=3"), 0);
	end_and_reap(pid);
	assert_false(exists("f"));
}

static void the_names_of_a_task_that_has_ended_are_as_good_as_gone(void **state)
{
	struct bfs_entry entry;
	uint64_t nodeid;
	pid_t pid;

	(void)state;
	NEEDS_POOL();
	pid = child();
	nodeid = bound("f", pid);
	end(pid);
	assert_int_equal(bind_by(getpid(), nodeid, "task=kernel"), -ESRCH);
	assert_int_equal(set(nodeid, "user.iobuf.tag", "x"), -ESRCH);
	assert_int_equal(bfs_removexattr(&fs, nodeid, "user.iobuf", getpid()),
			 -ESRCH);
	assert_int_equal(bfs_link(&fs, nodeid, BFS_ROOT_NODEID, "g", &entry),
			 -ENOENT);
	bfs_tasks_wait(fs.tasks, WAIT_MS);
	assert_false(exists("f"));
}

static void a_process_costs_one_descriptor_and_a_buffer_none(void **state)
{
	unsigned int before;
	uint64_t nodeids[50];
	char name[16];
	pid_t pid;

	(void)state;
	NEEDS_POOL();
	pid = child();
	before = open_fds();
	for (size_t i = 0; i < COUNT_OF(nodeids); i++) {
		snprintf(name, sizeof(name), "f%zu", i);
		nodeids[i] = bound(name, pid);
	}
	assert_int_equal(open_fds(), before + 1);
	for (size_t i = 0; i < COUNT_OF(nodeids) / 2; i++)
		assert_int_equal(bind_by(getpid(), nodeids[i], "task=kernel"),
				 0);
	assert_int_equal(open_fds(), before + 1);
	end_and_reap(pid);
	assert_int_equal(open_fds(), before);
	assert_int_equal(slots_taken(), 0);
}

static void too_many_processes_are_enfile(void **state)
{
	const struct rlimit few = { 400, 400 };
	struct picture before;
	uint64_t nodeid;
	struct rlimit files;
	unsigned int fds;
	char name[16];

	(void)state;
	NEEDS_POOL();
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &files), 0);
	bfs_tasks_destroy(fs.tasks);
	assert_int_equal(setrlimit(RLIMIT_NOFILE,
				   &(struct rlimit){ few.rlim_cur,
						     files.rlim_max }),
			 0);
	assert_int_equal(bfs_tasks_create(&fs, &fs.tasks), 0);
	for (size_t i = 0; i < few.rlim_cur / 4; i++) {
		snprintf(name, sizeof(name), "f%zu", i);
		bound(name, child());
	}
	nodeid = created("one more");
	before = picture_of(nodeid);
	fds = open_fds();
	assert_int_equal(bind_to(nodeid, child(), ",capacity=4K"), -ENFILE);
	assert_unchanged(nodeid, &before);
	assert_int_equal(open_fds(), fds);
	end_and_reap(children[0]);
	assert_int_equal(bind_to(nodeid, child(), ",capacity=4K"), 0);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &files), 0);
}

/* Directories. */

static void files_made_in_a_directory_are_bound_to_their_maker(void **state)
{
	struct bfs_entry entry;
	uint64_t dir, below;
	char text[32];
	pid_t pid;

	(void)state;
	NEEDS_POOL();
	dir = directory(BFS_ROOT_NODEID, "d");
	assert_int_equal(bind_by(getpid(), dir, "task=self"), 0);
	assert_xattr(dir, "user.iobuf.task", "self");
	below = directory(dir, "below");
	assert_xattr(below, "user.iobuf.task", "self");
	pid = child();
	assert_int_equal(bfs_create(&fs, below, "f", 0644,
				    (struct bfs_owner){ geteuid(), getegid(),
							pid },
				    &entry, NULL),
			 0);
	snprintf(text, sizeof(text), "%d", pid);
	assert_xattr(entry.nodeid, "user.iobuf.task", text);
	/* What is set of it later leaves it to its maker. */
	assert_int_equal(bind_by(getpid(), entry.nodeid, "capacity=4K"), 0);
	assert_xattr(entry.nodeid, "user.iobuf.task", text);
	assert_int_equal(bfs_create(&fs, dir, "unknown", 0644,
				    (struct bfs_owner){ geteuid(), getegid(),
							0 },
				    &entry, NULL),
			 -EOPNOTSUPP);
	end_and_reap(pid);
	assert_false(exists_in(below, "f"));
}

static void a_process_of_a_directory_is_looked_at_when_it_is_set(void **state)
{
	struct bfs_entry entry;
	uint64_t dir, nodeid;
	pid_t pid;

	(void)state;
	NEEDS_POOL();
	dir = directory(BFS_ROOT_NODEID, "d");
	pid = child();
	assert_int_equal(bind_to(dir, pid, ""), 0);
	nodeid = created_in(dir, "f");
	assert_int_equal(record_of(nodeid).spec.task, pid);
	assert_int_equal(record_of(nodeid).task_start, start_of(pid));
	/* Another part leaves it as it is. */
	assert_int_equal(set(dir, "user.iobuf.tag", "x"), 0);
	assert_int_equal(record_of(dir).task_start, start_of(pid));
	end_and_reap(pid);
	assert_false(exists_in(dir, "f"));
	assert_int_equal(bfs_create(&fs, dir, "g", 0644, OWNER, &entry, NULL),
			 -ESRCH);
	assert_false(exists_in(dir, "g"));
	assert_int_equal(bind_to(dir, pid, ""), -ESRCH);
	assert_int_equal(slots_taken(), 0);
}

static void the_right_to_a_process_counts_for_directories_too(void **state)
{
	char text[32];
	uint64_t dir;

	(void)state;
	NEEDS_POOL();
	if (geteuid() != 0)
		SKIP("needs root");
	dir = directory(BFS_ROOT_NODEID, "d");
	snprintf(text, sizeof(text), "task=%d", getpid());
	assert_int_equal(bind_by(child_that(be_nobody), dir, text), -EPERM);
	assert_int_equal(get(dir, "user.iobuf", text, sizeof(text)), -ENODATA);
}

/* Workers. */

static void bind_again(void *context, uint64_t nodeid)
{
	bfs_task_bind_again(context, nodeid);
}

static void the_next_worker_binds_again(void **state)
{
	pid_t stays, ends;

	(void)state;
	NEEDS_POOL();
	stays = child();
	ends = child();
	bound("stays", stays);
	bound("ended", ends);
	end(ends);
	die_and_start_again();
	bfs_inode_each(fs.inodes, BFS_SLOT_BOUND, bind_again, &fs);
	assert_true(exists("stays"));
	assert_false(exists("ended"));
	end_and_reap(stays);
	assert_false(exists("stays"));
	assert_int_equal(slots_taken(), 0);
}

static void a_file_that_is_gone_is_bound_no_more(void **state)
{
	pid_t pid;

	(void)state;
	NEEDS_POOL();
	pid = child();
	bound("f", pid);
	assert_int_equal(bfs_unlink(&fs, BFS_ROOT_NODEID, "f", 0), 0);
	bfs_file_forget(&fs, 0);
	die_and_start_again();
	/* FORGETs are not sent again: its slot is left. */
	bfs_nodes_destroy(fs.nodes);
	assert_int_equal(bfs_nodes_create(pool.fd, &fs.nodes), 0);
	bfs_inode_each(fs.inodes, BFS_SLOT_BOUND, bind_again, &fs);
	assert_int_equal(slots_taken(), 0);
}

/* The last close. */

static struct bfs_file opened_file(uint64_t nodeid)
{
	struct bfs_file file = { 0 };

	assert_int_equal(bfs_file_open(&fs, nodeid, O_RDWR, &file), 0);
	assert_int_equal(bfs_inode_add_open(fs.inodes, file.inode, -1, false, 0),
			 0);
	bfs_file_note_life(&file);
	return file;
}

static void open_it(uint64_t nodeid)
{
	struct bfs_file file = opened_file(nodeid);

	bfs_file_close(&file);
}

static void close_it(uint64_t nodeid)
{
	closed(nodeid, false);
	bfs_end_life(&fs, nodeid);
}

static void the_last_close_takes_every_name(void **state)
{
	uint64_t nodeid;

	(void)state;
	NEEDS_POOL();
	nodeid = created_as("f", "life=lastclose,capacity=4K");
	link_to(nodeid, BFS_ROOT_NODEID, "g");
	bfs_end_life(&fs, nodeid); /* nobody has opened it yet */
	assert_true(exists("f"));
	open_it(nodeid);
	open_it(nodeid);
	close_it(nodeid);
	assert_true(exists("f") && exists("g"));
	close_it(nodeid);
	assert_false(exists("f") || exists("g"));
	assert_int_equal(told.count, 2);
	assert_int_equal(slots_taken(), 0);
}

static void a_life_can_change_while_the_file_is_open(void **state)
{
	uint64_t first, second;

	(void)state;
	NEEDS_POOL();
	first = created("first");
	second = created_as("second", "life=lastclose");
	open_it(first);
	open_it(second);
	assert_int_equal(configure(first, "life=lastclose"), 0);
	assert_int_equal(configure(second, "life=unlink"), 0);
	close_it(first);
	close_it(second);
	assert_false(exists("first"));
	assert_true(exists("second"));
}

static void a_last_close_is_finished_by_the_next_worker(void **state)
{
	uint64_t nodeid;

	(void)state;
	NEEDS_POOL();
	nodeid = created_as("f", "life=lastclose");
	open_it(nodeid);
	die_and_start_again();
	bfs_end_life(&fs, nodeid);
	assert_true(exists("f")); /* it is open */
	closed(nodeid, false); /* and killed before the names went */
	die_and_start_again();
	bfs_end_life(&fs, nodeid);
	assert_false(exists("f"));
	assert_int_equal(slots_taken(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		with_tasks(the_end_of_a_task_takes_every_name),
		with_tasks(what_took_the_name_over_stays),
		with_tasks(a_name_too_deep_for_a_path_goes_too),
		with_tasks(an_end_between_two_buffers_is_not_missed),
		with_tasks(a_buffer_bound_elsewhere_outlives_its_first_task),
		with_tasks(a_buffer_given_back_to_the_kernel_stays),
		with_tasks(a_refused_change_leaves_it_bound),
		with_tasks(the_same_specification_again_succeeds),
		with_tasks(a_task_takes_pageable_memory),
		with_tasks(contents_can_be_bound_by_their_length),
		with_tasks(
			the_names_of_a_task_that_has_ended_are_as_good_as_gone),
		with_tasks(a_process_costs_one_descriptor_and_a_buffer_none),
		with_tasks(too_many_processes_are_enfile),
		with_tasks(files_made_in_a_directory_are_bound_to_their_maker),
		with_tasks(a_process_of_a_directory_is_looked_at_when_it_is_set),
		with_tasks(the_right_to_a_process_counts_for_directories_too),
		with_tasks(the_next_worker_binds_again),
		with_tasks(a_file_that_is_gone_is_bound_no_more),
		with_tasks(the_last_close_takes_every_name),
		with_tasks(a_life_can_change_while_the_file_is_open),
		with_tasks(a_last_close_is_finished_by_the_next_worker),
	};

	return RUN_TESTS("task", tests);
}
