/* SPDX-License-Identifier: MIT */
#include "reload.h"

#include "fd.h"
#include "probe.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static int refuse(const char *mountpoint, const char *why)
{
	fprintf(stderr, "bufferfs: %s: %s\n", mountpoint, why);
	return EXIT_FAILURE;
}

/* What a mount says of its holder can be anything: only who mounted it may be
 * the holder. */
static int open_holder(pid_t pid, uid_t owner)
{
	BFS_FD int fd = pidfd_open(pid, 0);
	char path[64];
	struct stat st;

	if (fd < 0)
		return -errno;
	snprintf(path, sizeof(path), "/proc/%d", pid);
	if (stat(path, &st) < 0)
		return -errno;
	return st.st_uid == owner ? bfs_fd_take(&fd) : -EPERM;
}

static int ask(int holder_fd, int answer_fd)
{
	siginfo_t info = { .si_signo = SIGHUP, .si_code = SI_QUEUE };

	info.si_pid = getpid();
	info.si_uid = getuid();
	info.si_value.sival_int = answer_fd;
	return pidfd_send_signal(holder_fd, SIGHUP, &info, 0) < 0 ? -errno : 0;
}

/* Signals that come together are one: ask until it is heard. */
static int ask_until_heard(int holder_fd, const int fds[2])
{
	enum { TRIES = 10, WAIT_MS = 1000 };
	struct pollfd polled[] = { { fds[0], POLLIN, 0 },
				   { holder_fd, POLLIN, 0 } };
	int r;

	for (int i = 0; i < TRIES; i++) {
		if ((r = ask(holder_fd, fds[1])) < 0)
			return r;
		if (poll(polled, 2, WAIT_MS) > 0)
			return 0;
	}
	return -ETIMEDOUT;
}

/* The holder has opened the pipe by now, if it is there: its end is the end. */
static int read_answers(const char *mountpoint, int fd)
{
	char text[4096];
	size_t size = 0;
	ssize_t n;

	while (size < sizeof(text) - 1 &&
	       ((n = read(fd, text + size, sizeof(text) - 1 - size)) > 0 ||
		(n < 0 && errno == EINTR)))
		size += n > 0 ? (size_t)n : 0;
	text[size] = '\0';
	if (text[0] == BFS_RELOAD_FAILED)
		return refuse(mountpoint, text + 1);
	if (text[0] == BFS_RELOAD_BEGUN && text[1] == BFS_RELOAD_FAILED)
		return refuse(mountpoint, text + 2);
	if (text[0] == BFS_RELOAD_BEGUN && text[1] == BFS_RELOAD_DONE)
		return EXIT_SUCCESS;
	return refuse(mountpoint, "the daemon ended");
}

int bfs_reload(const char *mountpoint)
{
	enum { WAIT_MS = 10000 };
	const struct bfs_mount_found found =
		bfs_probe_mount(mountpoint, WAIT_MS);
	BFS_FD int holder_fd = -1;
	int fds[2], r;

	if (found.is_silent)
		return refuse(mountpoint, "the daemon does not answer");
	if (!found.is_ours || found.holder_pid <= 0)
		return refuse(mountpoint, "no bufferfs serves here");
	if ((holder_fd = open_holder(found.holder_pid, found.owner)) < 0)
		return refuse(mountpoint, holder_fd == -EPERM
						  ? "its holder is not of who mounted it"
						  : strerror(-holder_fd));
	if (pipe2(fds, O_CLOEXEC) < 0)
		return refuse(mountpoint, strerror(errno));
	r = ask_until_heard(holder_fd, fds);
	close(fds[1]);
	if (r == 0)
		return read_answers(mountpoint, fds[0]);
	return refuse(mountpoint, r == -ETIMEDOUT
					  ? "the holder does not answer: its log "
					    "tells whether it reloads"
					  : strerror(-r));
}
