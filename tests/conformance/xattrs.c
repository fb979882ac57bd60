/* SPDX-License-Identifier: MIT */
/*
 * xattrs.c - extended attributes that are nobody's but the user's.
 */
#include "conformance.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>

static int set(const char *path, const char *name, const char *value)
{
	return setxattr(path, name, value, strlen(value), 0);
}

static void see_value(const char *what, const char *path, const char *name)
{
	char value[64];
	ssize_t n = lgetxattr(path, name, value, sizeof(value));

	if (n < 0)
		see(what, -1);
	else
		see_text(what, "'%.*s'", (int)n, value);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The names, sorted: their order is nobody's promise. */
static void see_names(const char *what, const char *path)
{
	char list[4096], text[4096] = "", *names[64];
	ssize_t size = llistxattr(path, list, sizeof(list));
	size_t count = 0;

	if (size < 0) {
		see(what, -1);
		return;
	}
	for (char *at = list; at < list + size; at += strlen(at) + 1)
		names[count++] = at;
	qsort(names, count, sizeof(*names), by_name);
	for (size_t i = 0; i < count; i++)
		strcat(strcat(text, " "), names[i]);
	see_text(what, "%s", text + (*text != '\0'));
}

static void values_are_kept(void)
{
	make_file("f", "", 0644);
	see_value("none", "f", "user.a");
	see_names("no names", "f");
	see("set", set("f", "user.a", "one"));
	see_value("get", "f", "user.a");
	see("set again", set("f", "user.a", "another"));
	see_value("get again", "f", "user.a");
	see("empty value", set("f", "user.empty", ""));
	see_value("get the empty value", "f", "user.empty");
	see("with a space", set("f", "user.a b%s", "x"));
	see_value("get that", "f", "user.a b%s");
	see_names("names", "f");
	see("remove", removexattr("f", "user.a"));
	see_value("removed", "f", "user.a");
	see_names("names then", "f");
	see("remove again", removexattr("f", "user.a"));
	see("with a NUL", setxattr("f", "user.nul", "a\0b", 3, 0));
	see("its size", getxattr("f", "user.nul", NULL, 0));
}

static void flags_of_set(void)
{
	make_file("f", "", 0644);
	see("REPLACE nothing", setxattr("f", "user.a", "1", 1, XATTR_REPLACE));
	see("CREATE", setxattr("f", "user.a", "1", 1, XATTR_CREATE));
	see("CREATE again", setxattr("f", "user.a", "2", 1, XATTR_CREATE));
	see_value("value", "f", "user.a");
	see("REPLACE", setxattr("f", "user.a", "3", 1, XATTR_REPLACE));
	see_value("value then", "f", "user.a");
	see("both",
	    setxattr("f", "user.b", "3", 1, XATTR_CREATE | XATTR_REPLACE));
	see("unknown flag", setxattr("f", "user.c", "3", 1, 64));
}

static void sizes(void)
{
	char *big = calloc(1, 70000), got[70000];
	char name[300] = "user.";

	make_file("f", "", 0644);
	MUST(set("f", "user.a", "0123456789"));
	see("size", getxattr("f", "user.a", NULL, 0));
	see("too small", getxattr("f", "user.a", got, 9));
	see("just right", getxattr("f", "user.a", got, 10));
	see("list size", listxattr("f", NULL, 0));
	see("list too small", listxattr("f", got, 3));
	see("list just right", listxattr("f", got, 7));
	see("value of 1 KiB", setxattr("f", "user.k", big, 1024, 0));
	see("its size", getxattr("f", "user.k", got, sizeof(got)));
	see("value of 64 KiB and 1", setxattr("f", "user.big", big, 65537, 0));
	memset(name + 5, 'n', 250);
	see("name of 255", set("f", name, "v"));
	see_value("value of that", "f", name);
	name[255] = 'n';
	see("name of 256", set("f", name, "v"));
	see("get a name of 256", getxattr("f", name, got, 10));
	see("remove a name of 256", removexattr("f", name));
	see("no name", set("f", "", "v"));
	see("a name of user.", set("f", "user.", "v"));
}

static void large_value(void)
{
	char *big = calloc(1, 65536);

	make_file("f", "", 0644);
	memset(big, 'v', 65536);
	see("64 KiB", setxattr("f", "user.big", big, 65536, 0));
	see("its size", getxattr("f", "user.big", big, 65536));
	see("too small by one", getxattr("f", "user.big", big, 65535));
}

static void errors(void)
{
	char got[8];

	make_file("f", "", 0644);
	MUST(symlink("loop", "loop"));
	see("nothing", set("nothing", "user.a", "v"));
	see("get of nothing", getxattr("nothing", "user.a", got, 8));
	see("list of nothing", listxattr("nothing", got, 8));
	see("below a file", set("f/x", "user.a", "v"));
	see("loop", set("loop", "user.a", "v"));
	see("bad descriptor", fsetxattr(-1, "user.a", "v", 1, 0));
	see("O_PATH",
	    fsetxattr((int)MUST(open("f", O_PATH)), "user.a", "v", 1, 0));
	see("no namespace", set("f", "a", "v"));
	see("unknown namespace", set("f", "nowhere.a", "v"));
	see("get an unknown namespace", getxattr("f", "nowhere.a", got, 8));
	see("system", set("f", "system.a", "v"));
	see("get system", getxattr("f", "system.a", got, 8));
	see("by a read-only descriptor",
	    fsetxattr((int)MUST(open("f", O_RDONLY)), "user.a", "v", 1, 0));
	see_value("value of that", "f", "user.a");
}

static void kinds_of_files(void)
{
	MUST(mkdir("d", 0755));
	MUST(symlink("f", "l"));
	MUST(mkfifo("p", 0644));
	MUST(mknod("s", S_IFSOCK | 0644, 0));
	make_file("f", "", 0644);
	see("directory", set("d", "user.a", "v"));
	see_value("directory's", "d", "user.a");
	see("symlink", lsetxattr("l", "user.a", "v", 1, 0));
	see_value("symlink's", "l", "user.a");
	see_names("symlink's names", "l");
	see("through a symlink", set("l", "user.a", "v"));
	see_value("that is the file's", "f", "user.a");
	see("fifo", set("p", "user.a", "v"));
	see_value("fifo's", "p", "user.a");
	see("socket", set("s", "user.a", "v"));
	see_value("socket's", "s", "user.a");
	see_names("socket's names", "s");
}

static void spaces_of_root(void)
{
	make_file("f", "", 0644);
	MUST(symlink("f", "l"));
	see("trusted", set("f", "trusted.a", "v"));
	see_value("trusted is", "f", "trusted.a");
	see("trusted of a symlink", lsetxattr("l", "trusted.a", "w", 1, 0));
	see_value("that is", "l", "trusted.a");
	see("security", set("f", "security.a", "v"));
	see_value("security is", "f", "security.a");
	see_names("names", "f");
	see("remove trusted", removexattr("f", "trusted.a"));
	see("remove security", removexattr("f", "security.a"));
	see_names("names then", "f");
}

static void spaces_of_root_by_others(void)
{
	make_file("f", "", 0666);
	MUST(set("f", "trusted.a", "v"));
	MUST(set("f", "security.a", "v"));
	MUST(set("f", "user.a", "v"));
	AS(carol) {
		see("trusted", set("f", "trusted.b", "v"));
		see_value("trusted is", "f", "trusted.a");
		see("security", set("f", "security.b", "v"));
		see_value("security is", "f", "security.a");
		see_names("names", "f");
		see("remove security", removexattr("f", "security.a"));
		see("remove trusted", removexattr("f", "trusted.a"));
	}
}

static void capabilities_of_files(void)
{
	static const char capability[20] = { 1, 0, 0, 2, 0, 4 };
	char got[32];

	make_file("f", "x", 0755);
	see("set", setxattr("f", "security.capability", capability, 20, 0));
	see("get", getxattr("f", "security.capability", got, sizeof(got)));
	see_names("names", "f");
	AS(carol)
		see("by another",
		    setxattr("f", "security.capability", capability, 20, 0));
	MUST(pwrite((int)MUST(open("f", O_WRONLY)), "y", 1, 0));
	see("after a write",
	    getxattr("f", "security.capability", got, sizeof(got)));
	MUST(setxattr("f", "security.capability", capability, 20, 0));
	MUST(truncate("f", 0));
	see("after truncate",
	    getxattr("f", "security.capability", got, sizeof(got)));
	MUST(setxattr("f", "security.capability", capability, 20, 0));
	MUST(chown("f", 1001, 2001));
	see("after chown",
	    getxattr("f", "security.capability", got, sizeof(got)));
}

static void rights(void)
{
	make_file("f", "", 0644);
	MUST(set("f", "user.a", "v"));
	make_file("private", "", 0600);
	MUST(set("private", "user.a", "v"));
	make_file("write-only", "", 0622);
	MUST(set("write-only", "user.a", "v"));
	make_dir("sticky", 01777);
	AS(carol) {
		see("set without w", set("f", "user.b", "v"));
		see_value("get with r", "f", "user.a");
		see("remove without w", removexattr("f", "user.a"));
		see_value("get without r", "private", "user.a");
		see_names("list without r", "private");
		see("set with w", set("write-only", "user.b", "v"));
		see_value("get with w alone", "write-only", "user.a");
		see("on another's sticky directory",
		    set("sticky", "user.a", "v"));
	}
}

static void times_by_xattrs(void)
{
	struct watch watch;

	make_file("f", "", 0644);
	watch = watch_times("f");
	MUST(set("f", "user.a", "v"));
	see_moved("set", "f", &watch);
	watch = watch_times("f");
	see_value("value", "f", "user.a");
	see_moved("get", "f", &watch);
	watch = watch_times("f");
	MUST(removexattr("f", "user.a"));
	see_moved("remove", "f", &watch);
	watch = watch_times("f");
	see("remove what is not there", removexattr("f", "user.a"));
	see_moved("a failed remove", "f", &watch);
}

static void they_belong_to_the_file(void)
{
	char got[4];
	int fd;

	make_file("f", "", 0644);
	MUST(set("f", "user.a", "v"));
	MUST(link("f", "g"));
	see_value("by another name", "g", "user.a");
	MUST(rename("f", "h"));
	see_value("renamed", "h", "user.a");
	fd = (int)MUST(open("h", O_RDWR));
	MUST(unlink("g"));
	MUST(unlink("h"));
	see("of an unlinked one", fgetxattr(fd, "user.a", got, 4));
	see("set of an unlinked one", fsetxattr(fd, "user.b", "w", 1, 0));
	see("get of that", fgetxattr(fd, "user.b", got, 4));
	see("list of it", flistxattr(fd, NULL, 0));
}

static void many(void)
{
	char name[32], value[32];
	int kept = 0;

	make_file("f", "", 0644);
	for (int i = 0; i < 100; i++) {
		snprintf(name, sizeof(name), "user.name%d", i);
		snprintf(value, sizeof(value), "value %d", i);
		MUST(set("f", name, value));
	}
	for (int i = 0; i < 100; i++) {
		char got[32] = "";

		snprintf(name, sizeof(name), "user.name%d", i);
		snprintf(value, sizeof(value), "value %d", i);
		getxattr("f", name, got, sizeof(got));
		kept += !strcmp(got, value);
	}
	see("kept", kept);
	see("list size", listxattr("f", NULL, 0));
}

const struct conformance_case xattr_cases[] = {
	{ "xattr-values-are-kept", values_are_kept, NEEDS_NOTHING },
	{ "xattr-flags-of-set", flags_of_set, NEEDS_NOTHING },
	{ "xattr-sizes", sizes, NEEDS_NOTHING },
	{ "xattr-large-value", large_value, NEEDS_NOTHING },
	{ "xattr-errors", errors, NEEDS_NOTHING },
	{ "xattr-kinds-of-files", kinds_of_files, NEEDS_NOTHING },
	{ "xattr-spaces-of-root", spaces_of_root, NEEDS_NOTHING },
	{ "xattr-spaces-of-root-by-others", spaces_of_root_by_others,
	  NEEDS_USERS },
	{ "xattr-capabilities-of-files", capabilities_of_files, NEEDS_USERS },
	{ "xattr-rights", rights, NEEDS_USERS },
	{ "xattr-times", times_by_xattrs, NEEDS_NOTHING },
	{ "xattr-belongs-to-the-file", they_belong_to_the_file, NEEDS_NOTHING },
	{ "xattr-many", many, NEEDS_NOTHING },
	{ 0 },
};
