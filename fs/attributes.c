/* SPDX-License-Identifier: MIT */
/*
 * attributes.c - setattr, and what a write takes of a mode.
 */
#include "tree.h"

#include "caller.h"
#include "fd.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/xattr.h>

/* What the caller may not keep of a mode by writing. */
static mode_t without_set_id(const struct stat *st, pid_t caller)
{
	mode_t kept = st->st_mode & ~(mode_t)S_ISUID;

	/* Without the group's execute bit it is no set-group-ID program, and
	 * only a stranger to the group loses it. */
	if ((kept & S_ISGID) &&
	    ((kept & S_IXGRP) || !bfs_may_keep_set_group_id(caller, st->st_gid)))
		kept &= ~(mode_t)S_ISGID;
	return kept;
}

static bool has_capabilities(int fd, const char *path)
{
	ssize_t n = fgetxattr(fd, "security.capability", NULL, 0);

	if (n < 0 && errno == EBADF) /* O_PATH */
		n = getxattr(path, "security.capability", NULL, 0);
	return n > 0;
}

bool bfs_kill_privileges(int fd, const struct bfs_writer *writer)
{
	const struct bfs_fd_path path = bfs_fd_path(fd);
	struct stat st;
	mode_t kept;

	/* By whoever writes; looked for first, as that takes no lock. */
	if (has_capabilities(fd, path.text))
		removexattr(path.text, "security.capability");
	if (!writer->kill_suidgid || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return false;
	kept = without_set_id(&st, writer->pid);
	return kept != st.st_mode && chmod(path.text, kept & 07777) == 0;
}

static int set_size(struct bfs_fs *fs, uint64_t nodeid,
		    const struct bfs_attributes *a)
{
	BFS_FILE struct bfs_file file = { 0 };
	int r = bfs_file_open(fs, nodeid, O_RDWR, &file);

	if (r < 0 || (r = bfs_file_truncate(&file, a->size)) < 0)
		return r;
	bfs_kill_privileges(file.fd, &a->writer);
	return 0;
}

/*
 * A chown(2) to nobody else, or a write that the kernel has not passed on yet:
 * both clear, and nothing tells one from the other. Who could not write may
 * not.
 */
static int touch_owner(int fd, const struct bfs_writer *writer)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	if ((st.st_mode & (S_ISUID | S_ISGID)) && writer->uid != 0 &&
	    writer->uid != st.st_uid && !(st.st_mode & (S_IWGRP | S_IWOTH)))
		return -EPERM;
	if (fchownat(fd, "", (uid_t)-1, (gid_t)-1, AT_EMPTY_PATH) < 0)
		return -errno;
	bfs_kill_privileges(fd, writer);
	return 0;
}

static int set_owner(struct bfs_fs *fs, uint64_t nodeid, int fd,
		     struct bfs_owner owner)
{
	BFS_FILE struct bfs_file file = { 0 };
	struct stat st;
	int r;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (!fs->owners || !S_ISREG(st.st_mode))
		return fchownat(fd, "", owner.uid, owner.gid, AT_EMPTY_PATH) < 0
			       ? -errno
			       : 0;
	r = bfs_file_open(fs, nodeid, O_PATH | O_NOFOLLOW, &file);
	return r < 0 ? r : bfs_file_chown(&file, owner.uid, owner.gid);
}

int bfs_setattr(struct bfs_fs *fs, uint64_t nodeid,
		const struct bfs_attributes *a, struct stat *ret_st)
{
	BFS_FD int fd = -1;
	int r = a->set_size ? set_size(fs, nodeid, a) : 0;

	if (r < 0)
		return r;
	if ((fd = bfs_node_open(fs->nodes, nodeid, O_PATH | O_NOFOLLOW)) < 0)
		return fd;
	if (a->touch_owner && (r = touch_owner(fd, &a->writer)) < 0)
		return r;
	if (a->set_owner && (r = set_owner(fs, nodeid, fd, a->owner)) < 0)
		return r;
	if (a->set_mode && chmod(bfs_fd_path(fd).text, a->mode & 07777) < 0)
		return -errno;
	if (a->set_times && utimensat(fd, "", a->times, AT_EMPTY_PATH) < 0)
		return -errno;
	return bfs_stat_path_fd(fd, ret_st);
}
