/* SPDX-License-Identifier: MIT */
/*
 * describe.c - what is in a directory, as a text that tells two outcomes apart,
 * and the same of one that should not differ.
 */
#include "points.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

enum { ENTRIES_MAX = 16 };

static char *out;
static size_t used;

__attribute__((format(printf, 1, 2))) static void say(const char *format, ...)
{
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(out + used, TEXT_MAX - used, format, args);
	va_end(args);
	if (n > 0 && (size_t)n < TEXT_MAX - used)
		used += (size_t)n;
}

static void say_contents(int at, const char *name)
{
	unsigned char bytes[65536];
	uint64_t sum = UINT64_C(14695981039346656037); /* FNV-1a */
	int fd = openat(at, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : pread(fd, bytes, sizeof(bytes), 0);

	for (ssize_t i = 0; i < n; i++)
		sum = (sum ^ bytes[i]) * UINT64_C(1099511628211);
	if (n < 0)
		say(" unreadable (%s)", strerror(errno));
	else
		say(" %zd bytes, sum %llx", n, (unsigned long long)sum);
	if (fd >= 0)
		close(fd);
}

/* What is there for good: not what is counted of the moment. */
static bool is_lasting(const char *line)
{
	static const char *const keys[] = { "kind=", "options=", "capacity=",
					    "length=", "alignment=",
					    "allocated=", "purge_count=",
					    "purgeable=", "tag=", "life=" };

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		if (!strncmp(line, keys[i], strlen(keys[i])))
			return true;
	return false;
}

static void say_attribute(const char *path, const char *name)
{
	char value[8192], *rest = value, *line;
	ssize_t n = lgetxattr(path, name, value, sizeof(value) - 1);

	if (n < 0)
		return;
	value[n] = '\0';
	if (strcmp(name, "user.iobuf.state")) {
		say(" %s=%s", name, value);
		return;
	}
	while ((line = strsep(&rest, "\n")))
		if (is_lasting(line))
			say(" %s", line);
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static int is_entry(const struct dirent *e)
{
	return strcmp(e->d_name, ".") && strcmp(e->d_name, "..");
}

static void say_directory(int at, const char *path, bool contents);

static void say_entry(int at, const char *name, const char *within, bool contents)
{
	struct stat st;
	char path[512], target[64] = "";

	snprintf(path, sizeof(path), "/proc/self/fd/%d/%s", at, name);
	if (fstatat(at, name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
		say("%s%s: %s\n", within, name, strerror(errno));
		return;
	}
	say("%s%s: mode %o links %lu owner %u:%u", within, name, st.st_mode,
	    (unsigned long)st.st_nlink, st.st_uid, st.st_gid);
	if (S_ISLNK(st.st_mode) &&
	    readlinkat(at, name, target, sizeof(target) - 1) > 0)
		say(" to %s", target);
	if (contents && S_ISREG(st.st_mode))
		say_contents(at, name);
	if (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode)) {
		say_attribute(path, "user.test");
		say_attribute(path, "user.iobuf");
		say_attribute(path, "user.iobuf.state");
	}
	say("\n");
	if (S_ISDIR(st.st_mode))
		say_directory(at, name, contents);
}

static void say_directory(int at, const char *name, bool contents)
{
	struct dirent **entries;
	char within[300];
	int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int n = fd < 0 ? -1 : scandirat(fd, ".", &entries, is_entry, by_name);

	if (n < 0)
		say("%s/: %s\n", name, strerror(errno));
	snprintf(within, sizeof(within), "%s/", name);
	for (int i = 0; i < n; i++) {
		say_entry(fd, entries[i]->d_name, within, contents);
		free(entries[i]);
	}
	if (n >= 0)
		free(entries);
	if (fd >= 0)
		close(fd);
}

/* Of a purgeable one the pool's bytes may be gone; of the rest, their number is
 * the capacity. */
void describe(int pool_dir, char text[TEXT_MAX])
{
	out = text;
	used = 0;
	text[0] = '\0';
	say("mount:\n");
	say_directory(dir, ".", true);
	say("pool:\n");
	say_directory(pool_dir, ".", false);
}

void clear(int at)
{
	struct dirent **entries;
	int n = scandirat(at, ".", &entries, is_entry, by_name);

	for (int i = 0; i < n; i++) {
		const char *name = entries[i]->d_name;
		int inner = openat(at, name, O_RDONLY | O_DIRECTORY |
					     O_NOFOLLOW | O_CLOEXEC);

		if (inner >= 0) {
			clear(inner);
			close(inner);
		}
		if (unlinkat(at, name, inner >= 0 ? AT_REMOVEDIR : 0) < 0)
			perror(name);
		free(entries[i]);
	}
	if (n >= 0)
		free(entries);
}
