/* SPDX-License-Identifier: MIT */
#include "caller.h"

#include "fd.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Capabilities in a user namespace of one's own are not those meant. */
static bool shares_user_namespace(pid_t pid)
{
	struct stat ours, theirs;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/ns/user", pid);
	return stat("/proc/self/ns/user", &ours) == 0 &&
	       stat(path, &theirs) == 0 && ours.st_ino == theirs.st_ino &&
	       ours.st_dev == theirs.st_dev;
}

static unsigned long long effective_capabilities(pid_t pid)
{
	char path[64], text[4096];
	const char *line;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	BFS_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	if (n <= 0)
		return 0;
	text[n] = '\0';
	line = strstr(text, "\nCapEff:");
	return line ? strtoull(line + strlen("\nCapEff:"), NULL, 16) : 0;
}

bool bfs_may_see_physical(pid_t pid)
{
	return pid > 0 && shares_user_namespace(pid) &&
	       (effective_capabilities(pid) & (1ULL << CAP_SYS_ADMIN));
}
