/* SPDX-License-Identifier: MIT */
/* names.c - who makes, links, moves and removes names. */
#include "deaths.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

static ino_t inode_of(int at, const char *name)
{
	struct stat st;

	return fstatat(at, name, &st, AT_SYMLINK_NOFOLLOW) < 0 ? 0 : st.st_ino;
}

/* A file with a byte in it, where that can be had; returns its inode. */
static ino_t make(int at, const char *name, int flags)
{
	struct stat st = { 0 };
	int fd;

	WANT(fd = openat(at, name, O_CREAT | O_RDWR | flags, 0644));
	if (fd < 0)
		return 0;
	WANT(fstat(fd, &st));
	IS(st.st_nlink == 1);
	IS(st.st_size == 0);
	if (!DONE(pwrite(fd, "x", 1, 0)))
		IS(lseek(fd, 0, SEEK_END) == 0);
	close(fd);
	return st.st_ino;
}

static void links(void)
{
	const ino_t a = make(dir, "a", O_EXCL);
	struct stat st = { 0 };

	WANT(linkat(dir, "a", dir, "b", 0));
	IS(inode_of(dir, "b") == a);
	WANT(fstatat(dir, "a", &st, 0));
	IS(st.st_nlink == 2);
	WANT_ERROR(linkat(dir, "a", dir, "b", 0), EEXIST);
	WANT(unlinkat(dir, "a", 0));
	WANT_ERROR(unlinkat(dir, "a", 0), ENOENT);
	WANT(unlinkat(dir, "b", 0));
}

static void renames(void)
{
	const ino_t a = make(dir, "a", O_EXCL), b = make(dir, "b", O_EXCL);

	WANT(renameat(dir, "a", dir, "c"));
	IS(inode_of(dir, "c") == a && inode_of(dir, "a") == 0);
	WANT(renameat2(dir, "c", dir, "b", RENAME_EXCHANGE));
	IS(inode_of(dir, "c") == b && inode_of(dir, "b") == a);
	WANT_ERROR(renameat2(dir, "c", dir, "b", RENAME_NOREPLACE), EEXIST);
	WANT(renameat2(dir, "c", dir, "d", RENAME_NOREPLACE));
	WANT(renameat(dir, "d", dir, "b"));
	IS(inode_of(dir, "b") == b && inode_of(dir, "d") == 0);
	WANT_ERROR(renameat(dir, "d", dir, "b"), ENOENT);
	WANT(unlinkat(dir, "b", 0));
}

/* Where the others do the same. */
static void renames_between_directories(void)
{
	char name[32];
	ino_t a;

	snprintf(name, sizeof(name), "%u.%u", self, turn);
	a = make(dir, "a", O_EXCL);
	WANT(renameat(dir, "a", shared, name));
	IS(inode_of(shared, name) == a);
	WANT(linkat(shared, name, dir, "b", 0));
	WANT(unlinkat(shared, name, 0));
	IS(inode_of(dir, "b") == a);
	WANT(unlinkat(dir, "b", 0));
}

static void directories(void)
{
	WANT(mkdirat(dir, "d", 0755));
	WANT_ERROR(mkdirat(dir, "d", 0755), EEXIST);
	make(dir, "d/f", O_EXCL);
	WANT_ERROR(unlinkat(dir, "d", AT_REMOVEDIR), ENOTEMPTY);
	WANT(renameat(dir, "d", dir, "e"));
	WANT(unlinkat(dir, "e/f", 0));
	WANT(unlinkat(dir, "e", AT_REMOVEDIR));
	WANT_ERROR(unlinkat(dir, "e", AT_REMOVEDIR), ENOENT);
}

static void others(void)
{
	char target[16] = "";

	WANT(symlinkat("target", dir, "s"));
	WANT(readlinkat(dir, "s", target, sizeof(target) - 1));
	IS(!strcmp(target, "target"));
	WANT(mkfifoat(dir, "p", 0600));
	WANT(mknodat(dir, "r", S_IFREG | 0600, 0));
	WANT(unlinkat(dir, "s", 0));
	WANT(unlinkat(dir, "p", 0));
	WANT(unlinkat(dir, "r", 0));
}

/* A file that is named after it is made. */
static void nameless(void)
{
	char path[32];
	struct stat st = { 0 };
	int fd, size;

	WANT(fd = openat(dir, ".", O_TMPFILE | O_RDWR, 0600));
	if (fd < 0)
		return;
	size = DONE(pwrite(fd, "abc", 3, 0)) ? 3 : 0;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	WANT(linkat(AT_FDCWD, path, dir, "t", AT_SYMLINK_FOLLOW));
	WANT(fstatat(dir, "t", &st, 0));
	IS(st.st_size == size && st.st_nlink == 1);
	close(fd);
	WANT(unlinkat(dir, "t", 0));
}

static void opens(void)
{
	const ino_t a = make(dir, "a", 0);
	int fd;

	WANT(fd = openat(dir, "a", O_CREAT | O_TRUNC | O_RDWR, 0644));
	close(fd);
	IS(inode_of(dir, "a") == a);
	WANT_ERROR(openat(dir, "a", O_CREAT | O_EXCL | O_RDWR, 0644), EEXIST);
	WANT(unlinkat(dir, "a", 0));
}

static void append_records(void)
{
	enum { RECORDS = 8, RECORD = 512 };
	char record[RECORD];
	int fd;

	WANT(fd = openat(dir, "a", O_RDWR | O_APPEND));
	for (int i = 0; i < RECORDS; i++) {
		memset(record, 'a' + i, sizeof(record));
		WANT(write(fd, record, sizeof(record)));
	}
	IS(lseek(fd, 0, SEEK_END) == RECORDS * RECORD);
	for (int i = 0; i < RECORDS; i++) {
		WANT(pread(fd, record, sizeof(record), (off_t)i * RECORD));
		IS(record[0] == 'a' + i && record[RECORD - 1] == 'a' + i);
	}
	close(fd);
}

/* Records one after another, each once; through the daemon. */
static void appends(void)
{
	bool is_fixed;
	int fd;

	WANT(fd = openat(dir, "a", O_CREAT | O_EXCL | O_RDWR, 0644));
	if (fd < 0)
		return;
	is_fixed = DONE(fsetxattr(fd, "user.iobuf", "capacity=16K", 12, 0));
	WANT(ftruncate(fd, 0));
	close(fd);
	if (is_fixed)
		append_records();
	WANT(unlinkat(dir, "a", 0));
}

static void attributes(void)
{
	int fd;

	make(dir, "a", O_EXCL);
	WANT(fd = openat(dir, "a", O_RDWR));
	if (fd < 0)
		return;
	WANT(fsetxattr(fd, "user.test", "1", 1, XATTR_CREATE));
	WANT_ERROR(fsetxattr(fd, "user.test", "2", 1, XATTR_CREATE), EEXIST);
	WANT(fsetxattr(fd, "user.test", "2", 1, XATTR_REPLACE));
	WANT(fremovexattr(fd, "user.test"));
	WANT_ERROR(fsetxattr(fd, "user.test", "3", 1, XATTR_REPLACE), ENODATA);
	WANT_ERROR(fremovexattr(fd, "user.test"), ENODATA);
	close(fd);
	WANT(unlinkat(dir, "a", 0));
}

play_function *const names_plays[] = {
	links, renames, renames_between_directories, directories, others,
	nameless, opens, appends, attributes,
};

const unsigned int names_plays_count =
	sizeof(names_plays) / sizeof(names_plays[0]);
