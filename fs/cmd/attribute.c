/* SPDX-License-Identifier: MIT */
#include "cmd.h"

#include <errno.h>
#include <linux/limits.h>
#include <string.h>
#include <sys/xattr.h>

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
