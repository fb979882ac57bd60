/* SPDX-License-Identifier: MIT */
#include "file_internal.h"

#include "fd.h"
#include "log.h"
#include "purge.h"
#include "task.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/xattr.h>

/* Who converts a buffer has it locked: the mark of one that is not is of a daemon
 * that was killed with its worker, and the pool was adopted. */
static void end_conversion(struct bfs_file *file)
{
	const int flags = fcntl(file->fd, F_GETFL);
	int r;

	if (flags < 0 || (flags & O_PATH) || (flags & O_ACCMODE) != O_RDWR)
		return;
	if ((r = bfs_file_undo_conversion(file)) < 0)
		bfs_log(LOG_ERR, "a buffer is neither what it was nor what it "
			"was to be: %s", strerror(-r));
}

int bfs_file_open_fd(struct bfs_fs *fs, uint64_t nodeid, int *fd,
		     struct bfs_file *ret_file)
{
	struct bfs_file file = { .fs = fs, .fd = -1 };
	int r;

	if (!(file.inode = bfs_inode_lock(fs->inodes, nodeid)))
		return -ENOMEM;
	if ((r = bfs_record_load_fd(*fd, &file.record)) < 0) {
		bfs_inode_unlock(fs->inodes, file.inode);
		return r;
	}
	file.fd = bfs_fd_take(fd);
	if (file.record.flags & BFS_RECORD_CONVERTING)
		end_conversion(&file);
	*ret_file = file;
	return 0;
}

int bfs_file_open(struct bfs_fs *fs, uint64_t nodeid, int flags,
		  struct bfs_file *ret_file)
{
	BFS_FD int fd = bfs_node_open(fs->nodes, nodeid, flags);

	return fd < 0 ? fd : bfs_file_open_fd(fs, nodeid, &fd, ret_file);
}

void bfs_file_close(struct bfs_file *file)
{
	if (!file->inode)
		return;
	bfs_inode_unlock(file->fs->inodes, file->inode);
	if (file->fd >= 0)
		close(file->fd);
	*file = (struct bfs_file){ 0 };
}

void bfs_record_apply(const struct bfs_record *record, struct stat *st)
{
	if (S_ISREG(st->st_mode) && bfs_record_is_fixed(record))
		st->st_size = (off_t)record->length;
}

int bfs_file_stat(const struct bfs_file *file, struct stat *ret_st)
{
	if (fstat(file->fd, ret_st) < 0)
		return -errno;
	bfs_record_apply(&file->record, ret_st);
	return 0;
}

bool bfs_file_is_empty(const struct bfs_file *file, const struct stat *st)
{
	return !bfs_record_is_fixed(&file->record) && st->st_size == 0 &&
	       st->st_blocks == 0;
}

/* Is there something that a write has to clear? */
static bool has_set_id(int fd, const struct stat *st)
{
	return (st->st_mode & S_ISUID) ||
	       (st->st_mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP) ||
	       fgetxattr(fd, "security.capability", NULL, 0) > 0;
}

int bfs_file_datapath(const struct bfs_file *file, int flags,
		      struct bfs_datapath *ret_path)
{
	const int access = flags & O_ACCMODE;
	struct stat st;
	bool empty_soon;

	if (fstat(file->fd, &st) < 0)
		return -errno;
	empty_soon = (flags & O_TRUNC) && !bfs_record_is_fixed(&file->record);
	*ret_path = bfs_datapath_choose(
		file->fs->shared->passthrough, file->record.spec.options,
		bfs_record_is_fixed(&file->record),
		empty_soon || bfs_file_is_empty(file, &st), access == O_WRONLY,
		access != O_RDONLY && has_set_id(file->fd, &st));
	return 0;
}

/* Replace the record on the file, then the one in memory. */
int bfs_file_store(struct bfs_file *file, const struct bfs_record *record)
{
	const bool queued = file->inode->purge.state;
	int r = bfs_record_store(file->fd, record);

	if (r < 0)
		return r;
	file->record = *record;
	file->record.present = true;
	if (queued || record->purgeable)
		bfs_purge_requeue(file);
	return 0;
}

bool bfs_file_found(const struct bfs_walk_entry *entry, int *ret_fd,
		    struct bfs_record *ret_record)
{
	BFS_FD int fd = -1;

	if (!S_ISREG(entry->st.st_mode))
		return false;
	fd = openat(entry->dir_fd, entry->name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || bfs_record_load_path_fd(fd, ret_record) < 0)
		return false;
	*ret_fd = bfs_fd_take(&fd);
	return true;
}

void bfs_file_note_life(struct bfs_file *file)
{
	struct bfs_slot *slot = file->inode->slot;

	if (file->fs->shared->config.reads_pool)
		return; /* others may have it open */
	if (slot && file->record.spec.life != IOBUF_LIFE_LASTCLOSE)
		slot->flags &= ~(uint32_t)BFS_SLOT_LASTCLOSE;
	else if (slot && slot->opens)
		slot->flags |= BFS_SLOT_LASTCLOSE;
}

void bfs_file_abandon(struct bfs_file *file)
{
	struct bfs_slot *slot = file->inode->slot;

	if (!slot)
		return;
	bfs_file_drop_wired(file);
	bfs_purge_unqueue(file->fs, file->inode);
	bfs_task_unbind(file->fs, file->inode);
	atomic_store(&slot->counts, 0);
	slot->flags = 0;
}

/*
 * The kernel forgets an unlinked inode only when nothing refers to it: no open
 * file, no mapping. A RELEASE that is still on its way finds nothing to do.
 */
void bfs_file_forget(struct bfs_fs *fs, uint64_t nodeid)
{
	BFS_FILE struct bfs_file file = { .fs = fs, .fd = -1 };
	struct stat st;
	int r;

	if (!bfs_inode_is_known(fs->inodes, nodeid))
		return;
	r = bfs_file_open(fs, nodeid, O_PATH | O_NOFOLLOW, &file);
	/* Nothing held the file: a wired buffer of no bytes has no mapping. */
	if (r == -ESTALE &&
	    (file.inode = bfs_inode_lock(fs->inodes, nodeid)) != NULL)
		bfs_file_abandon(&file);
	else if (r == 0 && fstat(file.fd, &st) == 0 && st.st_nlink == 0)
		bfs_file_abandon(&file);
}
