/* SPDX-License-Identifier: MIT */
/* names.c - names and attributes that nobody means well with. */
#include "hostile.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

/* That it is refused, and as what there is no sense in. */
static void refused(long result, const char *name, int line)
{
	static const int errors[] = { EINVAL, EPERM, EOPNOTSUPP, E2BIG, ERANGE,
				      EOVERFLOW, ENODATA };

	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++)
		if (result < 0 && errno == errors[i])
			return;
	tell(name, line);
}

static void garbage(const char *file, const char *name, const char *value,
		    size_t size)
{
	refused(setxattr(file, name, value, size, 0), name, __LINE__);
	refused(setxattr(file, name, value, size, XATTR_REPLACE), name,
		__LINE__);
}

/* What has no such name is not there, however it is asked for. */
static void unknown(const char *file, const char *name)
{
	char value[64];

	refused(getxattr(file, name, NULL, 0), name, __LINE__);
	refused(getxattr(file, name, value, sizeof(value)), name, __LINE__);
	refused(removexattr(file, name), name, __LINE__);
}

static void try_garbage(const char *file)
{
	static const char *const words[] = {
		"user.iobuf", "user.iobuf.options",
		"user.iobuf.capacity", "user.iobuf.alignment",
		"user.iobuf.physical_mask", "user.iobuf.task",
		"user.iobuf.direction", "user.iobuf.length",
		"user.iobuf.purgeable", "user.iobuf.state",
		"user.iobuf.segments", "user.iobuf.%s%n%s%n",
		"user.iobuf.\n", "user.iobuf.\xff\xfe", "user.iobuf.state.x",
		"user.iobuf...", "user.iobuf./../x", "user.iobuf.",
	};
	enum { UNKNOWN = 11 }; /* from here on */
	static const char *const values[] = {
		"%s%n%s%n", "\x1b[2J\n", "capacity=", "capacity=-1",
		"capacity=99999999999999999999999", "capacity=1K,capacity=1K",
		",,,,", "=", "task=-1", "wired,pageable", "mask=0x", "\xff\xfe",
		"options=0xfffffffffffffffffffff",
	};
	char large[XATTR_SIZE_MAX];

	for (size_t i = 0; i < sizeof(large); i++)
		large[i] = (char)(1 + random() % 255);
	for (size_t n = 0; n < sizeof(words) / sizeof(words[0]); n++) {
		for (size_t v = 0; v < sizeof(values) / sizeof(values[0]); v++)
			garbage(file, words[n], values[v], strlen(values[v]));
		garbage(file, words[n], large, sizeof(large));
		garbage(file, words[n], large, 4096);
		garbage(file, words[n], "wired\0pageable", 14);
		garbage(file, words[n], "wired\0", 7);
		if (n >= UNKNOWN)
			unknown(file, words[n]);
	}
}

/* What LIST says is there; how many. */
static int listed(const char *file)
{
	char list[XATTR_LIST_MAX];
	const ssize_t size = listxattr(file, list, sizeof(list));
	int count = 0;

	if (size < 0)
		tell("listxattr", __LINE__);
	for (ssize_t at = 0; at < size; at += (ssize_t)strlen(list + at) + 1)
		count++;
	return count;
}

enum { LARGE = 100, MANY = 2000 };

/* The largest, very many, and nonsense in the names that mean something. */
int attributes(int argc, char **argv)
{
	static char value[XATTR_SIZE_MAX];
	char name[XATTR_NAME_MAX + 1];
	struct stat st;

	(void)argc;
	(void)argv;
	MUST(make("flooded", 'x', 0));
	MUST(mkdir("directory", 0700));
	try_garbage("flooded");
	try_garbage("directory");
	MUST(stat("flooded", &st));
	IS(st.st_size == 0 && st.st_blocks == 0);
	IS(listed("flooded") == 0 && listed("directory") == 0);
	for (int i = 0; i < LARGE; i++) {
		snprintf(name, sizeof(name), "user.large%0230d", i);
		MUST(setxattr("flooded", name, value, sizeof(value), 0));
	}
	for (int i = 0; i < MANY; i++) {
		snprintf(name, sizeof(name), "user.%d", i);
		MUST(setxattr("flooded", name, "x", 1, 0));
	}
	IS(listed("flooded") == LARGE + MANY);
	MUST(setxattr("flooded", "user.iobuf", "capacity=4K", 11, 0));
	for (int i = 0; i < MANY; i++) {
		snprintf(name, sizeof(name), "user.%d", i);
		MUST(removexattr("flooded", name));
	}
	return told();
}

static bool is_listed(const char *name)
{
	DIR *dir = opendir(".");
	struct dirent *entry;
	bool found = false;

	while (dir && (entry = readdir(dir)))
		found |= strcmp(entry->d_name, name) == 0;
	if (dir)
		closedir(dir);
	return found;
}

static void use_name(const char *name)
{
	char value[32];
	struct stat st;

	MUST(make(name, 'n', 3));
	MUST(stat(name, &st));
	IS(is_listed(name));
	/* The log tells of this one. */
	IS(setxattr(name, "user.iobuf", name, strlen(name), 0) < 0);
	MUST(setxattr(name, "user.x", "x", 1, 0));
	MUST(getxattr(name, "user.x", value, sizeof(value)));
	MUST(rename(name, "plain"));
	MUST(rename("plain", name));
	MUST(link(name, "plain"));
	MUST(unlink(name));
	MUST(mkdir(name, 0700));
	MUST(rmdir(name));
	MUST(symlink(name, name));
	MUST(unlink(name));
	MUST(unlink("plain"));
}

int names(int argc, char **argv)
{
	static const char *const odd[] = {
		"...", "..%2f..%2fetc", "%s%n%s%n%n", "a\nb", "\x1b[2J",
		"\xff\xfe\x80", "-rf", " ", "\\", "user.iobuf", "'\"`$(:)",
		"\x01\x7f", ".fuse_hidden0000", ".bufferfs", "\xc0\xaf",
	};
	char longest[257];

	(void)argc;
	(void)argv;
	for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++)
		use_name(odd[i]);
	memset(longest, 'l', sizeof(longest));
	longest[255] = 0;
	use_name(longest);
	longest[255] = 'l';
	longest[256] = 0;
	IS(make(longest, 'x', 0) < 0 && errno == ENAMETOOLONG);
	for (size_t i = 0; i < 255; i++)
		longest[i] = '\xf5';
	longest[255] = 0;
	use_name(longest);
	IS(open("", O_CREAT | O_RDWR, 0600) < 0 && errno == ENOENT);
	IS(mkdir(".", 0700) < 0 && mkdir("..", 0700) < 0);
	IS(rmdir(".") < 0 && unlink("..") < 0);
	return told();
}

/* 1,000 levels, with a file on the lowest. */
int deep(int argc, char **argv)
{
	const int levels = argc == 1 ? atoi(argv[0]) : 0;

	for (int i = 0; i < levels; i++) {
		MUST(mkdir("deeper", 0700));
		if (chdir("deeper") < 0) {
			tell("chdir", __LINE__);
			return 1;
		}
	}
	MUST(make("bottom", 'b', 1));
	return told();
}

/* COUNT names of one file. */
int links(int argc, char **argv)
{
	const int count = argc == 1 ? atoi(argv[0]) : 0;
	struct stat st;
	char name[32];

	MUST(make("linked", 'l', 1));
	MUST(setxattr("linked", "user.iobuf", "length=1", 8, 0));
	for (int i = 1; i < count; i++) {
		snprintf(name, sizeof(name), "linked%d", i);
		MUST(link("linked", name));
	}
	MUST(stat("linked", &st));
	IS(st.st_nlink == (nlink_t)count);
	return told();
}

/* COUNT ranges of one file are locked, and none after its end. */
int ranges(int argc, char **argv)
{
	const int count = argc == 1 ? atoi(argv[0]) : 0;
	struct flock all = { .l_type = F_WRLCK };
	pid_t pid;
	int fd;

	MUST(fd = open("ranges", O_RDWR | O_CREAT | O_CLOEXEC, 0600));
	pid = fork();
	if (pid == 0) {
		for (int i = 0; i < count; i++) {
			struct flock one = { .l_type = F_WRLCK, .l_start = 2 * i,
					     .l_len = 1 };

			MUST(fcntl(fd, F_SETLK, &one));
		}
		kill(getpid(), told() ? SIGABRT : SIGKILL);
	}
	IS(!ended_well(pid));
	MUST(fcntl(fd, F_SETLK, &all));
	close(fd);
	return told();
}

static int change(int number)
{
	char name[32];

	for (int i = 0;; i++) {
		snprintf(name, sizeof(name), "changes%d-%d", number, i % 50);
		if (mkdir(name, 0700) < 0)
			MUST(rmdir(name));
	}
	return 1;
}

enum { STAY = 300 };

static void read_once(void)
{
	DIR *dir = opendir(".");
	bool seen[STAY] = { false };
	struct dirent *entry;
	int i, count = 0, entries = 0;

	/* Or a directory never ends. */
	while (dir && (entry = readdir(dir)) && entries++ < 10 * STAY)
		if (sscanf(entry->d_name, "stays%d", &i) == 1 && i < STAY) {
			IS(!seen[i]);
			seen[i] = true;
			count++;
		}
	IS(count == STAY);
	if (dir)
		closedir(dir);
}

/* A place in a directory outlives the entries, and the directory its reader. */
static void read_removed(void)
{
	char name[32];
	DIR *dir;
	long at = 0;

	MUST(mkdir("removed", 0700));
	for (int i = 0; i < STAY; i++) {
		snprintf(name, sizeof(name), "removed/%d", i);
		MUST(make(name, 'r', 0));
	}
	dir = opendir("removed");
	for (int i = 0; dir && i < STAY / 2 && readdir(dir); i++)
		at = telldir(dir);
	for (int i = 0; i < STAY; i++) {
		snprintf(name, sizeof(name), "removed/%d", i);
		MUST(unlink(name));
	}
	MUST(rmdir("removed"));
	if (!dir)
		return;
	for (int i = 0; i < 3; i++) {
		seekdir(dir, i == 2 ? at ^ 0x5555 : i ? at : 0);
		while (readdir(dir))
			;
	}
	closedir(dir);
}

/* What stays is seen once, by who reads a directory that others change. */
int changing(int argc, char **argv)
{
	pid_t pid[2];
	char name[32];

	(void)argc;
	(void)argv;
	for (int i = 0; i < STAY; i++) {
		snprintf(name, sizeof(name), "stays%d", i);
		MUST(make(name, 's', 0));
	}
	for (int i = 0; i < 2; i++)
		MUST(pid[i] = in_process(change, i));
	for (int i = 0; i < 200; i++)
		read_once();
	read_removed();
	for (int i = 0; i < 2; i++) {
		MUST(kill(pid[i], SIGKILL));
		IS(!ended_well(pid[i]));
	}
	return told();
}

static int storm(int number)
{
	char name[32];

	for (int i = 0; i < number; i++) {
		snprintf(name, sizeof(name), "storm%d-%d", (int)getpid(), i);
		MUST(mknod(name, S_IFREG | 0600, 0));
		MUST(unlink(name));
	}
	return told();
}

/* COUNT names are made and removed as quickly as that goes, by two. */
int storms(int argc, char **argv)
{
	const int count = argc == 1 ? atoi(argv[0]) : 0;
	pid_t pid[2];

	for (int i = 0; i < 2; i++)
		MUST(pid[i] = in_process(storm, count / 2));
	for (int i = 0; i < 2; i++)
		IS(ended_well(pid[i]));
	return told();
}
