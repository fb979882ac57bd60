/* SPDX-License-Identifier: MIT */
/*
 * purge.h - purgeable states of buffers, and the queue of those that may be
 * purged.
 *
 * A buffer's state is in its record (iobuf/purgeable.h has the rules). A
 * volatile one is in the queue, and has a slot that says so, for the next
 * worker. How a buffer is purged, so that a worker may die at any point:
 *
 *   volatile --record--> empty, PURGING --discard, record--> empty
 *
 * Whoever finds a record that is PURGING discards again before anything else.
 *
 * Who changes a state and who purges hold the inode's lock: a buffer that is
 * nonvolatile is not purged, and one that was purged is empty as a whole.
 */
#ifndef BFS_PURGE_H
#define BFS_PURGE_H

#include "file.h"

/*
 * Set the purgeable state of a buffer, as iobuf_set_purgeable() does. Without
 * BFS_CHANGED_NOTHING the kernel has to be told, when the inode is unlocked.
 * 0; -EINVAL; -ENOSPC, -ENOMEM, and then it is still empty; -ENFILE.
 */
int bfs_file_set_purgeable(struct bfs_file *file, uint32_t control,
			   uint32_t *ret_old, enum bfs_changed *ret_changed);

/* The state of a buffer; 0 when it is not purgeable. */
uint32_t bfs_record_purgeable(const struct bfs_record *record);

/* After the record of a file was replaced: put it into the queue or take it
 * out. And take out a locked inode whose memory goes. */
void bfs_purge_requeue(struct bfs_file *file);
void bfs_purge_unqueue(struct bfs_fs *fs, struct bfs_inode *inode);

/*
 * Purge volatile buffers in their order, each as a whole, until `bytes` have
 * been given back or none is left. No lock may be held. Returns the bytes.
 */
uint64_t bfs_purge(struct bfs_fs *fs, uint64_t bytes);

/* Is there a buffer that may be purged? And the bytes of those that there are,
 * as of when they became volatile. Any thread, at any time. */
bool bfs_has_volatile(const struct bfs_fs *fs);
uint64_t bfs_volatile_bytes(const struct bfs_fs *fs);

/*
 * Around an operation that may need room in the pool:
 *
 *	do
 *		r = operation();
 *	while (bfs_make_room(fs, r));
 *
 * True when the operation failed for want of room (r is -ENOSPC, or -ENOMEM of
 * headroom.h) and volatile buffers were purged, just enough of them: it may
 * succeed now. How much it
 * needs, the operation itself tells by bfs_want_room() in its thread; else one
 * buffer at a time is purged. No lock may be held.
 */
bool bfs_make_room(struct bfs_fs *fs, int r);
void bfs_want_room(uint64_t bytes);

/*
 * What the next worker does first: put the volatile buffers into the queue
 * again, by what the slots tell, and finish what was begun. adopt: by what is
 * in the pool, where there are no slots of before; it may take a while, and
 * requests may be served meanwhile.
 */
void bfs_purge_recover(struct bfs_fs *fs);
void bfs_purge_adopt(struct bfs_fs *fs);

#endif
