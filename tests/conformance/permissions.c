/* SPDX-License-Identifier: MIT */
/*
 * permissions.c - who may do what: owner, group, others, supplementary groups;
 * sticky and set-group-ID directories.
 */
#include "conformance.h"

#include <stdio.h>
#include <string.h>
#include <sys/fsuid.h>

static void see_owner(const char *what, const char *path)
{
	struct stat st;

	if (lstat(path, &st) < 0)
		see(what, -1);
	else
		see_text(what, "%u:%u %o", st.st_uid, st.st_gid, st.st_mode);
}

/* What this user may do with f, as letters. */
static void see_rights(const char *who, mode_t mode, const char *path)
{
	char what[64], may[8] = "";
	int fd;

	if ((fd = open(path, O_RDONLY)) >= 0)
		strcat(may, "r");
	close(fd);
	if ((fd = open(path, O_WRONLY)) >= 0)
		strcat(may, "w");
	close(fd);
	if (access(path, X_OK) == 0)
		strcat(may, "x");
	snprintf(what, sizeof(what), "%s, %03o", who, mode);
	see_text(what, "'%s'", may);
}

static void rights_of_files(void)
{
	static const mode_t modes[] = { 0700, 0070, 0007, 0640, 0604,
					0466, 0406, 0777, 0000 };
	const struct user dave = { 1004, 2004, { 2005, 2006, 2001 } };

	make_file("f", "#!/bin/true\n", 0644);
	MUST(chown("f", 1001, 2001));
	for (size_t i = 0; i < sizeof(modes) / sizeof(*modes); i++) {
		MUST(chmod("f", modes[i]));
		see_rights("root", modes[i], "f");
		AS(alice)
			see_rights("owner", modes[i], "f");
		AS(bob)
			see_rights("member", modes[i], "f");
		AS(dave)
			see_rights("member of several", modes[i], "f");
		AS(carol)
			see_rights("other", modes[i], "f");
	}
}

static void rights_of_directories(void)
{
	static const mode_t modes[] = { 0777, 0775, 0755, 0711, 0744,
					0733, 0700, 0070, 0007 };
	char what[64];

	make_dir("d", 0755);
	make_file("d/f", "", 0666);
	MUST(chown("d", 1001, 2001));
	for (size_t i = 0; i < sizeof(modes) / sizeof(*modes); i++) {
		MUST(chmod("d", modes[i]));
		for (int u = 0; u < 3; u++) {
			const struct user *who =
				(const struct user *const[]){ &alice, &bob,
							      &carol }[u];

			AS(*who) {
#define SEE(deed, result)                                                      \
	do {                                                                   \
		snprintf(what, sizeof(what), "%u %03o " deed, who->uid,        \
			 modes[i]);                                            \
		see(what, (result) < 0 ? -1 : 0);                              \
	} while (0)
				SEE("list", open("d", O_RDONLY));
				SEE("enter", chdir("d"));
				SEE("open in it", open("d/f", O_RDWR));
				SEE("stat in it", access("d/f", F_OK));
				SEE("create in it",
				    open("d/g", O_CREAT | O_RDWR, 0600));
				SEE("mkdir in it", mkdir("d/h", 0700));
				SEE("link in it", link("d/f", "d/l"));
				SEE("rename in it", rename("d/g", "d/g2"));
				SEE("unlink in it", unlink("d/g2"));
				SEE("rmdir in it", rmdir("d/h"));
				SEE("unlink the link", unlink("d/l"));
#undef SEE
			}
		}
	}
}

static void new_files_are_their_creators(void)
{
	make_dir("d", 0777);
	AS(bob) {
		MUST(open("d/f", O_CREAT | O_RDWR, 0644));
		MUST(mkdir("d/d", 0755));
		MUST(symlink("x", "d/l"));
		MUST(mkfifo("d/p", 0644));
		MUST(mknod("d/n", S_IFREG | 0644, 0));
		MUST(linkat(AT_FDCWD, "d/f", AT_FDCWD, "d/hard", 0));
		see("device", mknod("d/dev", S_IFCHR | 0644, 0x103));
	}
	see_owner("file", "d/f");
	see_owner("directory", "d/d");
	see_owner("symlink", "d/l");
	see_owner("fifo", "d/p");
	see_owner("mknod", "d/n");
	see_owner("hard link", "d/hard");
}

/* The identity that counts is the filesystem's. */
static void new_files_are_of_the_fsuid(void)
{
	setfsgid(2001);
	setfsuid(1001);
	make_dir("d", 0755);
	make_file("f", "", 0644);
	setfsuid(0);
	setfsgid(0);
	see_owner("directory", "d");
	see_owner("file", "f");
}

static void set_group_id_directories(void)
{
	make_dir("d", 0777);
	MUST(chown("d", 1003, 2009));
	MUST(chmod("d", 02777));
	AS(alice) {
		int fd;

		umask(0);
		see_fd("file", open("d/f", O_CREAT | O_RDWR, 0664));
		see_owner("file is", "d/f");
		see_fd("set-group-ID executable",
		       open("d/x", O_CREAT | O_RDWR, 02775));
		see_owner("that is", "d/x");
		see_fd("set-group-ID without x",
		       open("d/y", O_CREAT | O_RDWR, 02664));
		see_owner("that one is", "d/y");
		see_fd("set-user-ID", open("d/u", O_CREAT | O_RDWR, 04755));
		see_owner("set-user-ID is", "d/u");
		see("directory", mkdir("d/d", 0755));
		see_owner("directory is", "d/d");
		see("directory in it", mkdir("d/d/d", 0700));
		see_owner("directory in it is", "d/d/d");
		see("symlink", symlink("x", "d/l"));
		see_owner("symlink is", "d/l");
		see("fifo", mkfifo("d/p", 0644));
		see_owner("fifo is", "d/p");
		see("mknod, set-group-ID", mknod("d/n", S_IFREG | 02775, 0));
		see_owner("mknod is", "d/n");
		fd = (int)MUST(open("d", O_TMPFILE | O_RDWR, 0644));
		see("tmpfile", linkat(fd, "", AT_FDCWD, "d/t", AT_EMPTY_PATH));
		see_owner("tmpfile is", "d/t");
	}
	MUST(open("d/root", O_CREAT | O_RDWR, 02775));
	see_owner("root's set-group-ID file", "d/root");
}

static void sticky_directories(void)
{
	make_dir("d", 01777);
	MUST(chown("d", 1001, 2001));
	AS(bob) {
		make_file("d/bobs", "", 0666);
		make_file("d/bobs2", "", 0666);
		make_dir("d/bobs-dir", 0777);
		make_dir("d/bobs-dir2", 0777);
	}
	AS(carol) {
		make_file("d/carols", "", 0666);
		make_dir("d/carols-dir", 0777);
		see("unlink another's", unlink("d/bobs"));
		see("rename another's", rename("d/bobs", "d/x"));
		see("rename over another's", rename("d/carols", "d/bobs"));
		see("exchange with another's",
		    renameat2(AT_FDCWD, "d/carols", AT_FDCWD, "d/bobs",
			      RENAME_EXCHANGE));
		see("rename another's away", rename("d/bobs", "x"));
		see("rmdir another's", rmdir("d/bobs-dir"));
		see("rename another's directory", rename("d/bobs-dir", "d/y"));
		see("move another's directory into one's own",
		    rename("d/bobs-dir", "d/carols-dir/x"));
		see("link another's", link("d/bobs", "d/l"));
		see("write to another's", truncate("d/bobs", 5));
		see("open another's with O_CREAT",
		    open("d/bobs", O_CREAT | O_RDWR, 0644) < 0 ? -1 : 0);
		see("rename one's own", rename("d/carols", "d/carols2"));
		see("unlink one's own", unlink("d/carols2"));
	}
	AS(alice) {
		see("owner of the directory unlinks", unlink("d/bobs"));
		see("owner of the directory removes", rmdir("d/bobs-dir"));
	}
	see("root unlinks", unlink("d/bobs2"));
}

static void sticky_fifos_and_files(void)
{
	make_dir("d", 01777);
	AS(bob) {
		MUST(mkfifo("d/p", 0666));
		make_file("d/f", "", 0666);
		MUST(symlink("f", "d/l"));
	}
	AS(carol) {
		see_fd("fifo", open("d/p", O_RDWR | O_NONBLOCK));
		see_fd("fifo with O_CREAT",
		       open("d/p", O_RDWR | O_NONBLOCK | O_CREAT, 0600));
		see_fd("file with O_CREAT",
		       open("d/f", O_RDWR | O_CREAT, 0600));
	}
}

static void access_of_real_and_effective_ids(void)
{
	make_file("f", "", 0600);
	see("root reads and writes", access("f", R_OK | W_OK));
	see("root executes", access("f", X_OK));
	see("nothing", access("nothing", F_OK));
	see("bad mode", access("f", 64));
	MUST(setresuid(1001, 0, 0));
	see("real user", access("f", R_OK));
	see("effective user", faccessat(AT_FDCWD, "f", R_OK, AT_EACCESS));
	see("real user, exists", access("f", F_OK));
	MUST(setresuid(0, 0, 0));
	MUST(chmod("f", 0100));
	see("root executes an executable", access("f", X_OK));
	MUST(setresuid(0, 1001, 0));
	see("effective user of no rights",
	    faccessat(AT_FDCWD, "f", R_OK, AT_EACCESS));
	see("real user root", access("f", R_OK));
}

static void access_errors(void)
{
	char *longer = long_name(256);

	make_file("f", "", 0640);
	MUST(symlink("loop", "loop"));
	MUST(symlink("nowhere", "dangling"));
	see("exists", access("f", F_OK));
	see("read", access("f", R_OK));
	see("execute", access("f", X_OK));
	see("nothing", access("nothing", F_OK));
	see("below a file", access("f/x", F_OK));
	see("loop", access("loop", F_OK));
	see("symlink to nothing", access("dangling", F_OK));
	see("symlink itself",
	    faccessat(AT_FDCWD, "dangling", F_OK, AT_SYMLINK_NOFOLLOW));
	see("256 bytes", access(longer, F_OK));
	see("empty name", access("", F_OK));
}

/* Rights that were in force are not cached. */
static void changed_rights_hold_at_once(void)
{
	make_file("f", "abc", 0666);
	make_dir("d", 0777);
	make_file("d/f", "", 0666);
	AS(carol)
		see_fd("before", open("f", O_RDWR));
	MUST(chmod("f", 0600));
	AS(carol)
		see_fd("after chmod", open("f", O_RDWR));
	MUST(chown("f", 1003, 2003));
	AS(carol)
		see_fd("after chown", open("f", O_RDWR));
	AS(carol)
		see_fd("in the directory before", open("d/f", O_RDWR));
	MUST(chmod("d", 0700));
	AS(carol)
		see_fd("in the directory after", open("d/f", O_RDWR));
}

static void unreadable_files_of_users(void)
{
	make_dir("d", 0777);
	AS(alice) {
		int fd = open("d/f", O_CREAT | O_RDWR | O_EXCL, 0);

		see("create with mode 0", fd < 0 ? -1 : 0);
		see("write", write(fd, "abc", 3));
		see_fd("open again", open("d/f", O_RDONLY));
		see("unlink", unlink("d/f"));
		see("directory of mode 0", mkdir("d/d", 0));
		see_fd("create in it", open("d/d/f", O_CREAT | O_RDWR, 0644));
		see("remove it", rmdir("d/d"));
	}
}

static void renames_of_directories_need_rights(void)
{
	make_dir("a", 0777);
	make_dir("b", 0777);
	make_dir("a/d", 0755);
	make_file("a/f", "", 0600);
	AS(carol) {
		see("another's directory to another parent",
		    rename("a/d", "b/d"));
		see("another's directory within its parent",
		    rename("a/d", "a/e"));
		see("another's file", rename("a/f", "b/f"));
	}
	AS(alice) {
		make_dir("a/own", 0555);
		see("one's own without w, to another parent",
		    rename("a/own", "b/own"));
		see("one's own without w, within its parent",
		    rename("a/own", "a/own2"));
	}
}

static void links_need_rights(void)
{
	make_dir("d", 0777);
	make_file("private", "", 0600);
	make_file("public", "", 0666);
	make_file("set-id", "", 04777);
	AS(carol) {
		see("private", link("private", "d/a"));
		see("public", link("public", "d/b"));
		see("set-user-ID", link("set-id", "d/c"));
	}
}

const struct conformance_case permission_cases[] = {
	{ "rights-of-files", rights_of_files, NEEDS_USERS },
	{ "rights-of-directories", rights_of_directories, NEEDS_USERS },
	{ "new-files-are-their-creators", new_files_are_their_creators,
	  NEEDS_USERS },
	{ "new-files-are-of-the-fsuid", new_files_are_of_the_fsuid,
	  NEEDS_USERS },
	{ "set-group-id-directories", set_group_id_directories, NEEDS_USERS },
	{ "sticky-directories", sticky_directories, NEEDS_USERS },
	{ "sticky-fifos-and-files", sticky_fifos_and_files, NEEDS_USERS },
	{ "access-of-real-and-effective-ids", access_of_real_and_effective_ids,
	  NEEDS_USERS },
	{ "access-errors", access_errors, NEEDS_NOTHING },
	{ "changed-rights-hold-at-once", changed_rights_hold_at_once,
	  NEEDS_USERS },
	{ "unreadable-files-of-users", unreadable_files_of_users, NEEDS_USERS },
	{ "renames-of-directories-need-rights",
	  renames_of_directories_need_rights, NEEDS_USERS },
	{ "links-need-rights", links_need_rights, NEEDS_USERS },
	{ 0 },
};
