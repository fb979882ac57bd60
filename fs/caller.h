/* SPDX-License-Identifier: MIT */
/*
 * caller.h - what the process that asks may do. It waits for us meanwhile, so
 * that its process id cannot become another's.
 */
#ifndef BFS_CALLER_H
#define BFS_CALLER_H

#include <stdbool.h>
#include <sys/types.h>

/* CAP_SYS_ADMIN in our user namespace: what the kernel asks for as well. */
bool bfs_has_sys_admin(pid_t pid);

/* Is it of that group, or may it set the bit for any (CAP_FSETID)? */
bool bfs_may_keep_set_group_id(pid_t pid, gid_t group);

/* Our user namespace, by the first line of its map: `count` uids from `inside`
 * on are those from `outside` on there. False when it cannot be known. */
struct bfs_uid_map {
	unsigned int inside, outside, count;
};
bool bfs_load_uid_map(struct bfs_uid_map *ret_map);

#endif
