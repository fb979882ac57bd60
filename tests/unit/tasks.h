/* SPDX-License-Identifier: MIT */
/*
 * tasks.h - buffers that are bound to processes, all of it but FUSE and the thread,
 * over a pool in /dev/shm: for the suites that bind them.
 */
#ifndef TASKS_H
#define TASKS_H

#include "files.h"

#include "search.h"
#include "task.h"

#include <sys/prctl.h>
#include <sys/wait.h>

enum { NOBODY = 65534, WAIT_MS = 10000 };

/* Names that the kernel was told of. */
static struct {
	unsigned int count;
	uint64_t parents[8];
	char names[8][32];
} told;

static inline void note_unlinked(const struct bfs_fs *changed, uint64_t parent,
				 uint64_t nodeid, const char *name)
{
	(void)changed;
	(void)nodeid;
	if (told.count < COUNT_OF(told.parents)) {
		told.parents[told.count] = parent;
		snprintf(told.names[told.count], sizeof(told.names[0]), "%s",
			 name);
	}
	told.count++;
}

/* Children that this test has made, in case that it fails. */
static pid_t children[512];
static size_t child_count;

static inline int make_tasks(void **state)
{
	memset(&told, 0, sizeof(told));
	child_count = 0;
	if (make_fs(state) < 0)
		return -1;
	fs.notify.unlinked = note_unlinked;
	return bfs_tasks_create(&fs, &fs.tasks);
}

static inline int drop_tasks(void **state)
{
	for (size_t i = 0; i < child_count; i++)
		if (children[i] > 0 && kill(children[i], SIGKILL) == 0)
			waitpid(children[i], NULL, 0);
	bfs_tasks_destroy(fs.tasks);
	return drop_fs(state);
}

#define with_tasks(test)                                                       \
	cmocka_unit_test_setup_teardown(test, make_tasks, drop_tasks)

/* Another worker takes over: nothing but the shared block is known to it. The
 * last one's table is not freed: its inodes are still there. */
static inline void die_and_start_again(void)
{
	static struct bfs_tasks *dead[16];
	static size_t count;

	assert_true(count < COUNT_OF(dead));
	dead[count++] = fs.tasks;
	assert_int_equal(new_worker(), 0);
	assert_int_equal(bfs_tasks_create(&fs, &fs.tasks), 0);
}

/* A process that does `prepare` and then nothing, until it is killed. -1: it
 * could not. */
static inline pid_t child_that(void (*prepare)(void))
{
	char byte = 0;
	int ready[2];
	pid_t pid;

	assert_int_equal(pipe(ready), 0);
	assert_true(child_count < COUNT_OF(children));
	if ((pid = fork()) == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (prepare)
			prepare();
		if (write(ready[1], "", 1) == 1)
			for (;;)
				pause();
		_exit(1);
	}
	close(ready[1]);
	assert_true(pid > 0);
	children[child_count++] = pid;
	if (read(ready[0], &byte, 1) != 1)
		pid = -1;
	close(ready[0]);
	return pid;
}

static inline pid_t child(void)
{
	return child_that(NULL);
}

/* Kill it; it stays a zombie. */
static inline void end(pid_t pid)
{
	siginfo_t info;

	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
}

static inline void end_and_reap(pid_t pid)
{
	end(pid);
	bfs_tasks_wait(fs.tasks, WAIT_MS);
	bfs_search_wait();
}

static inline int bind_by(pid_t caller, uint64_t nodeid, const char *spec)
{
	enum bfs_changed changed;

	return bfs_setxattr(&fs, nodeid, "user.iobuf", spec, strlen(spec), 0,
			    caller, &changed);
}

static inline int bind_to(uint64_t nodeid, pid_t pid, const char *more)
{
	char spec[128];

	snprintf(spec, sizeof(spec), "task=%d%s", pid, more);
	return bind_by(getpid(), nodeid, spec);
}

static inline uint64_t bound(const char *name, pid_t pid)
{
	uint64_t nodeid = created(name);

	assert_int_equal(bind_to(nodeid, pid, ""), 0);
	return nodeid;
}

static inline bool exists_in(uint64_t parent, const char *name)
{
	struct bfs_entry entry;
	int r = bfs_lookup(&fs, parent, name, &entry);

	assert_true(r == 0 || r == -ENOENT);
	return r == 0;
}

static inline bool exists(const char *name)
{
	return exists_in(BFS_ROOT_NODEID, name);
}

static inline uint64_t directory(uint64_t parent, const char *name)
{
	struct bfs_entry entry;

	assert_int_equal(bfs_mkdir(&fs, parent, name, 0755, OWNER, &entry), 0);
	return entry.nodeid;
}

static inline void link_to(uint64_t nodeid, uint64_t parent, const char *name)
{
	struct bfs_entry entry;

	assert_int_equal(bfs_link(&fs, nodeid, parent, name, &entry), 0);
}

static inline struct bfs_record record_of(uint64_t nodeid)
{
	struct bfs_record record;
	int fd = bfs_node_open(fs.nodes, nodeid, O_PATH);

	assert_true(fd >= 0);
	assert_int_equal(bfs_record_load_fd(fd, &record), 0);
	close(fd);
	return record;
}

static inline uint64_t start_of(pid_t pid)
{
	uint64_t start = 0;
	int32_t found;

	assert_int_equal(bfs_task_find(getpid(), pid, &found, &start, NULL), 0);
	return start;
}
static inline void be_nobody(void)
{
	if (setresgid(NOBODY, NOBODY, NOBODY) < 0 ||
	    setresuid(NOBODY, NOBODY, NOBODY) < 0)
		_exit(1);
}

#endif
