/* SPDX-License-Identifier: MIT */
/*
 * shared.c - operations on names that every process uses: each may come too
 * late, with the errors that tell so, and with no other.
 */
#include "stress.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

enum { SHARED_FILES = 24, SHARED_DIRECTORIES = 4 };

/* The result of an operation that may fail with one of these, in a list that
 * ends with 0. Returns whether it succeeded. */
static bool may_fail(struct process *p, long r, const int *errors,
		     const char *path)
{
	if (r >= 0)
		return true;
	while (*errors && *errors != errno)
		errors++;
	CHECK(p, *errors, "%s", path);
	return false;
}

#define MAY_FAIL(p, path, r, ...)                                              \
	may_fail(p, r, (const int[]){ __VA_ARGS__, 0 }, path)

/* A name of a shared file, in one of the shared directories or beside them. */
static void pick_name(struct process *p, char *path, size_t size)
{
	unsigned int dir = pick(p, SHARED_DIRECTORIES + 2);

	if (dir < SHARED_DIRECTORIES)
		snprintf(path, size, "d%u/f%u", dir, pick(p, 3));
	else
		snprintf(path, size, "f%u", pick(p, SHARED_FILES));
}

static void pick_directory(struct process *p, char *path, size_t size)
{
	snprintf(path, size, "d%u", pick(p, SHARED_DIRECTORIES));
}

static int open_shared(struct process *p, const char *path, int flags)
{
	int fd = openat(p->shared, path, flags | O_CLOEXEC, 0644);

	MAY_FAIL(p, path, fd, ENOENT, flags & O_EXCL ? EEXIST : ENOENT);
	return fd;
}

/* A fixed buffer takes what fits, or nothing: EFBIG. */
static void write_stamps(struct process *p, int fd, const char *path)
{
	unsigned char bytes[8192];
	size_t at = 64 * pick(p, 1024), size = 64 * (1 + pick(p, 128));

	fill(bytes, SHARED_OWNER, pick(p, 1000), at, size);
	MAY_FAIL(p, path, pwrite(fd, bytes, size, (off_t)at),
		 p->buffers ? EFBIG : 0);
}

static void read_stamps(struct process *p, int fd, const char *path)
{
	static unsigned char bytes[131072];
	ssize_t n = pread(fd, bytes, sizeof(bytes), 0);

	CHECK(p, n >= 0, "%s", path);
	errno = 0;
	CHECK(p, is_stamped(bytes, SHARED_OWNER, 0, (size_t)n),
	      "%s holds what was never written there", path);
}

static void op_create(struct process *p, char *path)
{
	int fd = open_shared(p, path, O_RDWR | O_CREAT |
			     (pick(p, 2) ? O_EXCL : 0));

	if (fd < 0)
		return;
	write_stamps(p, fd, path);
	read_stamps(p, fd, path);
	close(fd);
}

static void op_use(struct process *p, char *path)
{
	int fd = open_shared(p, path, O_RDWR);
	struct stat st;

	if (fd < 0)
		return;
	read_stamps(p, fd, path);
	write_stamps(p, fd, path);
	CHECK(p, fstat(fd, &st) == 0, "fstat %s", path);
	MAY_FAIL(p, path, ftruncate(fd, (off_t)64 * pick(p, 1024)),
		 p->buffers ? EFBIG : 0);
	CHECK(p, fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			   (off_t)64 * pick(p, 512), 4096) == 0, "punch %s",
	      path);
	read_stamps(p, fd, path);
	CHECK(p, close(fd) == 0, "close %s", path);
}

static void op_look(struct process *p, char *path)
{
	struct stat st;

	if (MAY_FAIL(p, path, fstatat(p->shared, path, &st, 0), ENOENT))
		CHECK(p, S_ISREG(st.st_mode), "%s is no file", path);
	MAY_FAIL(p, path, fchmodat(p->shared, path, 0600 | pick(p, 0100), 0),
		 ENOENT);
}

static void op_unlink(struct process *p, char *path)
{
	MAY_FAIL(p, path, unlinkat(p->shared, path, 0), ENOENT);
}

static void op_rename(struct process *p, char *path)
{
	static const unsigned int flags[] = { 0, RENAME_NOREPLACE,
					      RENAME_EXCHANGE };
	unsigned int flag = flags[pick(p, 3)];
	char to[32];

	pick_name(p, to, sizeof(to));
	MAY_FAIL(p, path, renameat2(p->shared, path, p->shared, to, flag),
		 ENOENT, flag == RENAME_NOREPLACE ? EEXIST : ENOENT);
}

static void op_link(struct process *p, char *path)
{
	char to[32];

	pick_name(p, to, sizeof(to));
	MAY_FAIL(p, path, linkat(p->shared, path, p->shared, to, 0), ENOENT,
		 EEXIST);
}

static void op_symlink(struct process *p, char *path)
{
	char link[32], target[64];

	snprintf(link, sizeof(link), "l%u", pick(p, 4));
	MAY_FAIL(p, link, symlinkat(path, p->shared, link), EEXIST);
	MAY_FAIL(p, link, readlinkat(p->shared, link, target, sizeof(target)),
		 ENOENT);
	MAY_FAIL(p, link, unlinkat(p->shared, link, 0), ENOENT);
}

static void op_mkdir(struct process *p, char *path)
{
	pick_directory(p, path, 32);
	MAY_FAIL(p, path, mkdirat(p->shared, path, 0755), EEXIST);
}

static void op_rmdir(struct process *p, char *path)
{
	pick_directory(p, path, 32);
	MAY_FAIL(p, path, unlinkat(p->shared, path, AT_REMOVEDIR), ENOENT,
		 ENOTEMPTY);
}

static void op_rename_directory(struct process *p, char *path)
{
	unsigned int flag = pick(p, 2) ? 0 : RENAME_EXCHANGE;
	char to[32];

	pick_directory(p, path, 32);
	pick_directory(p, to, sizeof(to));
	MAY_FAIL(p, path, renameat2(p->shared, path, p->shared, to, flag),
		 ENOENT, ENOTEMPTY, EEXIST);
}

static void op_list(struct process *p, char *path)
{
	struct dirent *entry;
	int fd;
	DIR *dir;

	if (pick(p, 2))
		pick_directory(p, path, 32);
	else
		strcpy(path, ".");
	fd = open_shared(p, path, O_RDONLY | O_DIRECTORY);
	if (fd < 0)
		return;
	CHECK(p, (dir = fdopendir(fd)), "fdopendir %s", path);
	while ((errno = 0, entry = readdir(dir)))
		CHECK(p, strchr("dfl.", entry->d_name[0]), "%s in %s",
		      entry->d_name, path);
	/* One that was removed meanwhile may say so. */
	CHECK(p, errno == 0 || errno == ENOENT, "readdir %s", path);
	closedir(dir);
}

static void op_xattr(struct process *p, char *path)
{
	int fd = open_shared(p, path, O_RDONLY);
	char value[100];

	if (fd < 0)
		return;
	CHECK(p, fsetxattr(fd, "user.note", "shared", 6, 0) == 0, "set %s",
	      path);
	MAY_FAIL(p, path, fgetxattr(fd, "user.note", value, sizeof(value)),
		 ENODATA);
	MAY_FAIL(p, path, fremovexattr(fd, "user.note"), ENODATA);
	close(fd);
}

/* Become a buffer, if it is empty and nobody is in the way. */
static void op_buffer(struct process *p, char *path)
{
	static const char *const kinds[] = { "wired", "wired,capacity=64K",
					     "capacity=96K", "cache=inhibit" };
	const char *kind = kinds[pick(p, 4)];
	char state[4096];
	int fd;

	if (!p->buffers ||
	    (fd = open_shared(p, path, O_RDWR | O_CREAT | O_EXCL)) < 0)
		return;
	MAY_FAIL(p, path, fsetxattr(fd, "user.iobuf", kind, strlen(kind), 0),
		 EBUSY);
	CHECK(p, fgetxattr(fd, "user.iobuf.state", state, sizeof(state)) > 0,
	      "state of %s", path);
	close(fd);
}

/* A map of a fixed buffer never faults, whoever truncates the file. */
static void op_map_fixed(struct process *p, char *path)
{
	unsigned char *map;
	int fd;

	/* Without passthrough a map reaches to the length only. */
	if (!p->buffers || p->cached ||
	    (fd = open_shared(p, path, O_RDWR | O_CREAT | O_EXCL)) < 0)
		return;
	if (MAY_FAIL(p, path, fsetxattr(fd, "user.iobuf", "capacity=64K", 12, 0),
		     EBUSY)) {
		map = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
			   0);
		CHECK(p, map != MAP_FAILED, "map %s", path);
		for (size_t at = 0; at < 65536; at += 4096)
			fill(map + at, SHARED_OWNER, 1, at, 64);
		munmap(map, 65536);
	}
	close(fd);
}

static void count(struct process *p, int fd, const char *path, uint64_t *mine)
{
	uint64_t n = 0;

	CHECK(p, pread(fd, &n, sizeof(n), 0) >= 0, "read %s", path);
	n++;
	CHECK(p, pwrite(fd, &n, sizeof(n), 0) == sizeof(n), "write %s", path);
	++*mine;
}

static void op_flock(struct process *p, char *path)
{
	int fd = open_shared(p, strcpy(path, "flocked"), O_RDWR | O_CREAT);

	CHECK(p, fd >= 0, "open %s", path);
	CHECK(p, flock(fd, LOCK_EX) == 0, "flock");
	count(p, fd, path, &p->counts->flocked);
	if (pick(p, 2))
		CHECK(p, flock(fd, LOCK_UN) == 0, "unlock");
	close(fd);
}

static void op_fcntl(struct process *p, char *path)
{
	struct flock lock = { .l_type = F_WRLCK, .l_len = 8 };
	int fd = open_shared(p, strcpy(path, "locked"), O_RDWR | O_CREAT);

	CHECK(p, fd >= 0, "open %s", path);
	CHECK(p, fcntl(fd, F_SETLKW, &lock) == 0, "lock");
	count(p, fd, path, &p->counts->locked);
	close(fd);
}

static const struct operation {
	const char *name;
	void (*run)(struct process *p, char *path);
} operations[] = {
	{ "shared create", op_create },
	{ "shared create", op_create },
	{ "shared use", op_use },
	{ "shared use", op_use },
	{ "shared look", op_look },
	{ "shared unlink", op_unlink },
	{ "shared rename", op_rename },
	{ "shared link", op_link },
	{ "shared symlink", op_symlink },
	{ "shared mkdir", op_mkdir },
	{ "shared mkdir", op_mkdir },
	{ "shared rmdir", op_rmdir },
	{ "shared rename of a directory", op_rename_directory },
	{ "shared list", op_list },
	{ "shared xattr", op_xattr },
	{ "shared buffer", op_buffer },
	{ "shared fixed map", op_map_fixed },
	{ "flock", op_flock },
	{ "fcntl", op_fcntl },
};

void operate_on_shared(struct process *p)
{
	const size_t n = sizeof(operations) / sizeof(operations[0]);
	const struct operation *operation = &operations[pick(p, n)];
	char path[32];

	pick_name(p, path, sizeof(path));
	p->doing = operation->name;
	operation->run(p, path);
}
