/* SPDX-License-Identifier: MIT */
/*
 * unit.h - what the unit tests share: cmocka, and eyes that look at the process
 * and its memory without asking the code under test.
 */
#ifndef UNIT_H
#define UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { UNIT_SKIPPED = 77 };

/* Print why, then let cmocka count the test as skipped. */
#define SKIP(why)                                                              \
	do {                                                                   \
		print_message("SKIPPED %s: %s\n", __func__, why);              \
		skip();                                                        \
	} while (0)

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

static inline uint64_t page_bytes(void)
{
	return (uint64_t)sysconf(_SC_PAGESIZE);
}

/* VmLck of this process, in bytes. */
static inline uint64_t locked_bytes(void)
{
	FILE *status = fopen("/proc/self/status", "re");
	unsigned long long kib = 0;
	char line[256];

	assert_non_null(status);
	while (fgets(line, sizeof(line), status))
		if (sscanf(line, "VmLck: %llu kB", &kib) == 1)
			break;
	fclose(status);
	return kib * 1024;
}

static inline unsigned int open_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned int n = 0;

	assert_non_null(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n - 3; /* ".", ".." and the directory's own */
}

/* Bytes that this process has mapped of files whose name contains `name`. */
static inline uint64_t mapped_bytes(const char *name)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	unsigned long long from, to, sum = 0;
	char line[512];

	assert_non_null(maps);
	while (fgets(line, sizeof(line), maps))
		if (strstr(line, name) &&
		    sscanf(line, "%llx-%llx", &from, &to) == 2)
			sum += to - from;
	fclose(maps);
	return sum;
}

/* Pages of [at, at + size) that have an entry in our page table. */
static inline uint64_t present_pages(const void *at, uint64_t size)
{
	const uint64_t page = page_bytes();
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	uint64_t present = 0, entry;

	assert_true(fd >= 0);
	for (uint64_t i = 0; i < size / page; i++) {
		off_t where = (off_t)(((uintptr_t)at / page + i) * 8);

		assert_int_equal(pread(fd, &entry, 8, where), 8);
		present += entry >> 63;
	}
	close(fd);
	return present;
}

static inline bool all_bytes_are(const void *bytes, size_t size, int value)
{
	const unsigned char *p = bytes;

	for (size_t i = 0; i < size; i++)
		if (p[i] != (unsigned char)value)
			return false;
	return true;
}

static inline int new_memfd(void)
{
	int fd = memfd_create("unit", MFD_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

static inline struct stat stat_of(int fd)
{
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	return st;
}

/* In a child only: it has no cmocka to jump back to. */
#define CHILD_CHECK(condition)                                                 \
	do {                                                                   \
		if (!(condition)) {                                            \
			fprintf(stderr, "%s:%d: in a child: %s\n", __FILE__,   \
				__LINE__, #condition);                         \
			_exit(EXIT_FAILURE);                                   \
		}                                                              \
	} while (0)

/* Run `body` in a child; UNIT_SKIPPED when it says so, else it must succeed. */
static inline int run_in_child(void (*body)(void))
{
	int status = -1;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		body();
		_exit(EXIT_SUCCESS);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == UNIT_SKIPPED)
		return UNIT_SKIPPED;
	assert_int_equal(WEXITSTATUS(status), EXIT_SUCCESS);
	return 0;
}

/* Give up one capability for good. */
static inline void drop_capability(unsigned int capability)
{
	struct __user_cap_header_struct head = {
		.version = _LINUX_CAPABILITY_VERSION_3,
	};
	struct __user_cap_data_struct data[2] = { 0 };
	const uint32_t kept = ~(UINT32_C(1) << (capability % 32));

	CHILD_CHECK(syscall(SYS_capget, &head, data) == 0);
	data[capability / 32].effective &= kept;
	data[capability / 32].permitted &= kept;
	data[capability / 32].inheritable &= kept;
	CHILD_CHECK(syscall(SYS_capset, &head, data) == 0);
}

/*
 * A test must not be able to eat the machine's memory, whatever the code under
 * test does: no file of this process, a memfd neither, grows past 1 GiB.
 */
static inline int limit_file_sizes(void **state)
{
	const struct rlimit limit = { UINT64_C(1) << 30, UINT64_C(1) << 30 };

	(void)state;
	signal(SIGXFSZ, SIG_IGN); /* EFBIG instead */
	return setrlimit(RLIMIT_FSIZE, &limit);
}

#define RUN_TESTS(name, tests)                                                 \
	cmocka_run_group_tests_name(name, tests, limit_file_sizes, NULL)

/*
 * In a child: a tmpfs of `size` that nobody else sees and that goes with the
 * child, mounted over /dev/shm. Leaves the child as skipped where mounting is
 * not allowed.
 */
static inline void enter_small_tmpfs(const char *size)
{
	char options[64];

	snprintf(options, sizeof(options), "size=%s,mode=1777", size);
	if (unshare(CLONE_NEWNS) < 0 ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("unit", "/dev/shm", "tmpfs", 0, options) < 0)
		_exit(UNIT_SKIPPED);
}

/* A file without a name on /dev/shm. */
static inline int new_shm_file(void)
{
	int fd = open("/dev/shm", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	return fd;
}

/* A directory on a tmpfs, removed with all that is in it. */
struct scratch {
	char path[64];
	int fd;
};

static inline struct scratch scratch_make(void)
{
	struct scratch s = { "/dev/shm/bufferfs-unit-XXXXXX", -1 };

	assert_non_null(mkdtemp(s.path));
	s.fd = open(s.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(s.fd >= 0);
	return s;
}

static inline void scratch_remove(struct scratch *s)
{
	char *const paths[] = { s->path, NULL };
	FTS *tree = fts_open(paths, FTS_PHYSICAL | FTS_XDEV, NULL);
	FTSENT *entry;

	close(s->fd);
	assert_non_null(tree);
	/* It goes from directory to directory: a path may be too long. */
	while ((entry = fts_read(tree)))
		if (entry->fts_info != FTS_D)
			remove(entry->fts_accpath);
	fts_close(tree);
}

#endif
