/* SPDX-License-Identifier: MIT */
/*
 * ops_io.c - what is done to the bytes of a file that is open.
 */
#include "ops.h"

#include "fd.h"

#include <iobuf/ioctl.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

/* The kernel's largest read: max_pages of 16 bits, in practice 256 pages. */
#define BFS_READ_MAX ((size_t)16 << 20)

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
	else if (bfs_fh_path(fi->fh) == BFS_FH_ASKS && !fi->lock_owner &&
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
	int r;

	do
		r = do_write(fs, ino, bytes, size, (uint64_t)offset, fi,
			     bfs_writer_by(req, fi), &done, &killed);
	while (bfs_make_room(fs, r));
	if (killed)
		bfs_tell_changed(fs, ino, BFS_CHANGED_ATTRIBUTES);
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
	int r;

	(void)fi;
	do
		r = do_fallocate(fs, ino, mode, (uint64_t)offset,
				 (uint64_t)size, bfs_writer_of(req), &killed);
	while (bfs_make_room(fs, r));
	if (killed)
		bfs_tell_changed(fs, ino, BFS_CHANGED_ATTRIBUTES);
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
	int r;

	(void)from_fi;
	(void)to_fi;
	(void)flags; /* none are defined */
	do
		r = bfs_file_copy(fs, from, (uint64_t)from_offset, to,
				  (uint64_t)to_offset, size, &done);
	while (bfs_make_room(fs, r));
	if (r == 0 && done &&
	    kill_privileges_of(fs, to, bfs_writer_of(req)))
		bfs_tell_changed(fs, to, BFS_CHANGED_ATTRIBUTES);
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

static int set_purgeable(struct bfs_fs *fs, uint64_t nodeid, uint32_t control,
			 uint32_t *ret_old, enum bfs_changed *ret_changed)
{
	BFS_FILE struct bfs_file file = { 0 };
	int r = bfs_file_open(fs, nodeid, O_RDWR, &file);

	return r < 0 ? r : bfs_file_set_purgeable(&file, control, ret_old,
						  ret_changed);
}

static int do_set_purgeable(struct bfs_fs *fs, uint64_t nodeid, bool may_write,
			    uint32_t *state)
{
	enum bfs_changed changed = BFS_CHANGED_NOTHING;
	uint32_t old = 0;
	int r;

	if (!may_write && *state != IOBUF_PURGEABLE_KEEP_CURRENT)
		return -EBADF;
	bfs_flush_page_cache(fs, nodeid);
	do
		r = set_purgeable(fs, nodeid, *state, &old, &changed);
	while (bfs_make_room(fs, r));
	if (r < 0)
		return r;
	bfs_tell_changed(fs, nodeid, changed);
	*state = old;
	return 0;
}

static void op_ioctl(fuse_req_t req, fuse_ino_t ino, unsigned int command,
		     void *argument, struct fuse_file_info *fi,
		     unsigned int flags, const void *in, size_t in_size,
		     size_t out_size)
{
	uint32_t state;
	int r = -ENOTTY;

	(void)argument;
	if (command == IOBUF_IOC_SET_PURGEABLE && !(flags & FUSE_IOCTL_DIR) &&
	    in_size >= sizeof(state) && out_size >= sizeof(state)) {
		memcpy(&state, in, sizeof(state));
		r = do_set_purgeable(bfs_fs_of(req), ino, fi->fh & BFS_FH_WRITES,
				     &state);
	}
	if (r < 0)
		fuse_reply_err(req, -r);
	else
		fuse_reply_ioctl(req, 0, &state, sizeof(state));
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
	ops->lseek = op_lseek;
	ops->copy_file_range = op_copy_file_range;
	ops->read = op_read;
	ops->write = op_write;
	ops->fallocate = op_fallocate;
	ops->fsync = op_fsync;
	ops->ioctl = op_ioctl;
	ops->statfs = op_statfs;
}
