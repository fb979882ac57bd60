/* SPDX-License-Identifier: MIT */
/*
 * unlink.c - how names go: by a request, or by themselves.
 *
 * Who removes a name by itself has found it by the file, and must not remove
 * what a client has put there instead since. So it looks and removes with
 * `names` held for writing, and what takes a name from a file for a client holds
 * it for reading.
 *
 * Lock order: an inode's lock, `names`, then the leaves.
 */
#include "tree.h"

#include "fd.h"
#include "journal.h"
#include "log.h"
#include "search.h"
#include "task.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <pthread.h>
#include <string.h>
#include <sys/syscall.h>

/* Clients that unlink all the time must not keep a writer waiting. */
static pthread_rwlock_t names =
	PTHREAD_RWLOCK_WRITER_NONRECURSIVE_INITIALIZER_NP;

/*
 * An entry that may be about to lose its last name. Directories, small files
 * and those that are open are held until the kernel forgets them; the memory
 * of a large file should go with its name.
 */
static int open_victim(struct bfs_fs *fs, int dir, const char *name)
{
	enum { HELD_BLOCKS_MAX = 2048 }; /* of 512 bytes */
	BFS_FD int fd = openat(dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;
	uint64_t nodeid;

	if (fd < 0 || fstat(fd, &st) < 0)
		return -1;
	if (S_ISREG(st.st_mode) && st.st_blocks > HELD_BLOCKS_MAX &&
	    (bfs_node_of(fs->nodes, fd, &nodeid) < 0 ||
	     !bfs_inode_is_known(fs->inodes, nodeid)))
		return -1;
	return bfs_fd_take(&fd);
}

/* Whatever cannot be looked at is taken for what it was. */
static bool is_still(const struct bfs_fs *fs, int dir, const char *name,
		     uint64_t nodeid)
{
	uint64_t now;
	int r = bfs_node_at(fs->nodes, dir, name, &now);

	return r == 0 ? now == nodeid : r != -ENOENT;
}

/* Note what the name is of. True: it is gone, an earlier worker did that. */
static bool begin_unlink(struct bfs_fs *fs, int dir, const char *name)
{
	uint64_t before[2], nodeid;

	if (bfs_journal_begun(fs->journal, BFS_JOURNAL_UNLINK, before))
		return !is_still(fs, dir, name, before[0]);
	if (bfs_journal_is_on(fs->journal) &&
	    bfs_node_at(fs->nodes, dir, name, &nodeid) == 0)
		bfs_journal_begin(fs->journal, BFS_JOURNAL_UNLINK, nodeid, 0);
	return false;
}

int bfs_unlink(struct bfs_fs *fs, uint64_t parent, const char *name, int flags)
{
	BFS_FD int dir = bfs_open_directory(fs, parent, name);
	BFS_FD int victim = -1;
	int r;

	if (dir < 0)
		return dir;
	if (begin_unlink(fs, dir, name))
		return 0;
	victim = open_victim(fs, dir, name);
	pthread_rwlock_rdlock(&names);
	r = unlinkat(dir, name, flags) < 0 ? -errno : 0;
	pthread_rwlock_unlock(&names);
	if (r < 0)
		return r;
	if (victim >= 0)
		bfs_node_hold(fs->nodes, &victim);
	return 0;
}

/* One end of a rename. */
struct end {
	int dir;
	const char *name;
};

/* Note what both names are of. True: an earlier worker has renamed. */
static bool begin_rename(struct bfs_fs *fs, struct end from, struct end to,
			 unsigned int flags)
{
	uint64_t before[2], nodeid, target;
	int r;

	if (bfs_journal_begun(fs->journal, BFS_JOURNAL_RENAME, before))
		return !is_still(fs, from.dir, from.name, before[0]) &&
		       (!(flags & RENAME_EXCHANGE) ||
			is_still(fs, from.dir, from.name, before[1]));
	if (!bfs_journal_is_on(fs->journal) ||
	    bfs_node_at(fs->nodes, from.dir, from.name, &nodeid) < 0)
		return false;
	r = bfs_node_at(fs->nodes, to.dir, to.name, &target);
	if (r == 0 || r == -ENOENT)
		bfs_journal_begin(fs->journal, BFS_JOURNAL_RENAME, nodeid,
				  r == 0 ? target : 0);
	return false;
}

int bfs_rename(struct bfs_fs *fs, uint64_t parent, const char *name,
	       uint64_t new_parent, const char *new_name, unsigned int flags)
{
	BFS_FD int from = bfs_open_directory(fs, parent, name);
	BFS_FD int to = -1, victim = -1;
	int r;

	if (from < 0)
		return from;
	if ((to = bfs_open_directory(fs, new_parent, new_name)) < 0)
		return to;
	if (begin_rename(fs, (struct end){ from, name },
			 (struct end){ to, new_name }, flags))
		return 0;
	victim = open_victim(fs, to, new_name);
	pthread_rwlock_rdlock(&names);
	r = renameat2(from, name, to, new_name, flags) < 0 ? -errno : 0;
	pthread_rwlock_unlock(&names);
	if (r < 0)
		return r;
	bfs_node_moved(fs->nodes, to, new_name);
	if (flags & RENAME_EXCHANGE)
		bfs_node_moved(fs->nodes, from, name);
	if (victim >= 0)
		bfs_node_hold(fs->nodes, &victim);
	return 0;
}

/* One name of a file. */
struct place {
	int dir_fd;
	char name[NAME_MAX + 1];
};

static void close_place(struct place *place)
{
	bfs_fd_cleanup(&place->dir_fd);
}

#define PLACE __attribute__((cleanup(close_place)))

static bool is_at(const struct place *place, const struct stat *st)
{
	struct stat found;

	return fstatat(place->dir_fd, place->name, &found,
		       AT_SYMLINK_NOFOLLOW) == 0 &&
	       bfs_is_same_file(&found, st);
}

/* Follows nothing and does not leave the pool, whatever the path says. */
static int open_beneath(int root_fd, const char *path)
{
	const struct open_how how = {
		.flags = O_PATH | O_DIRECTORY | O_CLOEXEC,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS |
			   RESOLVE_NO_XDEV,
	};

	return (int)syscall(SYS_openat2, root_fd, path, &how, sizeof(how));
}

static ssize_t path_of(int fd, char *path, size_t size)
{
	ssize_t n = readlink(bfs_fd_path(fd).text, path, size - 1);

	if (n >= 0)
		path[n] = '\0';
	return n;
}

/* The kernel has a path for what is open, where it knows one: on a tmpfs for
 * each name. What it says is looked at by whoever uses it. */
static bool find_by_path(const struct bfs_fs *fs, int fd, struct place *ret_place)
{
	char root[PATH_MAX], path[PATH_MAX];
	ssize_t root_size = path_of(fs->root_fd, root, sizeof(root));
	char *name;
	int dir;

	if (root_size < 0 || path_of(fd, path, sizeof(path)) < 0)
		return false;
	if (root_size == 1) /* "/" */
		root_size = 0;
	if (strncmp(path, root, (size_t)root_size) || path[root_size] != '/')
		return false;
	name = strrchr(path, '/');
	*name++ = '\0';
	if (strlen(name) > NAME_MAX)
		return false;
	dir = open_beneath(fs->root_fd, path[root_size] ? path + root_size + 1
							: ".");
	if (dir < 0)
		return false;
	close_place(ret_place);
	ret_place->dir_fd = dir;
	strcpy(ret_place->name, name);
	return true;
}

/* With `names`. 1: it is gone; 0: it is not there. */
static int remove_at(const struct place *place, const struct stat *st)
{
	if (!is_at(place, st))
		return 0;
	return unlinkat(place->dir_fd, place->name, 0) < 0 ? -errno : 1;
}

static int remove_by_path(struct bfs_fs *fs, uint64_t nodeid, int *ret_fd,
			  struct stat *ret_st, struct place *ret_place)
{
	int r = bfs_node_open(fs->nodes, nodeid, O_PATH | O_NOFOLLOW);

	if (r < 0)
		return r;
	*ret_fd = r;
	if (fstat(*ret_fd, ret_st) < 0)
		return -errno;
	if (ret_st->st_nlink == 0 || S_ISDIR(ret_st->st_mode))
		return -ESTALE;
	return find_by_path(fs, *ret_fd, ret_place)
		       ? remove_at(ret_place, ret_st)
		       : 0;
}

static void tell_kernel(struct bfs_fs *fs, uint64_t nodeid,
			const struct place *place)
{
	uint64_t parent = BFS_ROOT_NODEID;
	struct stat root, dir;

	if (!fs->notify.unlinked || fstat(fs->root_fd, &root) < 0 ||
	    fstat(place->dir_fd, &dir) < 0)
		return;
	if (bfs_is_same_file(&root, &dir) ||
	    bfs_node_of(fs->nodes, place->dir_fd, &parent) == 0)
		fs->notify.unlinked(fs, parent, nodeid, place->name);
}

/* As of a file that a client unlinks: see open_victim(). */
static void after_removal(struct bfs_fs *fs, uint64_t nodeid, int *fd,
			  const struct place *place)
{
	if (*fd >= 0)
		bfs_node_hold(fs->nodes, fd);
	tell_kernel(fs, nodeid, place);
}

/* 1: a name is gone. 0: it has to be searched for. -ESTALE: there is none. */
static int unlink_one(struct bfs_fs *fs, uint64_t nodeid)
{
	PLACE struct place place = { .dir_fd = -1 };
	BFS_FD int fd = -1;
	struct stat st;
	int r;

	pthread_rwlock_wrlock(&names);
	r = remove_by_path(fs, nodeid, &fd, &st, &place);
	pthread_rwlock_unlock(&names);
	if (r == 1)
		after_removal(fs, nodeid, &fd, &place);
	return r;
}

/* A file that the kernel does not remember, it will not forget either. */
static void forget_unknown(struct bfs_fs *fs, uint64_t nodeid)
{
	if (fs->notify.knows && fs->notify.knows(fs, nodeid))
		return;
	bfs_file_forget(fs, nodeid);
	bfs_node_forget(fs->nodes, nodeid, UINT64_MAX);
}

static bool is_over(const struct bfs_inode *inode)
{
	const struct bfs_slot *slot = inode->slot;

	return slot && !slot->opens && (slot->flags & BFS_SLOT_LASTCLOSE);
}

/* Its names are gone, unless it was opened again meanwhile. */
static void end_last_close(struct bfs_inode *inode)
{
	if (is_over(inode))
		inode->slot->flags &= ~(uint32_t)BFS_SLOT_LASTCLOSE;
}

int bfs_unlink_all(struct bfs_fs *fs, uint64_t nodeid)
{
	bool any = false;
	int r;

	while ((r = unlink_one(fs, nodeid)) == 1)
		any = true;
	if (r == 0)
		return bfs_search_names(fs, nodeid);
	if (any)
		forget_unknown(fs, nodeid);
	return r == -ESTALE ? 0 : r;
}

int bfs_unlink_entry(struct bfs_fs *fs, int dir_fd, const char *name,
		     uint64_t nodeid, const struct stat *st)
{
	PLACE struct place place = { .dir_fd = -1 };
	BFS_FD int fd = -1;
	int r;

	if (strlen(name) > NAME_MAX)
		return -ENAMETOOLONG;
	strcpy(place.name, name);
	if ((place.dir_fd = fcntl(dir_fd, F_DUPFD_CLOEXEC, 0)) < 0)
		return -errno;
	fd = openat(dir_fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	pthread_rwlock_wrlock(&names);
	r = remove_at(&place, st);
	pthread_rwlock_unlock(&names);
	if (r == 1)
		after_removal(fs, nodeid, &fd, &place);
	return r < 0 ? r : 0;
}

void bfs_names_gone(struct bfs_fs *fs, uint64_t nodeid)
{
	struct bfs_inode *inode;

	forget_unknown(fs, nodeid);
	if (!bfs_inode_is_known(fs->inodes, nodeid) ||
	    !(inode = bfs_inode_lock(fs->inodes, nodeid)))
		return;
	bfs_task_unbind(fs, inode);
	end_last_close(inode);
	bfs_inode_unlock(fs->inodes, inode);
}

void bfs_end_life(struct bfs_fs *fs, uint64_t nodeid)
{
	struct bfs_inode *inode;
	bool over;
	int r;

	if (!bfs_inode_is_known(fs->inodes, nodeid) ||
	    !(inode = bfs_inode_lock(fs->inodes, nodeid)))
		return;
	over = is_over(inode);
	bfs_inode_unlock(fs->inodes, inode);
	if (!over)
		return;
	if ((r = bfs_unlink_all(fs, nodeid)) == -EINPROGRESS)
		return;
	if (r < 0) {
		bfs_log(LOG_ERR, "the name of a buffer that was closed cannot be "
			"removed: %s", strerror(-r));
		return;
	}
	if (!(inode = bfs_inode_lock(fs->inodes, nodeid)))
		return;
	end_last_close(inode);
	bfs_inode_unlock(fs->inodes, inode);
}

static void close_all(void *context, uint64_t nodeid)
{
	struct bfs_fs *fs = context;
	struct bfs_inode *inode = bfs_inode_lock(fs->inodes, nodeid);

	if (!inode)
		return;
	while (inode->slot && inode->slot->opens)
		bfs_inode_drop_open(fs->inodes, inode, true, 0);
	bfs_inode_unlock(fs->inodes, inode);
	bfs_end_life(fs, nodeid);
}

void bfs_end_all_lives(struct bfs_fs *fs)
{
	bfs_inode_each(fs->inodes, BFS_SLOT_LASTCLOSE, close_all, fs);
	bfs_search_wait();
}
