/* SPDX-License-Identifier: MIT */
#include "uring.h"

#include <unistd.h>

#define PARAMETER "/sys/module/fuse/parameters/enable_uring"

const char *bfs_uring_obstacle(bool in_libfuse, bool offered)
{
	if (!in_libfuse)
		return "this libfuse has none, it takes 3.18";
	if (offered)
		return "libfuse could not set up its rings (was it built with "
		       "liburing? what is in /proc/sys/kernel/io_uring_disabled?)";
	if (access(PARAMETER, F_OK) < 0)
		return "this kernel has none, it takes Linux 6.14 with "
		       "CONFIG_FUSE_IO_URING";
	return "switched off; before mounting: echo Y >" PARAMETER;
}
