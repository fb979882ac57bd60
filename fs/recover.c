/* SPDX-License-Identifier: MIT */
/*
 * recover.c - what a new worker does for the buffers of its predecessor.
 */
#include "fd.h"
#include "file_internal.h"
#include "log.h"
#include "purge.h"
#include "task.h"
#include "thread.h"
#include "walk.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>

/* A slot whose file is gone: it went with the last worker's mapping. */
static void drop_slot(struct bfs_fs *fs, uint64_t nodeid)
{
	BFS_FILE struct bfs_file file = { .fs = fs, .fd = -1 };

	if (!(file.inode = bfs_inode_lock(fs->inodes, nodeid)))
		return;
	bfs_purge_unqueue(fs, file.inode);
	bfs_task_unbind(fs, file.inode);
	bfs_file_drop_wired(&file);
	if (file.inode->slot)
		file.inode->slot->flags = 0;
}

/* What the slot is of, for a look at that; errors as bfs_file_open(). */
static int open_slot(struct bfs_fs *fs, uint64_t nodeid, int flags,
		     struct bfs_file *ret_file)
{
	int r = bfs_file_open(fs, nodeid, flags, ret_file);

	if (r == -ESTALE)
		drop_slot(fs, nodeid);
	return r;
}

/* The record is the commit: without a capacity on it, nothing happened. */
static void undo_allocation(void *context, uint64_t nodeid)
{
	struct bfs_fs *fs = context;
	BFS_FILE struct bfs_file file = { 0 };

	if (open_slot(fs, nodeid, O_RDWR, &file) < 0 || !file.inode->slot)
		return;
	if (file.record.spec.capacity == 0) {
		if (ftruncate(file.fd, 0) < 0)
			return;
		file.inode->slot->flags &= ~(uint32_t)BFS_SLOT_WIRED;
	}
	file.inode->slot->flags &= ~(uint32_t)BFS_SLOT_ALLOCATING;
}

/* Here too; but what it was before had contents. Opening it has undone what the
 * record says, and said so where it could not; what was set aside before the record
 * said anything is not needed. */
static void undo_conversion(void *context, uint64_t nodeid)
{
	struct bfs_fs *fs = context;
	BFS_FILE struct bfs_file file = { 0 };

	if (open_slot(fs, nodeid, O_RDWR, &file) < 0 || !file.inode->slot ||
	    (file.record.flags & BFS_RECORD_CONVERTING))
		return;
	bfs_aside_drop(&file);
	file.inode->slot->flags &= ~(uint32_t)BFS_SLOT_CONVERTING;
}

/* What the last worker counted, before anybody asks for more. */
static void count_again(void *context, uint64_t nodeid)
{
	struct bfs_fs *fs = context;
	BFS_FILE struct bfs_file file = { 0 };
	int r = open_slot(fs, nodeid, O_PATH | O_NOFOLLOW, &file);

	if (r < 0 || !file.inode->slot)
		return;
	/* As it was marked by who did not get that far. */
	if (!bfs_record_is_wired(&file.record))
		file.inode->slot->flags &= ~(uint32_t)BFS_SLOT_WIRED;
	if ((r = bfs_file_count_again(&file)) < 0)
		bfs_log(LOG_ERR, "a buffer is not counted again: %s",
			strerror(-r));
}

static void wire_again(void *context, uint64_t nodeid)
{
	struct bfs_fs *fs = context;
	BFS_FILE struct bfs_file file = { 0 };
	struct stat st;
	int r = open_slot(fs, nodeid, O_RDWR, &file);

	if (r == -ESTALE)
		return;
	/* Setting the length that it has wires what is not wired. */
	if (r == 0 && (r = bfs_file_stat(&file, &st)) == 0)
		r = bfs_file_truncate(&file, (uint64_t)st.st_size);
	if (r < 0)
		bfs_log(LOG_ERR, "a buffer could not be wired again: %s",
			strerror(-r));
}

/* Opening it does, and who opens it before is as good. */
static void end_conversion(struct bfs_fs *fs, uint64_t nodeid)
{
	BFS_FILE struct bfs_file file = { 0 };
	int r = bfs_file_open(fs, nodeid, O_RDWR, &file);

	if (r < 0)
		bfs_log(LOG_ERR, "a buffer's conversion is not undone: %s",
			strerror(-r));
}

/* What an adopted pool has of wired, bound and half converted buffers. */
static int take_up(void *context, const struct bfs_walk_entry *entry)
{
	struct bfs_fs *fs = context;
	BFS_FD int fd = -1;
	struct bfs_record record;
	bool is_wired, is_bound, is_marked;
	uint64_t nodeid;

	if (!bfs_file_found(entry, &fd, &record))
		return 0;
	is_wired = bfs_record_is_wired(&record) && entry->st.st_size > 0;
	is_bound = record.spec.task > IOBUF_TASK_KERNEL;
	is_marked = record.flags & BFS_RECORD_CONVERTING;
	if ((!is_wired && !is_bound && !is_marked) ||
	    bfs_node_lookup(fs->nodes, fd, "", &nodeid) < 0)
		return 0;
	if (is_marked)
		end_conversion(fs, nodeid);
	if (is_bound)
		bfs_task_bind_again(fs, nodeid);
	if (is_wired)
		wire_again(fs, nodeid);
	bfs_node_forget(fs->nodes, nodeid, 1);
	return 0;
}

/* What an adopted pool has that counts as its owner's. */
static int count_if_owned(void *context, const struct bfs_walk_entry *entry)
{
	struct bfs_fs *fs = context;
	BFS_FD int fd = -1;
	BFS_FILE struct bfs_file file = { 0 };
	struct bfs_record record;
	uint64_t nodeid;
	int r;

	if (!bfs_file_found(entry, &fd, &record) ||
	    !(bfs_record_is_fixed(&record) || bfs_record_is_wired(&record)) ||
	    bfs_node_lookup(fs->nodes, fd, "", &nodeid) < 0)
		return 0;
	if ((r = bfs_file_open_fd(fs, nodeid, &fd, &file)) == 0)
		r = bfs_file_count_owned(&file);
	if (r < 0)
		bfs_log(LOG_ERR, "a buffer does not count as its owner's: %s",
			strerror(-r));
	bfs_node_forget(fs->nodes, nodeid, 1);
	return 0;
}

static void *rewire(void *context)
{
	struct bfs_fs *fs = context;

	bfs_inode_each(fs->inodes, BFS_SLOT_WIRED, wire_again, fs);
	if (fs->shared->config.adopted_pool) {
		bfs_walk(fs->root_fd, take_up, fs);
		bfs_purge_adopt(fs);
	}
	return NULL;
}

void bfs_files_recover(struct bfs_fs *fs)
{
	struct bfs_shared *shared = fs->shared;

	bfs_inode_each(fs->inodes, BFS_SLOT_ALLOCATING, undo_allocation, fs);
	bfs_inode_each(fs->inodes, BFS_SLOT_CONVERTING, undo_conversion, fs);
	bfs_inode_each(fs->inodes, BFS_SLOT_WIRED | BFS_SLOT_CHARGED,
		       count_again, fs);
	if (fs->owners && shared->config.adopted_pool && !shared->counted_pool) {
		bfs_walk(fs->root_fd, count_if_owned, fs);
		shared->counted_pool = true;
	}
	bfs_purge_recover(fs);
}

void bfs_files_rewire(struct bfs_fs *fs)
{
	int r = bfs_thread_start(rewire, fs);

	if (r < 0)
		bfs_log(LOG_ERR, "wired buffers are not wired again: %s",
			strerror(-r));
}
