/* SPDX-License-Identifier: MIT */
/*
 * wiring.c - memory that stays locked: the descriptors that hold it.
 */
#include "file_internal.h"

#include <assert.h>

/* Keep the memory locked, by the descriptor's mapping alone. */
void bfs_file_keep_wired(struct bfs_file *file, struct iobuf *buffer)
{
	assert(!file->inode->wired);
	iobuf_set_fd(buffer, -1);
	file->inode->wired = buffer;
	file->inode->slot->flags |= BFS_SLOT_WIRED;
}

void bfs_file_unwire(struct bfs_file *file)
{
	iobuf_release(file->inode->wired);
	file->inode->wired = NULL;
	if (file->inode->slot)
		file->inode->slot->flags &= ~(uint32_t)BFS_SLOT_WIRED;
}

/* An empty buffer may have a descriptor from when it was elastic and wired:
 * that one must not go on for what the buffer becomes. */
void bfs_file_drop_wired(struct bfs_file *file)
{
	bfs_file_unwire(file);
	bfs_file_uncharge(file, &file->record, 0);
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
	const uint64_t owned = file->inode->charged.owned;
	int r = bfs_inode_take_slot(file->fs->inodes, file->inode);

	if (r == 0)
		r = bfs_file_charge(file, &file->record,
				    iobuf_get_capacity(buffer));
	if (r < 0)
		return r;
	if ((r = iobuf_prepare(buffer)) < 0)
		bfs_file_uncharge_wired(file, owned);
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
