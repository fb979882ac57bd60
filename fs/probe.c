/* SPDX-License-Identifier: MIT */
#include "probe.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/limits.h>
#include <mntent.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

struct result {
	pid_t holder_pid;
	int error;
};

/* The kernel's list does not ask whoever serves the mount. */
static void read_mounts(const char *mountpoint, struct bfs_mount_found *found)
{
	FILE *mounts = setmntent("/proc/self/mounts", "re");
	const struct mntent *m;
	const char *owner;

	while (mounts && (m = getmntent(mounts))) {
		if (strcmp(m->mnt_dir, mountpoint))
			continue;
		owner = hasmntopt(m, "user_id");
		found->is_ours = !strcmp(m->mnt_type, "fuse.bufferfs");
		found->owner = owner ? (uid_t)strtoul(owner + 8, NULL, 10) : 0;
	}
	if (mounts)
		endmntent(mounts);
}

/* Only the root of a bufferfs answers this with a holder. */
static struct result ask(const char *mountpoint)
{
	static char state[XATTR_SIZE_MAX + 1];
	ssize_t n = getxattr(mountpoint, "user.iobuf.state", state,
			     XATTR_SIZE_MAX);
	const char *holder;

	if (n < 0)
		return (struct result){ 0, errno };
	state[n] = '\0';
	holder = strstr(state, "holder_pid=");
	return (struct result){ holder ? atoi(holder + 11) : 0, 0 };
}

/* In a process of its own, which may wait for ever. */
static int start_asking(const char *mountpoint, pid_t *ret_pid)
{
	int fds[2];
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	if ((pid = fork()) == 0) {
		const struct result result = ask(mountpoint);

		_exit(write(fds[1], &result, sizeof(result)) < 0);
	}
	close(fds[1]);
	if (pid < 0) {
		close(fds[0]);
		return -EAGAIN;
	}
	*ret_pid = pid;
	return fds[0];
}

struct bfs_mount_found bfs_probe_mount(const char *mountpoint, int wait_ms)
{
	struct bfs_mount_found found = { 0 };
	struct result result = { 0 };
	struct pollfd fd = { .events = POLLIN };
	pid_t pid = 0;

	read_mounts(mountpoint, &found);
	if ((fd.fd = start_asking(mountpoint, &pid)) < 0)
		return found;
	found.is_silent = poll(&fd, 1, wait_ms) == 0;
	if (!found.is_silent && read(fd.fd, &result, sizeof(result)) > 0) {
		found.holder_pid = result.holder_pid;
		found.is_dead = result.error == ENOTCONN;
	}
	close(fd.fd);
	kill(pid, SIGKILL);
	/* One that the kernel does not let go ends with the mount. */
	waitpid(pid, NULL, found.is_silent ? WNOHANG : 0);
	return found;
}
