/* SPDX-License-Identifier: MIT */
/*
 * limit.h - how much each owner of buffers has of what -o user_max= bounds.
 */
#ifndef BFS_LIMIT_H
#define BFS_LIMIT_H

#include <stdint.h>
#include <sys/types.h>

struct bfs_owners;

/* max: bytes that each owner may have. 0; -ENOMEM. */
int bfs_owners_create(uint64_t max, struct bfs_owners **ret_owners);
void bfs_owners_destroy(struct bfs_owners *owners);

/*
 * Count bytes as a user's. unlink(2) returns before the kernel has let go of
 * the buffer: at the limit this waits a moment for some to be given back. So
 * the caller may hold an inode's lock, but none that giving back takes.
 * 0; -EDQUOT over the limit, logged; -ENOMEM. In any case nothing is counted.
 */
int bfs_owners_charge(struct bfs_owners *owners, uid_t uid, uint64_t bytes);

/* The same for what the user has already: limits or not. -ENOMEM. */
int bfs_owners_count(struct bfs_owners *owners, uid_t uid, uint64_t bytes);

void bfs_owners_uncharge(struct bfs_owners *owners, uid_t uid, uint64_t bytes);

/* Bytes that count as a user's. */
uint64_t bfs_owners_used(struct bfs_owners *owners, uid_t uid);

#endif
