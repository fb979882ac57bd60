/* SPDX-License-Identifier: MIT */
#include "program.h"

#include "fd.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>

int bfs_program_self(char *ret_path, size_t size)
{
	int fd = open("/proc/self/exe", O_PATH | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = readlink(bfs_fd_path(fd).text, ret_path, size - 1);
	ret_path[n > 0 ? n : 0] = '\0';
	return fd;
}

/* In a directory that anybody may write and that is sticky, as /tmp, nobody
 * replaces what others have there. The group of an ordinary user is mostly his
 * own; root's may have others in it. */
static bool may_others_write(const struct stat *st)
{
	const mode_t writers = geteuid() == 0 ? 022 : 02;

	return (st->st_uid != 0 && st->st_uid != geteuid()) ||
	       (st->st_mode & writers &&
		!(S_ISDIR(st->st_mode) && st->st_mode & S_ISVTX));
}

/* The path, then each directory above it: what is left in it is at fault. */
static int check_path(char *path)
{
	struct stat st;
	char *slash;

	for (;;) {
		if (stat(path, &st) < 0)
			return -errno;
		if (may_others_write(&st))
			return -EPERM;
		slash = strrchr(path, '/');
		if (!slash || !strcmp(path, "/"))
			return slash ? 0 : -ENOENT;
		slash[slash == path] = '\0';
	}
}

int bfs_program_open(const char *path, char *ret_fault, size_t size)
{
	BFS_FD int fd = open(path, O_PATH | O_CLOEXEC);
	char real[PATH_MAX];
	struct stat st;
	ssize_t n;
	int r;

	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EACCES;
	/* Where it lies, links followed. */
	n = readlink(bfs_fd_path(fd).text, real, sizeof(real) - 1);
	if (n < 0)
		return -errno;
	real[n] = '\0';
	r = may_others_write(&st) ? -EPERM : check_path(real);
	if (r < 0) {
		snprintf(ret_fault, size, "%s", real);
		return r;
	}
	return bfs_fd_take(&fd);
}
