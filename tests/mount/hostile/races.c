/* SPDX-License-Identifier: MIT */
/*
 * races.c - one who swaps directories and files for links to what is outside of
 * the pool, and one who works on them meanwhile as root. The latter follows no
 * link, so whatever is done to the outside was done by the daemon.
 */
#include "hostile.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

/* Others are at it too, and remove it all at times. */
static void may_fail(long result, const char *what, int line)
{
	static const int errors[] = { ENOENT, ENOTDIR, ELOOP, EEXIST, ESTALE,
				      ENOTEMPTY, EISDIR, EACCES, EPERM, EBUSY,
				      ENODATA, EXDEV, ESRCH };

	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++)
		if (result >= 0 || errno == errors[i])
			return;
	tell(what, line);
}
#define MAY_FAIL(call) may_fail((long)(call), #call, __LINE__)

static void put(const char *name, const char *text)
{
	const int fd = open(name, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0666);

	MAY_FAIL(fd);
	if (fd < 0)
		return;
	MAY_FAIL(write(fd, text, strlen(text)));
	close(fd);
}

/* Each is in `tree/place`, and a link to the same name outside beside it. */
static const char *const files[] = { "file", "new", "bound", "moved" };

static void furnish(const char *target)
{
	char path[64], to[4096];

	MAY_FAIL(mkdir("tree", 0777));
	MAY_FAIL(symlink(target, "tree/link"));
	MAY_FAIL(mkdir("tree/place", 0777));
	put("tree/place/file", "inside");
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		snprintf(path, sizeof(path), "tree/place/%s.link", files[i]);
		snprintf(to, sizeof(to), "%s/%s", target, files[i]);
		MAY_FAIL(symlink(to, path));
	}
}

static void swap(const char *one, const char *other)
{
	MAY_FAIL(renameat2(AT_FDCWD, one, AT_FDCWD, other, RENAME_EXCHANGE));
}

/* TARGET: until SIGTERM, a directory and a link to that change places, and so do
 * the files in it, and links take the place of files that are to be made. */
int swaps(int argc, char **argv)
{
	char path[64], other[64];

	for (unsigned int i = 0; !is_asked_to_end(0); i++) {
		const char *file = files[i % (sizeof(files) / sizeof(files[0]))];

		if (i % 16 == 0)
			furnish(argc == 1 ? argv[0] : "");
		snprintf(path, sizeof(path), "tree/place/%s", file);
		snprintf(other, sizeof(other), "tree/place/%s.link", file);
		swap(path, other);
		if (i % 8 == 1)
			MAY_FAIL(rename(other, path));
		if (i % 4 == 3)
			swap("tree/place", "tree/link");
	}
	return told();
}

static int open_place(void)
{
	const struct open_how how = {
		.flags = O_PATH | O_DIRECTORY | O_CLOEXEC,
		.resolve = RESOLVE_NO_SYMLINKS | RESOLVE_BENEATH,
	};

	return (int)syscall(SYS_openat2, AT_FDCWD, "tree/place", &how,
			    sizeof(how));
}

static void use_file(int dir, const char *name, int flags)
{
	const int fd = openat(dir, name, flags | O_RDWR | O_NOFOLLOW | O_CLOEXEC,
			      0600);
	char bytes[16] = "";
	struct stat st;

	MAY_FAIL(fd);
	if (fd < 0)
		return;
	MAY_FAIL(pread(fd, bytes, sizeof(bytes) - 1, 0));
	IS(!strstr(bytes, "canary"));
	MAY_FAIL(fstat(fd, &st));
	MAY_FAIL(pwrite(fd, "changed", 7, 0));
	MAY_FAIL(ftruncate(fd, 4));
	MAY_FAIL(fchmod(fd, 0640));
	MAY_FAIL(fsetxattr(fd, "user.x", "x", 1, 0));
	MAY_FAIL(fsetxattr(fd, "user.iobuf.tag", "x", 1, 0));
	close(fd);
}

static void read_place(int dir)
{
	const int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *entries = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;

	MAY_FAIL(fd);
	while (entries && (entry = readdir(entries)))
		IS(strcmp(entry->d_name, "outside"));
	if (entries)
		closedir(entries);
}

static void use_names(int dir)
{
	MAY_FAIL(fchownat(dir, "file", 0, 0, AT_SYMLINK_NOFOLLOW));
	MAY_FAIL(utimensat(dir, "file", NULL, AT_SYMLINK_NOFOLLOW));
	MAY_FAIL(linkat(dir, "file", dir, "linked", 0));
	MAY_FAIL(mkdirat(dir, "made", 0700));
	MAY_FAIL(mknodat(dir, "node", S_IFIFO | 0600, 0));
	MAY_FAIL(symlinkat("x", dir, "symbolic"));
	MAY_FAIL(renameat(dir, "new", dir, "moved"));
	MAY_FAIL(renameat2(dir, "file", dir, "linked", RENAME_EXCHANGE));
	MAY_FAIL(unlinkat(dir, "linked", 0));
	MAY_FAIL(unlinkat(dir, "made", AT_REMOVEDIR));
	MAY_FAIL(unlinkat(dir, "node", 0));
	MAY_FAIL(unlinkat(dir, "symbolic", 0));
	MAY_FAIL(unlinkat(dir, "moved", 0));
}

/* Its names go with the process, and it is the daemon who removes them. */
static int bind_one(int dir)
{
	const int fd = openat(dir, "bound",
			      O_CREAT | O_RDWR | O_NOFOLLOW | O_CLOEXEC, 0600);

	MAY_FAIL(fd);
	if (fd >= 0)
		MAY_FAIL(fsetxattr(fd, "user.iobuf", "capacity=4K,task=self", 21,
				   0));
	return told();
}

/* What the kernel remembers need not be so any more, where it is not told of all:
 * that there is a link or nothing is refuted by who makes room for it anew. */
static void find_anew(long number)
{
	char name[32];

	snprintf(name, sizeof(name), "tree%ld", number);
	if (errno == ELOOP || errno == ENOTDIR)
		MAY_FAIL(rename("tree", name));
	MAY_FAIL(mkdir("tree", 0777));
	MAY_FAIL(mkdir("tree/place", 0777));
}

/* ROUNDS: all that can be done to the files and in the directory, as often as
 * the directory is found in its place. */
int follows(int argc, char **argv)
{
	const int rounds = argc == 1 ? atoi(argv[0]) : 0;
	int used = 0;

	umask(0);
	for (long i = 0; used < rounds && i < rounds * 1000L; i++) {
		const int dir = open_place();

		MAY_FAIL(dir);
		if (dir < 0) {
			find_anew(i);
			continue;
		}
		used++;
		use_file(dir, "file", 0);
		use_file(dir, "new", O_CREAT);
		use_file(dir, "moved", O_CREAT | O_TRUNC);
		use_names(dir);
		read_place(dir);
		if (used % 8 == 0)
			IS(ended_well(in_process(bind_one, dir)));
		close(dir);
	}
	IS(used == rounds);
	return told();
}
