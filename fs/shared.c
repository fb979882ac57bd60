/* SPDX-License-Identifier: MIT */
#include "shared.h"

#include <errno.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static int map(int fd, struct bfs_shared **ret_shared)
{
	void *p = mmap(NULL, sizeof(struct bfs_shared), PROT_READ | PROT_WRITE,
		       MAP_SHARED, fd, 0);

	if (p == MAP_FAILED)
		return -errno;
	*ret_shared = p;
	return 0;
}

int bfs_shared_create(struct bfs_shared **ret_shared)
{
	int fd = memfd_create("bufferfs-shared", MFD_CLOEXEC);
	int r;

	if (fd < 0)
		return -errno;
	r = ftruncate(fd, sizeof(struct bfs_shared)) < 0 ? -errno
							 : map(fd, ret_shared);
	if (r < 0) {
		close(fd);
		return r;
	}
	(*ret_shared)->magic = BFS_SHARED_MAGIC;
	(*ret_shared)->version = BFS_SHARED_VERSION;
	return fd;
}

int bfs_shared_map(int fd, struct bfs_shared **ret_shared)
{
	struct stat st;
	int r;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (st.st_size != sizeof(struct bfs_shared))
		return -EINVAL;
	if ((r = map(fd, ret_shared)) < 0)
		return r;
	if ((*ret_shared)->magic != BFS_SHARED_MAGIC ||
	    (*ret_shared)->version != BFS_SHARED_VERSION)
		return -EINVAL;
	return 0;
}
