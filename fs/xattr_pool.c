/* SPDX-License-Identifier: MIT */
/*
 * xattr_pool.c - the calls of xattr(7): our own names go to the table, all
 * others are attributes of the pool's files.
 */
#include "xattr.h"

#include "caller.h"
#include "fd.h"
#include "journal.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/xattr.h>

static bool has_prefix(const char *name, const char *prefix)
{
	return !strncmp(name, prefix, strlen(prefix));
}

/* The record must not be seen, nor forged. */
static bool is_hidden(const char *name)
{
	return has_prefix(name, "trusted.iobuf.");
}

#define ACCESS_LIST "system.posix_acl_access"

/* Access lists are the pool's own, and the kernel enforces them. Of the rest
 * of system.* nothing is known here. */
static bool is_unsupported(const struct bfs_fs *fs, const char *name)
{
	if (!has_prefix(name, "system."))
		return false;
	return !fs->access_lists || (strcmp(name, ACCESS_LIST) &&
				     strcmp(name, "system.posix_acl_default"));
}

/* The pool's file, O_PATH, for an attribute of its own. `hidden`: the errno of
 * one that nobody is to know of. */
static int open_for(struct bfs_fs *fs, uint64_t nodeid, const char *name,
		    int hidden)
{
	if (is_unsupported(fs, name))
		return -EOPNOTSUPP;
	if (is_hidden(name))
		return hidden;
	return bfs_node_open(fs->nodes, nodeid, O_PATH | O_NOFOLLOW);
}

int bfs_getxattr(struct bfs_fs *fs, uint64_t nodeid, const char *name,
		 pid_t caller, char *ret_value, size_t size, size_t *ret_size)
{
	BFS_FD int fd = -1;
	ssize_t n;

	if (bfs_xattr_is_ours(name))
		return bfs_xattr_get(fs, nodeid, name, caller, ret_value,
				     size, ret_size);
	if ((fd = open_for(fs, nodeid, name, -ENODATA)) < 0)
		return fd;
	n = getxattr(bfs_fd_path(fd).text, name, ret_value, size);
	if (n < 0)
		return -errno;
	*ret_size = (size_t)n;
	return 0;
}

/* An access list sets the group's bits of the mode, as chmod(2) does: who is
 * not of the file's group may not keep its set-group-ID bit by that. */
static void drop_set_group_id(int fd, pid_t caller)
{
	struct stat st;

	if (fstat(fd, &st) == 0 && (st.st_mode & S_ISGID) &&
	    !bfs_may_keep_set_group_id(caller, st.st_gid))
		chmod(bfs_fd_path(fd).text,
		      st.st_mode & 07777 & ~(mode_t)S_ISGID);
}

static bool is_set(struct bfs_fs *fs, uint64_t nodeid, const char *name,
		   pid_t caller)
{
	size_t size;

	return bfs_getxattr(fs, nodeid, name, caller, NULL, 0, &size) !=
	       -ENODATA;
}

/* Note that there is an attribute, or none. True: that was so before an earlier
 * worker began this request. */
static bool begin_change(struct bfs_fs *fs,
			 enum bfs_journal_operation operation, bool was_set,
			 uint64_t nodeid, const char *name, pid_t caller)
{
	uint64_t before[2];

	if (!bfs_journal_is_on(fs->journal))
		return false;
	if (bfs_journal_begun(fs->journal, operation, before))
		return true;
	if (is_set(fs, nodeid, name, caller) == was_set)
		bfs_journal_begin(fs->journal, operation, 0, 0);
	return false;
}

int bfs_setxattr(struct bfs_fs *fs, uint64_t nodeid, const char *name,
		 const char *value, size_t size, int flags, pid_t caller,
		 enum bfs_changed *ret_changed)
{
	BFS_FD int fd = -1;

	*ret_changed = BFS_CHANGED_NOTHING;
	/* What is there now is what this request has set. */
	if ((flags & XATTR_CREATE) &&
	    begin_change(fs, BFS_JOURNAL_SETXATTR, false, nodeid, name, caller))
		flags &= ~XATTR_CREATE;
	if (bfs_xattr_is_ours(name))
		return bfs_xattr_set(fs, nodeid, name, value, size, flags,
				     caller, ret_changed);
	if ((fd = open_for(fs, nodeid, name, -EPERM)) < 0)
		return fd;
	if (setxattr(bfs_fd_path(fd).text, name, value, size, flags) < 0)
		return -errno;
	if (!strcmp(name, ACCESS_LIST))
		drop_set_group_id(fd, caller);
	return 0;
}

static int remove_xattr(struct bfs_fs *fs, uint64_t nodeid, const char *name,
			pid_t caller)
{
	BFS_FD int fd = -1;

	if (bfs_xattr_is_ours(name))
		return bfs_xattr_remove(fs, nodeid, name, caller);
	if ((fd = open_for(fs, nodeid, name, -ENODATA)) < 0)
		return fd;
	return removexattr(bfs_fd_path(fd).text, name) < 0 ? -errno : 0;
}

int bfs_removexattr(struct bfs_fs *fs, uint64_t nodeid, const char *name,
		    pid_t caller)
{
	const bool was_set = begin_change(fs, BFS_JOURNAL_REMOVEXATTR, true,
					  nodeid, name, caller);
	int r = remove_xattr(fs, nodeid, name, caller);

	return was_set && r == -ENODATA ? 0 : r;
}

/* The pool's list, with our own names taken out. Returns the new length. */
static size_t filter_list(const struct bfs_fs *fs, pid_t caller, char *list,
			  size_t size)
{
	size_t kept = 0;

	for (size_t at = 0, n; at < size; at += n) {
		n = strlen(list + at) + 1;
		if (bfs_xattr_is_ours(list + at) || is_hidden(list + at) ||
		    (has_prefix(list + at, "trusted.") &&
		     !bfs_has_sys_admin(caller)) ||
		    is_unsupported(fs, list + at))
			continue;
		memmove(list + kept, list + at, n);
		kept += n;
	}
	return kept;
}

int bfs_listxattr(struct bfs_fs *fs, uint64_t nodeid, pid_t caller,
		  char *ret_list, size_t size, size_t *ret_size)
{
	BFS_FD int fd = bfs_node_open(fs->nodes, nodeid, O_PATH | O_NOFOLLOW);
	static _Thread_local char list[65536];
	struct bfs_record record;
	ssize_t n;
	size_t used;
	int r;

	if (fd < 0)
		return fd;
	if ((r = bfs_record_load_fd(fd, &record)) < 0)
		return r;
	n = listxattr(bfs_fd_path(fd).text, list, sizeof(list) - sizeof(BFS_XATTR_NAME));
	if (n < 0)
		return -errno;
	used = filter_list(fs, caller, list, (size_t)n);
	if (record.flags & BFS_RECORD_EXPLICIT) {
		memcpy(list + used, BFS_XATTR_NAME, sizeof(BFS_XATTR_NAME));
		used += sizeof(BFS_XATTR_NAME);
	}
	*ret_size = used;
	if (size == 0)
		return 0;
	if (used > size)
		return -ERANGE;
	memcpy(ret_list, list, used);
	return 0;
}
