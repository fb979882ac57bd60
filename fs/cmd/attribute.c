/* SPDX-License-Identifier: MIT */
#include "cmd.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/limits.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

char *attribute_get(const char *path, const char *name)
{
	static char value[XATTR_SIZE_MAX + 1];
	const ssize_t n = getxattr(path, name, value, sizeof(value) - 1);

	if (n < 0)
		return NULL;
	value[n] = '\0';
	return value;
}

int attribute_set(const char *path, const char *name, const char *value)
{
	return setxattr(path, name, value, strlen(value), 0) < 0 ? -errno : 0;
}

/* Without opening it, which would keep its sharing from being changed, and end a
 * life=lastclose. */
static int make_node(const char *path, mode_t mode)
{
	int fd;

	if (mknod(path, S_IFREG | mode, 0) == 0)
		return 0;
	if (errno != EPERM) /* of filesystems that have no such files */
		return -errno;
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
	if (fd < 0)
		return -errno;
	close(fd);
	return 0;
}

int file_make(const char *path, mode_t mode, int *ret_fd)
{
	int r = make_node(path, mode), fd;

	if (r < 0)
		return r;
	fd = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0) {
		r = -errno;
		unlink(path);
		return r;
	}
	*ret_fd = fd;
	return 0;
}

const char *path_of(int fd)
{
	static char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return path;
}

void state_find(const char *state, const char *key, char *to, size_t size)
{
	const size_t n = strlen(key);

	*to = '\0';
	for (const char *line = state; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (!strncmp(line, key, n) && line[n] == '=') {
			snprintf(to, size, "%.*s",
				 (int)strcspn(line + n + 1, "\n"), line + n + 1);
			return;
		}
	}
}
