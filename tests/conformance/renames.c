/* SPDX-License-Identifier: MIT */
/*
 * renames.c - rename and renameat2.
 */
#include "conformance.h"

#include <stdio.h>

static int rename_with(const char *from, const char *to, unsigned int flags)
{
	return renameat2(AT_FDCWD, from, AT_FDCWD, to, flags);
}

static void set_stage(void)
{
	make_file("f", "content of f", 0644);
	make_file("g", "content of g", 0644);
	make_dir("d", 0755);
	make_dir("empty", 0755);
	make_dir("full", 0755);
	make_file("full/x", "", 0644);
	MUST(symlink("f", "to-f"));
	MUST(symlink("d", "to-d"));
	MUST(symlink("loop", "loop"));
}

static void rename_errors(void)
{
	char *longer = long_name(256);

	set_stage();
	see("nothing", rename("nothing", "h"));
	see("into nothing", rename("f", "no/h"));
	see("below a file", rename("f", "g/h"));
	see("from below a file", rename("g/h", "h"));
	see("file onto a directory", rename("f", "d"));
	see("directory onto a file", rename("d", "f"));
	see("onto-nonempty-directory", rename("d", "full"));
	see("into its own child", rename("d", "d/sub"));
	see("into a deeper child", rename("full", "full/x/y"));
	see("onto its own parent", rename("full/x", "full"));
	see("dot", rename(".", "h"));
	see("dot dot", rename("..", "h"));
	see("onto dot", rename("d", "."));
	see("onto dot dot", rename("d", ".."));
	see("dot in it", rename("d/.", "h"));
	see("empty old name", rename("", "h"));
	see("empty new name", rename("f", ""));
	see("file with a slash", rename("f/", "h"));
	see("file to a slash", rename("f", "h/"));
	see("in a loop", rename("loop/x", "h"));
	see("to 256 bytes", rename("f", longer));
	see("of 256 bytes", rename(longer, "h"));
	see("to another filesystem", rename("f", "/proc/h"));
	see("symlink to a directory onto a directory", rename("to-d", "d"));
	see("directory onto a symlink to one", rename("d", "to-d"));
	see_content("f at last", "f");
	see_mode("d at last", "d");
}

static void rename_succeeds(void)
{
	set_stage();
	see("to a new name", rename("f", "h"));
	see_content("content", "h");
	see_mode("the old name", "f");
	see("onto a file", rename("h", "g"));
	see_content("content then", "g");
	see("onto itself", rename("g", "g"));
	see("onto an empty directory", rename("d", "empty"));
	see("full onto an empty directory", rename("full", "empty"));
	see_mode("what is in it", "empty/x");
	see("directory with slashes", rename("empty/", "new/"));
	see("of a symlink", rename("to-f", "moved"));
	see_mode("it is a symlink", "moved");
	see("onto a symlink", rename("g", "moved"));
	see_content("content of that", "moved");
	see("of a loop itself", rename("loop", "loop2"));
	see("by dot", rename("./moved", "new/../again"));
	see_content("content of that one", "again");
}

static void rename_links_of_one_file(void)
{
	make_file("f", "abc", 0644);
	MUST(link("f", "g"));
	see("onto the other", rename("f", "g"));
	see_links("links by f", "f");
	see_links("links by g", "g");
	see("EXCHANGE", rename_with("f", "g", RENAME_EXCHANGE));
	see("NOREPLACE", rename_with("f", "g", RENAME_NOREPLACE));
	see_links("links by f at last", "f");
}

static void rename_replaced_file_lives_on(void)
{
	struct stat st;
	char got[4] = "";
	int fd;

	make_file("f", "new", 0644);
	make_file("g", "old", 0644);
	fd = (int)MUST(open("g", O_RDWR));
	see("rename", rename("f", "g"));
	see("read", pread(fd, got, 3, 0));
	see_text("content by the old descriptor", "%s", got);
	see_content("content by name", "g");
	MUST(fstat(fd, &st));
	see("links by the old descriptor", (long)st.st_nlink);
	see("write", pwrite(fd, "xyz", 3, 0));
	see_content("content by name then", "g");
}

static void rename_replaced_file_has_links(void)
{
	make_file("f", "new", 0644);
	make_file("g", "old", 0644);
	MUST(link("g", "other"));
	see_links("links before", "other");
	see("rename", rename("f", "g"));
	see_links("links after", "other");
	see_content("content of the other name", "other");
}

static void rename_noreplace(void)
{
	set_stage();
	see("onto a file", rename_with("f", "g", RENAME_NOREPLACE));
	see("onto a directory", rename_with("f", "d", RENAME_NOREPLACE));
	see("onto a symlink to nothing",
	    rename_with("f", "loop", RENAME_NOREPLACE));
	see("onto itself", rename_with("f", "f", RENAME_NOREPLACE));
	see("nothing", rename_with("nothing", "g", RENAME_NOREPLACE));
	see("to a new name", rename_with("f", "h", RENAME_NOREPLACE));
	see_content("content", "h");
	see("directory to a new name",
	    rename_with("full", "h2", RENAME_NOREPLACE));
	see_mode("what is in it", "h2/x");
}

static void rename_exchange(void)
{
	set_stage();
	see("files", rename_with("f", "g", RENAME_EXCHANGE));
	see_content("f", "f");
	see_content("g", "g");
	see("file and full directory",
	    rename_with("f", "full", RENAME_EXCHANGE));
	see_mode("f is", "f");
	see_mode("full is", "full");
	see_mode("what is in it", "f/x");
	see("with nothing", rename_with("g", "nothing", RENAME_EXCHANGE));
	see("nothing", rename_with("nothing", "g", RENAME_EXCHANGE));
	see("with a symlink", rename_with("g", "to-d", RENAME_EXCHANGE));
	see_mode("g is", "g");
	see("with its child", rename_with("f", "f/x", RENAME_EXCHANGE));
	see("with its parent", rename_with("f/x", "f", RENAME_EXCHANGE));
	see("with NOREPLACE",
	    rename_with("f", "d", RENAME_EXCHANGE | RENAME_NOREPLACE));
	see("unknown flag", rename_with("f", "d", 1 << 10));
}

static void rename_exchange_across_directories(void)
{
	make_dir("a", 0755);
	make_dir("a/dir", 0755);
	make_dir("b", 0755);
	make_file("b/file", "abc", 0644);
	see("exchange", rename_with("a/dir", "b/file", RENAME_EXCHANGE));
	see_mode("what was a directory", "a/dir");
	see_mode("what was a file", "b/file");
	see_links("links of a", "a");
	see_links("links of b", "b");
}

static void rename_whiteout(void)
{
	struct stat st;

	make_file("f", "abc", 0644);
	see("whiteout", rename_with("f", "g", RENAME_WHITEOUT));
	see_mode("what is left", "f");
	if (stat("f", &st) == 0)
		see("its device", (long)st.st_rdev);
}

static void rename_moves(void)
{
	struct watch file, from, to;

	make_dir("a", 0755);
	make_dir("b", 0755);
	make_dir("a/d", 0755);
	make_file("a/f", "", 0644);
	file = watch_times("a/f");
	from = watch_times("a");
	to = watch_times("b");
	MUST(rename("a/f", "b/f"));
	see_moved("file", "b/f", &file);
	see_moved("old directory", "a", &from);
	see_moved("new directory", "b", &to);
	see_links("links of a", "a");
	MUST(rename("a/d", "b/d"));
	see_links("links of a after a directory left", "a");
	see_links("links of b after a directory came", "b");
	make_file("a/g", "", 0644);
	MUST(link("b/f", "other"));
	file = watch_times("other");
	MUST(rename("a/g", "b/f"));
	see_moved("replaced file", "other", &file);
}

static void rename_keeps_the_parent_true(void)
{
	struct stat a, b;

	make_dir("a", 0755);
	make_dir("b", 0755);
	make_dir("a/d", 0755);
	MUST(rename("a/d", "b/d"));
	MUST(stat("b/d/..", &a));
	MUST(stat("b", &b));
	see_yes(".. is the new parent", a.st_ino == b.st_ino);
}

static void rename_open_directory(void)
{
	int fd;

	make_dir("a", 0755);
	make_dir("b", 0755);
	fd = (int)MUST(open("a", O_RDONLY | O_DIRECTORY));
	MUST(rename("a", "b"));
	see_fd("create by the descriptor",
	       openat(fd, "f", O_RDWR | O_CREAT | O_EXCL, 0644));
	see_mode("it is under the new name", "b/f");
	see("rename by descriptors", renameat(fd, "f", AT_FDCWD, "g"));
	see_mode("what that moved", "g");
	see("bad descriptor", renameat(-1, "f", AT_FDCWD, "g"));
}

static void rename_directory_over_open_one(void)
{
	struct stat st;
	int fd;

	make_dir("a", 0755);
	make_dir("b", 0755);
	fd = (int)MUST(open("b", O_RDONLY | O_DIRECTORY));
	MUST(rename("a", "b"));
	see("fstat", fstat(fd, &st));
	see_fd("create in the replaced one",
	       openat(fd, "f", O_RDWR | O_CREAT, 0644));
}

const struct conformance_case rename_cases[] = {
	{ "rename-errors", rename_errors, NEEDS_NOTHING },
	{ "rename-succeeds", rename_succeeds, NEEDS_NOTHING },
	{ "rename-links-of-one-file", rename_links_of_one_file, NEEDS_NOTHING },
	{ "rename-replaced-file-lives-on", rename_replaced_file_lives_on,
	  NEEDS_NOTHING },
	{ "rename-replaced-file-has-links", rename_replaced_file_has_links,
	  NEEDS_NOTHING },
	{ "rename-noreplace", rename_noreplace, NEEDS_NOTHING },
	{ "rename-exchange", rename_exchange, NEEDS_NOTHING },
	{ "rename-exchange-across-directories",
	  rename_exchange_across_directories, NEEDS_NOTHING },
	{ "rename-whiteout", rename_whiteout, NEEDS_NOTHING },
	{ "rename-moves", rename_moves, NEEDS_NOTHING },
	{ "rename-keeps-the-parent-true", rename_keeps_the_parent_true,
	  NEEDS_NOTHING },
	{ "rename-open-directory", rename_open_directory, NEEDS_NOTHING },
	{ "rename-directory-over-open-one", rename_directory_over_open_one,
	  NEEDS_NOTHING },
	{ 0 },
};
