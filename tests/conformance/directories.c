/* SPDX-License-Identifier: MIT */
/*
 * directories.c - reading directories, also while they change; names; the
 * working directory.
 */
#include "conformance.h"

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

enum { MANY = 3000 };

static void make_entries(const char *prefix, int count)
{
	char name[32];

	for (int i = 0; i < count; i++) {
		snprintf(name, sizeof(name), "%s%05d", prefix, i);
		close((int)MUST(open(name, O_CREAT | O_WRONLY, 0644)));
	}
}

static DIR *directory(const char *path)
{
	DIR *dir = opendir(path);

	MUST(dir ? 0 : -1);
	return dir;
}

/* How often each "sNNNNN" was seen, as one verdict. */
static void see_stable(const char *what, const unsigned char *times)
{
	int never = 0, more = 0;

	for (int i = 0; i < MANY; i++) {
		never += times[i] == 0;
		more += times[i] > 1;
	}
	see_text(what, "%d never, %d more than once", never, more);
}

static void count_entry(const char *name, unsigned char *times)
{
	if (*name == 's' && atoi(name + 1) < MANY)
		times[atoi(name + 1)]++;
}

static void all_entries_once(void)
{
	unsigned char times[MANY] = { 0 };
	struct dirent *entry;
	DIR *dir;
	long count = 0;

	make_entries("s", MANY);
	dir = directory(".");
	while ((entry = readdir(dir))) {
		count_entry(entry->d_name, times);
		count++;
	}
	see("all", count);
	see_stable("stable entries", times);
	rewinddir(dir);
	for (count = 0; readdir(dir); count++)
		;
	see("all again", count);
	make_entries("t", 1);
	rewinddir(dir);
	for (count = 0; readdir(dir); count++)
		;
	see("rewinddir sees a new one", count);
	see("at the end", readdir(dir) ? -1 : 0);
}

static void entries_while_others_come_and_go(void)
{
	unsigned char times[MANY] = { 0 };
	struct dirent *entry;
	int seen = 0;
	char name[32];
	DIR *dir;

	make_entries("s", MANY);
	make_entries("x", 500);
	dir = directory(".");
	while ((entry = readdir(dir))) {
		count_entry(entry->d_name, times);
		if (++seen % 6 == 0 && seen / 6 < 500) {
			snprintf(name, sizeof(name), "x%05d", seen / 6);
			MUST(unlink(name));
			snprintf(name, sizeof(name), "y%05d", seen / 6);
			close((int)MUST(open(name, O_CREAT | O_WRONLY, 0644)));
		}
	}
	see_stable("stable entries", times);
}

static void removes_all_while_it_reads(void)
{
	struct dirent *entry;
	long removed = 0;
	DIR *dir;

	MUST(mkdir("d", 0755));
	MUST(chdir("d"));
	make_entries("s", MANY);
	dir = directory(".");
	while ((entry = readdir(dir)))
		if (*entry->d_name != '.') {
			MUST(unlink(entry->d_name));
			removed++;
		}
	see("removed", removed);
	MUST(chdir(".."));
	see("rmdir", rmdir("d"));
}

static void positions(void)
{
	char names[40][256];
	long places[40];
	struct dirent *entry;
	bool same = true;
	DIR *dir;

	make_entries("s", 38);
	dir = directory(".");
	for (int i = 0; i < 40; i++) {
		places[i] = telldir(dir);
		entry = readdir(dir);
		MUST(entry ? 0 : -1);
		snprintf(names[i], sizeof(names[i]), "%s", entry->d_name);
	}
	for (int i = 39; i >= 0; i -= 3) {
		seekdir(dir, places[i]);
		entry = readdir(dir);
		same &= entry && !strcmp(entry->d_name, names[i]);
	}
	see_yes("seekdir leads to the same entries", same);
	seekdir(dir, places[20]);
	MUST(unlink(*names[19] == 's' ? names[19] : names[18]));
	entry = readdir(dir);
	see_yes("after an unlink before it",
		entry && !strcmp(entry->d_name, names[20]));
	see("lseek to 0", lseek(dirfd(dir), 0, SEEK_SET));
}

static long record_length(const char *record)
{
	unsigned short length;

	memcpy(&length, record + offsetof(struct dirent64, d_reclen),
	       sizeof(length));
	return length;
}

static void small_buffers(void)
{
	_Alignas(struct dirent64) char buffer[64];
	long n, total = 0, fd;

	make_entries("s", 20);
	fd = MUST(open(".", O_RDONLY | O_DIRECTORY));
	see("too small for one", syscall(SYS_getdents64, fd, buffer, 4));
	while ((n = syscall(SYS_getdents64, fd, buffer, sizeof(buffer))) > 0)
		for (long at = 0; at < n; total++)
			at += record_length(buffer + at);
	see("entries", total);
	see("of a file", syscall(SYS_getdents64, MUST(open("s00000", O_RDONLY)),
				 buffer, sizeof(buffer)));
	see("of a removed directory", mkdir("d", 0755));
	fd = MUST(open("d", O_RDONLY | O_DIRECTORY));
	MUST(rmdir("d"));
	see("getdents of it",
	    syscall(SYS_getdents64, fd, buffer, sizeof(buffer)));
}

static void types_of_entries(void)
{
	static const char *const types[] = {
		[DT_REG] = "file",    [DT_DIR] = "directory",
		[DT_LNK] = "symlink", [DT_FIFO] = "fifo",
		[DT_SOCK] = "socket", [DT_UNKNOWN] = "unknown",
	};
	struct dirent *entry;
	bool same = true;
	struct stat st;
	DIR *dir;

	make_file("file", "", 0644);
	MUST(mkdir("directory", 0755));
	MUST(symlink("x", "symlink"));
	MUST(mkfifo("fifo", 0644));
	MUST(mknod("socket", S_IFSOCK | 0644, 0));
	dir = directory(".");
	while ((entry = readdir(dir))) {
		see_text(entry->d_name, "%s", types[entry->d_type]);
		MUST(lstat(entry->d_name, &st));
		same &= st.st_ino == entry->d_ino ||
			!strcmp(entry->d_name, "..");
	}
	see_yes("d_ino is st_ino", same);
}

static void dots(void)
{
	struct stat here, up, entry_here = { 0 }, entry_up = { 0 };
	struct dirent *entry;
	DIR *dir;

	MUST(mkdir("d", 0755));
	MUST(stat("d", &here));
	MUST(stat(".", &up));
	dir = directory("d");
	while ((entry = readdir(dir)))
		if (!strcmp(entry->d_name, "."))
			entry_here.st_ino = entry->d_ino;
		else if (!strcmp(entry->d_name, ".."))
			entry_up.st_ino = entry->d_ino;
	see_yes(". is itself", entry_here.st_ino == here.st_ino);
	see_yes(".. is its parent", entry_up.st_ino == up.st_ino);
	MUST(stat("d/..", &here));
	see_yes("by path", here.st_ino == up.st_ino);
}

static void names_of_every_byte(void)
{
	unsigned char times[256] = { 0 };
	char name[4] = "n";
	struct dirent *entry;
	int made = 0, seen = 0;
	DIR *dir;

	MUST(mkdir("d", 0755));
	MUST(chdir("d"));
	for (int c = 1; c < 256; c++) {
		if (c == '/')
			continue;
		name[1] = (char)c;
		made += mkdir(name, 0755) == 0;
	}
	see("made", made);
	dir = directory(".");
	while ((entry = readdir(dir)))
		if (*entry->d_name == 'n' && strlen(entry->d_name) == 2)
			times[(unsigned char)entry->d_name[1]]++;
	for (int c = 0; c < 256; c++)
		seen += times[c] == 1;
	see("seen once", seen);
	see("a single space", mkdir(" ", 0755));
	see("a newline", mkdir("\n", 0755));
	see("a percent", mkdir("%s%n", 0755));
	see("three dots", mkdir("...", 0755));
	see("a dash", mkdir("-", 0755));
	see("not UTF-8", mkdir("\xff\xfe\x80", 0755));
	see("upper case is another", mkdir("N!", 0755));
}

static void names_of_every_length(void)
{
	int made = 0, seen = 0;
	struct dirent *entry;
	DIR *dir;

	MUST(mkdir("d", 0755));
	MUST(chdir("d"));
	for (size_t n = 1; n < 256; n++)
		made += mkdir(long_name(n), 0755) == 0;
	see("made", made);
	dir = directory(".");
	while ((entry = readdir(dir)))
		seen += *entry->d_name == 'n';
	see("seen", seen);
}

static void deep_paths(void)
{
	char path[PATH_MAX * 2], *name = long_name(200);
	int depth = 0;

	while (depth < 30 && mkdir(name, 0755) == 0 && chdir(name) == 0)
		depth++;
	see("depth", depth);
	see_yes("getcwd of more than PATH_MAX", getcwd(path, sizeof(path)));
	for (; depth > 0; depth--) {
		MUST(chdir(".."));
		MUST(rmdir(name));
	}
	see("back", mkdir("here", 0755));
}

static void working_directory_is_removed(void)
{
	char path[PATH_MAX];
	struct stat st;

	MUST(mkdir("d", 0755));
	MUST(chdir("d"));
	see("rmdir", rmdir("../d"));
	see("getcwd", getcwd(path, sizeof(path)) ? 0 : -1);
	see("stat of dot", stat(".", &st));
	see("its links", (long)st.st_nlink);
	see_fd("create", open("f", O_CREAT | O_RDWR, 0644));
	see("mkdir", mkdir("e", 0755));
	see("symlink", symlink("x", "l"));
	see_fd("open dot", open(".", O_RDONLY));
	see("stat of dot dot", stat("..", &st));
	see("chdir dot", chdir("."));
	see("chdir dot dot", chdir(".."));
	see_yes("and getcwd", getcwd(path, sizeof(path)));
}

static void working_directory_is_moved(void)
{
	char path[PATH_MAX];

	MUST(mkdir("a", 0755));
	MUST(mkdir("b", 0755));
	MUST(chdir("a"));
	MUST(rename("../a", "../b/c"));
	see_yes("getcwd", getcwd(path, sizeof(path)) &&
				  !strcmp(path + strlen(path) - 4, "/b/c"));
	see("stat of the other", access("../../b/c", F_OK));
	make_file("f", "", 0644);
	see("what is made there", access("../../b/c/f", F_OK));
}

static void chdir_errors(void)
{
	make_file("f", "", 0644);
	make_dir("closed", 0);
	MUST(symlink("loop", "loop"));
	see("file", chdir("f"));
	see("nothing", chdir("nothing"));
	see("loop", chdir("loop"));
	see("256 bytes", chdir(long_name(256)));
	see("fchdir of a file", fchdir((int)MUST(open("f", O_RDONLY))));
	see("opendir of a file", opendir("f") ? 0 : -1);
	see("opendir of nothing", opendir("nothing") ? 0 : -1);
	see("of mode 0", chdir("closed"));
}

static void times_by_reading(void)
{
	const struct timespec past[2] = { { 1000, 7 }, { 1000, 7 } };
	struct watch watch;
	DIR *dir;

	MUST(mkdir("d", 0755));
	MUST(utimensat(AT_FDCWD, "d", past, 0));
	watch = watch_times("d");
	dir = directory("d");
	while (readdir(dir))
		;
	see_moved("readdir", "d", &watch);
	watch = watch_times("d");
	close((int)MUST(open("d/f", O_CREAT | O_RDWR, 0644)));
	see_moved("create in it", "d", &watch);
	watch = watch_times("d");
	close((int)MUST(open("d/f", O_CREAT | O_RDWR, 0644)));
	see_moved("open in it", "d", &watch);
	watch = watch_times("d");
	MUST(truncate("d/f", 5));
	MUST(chmod("d/f", 0600));
	see_moved("change what is in it", "d", &watch);
	watch = watch_times("d");
	MUST(symlink("x", "d/l"));
	see_moved("symlink in it", "d", &watch);
	watch = watch_times("d");
	MUST(rename("d/l", "d/m"));
	see_moved("rename in it", "d", &watch);
	watch = watch_times("d");
	unlink("d/nothing");
	mkdir("d/f", 0755);
	see_moved("what fails", "d", &watch);
	watch = watch_times("d");
	open("d", O_TMPFILE | O_RDWR, 0600);
	see_moved("a nameless file in it", "d", &watch);
}

const struct conformance_case directory_cases[] = {
	{ "all-entries-once", all_entries_once, NEEDS_NOTHING },
	{ "entries-while-others-come-and-go", entries_while_others_come_and_go,
	  NEEDS_NOTHING },
	{ "removes-all-while-it-reads", removes_all_while_it_reads,
	  NEEDS_NOTHING },
	{ "positions", positions, NEEDS_NOTHING },
	{ "small-buffers", small_buffers, NEEDS_NOTHING },
	{ "types-of-entries", types_of_entries, NEEDS_NOTHING },
	{ "dots", dots, NEEDS_NOTHING },
	{ "names-of-every-byte", names_of_every_byte, NEEDS_NOTHING },
	{ "names-of-every-length", names_of_every_length, NEEDS_NOTHING },
	{ "deep-paths", deep_paths, NEEDS_NOTHING },
	{ "working-directory-is-removed", working_directory_is_removed,
	  NEEDS_NOTHING },
	{ "working-directory-is-moved", working_directory_is_moved,
	  NEEDS_NOTHING },
	{ "chdir-errors", chdir_errors, NEEDS_NOTHING },
	{ "times-by-reading", times_by_reading, NEEDS_NOTHING },
	{ 0 },
};
