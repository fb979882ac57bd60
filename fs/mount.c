/* SPDX-License-Identifier: MIT */
#include "mount.h"

#include "log.h"
#include "probe.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static int mount_privileged(const struct bfs_config *config,
			    unsigned long flags)
{
	char data[256];
	int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	snprintf(data, sizeof(data),
		 "fd=%d,rootmode=40000,user_id=%u,group_id=%u,"
		 "default_permissions%s",
		 fd, getuid(), getgid(),
		 config->allow_other ? ",allow_other" : "");
	if (mount(config->fsname, config->mountpoint, "fuse.bufferfs", flags,
		  data) < 0) {
		int error = errno;

		close(fd);
		return -error;
	}
	return fd;
}

static int run_fusermount(char *const argv[], const char *environment)
{
	char *env[] = { (char *)environment, (char *)"PATH=/usr/bin:/bin", NULL };
	int status;
	pid_t pid;
	int r = posix_spawnp(&pid, "fusermount3", NULL, NULL, argv, env);

	if (r)
		return -r;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EPERM;
}

static int receive_fd(int socket)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	char byte;
	struct iovec iov = { &byte, 1 };
	struct msghdr message = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	struct cmsghdr *c;
	int fd;

	if (recvmsg(socket, &message, MSG_CMSG_CLOEXEC) < 0)
		return -errno;
	c = CMSG_FIRSTHDR(&message);
	if (!c || c->cmsg_type != SCM_RIGHTS ||
	    c->cmsg_len != CMSG_LEN(sizeof(int)))
		return -EPROTO;
	memcpy(&fd, CMSG_DATA(c), sizeof(fd));
	return fd;
}

/* fusermount3 mounts and passes the descriptor back over a socket. */
static int mount_by_fusermount(const struct bfs_config *config,
			       unsigned long flags)
{
	int sockets[2], r;
	char environment[64], options[256];
	char *argv[] = { (char *)"fusermount3", (char *)"-o", options,
			 (char *)"--", (char *)config->mountpoint, NULL };

	snprintf(options, sizeof(options),
		 "fsname=%s,subtype=bufferfs,default_permissions%s%s%s%s",
		 config->fsname,
		 config->allow_other ? ",allow_other" : "",
		 flags & MS_RDONLY ? ",ro" : "",
		 flags & MS_NOEXEC ? ",noexec" : "",
		 flags & MS_NOATIME ? ",noatime" : "");
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, sockets) < 0)
		return -errno;
	fcntl(sockets[0], F_SETFD, FD_CLOEXEC);
	snprintf(environment, sizeof(environment), "_FUSE_COMMFD=%d",
		 sockets[1]);
	r = run_fusermount(argv, environment);
	close(sockets[1]);
	if (r == 0)
		r = receive_fd(sockets[0]);
	close(sockets[0]);
	if (r == -ENOENT)
		bfs_log(LOG_ERR, "fusermount3 is missing: install fuse3");
	return r;
}

int bfs_mount(const struct bfs_config *config, unsigned long flags)
{
	int fd;

	fd = mount_privileged(config, flags);
	if (fd == -EPERM || fd == -EACCES)
		fd = mount_by_fusermount(config, flags);
	if (fd < 0)
		bfs_log(LOG_ERR, "cannot mount on %s: %s", config->mountpoint,
			strerror(-fd));
	return fd;
}

static int detach(const struct bfs_config *config)
{
	char *argv[] = { (char *)"fusermount3", (char *)"-u", (char *)"-q",
			 (char *)"-z", (char *)"--",
			 (char *)config->mountpoint, NULL };
	/* MNT_FORCE ends the connection before anything can wait for it. */
	int r = umount2(config->mountpoint,
			MNT_FORCE | MNT_DETACH | UMOUNT_NOFOLLOW) < 0
			? -errno
			: 0;

	return r == -EPERM && run_fusermount(argv, "LC_ALL=C") == 0 ? 0 : r;
}

int bfs_abandon(const struct bfs_config *config, int fuse_fd)
{
	int r = detach(config);

	close(fuse_fd); /* this ends it too */
	return r;
}

void bfs_detach_dead(const struct bfs_config *config)
{
	enum { WAIT_MS = 5000 };
	const struct bfs_mount_found found =
		bfs_probe_mount(config->mountpoint, WAIT_MS);

	if (!found.is_dead &&
	    !(found.is_silent && found.is_ours && config->adopted_pool))
		return;
	if (detach(config) == 0)
		bfs_log(LOG_NOTICE, "detached the dead mount on %s",
			config->mountpoint);
}

int bfs_unmount(const struct bfs_config *config)
{
	char *argv[] = { (char *)"fusermount3", (char *)"-u", (char *)"-q",
			 (char *)"--", (char *)config->mountpoint, NULL };

	if (umount2(config->mountpoint, UMOUNT_NOFOLLOW) == 0)
		return 0;
	if (errno != EPERM)
		return -errno;
	return run_fusermount(argv, "LC_ALL=C") < 0 ? -EBUSY : 0;
}
