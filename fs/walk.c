/* SPDX-License-Identifier: MIT */
#include "walk.h"

#include "fd.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

/* Each level keeps a directory open. */
enum { DEPTH_MAX = 1000 };

struct walk {
	int (*visit)(void *context, const struct bfs_walk_entry *entry);
	void *context;
	dev_t device;
};

static int open_directory(int dir_fd, const char *name)
{
	return openat(dir_fd, name,
		      O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

static int walk_directory(const struct walk *w, int *fd, unsigned int depth);

static int walk_entry(const struct walk *w, int dir_fd, const char *name,
		      unsigned int depth)
{
	struct bfs_walk_entry entry = { .dir_fd = dir_fd, .name = name };
	BFS_FD int fd = -1;
	int r;

	if (fstatat(dir_fd, name, &entry.st, AT_SYMLINK_NOFOLLOW) < 0 ||
	    entry.st.st_dev != w->device)
		return 0;
	if ((r = w->visit(w->context, &entry)) || !S_ISDIR(entry.st.st_mode) ||
	    depth == DEPTH_MAX)
		return r;
	fd = open_directory(dir_fd, name);
	return fd < 0 ? 0 : walk_directory(w, &fd, depth + 1);
}

static int walk_directory(const struct walk *w, int *fd, unsigned int depth)
{
	DIR *dir = fdopendir(*fd);
	const struct dirent *e;
	int r = 0;

	if (!dir)
		return 0;
	bfs_fd_take(fd);
	while (r == 0 && (e = readdir(dir)))
		if (strcmp(e->d_name, ".") && strcmp(e->d_name, ".."))
			r = walk_entry(w, dirfd(dir), e->d_name, depth);
	closedir(dir);
	return r;
}

int bfs_walk(int root_fd,
	     int (*visit)(void *context, const struct bfs_walk_entry *entry),
	     void *context)
{
	struct walk w = { .visit = visit, .context = context };
	BFS_FD int fd = open_directory(root_fd, ".");
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	w.device = st.st_dev;
	return walk_directory(&w, &fd, 0);
}
