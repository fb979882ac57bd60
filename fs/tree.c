/* SPDX-License-Identifier: MIT */
#include "tree.h"

#include "caller.h"
#include "fd.h"
#include "journal.h"
#include "task.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/xattr.h>

/* The kernel sends one component; whoever else may write to /dev/fuse, a name
 * must not lead out of the directory. */
static bool is_component(const char *name)
{
	return *name && !strchr(name, '/') && strcmp(name, ".") &&
	       strcmp(name, "..");
}

int bfs_open_directory(struct bfs_fs *fs, uint64_t nodeid, const char *name)
{
	if (!is_component(name))
		return -EINVAL;
	return bfs_node_open(fs->nodes, nodeid,
			     O_PATH | O_DIRECTORY | O_NOFOLLOW);
}

/* To make a file in: with O_PATH its record would be a long way off. */
static int open_directory_to_read(struct bfs_fs *fs, uint64_t nodeid)
{
	int fd = bfs_node_open(fs->nodes, nodeid, O_RDONLY | O_DIRECTORY);

	return fd != -EACCES ? fd
			     : bfs_node_open(fs->nodes, nodeid,
					     O_PATH | O_DIRECTORY | O_NOFOLLOW);
}

static bool is_fleeting(const struct bfs_record *record, const struct stat *st)
{
	return record->spec.task != IOBUF_TASK_KERNEL ||
	       record->spec.life != IOBUF_LIFE_UNLINK ||
	       (record->spec.capacity == 0 && st->st_size == 0);
}

/* Of an O_PATH descriptor. */
static int stat_entry(int fd, struct bfs_entry *ret_entry)
{
	struct bfs_entry entry = { 0 };
	struct bfs_record record;
	int r;

	if (fstat(fd, &entry.st) < 0)
		return -errno;
	if (S_ISREG(entry.st.st_mode)) {
		if ((r = bfs_record_load_path_fd(fd, &record)) < 0)
			return r;
		bfs_record_apply(&record, &entry.st);
		entry.fleeting = is_fleeting(&record, &entry.st);
	}
	*ret_entry = entry;
	return 0;
}

int bfs_stat_path_fd(int fd, struct stat *ret_st)
{
	struct bfs_entry entry;
	int r = stat_entry(fd, &entry);

	if (r == 0)
		*ret_st = entry.st;
	return r;
}

static int entry_of(struct bfs_fs *fs, int fd, struct bfs_entry *ret_entry)
{
	struct bfs_entry entry;
	int r;

	if ((r = stat_entry(fd, &entry)) < 0 ||
	    (r = bfs_node_lookup(fs->nodes, fd, "", &entry.nodeid)) < 0)
		return r;
	*ret_entry = entry;
	return 0;
}

int bfs_entry_at(struct bfs_fs *fs, int dir_fd, const char *name,
		 struct bfs_entry *ret_entry)
{
	/* The name is looked up once: nodeid, attributes and record have to be
	 * of one file, or one file's mode would guard another's bytes. */
	BFS_FD int fd = openat(dir_fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	int r = fd < 0 ? -errno : entry_of(fs, fd, ret_entry);

	if (r == 0)
		bfs_node_named(fs->nodes, ret_entry->nodeid, dir_fd, name);
	return r;
}

int bfs_lookup(struct bfs_fs *fs, uint64_t parent, const char *name,
	       struct bfs_entry *ret_entry)
{
	BFS_FD int dir = bfs_open_directory(fs, parent, name);

	return dir < 0 ? dir : bfs_entry_at(fs, dir, name, ret_entry);
}

int bfs_lookup_self(struct bfs_fs *fs, uint64_t nodeid,
		    struct bfs_entry *ret_entry)
{
	BFS_FD int fd = bfs_node_open(fs->nodes, nodeid, O_PATH | O_NOFOLLOW);

	return fd < 0 ? fd : entry_of(fs, fd, ret_entry);
}

int bfs_lookup_parent(struct bfs_fs *fs, uint64_t nodeid,
		      struct bfs_entry *ret_entry)
{
	BFS_FD int fd = bfs_node_open(fs->nodes, nodeid,
				      O_PATH | O_DIRECTORY | O_NOFOLLOW);
	BFS_FD int up = -1;
	struct bfs_entry entry;
	struct stat root, st;

	if (fd < 0)
		return fd;
	if (fstat(fs->root_fd, &root) < 0 || fstat(fd, &st) < 0)
		return -errno;
	/* The pool's root is the top, whatever its directory is in. */
	if (!bfs_is_same_file(&st, &root) &&
	    (up = openat(fd, "..", O_PATH | O_DIRECTORY | O_CLOEXEC)) < 0)
		return -errno;
	if (up >= 0 && fstat(up, &st) < 0)
		return -errno;
	if (!bfs_is_same_file(&st, &root))
		return entry_of(fs, up, ret_entry);
	entry = (struct bfs_entry){ .nodeid = BFS_ROOT_NODEID, .st = st };
	*ret_entry = entry;
	return 0;
}

int bfs_getattr(struct bfs_fs *fs, uint64_t nodeid, struct stat *ret_st)
{
	BFS_FD int fd = bfs_node_open(fs->nodes, nodeid, O_PATH | O_NOFOLLOW);

	return fd < 0 ? fd : bfs_stat_path_fd(fd, ret_st);
}

int bfs_statx(struct bfs_fs *fs, uint64_t nodeid, unsigned int mask,
	      struct statx *ret_stx, struct stat *ret_st)
{
	BFS_FD int fd = bfs_node_open(fs->nodes, nodeid, O_PATH | O_NOFOLLOW);
	struct statx stx;
	struct stat st;
	int r;

	if (fd < 0)
		return fd;
	if ((r = bfs_stat_path_fd(fd, &st)) < 0)
		return r;
	if (statx(fd, "", AT_EMPTY_PATH, mask, &stx) < 0)
		return -errno;
	stx.stx_size = (uint64_t)st.st_size;
	*ret_stx = stx;
	*ret_st = st;
	return 0;
}

/*
 * Give a new entry to its owner. The group of a set-group-ID directory is the
 * entry's already. chown(2) clears the set-ID bits of a file, so that the mode
 * that umask or access list left comes last.
 */
static int give(int dir_fd, int fd, const char *name, struct bfs_owner owner)
{
	const int flags = AT_SYMLINK_NOFOLLOW | (*name ? 0 : AT_EMPTY_PATH);
	struct stat dir, st;

	if (fstat(dir_fd, &dir) < 0 || fstatat(fd, name, &st, flags) < 0)
		return -errno;
	if (dir.st_mode & S_ISGID)
		owner.gid = (gid_t)-1;
	if (owner.uid == geteuid() &&
	    (owner.gid == getegid() || owner.gid == (gid_t)-1))
		return 0;
	if (fchownat(fd, name, owner.uid, owner.gid, flags) < 0)
		return -errno;
	if (!S_ISLNK(st.st_mode) && !S_ISDIR(st.st_mode) &&
	    (st.st_mode & (S_ISUID | S_ISGID)) &&
	    (*name ? fchmodat(fd, name, st.st_mode & 07777, 0)
		   : fchmod(fd, st.st_mode & 07777)) < 0)
		return -errno;
	return 0;
}

/*
 * Note that there is no such name, where there is none. True: an earlier worker
 * has made it, of this kind; what was left to do has to be done again.
 */
static bool begin_entry(struct bfs_fs *fs, enum bfs_journal_operation operation,
			int dir, const char *name, mode_t kind)
{
	uint64_t before[2];
	struct stat st;
	bool there;

	if (!bfs_journal_is_on(fs->journal))
		return false;
	there = fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
	if (bfs_journal_begun(fs->journal, operation, before))
		return there && (st.st_mode & S_IFMT) == kind;
	if (!there && errno == ENOENT)
		bfs_journal_begin(fs->journal, operation, 0, 0);
	return false;
}

/* Undo make_file(): nobody has seen the file. */
static void unmake_file(struct bfs_file *file, const struct bfs_entry *entry)
{
	bfs_file_abandon(file);
	bfs_node_forget(file->fs->nodes, entry->nodeid, 1);
}

/* What a note of BFS_JOURNAL_CREATE has beside the nodeid. */
enum { TO_BE_NAMED, TO_BE_COMPLETED };

/* Is it what an earlier worker made for this request, and did not complete? Others
 * may make names in the pool, too. Before its nodeid was noted it was as new. */
static bool is_to_be_completed(struct bfs_fs *fs, int fd, struct bfs_owner owner)
{
	uint64_t before[2], nodeid;
	struct stat st;

	if (!bfs_journal_begun(fs->journal, BFS_JOURNAL_CREATE, before) ||
	    fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_nlink != 1)
		return false;
	if (before[0])
		return bfs_node_of(fs->nodes, fd, &nodeid) == 0 &&
		       nodeid == before[0];
	return st.st_size == 0 &&
	       (st.st_uid == geteuid() || st.st_uid == owner.uid);
}

/* A file that has its name at once: other machines may see it before it is
 * complete. */
static int open_named(struct bfs_fs *fs, int dir, const char *name, mode_t mode,
		      struct bfs_owner owner)
{
	const bool again =
		begin_entry(fs, BFS_JOURNAL_CREATE, dir, name, S_IFREG);
	const int how = again ? 0 : O_CREAT | O_EXCL;
	int fd = openat(dir, name, how | O_NOFOLLOW | O_RDWR | O_CLOEXEC,
			mode & 07777);
	uint64_t nodeid;

	if (fd < 0)
		return -errno;
	if (again && !is_to_be_completed(fs, fd, owner)) {
		close(fd);
		return -EEXIST;
	}
	if (bfs_node_of(fs->nodes, fd, &nodeid) == 0)
		bfs_journal_begin(fs->journal, BFS_JOURNAL_CREATE, nodeid,
				  TO_BE_COMPLETED);
	return fd;
}

/* A file without a name; network filesystems have none. */
static int open_new(struct bfs_fs *fs, int dir, const char *name, mode_t mode,
		    struct bfs_owner owner, bool *ret_named)
{
	int fd = openat(dir, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, mode & 07777);

	if (fd >= 0 || errno != EOPNOTSUPP || !name)
		return fd < 0 ? -errno : fd;
	fd = open_named(fs, dir, name, mode, owner);
	*ret_named = fd >= 0;
	return fd;
}

/* A file that is complete, but for its name where `ret_named` is not set. */
static int make_file(struct bfs_fs *fs, int dir, const char *name, mode_t mode,
		     struct bfs_owner owner, struct bfs_entry *ret_entry,
		     struct bfs_file *ret_file, bool *ret_named)
{
	BFS_FD int fd = open_new(fs, dir, name, mode, owner, ret_named);
	BFS_FILE struct bfs_file file = { 0 };
	struct bfs_record directory;
	struct bfs_entry entry;
	int r;

	if (fd < 0)
		return fd;
	if ((r = give(dir, fd, "", owner)) < 0 ||
	    (r = bfs_record_load_fd(dir, &directory)) < 0 ||
	    (r = bfs_node_lookup(fs->nodes, fd, "", &entry.nodeid)) < 0)
		return r;
	if ((r = bfs_file_open_fd(fs, entry.nodeid, &fd, &file)) < 0) {
		bfs_node_forget(fs->nodes, entry.nodeid, 1);
		return r;
	}
	file.caller = owner.pid;
	if ((!file.record.present &&
	     (r = bfs_file_inherit(&file, &directory)) < 0) ||
	    (r = bfs_file_stat(&file, &entry.st)) < 0) {
		unmake_file(&file, &entry);
		return r;
	}
	entry.fleeting = is_fleeting(&file.record, &entry.st);
	*ret_entry = entry;
	*ret_file = file;
	file = (struct bfs_file){ 0 };
	return 0;
}

/* The file that an earlier worker made for this request, if it got as far as to
 * name it: then it is complete. -ENOENT: it did not. */
static int find_made_file(struct bfs_fs *fs, int dir, const char *name,
			  struct bfs_owner owner, struct bfs_entry *ret_entry,
			  struct bfs_file *ret_file)
{
	struct bfs_entry entry;
	uint64_t before[2], now;
	int r;

	if (!bfs_journal_begun(fs->journal, BFS_JOURNAL_CREATE, before) ||
	    before[1] != TO_BE_NAMED ||
	    bfs_node_at(fs->nodes, dir, name, &now) < 0 || now != before[0] ||
	    bfs_entry_at(fs, dir, name, &entry) < 0)
		return -ENOENT;
	if (ret_file) {
		r = bfs_file_open(fs, entry.nodeid, O_RDWR, ret_file);
		if (r < 0) {
			unlinkat(dir, name, 0);
			bfs_node_forget(fs->nodes, entry.nodeid, 1);
			return r;
		}
		ret_file->caller = owner.pid;
	}
	*ret_entry = entry;
	return 0;
}

static int give_name(struct bfs_file *file, const struct bfs_entry *entry,
		     int dir, const char *name)
{
	int r = 0;

	bfs_journal_begin(file->fs->journal, BFS_JOURNAL_CREATE, entry->nodeid,
			  TO_BE_NAMED);
	if (linkat(AT_FDCWD, bfs_fd_path(file->fd).text, dir, name,
		   AT_SYMLINK_FOLLOW) < 0) {
		r = -errno;
		unmake_file(file, entry);
	}
	return r;
}

int bfs_create(struct bfs_fs *fs, uint64_t parent, const char *name,
	       mode_t mode, struct bfs_owner owner, struct bfs_entry *ret_entry,
	       struct bfs_file *ret_file)
{
	BFS_FD int dir = is_component(name)
				 ? open_directory_to_read(fs, parent)
				 : -EINVAL;
	BFS_FILE struct bfs_file file = { 0 };
	struct bfs_entry entry;
	bool named = false;
	int r;

	if (dir < 0)
		return dir;
	r = find_made_file(fs, dir, name, owner, ret_entry, ret_file);
	if (r != -ENOENT)
		return r;
	r = make_file(fs, dir, name, mode, owner, &entry, &file, &named);
	if (r < 0 && named)
		unlinkat(dir, name, 0);
	if (r < 0)
		return r;
	if (!named && (r = give_name(&file, &entry, dir, name)) < 0)
		return r;
	bfs_node_named(fs->nodes, entry.nodeid, dir, name);
	entry.st.st_nlink = 1;
	*ret_entry = entry;
	if (ret_file) {
		*ret_file = file;
		file = (struct bfs_file){ 0 };
	}
	return 0;
}

/* That an earlier worker made for this request: it may have been counted as
 * open. No client has it. */
static void drop_unseen_file(struct bfs_fs *fs)
{
	BFS_FILE struct bfs_file file = { .fs = fs, .fd = -1 };
	uint64_t before[2];

	if (bfs_journal_begun(fs->journal, BFS_JOURNAL_TMPFILE, before) &&
	    bfs_inode_is_known(fs->inodes, before[0]) &&
	    (file.inode = bfs_inode_lock(fs->inodes, before[0])))
		bfs_file_abandon(&file);
}

int bfs_tmpfile(struct bfs_fs *fs, uint64_t parent, mode_t mode,
		struct bfs_owner owner, struct bfs_entry *ret_entry,
		struct bfs_file *ret_file)
{
	BFS_FD int dir = open_directory_to_read(fs, parent);
	bool named = false;
	int r;

	if (dir < 0)
		return dir;
	drop_unseen_file(fs);
	r = make_file(fs, dir, NULL, mode, owner, ret_entry, ret_file, &named);
	if (r == 0)
		bfs_journal_begin(fs->journal, BFS_JOURNAL_TMPFILE,
				  ret_entry->nodeid, 0);
	return r;
}

/* The same of another name of a file. */
static bool begin_link(struct bfs_fs *fs, int dir, const char *name,
		       uint64_t nodeid)
{
	uint64_t before[2], now;
	int r;

	if (!bfs_journal_is_on(fs->journal))
		return false;
	r = bfs_node_at(fs->nodes, dir, name, &now);
	if (bfs_journal_begun(fs->journal, BFS_JOURNAL_LINK, before))
		return r == 0 && now == nodeid;
	if (r == -ENOENT)
		bfs_journal_begin(fs->journal, BFS_JOURNAL_LINK, 0, 0);
	return false;
}

/* Undo what made an entry that cannot be completed. */
static int finish(struct bfs_fs *fs, int dir, const char *name, int r,
		  int unlink_flags, struct bfs_entry *ret_entry)
{
	if (r == 0)
		r = bfs_entry_at(fs, dir, name, ret_entry);
	if (r < 0)
		unlinkat(dir, name, unlink_flags);
	return r;
}

/* A new directory copies what was asked of its parent, like a default ACL. */
static int inherit_defaults(int parent, const char *name)
{
	struct bfs_record record;
	int r = bfs_record_load_fd(parent, &record);
	BFS_FD int fd = -1;

	if (r < 0 || !record.present)
		return r;
	fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? -errno : bfs_record_store(fd, &record);
}

int bfs_mkdir(struct bfs_fs *fs, uint64_t parent, const char *name, mode_t mode,
	      struct bfs_owner owner, struct bfs_entry *ret_entry)
{
	BFS_FD int dir = bfs_open_directory(fs, parent, name);
	int r;

	if (dir < 0)
		return dir;
	if (!begin_entry(fs, BFS_JOURNAL_MKDIR, dir, name, S_IFDIR) &&
	    mkdirat(dir, name, mode & 07777) < 0)
		return -errno;
	r = give(dir, dir, name, owner);
	if (r == 0)
		r = inherit_defaults(dir, name);
	return finish(fs, dir, name, r, AT_REMOVEDIR, ret_entry);
}

int bfs_mknod(struct bfs_fs *fs, uint64_t parent, const char *name, mode_t mode,
	      dev_t device, struct bfs_owner owner, struct bfs_entry *ret_entry)
{
	BFS_FD int dir = -1;

	if (S_ISREG(mode))
		return bfs_create(fs, parent, name, mode, owner, ret_entry,
				  NULL);
	if ((dir = bfs_open_directory(fs, parent, name)) < 0)
		return dir;
	if (!begin_entry(fs, BFS_JOURNAL_MKNOD, dir, name, mode & S_IFMT) &&
	    mknodat(dir, name, mode, device) < 0)
		return -errno;
	return finish(fs, dir, name, give(dir, dir, name, owner), 0,
		      ret_entry);
}

int bfs_symlink(struct bfs_fs *fs, const char *target, uint64_t parent,
		const char *name, struct bfs_owner owner,
		struct bfs_entry *ret_entry)
{
	BFS_FD int dir = bfs_open_directory(fs, parent, name);

	if (dir < 0)
		return dir;
	if (!begin_entry(fs, BFS_JOURNAL_SYMLINK, dir, name, S_IFLNK) &&
	    symlinkat(target, dir, name) < 0)
		return -errno;
	return finish(fs, dir, name, give(dir, dir, name, owner), 0,
		      ret_entry);
}

int bfs_link(struct bfs_fs *fs, uint64_t nodeid, uint64_t parent,
	     const char *name, struct bfs_entry *ret_entry)
{
	BFS_FD int dir = bfs_open_directory(fs, parent, name);
	BFS_FILE struct bfs_file file = { 0 };
	int r;

	if (dir < 0)
		return dir;
	/* Locked: names that a task's end takes away are all that there are. */
	if ((r = bfs_file_open(fs, nodeid, O_PATH | O_NOFOLLOW, &file)) < 0)
		return r;
	if (file.record.spec.task > IOBUF_TASK_KERNEL &&
	    !bfs_task_runs(file.record.spec.task, file.record.task_start))
		return -ENOENT;
	if (!begin_link(fs, dir, name, nodeid) &&
	    linkat(AT_FDCWD, bfs_fd_path(file.fd).text, dir, name,
		   AT_SYMLINK_FOLLOW) < 0)
		return -errno;
	return finish(fs, dir, name, 0, 0, ret_entry);
}

int bfs_readlink(struct bfs_fs *fs, uint64_t nodeid, char *buf, size_t size)
{
	BFS_FD int fd = bfs_node_open(fs->nodes, nodeid, O_PATH | O_NOFOLLOW);
	ssize_t n;

	if (fd < 0)
		return fd;
	n = readlinkat(fd, "", buf, size);
	return n < 0 ? -errno : (int)n;
}
