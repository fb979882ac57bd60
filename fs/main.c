/* SPDX-License-Identifier: MIT */
/*
 * main.c - bufferfs(8): read the command line, go to the background, hold.
 */
#include "holder.h"
#include "log.h"
#include "probe.h"
#include "reload.h"
#include "worker.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BFS_EXIT_USAGE 2

enum { PROBE_MS = 2000 };

/* In the parent: exit as soon as the mount serves, or has failed to. */
static void wait_until_ready(int fd)
{
	char byte;
	ssize_t n;

	do
		n = read(fd, &byte, 1);
	while (n < 0 && errno == EINTR);
	_exit(n == 1 ? EXIT_SUCCESS : EXIT_FAILURE);
}

/* Returns in the background process: where to write when ready. */
static int go_to_background(int *ret_ready_fd)
{
	int fds[2], null;
	pid_t pid;

	/* A daemon must not hold open what its starter left open. */
	close_range(STDERR_FILENO + 1, ~0U, 0);
	if (pipe2(fds, O_CLOEXEC) < 0 || (pid = fork()) < 0)
		return -errno;
	if (pid > 0) {
		close(fds[1]);
		wait_until_ready(fds[0]);
	}
	close(fds[0]);
	setsid();
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null < 0 || dup2(null, STDIN_FILENO) < 0 ||
	    dup2(null, STDOUT_FILENO) < 0 || chdir("/") < 0)
		return -errno;
	close(null);
	*ret_ready_fd = fds[1];
	return 0;
}

int main(int argc, char **argv)
{
	struct bfs_mount_options options;
	int ready_fd = -1;

	if (argc > 1 && !strcmp(argv[1], BFS_WORKER_ARGUMENT))
		return bfs_work(argc, argv);
	if (bfs_mount_options_parse(argc, argv, &options) < 0)
		return BFS_EXIT_USAGE;
	if (options.help) {
		bfs_mount_options_help(stdout);
		return EXIT_SUCCESS;
	}
	if (options.version) {
		puts("bufferfs " BFS_VERSION);
		return EXIT_SUCCESS;
	}
	if (options.reload)
		return bfs_reload(options.config.mountpoint);
	if (bfs_probe_mount(options.config.mountpoint, PROBE_MS).holder_pid) {
		fprintf(stderr, "bufferfs: already mounted on %s\n",
			options.config.mountpoint);
		return EXIT_FAILURE;
	}
	if (!options.config.foreground && go_to_background(&ready_fd) < 0) {
		perror("bufferfs");
		return EXIT_FAILURE;
	}
	bfs_log_open(options.config.foreground, options.config.debug);
	return bfs_hold(&options, ready_fd);
}
