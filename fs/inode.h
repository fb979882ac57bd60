/* SPDX-License-Identifier: MIT */
/*
 * inode.h - in-core inodes: those that are open, wired, or being worked on.
 *
 * States of an inode's slot in the shared block, and what moves it:
 *
 *   (none) --open, wire, allocate--> taken --last release, unwire--> (none)
 *
 * Invariants, checked by bfs_inode_check() in debug builds:
 *   - an inode has a slot iff opens > 0, or it is wired, or being allocated;
 *   - opens > 0 on a passthrough mount implies a backing id, which is the only
 *     one of this inode, unless every open is of an unshared buffer;
 *   - plain_opens <= opens;
 *   - a task implies BFS_SLOT_BOUND.
 *
 * Lock order: an inode's lock, then the table's. Both are leaves for whoever
 * replies to the kernel: no reply is sent with either held.
 */
#ifndef BFS_INODE_H
#define BFS_INODE_H

#include "shared.h"

#include <iobuf/iobuf.h>

#include <pthread.h>
#include <sys/types.h>

struct bfs_inode_table;

/* The place of a volatile buffer in the purge queue, whose lock protects it;
 * `state` is 0 outside, and changes under the inode's lock too. */
struct bfs_volatile {
	struct bfs_inode *next, *previous;
	uint32_t state;
	uint64_t since, bytes;
};

/* What limits count of a buffer, in bytes. */
struct bfs_charge {
	uint64_t wired, contiguous;
	uint64_t owned; /* as its owner's */
};

struct bfs_inode {
	uint64_t nodeid;       /* constant */
	pthread_mutex_t lock;  /* protects `slot`'s fields and what follows */
	pthread_cond_t released; /* an open was dropped */
	struct bfs_slot *slot; /* in shared memory, or NULL */
	bool adopted;          /* its opens were counted by the last worker */
	struct iobuf *wired;   /* keeps the memory locked, or NULL */
	struct bfs_charge charged;
	uid_t owner;           /* whose charged.owned is */
	unsigned int one_way;  /* plain opens that write or read, not both; of
				  this worker's time, so that 0 is no proof */
	struct bfs_volatile purge;
	struct bfs_task *task; /* that its names go with, or NULL: see task.h */
	/* The table of tasks' lock protects these. */
	struct bfs_inode *next_bound, **link_bound;
	/* The table's lock protects these. */
	struct bfs_inode *next;
	unsigned int users;
};

/*
 * Take over the slots of the shared block, as the last worker left them.
 * fuse_fd is where backing files are registered. Of two slots that claim to be an
 * inode's the first is taken. 0; -ENOMEM.
 */
int bfs_inode_table_create(struct bfs_shared *shared, int fuse_fd,
			   struct bfs_inode_table **ret_table);

/* Forget it, and what is wired of its inodes, which nobody uses. The slots stay as
 * they are. */
void bfs_inode_table_destroy(struct bfs_inode_table *table);

/*
 * Find or make the inode and lock it: every change of a buffer happens between
 * this and bfs_inode_unlock(). NULL when memory ran out.
 */
struct bfs_inode *bfs_inode_lock(struct bfs_inode_table *table, uint64_t nodeid);

/* Unlock; an inode that is idle again is forgotten with its slot. */
void bfs_inode_unlock(struct bfs_inode_table *table, struct bfs_inode *inode);

/* Is there anything to remember of it? Takes only the table's lock. */
bool bfs_inode_is_known(struct bfs_inode_table *table, uint64_t nodeid);

/*
 * Give a locked inode a slot, if it has none. 0; -ENFILE when all are taken but
 * those that are kept for opens.
 */
int bfs_inode_take_slot(struct bfs_inode_table *table, struct bfs_inode *inode);

/*
 * Count an open of a locked inode. data_fd: the pool file, to be registered as
 * the backing file of the first passthrough open; -1 for an open without one.
 * plain: the kernel writes without asking the daemon.
 * unique: of the request; 0 where there is none.
 * Returns the backing id (0 when data_fd is -1), or -ENFILE, errors of
 * FUSE_DEV_IOC_BACKING_OPEN.
 */
int bfs_inode_add_open(struct bfs_inode_table *table, struct bfs_inode *inode,
		       int data_fd, bool plain, uint64_t unique);

/*
 * Wait until no open is left, or no plain one: close(2) returns before the
 * kernel has told us, so that an open that counts may be over already. For a
 * moment only (patience.h), and not at all where many wait for that; the inode's
 * lock is given up meanwhile.
 */
void bfs_inode_wait_for_release(struct bfs_inode_table *table,
				struct bfs_inode *inode, bool plain_only);

/* Undo it, when the file is released or the reply did not arrive. */
void bfs_inode_drop_open(struct bfs_inode_table *table, struct bfs_inode *inode,
			 bool plain, uint64_t unique);

/* Was `unique` the last request that changed the counts of a locked inode? */
bool bfs_inode_has_counted(const struct bfs_inode *inode, uint64_t unique);

/* True when the kernel takes fd as a backing file of this connection. */
bool bfs_backing_works(int fuse_fd, int fd);

/*
 * Call `visit` for each nodeid whose slot has one of `flags`; no lock is held
 * during the call.
 */
void bfs_inode_each(struct bfs_inode_table *table, uint32_t flags,
		    void (*visit)(void *context, uint64_t nodeid),
		    void *context);

/* The same for each that has a slot, and without waiting for its lock. */
void bfs_inode_each_slot(struct bfs_inode_table *table,
			 void (*visit)(void *context, uint64_t nodeid),
			 void *context);

#endif
