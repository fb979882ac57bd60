/* SPDX-License-Identifier: MIT */
#include "pool.h"

#include "caller.h"
#include "fd.h"
#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

/*
 * A file name from a path, as systemd-escape(1) has it: '/' becomes '-', what
 * is not plain becomes \xNN. -ENAMETOOLONG when it does not fit.
 */
static int escape(const char *path, char *to, size_t size)
{
	static const char plain[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
		"0123456789:_.";
	size_t n = 0;

	path += *path == '/';
	for (; *path && n + 5 < size; path++) {
		if (*path == '/')
			to[n++] = '-';
		else if (strchr(plain, *path))
			to[n++] = *path;
		else
			n += (size_t)snprintf(to + n, size - n, "\\x%02x",
					      (unsigned char)*path);
	}
	if (*path)
		return -ENAMETOOLONG;
	if (n == 0)
		to[n++] = '-';
	to[n] = '\0';
	return 0;
}

/* A directory of our own that nobody else may enter, nor has made for us. */
static int private_directory(const char *path)
{
	struct stat st;

	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return -errno;
	if (lstat(path, &st) < 0)
		return -errno;
	return S_ISDIR(st.st_mode) && st.st_uid == geteuid() &&
			       !(st.st_mode & 077)
		       ? 0
		       : -EPERM;
}

static bool is_tmpfs_root(const char *path)
{
	struct statfs fs;
	struct stat st, parent;
	char up[PATH_MAX + 4];

	snprintf(up, sizeof(up), "%s/..", path);
	return statfs(path, &fs) == 0 && fs.f_type == TMPFS_MAGIC &&
	       stat(path, &st) == 0 && stat(up, &parent) == 0 &&
	       st.st_dev != parent.st_dev;
}

static int mount_tmpfs(const struct bfs_config *config)
{
	/* inode32: inode numbers have to fit a nodeid, see node.c.
	 * huge=within_size: huge pages, yet a small file costs one page. */
	static const char *const huge[] = { ",huge=within_size", "" };
	char data[128];

	for (size_t i = 0; i < 2; i++) {
		snprintf(data, sizeof(data), "mode=1777,inode32%s%s%s", huge[i],
			 config->size[0] ? ",size=" : "", config->size);
		if (mount("bufferfs", config->pool, "tmpfs",
			  MS_NOSUID | MS_NODEV | config->atime_flags,
			  data) == 0)
			return 0;
	}
	return -errno;
}

/* An adopted pool gets the size that is asked for now. */
static int resize_tmpfs(const struct bfs_config *config)
{
	char data[64];

	if (!config->size[0])
		return 0;
	snprintf(data, sizeof(data), "size=%s", config->size);
	return mount("bufferfs", config->pool, "tmpfs",
		     MS_REMOUNT | MS_NOSUID | MS_NODEV | config->atime_flags,
		     data) < 0
		       ? -errno
		       : 0;
}

/* Who we are outside a user namespace of our own. */
static unsigned int outer_uid(void)
{
	const unsigned int uid = geteuid();
	struct bfs_uid_map map;

	return bfs_load_uid_map(&map) && uid >= map.inside &&
			       uid - map.inside < map.count
		       ? map.outside + (uid - map.inside)
		       : uid;
}

/* Where pools of our own are. Root of a user namespace alone has no say over
 * /run, and its pools are where the user's are. */
static int find_base(char *base, size_t size)
{
	if (geteuid() == 0) {
		snprintf(base, size, "/run/bufferfs");
		if (private_directory(base) == 0)
			return 0;
	}
	snprintf(base, size, "/dev/shm/bufferfs-%u", outer_uid());
	return private_directory(base);
}

static int own_pool(struct bfs_config *config)
{
	const bool may_mount = geteuid() == 0;
	char base[64], name[240];
	int r;

	if (!may_mount && config->size[0]) {
		bfs_log(LOG_ERR, "size= takes root: the pool of an ordinary "
				 "user is in /dev/shm, which has a size");
		return -EOPNOTSUPP;
	}
	if ((r = find_base(base, sizeof(base))) < 0 ||
	    (r = escape(config->mountpoint, name, sizeof(name))) < 0)
		return r;
	snprintf(config->pool, sizeof(config->pool), "%s/%s", base, name);
	config->own_pool = true;
	if (mkdir(config->pool, 0700) < 0) {
		if (errno != EEXIST)
			return -errno;
		config->adopted_pool = !may_mount ||
				       is_tmpfs_root(config->pool);
	}
	if (!may_mount)
		return 0;
	return config->adopted_pool ? resize_tmpfs(config)
				    : mount_tmpfs(config);
}

/* umount(2) returns before the daemon has let go of the pool: wait a while. */
static int lock_pool(int fd)
{
	enum { WAITS = 500 };
	const struct timespec wait = { 0, 10 * 1000 * 1000 };
	int r = flock(fd, LOCK_EX | LOCK_NB);

	for (int i = 0; i < WAITS && r < 0 && errno == EWOULDBLOCK; i++) {
		nanosleep(&wait, NULL);
		r = flock(fd, LOCK_EX | LOCK_NB);
	}
	return r == 0 ? 0 : errno == EWOULDBLOCK ? -EBUSY : -errno;
}

/* The directory of that path, ours alone. -EAGAIN: it is another by now. */
static int open_locked(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct stat opened, named;
	int r;

	if (fd < 0)
		return errno == ENOENT ? -EAGAIN : -errno;
	r = lock_pool(fd);
	if (r == 0 && (fstat(fd, &opened) < 0 || stat(path, &named) < 0 ||
		       opened.st_ino != named.st_ino ||
		       opened.st_dev != named.st_dev))
		r = -EAGAIN;
	if (r < 0) {
		close(fd);
		return r;
	}
	return fd;
}

static int refuse_pool(const struct bfs_config *config, int r)
{
	bfs_log(LOG_ERR, "cannot open the pool %s: %s", config->pool,
		r == -EBUSY ? "another bufferfs serves it" : strerror(-r));
	return r;
}

/*
 * The holder's lock alone tells that somebody serves the pool: what is left of a
 * worker may keep for long what it has. What workers have is another descriptor,
 * with a lock that tells that one of them is left.
 */
static int open_for_workers(int lock_fd)
{
	struct flock used = { .l_type = F_RDLCK, .l_whence = SEEK_SET };
	int fd = openat(lock_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	/* Where there are no locks of files, workers are not waited for. */
	fcntl(fd, F_OFD_SETLK, &used);
	return fd;
}

static bool is_used_by_others(int fd)
{
	struct flock used = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

	return fcntl(fd, F_OFD_GETLK, &used) == 0 && used.l_type != F_UNLCK;
}

int bfs_pool_wait(const struct bfs_config *config, int fd)
{
	enum { WAITS = 500 };
	const struct timespec wait = { 0, 10 * 1000 * 1000 };

	for (int i = 0; !config->reads_pool && is_used_by_others(fd); i++) {
		if (i == WAITS)
			return refuse_pool(config, -EBUSY);
		nanosleep(&wait, NULL);
	}
	return 0;
}

/*
 * A mount of the directory that nothing can be changed by, whatever becomes of
 * ours (mount -o remount,rw). -EPERM: it takes CAP_SYS_ADMIN.
 */
static int clone_read_only(const char *path)
{
	struct mount_attr attributes = { .attr_set = MOUNT_ATTR_RDONLY };
	BFS_FD int fd =
		open_tree(AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);

	if (fd < 0 || mount_setattr(fd, "", AT_EMPTY_PATH, &attributes,
				    sizeof(attributes)) < 0)
		return -errno;
	return bfs_fd_take(&fd);
}

/*
 * Who only reads is in nobody's way, and needs no lock; nor does it do what one
 * daemon alone may: end what others have begun, keep wired, purge, remove names.
 */
static int open_to_read(const struct bfs_config *config, int *ret_mount_fd)
{
	int fd, mount_fd = clone_read_only(config->pool);

	if (mount_fd < 0)
		return mount_fd;
	fd = openat(mount_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0) {
		int error = errno;

		close(mount_fd);
		return -error;
	}
	*ret_mount_fd = mount_fd;
	return fd;
}

static int open_pool(struct bfs_config *config)
{
	int fd, r = 0;

	if (config->pool[0])
		config->adopted_pool = true;
	else
		r = own_pool(config);
	if (r == -ENOENT && config->own_pool)
		return -EAGAIN; /* removed before we mounted there */
	if (r < 0) {
		bfs_log(LOG_ERR, "cannot make the pool %s: %s", config->pool,
			strerror(-r));
		return r;
	}
	if ((fd = open_locked(config->pool)) < 0)
		return fd == -EAGAIN ? fd : refuse_pool(config, fd);
	if (config->adopted_pool && config->own_pool)
		bfs_log(LOG_NOTICE, "adopted the pool %s", config->pool);
	return fd;
}

int bfs_pool_open(struct bfs_config *config, int *ret_lock_fd)
{
	enum { TRIES = 16 };
	char given[PATH_MAX];
	int fd, r = -EAGAIN;

	if (config->reads_pool) {
		if ((fd = open_to_read(config, ret_lock_fd)) >= 0)
			return fd;
		if (fd != -ENOSYS && (fd != -EPERM || bfs_has_sys_admin(getpid())))
			return refuse_pool(config, fd);
		bfs_log(LOG_NOTICE, "ro, and alone: to look on beside another "
			"takes CAP_SYS_ADMIN and Linux 5.12");
		config->reads_pool = false;
	}
	/* A pool of our own may vanish between finding and locking it: its
	 * mount has just ended. */
	strcpy(given, config->pool);
	for (int i = 0; i < TRIES && r == -EAGAIN; i++) {
		strcpy(config->pool, given);
		config->own_pool = config->adopted_pool = false;
		r = open_pool(config);
	}
	if (r < 0)
		return r == -EAGAIN ? refuse_pool(config, r) : r;
	if ((fd = open_for_workers(r)) < 0) {
		close(r);
		return refuse_pool(config, fd);
	}
	*ret_lock_fd = r;
	return fd;
}

static int remove_one(const char *path, const struct stat *st, int flag,
		      struct FTW *where)
{
	(void)st;
	(void)flag;
	(void)where;
	return remove(path) < 0 && errno != ENOENT ? -1 : 0;
}

void bfs_pool_remove(const struct bfs_config *config)
{
	if (!config->own_pool || config->keep)
		return;
	/* A lazy unmount: files may be open still, their memory goes last. */
	if (umount2(config->pool, MNT_DETACH | UMOUNT_NOFOLLOW) < 0 &&
	    geteuid() != 0)
		nftw(config->pool, remove_one, 16,
		     FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
	rmdir(config->pool);
}
