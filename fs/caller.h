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

/* The user that it acts as. False when that cannot be known. */
bool bfs_load_caller_uid(pid_t pid, uid_t *ret_uid);

/* Does it own what that user has, or may it do as if (CAP_FOWNER)? */
bool bfs_may_own(pid_t pid, uid_t owner);

/* Is it of that group, or may it set the bit for any (CAP_FSETID)? */
bool bfs_may_keep_set_group_id(pid_t pid, gid_t group);

/*
 * The process that a thread belongs to; of another process id namespace too.
 * 0: there is no such thread, or /proc does not show it.
 */
pid_t bfs_process_of(pid_t thread);

/* Do numbers that it gives mean the processes that they mean here? */
bool bfs_shares_process_ids(pid_t pid);

/* As kill(2): by real and effective against real and saved user, or by
 * CAP_KILL in our user namespace. The target may end meanwhile: hold a pidfd,
 * and look again afterwards whether it still runs. */
bool bfs_may_signal(pid_t pid, pid_t target);

/* Our user namespace, by the first line of its map: `count` uids from `inside`
 * on are those from `outside` on there. False when it cannot be known. */
struct bfs_uid_map {
	unsigned int inside, outside, count;
};
bool bfs_load_uid_map(struct bfs_uid_map *ret_map);

#endif
