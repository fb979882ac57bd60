/* SPDX-License-Identifier: MIT */
/*
 * purge_queue.h - the order in which volatile buffers are purged: by group;
 * within a group first those of FIFO order, the oldest of them first, then
 * those of LIFO order, the youngest first (see iobuf/purgeable.h).
 *
 * It links in-core inodes. One that is linked must not go: a flag of its slot
 * keeps it, see inode.h. Any thread, at any time; the lock is a leaf.
 */
#ifndef BFS_PURGE_QUEUE_H
#define BFS_PURGE_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bfs_inode;
struct bfs_purge_queue;

/* 0; -ENOMEM; errors of eventfd(2). */
int bfs_purge_queue_create(struct bfs_purge_queue **ret_queue);
void bfs_purge_queue_destroy(struct bfs_purge_queue *queue);

/* An eventfd that is written when the first inode comes in; to be read by who
 * waits for that. */
int bfs_purge_queue_fd(const struct bfs_purge_queue *queue);

/*
 * Put a locked inode in, or put it where it belongs now.
 * state  volatile, with its group and order
 * since  when it became so, of bfs_purge_queue_moment()
 * bytes  that it holds
 */
void bfs_purge_queue_put(struct bfs_purge_queue *queue, struct bfs_inode *inode,
			 uint32_t state, uint64_t since, uint64_t bytes);

/* Take a locked inode out, if it is in. */
void bfs_purge_queue_remove(struct bfs_purge_queue *queue,
			    struct bfs_inode *inode);

/* The nodeid of the one to be purged next; 0: there is none. */
uint64_t bfs_purge_queue_next(struct bfs_purge_queue *queue);

/*
 * Around the work of purging one, from before bfs_purge_queue_next(). bytes:
 * that it gave back.
 */
void bfs_purge_queue_begin(struct bfs_purge_queue *queue);
void bfs_purge_queue_end(struct bfs_purge_queue *queue, uint64_t bytes);

/*
 * Wait for the end of what others are purging. True when one of them gave
 * memory back since *seen, which is then brought up to date; it begins as 0.
 * Not to be called with a lock held, nor between begin and end.
 */
bool bfs_purge_queue_wait(struct bfs_purge_queue *queue, uint64_t *seen);

/* Nanoseconds since boot, later than any moment before. */
uint64_t bfs_purge_queue_moment(struct bfs_purge_queue *queue);

/* How many are in, and their bytes. */
size_t bfs_purge_queue_count(const struct bfs_purge_queue *queue);
uint64_t bfs_purge_queue_bytes(const struct bfs_purge_queue *queue);

#endif
