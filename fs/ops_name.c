/* SPDX-License-Identifier: MIT */
#include "ops.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

mode_t bfs_begin_umask(fuse_req_t req)
{
	static __thread bool own_umask;

	/* Threads share a umask until they ask for one of their own. */
	if (!own_umask)
		own_umask = unshare(CLONE_FS) == 0;
	return umask(fuse_req_ctx(req)->umask & 0777);
}

void bfs_end_umask(const mode_t *unused)
{
	(void)unused;
	umask(0);
}

double bfs_attr_timeout(const struct bfs_fs *fs, const struct stat *st)
{
	enum { BLOCK_BYTES = 512 };
	const double moment = 1.0;

	if (!S_ISREG(st->st_mode) || fs->timeout_s < moment)
		return fs->timeout_s;
	return st->st_blocks * BLOCK_BYTES < st->st_size ? 0 : moment;
}

struct fuse_entry_param bfs_entry_param(const struct bfs_fs *fs,
					const struct bfs_entry *entry)
{
	/* The kernel is told when a name goes, as soon as it has the directory's
	 * lock for that, which a client can keep from it. */
	const double moment = 0.05;

	return (struct fuse_entry_param){
		.ino = entry->nodeid,
		.attr = entry->st,
		.attr_timeout = bfs_attr_timeout(fs, &entry->st),
		.entry_timeout = entry->fleeting && fs->timeout_s > moment
					 ? moment
					 : fs->timeout_s,
	};
}

void bfs_reply_entry(fuse_req_t req, int r, const struct bfs_entry *entry)
{
	struct bfs_fs *fs = bfs_fs_of(req);
	struct fuse_entry_param param;

	if (r < 0) {
		fuse_reply_err(req, -r);
		return;
	}
	param = bfs_entry_param(fs, entry);
	if (fuse_reply_entry(req, &param) < 0)
		bfs_node_forget(fs->nodes, entry->nodeid, 1);
}

static void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct bfs_fs *fs = bfs_fs_of(req);
	/* A nodeid of 0: the name is known not to be there. */
	struct bfs_entry entry = { 0 };
	/* Dots: somebody came by a handle, and the kernel knows no name. */
	int r = !strcmp(name, ".")    ? bfs_lookup_self(fs, parent, &entry)
		: !strcmp(name, "..") ? bfs_lookup_parent(fs, parent, &entry)
				      : bfs_lookup(fs, parent, name, &entry);

	if (r == -ENOENT)
		r = 0;
	bfs_reply_entry(req, r, &entry);
}

static void forget_one(struct bfs_fs *fs, uint64_t nodeid, uint64_t count)
{
	bfs_file_forget(fs, nodeid);
	bfs_node_forget(fs->nodes, nodeid, count);
}

static void op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t count)
{
	forget_one(bfs_fs_of(req), ino, count);
	fuse_reply_none(req);
}

static void op_forget_multi(fuse_req_t req, size_t count,
			    struct fuse_forget_data *forgets)
{
	for (size_t i = 0; i < count; i++)
		forget_one(bfs_fs_of(req), forgets[i].ino, forgets[i].nlookup);
	fuse_reply_none(req);
}

static void reply_attr(fuse_req_t req, int r, const struct stat *st)
{
	if (r < 0)
		fuse_reply_err(req, -r);
	else
		fuse_reply_attr(req, st, bfs_attr_timeout(bfs_fs_of(req), st));
}

static void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct stat st;
	int r = bfs_getattr(bfs_fs_of(req), ino, &st);

	(void)fi;
	reply_attr(req, r, &st);
}

#ifdef HAVE_FUSE_STATX
/* Asked for where the time of birth is wanted. */
static void op_statx(fuse_req_t req, fuse_ino_t ino, int flags, int mask,
		     struct fuse_file_info *fi)
{
	struct bfs_fs *fs = bfs_fs_of(req);
	struct statx stx;
	struct stat st;
	int r = bfs_statx(fs, ino, (unsigned int)mask, &stx, &st);

	(void)flags;
	(void)fi;
	if (r < 0)
		fuse_reply_err(req, -r);
	else
		fuse_reply_statx(req, 0, &stx, bfs_attr_timeout(fs, &st));
}
#endif

/* A time to set, to leave, or now. */
static struct timespec time_of(int to_set, int given, int now,
			       struct timespec value)
{
	if (to_set & now)
		return (struct timespec){ .tv_nsec = UTIME_NOW };
	return to_set & given ? value : (struct timespec){ .tv_nsec = UTIME_OMIT };
}

static void op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr,
		       int to_set, struct fuse_file_info *fi)
{
	const int times = FUSE_SET_ATTR_ATIME | FUSE_SET_ATTR_MTIME |
			  FUSE_SET_ATTR_ATIME_NOW | FUSE_SET_ATTR_MTIME_NOW;
	const int known = FUSE_SET_ATTR_MODE | FUSE_SET_ATTR_UID |
			  FUSE_SET_ATTR_GID | FUSE_SET_ATTR_SIZE | times;
	const struct bfs_attributes a = {
		.set_mode = to_set & FUSE_SET_ATTR_MODE,
		.set_owner = to_set & (FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID),
		.set_size = to_set & FUSE_SET_ATTR_SIZE,
		.set_times = to_set & times,
		.touch_owner = !(to_set & known),
		.writer = {
			.uid = fuse_req_ctx(req)->uid,
			.pid = fuse_req_ctx(req)->pid,
			/* Where nothing is set, the kernel has not decided. */
			.kill_suidgid = to_set & known
				? to_set & FUSE_SET_ATTR_KILL_SUID
				: fuse_req_ctx(req)->uid != 0,
		},
		.mode = attr->st_mode,
		.owner = { to_set & FUSE_SET_ATTR_UID ? attr->st_uid : (uid_t)-1,
			   to_set & FUSE_SET_ATTR_GID ? attr->st_gid
						      : (gid_t)-1 },
		.size = (uint64_t)attr->st_size,
		.times = { time_of(to_set, FUSE_SET_ATTR_ATIME,
				   FUSE_SET_ATTR_ATIME_NOW, attr->st_atim),
			   time_of(to_set, FUSE_SET_ATTR_MTIME,
				   FUSE_SET_ATTR_MTIME_NOW, attr->st_mtim) },
	};
	BFS_INTERRUPTIBLE(req);
	struct bfs_fs *fs = bfs_fs_of(req);
	struct stat st;
	int r;

	(void)fi;
	do
		r = bfs_setattr(fs, ino, &a, &st);
	while (bfs_make_room(fs, r));
	reply_attr(req, r, &st);
}

static void op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name,
		     mode_t mode)
{
	BFS_CALLER_UMASK(req);
	struct bfs_entry entry;
	int r = bfs_mkdir(bfs_fs_of(req), parent, name, mode, bfs_caller(req),
			  &entry);

	bfs_reply_entry(req, r, &entry);
}

static void op_mknod(fuse_req_t req, fuse_ino_t parent, const char *name,
		     mode_t mode, dev_t device)
{
	BFS_CALLER_UMASK(req);
	struct bfs_fs *fs = bfs_fs_of(req);
	struct bfs_entry entry;
	int r;

	do
		r = bfs_mknod(fs, parent, name, mode, device, bfs_caller(req),
			      &entry);
	while (bfs_make_room(fs, r));
	bfs_reply_entry(req, r, &entry);
}

static void op_symlink(fuse_req_t req, const char *target, fuse_ino_t parent,
		       const char *name)
{
	struct bfs_fs *fs = bfs_fs_of(req);
	struct bfs_entry entry;
	int r;

	do
		r = bfs_symlink(fs, target, parent, name, bfs_caller(req),
				&entry);
	while (bfs_make_room(fs, r));
	bfs_reply_entry(req, r, &entry);
}

static void op_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t parent,
		    const char *name)
{
	struct bfs_entry entry;
	int r = bfs_link(bfs_fs_of(req), ino, parent, name, &entry);

	bfs_reply_entry(req, r, &entry);
}

static void op_readlink(fuse_req_t req, fuse_ino_t ino)
{
	char target[PATH_MAX + 1];
	int r = bfs_readlink(bfs_fs_of(req), ino, target, sizeof(target) - 1);

	if (r < 0) {
		fuse_reply_err(req, -r);
		return;
	}
	target[r] = '\0';
	fuse_reply_readlink(req, target);
}

static void op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	fuse_reply_err(req, -bfs_unlink(bfs_fs_of(req), parent, name, 0));
}

static void op_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	fuse_reply_err(req, -bfs_unlink(bfs_fs_of(req), parent, name,
					AT_REMOVEDIR));
}

static void op_rename(fuse_req_t req, fuse_ino_t parent, const char *name,
		      fuse_ino_t new_parent, const char *new_name,
		      unsigned int flags)
{
	fuse_reply_err(req, -bfs_rename(bfs_fs_of(req), parent, name,
					new_parent, new_name, flags));
}

void bfs_ops_name(struct fuse_lowlevel_ops *ops)
{
	ops->lookup = op_lookup;
	ops->forget = op_forget;
	ops->forget_multi = op_forget_multi;
	ops->getattr = op_getattr;
#ifdef HAVE_FUSE_STATX
	ops->statx = op_statx;
#endif
	ops->setattr = op_setattr;
	ops->mkdir = op_mkdir;
	ops->mknod = op_mknod;
	ops->symlink = op_symlink;
	ops->link = op_link;
	ops->readlink = op_readlink;
	ops->unlink = op_unlink;
	ops->rmdir = op_rmdir;
	ops->rename = op_rename;
}
