/* SPDX-License-Identifier: MIT */
/*
 * ops_open.c - files that are opened, made and released: which way they go,
 * and how often that is counted when a request comes to a second worker.
 */
#include "ops.h"

#include "attempt.h"
#include "journal.h"

#include <errno.h>
#include <fcntl.h>

/* The request that this thread works on. */
static __thread struct {
	uint64_t unique;
	bool again; /* a worker before us may have done it */
} request;

bool bfs_request_begin(struct bfs_fs *fs, uint64_t unique)
{
	const uint64_t again = UINT64_C(1) << 63;

	request.again = unique & again;
	request.unique = unique & ~again;
	if (!request.again)
		fs->shared->newest_request = unique;
	bfs_journal_request(fs->journal, request.unique, request.again);
	return bfs_attempt_begin(fs->shared->attempts, request.unique,
				 request.again, fs->shared->crashed);
}

void bfs_request_end(struct bfs_fs *fs)
{
	bfs_journal_end(fs->journal);
	bfs_attempt_end();
}

/*
 * Has an earlier worker counted this request? The last one that changed an
 * inode is known from its slot, those before it from a table that is written
 * before the inode is unlocked.
 */
static bool is_counted(const struct bfs_inode *inode, struct bfs_fs *fs)
{
	if (!request.again)
		return false;
	return bfs_inode_has_counted(inode, request.unique) ||
	       fs->shared->counted[request.unique / 2 % BFS_COUNTED_MAX] ==
		       request.unique;
}

static void note_counted(struct bfs_fs *fs)
{
	fs->shared->counted[request.unique / 2 % BFS_COUNTED_MAX] =
		request.unique;
}

/* Choose the data path of an open and count it. Fills in fi. */
static int begin_open(struct bfs_file *file, struct fuse_file_info *fi)
{
	struct bfs_datapath path;
	bool plain;
	int r = bfs_file_datapath(file, fi->flags, &path);

	if (r < 0)
		return r;
	plain = bfs_datapath_is_plain(path);
	/* Of this file, and not of one that the request had made before. */
	if (is_counted(file->inode, file->fs) && file->inode->slot &&
	    file->inode->slot->opens)
		r = file->inode->slot->backing_id;
	else
		r = bfs_inode_add_open(file->fs->inodes, file->inode,
				       path.passthrough ? file->fd : -1, plain,
				       request.unique);
	if (r < 0)
		return r;
	note_counted(file->fs);
	fi->backing_id = path.passthrough ? r : 0;
	fi->direct_io = path.direct_io;
	fi->keep_cache = !path.passthrough && !path.direct_io &&
			 file->fs->shared->config.own_pool;
	fi->noflush = 1;
	fi->fh = !plain					? BFS_FH_ASKS
		 : (fi->flags & O_ACCMODE) == O_RDWR	? BFS_FH_PLAIN
							: BFS_FH_PLAIN_ONE_WAY;
	if (fi->fh == BFS_FH_PLAIN_ONE_WAY)
		file->inode->one_way++;
	if ((fi->flags & O_ACCMODE) != O_RDONLY)
		fi->fh |= BFS_FH_WRITES;
	return 0;
}

static void drop_open(struct bfs_fs *fs, struct bfs_inode *inode, uint64_t fh,
		      uint64_t unique)
{
	if (bfs_fh_path(fh) == BFS_FH_PLAIN_ONE_WAY && inode->one_way)
		inode->one_way--;
	bfs_inode_drop_open(fs->inodes, inode, bfs_fh_path(fh) != BFS_FH_ASKS, unique);
}

/* Then its names may have to go: see bfs_end_life(). */
static bool is_last_close(const struct bfs_inode *inode)
{
	return inode->slot && !inode->slot->opens &&
	       (inode->slot->flags & BFS_SLOT_LASTCLOSE);
}

static void end_open(struct bfs_fs *fs, uint64_t nodeid, uint64_t fh)
{
	struct bfs_inode *inode;
	bool last;

	if (!bfs_inode_is_known(fs->inodes, nodeid) ||
	    !(inode = bfs_inode_lock(fs->inodes, nodeid)))
		return;
	if (!is_counted(inode, fs))
		drop_open(fs, inode, fh, request.unique);
	note_counted(fs);
	last = is_last_close(inode);
	bfs_inode_unlock(fs->inodes, inode);
	if (last)
		bfs_end_life(fs, nodeid);
}

/* An open whose reply did not arrive is over: count that, whatever the request
 * counted before. */
static void undo_open(struct bfs_fs *fs, uint64_t nodeid, uint64_t fh)
{
	struct bfs_inode *inode = bfs_inode_lock(fs->inodes, nodeid);
	bool last;

	if (!inode)
		return;
	drop_open(fs, inode, fh, 0);
	last = is_last_close(inode);
	bfs_inode_unlock(fs->inodes, inode);
	if (last)
		bfs_end_life(fs, nodeid);
}

/* The pool file for data: its backing file has to be open for writing, except
 * where even the daemon may not (a read-only pool, a program that runs). */
static int open_data(struct bfs_fs *fs, uint64_t nodeid, int flags,
		     struct bfs_file *ret_file)
{
	int r = bfs_file_open(fs, nodeid, O_RDWR, ret_file);

	if ((flags & O_ACCMODE) == O_RDONLY && !(flags & O_TRUNC) &&
	    (r == -ETXTBSY || r == -EROFS || r == -EACCES))
		r = bfs_file_open(fs, nodeid, O_RDONLY, ret_file);
	return r;
}

static int truncate_open(struct bfs_file *file, struct bfs_writer writer,
			 bool *ret_killed)
{
	int r = bfs_file_truncate(file, 0);

	if (r == 0)
		*ret_killed = bfs_kill_privileges(file->fd, &writer);
	return r;
}

static int do_open(struct bfs_fs *fs, uint64_t nodeid, struct fuse_file_info *fi,
		   struct bfs_writer writer, bool *ret_killed)
{
	BFS_FILE struct bfs_file file = { 0 };
	int r = open_data(fs, nodeid, fi->flags, &file);

	/* Truncation comes last: an open that fails has changed nothing. */
	if (r < 0 || (r = begin_open(&file, fi)) < 0)
		return r;
	if ((fi->flags & O_TRUNC) &&
	    (r = truncate_open(&file, writer, ret_killed)) < 0)
		drop_open(fs, file.inode, fi->fh, 0);
	else
		bfs_file_note_life(&file);
	return r;
}

static void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct bfs_fs *fs = bfs_fs_of(req);
	bool killed = false;
	int r = do_open(fs, ino, fi, bfs_writer_by(req, fi), &killed);

	if (killed)
		bfs_tell_changed(fs, ino, BFS_CHANGED_ATTRIBUTES);
	if (r < 0) /* for a moment it was open */
		bfs_end_life(fs, ino);
	if (r < 0)
		fuse_reply_err(req, -r);
	else if (fuse_reply_open(req, fi) == -ENOENT) /* interrupted */
		undo_open(fs, ino, fi->fh);
}

/*
 * A directory with a capacity hands down a buffer whose length is all of it.
 * Who truncates what is there, or wants nothing to be there, will write from
 * the beginning: zeros are not to be left behind it.
 */
static void begin_at_length_0(struct bfs_file *file, struct bfs_entry *entry)
{
	if (entry->st.st_size > 0 && bfs_file_truncate(file, 0) == 0)
		entry->st.st_size = 0;
}

static int do_create(struct bfs_fs *fs, uint64_t parent, const char *name,
		     mode_t mode, struct bfs_owner owner,
		     struct bfs_entry *ret_entry, struct fuse_file_info *fi)
{
	BFS_FILE struct bfs_file file = { 0 };
	int r = bfs_create(fs, parent, name, mode, owner, ret_entry, &file);

	if (r == 0 && (fi->flags & (O_TRUNC | O_EXCL)))
		begin_at_length_0(&file, ret_entry);
	if (r == 0 && (r = begin_open(&file, fi)) == 0) {
		file.inode->slot->flags |= BFS_SLOT_NEW;
		bfs_file_note_life(&file);
	}
	if (r < 0 && file.inode) {
		bfs_unlink(fs, parent, name, 0);
		bfs_file_abandon(&file);
		bfs_node_forget(fs->nodes, ret_entry->nodeid, 1);
	}
	return r;
}

static int do_tmpfile(struct bfs_fs *fs, uint64_t parent, mode_t mode,
		      struct bfs_owner owner, struct bfs_entry *ret_entry,
		      struct fuse_file_info *fi)
{
	BFS_FILE struct bfs_file file = { 0 };
	int r = bfs_tmpfile(fs, parent, mode, owner, ret_entry, &file);

	if (r == 0 && (r = begin_open(&file, fi)) < 0) {
		bfs_file_abandon(&file);
		bfs_node_forget(fs->nodes, ret_entry->nodeid, 1);
	}
	if (r == 0)
		bfs_file_note_life(&file);
	return r;
}

/* Reply with a new file that is open; a reply that does not arrive undoes the
 * open and the lookup. */
static void reply_create(fuse_req_t req, int r, const struct bfs_entry *entry,
			 struct fuse_file_info *fi)
{
	struct bfs_fs *fs = bfs_fs_of(req);
	struct fuse_entry_param param;

	if (r < 0) {
		fuse_reply_err(req, -r);
		return;
	}
	param = bfs_entry_param(fs, entry);
	if (fuse_reply_create(req, &param, fi) == -ENOENT) {
		undo_open(fs, entry->nodeid, fi->fh);
		bfs_node_forget(fs->nodes, entry->nodeid, 1);
	}
}

static void op_tmpfile(fuse_req_t req, fuse_ino_t parent, mode_t mode,
		       struct fuse_file_info *fi)
{
	BFS_INTERRUPTIBLE(req);
	BFS_CALLER_UMASK(req);
	struct bfs_fs *fs = bfs_fs_of(req);
	struct bfs_entry entry;
	int r;

	do
		r = do_tmpfile(fs, parent, mode, bfs_caller(req), &entry, fi);
	while (bfs_make_room(fs, r));
	reply_create(req, r, &entry, fi);
}

static void op_create(fuse_req_t req, fuse_ino_t parent, const char *name,
		      mode_t mode, struct fuse_file_info *fi)
{
	BFS_INTERRUPTIBLE(req);
	BFS_CALLER_UMASK(req);
	struct bfs_fs *fs = bfs_fs_of(req);
	struct bfs_entry entry;
	int r;

	do
		r = do_create(fs, parent, name, mode, bfs_caller(req), &entry,
			      fi);
	while (bfs_make_room(fs, r));
	reply_create(req, r, &entry, fi);
}

static void op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct bfs_fs *fs = bfs_fs_of(req);

	end_open(fs, ino, fi->fh);
	fuse_reply_err(req, 0);
}

void bfs_ops_open(struct fuse_lowlevel_ops *ops)
{
	ops->open = op_open;
	ops->create = op_create;
	ops->tmpfile = op_tmpfile;
	ops->release = op_release;
}
