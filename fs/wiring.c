/* SPDX-License-Identifier: MIT */
/*
 * wiring.c - memory that stays locked: the descriptors that hold it, and how
 * much of it the mount allows.
 */
#include "file_internal.h"

#include "log.h"

#include <assert.h>
#include <errno.h>

static int charge_limit(struct bfs_limit *limit, uint64_t bytes)
{
	uint64_t used = atomic_fetch_add(&limit->used, bytes);

	if (!limit->max || (used <= limit->max && bytes <= limit->max - used))
		return 0;
	atomic_fetch_sub(&limit->used, bytes);
	bfs_log_refusal("%llu bytes more are over the mount's limit: %llu of %llu "
			"are in use; raise -o %s=",
			(unsigned long long)bytes, (unsigned long long)used,
			(unsigned long long)limit->max, limit->name);
	return -ENOMEM;
}

/* Count what the buffer will have wired; -ENOMEM over a limit. */
int bfs_file_charge(struct bfs_file *file, const struct bfs_record *record,
		    uint64_t bytes)
{
	struct bfs_fs *fs = file->fs;
	struct bfs_inode *inode = file->inode;
	uint64_t more = bytes > inode->charged ? bytes - inode->charged : 0;
	int r = more ? charge_limit(&fs->wired, more) : 0;

	if (r == 0 && bfs_record_is_physical(record) && more &&
	    (r = charge_limit(&fs->contiguous, more)) < 0)
		atomic_fetch_sub(&fs->wired.used, more);
	if (r == 0)
		inode->charged += more;
	return r;
}

void bfs_file_uncharge(struct bfs_file *file, const struct bfs_record *record,
		       uint64_t down_to)
{
	struct bfs_inode *inode = file->inode;
	uint64_t less = inode->charged > down_to ? inode->charged - down_to : 0;

	atomic_fetch_sub(&file->fs->wired.used, less);
	if (bfs_record_is_physical(record))
		atomic_fetch_sub(&file->fs->contiguous.used, less);
	inode->charged -= less;
}

/* Keep the memory locked, by the descriptor's mapping alone. */
void bfs_file_keep_wired(struct bfs_file *file, struct iobuf *buffer)
{
	assert(!file->inode->wired);
	iobuf_set_fd(buffer, -1);
	file->inode->wired = buffer;
	file->inode->slot->flags |= BFS_SLOT_WIRED;
}

/* An empty buffer may have a descriptor from when it was elastic and wired:
 * that one must not go on for what the buffer becomes. */
void bfs_file_drop_wired(struct bfs_file *file)
{
	iobuf_release(file->inode->wired);
	file->inode->wired = NULL;
	bfs_file_uncharge(file, &file->record, 0);
	if (file->inode->slot)
		file->inode->slot->flags &= ~(uint32_t)BFS_SLOT_WIRED;
}

/*
 * A descriptor of the buffer as it is, with the file lent to it: the one that
 * keeps it wired, or one for this operation.
 */
int bfs_file_borrow_buffer(struct bfs_file *file, struct iobuf **ret_buffer)
{
	struct iobuf *buffer = file->inode->wired;
	struct stat st;
	int r;

	if (buffer) {
		iobuf_set_fd(buffer, file->fd);
		*ret_buffer = iobuf_retain(buffer);
		return 0;
	}
	if ((r = bfs_file_stat(file, &st)) < 0)
		return r;
	return iobuf_attach(&file->record.spec, file->fd, (uint64_t)st.st_size,
			    ret_buffer);
}

/* Wire what an earlier worker had wired, or nothing yet. */
static int wire(struct bfs_file *file, struct iobuf *buffer)
{
	int r = bfs_inode_take_slot(file->fs->inodes, file->inode);

	if (r == 0)
		r = bfs_file_charge(file, &file->record,
				    iobuf_get_capacity(buffer));
	if (r < 0)
		return r;
	if ((r = iobuf_prepare(buffer)) < 0)
		bfs_file_uncharge(file, &file->record, 0);
	return r;
}

/* The same, but a wired buffer that has none to keep it wired gets one. */
int bfs_file_get_buffer(struct bfs_file *file, struct iobuf **ret_buffer)
{
	struct iobuf *buffer;
	int r = bfs_file_borrow_buffer(file, &buffer);

	if (r < 0)
		return r;
	if (bfs_record_is_wired(&file->record) && buffer != file->inode->wired) {
		r = wire(file, buffer);
		if (r < 0) {
			iobuf_release(buffer);
			return r;
		}
		bfs_file_keep_wired(file, iobuf_retain(buffer));
		iobuf_set_fd(buffer, file->fd);
	}
	*ret_buffer = buffer;
	return 0;
}

/* Record a length that moved, and take the file back. */
int bfs_file_put_buffer(struct bfs_file *file, struct iobuf *buffer)
{
	struct bfs_record record = file->record;
	int r = 0;

	record.length = iobuf_get_length(buffer);
	if (bfs_record_is_fixed(&record) && record.length != file->record.length &&
	    (r = bfs_file_store(file, &record)) < 0)
		iobuf_set_length(buffer, file->record.length);
	if (buffer == file->inode->wired)
		iobuf_set_fd(buffer, -1);
	iobuf_release(buffer);
	return r;
}
