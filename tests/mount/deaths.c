/* SPDX-License-Identifier: MIT */
/*
 * deaths MOUNTPOINT DEATHS SEED - processes that make, link, move and remove
 * names while the worker is killed again and again. Each knows what every call
 * has to return, and what its directory has to hold; whatever else comes is
 * told and counted.
 */
#include <iobuf/ioctl.h>
#include <iobuf/purgeable.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

enum { PROCESSES = 6, TOLD_MAX = 20 };

static struct {
	atomic_uint wrong;
	atomic_ulong calls;
	atomic_bool done;
} *all;

static int dir = -1;   /* of this process */
static int shared = -1; /* of all */
static unsigned int self, turn;

static void tell(const char *what, int line, int got)
{
	if (atomic_fetch_add(&all->wrong, 1) < TOLD_MAX)
		fprintf(stderr, "line %d: %s: %s\n", line, what,
			got ? strerror(got) : "no error");
}

/* It has to succeed. */
#define WANT(call)                                                             \
	do {                                                                   \
		atomic_fetch_add(&all->calls, 1);                              \
		if ((call) < 0)                                                \
			tell(#call, __LINE__, errno);                          \
	} while (0)

/* It has to fail like that. */
#define WANT_ERROR(call, error)                                                \
	do {                                                                   \
		atomic_fetch_add(&all->calls, 1);                              \
		if ((call) >= 0)                                               \
			tell(#call, __LINE__, 0);                              \
		else if (errno != (error))                                     \
			tell(#call, __LINE__, errno);                          \
	} while (0)

#define IS(condition)                                                          \
	do {                                                                   \
		errno = 0;                                                     \
		if (!(condition))                                              \
			tell(#condition, __LINE__, errno);                     \
	} while (0)

static ino_t inode_of(int at, const char *name)
{
	struct stat st;

	return fstatat(at, name, &st, AT_SYMLINK_NOFOLLOW) < 0 ? 0 : st.st_ino;
}

/* A file with a byte in it; returns its inode. */
static ino_t make(int at, const char *name, int flags)
{
	struct stat st = { 0 };
	int fd;

	WANT(fd = openat(at, name, O_CREAT | O_RDWR | flags, 0644));
	if (fd < 0)
		return 0;
	WANT(fstat(fd, &st));
	IS(st.st_nlink == 1);
	IS(st.st_size == 0);
	WANT(pwrite(fd, "x", 1, 0));
	close(fd);
	return st.st_ino;
}

static void check_empty(void)
{
	DIR *stream;
	const struct dirent *e;
	int fd;

	WANT(fd = openat(dir, ".", O_RDONLY | O_DIRECTORY));
	if (fd < 0 || !(stream = fdopendir(fd)))
		return;
	while ((e = readdir(stream)))
		if (e->d_name[0] != '.') {
			tell("a name is left", __LINE__, 0);
			unlinkat(dir, e->d_name, 0);
		}
	closedir(stream);
}

static void links(void)
{
	const ino_t a = make(dir, "a", O_EXCL);
	struct stat st = { 0 };

	WANT(linkat(dir, "a", dir, "b", 0));
	IS(inode_of(dir, "b") == a);
	WANT(fstatat(dir, "a", &st, 0));
	IS(st.st_nlink == 2);
	WANT_ERROR(linkat(dir, "a", dir, "b", 0), EEXIST);
	WANT(unlinkat(dir, "a", 0));
	WANT_ERROR(unlinkat(dir, "a", 0), ENOENT);
	WANT(unlinkat(dir, "b", 0));
}

static void renames(void)
{
	const ino_t a = make(dir, "a", O_EXCL), b = make(dir, "b", O_EXCL);

	WANT(renameat(dir, "a", dir, "c"));
	IS(inode_of(dir, "c") == a && inode_of(dir, "a") == 0);
	WANT(renameat2(dir, "c", dir, "b", RENAME_EXCHANGE));
	IS(inode_of(dir, "c") == b && inode_of(dir, "b") == a);
	WANT_ERROR(renameat2(dir, "c", dir, "b", RENAME_NOREPLACE), EEXIST);
	WANT(renameat2(dir, "c", dir, "d", RENAME_NOREPLACE));
	WANT(renameat(dir, "d", dir, "b"));
	IS(inode_of(dir, "b") == b && inode_of(dir, "d") == 0);
	WANT_ERROR(renameat(dir, "d", dir, "b"), ENOENT);
	WANT(unlinkat(dir, "b", 0));
}

/* Where the others do the same. */
static void renames_between_directories(void)
{
	char name[32];
	ino_t a;

	snprintf(name, sizeof(name), "%u.%u", self, turn);
	a = make(dir, "a", O_EXCL);
	WANT(renameat(dir, "a", shared, name));
	IS(inode_of(shared, name) == a);
	WANT(linkat(shared, name, dir, "b", 0));
	WANT(unlinkat(shared, name, 0));
	IS(inode_of(dir, "b") == a);
	WANT(unlinkat(dir, "b", 0));
}

static void directories(void)
{
	WANT(mkdirat(dir, "d", 0755));
	WANT_ERROR(mkdirat(dir, "d", 0755), EEXIST);
	make(dir, "d/f", O_EXCL);
	WANT_ERROR(unlinkat(dir, "d", AT_REMOVEDIR), ENOTEMPTY);
	WANT(renameat(dir, "d", dir, "e"));
	WANT(unlinkat(dir, "e/f", 0));
	WANT(unlinkat(dir, "e", AT_REMOVEDIR));
	WANT_ERROR(unlinkat(dir, "e", AT_REMOVEDIR), ENOENT);
}

static void others(void)
{
	char target[16] = "";

	WANT(symlinkat("target", dir, "s"));
	WANT(readlinkat(dir, "s", target, sizeof(target) - 1));
	IS(!strcmp(target, "target"));
	WANT(mkfifoat(dir, "p", 0600));
	WANT(mknodat(dir, "r", S_IFREG | 0600, 0));
	WANT(unlinkat(dir, "s", 0));
	WANT(unlinkat(dir, "p", 0));
	WANT(unlinkat(dir, "r", 0));
}

/* A file that is named after it is made. */
static void nameless(void)
{
	char path[32];
	struct stat st = { 0 };
	int fd;

	WANT(fd = openat(dir, ".", O_TMPFILE | O_RDWR, 0600));
	if (fd < 0)
		return;
	WANT(pwrite(fd, "abc", 3, 0));
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	WANT(linkat(AT_FDCWD, path, dir, "t", AT_SYMLINK_FOLLOW));
	WANT(fstatat(dir, "t", &st, 0));
	IS(st.st_size == 3 && st.st_nlink == 1);
	close(fd);
	WANT(unlinkat(dir, "t", 0));
}

static void opens(void)
{
	const ino_t a = make(dir, "a", 0);
	int fd;

	WANT(fd = openat(dir, "a", O_CREAT | O_TRUNC | O_RDWR, 0644));
	close(fd);
	IS(inode_of(dir, "a") == a);
	WANT_ERROR(openat(dir, "a", O_CREAT | O_EXCL | O_RDWR, 0644), EEXIST);
	WANT(unlinkat(dir, "a", 0));
}

/* Records one after another, each once; through the daemon. */
static void appends(void)
{
	enum { RECORDS = 8, RECORD = 512 };
	char record[RECORD];
	int fd;

	WANT(fd = openat(dir, "a", O_CREAT | O_EXCL | O_RDWR, 0644));
	if (fd < 0)
		return;
	WANT(fsetxattr(fd, "user.iobuf", "capacity=16K", 12, 0));
	WANT(ftruncate(fd, 0));
	close(fd);
	WANT(fd = openat(dir, "a", O_RDWR | O_APPEND));
	for (int i = 0; i < RECORDS; i++) {
		memset(record, 'a' + i, sizeof(record));
		WANT(write(fd, record, sizeof(record)));
	}
	IS(lseek(fd, 0, SEEK_END) == RECORDS * RECORD);
	for (int i = 0; i < RECORDS; i++) {
		WANT(pread(fd, record, sizeof(record), (off_t)i * RECORD));
		IS(record[0] == 'a' + i && record[RECORD - 1] == 'a' + i);
	}
	close(fd);
	WANT(unlinkat(dir, "a", 0));
}

static void attributes(void)
{
	int fd;

	make(dir, "a", O_EXCL);
	WANT(fd = openat(dir, "a", O_RDWR));
	if (fd < 0)
		return;
	WANT(fsetxattr(fd, "user.test", "1", 1, XATTR_CREATE));
	WANT_ERROR(fsetxattr(fd, "user.test", "2", 1, XATTR_CREATE), EEXIST);
	WANT(fsetxattr(fd, "user.test", "2", 1, XATTR_REPLACE));
	WANT(fremovexattr(fd, "user.test"));
	WANT_ERROR(fsetxattr(fd, "user.test", "3", 1, XATTR_REPLACE), ENODATA);
	WANT_ERROR(fremovexattr(fd, "user.test"), ENODATA);
	close(fd);
	WANT(unlinkat(dir, "a", 0));
}

/* The old state is told truly; empty, where memory is short. */
static void purgeables(void)
{
	uint32_t state = 0;
	int fd;

	WANT(fd = openat(dir, "a", O_CREAT | O_EXCL | O_RDWR, 0644));
	if (fd < 0)
		return;
	WANT(fsetxattr(fd, "user.iobuf", "purgeable,capacity=4K", 21,
		       XATTR_CREATE));
	for (int i = 0; i < 4; i++) {
		state = IOBUF_PURGEABLE_VOLATILE;
		WANT(ioctl(fd, IOBUF_IOC_SET_PURGEABLE, &state));
		IS(state == IOBUF_PURGEABLE_NONVOLATILE);
		state = IOBUF_PURGEABLE_NONVOLATILE;
		WANT(ioctl(fd, IOBUF_IOC_SET_PURGEABLE, &state));
		IS(state == IOBUF_PURGEABLE_VOLATILE ||
		   state == IOBUF_PURGEABLE_EMPTY);
	}
	close(fd);
	WANT(unlinkat(dir, "a", 0));
}

static void (*const plays[])(void) = {
	links, renames, renames_between_directories, directories, others,
	nameless, opens, appends, attributes, purgeables,
};

static void play(int root, unsigned int number)
{
	enum { PLAYS = sizeof(plays) / sizeof(plays[0]) };
	char name[32];

	self = number;
	snprintf(name, sizeof(name), "own%u", number);
	WANT(mkdirat(root, name, 0755));
	WANT(dir = openat(root, name, O_RDONLY | O_DIRECTORY));
	WANT(shared = openat(root, "shared", O_RDONLY | O_DIRECTORY));
	while (!all->done) {
		plays[(number + turn++) % PLAYS]();
		check_empty();
	}
	close(dir);
	WANT(unlinkat(root, name, AT_REMOVEDIR));
}

/* Who serves; waits until somebody does. */
static pid_t worker_of(int root)
{
	char state[8192], *at;
	ssize_t n = fgetxattr(root, "user.iobuf.state", state, sizeof(state) - 1);

	if (n < 0) {
		perror("deaths: user.iobuf.state");
		return -1;
	}
	state[n] = '\0';
	at = strstr(state, "worker_pid=");
	return at ? atoi(at + strlen("worker_pid=")) : -1;
}

/* At any moment of its life. */
static bool kill_workers(int root, unsigned long deaths)
{
	for (unsigned long i = 0; i < deaths; i++) {
		const struct timespec while_it_lives = {
			.tv_nsec = random() % (3 * 1000 * 1000),
		};
		pid_t worker = worker_of(root);

		nanosleep(&while_it_lives, NULL);
		if (worker <= 0 || kill(worker, SIGKILL) < 0)
			return false;
		while (worker_of(root) == worker)
			;
	}
	return true;
}

int main(int argc, char **argv)
{
	int root = argc == 4 ? open(argv[1], O_RDONLY | O_DIRECTORY) : -1;
	bool killed;

	all = mmap(NULL, sizeof(*all), PROT_READ | PROT_WRITE,
		   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (root < 0 || all == MAP_FAILED ||
	    (mkdirat(root, "shared", 0755) < 0 && errno != EEXIST)) {
		perror("deaths");
		return EXIT_FAILURE;
	}
	srandom((unsigned int)atoi(argv[3]));
	for (unsigned int i = 0; i < PROCESSES; i++)
		if (fork() == 0) {
			play(root, i);
			_exit(EXIT_SUCCESS);
		}
	killed = kill_workers(root, strtoul(argv[2], NULL, 10));
	all->done = true;
	while (wait(NULL) > 0)
		;
	WANT(unlinkat(root, "shared", AT_REMOVEDIR));
	printf("%s deaths, %lu calls, %u wrong\n", argv[2],
	       atomic_load(&all->calls), atomic_load(&all->wrong));
	return killed && all->wrong == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
