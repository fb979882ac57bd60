/* SPDX-License-Identifier: MIT */
/*
 * rights.c - a user without rights tries every operation on what is another's.
 * The directory holds, as another user's: `open` (0755) with `secret` (0600) and
 * `readable` (0644), `private` (0700) with `secret`, `sticky` (1777) with
 * `secret`; and `own` of the caller. Prints what each attempt came to, for who
 * compares that with another filesystem; none may succeed.
 */
#include "hostile.h"

#include <iobuf/ioctl.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <sys/xattr.h>
#include <unistd.h>

static void came_to(const char *what, const char *name, long result)
{
	printf("%s %s %s\n", what, name,
	       result < 0 ? strerrorname_np(errno) : "0");
	if (result >= 0)
		tell(what, __LINE__);
}

static long closed(int fd)
{
	return fd < 0 ? fd : close(fd);
}

static long open_read(const char *f)
{
	return closed(open(f, O_RDONLY | O_CLOEXEC));
}

static long open_write(const char *f)
{
	return closed(open(f, O_WRONLY | O_CLOEXEC));
}

static long open_both(const char *f)
{
	return closed(open(f, O_RDWR | O_CLOEXEC));
}

static long open_truncate(const char *f)
{
	return closed(open(f, O_RDONLY | O_TRUNC | O_CLOEXEC));
}

static long open_create(const char *f)
{
	return closed(open(f, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666));
}

static long by_path_fd(const char *f, int (*call)(const char *path))
{
	const int fd = open(f, O_PATH | O_CLOEXEC);
	char path[64];
	int result;

	if (fd < 0)
		return fd;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	result = call(path);
	close(fd);
	return result;
}

static int reopen(const char *path)
{
	return (int)closed(open(path, O_RDWR | O_CLOEXEC));
}

static int chmod_all(const char *path)
{
	return chmod(path, 0777);
}

static int link_here(const char *path)
{
	return linkat(AT_FDCWD, path, AT_FDCWD, "own/linked", AT_SYMLINK_FOLLOW);
}

static int truncate_one(const char *path)
{
	return truncate(path, 1);
}

static long path_reopen(const char *f)
{
	return by_path_fd(f, reopen);
}

static long path_chmod(const char *f)
{
	return by_path_fd(f, chmod_all);
}

static long path_link(const char *f)
{
	return by_path_fd(f, link_here);
}

static long path_truncate(const char *f)
{
	return by_path_fd(f, truncate_one);
}

static long empty_path_link(const char *f)
{
	const int fd = open(f, O_PATH | O_CLOEXEC);
	int result;

	if (fd < 0)
		return fd;
	result = linkat(fd, "", AT_FDCWD, "own/linked", AT_EMPTY_PATH);
	close(fd);
	/* Without the capability it is as if there was no such file. */
	return result;
}

static long do_truncate(const char *f) { return truncate(f, 1); }
static long do_chmod(const char *f) { return chmod(f, 0777); }
static long do_chown(const char *f) { return chown(f, getuid(), (gid_t)-1); }
static long do_chgrp(const char *f) { return chown(f, (uid_t)-1, getgid()); }
static long do_utimes(const char *f) { return utimensat(AT_FDCWD, f, NULL, 0); }
static long do_unlink(const char *f) { return unlink(f); }
static long do_link(const char *f) { return link(f, "own/linked"); }
static long do_move(const char *f) { return rename(f, "own/moved"); }
static long do_replace(const char *f) { return rename("own/file", f); }
static long do_access(const char *f) { return access(f, R_OK); }
static long do_access_write(const char *f) { return access(f, W_OK); }
static long do_execute(const char *f) { return execl(f, f, (char *)NULL); }

static long set_times(const char *f)
{
	const struct timespec times[2] = { { 1, 0 }, { 1, 0 } };

	return utimensat(AT_FDCWD, f, times, 0);
}

static long exchange(const char *f)
{
	return renameat2(AT_FDCWD, f, AT_FDCWD, "own/file", RENAME_EXCHANGE);
}

static long set_user(const char *f)
{
	return setxattr(f, "user.other", "x", 1, 0);
}

static long get_user(const char *f)
{
	char value[64];

	return getxattr(f, "user.comment", value, sizeof(value));
}

static long remove_user(const char *f)
{
	return removexattr(f, "user.comment");
}

static long set_trusted(const char *f)
{
	return setxattr(f, "trusted.other", "x", 1, 0);
}

static long set_capability(const char *f)
{
	/* cap_setuid+ep */
	static const unsigned char caps[20] = { 1, 0, 0, 2, 128 };

	return setxattr(f, "security.capability", caps, sizeof(caps), 0);
}

static long set_access_list(const char *f)
{
	static const unsigned char list[] = {
		2, 0, 0, 0, 1, 0, 7, 0, 255, 255, 255, 255, 4, 0, 7, 0, 255, 255,
		255, 255, 32, 0, 7, 0, 255, 255, 255, 255,
	};

	return setxattr(f, "system.posix_acl_access", list, sizeof(list), 0);
}

static const struct attempt {
	const char *what;
	long (*try)(const char *name);
} on_files[] = {
	{ "open_read", open_read },
	{ "open_write", open_write },
	{ "open_both", open_both },
	{ "open_truncate", open_truncate },
	{ "open_create", open_create },
	{ "path_reopen", path_reopen },
	{ "path_chmod", path_chmod },
	{ "path_link", path_link },
	{ "path_truncate", path_truncate },
	{ "empty_path_link", empty_path_link },
	{ "truncate", do_truncate },
	{ "chmod", do_chmod },
	{ "chown", do_chown },
	{ "chgrp", do_chgrp },
	{ "utimes_now", do_utimes },
	{ "utimes", set_times },
	{ "unlink", do_unlink },
	{ "link", do_link },
	{ "move", do_move },
	{ "replace", do_replace },
	{ "exchange", exchange },
	{ "access", do_access },
	{ "access_write", do_access_write },
	{ "execute", do_execute },
	{ "setxattr_user", set_user },
	{ "getxattr_user", get_user },
	{ "removexattr_user", remove_user },
	{ "setxattr_trusted", set_trusted },
	{ "setxattr_capability", set_capability },
	{ "setxattr_access_list", set_access_list },
};

static long in_dir(const char *d, int (*make_it)(const char *path))
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/made", d);
	return make_it(path);
}

static int create(const char *path)
{
	return (int)closed(open(path, O_CREAT | O_EXCL | O_RDWR, 0600));
}

static int directory(const char *path) { return mkdir(path, 0700); }
static int fifo(const char *path) { return mkfifo(path, 0600); }
static int symbolic(const char *path) { return symlink("x", path); }
static int put(const char *path) { return rename("own/file", path); }
static int put_link(const char *path) { return link("own/file", path); }
static int node(const char *p) { return mknod(p, S_IFCHR | 0600, makedev(1, 3)); }

static long dir_create(const char *d) { return in_dir(d, create); }
static long dir_mkdir(const char *d) { return in_dir(d, directory); }
static long dir_mkfifo(const char *d) { return in_dir(d, fifo); }
static long dir_symlink(const char *d) { return in_dir(d, symbolic); }
static long dir_rename(const char *d) { return in_dir(d, put); }
static long dir_link(const char *d) { return in_dir(d, put_link); }
static long dir_mknod(const char *d) { return in_dir(d, node); }
static long dir_rmdir(const char *d) { return rmdir(d); }

static long dir_tmpfile(const char *d)
{
	return closed(open(d, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
}

/* Those of a directory in which only its owner may change names. */
static const struct attempt on_directories[] = {
	{ "dir_create", dir_create },
	{ "dir_mkdir", dir_mkdir },
	{ "dir_mkfifo", dir_mkfifo },
	{ "dir_mknod", dir_mknod },
	{ "dir_symlink", dir_symlink },
	{ "dir_rename", dir_rename },
	{ "dir_link", dir_link },
	{ "dir_tmpfile", dir_tmpfile },
	{ "dir_setxattr", set_user },
	{ "dir_access_list", set_access_list },
	{ "dir_chmod", do_chmod },
	{ "dir_chown", do_chown },
	{ "dir_utimes", set_times },
	{ "dir_rmdir", dir_rmdir },
	{ "dir_move", do_move },
};

/* A file that may be read and no more. */
static void try_readable(const char *name)
{
	const int fd = open(name, O_RDONLY | O_CLOEXEC);
	const int mine = open("own/file", O_RDWR | O_CLOEXEC);
	loff_t zero = 0;
	void *map;

	MUST(fd);
	MUST(mine);
	came_to("write", name, write(fd, "x", 1));
	came_to("ftruncate", name, ftruncate(fd, 0));
	came_to("fallocate", name, fallocate(fd, 0, 0, 1 << 20));
	came_to("punch", name, fallocate(fd, FALLOC_FL_PUNCH_HOLE |
					 FALLOC_FL_KEEP_SIZE, 0, 4096));
	came_to("copy_file_range", name,
		copy_file_range(mine, NULL, fd, &zero, 1, 0));
	came_to("fchmod", name, fchmod(fd, 0777));
	came_to("fchown", name, fchown(fd, getuid(), (gid_t)-1));
	came_to("fsetxattr", name, fsetxattr(fd, "user.other", "x", 1, 0));
	came_to("fremovexattr", name, fremovexattr(fd, "user.comment"));
	map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	came_to("mmap_write", name, map == MAP_FAILED ? -1 : 0);
	map = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
	came_to("mprotect_write", name,
		mprotect(map, 4096, PROT_READ | PROT_WRITE));
	came_to("remove_pages", name, madvise(map, 4096, MADV_REMOVE));
	came_to("open_flags", name, fcntl(fd, F_SETLEASE, F_WRLCK));
	close(fd);
	close(mine);
}

/* What a process of the owner has open and mapped. */
static void try_process(const char *pid)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%s/fd/5", pid);
	came_to("process_fd", "open", open_both(path));
	came_to("process_fd", "link", link_here(path));
	came_to("process_fd", "truncate", truncate(path, 0));
	snprintf(path, sizeof(path), "/proc/%s/mem", pid);
	came_to("process_memory", "open", open_both(path));
	snprintf(path, sizeof(path), "/proc/%s/cwd/secret", pid);
	came_to("process_cwd", "open", open_read(path));
}

int rights(int argc, char **argv)
{
	static const char *const files[] = { "open/secret", "private/secret",
					     "sticky/secret" };
	static const char *const dirs[] = { "open", "private" };

	for (size_t f = 0; f < sizeof(files) / sizeof(files[0]); f++)
		for (size_t i = 0; i < sizeof(on_files) / sizeof(on_files[0]); i++)
			came_to(on_files[i].what, files[f],
				on_files[i].try(files[f]));
	for (size_t d = 0; d < sizeof(dirs) / sizeof(dirs[0]); d++)
		for (size_t i = 0;
		     i < sizeof(on_directories) / sizeof(on_directories[0]); i++)
			came_to(on_directories[i].what, dirs[d],
				on_directories[i].try(dirs[d]));
	came_to("readdir", "private", open_read("private"));
	came_to("chdir", "private", chdir("private"));
	came_to("sticky_setxattr", "sticky", set_user("sticky"));
	came_to("sticky_move", "sticky/secret",
		rename("sticky/secret", "sticky/other"));
	try_readable("open/readable");
	if (argc > 0)
		try_process(argv[0]);
	return told();
}

static void try_words(const char *name)
{
	static const struct {
		const char *name, *value;
	} words[] = {
		{ "user.iobuf", "capacity=8K" },
		{ "user.iobuf", "contiguous,capacity=8K" },
		{ "user.iobuf", "wired" },
		{ "user.iobuf", "task=self" },
		{ "user.iobuf", "life=lastclose" },
		{ "user.iobuf", "length=4096" },
		{ "user.iobuf", "none" },
		{ "user.iobuf.options", "wired" },
		{ "user.iobuf.capacity", "4096" },
		{ "user.iobuf.alignment", "4096" },
		{ "user.iobuf.physical_mask", "0xffffffff" },
		{ "user.iobuf.task", "self" },
		{ "user.iobuf.tag", "theirs" },
		{ "user.iobuf.direction", "none" },
		{ "user.iobuf.length", "0" },
		{ "user.iobuf.purgeable", "empty" },
		{ "user.iobuf.state", "kind=empty" },
		{ "user.iobuf.nothing", "" },
	};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		came_to(words[i].name, name,
			setxattr(name, words[i].name, words[i].value,
				 strlen(words[i].value), 0));
		came_to("remove", name, removexattr(name, words[i].name));
	}
}

static void try_looking(const char *name)
{
	static const char *const words[] = { "", ".options", ".capacity", ".task",
					     ".tag", ".length", ".purgeable",
					     ".state", ".segments" };
	char value[4096], word[64];

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		snprintf(word, sizeof(word), "user.iobuf%s", words[i]);
		came_to(word, name, getxattr(name, word, value, sizeof(value)));
	}
}

/* Who may write to it may not say when it goes. */
static void try_lives(const char *name)
{
	static const char *const words[] = { "task=self", "life=lastclose",
					     "capacity=4K,task=self" };

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		came_to(words[i], name,
			setxattr(name, "user.iobuf", words[i], strlen(words[i]),
				 0));
	came_to("task", name, setxattr(name, "user.iobuf.task", "self", 4, 0));
	MUST(close(open(name, O_RDWR | O_CLOEXEC)));
}

int own_rights(int argc, char **argv)
{
	static const char *const hidden[] = { "open/secret", "private/secret",
					      "sticky/secret", "open/cache" };
	const int path = open("open/cache", O_PATH | O_CLOEXEC);
	const int fd = open("open/readable", O_RDONLY | O_CLOEXEC);
	uint32_t empty = IOBUF_PURGEABLE_EMPTY;
	char value[4096];

	(void)argc;
	(void)argv;
	for (size_t i = 0; i < sizeof(hidden) / sizeof(hidden[0]); i++) {
		try_words(hidden[i]);
		try_looking(hidden[i]);
	}
	try_words("open/readable");
	try_words("open");
	try_words("private");
	try_words("sticky");
	try_lives("open/writable");
	came_to("purge", "cache", ioctl(path, IOBUF_IOC_SET_PURGEABLE, &empty));
	came_to("purge", "readable", ioctl(fd, IOBUF_IOC_SET_PURGEABLE, &empty));
	came_to("segments", "readable",
		getxattr("open/readable", "user.iobuf.segments", value,
			 sizeof(value)));
	return told();
}
