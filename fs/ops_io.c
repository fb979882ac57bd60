/* SPDX-License-Identifier: MIT */
#include "ops.h"

#include "fd.h"
#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

/* fuse_file_info.fh: nothing is kept for an open file but how it goes. */
enum { FH_ASKS = 0, FH_PLAIN = 1, FH_PLAIN_ONE_WAY = 2 };

/* The kernel's largest read: max_pages of 16 bits, in practice 256 pages. */
#define BFS_READ_MAX ((size_t)16 << 20)

/* The request that this thread works on. */
static __thread struct {
	uint64_t unique;
	bool again; /* a worker before us may have done it */
} request;

/* Count the workers that got it: one that kills them must not go on. */
static bool is_poison(struct bfs_fs *fs)
{
	enum { ATTEMPTS_MAX = 3 };
	struct bfs_attempts *a =
		&fs->shared->attempts[request.unique / 2 % BFS_COUNTED_MAX];

	if (a->unique != request.unique)
		*a = (struct bfs_attempts){ request.unique, 0 };
	return ++a->count >= ATTEMPTS_MAX;
}

bool bfs_request_begin(struct bfs_fs *fs, uint64_t unique)
{
	const uint64_t again = UINT64_C(1) << 63;

	request.again = unique & again;
	request.unique = unique & ~again;
	return !request.again || !is_poison(fs);
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
	if (is_counted(file->inode, file->fs))
		r = file->inode->slot ? file->inode->slot->backing_id : -EIO;
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
	fi->fh = !plain					? FH_ASKS
		 : (fi->flags & O_ACCMODE) == O_RDWR	? FH_PLAIN
							: FH_PLAIN_ONE_WAY;
	if (fi->fh == FH_PLAIN_ONE_WAY)
		file->inode->one_way++;
	return 0;
}

static void drop_open(struct bfs_fs *fs, struct bfs_inode *inode, uint64_t fh,
		      uint64_t unique)
{
	if (fh == FH_PLAIN_ONE_WAY && inode->one_way)
		inode->one_way--;
	bfs_inode_drop_open(fs->inodes, inode, fh != FH_ASKS, unique);
}

static void end_open(struct bfs_fs *fs, uint64_t nodeid, uint64_t fh)
{
	struct bfs_inode *inode;

	if (!bfs_inode_is_known(fs->inodes, nodeid) ||
	    !(inode = bfs_inode_lock(fs->inodes, nodeid)))
		return;
	if (!is_counted(inode, fs))
		drop_open(fs, inode, fh, request.unique);
	note_counted(fs);
	bfs_inode_unlock(fs->inodes, inode);
}

/* An open whose reply did not arrive is over: count that, whatever the request
 * counted before. */
static void undo_open(struct bfs_fs *fs, uint64_t nodeid, uint64_t fh)
{
	struct bfs_inode *inode = bfs_inode_lock(fs->inodes, nodeid);

	if (!inode)
		return;
	drop_open(fs, inode, fh, 0);
	bfs_inode_unlock(fs->inodes, inode);
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

/* What an operation changed that the kernel does not expect of it. */
static void refresh_attributes(struct bfs_fs *fs, uint64_t nodeid, bool changed)
{
	if (changed)
		fuse_lowlevel_notify_inval_inode(fs->session, nodeid, -1, 0);
}

static struct bfs_writer writer_of(fuse_req_t req)
{
	const struct fuse_ctx *ctx = fuse_req_ctx(req);

	return (struct bfs_writer){ ctx->uid, ctx->pid, ctx->uid != 0 };
}

/* The same where the kernel knows better; libfuse tells from 3.18.3 on. */
static struct bfs_writer writer_by(fuse_req_t req,
				   const struct fuse_file_info *fi)
{
	struct bfs_writer writer = writer_of(req);

#ifdef HAVE_KILL_SUIDGID
	writer.kill_suidgid = fi->kill_suidgid;
#else
	(void)fi;
#endif
	return writer;
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
	return r;
}

static void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct bfs_fs *fs = bfs_fs_of(req);
	bool killed = false;
	int r = do_open(fs, ino, fi, writer_by(req, fi), &killed);

	refresh_attributes(fs, ino, killed);
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
	if (r == 0 && (r = begin_open(&file, fi)) == 0)
		file.inode->slot->flags |= BFS_SLOT_NEW;
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
	struct bfs_entry entry;
	int r = do_tmpfile(bfs_fs_of(req), parent, mode, bfs_caller(req),
			   &entry, fi);

	reply_create(req, r, &entry, fi);
}

static void op_create(fuse_req_t req, fuse_ino_t parent, const char *name,
		      mode_t mode, struct fuse_file_info *fi)
{
	BFS_INTERRUPTIBLE(req);
	BFS_CALLER_UMASK(req);
	struct bfs_entry entry;
	int r = do_create(bfs_fs_of(req), parent, name, mode, bfs_caller(req),
			  &entry, fi);

	reply_create(req, r, &entry, fi);
}

static void op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct bfs_fs *fs = bfs_fs_of(req);

	end_open(fs, ino, fi->fh);
	fuse_reply_err(req, 0);
}

static pthread_key_t reply_buffer_key;

static void make_reply_buffer_key(void)
{
	pthread_key_create(&reply_buffer_key, free);
}

/* A buffer of its thread's, as large as a read can be; it ends with it. */
static void *reply_buffer(size_t size)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	void *buffer;

	if (size > BFS_READ_MAX)
		return NULL;
	pthread_once(&once, make_reply_buffer_key);
	buffer = pthread_getspecific(reply_buffer_key);
	if (!buffer && (buffer = malloc(BFS_READ_MAX)))
		pthread_setspecific(reply_buffer_key, buffer);
	return buffer;
}

/*
 * splice(2) and sendfile(2) read a file with FOPEN_DIRECT_IO through the page
 * cache all the same (a read that names no lock owner), and what is there stays
 * there, whatever mappings of the pool file store afterwards. Rather than old
 * bytes they get the EINVAL of a file that cannot be spliced, and read(2).
 */
static bool fills_page_cache(struct bfs_fs *fs, uint64_t nodeid)
{
	BFS_FD int fd = bfs_node_open(fs->nodes, nodeid, O_PATH | O_NOFOLLOW);
	struct bfs_record record;

	return fs->shared->passthrough && fd >= 0 &&
	       bfs_record_load_fd(fd, &record) == 0 &&
	       (record.spec.options & IOBUF_SHARING_MASK) != IOBUF_UNSHARED;
}

static void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
		    struct fuse_file_info *fi)
{
	struct bfs_fs *fs = bfs_fs_of(req);
	void *bytes = reply_buffer(size);
	size_t done = 0;
	int r;

	if (!bytes)
		r = -ENOMEM;
	else if (fi->fh == FH_ASKS && !fi->lock_owner &&
		 fills_page_cache(fs, ino))
		r = -EINVAL;
	else
		r = bfs_file_read(fs, ino, (uint64_t)offset, bytes, size,
				  &done);
	if (r < 0)
		fuse_reply_err(req, -r);
	else
		fuse_reply_buf(req, bytes, done);
}

/* An O_APPEND write goes to the end: the kernel's idea of it can be stale
 * where the daemon moves the length, and is its own on the cached path. */
static bool appends(const struct bfs_file *file, const struct fuse_file_info *fi)
{
	struct bfs_datapath path;

	return (fi->flags & O_APPEND) &&
	       bfs_file_datapath(file, fi->flags, &path) == 0 &&
	       (path.passthrough || path.direct_io);
}

static int do_write(struct bfs_fs *fs, uint64_t nodeid, const char *bytes,
		    size_t size, uint64_t offset, struct fuse_file_info *fi,
		    struct bfs_writer writer, size_t *ret_size, bool *ret_killed)
{
	BFS_FILE struct bfs_file file = { 0 };
	int r = bfs_file_open(fs, nodeid, O_RDWR, &file);

	if (r < 0)
		return r;
	r = bfs_file_write(&file, offset, appends(&file, fi), bytes, size,
			   ret_size);
	if (r == 0)
		*ret_killed = bfs_kill_privileges(file.fd, &writer);
	return r;
}

static void op_write(fuse_req_t req, fuse_ino_t ino, const char *bytes,
		     size_t size, off_t offset, struct fuse_file_info *fi)
{
	struct bfs_fs *fs = bfs_fs_of(req);
	size_t done = 0;
	bool killed = false;
	int r = do_write(fs, ino, bytes, size, (uint64_t)offset, fi,
			 writer_by(req, fi), &done, &killed);

	refresh_attributes(fs, ino, killed);
	if (r < 0)
		fuse_reply_err(req, -r);
	else
		fuse_reply_write(req, done);
}

static int do_fallocate(struct bfs_fs *fs, uint64_t nodeid, int mode,
			uint64_t offset, uint64_t size, struct bfs_writer writer,
			bool *ret_killed)
{
	BFS_FILE struct bfs_file file = { 0 };
	int r = bfs_file_open(fs, nodeid, O_RDWR, &file);

	if (r < 0 || (r = bfs_file_allocate(&file, mode, offset, size)) < 0)
		return r;
	*ret_killed = bfs_kill_privileges(file.fd, &writer);
	return 0;
}

static void op_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t offset,
			 off_t size, struct fuse_file_info *fi)
{
	BFS_INTERRUPTIBLE(req);
	struct bfs_fs *fs = bfs_fs_of(req);
	bool killed = false;
	int r = do_fallocate(fs, ino, mode, (uint64_t)offset, (uint64_t)size,
			     writer_of(req), &killed);

	(void)fi;
	refresh_attributes(fs, ino, killed);
	fuse_reply_err(req, -r);
}

static bool kill_privileges_of(struct bfs_fs *fs, uint64_t nodeid,
			       struct bfs_writer writer)
{
	BFS_FD int fd = bfs_node_open(fs->nodes, nodeid, O_PATH | O_NOFOLLOW);

	return fd >= 0 && bfs_kill_privileges(fd, &writer);
}

static void op_copy_file_range(fuse_req_t req, fuse_ino_t from, off_t from_offset,
			       struct fuse_file_info *from_fi, fuse_ino_t to,
			       off_t to_offset, struct fuse_file_info *to_fi,
			       size_t size, int flags)
{
	struct bfs_fs *fs = bfs_fs_of(req);
	size_t done = 0;
	int r = bfs_file_copy(fs, from, (uint64_t)from_offset, to,
			      (uint64_t)to_offset, size, &done);

	(void)from_fi;
	(void)to_fi;
	(void)flags; /* none are defined */
	if (r == 0 && done)
		refresh_attributes(fs, to,
				   kill_privileges_of(fs, to, writer_of(req)));
	if (r < 0)
		fuse_reply_err(req, -r);
	else
		fuse_reply_write(req, done);
}

static void op_lseek(fuse_req_t req, fuse_ino_t ino, off_t offset, int whence,
		     struct fuse_file_info *fi)
{
	uint64_t found = 0;
	int r = bfs_file_seek(bfs_fs_of(req), ino, offset, whence, &found);

	(void)fi;
	if (r < 0)
		fuse_reply_err(req, -r);
	else
		fuse_reply_lseek(req, (off_t)found);
}

static void op_fsync(fuse_req_t req, fuse_ino_t ino, int datasync,
		     struct fuse_file_info *fi)
{
	(void)datasync;
	(void)fi;
	/* A pool of memory has nothing behind it but the memory. */
	fuse_reply_err(req, -bfs_file_sync(bfs_fs_of(req), ino));
}

static void op_statfs(fuse_req_t req, fuse_ino_t ino)
{
	struct statvfs st;

	(void)ino;
	if (fstatvfs(bfs_fs_of(req)->root_fd, &st) < 0)
		fuse_reply_err(req, errno);
	else
		fuse_reply_statfs(req, &st);
}

void bfs_ops_io(struct fuse_lowlevel_ops *ops)
{
	ops->open = op_open;
	ops->create = op_create;
	ops->tmpfile = op_tmpfile;
	ops->lseek = op_lseek;
	ops->copy_file_range = op_copy_file_range;
	ops->release = op_release;
	ops->read = op_read;
	ops->write = op_write;
	ops->fallocate = op_fallocate;
	ops->fsync = op_fsync;
	ops->statfs = op_statfs;
}
