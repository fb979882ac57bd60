/* SPDX-License-Identifier: MIT */
/*
 * acls.c - POSIX access control lists, by the xattrs that carry them.
 */
#include "conformance.h"

#include <endian.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>

#define ACCESS "system.posix_acl_access"
#define DEFAULT "system.posix_acl_default"

enum {
	USER_OBJ = 1,
	USER = 2,
	GROUP_OBJ = 4,
	GROUP = 8,
	MASK = 16,
	OTHER = 32
};

struct entry {
	uint16_t tag, perm;
	uint32_t id;
};

static const struct {
	uint16_t tag;
	const char *name;
} tags[] = {
	{ USER_OBJ, "u" }, { USER, "u" }, { GROUP_OBJ, "g" },
	{ GROUP, "g" },	   { MASK, "m" }, { OTHER, "o" },
};

/* Whose id a word gives: nobody's, "me" or a number. */
static uint32_t id_of(char kind, const char *id)
{
	if (*id == ':')
		return UINT32_MAX;
	if (*id == 'm')
		return kind == 'u' ? geteuid() : getegid();
	return (uint32_t)atol(id);
}

/* "u::7 u:1001:6 g:me:5 g::5 m::7 o::0" to the bytes of the xattr. */
static size_t parse(const char *text, unsigned char *bytes)
{
	struct entry *entries = (struct entry *)(bytes + 4);
	char *copy = strdup(text), *rest = copy, *word;
	size_t count = 0;

	memcpy(bytes, &(uint32_t){ htole32(2) }, 4);
	while ((word = strsep(&rest, " "))) {
		char *id = strchr(word, ':') + 1, *perm = strchr(id, ':') + 1;
		const bool named = *id != ':';
		struct entry *e = &entries[count++];

		e->tag = htole16(*word == 'u'	? named ? USER : USER_OBJ
				 : *word == 'g' ? named ? GROUP : GROUP_OBJ
				 : *word == 'm' ? MASK
						: OTHER);
		e->perm = htole16((uint16_t)atoi(perm));
		e->id = htole32(id_of(*word, id));
	}
	free(copy);
	return 4 + count * sizeof(struct entry);
}

static int set_acl(const char *path, const char *type, const char *text)
{
	unsigned char bytes[512];

	return setxattr(path, type, bytes, parse(text, bytes), 0);
}

static void print_entry(const struct entry *e, char *text)
{
	const uint16_t tag = le16toh(e->tag);
	const uint32_t id = le32toh(e->id);
	const char *name = "?";

	for (size_t i = 0; i < sizeof(tags) / sizeof(*tags); i++)
		if (tags[i].tag == tag)
			name = tags[i].name;
	if (id == UINT32_MAX)
		sprintf(text, " %s::%o", name, le16toh(e->perm));
	else if (id == (tag == USER ? geteuid() : getegid()))
		sprintf(text, " %s:me:%o", name, le16toh(e->perm));
	else
		sprintf(text, " %s:%u:%o", name, id, le16toh(e->perm));
}

static void see_acl(const char *what, const char *path, const char *type)
{
	unsigned char bytes[512];
	char text[2048] = "";
	ssize_t size = lgetxattr(path, type, bytes, sizeof(bytes));

	if (size < 0) {
		see(what, -1);
		return;
	}
	for (ssize_t at = 4; at + 8 <= size; at += 8)
		print_entry((const void *)(bytes + at), text + strlen(text));
	see_text(what, "%s", text + (*text != '\0'));
}

static void acl_is_kept(void)
{
	make_file("f", "", 0640);
	make_dir("d", 0755);
	see_acl("none", "f", ACCESS);
	see_acl("no default", "d", DEFAULT);
	see("set", set_acl("f", ACCESS, "u::6 u:me:6 g::4 m::6 o::0"));
	see_acl("get", "f", ACCESS);
	see_mode("the mask is the group's bits", "f");
	see("size", getxattr("f", ACCESS, NULL, 0));
	see("no room", getxattr("f", ACCESS, (char[4]){ 0 }, 4));
	see("minimal", set_acl("f", ACCESS, "u::7 g::5 o::1"));
	see_acl("minimal is none", "f", ACCESS);
	see_mode("and is the mode", "f");
	see("set again", set_acl("f", ACCESS, "u::6 u:me:6 g::4 m::6 o::0"));
	see("remove", removexattr("f", ACCESS));
	see_acl("removed", "f", ACCESS);
	see_mode("mode then", "f");
	see("remove again", removexattr("f", ACCESS));
	see("default of a file", set_acl("f", DEFAULT, "u::7 g::5 o::0"));
	see("default of a directory", set_acl("d", DEFAULT, "u::7 g::5 o::0"));
	see_acl("that is", "d", DEFAULT);
	see_mode("mode of the directory", "d");
	see("remove the default", removexattr("d", DEFAULT));
	see_acl("removed default", "d", DEFAULT);
	see("remove the default again", removexattr("d", DEFAULT));
}

static void acl_errors(void)
{
	unsigned char bytes[512];
	size_t size = parse("u::6 u:me:6 g::4 m::6 o::0", bytes);

	make_file("f", "", 0640);
	MUST(symlink("f", "l"));
	MUST(mkfifo("p", 0640));
	see("no owner", set_acl("f", ACCESS, "u:me:6 g::4 m::6 o::0"));
	see("no mask", set_acl("f", ACCESS, "u::6 u:me:6 g::4 o::0"));
	see("no others", set_acl("f", ACCESS, "u::6 g::4"));
	see("one user twice",
	    set_acl("f", ACCESS, "u::6 u:1001:6 u:1001:4 g::4 m::6 o::0"));
	see("wrong order", set_acl("f", ACCESS, "g::4 u::6 o::0"));
	see("bad rights", set_acl("f", ACCESS, "u::17 g::4 o::0"));
	see("cut", setxattr("f", ACCESS, bytes, size - 1, 0));
	see("empty", setxattr("f", ACCESS, bytes, 0, 0));
	bytes[0] = 9;
	see("bad version", setxattr("f", ACCESS, bytes, size, 0));
	see("nothing", set_acl("nothing", ACCESS, "u::6 g::4 o::0"));
	bytes[0] = 2;
	see("symlink", lsetxattr("l", ACCESS, bytes, size, 0));
	see_acl("of a symlink", "l", ACCESS);
	see("fifo", set_acl("p", ACCESS, "u::6 u:me:6 g::4 m::6 o::0"));
	see_acl("fifo is", "p", ACCESS);
}

static void acl_names_others(void)
{
	make_file("f", "", 0640);
	make_dir("d", 0755);
	see("access",
	    set_acl("f", ACCESS, "u::6 u:1234:6 g::4 g:2345:4 m::6 o::0"));
	see_acl("access is", "f", ACCESS);
	see("default", set_acl("d", DEFAULT, "u::7 u:1234:6 g::4 m::6 o::0"));
	see_acl("default is", "d", DEFAULT);
}

static void acl_moves(void)
{
	struct watch watch;

	make_file("f", "", 0640);
	watch = watch_times("f");
	MUST(set_acl("f", ACCESS, "u::6 u:me:6 g::4 m::6 o::0"));
	see_moved("set", "f", &watch);
	watch = watch_times("f");
	MUST(removexattr("f", ACCESS));
	see_moved("remove", "f", &watch);
}

static void acl_and_chmod(void)
{
	make_file("f", "", 0640);
	MUST(set_acl("f", ACCESS, "u::6 u:me:7 g::5 g:me:6 m::7 o::4"));
	see_mode("mode", "f");
	see("chmod 0600", chmod("f", 0600));
	see_acl("acl after 0600", "f", ACCESS);
	see_mode("mode after 0600", "f");
	see("chmod 0751", chmod("f", 0751));
	see_acl("acl after 0751", "f", ACCESS);
	see("chmod 04755", chmod("f", 04755));
	see_acl("acl after 04755", "f", ACCESS);
	see_mode("mode after 04755", "f");
}

static void see_rights(const char *what, const char *path)
{
	char may[8] = "";

	if (open(path, O_RDONLY) >= 0)
		strcat(may, "r");
	if (open(path, O_WRONLY) >= 0)
		strcat(may, "w");
	if (access(path, X_OK) == 0)
		strcat(may, "x");
	see_text(what, "'%s'", may);
}

static void see_rights_of_all(const char *acl)
{
	const struct user dave = { 1004, 2004, { 2002, 2003 } };
	char what[128];

	MUST(set_acl("f", ACCESS, acl));
#define SEE(who, name)                                                         \
	AS(who) {                                                              \
		snprintf(what, sizeof(what), "%s: " name, acl);                \
		for (char *c = what; *c; c++)                                  \
			if (*c == ':')                                         \
				*c = '.';                                      \
		see_rights(what, "f");                                         \
	}
	SEE(alice, "owner");
	SEE(bob, "bob");
	SEE(carol, "carol");
	SEE(dave, "dave in 2002 and 2003");
#undef SEE
}

static void acl_is_enforced(void)
{
	make_file("f", "", 0640);
	MUST(chown("f", 1001, 2001));
	see_rights_of_all("u::6 g::4 o::0");
	see_rights_of_all("u::4 u:1003:6 g::0 m::6 o::0");
	see_rights_of_all("u::0 u:1001:7 u:1003:7 g::0 m::7 o::7");
	see_rights_of_all("u::6 u:1003:7 g::7 m::4 o::0");
	see_rights_of_all("u::6 g::0 g:2002:6 m::7 o::7");
	see_rights_of_all("u::6 g::0 g:2002:4 g:2003:2 m::7 o::0");
	see_rights_of_all("u::6 g::6 g:2002:0 m::7 o::7");
	see_rights_of_all("u::6 u:1002:0 g::7 m::7 o::7");
}

static void acl_of_directories_is_enforced(void)
{
	make_dir("d", 0700);
	make_file("d/f", "", 0666);
	MUST(set_acl("d", ACCESS, "u::7 u:1002:5 u:1003:7 g::0 m::7 o::0"));
	AS(alice)
		see_fd("other opens in it", open("d/f", O_RDONLY));
	AS(bob) {
		see_fd("reader opens in it", open("d/f", O_RDONLY));
		see_fd("reader creates", open("d/b", O_CREAT | O_RDWR, 0644));
		see("reader unlinks", unlink("d/f"));
	}
	AS(carol) {
		see_fd("writer creates", open("d/c", O_CREAT | O_RDWR, 0644));
		see("writer unlinks", unlink("d/f"));
	}
	MUST(chmod("d", 0700));
	AS(carol)
		see_fd("writer, masked by chmod", open("d/c", O_RDONLY));
}

static void acl_is_its_owners(void)
{
	make_file("f", "", 0666);
	make_dir("d", 0777);
	AS(carol) {
		see("other sets",
		    set_acl("f", ACCESS, "u::6 u:1003:7 g::4 m::7 o::0"));
		see("other sets a default",
		    set_acl("d", DEFAULT, "u::7 g::7 o::7"));
		see("other removes", removexattr("f", ACCESS));
		see_acl("other reads", "f", ACCESS);
	}
	MUST(chown("f", 1003, 2009));
	MUST(chmod("f", 02755));
	AS(carol) {
		see("owner sets",
		    set_acl("f", ACCESS, "u::7 u:1001:7 g::5 m::7 o::5"));
		see_mode("set-group-ID of another's group goes", "f");
	}
	MUST(chmod("f", 02755));
	see("root sets", set_acl("f", ACCESS, "u::7 u:1001:7 g::5 m::7 o::5"));
	see_mode("set-group-ID stays for root", "f");
}

static void default_acl_is_inherited(void)
{
	umask(022);
	make_dir("d", 0755);
	MUST(set_acl("d", DEFAULT, "u::7 u:me:6 g::7 g:me:7 m::7 o::5"));
	see_fd("file", open("d/f", O_CREAT | O_RDWR, 0666));
	see_acl("file's", "d/f", ACCESS);
	see_mode("file's mode, umask does not matter", "d/f");
	see_fd("private file", open("d/p", O_CREAT | O_RDWR, 0600));
	see_acl("private file's", "d/p", ACCESS);
	see_mode("private file's mode", "d/p");
	see("directory", mkdir("d/d", 0777));
	see_acl("directory's", "d/d", ACCESS);
	see_acl("directory's default", "d/d", DEFAULT);
	see_mode("directory's mode", "d/d");
	see("directory in it", mkdir("d/d/d", 0750));
	see_acl("that one's", "d/d/d", ACCESS);
	see_acl("that one's default", "d/d/d", DEFAULT);
	see("fifo", mkfifo("d/fifo", 0666));
	see_acl("fifo's", "d/fifo", ACCESS);
	see("mknod", mknod("d/node", S_IFREG | 0666, 0));
	see_acl("node's", "d/node", ACCESS);
	see_mode("node's mode", "d/node");
	see("symlink", symlink("f", "d/l"));
	see_acl("symlink's", "d/l", ACCESS);
	see_mode("symlink's mode", "d/l");
	see("tmpfile", linkat((int)MUST(open("d", O_TMPFILE | O_RDWR, 0666)),
			      "", AT_FDCWD, "d/t", AT_EMPTY_PATH));
	see_acl("tmpfile's", "d/t", ACCESS);
	make_file("moved", "", 0644);
	see("moved in", rename("moved", "d/moved"));
	see_acl("what moved in has none", "d/moved", ACCESS);
}

static void default_acl_without_names(void)
{
	umask(077);
	make_dir("d", 0755);
	MUST(set_acl("d", DEFAULT, "u::7 g::7 o::5"));
	see_fd("file", open("d/f", O_CREAT | O_RDWR, 0666));
	see_acl("file's", "d/f", ACCESS);
	see_mode("file's mode", "d/f");
	see("directory", mkdir("d/d", 0777));
	see_acl("directory's default", "d/d", DEFAULT);
	see_mode("directory's mode", "d/d");
	MUST(set_acl("d", DEFAULT, "u::0 g::0 o::0"));
	see_fd("file of no rights", open("d/g", O_CREAT | O_RDWR, 0666));
	see_mode("that one's mode", "d/g");
}

/* Both say what a new file is: the group by the bit, the rights by the list. */
static void default_acl_in_a_set_group_id_directory(void)
{
	struct stat st;

	make_dir("d", 0777);
	MUST(chown("d", 1001, 2002));
	MUST(set_acl("d", DEFAULT, "u::7 u:1003:6 g::5 m::7 o::0"));
	MUST(chmod("d", 02777));
	AS(alice) {
		see_fd("file", open("d/f", O_CREAT | O_RDWR, 02777));
		see("directory", mkdir("d/d", 0777));
	}
	MUST(stat("d/f", &st));
	see_text("file is", "%u:%u %o", st.st_uid, st.st_gid, st.st_mode);
	see_acl("file's", "d/f", ACCESS);
	MUST(stat("d/d", &st));
	see_text("directory is", "%u:%u %o", st.st_uid, st.st_gid, st.st_mode);
	see_acl("directory's", "d/d", ACCESS);
	see_acl("directory's default", "d/d", DEFAULT);
}

static void default_acl_for_users(void)
{
	make_dir("d", 0777);
	MUST(set_acl("d", DEFAULT, "u::6 u:1003:6 g::0 m::6 o::0"));
	AS(bob) {
		int fd = open("d/f", O_CREAT | O_RDWR, 0666);

		see("create", fd < 0 ? -1 : 0);
		see("write", write(fd, "abc", 3));
	}
	AS(carol)
		see_content("who is named reads it", "d/f");
	AS(alice)
		see_content("who is not", "d/f");
}

static void acl_goes_along(void)
{
	char list[256];
	ssize_t n;

	make_file("f", "", 0640);
	MUST(set_acl("f", ACCESS, "u::6 u:me:6 g::4 m::6 o::0"));
	MUST(setxattr("f", "user.x", "y", 1, 0));
	n = MUST(listxattr("f", list, sizeof(list)));
	see_yes("it is listed",
		memmem(list, (size_t)n, ACCESS, sizeof(ACCESS)));
	MUST(link("f", "g"));
	see_acl("by another name", "g", ACCESS);
	MUST(rename("f", "h"));
	see_acl("after a rename", "h", ACCESS);
	see("chown", chown("h", geteuid(), getegid()));
	see_acl("after chown", "h", ACCESS);
	see("an empty one", setxattr("h", ACCESS, "", 0, XATTR_CREATE));
	see_acl("after that", "h", ACCESS);
}

const struct conformance_case acl_cases[] = {
	{ "acl-is-kept", acl_is_kept, NEEDS_NOTHING },
	{ "acl-errors", acl_errors, NEEDS_NOTHING },
	{ "acl-names-others", acl_names_others, NEEDS_NOTHING },
	{ "acl-moves", acl_moves, NEEDS_NOTHING },
	{ "acl-and-chmod", acl_and_chmod, NEEDS_NOTHING },
	{ "acl-is-enforced", acl_is_enforced, NEEDS_USERS },
	{ "acl-of-directories-is-enforced", acl_of_directories_is_enforced,
	  NEEDS_USERS },
	{ "acl-is-its-owners", acl_is_its_owners, NEEDS_USERS },
	{ "default-acl-is-inherited", default_acl_is_inherited, NEEDS_NOTHING },
	{ "default-acl-without-names", default_acl_without_names,
	  NEEDS_NOTHING },
	{ "default-acl-in-a-set-group-id-directory",
	  default_acl_in_a_set_group_id_directory, NEEDS_USERS },
	{ "default-acl-for-users", default_acl_for_users, NEEDS_USERS },
	{ "acl-goes-along", acl_goes_along, NEEDS_NOTHING },
	{ 0 },
};
