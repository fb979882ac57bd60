/* SPDX-License-Identifier: MIT */
/*
 * fd.h - descriptors that close themselves, and names for those that have none.
 */
#ifndef BFS_FD_H
#define BFS_FD_H

#include <stdbool.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static inline void bfs_fd_cleanup(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

/* BFS_FD int fd = open(...); closed at the end of the scope. */
#define BFS_FD __attribute__((cleanup(bfs_fd_cleanup)))

/* Hand a descriptor on: its cleanup does nothing any more. */
static inline int bfs_fd_take(int *fd)
{
	int taken = *fd;

	*fd = -1;
	return taken;
}

static inline bool bfs_is_same_file(const struct stat *a, const struct stat *b)
{
	return a->st_ino == b->st_ino && a->st_dev == b->st_dev;
}

/*
 * A path that names what an open descriptor (O_PATH too) refers to, or an entry
 * of that directory: for calls that have no *at form with AT_EMPTY_PATH.
 */
struct bfs_fd_path {
	char text[32 + 256];
};

static inline struct bfs_fd_path bfs_fd_path(int fd)
{
	struct bfs_fd_path path;

	snprintf(path.text, sizeof(path.text), "/proc/self/fd/%d", fd);
	return path;
}

static inline struct bfs_fd_path bfs_fd_path_at(int fd, const char *name)
{
	struct bfs_fd_path path;

	snprintf(path.text, sizeof(path.text), "/proc/self/fd/%d/%s", fd, name);
	return path;
}

#endif
