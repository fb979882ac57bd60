/* SPDX-License-Identifier: MIT */
/*
 * room.h - how much memory there is left, wherever it can run out: in the pool,
 * in the memory control groups of this process, in the machine.
 *
 * Looking allocates nothing, because it matters most when there is nothing to
 * be had. Not to be called from two threads at once.
 */
#ifndef BFS_ROOM_H
#define BFS_ROOM_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum {
	BFS_ROOM_LEVELS_MAX = 16, /* of groups; those furthest up are left out */
	BFS_ROOM_TEXT_MAX = 8192, /* of a file that is read */
};

/* Bytes; `total` 0: without a limit. */
struct bfs_room {
	uint64_t total, left;
	uint64_t swap; /* of the machine: that is free, and not in `left` */
};

struct bfs_place;
struct bfs_group_kind;

/* Where memory runs out. */
struct bfs_place {
	const char *name; /* for the log */
	int (*look)(const struct bfs_place *place, struct bfs_room *ret_room);
	const struct bfs_group_kind *kind; /* of a control group */
	int fds[4];       /* what it is known from; -1: not there */
	uint64_t due_ns;  /* the caller's: when to look again */
};

struct bfs_places {
	struct bfs_place list[2 + BFS_ROOM_LEVELS_MAX];
	unsigned int count;
};

/* A directory of a control group hierarchy, and the mount that it is in. */
struct bfs_group_path {
	char dir[4096];
	unsigned int mount_length; /* of `dir` that is the mount point */
};

/*
 * Find the directory of a process's group. cgroups and mounts are read from:
 * the text of /proc/PID/cgroup and /proc/PID/mountinfo. controller: of a
 * version 1 hierarchy, or "" for version 2. 0; -ENOENT when it is not mounted
 * here.
 */
int bfs_group_find(FILE *cgroups, FILE *mounts, const char *controller,
		   struct bfs_group_path *ret_path);

/* As that, for this process. */
int bfs_group_find_own(const char *controller, struct bfs_group_path *ret_path);

/*
 * Find a line "KEY VALUE" or "KEY: VALUE kB" and read the value, in bytes.
 * False when there is none.
 */
bool bfs_room_field(const char *text, const char *key, uint64_t *ret_bytes);

/*
 * Open all places: the pool (root_fd is borrowed; -1: not that), the machine, and each group
 * from this process's up to its mount point. What cannot be opened is left
 * out. May be called again to follow a process into another group: places is
 * closed before, so that the first time takes { 0 }.
 */
void bfs_places_open(struct bfs_places *places, int root_fd);

/* Add a group's directory and those above it, down to path->mount_length. */
void bfs_places_add_groups(struct bfs_places *places, const char *controller,
			   const struct bfs_group_path *path);

void bfs_places_close(struct bfs_places *places);

/* 0; errors of pread(2) and fstatvfs(3); -EPROTO for text that says nothing. */
int bfs_place_look(const struct bfs_place *place, struct bfs_room *ret_room);

#endif
