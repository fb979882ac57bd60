/* SPDX-License-Identifier: MIT */
/*
 * Which process a buffer can be bound to, and by whom.
 */
#include "tasks.h"

#include <pthread.h>

static int find(pid_t caller, int32_t asked, int32_t *ret_pid)
{
	struct iobuf_reason reason = { 0 };
	uint64_t start = 0;
	int r = bfs_task_find(caller, asked, ret_pid, &start, &reason);

	if (r == 0)
		assert_true(bfs_task_runs(*ret_pid, start));
	else
		assert_true(reason.text[0]);
	return r;
}
/* Threads. */

static struct {
	pthread_barrier_t begun, ended;
	pid_t tid;
} thread;

static void *idle(void *argument)
{
	thread.tid = (pid_t)syscall(SYS_gettid);
	pthread_barrier_wait(&thread.begun);
	pthread_barrier_wait(&thread.ended);
	return argument;
}

static void a_thread_means_its_process(void **state)
{
	pthread_t id;
	int32_t pid = 0;

	(void)state;
	pthread_barrier_init(&thread.begun, NULL, 2);
	pthread_barrier_init(&thread.ended, NULL, 2);
	assert_int_equal(pthread_create(&id, NULL, idle, NULL), 0);
	pthread_barrier_wait(&thread.begun);
	assert_int_not_equal(thread.tid, getpid());
	assert_int_equal(find(thread.tid, IOBUF_TASK_SELF, &pid), 0);
	assert_int_equal(pid, getpid());
	assert_int_equal(find(getpid(), thread.tid, &pid), 0);
	assert_int_equal(pid, getpid());
	pthread_barrier_wait(&thread.ended);
	pthread_join(id, NULL);
}

static void *linger(void *argument)
{
	for (;;)
		pause();
	return argument;
}

static char state_of(pid_t pid)
{
	char path[64], text[512] = "", *at;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	file = fopen(path, "re");
	assert_non_null(file);
	assert_non_null(fgets(text, sizeof(text), file));
	fclose(file);
	at = strrchr(text, ')');
	return at ? at[2] : '?';
}

static void end_thread(int number)
{
	(void)number;
	syscall(SYS_exit, 0); /* of this thread alone */
}

static void prepare_to_lose_the_first_thread(void)
{
	pthread_t id;

	if (pthread_create(&id, NULL, linger, NULL))
		_exit(1);
	signal(SIGUSR1, end_thread);
}

static void a_process_lives_as_long_as_any_of_its_threads(void **state)
{
	pid_t pid;

	(void)state;
	NEEDS_POOL();
	pid = child_that(prepare_to_lose_the_first_thread);
	bound("f", pid);
	assert_int_equal(syscall(SYS_tgkill, pid, pid, SIGUSR1), 0);
	while (state_of(pid) != 'Z')
		sched_yield();
	bfs_tasks_wait(fs.tasks, 0);
	assert_true(exists("f"));
	assert_true(bfs_task_runs(pid, start_of(pid)));
	end_and_reap(pid);
	assert_false(exists("f"));
}

/* Who is meant. */

static void a_process_that_has_ended_is_esrch(void **state)
{
	struct picture before;
	uint64_t nodeid;
	int32_t found = 0;
	pid_t pid;

	(void)state;
	NEEDS_POOL();
	pid = child();
	nodeid = created("f");
	before = picture_of(nodeid);
	assert_int_equal(find(getpid(), pid, &found), 0);
	end(pid);
	assert_int_equal(find(getpid(), pid, &found), -ESRCH); /* a zombie */
	assert_int_equal(bind_to(nodeid, pid, ""), -ESRCH);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_int_equal(find(getpid(), pid, &found), -ESRCH);
	assert_int_equal(bind_to(nodeid, pid, ",capacity=4K"), -ESRCH);
	assert_int_equal(find(getpid(), INT32_MAX, &found), -ESRCH);
	assert_unchanged(nodeid, &before);
}

static void a_caller_that_nobody_knows_binds_nothing(void **state)
{
	uint64_t nodeid;

	(void)state;
	NEEDS_POOL();
	nodeid = created("f");
	assert_int_equal(bind_by(0, nodeid, "task=self"), -EOPNOTSUPP);
	assert_int_equal(bind_by(0, nodeid, "task=1"), -EOPNOTSUPP);
	assert_int_equal(slots_taken(), 0);
}

static void take_a_misleading_name(void)
{
	prctl(PR_SET_NAME, "a) S 1 (1 2 3 4");
}

static void a_program_name_does_not_hide_the_start(void **state)
{
	const uint64_t first = start_of(child()),
		       named = start_of(child_that(take_a_misleading_name)),
		       last = start_of(child());

	(void)state;
	assert_true(first > 1000); /* ticks since boot */
	assert_true(first <= named && named <= last);
}

static void a_recycled_process_id_is_another_task(void **state)
{
	BFS_FILE struct bfs_file file = { 0 };
	uint64_t nodeid;
	pid_t pid;

	(void)state;
	NEEDS_POOL();
	pid = child();
	assert_true(bfs_task_runs(pid, start_of(pid)));
	assert_false(bfs_task_runs(pid, start_of(pid) + 1));

	/* As if it had been bound to who had the id before. */
	nodeid = bound("f", pid);
	assert_int_equal(bfs_file_open(&fs, nodeid, O_PATH, &file), 0);
	file.record.task_start--;
	assert_int_equal(bfs_record_store(file.fd, &file.record), 0);
	bfs_file_close(&file);
	die_and_start_again();
	assert_int_equal(bind_to(nodeid, pid, ""), -ESRCH);
	bfs_task_bind_again(&fs, nodeid);
	assert_false(exists("f"));
	assert_int_equal(kill(pid, 0), 0);
}
/* Rights. */

static void be_nobody_saved(void)
{
	if (setresuid(1, 1, NOBODY) < 0)
		_exit(1);
}

static void be_nobody_effective(void)
{
	if (setresuid(1, NOBODY, 1) < 0)
		_exit(1);
}

static void binding_takes_the_right_to_signal(void **state)
{
	pid_t nobody, other;
	int32_t found = 0;

	(void)state;
	if (geteuid() != 0)
		SKIP("needs root");
	nobody = child_that(be_nobody);
	assert_int_equal(find(getpid(), nobody, &found), 0);
	assert_int_equal(find(nobody, getpid(), &found), -EPERM);
	assert_int_equal(find(nobody, 1, &found), -EPERM);
	assert_int_equal(find(nobody, IOBUF_TASK_SELF, &found), 0);
	assert_int_equal(found, nobody);
	assert_int_equal(find(nobody, child_that(be_nobody), &found), 0);
	/* Real and saved count of who is signalled, effective of who signals. */
	assert_int_equal(find(nobody, child_that(be_nobody_saved), &found), 0);
	other = child_that(be_nobody_effective);
	assert_int_equal(find(nobody, other, &found), -EPERM);
	assert_int_equal(find(other, nobody, &found), 0);
}

static void nobody_with_cap_kill_elsewhere(void)
{
	be_nobody();
	if (unshare(CLONE_NEWUSER) < 0)
		_exit(1);
}

static void capabilities_of_another_user_namespace_are_no_right(void **state)
{
	int32_t found = 0;
	pid_t pid;

	(void)state;
	if (geteuid() != 0)
		SKIP("needs root");
	pid = child_that(nobody_with_cap_kill_elsewhere);
	if (pid < 0) /* for ordinary users, or where a sanitizer has threads */
		SKIP("no user namespaces");
	assert_int_equal(find(pid, getpid(), &found), -EPERM);
	assert_int_equal(find(pid, IOBUF_TASK_SELF, &found), 0);
}

static int inner[2];

static void start_one_in_a_namespace(void)
{
	pid_t pid;

	if (unshare(CLONE_NEWPID) < 0 || (pid = fork()) < 0)
		_exit(1);
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			pause();
	}
	if (write(inner[1], &pid, sizeof(pid)) != sizeof(pid))
		_exit(1);
}

static void numbers_of_another_process_id_namespace_are_eopnotsupp(void **state)
{
	int32_t found = 0;
	pid_t pid = 0;

	(void)state;
	if (geteuid() != 0)
		SKIP("needs root");
	assert_int_equal(pipe(inner), 0);
	if (child_that(start_one_in_a_namespace) < 0)
		SKIP("no process id namespaces");
	assert_int_equal(read(inner[0], &pid, sizeof(pid)), sizeof(pid));
	close(inner[0]);
	close(inner[1]);
	children[child_count++] = pid;
	assert_int_equal(find(pid, 1, &found), -EOPNOTSUPP);
	assert_int_equal(find(pid, IOBUF_TASK_SELF, &found), 0);
	assert_int_equal(found, pid);
	assert_int_equal(find(getpid(), pid, &found), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		with_tasks(a_thread_means_its_process),
		with_tasks(a_process_lives_as_long_as_any_of_its_threads),
		with_tasks(a_process_that_has_ended_is_esrch),
		with_tasks(a_caller_that_nobody_knows_binds_nothing),
		with_tasks(a_program_name_does_not_hide_the_start),
		with_tasks(a_recycled_process_id_is_another_task),
		with_tasks(binding_takes_the_right_to_signal),
		with_tasks(capabilities_of_another_user_namespace_are_no_right),
		with_tasks(
			numbers_of_another_process_id_namespace_are_eopnotsupp),
	};

	return RUN_TESTS("task_find", tests);
}
