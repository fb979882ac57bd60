/* SPDX-License-Identifier: MIT */
/*
 * ops.h - the FUSE side: one static function an operation, which decodes,
 * calls the function that does it, and replies exactly once with no lock held.
 * Only ops_*.c and worker.c include a FUSE header.
 */
#ifndef BFS_OPS_H
#define BFS_OPS_H

#define FUSE_USE_VERSION 317
#include <fuse_lowlevel.h>

#include "purge.h"
#include "tree.h"

/* Each file of operations puts its own into the table. */
void bfs_ops_name(struct fuse_lowlevel_ops *ops);
void bfs_ops_open(struct fuse_lowlevel_ops *ops);
void bfs_ops_io(struct fuse_lowlevel_ops *ops);
void bfs_ops_dir(struct fuse_lowlevel_ops *ops);
void bfs_ops_xattr(struct fuse_lowlevel_ops *ops);

/* fuse_file_info.fh: nothing is kept for an open file but how it goes, and
 * whether it may write. */
enum {
	BFS_FH_ASKS = 0,
	BFS_FH_PLAIN = 1,
	BFS_FH_PLAIN_ONE_WAY = 2,
	BFS_FH_PATH_MASK = 3,
	BFS_FH_WRITES = 4,
};

static inline unsigned int bfs_fh_path(uint64_t fh)
{
	return fh & BFS_FH_PATH_MASK;
}

static inline struct bfs_fs *bfs_fs_of(fuse_req_t req)
{
	return fuse_req_userdata(req);
}

static inline struct bfs_owner bfs_caller(fuse_req_t req)
{
	const struct fuse_ctx *ctx = fuse_req_ctx(req);

	return (struct bfs_owner){ ctx->uid, ctx->gid, ctx->pid };
}

/*
 * A new entry's mode is the caller's umask's business, unless its directory has
 * a default access list: the pool's kernel decides, by the umask of the thread
 * that creates. BFS_CALLER_UMASK(req); holds to the end of the scope.
 */
mode_t bfs_begin_umask(fuse_req_t req);
void bfs_end_umask(const mode_t *unused);

#define BFS_CALLER_UMASK(req)                                                  \
	__attribute__((cleanup(bfs_end_umask), unused))                        \
	const mode_t bfs_umask_ = bfs_begin_umask(req)

/*
 * For how long the kernel may believe attributes. Stores through a mapping of
 * the pool file change what only the pool knows: they fill holes (st_blocks)
 * and move times.
 */
double bfs_attr_timeout(const struct bfs_fs *fs, const struct stat *st);

/* What the kernel is told of an entry, and for how long it may believe it. */
struct fuse_entry_param bfs_entry_param(const struct bfs_fs *fs,
					const struct bfs_entry *entry);

/* Reply with an entry, or with -r; a reply that does not arrive takes the
 * lookup back. */
void bfs_reply_entry(fuse_req_t req, int r, const struct bfs_entry *entry);

/* Who writes. And the same where the kernel knows better whether set-ID bits may
 * stay; libfuse tells from 3.18.3 on. */
static inline struct bfs_writer bfs_writer_of(fuse_req_t req)
{
	const struct fuse_ctx *ctx = fuse_req_ctx(req);

	return (struct bfs_writer){ ctx->uid, ctx->pid, ctx->uid != 0 };
}

static inline struct bfs_writer bfs_writer_by(fuse_req_t req,
					      const struct fuse_file_info *fi)
{
	struct bfs_writer writer = bfs_writer_of(req);

#ifdef HAVE_KILL_SUIDGID
	writer.kill_suidgid = fi->kill_suidgid;
#else
	(void)fi;
#endif
	return writer;
}

/* Tell the kernel what an operation changed that it does not expect of it. */
static inline void bfs_tell_changed(const struct bfs_fs *fs, uint64_t nodeid,
				    enum bfs_changed changed)
{
	if (changed != BFS_CHANGED_NOTHING)
		fs->notify.changed(fs, nodeid,
				   changed == BFS_CHANGED_BYTES &&
					   !fs->shared->passthrough &&
					   !fs->shared->io_uring);
}

/* What the kernel's page cache has not written yet comes before a change of the
 * buffer, or it would come after. Passthrough has no such pages. With io_uring
 * this thread could be the one that has to take them. */
static inline void bfs_flush_page_cache(const struct bfs_fs *fs, uint64_t nodeid)
{
	if (!fs->shared->passthrough && !fs->shared->io_uring)
		fs->notify.changed(fs, nodeid, true);
}

/*
 * Around what may allocate for long: a signal to the client that waits ends it
 * with EINTR, each step counts as progress and takes no memory that is not there,
 * and of very many at once some are refused with EAGAIN: others need threads too. BFS_INTERRUPTIBLE(req); holds to
 * the end of the scope.
 */
int bfs_may_go_on(void *req);
int bfs_begin_interruptible(void *req);
void bfs_end_interruptible(const int *unused);

#define BFS_INTERRUPTIBLE(req)                                                 \
	__attribute__((cleanup(bfs_end_interruptible), unused))                \
	const int bfs_interruptible_ = bfs_begin_interruptible(req)

/*
 * The request at hand, which a new worker may get a second time. The loop tells
 * its unique with bfs_request_begin(); false: three workers have crashed over it,
 * it is to be refused. Either way it ends with bfs_request_end(), when it
 * is answered.
 */
bool bfs_request_begin(struct bfs_fs *fs, uint64_t unique);
void bfs_request_end(struct bfs_fs *fs);

#endif
