/* SPDX-License-Identifier: MIT */
/*
 * names.c - mkdir, rmdir, mknod, link, symlink, readlink, unlink.
 */
#include "conformance.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

static void mkdir_errors(void)
{
	char *longest = long_name(255), *longer = long_name(256);

	make_file("f", "", 0644);
	MUST(symlink("nowhere", "dangling"));
	MUST(symlink("loop", "loop"));
	see("new", mkdir("d", 0777));
	see_mode("its mode", "d");
	see_links("its links", "d");
	see("again", mkdir("d", 0777));
	see("onto a file", mkdir("f", 0777));
	see("onto a symlink to nothing", mkdir("dangling", 0777));
	see("with a slash", mkdir("e/", 0777));
	see("in nothing", mkdir("no/d", 0777));
	see("below a file", mkdir("f/d", 0777));
	see("in a loop", mkdir("loop/d", 0777));
	see("empty name", mkdir("", 0777));
	see("dot", mkdir(".", 0777));
	see("dot dot", mkdir("..", 0777));
	see("dot in a new one", mkdir("x/.", 0777));
	see("root", mkdir("/", 0777));
	see("255 bytes", mkdir(longest, 0777));
	see("256 bytes", mkdir(longer, 0777));
	see("sticky", mkdir("sticky", 01777));
	see_mode("mode of the sticky one", "sticky");
	see("set-ID", mkdir("ids", 06777));
	see_mode("mode of the set-ID one", "ids");
	umask(0077);
	see("umask 077", mkdir("private", 0777));
	see_mode("mode under umask 077", "private");
}

static void mkdir_moves(void)
{
	struct watch watch;

	make_dir("p", 0755);
	see_links("links of the parent", "p");
	watch = watch_times("p");
	MUST(mkdir("p/d", 0755));
	see_moved("times of the parent by mkdir", "p", &watch);
	see_links("links of the parent by mkdir", "p");
	watch = watch_times("p");
	MUST(rmdir("p/d"));
	see_moved("times of the parent by rmdir", "p", &watch);
	see_links("links of the parent by rmdir", "p");
}

static void rmdir_errors(void)
{
	char *longer = long_name(256);

	make_file("f", "", 0644);
	make_dir("d", 0755);
	make_dir("full", 0755);
	make_dir("full/sub", 0755);
	make_dir("file", 0755);
	make_file("file/f", "", 0644);
	MUST(symlink("d", "to-d"));
	MUST(symlink("loop", "loop"));
	see("nothing", rmdir("nothing"));
	see("a file", rmdir("f"));
	see("below a file", rmdir("f/x"));
	see("not empty", rmdir("full"));
	see("not empty by a file", rmdir("file"));
	see("dot", rmdir("."));
	see("dot in it", rmdir("d/."));
	see("dot dot", rmdir(".."));
	see("dot dot in it", rmdir("full/sub/.."));
	see("a symlink", rmdir("to-d"));
	see("a symlink with a slash", rmdir("to-d/"));
	see("a loop", rmdir("loop/x"));
	see("empty name", rmdir(""));
	see("256 bytes", rmdir(longer));
	see("with a slash", rmdir("d/"));
	see("again", rmdir("d"));
}

static void rmdir_open_one(void)
{
	struct stat st;
	int fd;

	make_dir("d", 0755);
	fd = (int)MUST(open("d", O_RDONLY | O_DIRECTORY));
	see("rmdir", rmdir("d"));
	see("fstat", fstat(fd, &st));
	see("links", (long)st.st_nlink);
	see("mkdirat in it", mkdirat(fd, "x", 0755));
	see_fd("openat of dot", openat(fd, ".", O_RDONLY));
	see("the name again", mkdir("d", 0755));
}

static void mknod_kinds(void)
{
	struct stat st;

	make_file("f", "", 0644);
	see("fifo", mknod("fifo", S_IFIFO | 0666, 0));
	see_mode("mode of the fifo", "fifo");
	see("socket", mknod("socket", S_IFSOCK | 0777, 0));
	see_mode("mode of the socket", "socket");
	see("regular", mknod("regular", S_IFREG | 0640, 0));
	see_mode("mode of the regular", "regular");
	see("no type", mknod("none", 0604, 0));
	see_mode("mode of no type", "none");
	see("directory", mknod("directory", S_IFDIR | 0755, 0));
	see("symlink", mknod("symlink", S_IFLNK | 0755, 0));
	see("onto a name", mknod("f", S_IFIFO | 0644, 0));
	see("in nothing", mknod("no/f", S_IFIFO | 0644, 0));
	see("below a file", mknod("f/f", S_IFIFO | 0644, 0));
	see("character device", mknod("null", S_IFCHR | 0666, makedev(1, 3)));
	see("block device", mknod("block", S_IFBLK | 0660, makedev(7, 200)));
	see("mkfifo again", mkfifo("fifo", 0644));
	see("unlink a fifo", unlink("fifo"));
	if (stat("null", &st) == 0)
		see_text("numbers", "%u:%u", major(st.st_rdev),
			 minor(st.st_rdev));
	see_fd("open a device", open("null", O_RDWR));
}

static void mknod_large_device_numbers(void)
{
	struct stat st;

	see("mknod", mknod("large", S_IFCHR | 0600, makedev(4095, 1048575)));
	MUST(stat("large", &st));
	see_text("numbers", "%u:%u", major(st.st_rdev), minor(st.st_rdev));
}

static void link_errors(void)
{
	char *longer = long_name(256);

	make_file("f", "abc", 0644);
	make_dir("d", 0755);
	MUST(symlink("f", "to-f"));
	MUST(symlink("nowhere", "dangling"));
	MUST(symlink("loop", "loop"));
	see("new", link("f", "g"));
	see_links("links", "f");
	see_content("content by the new name", "g");
	see("onto a file", link("f", "g"));
	see("onto a directory", link("f", "d"));
	see("onto a symlink", link("f", "dangling"));
	see("onto itself", link("f", "f"));
	see("of nothing", link("nothing", "h"));
	see("of a directory", link("d", "e"));
	see("in nothing", link("f", "no/h"));
	see("below a file", link("f", "g/h"));
	see("of below a file", link("f/x", "h"));
	see("of a loop", link("loop/x", "h"));
	see("256 bytes", link("f", longer));
	see("empty names", link("", "h"));
	see("empty new name", link("f", ""));
	see("with a slash", link("f", "h/"));
	see("of a symlink", link("to-f", "symlink"));
	see_mode("what that is", "symlink");
	see("AT_SYMLINK_FOLLOW",
	    linkat(AT_FDCWD, "to-f", AT_FDCWD, "followed", AT_SYMLINK_FOLLOW));
	see_mode("what that one is", "followed");
	see("bad flag", linkat(AT_FDCWD, "f", AT_FDCWD, "h", 0x10000));
	see("to another filesystem", link("f", "/proc/f"));
	see_links("links at last", "f");
}

static void link_moves(void)
{
	struct watch file, dir;

	make_file("f", "", 0644);
	make_dir("d", 0755);
	file = watch_times("f");
	dir = watch_times("d");
	MUST(link("f", "d/g"));
	see_moved("times of the file by link", "f", &file);
	see_moved("times of the directory by link", "d", &dir);
	file = watch_times("f");
	dir = watch_times("d");
	MUST(unlink("d/g"));
	see_moved("times of the file by unlink", "f", &file);
	see_moved("times of the directory by unlink", "d", &dir);
}

static void link_names_one_file(void)
{
	struct stat a, b;
	int fd;

	make_file("f", "", 0644);
	MUST(link("f", "g"));
	fd = (int)MUST(open("g", O_RDWR));
	MUST(write(fd, "by g", 4));
	see_content("f", "f");
	MUST(chmod("g", 0600));
	see_mode("mode of f", "f");
	MUST(stat("f", &a));
	MUST(stat("g", &b));
	see_yes("one inode", a.st_ino == b.st_ino && a.st_dev == b.st_dev);
	see("unlink f", unlink("f"));
	see_links("links of g", "g");
	see_content("g", "g");
}

static void link_special_files(void)
{
	MUST(mkfifo("p", 0644));
	see("of a fifo", link("p", "q"));
	see_links("links of the fifo", "q");
	MUST(mknod("s", S_IFSOCK | 0644, 0));
	see("of a socket", link("s", "t"));
	see_links("links of the socket", "t");
}

static void link_open_file_that_was_removed(void)
{
	char path[64];
	int fd;

	make_file("f", "abc", 0644);
	fd = (int)MUST(open("f", O_RDWR));
	MUST(unlink("f"));
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	see("linkat", linkat(AT_FDCWD, path, AT_FDCWD, "g", AT_SYMLINK_FOLLOW));
}

static void symlink_targets(void)
{
	char *targets[] = { long_name(1),    long_name(59),   long_name(255),
			    long_name(256),  long_name(1024), long_name(4094),
			    long_name(4095), long_name(4096), "a/../b//c/.",
			    "\xff\x01 \n" };
	char got[PATH_MAX + 1], name[32], what[64];
	struct stat st;
	ssize_t n;

	for (size_t i = 0; i < sizeof(targets) / sizeof(*targets); i++) {
		snprintf(name, sizeof(name), "l%zu", i);
		snprintf(what, sizeof(what), "%zu of %zu bytes", i,
			 strlen(targets[i]));
		see(what, symlink(targets[i], name));
		n = readlink(name, got, sizeof(got));
		if (n < 0 || lstat(name, &st) < 0)
			continue;
		snprintf(what, sizeof(what), "%zu is read", i);
		see_text(what, "%zd bytes, right: %d, st_size %jd, mode %o", n,
			 strncmp(got, targets[i], (size_t)n) == 0,
			 (intmax_t)st.st_size, st.st_mode);
	}
}

static void symlink_errors(void)
{
	char *longer = long_name(256);

	make_file("f", "", 0644);
	make_dir("d", 0755);
	see("new", symlink("f", "l"));
	see_mode("its mode", "l");
	see_links("its links", "l");
	see("again", symlink("f", "l"));
	see("onto a file", symlink("f", "f"));
	see("onto a directory", symlink("f", "d"));
	see("empty target", symlink("", "m"));
	see("empty name", symlink("f", ""));
	see("in nothing", symlink("f", "no/l"));
	see("below a file", symlink("f", "f/l"));
	see("256 bytes", symlink("f", longer));
	see("with a slash", symlink("f", "m/"));
	see("chmod through it", chmod("l", 0600));
	see("fchmodat of itself",
	    fchmodat(AT_FDCWD, "l", 0600, AT_SYMLINK_NOFOLLOW));
	see_mode("its mode then", "l");
	see("unlink", unlink("l"));
	see_mode("the target lives", "f");
}

static void readlink_errors(void)
{
	char got[16];

	make_file("f", "", 0644);
	make_dir("d", 0755);
	MUST(symlink("0123456789", "l"));
	see("whole", readlink("l", got, sizeof(got)));
	see("cut", readlink("l", got, 4));
	see("no room", readlink("l", got, 0));
	see("by O_PATH and no name",
	    readlinkat((int)MUST(open("l", O_PATH | O_NOFOLLOW)), "", got,
		       sizeof(got)));
	see("a file", readlink("f", got, sizeof(got)));
	see("a directory", readlink("d", got, sizeof(got)));
	see("nothing", readlink("no", got, sizeof(got)));
	see("below a file", readlink("f/x", got, sizeof(got)));
	see("with a slash", readlink("l/", got, sizeof(got)));
	see("empty name", readlink("", got, sizeof(got)));
}

static void unlink_errors(void)
{
	char *longer = long_name(256);

	make_file("f", "", 0644);
	make_dir("d", 0755);
	MUST(symlink("loop", "loop"));
	see("nothing", unlink("nothing"));
	see("a directory", unlink("d"));
	see("below a file", unlink("f/x"));
	see("file with a slash", unlink("f/"));
	see("in a loop", unlink("loop/x"));
	see("256 bytes", unlink(longer));
	see("empty name", unlink(""));
	see("dot", unlink("."));
	see("dot dot", unlink(".."));
	see("unlinkat AT_REMOVEDIR of a file",
	    unlinkat(AT_FDCWD, "f", AT_REMOVEDIR));
	see("unlinkat bad flag", unlinkat(AT_FDCWD, "f", 0x10000));
	see("a loop itself", unlink("loop"));
	see("a file", unlink("f"));
	see("again", unlink("f"));
}

static void unlink_open_file(void)
{
	struct stat st;
	char got[8] = "";
	int fd;

	make_file("f", "abc", 0644);
	fd = (int)MUST(open("f", O_RDWR));
	see("unlink", unlink("f"));
	see_fd("open by name", open("f", O_RDWR));
	see("fstat", fstat(fd, &st));
	see("links", (long)st.st_nlink);
	see("size", st.st_size);
	see("read", pread(fd, got, sizeof(got), 0));
	see("write", pwrite(fd, "defgh", 5, 3));
	see("read more", pread(fd, got, sizeof(got), 0));
	see_text("content", "%.8s", got);
	see("ftruncate", ftruncate(fd, 1));
	see("fchmod", fchmod(fd, 0600));
	see("futimens", futimens(fd, NULL));
	see("fsync", fsync(fd));
	see("fstat again", fstat(fd, &st));
	see_text("mode and size", "%o %jd", st.st_mode, (intmax_t)st.st_size);
	see("the name again",
	    open("f", O_RDWR | O_CREAT | O_EXCL, 0644) < 0 ? -1 : 0);
	MUST(fstat(fd, &st));
	see("size is still the old one's", st.st_size);
}

const struct conformance_case name_cases[] = {
	{ "mkdir-errors", mkdir_errors, NEEDS_NOTHING },
	{ "mkdir-moves", mkdir_moves, NEEDS_NOTHING },
	{ "rmdir-errors", rmdir_errors, NEEDS_NOTHING },
	{ "rmdir-open-one", rmdir_open_one, NEEDS_NOTHING },
	{ "mknod-kinds", mknod_kinds, NEEDS_NOTHING },
	{ "mknod-large-device-numbers", mknod_large_device_numbers,
	  NEEDS_ROOT },
	{ "link-errors", link_errors, NEEDS_NOTHING },
	{ "link-moves", link_moves, NEEDS_NOTHING },
	{ "link-names-one-file", link_names_one_file, NEEDS_NOTHING },
	{ "link-special-files", link_special_files, NEEDS_NOTHING },
	{ "link-open-file-that-was-removed", link_open_file_that_was_removed,
	  NEEDS_NOTHING },
	{ "symlink-targets", symlink_targets, NEEDS_NOTHING },
	{ "symlink-errors", symlink_errors, NEEDS_NOTHING },
	{ "readlink-errors", readlink_errors, NEEDS_NOTHING },
	{ "unlink-errors", unlink_errors, NEEDS_NOTHING },
	{ "unlink-open-file", unlink_open_file, NEEDS_NOTHING },
	{ 0 },
};
