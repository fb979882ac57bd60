/* SPDX-License-Identifier: MIT */
#include "pressure_trigger.h"

#include "fd.h"
#include "log.h"
#include "room.h"
#include "shared.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int bfs_pressure_trigger_open(const char *path, uint32_t stall_ms,
			      uint32_t *window_ms)
{
	/* The multiple that takes no privilege, and the longest of all. */
	enum { STEP_MS = 2000, MAX_MS = 10000 };
	BFS_FD int fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	uint32_t window = *window_ms;
	char text[64];
	int n;

	if (fd < 0)
		return -errno;
	for (;;) {
		n = snprintf(text, sizeof(text), "some %llu %llu",
			     stall_ms * 1000ull, window * 1000ull);
		/* With its NUL, as the kernel wants it. */
		if (write(fd, text, (size_t)n + 1) >= 0)
			break;
		if ((errno != EINVAL && errno != EPERM) ||
		    window % STEP_MS == 0 || window > MAX_MS)
			return -errno;
		window += STEP_MS - window % STEP_MS;
	}
	*window_ms = window;
	return bfs_fd_take(&fd);
}

/* memory.pressure of our own group, where that is not the whole machine. */
static int open_group(uint32_t stall_ms, uint32_t *window_ms)
{
	static struct bfs_group_path path;
	const size_t n = sizeof(path.dir);
	int r = bfs_group_find_own("", &path);

	if (r < 0)
		return r;
	if (strlen(path.dir) == path.mount_length ||
	    strlen(path.dir) + sizeof("/memory.pressure") > n)
		return -ENOENT;
	strcat(path.dir, "/memory.pressure");
	return bfs_pressure_trigger_open(path.dir, stall_ms, window_ms);
}

struct bfs_pressure_triggers
bfs_pressure_triggers_open(const struct bfs_config *config)
{
	const uint32_t stall = config->pressure_stall_ms;
	struct bfs_pressure_triggers t = { -1, -1 };
	uint32_t window = config->pressure_window_ms;

	if (stall == 0)
		return t;
	t.system = bfs_pressure_trigger_open("/proc/pressure/memory", stall,
					     &window);
	t.group = open_group(stall, &window);
	if (t.system < 0 && t.group < 0)
		bfs_log(LOG_WARNING, "the kernel does not tell of memory "
			"pressure (%s): volatile buffers go when room is short",
			strerror(-t.system));
	else if (window != config->pressure_window_ms)
		bfs_log(LOG_NOTICE, "pressure_window=%u takes CAP_SYS_RESOURCE: "
			"it is %u", config->pressure_window_ms, window);
	t.system = t.system < 0 ? -1 : t.system;
	t.group = t.group < 0 ? -1 : t.group;
	return t;
}
