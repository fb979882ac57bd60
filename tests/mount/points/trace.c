/* SPDX-License-Identifier: MIT */
/*
 * trace.c - follow every thread of the workers from system call to system call.
 *
 * A thread has a request from the end of the read(2) that brought it to the
 * beginning of the next one; what it does between is what is counted. What only
 * waits is not: how often it does that is chance.
 */
#include "points.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <linux/fuse.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

enum { THREADS_MAX = 512, SYSCALL_STOP = SIGTRAP | 0x80 };

static const long trace_options = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE |
				  PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK;

static struct thread {
	pid_t tid, process;
	uint64_t number, args[2]; /* the system call that it is in */
	bool has_request;
	bool is_followed; /* from system call to system call */
	unsigned int opcode;
} threads[THREADS_MAX];

static pid_t holder_pid;
static struct plan plan;
static struct outcome outcome;
static unsigned int passed; /* points of this worker */

static _Noreturn void give_up(const char *what)
{
	perror(what);
	exit(EXIT_FAILURE);
}

static pid_t process_of(pid_t tid)
{
	char path[64], line[256];
	pid_t process = tid;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/status", tid);
	if (!(file = fopen(path, "re")))
		return tid;
	while (fgets(line, sizeof(line), file))
		if (sscanf(line, "Tgid: %d", &process) == 1)
			break;
	fclose(file);
	return process;
}

static struct thread *find(pid_t tid)
{
	struct thread *unused = NULL;

	for (size_t i = 0; i < THREADS_MAX; i++) {
		if (threads[i].tid == tid)
			return &threads[i];
		if (!unused && !threads[i].tid)
			unused = &threads[i];
	}
	if (!unused) {
		errno = EAGAIN;
		give_up("more threads than were thought of");
	}
	*unused = (struct thread){ .tid = tid, .process = process_of(tid) };
	return unused;
}

static void forget(pid_t tid)
{
	for (size_t i = 0; i < THREADS_MAX; i++)
		if (threads[i].tid == tid)
			threads[i] = (struct thread){ 0 };
}

/* While somebody is to die; else they need not be slow. */
static void go_on(pid_t tid, int signal)
{
	const bool follow = tid != holder_pid && outcome.deaths < plan.deaths;

	if (tid != holder_pid)
		find(tid)->is_followed = follow;
	/* It may be gone. */
	ptrace(follow ? PTRACE_SYSCALL : PTRACE_CONT, tid, NULL,
	       (void *)(intptr_t)signal);
}

static bool is_fuse(const struct thread *t)
{
	char path[64], target[PATH_MAX];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/fd/%d", t->process,
		 (int)t->args[0]);
	n = readlink(path, target, sizeof(target) - 1);
	return n > 0 && !strncmp(target, "/dev/fuse", (size_t)n);
}

static bool only_waits(uint64_t number)
{
	return number == SYS_poll || number == SYS_ppoll ||
	       number == SYS_futex || number == SYS_clock_nanosleep ||
	       number == SYS_sched_yield || number == SYS_restart_syscall;
}

static const struct {
	uint64_t number;
	const char *name;
} names[] = {
#define NAMED(name) { SYS_##name, #name }
	NAMED(read), NAMED(write), NAMED(writev), NAMED(openat), NAMED(close),
	NAMED(fstat), NAMED(newfstatat), NAMED(statx), NAMED(linkat),
	NAMED(mkdirat), NAMED(mknodat), NAMED(symlinkat), NAMED(unlinkat),
	NAMED(renameat2), NAMED(fchownat), NAMED(fchmod), NAMED(fchmodat),
	NAMED(chmod), NAMED(setxattr), NAMED(fsetxattr), NAMED(getxattr),
	NAMED(fgetxattr), NAMED(removexattr), NAMED(fremovexattr),
	NAMED(ftruncate), NAMED(fallocate), NAMED(pwrite64), NAMED(pread64),
	NAMED(ioctl), NAMED(mmap), NAMED(munmap), NAMED(mlock), NAMED(madvise),
	NAMED(open_by_handle_at), NAMED(name_to_handle_at), NAMED(capset),
	NAMED(capget), NAMED(utimensat), NAMED(umask), NAMED(dup),
	NAMED(lseek), NAMED(copy_file_range), NAMED(io_uring_setup),
	NAMED(io_uring_register), NAMED(pidfd_open), NAMED(splice),
#undef NAMED
};

static void note_where(const struct thread *t, bool before)
{
	const char *name = NULL;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (names[i].number == t->number)
			name = names[i].name;
	snprintf(outcome.where, sizeof(outcome.where),
		 "point %u: request of code %u, %s %s%.0llu", passed, t->opcode,
		 before ? "before" : "after", name ? name : "system call ",
		 name ? 0ULL : (unsigned long long)t->number);
}

/* A point: shall its worker end here? */
static void pass(const struct thread *t, bool before)
{
	if (outcome.deaths >= plan.deaths || passed++ != plan.point)
		return;
	note_where(t, before);
	outcome.deaths++;
	passed = 0;
	kill(t->process, plan.signal);
}

static void begin_call(struct thread *t, const struct __ptrace_syscall_info *info)
{
	t->number = info->entry.nr;
	t->args[0] = info->entry.args[0];
	t->args[1] = info->entry.args[1];
	if (t->has_request && t->number == SYS_read && is_fuse(t))
		t->has_request = false;
	if (t->has_request && !only_waits(t->number))
		pass(t, true);
}

static void end_call(struct thread *t, const struct __ptrace_syscall_info *info)
{
	struct fuse_in_header header = { 0 };
	struct iovec ours = { &header, sizeof(header) };
	struct iovec theirs = { (void *)(uintptr_t)t->args[1], sizeof(header) };

	if (!t->has_request && t->number == SYS_read && info->exit.rval > 0 &&
	    is_fuse(t)) {
		process_vm_readv(t->process, &ours, 1, &theirs, 1, 0);
		t->has_request = true;
		t->opcode = header.opcode;
	}
	if (t->has_request && !only_waits(t->number))
		pass(t, false);
}

static void serve_syscall(pid_t tid)
{
	struct __ptrace_syscall_info info = { 0 };
	struct thread *t = find(tid);

	if (ptrace(PTRACE_GET_SYSCALL_INFO, tid, (void *)sizeof(info), &info) <= 0)
		return;
	if (info.op == PTRACE_SYSCALL_INFO_ENTRY)
		begin_call(t, &info);
	else if (info.op == PTRACE_SYSCALL_INFO_EXIT)
		end_call(t, &info);
}

static void serve_stop(pid_t tid, int status)
{
	const int signal = WSTOPSIG(status), event = status >> 16;

	if (signal == SYSCALL_STOP)
		serve_syscall(tid);
	go_on(tid, signal == SYSCALL_STOP || event ? 0 : signal);
}

/* Something has happened; true: the client has ended. */
static bool serve_event(pid_t client, int *ret_status)
{
	pid_t tid = waitpid(-1, ret_status, __WALL);

	if (tid < 0 && errno != EINTR)
		give_up("waitpid");
	if (tid < 0)
		return false;
	if (WIFSTOPPED(*ret_status))
		serve_stop(tid, *ret_status);
	else
		forget(tid);
	return tid == client && !WIFSTOPPED(*ret_status);
}

static bool are_followed(void)
{
	for (size_t i = 0; i < THREADS_MAX; i++)
		if (threads[i].tid && threads[i].tid != holder_pid &&
		    !threads[i].is_followed)
			return false;
	return true;
}

/* Before the client begins: every thread there is. */
static void follow_all(void)
{
	int status;

	for (size_t i = 0; i < THREADS_MAX; i++)
		if (threads[i].tid && threads[i].tid != holder_pid)
			ptrace(PTRACE_INTERRUPT, threads[i].tid, NULL, NULL);
	while (!are_followed())
		serve_event(0, &status);
}

/* Its threads begin others: until all that there are are known. */
static void seize(pid_t process)
{
	const struct dirent *e;
	char path[64];
	bool more = true;
	pid_t tid;
	DIR *tasks;

	snprintf(path, sizeof(path), "/proc/%d/task", process);
	while (more) {
		more = false;
		if (!(tasks = opendir(path)))
			give_up(path);
		while ((e = readdir(tasks)))
			if ((tid = atoi(e->d_name)) > 0 &&
			    ptrace(PTRACE_SEIZE, tid, NULL,
				   (void *)trace_options) == 0) {
				more = true;
				ptrace(PTRACE_INTERRUPT, tid, NULL, NULL);
			}
		closedir(tasks);
	}
}

void trace_begin(pid_t holder, pid_t worker)
{
	holder_pid = holder;
	seize(holder);
	seize(worker);
}

struct outcome trace_client(int (*body)(void), struct plan as_planned)
{
	pid_t client;
	int status;

	plan = as_planned;
	outcome = (struct outcome){ 0 };
	passed = 0;
	if (plan.deaths)
		follow_all();
	if ((client = fork()) < 0)
		give_up("fork");
	if (client == 0)
		_exit(body());
	while (!serve_event(client, &status))
		;
	outcome.status = status;
	plan.deaths = 0;
	return outcome;
}
