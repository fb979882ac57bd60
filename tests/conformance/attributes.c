/* SPDX-License-Identifier: MIT */
/*
 * attributes.c - chmod, chown, set-ID bits, stat, statx, statfs, st_blocks.
 */
#include "conformance.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>

static void chmod_modes(void)
{
	static const mode_t modes[] = { 0,     0777,  0644,  04755, 02755,
					02745, 01644, 07777, 010644 };
	struct watch watch;
	char what[32];

	make_file("f", "", 0644);
	make_dir("d", 0755);
	for (size_t i = 0; i < sizeof(modes) / sizeof(*modes); i++) {
		snprintf(what, sizeof(what), "file %o", modes[i]);
		see(what, chmod("f", modes[i]));
		see_mode(strcat(what, " is"), "f");
		snprintf(what, sizeof(what), "directory %o", modes[i]);
		see(what, chmod("d", modes[i]));
		see_mode(strcat(what, " is"), "d");
	}
	watch = watch_times("f");
	MUST(chmod("f", 0600));
	see_moved("times", "f", &watch);
}

static void chmod_errors(void)
{
	char *longer = long_name(256);
	int fd;

	make_file("f", "", 0644);
	MUST(symlink("loop", "loop"));
	MUST(symlink("nowhere", "dangling"));
	see("nothing", chmod("nothing", 0644));
	see("below a file", chmod("f/x", 0644));
	see("loop", chmod("loop", 0644));
	see("symlink to nothing", chmod("dangling", 0644));
	see("256 bytes", chmod(longer, 0644));
	see("empty name", chmod("", 0644));
	see("bad flag", fchmodat(AT_FDCWD, "f", 0644, 0x10000));
	see("bad descriptor", fchmod(-1, 0644));
	fd = (int)MUST(open("f", O_RDONLY));
	see("by a read-only descriptor", fchmod(fd, 0604));
	see_mode("mode", "f");
	see("fchmodat at a directory",
	    fchmodat((int)MUST(open(".", O_RDONLY)), "f", 0640, 0));
	see_mode("mode then", "f");
	see("nofollow of a file",
	    fchmodat(AT_FDCWD, "f", 0600, AT_SYMLINK_NOFOLLOW));
}

static void chmod_of_special_files(void)
{
	MUST(mkfifo("p", 0600));
	see("fifo", chmod("p", 06711));
	see_mode("fifo is", "p");
	MUST(mknod("s", S_IFSOCK | 0600, 0));
	see("socket", chmod("s", 0711));
	see_mode("socket is", "s");
}

static void chown_by_its_owner(void)
{
	struct watch watch;

	make_file("f", "", 0644);
	MUST(chmod("f", 06755));
	watch = watch_times("f");
	see("to nobody in particular", chown("f", (uid_t)-1, (gid_t)-1));
	see_moved("times by that", "f", &watch);
	see_mode("mode by that", "f");
	MUST(chmod("f", 06755));
	watch = watch_times("f");
	see("to itself", chown("f", geteuid(), getegid()));
	see_moved("times", "f", &watch);
	see_mode("mode", "f");
	make_dir("d", 06755);
	see("directory to itself", chown("d", geteuid(), getegid()));
	see_mode("mode of the directory", "d");
	MUST(chmod("f", 02745));
	see("group without x to itself", chown("f", (uid_t)-1, getegid()));
	see_mode("mode of that", "f");
}

static void chown_errors(void)
{
	make_file("f", "", 0644);
	MUST(symlink("loop", "loop"));
	MUST(symlink("nowhere", "dangling"));
	see("nothing", chown("nothing", geteuid(), getegid()));
	see("below a file", chown("f/x", geteuid(), getegid()));
	see("loop", chown("loop", geteuid(), getegid()));
	see("symlink to nothing", chown("dangling", geteuid(), getegid()));
	see("lchown of it", lchown("dangling", geteuid(), getegid()));
	see("bad descriptor", fchown(-1, geteuid(), getegid()));
	see("bad flag", fchownat(AT_FDCWD, "f", geteuid(), getegid(), 1));
	see("by an empty path", fchownat((int)MUST(open("f", O_PATH)), "",
					 geteuid(), getegid(), AT_EMPTY_PATH));
}

static void see_owner(const char *what, const char *path)
{
	struct stat st;

	MUST(lstat(path, &st));
	see_text(what, "%u:%u %o", st.st_uid, st.st_gid, st.st_mode);
}

static void chown_by_root(void)
{
	struct watch watch;

	make_file("f", "", 06755);
	MUST(symlink("f", "l"));
	make_dir("d", 06755);
	MUST(mkfifo("p", 0644));
	watch = watch_times("f");
	see("owner and group", chown("f", 1001, 2001));
	see_moved("times", "f", &watch);
	see_owner("file", "f");
	MUST(chmod("f", 06755));
	see("owner alone", chown("f", 1002, (gid_t)-1));
	see_owner("file then", "f");
	MUST(chmod("f", 02644));
	see("group alone", chown("f", (uid_t)-1, 2002));
	see_owner("file at last", "f");
	see("directory", chown("d", 1001, 2001));
	see_owner("directory is", "d");
	see("symlink", lchown("l", 1003, 2003));
	see_owner("symlink is", "l");
	see_owner("its target is", "f");
	see("fifo", chown("p", 1003, 2003));
	see_owner("fifo is", "p");
	see("large ids", chown("f", 4000000000U, 4000000001U));
	see_owner("large ids are", "f");
}

static void chown_by_users(void)
{
	const struct user member = { 1001, 2001, { 2005, 2006 } };

	make_file("f", "", 06775);
	MUST(chown("f", 1001, 2001));
	MUST(chmod("f", 06775));
	AS(alice) {
		see("owner gives it away", chown("f", 1002, (gid_t)-1));
		see("owner to another's group", chown("f", (uid_t)-1, 2002));
		see("owner to root", chown("f", 0, 0));
	}
	see_owner("after refusals", "f");
	AS(member) {
		see("owner to a supplementary group", chown("f", 1001, 2005));
		see_owner("after that", "f");
		see("owner back, by -1", chown("f", (uid_t)-1, 2001));
		MUST(chmod("f", 02644));
		see("owner, without x", chown("f", (uid_t)-1, 2006));
		see_owner("after that one", "f");
	}
	AS(carol) {
		see("other", chown("f", 1003, 2003));
		see("other, nobody in particular",
		    chown("f", (uid_t)-1, (gid_t)-1));
		see("other, as it is", chown("f", 1001, 2006));
		see("other chmods", chmod("f", 0777));
	}
}

static void chmod_by_users(void)
{
	make_file("f", "", 0644);
	MUST(chown("f", 1001, 2002));
	AS(alice) {
		see("set-group-ID of another's group", chmod("f", 02755));
		see_owner("is not set", "f");
		see("set-user-ID", chmod("f", 04755));
		see_owner("is set", "f");
		see("sticky file", chmod("f", 01644));
		see_owner("is sticky", "f");
	}
	make_dir("d", 0755);
	MUST(chown("d", 1001, 2002));
	AS(alice) {
		see("directory, another's group", chmod("d", 02755));
		see_owner("directory is", "d");
	}
}

static void clear_set_ids(const char *who)
{
	char what[64];
	int fd;

#define CLEARS(how, mode, deed)                                                \
	do {                                                                   \
		MUST(chmod("f", mode));                                        \
		deed;                                                          \
		snprintf(what, sizeof(what), "%s %s %o", who, how, mode);      \
		see_mode(what, "f");                                           \
	} while (0)
	fd = (int)MUST(open("f", O_RDWR));
	CLEARS("write", 06777, MUST(pwrite(fd, "x", 1, 0)));
	CLEARS("write", 02767, MUST(pwrite(fd, "x", 1, 0)));
	CLEARS("write of nothing", 06777, MUST(pwrite(fd, "x", 0, 0)));
	CLEARS("ftruncate", 06777, MUST(ftruncate(fd, 3)));
	CLEARS("ftruncate", 02767, MUST(ftruncate(fd, 4)));
	CLEARS("truncate", 06777, MUST(truncate("f", 2)));
	CLEARS("truncate to the same", 06777, MUST(truncate("f", 2)));
	CLEARS("open O_TRUNC", 06777, MUST(open("f", O_WRONLY | O_TRUNC)));
	CLEARS("fallocate", 06777, MUST(fallocate(fd, 0, 0, 8192)));
	CLEARS("chown of nothing", 06777, MUST(chown("f", -1, -1)));
	CLEARS("chown of nothing", 02767, MUST(chown("f", -1, -1)));
	CLEARS("read", 06777, MUST(pread(fd, what, 1, 0)));
#undef CLEARS
}

static void set_ids_are_cleared(void)
{
	make_file("f", "content", 0644);
	clear_set_ids("by its owner");
}

/* A writer that is not the owner cannot set them, but clears them. */
static void set_ids_are_cleared_by_others(void)
{
	make_file("f", "content", 06777);
	AS(carol)
		MUST(pwrite((int)MUST(open("f", O_RDWR)), "x", 1, 0));
	see_mode("write", "f");
	MUST(chmod("f", 06777));
	AS(carol)
		MUST(truncate("f", 3));
	see_mode("truncate", "f");
	MUST(chmod("f", 06777));
	AS(carol)
		MUST(open("f", O_WRONLY | O_TRUNC));
	see_mode("O_TRUNC", "f");
	MUST(chmod("f", 06777));
	AS(carol) {
		int fd = (int)MUST(open("f", O_RDWR));
		char *map;

		MUST(ftruncate(fd, 4096));
		map = mmap(NULL, 4096, PROT_WRITE, MAP_SHARED, fd, 0);
		map[0] = 'm';
	}
	see_mode("ftruncate and a mapped store", "f");
}

static void stat_fields(void)
{
	struct stat st, by_fd;
	struct statx sx;
	int fd;

	make_file("f", "0123456789", 0640);
	fd = (int)MUST(open("f", O_RDONLY));
	MUST(stat("f", &st));
	MUST(fstat(fd, &by_fd));
	see_text("file", "%o %ju %jd", st.st_mode, (uintmax_t)st.st_nlink,
		 (intmax_t)st.st_size);
	see("st_blocks", st.st_blocks);
	see("st_blksize", st.st_blksize);
	see_yes("inode by name and by descriptor", st.st_ino == by_fd.st_ino);
	see_yes("inode is not 0", st.st_ino != 0);
	see_text("st_rdev", "%ju", (uintmax_t)st.st_rdev);
	see_text("owner is the creator", "%d %d", st.st_uid == geteuid(),
		 st.st_gid == getegid());
	see("statx",
	    statx(AT_FDCWD, "f", 0, STATX_BASIC_STATS | STATX_BTIME, &sx));
	see_yes("all basic fields",
		(sx.stx_mask & STATX_BASIC_STATS) == STATX_BASIC_STATS);
	see_yes("birth time", sx.stx_mask & STATX_BTIME);
	see_yes("birth time is not after the change",
		sx.stx_mask & STATX_BTIME && sx.stx_btime.tv_sec > 0 &&
			(sx.stx_btime.tv_sec < sx.stx_ctime.tv_sec ||
			 (sx.stx_btime.tv_sec == sx.stx_ctime.tv_sec &&
			  sx.stx_btime.tv_nsec <= sx.stx_ctime.tv_nsec)));
	see("statx of a descriptor",
	    statx(fd, "", AT_EMPTY_PATH, STATX_SIZE, &sx));
	see("its size", (long)sx.stx_size);
	see_text("attributes", "%jx", (uintmax_t)sx.stx_attributes);
	see("AT_STATX_FORCE_SYNC",
	    statx(AT_FDCWD, "f", AT_STATX_FORCE_SYNC, STATX_ALL, &sx));
	see("AT_STATX_DONT_SYNC",
	    statx(AT_FDCWD, "f", AT_STATX_DONT_SYNC, STATX_ALL, &sx));
	see("both",
	    statx(AT_FDCWD, "f", AT_STATX_DONT_SYNC | AT_STATX_FORCE_SYNC,
		  STATX_ALL, &sx));
	see("reserved mask", statx(AT_FDCWD, "f", 0, STATX__RESERVED, &sx));
}

static void birth_time_stays(void)
{
	const struct timespec past[2] = { { 1000, 1 }, { 1000, 1 } };
	struct statx before, after;

	make_file("f", "", 0640);
	MUST(statx(AT_FDCWD, "f", 0, STATX_BTIME, &before));
	watch_times("f");
	MUST(chmod("f", 0600));
	MUST(truncate("f", 10));
	MUST(utimensat(AT_FDCWD, "f", past, 0));
	MUST(rename("f", "g"));
	MUST(statx(AT_FDCWD, "g", 0, STATX_BTIME, &after));
	see_yes("it is the same",
		before.stx_btime.tv_sec == after.stx_btime.tv_sec &&
			before.stx_btime.tv_nsec == after.stx_btime.tv_nsec);
	see_text("masks", "%d %d", !!(before.stx_mask & STATX_BTIME),
		 !!(after.stx_mask & STATX_BTIME));
	make_dir("d", 0755);
	MUST(statx(AT_FDCWD, "d", 0, STATX_BTIME, &after));
	see_yes("a directory has one", after.stx_mask & STATX_BTIME);
	MUST(symlink("d", "l"));
	MUST(statx(AT_FDCWD, "l", AT_SYMLINK_NOFOLLOW, STATX_BTIME, &after));
	see_yes("a symlink has one", after.stx_mask & STATX_BTIME);
}

static void stat_errors(void)
{
	char *longer = long_name(256);
	struct stat st;

	make_file("f", "", 0644);
	MUST(symlink("loop", "loop"));
	MUST(symlink("nowhere", "dangling"));
	see("nothing", stat("nothing", &st));
	see("below a file", stat("f/x", &st));
	see("a file with a slash", stat("f/", &st));
	see("loop", stat("loop", &st));
	see("lstat of a loop", lstat("loop", &st));
	see("size of a symlink", st.st_size);
	see("symlink to nothing", stat("dangling", &st));
	see("256 bytes", stat(longer, &st));
	see("empty name", stat("", &st));
	see("empty path of a descriptor",
	    fstatat((int)MUST(open(".", O_PATH)), "", &st, AT_EMPTY_PATH));
	see_mode("what that is", ".");
	see("bad descriptor", fstat(-1, &st));
}

static void statfs_fields(void)
{
	struct statvfs vfs;
	struct statfs fs;

	make_file("f", "", 0644);
	see("statvfs", statvfs("f", &vfs));
	see("f_namemax", (long)vfs.f_namemax);
	see("f_bsize", (long)vfs.f_bsize);
	see("f_frsize", (long)vfs.f_frsize);
	see_yes("blocks", vfs.f_blocks > 0 && vfs.f_bfree <= vfs.f_blocks &&
				  vfs.f_bavail <= vfs.f_bfree);
	see_yes("files", vfs.f_files > 0 && vfs.f_ffree <= vfs.f_files);
	see_yes("nosuid, nodev", (vfs.f_flag & (ST_NOSUID | ST_NODEV)) ==
					 (ST_NOSUID | ST_NODEV));
	see("fstatfs", fstatfs((int)MUST(open("f", O_RDONLY)), &fs));
	see("by O_PATH", fstatfs((int)MUST(open("f", O_PATH)), &fs));
	see("nothing", statfs("nothing", &fs));
	see("below a file", statfs("f/x", &fs));
}

static void statfs_counts(void)
{
	struct statvfs before, after;

	MUST(statvfs(".", &before));
	make_file("f", "", 0644);
	MUST(fallocate((int)MUST(open("f", O_RDWR)), 0, 0, 4 << 20));
	MUST(statvfs(".", &after));
	see_yes("blocks were taken", before.f_bfree > after.f_bfree);
	see_yes("a file was taken", before.f_ffree > after.f_ffree);
}

static void links_of_files(void)
{
	make_file("f", "", 0644);
	see_links("new", "f");
	for (int i = 0; i < 300; i++) {
		char name[16];

		snprintf(name, sizeof(name), "l%d", i);
		MUST(link("f", name));
	}
	see_links("many", "f");
	MUST(mkdir("d", 0755));
	MUST(mkdir("d/a", 0755));
	MUST(mkdir("d/b", 0755));
	MUST(link("f", "d/c"));
	see_links("directory", "d");
	MUST(rmdir("d/a"));
	see_links("directory with one less", "d");
}

const struct conformance_case attribute_cases[] = {
	{ "chmod-modes", chmod_modes, NEEDS_NOTHING },
	{ "chmod-errors", chmod_errors, NEEDS_NOTHING },
	{ "chmod-of-special-files", chmod_of_special_files, NEEDS_NOTHING },
	{ "chown-by-its-owner", chown_by_its_owner, NEEDS_NOTHING },
	{ "chown-errors", chown_errors, NEEDS_NOTHING },
	{ "chown-by-root", chown_by_root, NEEDS_USERS },
	{ "chown-by-users", chown_by_users, NEEDS_USERS },
	{ "chmod-by-users", chmod_by_users, NEEDS_USERS },
	{ "set-ids-are-cleared", set_ids_are_cleared, NEEDS_NOTHING },
	{ "set-ids-are-cleared-by-others", set_ids_are_cleared_by_others,
	  NEEDS_USERS },
	{ "stat-fields", stat_fields, NEEDS_NOTHING },
	{ "birth-time-stays", birth_time_stays, NEEDS_NOTHING },
	{ "stat-errors", stat_errors, NEEDS_NOTHING },
	{ "statfs-fields", statfs_fields, NEEDS_NOTHING },
	{ "statfs-counts", statfs_counts, NEEDS_NOTHING },
	{ "links-of-files", links_of_files, NEEDS_NOTHING },
	{ 0 },
};
