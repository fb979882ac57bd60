/* SPDX-License-Identifier: MIT */
/*
 * start.c - mount a filesystem of its own, time that, see what the daemon and
 * a small file cost in memory, and unmount it.
 */
#include "bench.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { FILES = 100, POLL_US = 100 };

static pid_t start_command(const struct bench *b)
{
	pid_t pid = fork();
	int log;

	if (pid < 0)
		die("fork");
	if (pid > 0)
		return pid;
	/* Our stdout is for results. A daemon must not outlive us. */
	log = dup(STDERR_FILENO);
	if (log >= 0)
		dup2(log, STDOUT_FILENO);
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	execvp(b->command[0], b->command);
	die(b->command[0]);
}

static dev_t device_of(const char *path)
{
	struct stat st;

	return stat(path, &st) < 0 ? 0 : st.st_dev;
}

/* Has the command ended, with success? With failure: nor shall we go on. */
static bool has_returned(pid_t pid, int wait_flags)
{
	int status;
	pid_t ended = waitpid(pid, &status, wait_flags);

	if (ended < 0)
		die("waitpid");
	if (ended > 0 && (!WIFEXITED(status) || WEXITSTATUS(status))) {
		errno = ECHILD;
		die("the command that mounts failed");
	}
	return ended > 0;
}

static void measure_start(const struct bench *b, pid_t *ret_pid)
{
	dev_t before = device_of(b->dir), after;
	uint64_t start = now_ns();

	*ret_pid = start_command(b);
	if (b->returns)
		has_returned(*ret_pid, 0);
	while ((after = device_of(b->dir)) == before || after == 0) {
		if (b->returns || has_returned(*ret_pid, WNOHANG)) {
			errno = ENODEV;
			die("nothing was mounted");
		}
		usleep(POLL_US);
	}
	print_ns("start", start, 1);
}

static double resident_bytes(pid_t pid)
{
	char line[256], path[64];
	unsigned long kib = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	file = fopen(path, "re");
	if (!file)
		die(path);
	while (fgets(line, sizeof(line), file))
		if (sscanf(line, "VmRSS: %lu", &kib) == 1)
			break;
	fclose(file);
	return (double)kib * 1024;
}

/* Files that are in use: open, and with data. */
static void use_files(const struct bench *b)
{
	char path[64];

	make_files(b, "used", FILES, BENCH_PAGE);
	for (unsigned int i = 0; i < FILES; i++) {
		snprintf(path, sizeof(path), "used/%u", i);
		if (open(path, O_RDWR | O_CLOEXEC) < 0)
			die("open");
	}
}

static void measure_daemon(const struct bench *b, pid_t child, pid_t holder)
{
	use_files(b);
	if (holder)
		printf("memory %.0f\n",
		       resident_bytes(holder) +
			       resident_bytes(process_of(".", "worker_pid=")));
	else if (!b->returns)
		printf("memory %.0f\n", resident_bytes(child));
	close_range(STDERR_FILENO + 1, ~0U, 0);
}

static void measure_small_file(const struct bench *b)
{
	struct statvfs before, after;
	int fd;

	make_directory(b, "small");
	if (statvfs(".", &before) < 0)
		die("statvfs");
	fd = open("small/file", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0 || write(fd, "x", 1) != 1)
		die("write a byte");
	close(fd);
	if (statvfs(".", &after) < 0)
		die("statvfs");
	if (after.f_blocks > 0) /* else it does not know */
		printf("small-file %.0f\n",
		       (double)(before.f_bfree - after.f_bfree) *
			       (double)after.f_frsize);
}

static void wait_for_end(int pidfd)
{
	struct pollfd poll_fd = { .fd = pidfd, .events = POLLIN };

	while (poll(&poll_fd, 1, -1) < 0)
		if (errno != EINTR)
			die("poll");
}

void start_group(const struct bench *b)
{
	pid_t child, holder;
	int pidfd = -1;

	measure_start(b, &child);
	holder = process_of(b->dir, "holder_pid=");
	if (chdir(b->dir) < 0)
		die(b->dir);
	measure_daemon(b, child, holder);
	measure_small_file(b);
	if (holder)
		pidfd = (int)syscall(SYS_pidfd_open, holder, 0);
	if (chdir("/") < 0 || umount2(b->dir, 0) < 0)
		die("umount");
	if (pidfd >= 0)
		wait_for_end(pidfd);
	else if (!b->returns)
		waitpid(child, NULL, 0);
}
