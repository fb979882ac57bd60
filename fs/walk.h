/* SPDX-License-Identifier: MIT */
/*
 * walk.h - every entry of the pool, one by one.
 */
#ifndef BFS_WALK_H
#define BFS_WALK_H

#include <sys/stat.h>

/* An entry of the pool; valid during the visit. */
struct bfs_walk_entry {
	int dir_fd;
	const char *name;
	struct stat st;
};

/*
 * Call `visit` for each entry below a directory, at any depth, on its
 * filesystem alone and following no link. root_fd is borrowed. What is made or
 * removed meanwhile may be seen or not. Of directories nested more than 1000
 * deep the contents are left out.
 *
 * Ends early when `visit` returns other than 0, and returns that; else 0, or
 * errors of openat(2) for root_fd. May be called from any thread.
 */
int bfs_walk(int root_fd,
	     int (*visit)(void *context, const struct bfs_walk_entry *entry),
	     void *context);

#endif
