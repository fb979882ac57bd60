/* SPDX-License-Identifier: MIT */
/*
 * operations.c - one row of the table is one thing that a client does.
 */
#include "points.h"

#include <iobuf/ioctl.h>

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/xattr.h>
#include <unistd.h>

int dir = -1;

static int negated(int r)
{
	return r < 0 ? -errno : r;
}

/* What has to be there. */
static void have(int r, const char *what)
{
	if (r >= 0)
		return;
	perror(what);
	_exit(EXIT_FAILURE);
}

static int opened(const char *name, int flags)
{
	int fd = openat(dir, name, flags | O_CLOEXEC, 0644);

	have(fd, name);
	return fd;
}

static void make(const char *name, const char *spec, const char *bytes)
{
	int fd = opened(name, O_CREAT | O_EXCL | O_RDWR);

	if (spec)
		have(fsetxattr(fd, "user.iobuf", spec, strlen(spec), 0), spec);
	if (bytes)
		have((int)pwrite(fd, bytes, strlen(bytes), 0), "pwrite");
	close(fd);
}

static void make_a(void)
{
	make("a", NULL, "of a");
}

static void make_both(void)
{
	make_a();
	make("b", NULL, "of b");
}

static void make_both_and_directory(void)
{
	make_both();
	have(mkdirat(dir, "d", 0755), "d");
}

static void make_two_names(void)
{
	make_a();
	have(linkat(dir, "a", dir, "b", 0), "b");
}

static void make_directory(void)
{
	have(mkdirat(dir, "a", 0755), "a");
}

static void make_full_directory(void)
{
	make_directory();
	make("a/f", NULL, NULL);
}

static void make_defaults(void)
{
	const char spec[] = "capacity=8192,tag=handed";

	have(fsetxattr(dir, "user.iobuf", spec, strlen(spec), 0), spec);
}

static void make_attribute(void)
{
	const int fd = (make_a(), opened("a", O_RDONLY));

	have(fsetxattr(fd, "user.test", "old", 3, 0), "user.test");
	close(fd);
}

static void make_empty(void)
{
	make("a", NULL, NULL);
}

static void make_tagged(void)
{
	make("a", "tag=old", NULL);
}

/* A fixed one that holds some bytes. */
static void make_fixed(void)
{
	make("a", "capacity=16K", "12345");
	have(truncate("a", 5), "truncate");
}

static void make_wired(void)
{
	make("a", "wired", "12345");
}

static void make_purgeable(void)
{
	make("a", "purgeable,capacity=8192", "12345");
}

static int set(const char *name, const char *value, int flags)
{
	return negated(setxattr("a", name, value, strlen(value), flags));
}

static void make_volatile(void)
{
	make_purgeable();
	have(set("user.iobuf.purgeable", "volatile:group=3", 0), "volatile");
}

/* Open, and closed again. */
static int open_by(const char *name, int flags)
{
	int fd = openat(dir, name, flags | O_CLOEXEC, 0640);

	if (fd < 0)
		return -errno;
	close(fd);
	return 0;
}

static int run_create(void)
{
	return open_by("c", O_CREAT | O_EXCL | O_RDWR);
}

static int run_create_over(void)
{
	return open_by("a", O_CREAT | O_EXCL | O_RDWR);
}

static int run_open_truncating(void)
{
	return open_by("a", O_TRUNC | O_RDWR);
}

static int run_nameless(void)
{
	int fd = openat(dir, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0640);
	char path[64];
	int r;

	if (fd < 0)
		return -errno;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	have((int)pwrite(fd, "abc", 3, 0), "pwrite");
	r = negated(linkat(AT_FDCWD, path, dir, "c", AT_SYMLINK_FOLLOW));
	close(fd);
	return r;
}

static int run_mkdir(void)
{
	return negated(mkdirat(dir, "a", 0750));
}

static int run_mkfifo(void)
{
	return negated(mkfifoat(dir, "c", 0640));
}

static int run_mknod(void)
{
	return negated(mknodat(dir, "c", S_IFREG | 0640, 0));
}

static int run_symlink(void)
{
	return negated(symlinkat("target", dir, "c"));
}

static int run_link(void)
{
	return negated(linkat(dir, "a", dir, "b", 0));
}

static int run_unlink(void)
{
	return negated(unlinkat(dir, "a", 0));
}

static int run_rmdir(void)
{
	return negated(unlinkat(dir, "a", AT_REMOVEDIR));
}

static int run_rename(void)
{
	return negated(renameat(dir, "a", dir, "b"));
}

static int run_noreplace(void)
{
	return negated(renameat2(dir, "a", dir, "b", RENAME_NOREPLACE));
}

static int run_exchange(void)
{
	return negated(renameat2(dir, "a", dir, "b", RENAME_EXCHANGE));
}

static int run_move(void)
{
	return negated(renameat(dir, "a", dir, "d/a"));
}

static int write_by(int flags, off_t offset)
{
	int fd = opened("a", O_RDWR | flags);
	int r = negated((int)(offset < 0 ? write(fd, "abc", 3)
					 : pwrite(fd, "abc", 3, offset)));

	close(fd);
	return r;
}

static int run_append(void)
{
	return write_by(O_APPEND, -1);
}

static int run_two_appends(void)
{
	int fd = opened("a", O_RDWR | O_APPEND);
	int r = negated((int)write(fd, "abc", 3));

	if (r == 3)
		r = negated((int)write(fd, "defg", 4));
	close(fd);
	return r;
}

static int run_write(void)
{
	return write_by(0, 4090);
}

static int run_setxattr(void)
{
	return set("user.test", "new", XATTR_CREATE);
}

static int run_replace(void)
{
	return set("user.test", "new", XATTR_REPLACE);
}

static int run_removexattr(void)
{
	return negated(removexattr("a", "user.test"));
}

static int run_configure(void)
{
	return set("user.iobuf", "capacity=8192,tag=new", XATTR_CREATE);
}

static int run_reconfigure(void)
{
	return set("user.iobuf", "tag=new", XATTR_REPLACE);
}

static int run_wire(void)
{
	return set("user.iobuf", "wired,capacity=64K", 0);
}

static int run_make_contiguous(void)
{
	return set("user.iobuf", "contiguous,capacity=64K", 0);
}

static int run_convert(void)
{
	return set("user.iobuf", "capacity=16K,tag=kept,length=4", 0);
}

static int run_convert_to_wired(void)
{
	return set("user.iobuf", "wired,capacity=16K,length=4", 0);
}

static int run_convert_to_contiguous(void)
{
	return set("user.iobuf", "contiguous,capacity=64K,length=4", 0);
}

static int run_unconfigure(void)
{
	return negated(removexattr("a", "user.iobuf"));
}

static int run_set_length(void)
{
	return set("user.iobuf.length", "8000", 0);
}

static int run_set_direction(void)
{
	return set("user.iobuf.direction", "out", 0);
}

static int run_defaults(void)
{
	const char spec[] = "wired,tag=new";

	return negated(fsetxattr(dir, "user.iobuf", spec, strlen(spec),
				 XATTR_CREATE));
}

static int purgeable_by(uint32_t state)
{
	int fd = opened("a", O_RDWR);
	int r = negated(ioctl(fd, IOBUF_IOC_SET_PURGEABLE, &state));

	close(fd);
	return r < 0 ? r : (int)state;
}

static int run_volatile(void)
{
	return purgeable_by(IOBUF_PURGEABLE_VOLATILE);
}

static int run_nonvolatile(void)
{
	return purgeable_by(IOBUF_PURGEABLE_NONVOLATILE);
}

static int run_empty(void)
{
	return purgeable_by(IOBUF_PURGEABLE_EMPTY);
}

static int run_grow(void)
{
	return negated(truncate("a", 10000));
}

static int run_shrink(void)
{
	return negated(truncate("a", 2));
}

static int allocate_by(int mode, off_t offset, off_t size)
{
	int fd = opened("a", O_RDWR);
	int r = negated(fallocate(fd, mode, offset, size));

	close(fd);
	return r;
}

static int run_fallocate(void)
{
	return allocate_by(0, 0, 9000);
}

static int run_punch(void)
{
	return allocate_by(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 1, 3);
}

static int run_zero(void)
{
	return allocate_by(FALLOC_FL_ZERO_RANGE, 2, 9000);
}

static int run_copy(void)
{
	int from = opened("a", O_RDONLY), to = opened("b", O_RDWR);
	int r = negated((int)copy_file_range(from, NULL, to, NULL, 4, 0));

	close(from);
	close(to);
	return r;
}

static int run_chmod(void)
{
	return negated(fchmodat(dir, "a", 0600, 0));
}

static int run_chown(void)
{
	return negated(fchownat(dir, "a", 1234, 1235, 0));
}

static int run_fleeting(void)
{
	int fd = opened("c", O_CREAT | O_EXCL | O_RDWR);
	int r = negated(fsetxattr(fd, "user.iobuf", "life=lastclose", 14, 0));

	have((int)pwrite(fd, "abc", 3, 0), "pwrite");
	close(fd);
	return r;
}

static int run_read(void)
{
	char bytes[16];
	int fd = opened("a", O_RDONLY);
	int r = negated((int)pread(fd, bytes, sizeof(bytes), 0));

	close(fd);
	return r == 5 && memcmp(bytes, "12345", 5) ? -EBADMSG : r;
}

const struct operation operations[] = {
	{ "create", NULL, run_create, 0 },
	{ "create over a file", make_a, run_create_over, -EEXIST },
	{ "create where a capacity is handed down", make_defaults, run_create,
	  0 },
	{ "open, truncating", make_a, run_open_truncating, 0 },
	{ "open a fixed one, truncating", make_fixed, run_open_truncating, 0 },
	{ "tmpfile and a name for it", NULL, run_nameless, 0 },
	{ "create, gone by its last close", NULL, run_fleeting, 0 },
	{ "mkdir", make_defaults, run_mkdir, 0 },
	{ "mkdir over a directory", make_directory, run_mkdir, -EEXIST },
	{ "mkfifo", NULL, run_mkfifo, 0 },
	{ "mknod", NULL, run_mknod, 0 },
	{ "symlink", NULL, run_symlink, 0 },
	{ "link", make_a, run_link, 0 },
	{ "link over a file", make_both, run_link, -EEXIST },
	{ "unlink", make_a, run_unlink, 0 },
	{ "unlink one of two names", make_two_names, run_unlink, 0 },
	{ "unlink nothing", NULL, run_unlink, -ENOENT },
	{ "rmdir", make_directory, run_rmdir, 0 },
	{ "rmdir of a full one", make_full_directory, run_rmdir, -ENOTEMPTY },
	{ "rename", make_a, run_rename, 0 },
	{ "rename over another", make_both, run_rename, 0 },
	{ "rename a directory", make_full_directory, run_rename, 0 },
	{ "rename into another directory", make_both_and_directory, run_move,
	  0 },
	{ "rename, no replace", make_a, run_noreplace, 0 },
	{ "rename, no replace, over another", make_both, run_noreplace,
	  -EEXIST },
	{ "exchange", make_both, run_exchange, 0 },
	{ "append", make_fixed, run_append, 3 },
	{ "append twice", make_fixed, run_two_appends, 4 },
	{ "append to a wired one", make_wired, run_append, 3 },
	{ "write past the end", make_fixed, run_write, 3 },
	{ "write past the end of a wired one", make_wired, run_write, 3 },
	{ "setxattr, create", make_a, run_setxattr, 0 },
	{ "setxattr, create, again", make_attribute, run_setxattr, -EEXIST },
	{ "setxattr, replace", make_attribute, run_replace, 0 },
	{ "setxattr, replace nothing", make_a, run_replace, -ENODATA },
	{ "removexattr", make_attribute, run_removexattr, 0 },
	{ "removexattr of none", make_a, run_removexattr, -ENODATA },
	{ "configure", make_empty, run_configure, 0 },
	{ "configure again", make_tagged, run_configure, -EEXIST },
	{ "configure otherwise", make_tagged, run_reconfigure, 0 },
	{ "configure as wired", make_empty, run_wire, 0 },
	{ "configure as contiguous", make_empty, run_make_contiguous, 0 },
	{ "configure what is allocated", make_fixed, run_wire, -EBUSY },
	{ "convert", make_a, run_convert, 0 },
	{ "convert to wired", make_a, run_convert_to_wired, 0 },
	{ "convert to contiguous", make_a, run_convert_to_contiguous, 0 },
	{ "unconfigure", make_tagged, run_unconfigure, 0 },
	{ "unconfigure nothing", make_empty, run_unconfigure, -ENODATA },
	{ "set defaults", NULL, run_defaults, 0 },
	{ "set the length", make_fixed, run_set_length, 0 },
	{ "set the direction", make_fixed, run_set_direction, 0 },
	{ "volatile", make_purgeable, run_volatile,
	  IOBUF_PURGEABLE_NONVOLATILE },
	{ "nonvolatile", make_volatile, run_nonvolatile,
	  IOBUF_PURGEABLE_VOLATILE | IOBUF_VOLATILE_GROUP(3) },
	{ "empty", make_volatile, run_empty,
	  IOBUF_PURGEABLE_VOLATILE | IOBUF_VOLATILE_GROUP(3) },
	{ "grow", make_a, run_grow, 0 },
	{ "grow a fixed one", make_fixed, run_grow, 0 },
	{ "grow a wired one", make_wired, run_grow, 0 },
	{ "shrink", make_a, run_shrink, 0 },
	{ "shrink a fixed one", make_fixed, run_shrink, 0 },
	{ "shrink a wired one", make_wired, run_shrink, 0 },
	{ "fallocate", make_a, run_fallocate, 0 },
	{ "fallocate a fixed one", make_fixed, run_fallocate, 0 },
	{ "fallocate a wired one", make_wired, run_fallocate, 0 },
	{ "punch a hole", make_a, run_punch, 0 },
	{ "punch a hole into a fixed one", make_fixed, run_punch, 0 },
	{ "zero a range of a fixed one", make_fixed, run_zero, 0 },
	{ "copy_file_range", make_both, run_copy, 4 },
	{ "chmod", make_a, run_chmod, 0 },
	{ "chown", make_a, run_chown, 0 },
	{ "read", make_fixed, run_read, 5 },
};

const size_t operation_count = sizeof(operations) / sizeof(operations[0]);
