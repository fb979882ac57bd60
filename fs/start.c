/* SPDX-License-Identifier: MIT */
#include "holder_internal.h"

#include "log.h"
#include "worker.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

extern char **environ;

/* In the child: a successor's stderr is read by the holder at first. */
static int keep_stderr(int text_fd)
{
	int fd = fcntl(STDERR_FILENO, F_DUPFD, STDERR_FILENO + 1);

	if (fd < 0 || dup2(text_fd, STDERR_FILENO) < 0)
		_exit(EXIT_FAILURE);
	return fd;
}

/* In the child: become a worker. */
static void exec_worker(const struct bfs_holder *h, int program_fd,
			int control_fd, int text_fd)
{
	enum { COUNT = 6, COUNT_MAX = 8 };
	int fds[COUNT_MAX] = { h->fuse_fd, h->shared_fd, h->pool_fd,
			       h->pressure.system, h->pressure.group,
			       h->sample_fd };
	const size_t count = control_fd < 0 ? COUNT : COUNT_MAX;
	char numbers[COUNT_MAX][16];
	char *argv[COUNT_MAX + 3] = { (char *)"bufferfs",
				      (char *)BFS_WORKER_ARGUMENT };
	sigset_t none;

	if (control_fd >= 0) {
		fds[COUNT] = control_fd;
		fds[COUNT + 1] = keep_stderr(text_fd);
	}
	for (size_t i = 0; i < count; i++) {
		snprintf(numbers[i], sizeof(numbers[i]), "%d", fds[i]);
		argv[i + 2] = numbers[i];
		fcntl(fds[i], F_SETFD, 0);
	}
	/* Without a holder nobody would replace the worker, and the next mount
	 * adopts the pool: it must not find another at work. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != h->shared->holder_pid)
		_exit(EXIT_FAILURE);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	execveat(program_fd, "", argv, environ, AT_EMPTY_PATH);
	fprintf(stderr, "bufferfs: cannot start a worker: %s\n",
		strerror(errno));
	_exit(EXIT_FAILURE);
}

pid_t bfs_start_worker(const struct bfs_holder *h,
		       const struct bfs_successor *successor)
{
	pid_t pid = fork();

	if (pid < 0)
		return -errno;
	if (pid == 0 && successor)
		exec_worker(h, successor->program_fd, successor->control_fd,
			    successor->text_fd);
	if (pid == 0)
		exec_worker(h, h->program_fd, -1, -1);
	return pid;
}
