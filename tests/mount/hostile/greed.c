/* SPDX-License-Identifier: MIT */
/* greed.c - clients that take all that they can get. */
#include "hostile.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

static int to_parent[2];

/* It has what it wants, and keeps that until its maker dies. */
static int keep(void)
{
	IS(write(to_parent[1], "x", 1) == 1);
	if (told())
		return 1;
	for (;;)
		pause();
}

/* So that to kill the first one is to kill all. */
static void die_with(pid_t parent)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
}

/* All have what they want: say so, and keep it until SIGKILL. */
static int ready(int processes)
{
	char byte;

	close(to_parent[1]);
	for (int i = 0; i < processes; i++)
		IS(read(to_parent[0], &byte, 1) == 1);
	if (told())
		return 1;
	puts("ready");
	fflush(stdout);
	for (;;)
		pause();
}

static int open_all(int number)
{
	char name[64];
	int i;

	die_with(getppid());
	for (i = 0;; i++) {
		/* Every second one is of the same file. */
		if (i % 2)
			snprintf(name, sizeof(name), "one");
		else
			snprintf(name, sizeof(name), "%d-%d", number, i);
		if (open(name, O_RDWR | O_CREAT, 0600) < 0)
			break;
	}
	if (errno != EMFILE)
		tell("open", __LINE__);
	return keep();
}

/* PROCESSES FILES: each opens as many, of which half are the same one. */
int keeps_open(int argc, char **argv)
{
	const int processes = argc == 2 ? atoi(argv[0]) : 0;
	const rlim_t files = argc == 2 ? (rlim_t)atoi(argv[1]) : 0;
	const struct rlimit limit = { files, files };

	MUST(pipe(to_parent));
	MUST(setrlimit(RLIMIT_NOFILE, &limit));
	for (int i = 0; i < processes; i++)
		MUST(in_process(open_all, i));
	return ready(processes);
}

enum { MAPPED = 4 << 20, MAPS = 3000, FORK_DEPTH = 4, FORK_ALL = 31 };

static int map_and_fork(int depth)
{
	const int fd = open("/proc/self/fd/9", O_RDWR | O_CLOEXEC);

	die_with(getppid());
	MUST(fd);
	for (int i = 0; i < MAPS; i++) {
		/* Not beside each other, or they would be made one. */
		const off_t at = (off_t)(i * 2 % (MAPPED / 4096)) * 4096;
		char *map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED,
				 fd, at);

		if (map == MAP_FAILED) {
			tell("mmap", __LINE__);
			break;
		}
		map[0] = 1;
	}
	close(fd);
	if (depth < FORK_DEPTH)
		for (int i = 0; i < 2; i++)
			MUST(in_process(map_and_fork, depth + 1));
	return keep();
}

/* A tree of processes, each with thousands of mappings of one unlinked file. */
int maps_and_forks(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	MUST(pipe(to_parent));
	MUST(make("mapped", 'm', MAPPED));
	MUST(dup2(open("mapped", O_RDWR), 9));
	MUST(unlink("mapped"));
	MUST(in_process(map_and_fork, 0));
	return ready(FORK_ALL);
}

enum { READS = 2 };

static pthread_barrier_t start;

static void *look(void *argument)
{
	char bytes[16];
	struct stat st;

	pthread_barrier_wait(&start);
	for (int i = 0; i < READS; i++) {
		const int fd = open("looked_at", O_RDONLY | O_CLOEXEC);

		if (fd < 0) {
			tell("open", __LINE__);
			break;
		}
		MUST(fstat(fd, &st));
		IS(pread(fd, bytes, sizeof(bytes), 0) == sizeof(bytes));
		MUST(close(fd));
	}
	return argument;
}

static int run_threads(int count)
{
	pthread_t *thread = calloc((size_t)count, sizeof(*thread));
	pthread_attr_t attributes;

	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, 32 * 1024);
	pthread_barrier_init(&start, NULL, (unsigned int)count);
	for (int i = 0; i < count; i++) {
		errno = pthread_create(&thread[i], &attributes, look, NULL);
		if (errno) {
			tell("pthread_create", __LINE__);
			return 1; /* ends those that wait */
		}
	}
	for (int i = 0; i < count; i++)
		pthread_join(thread[i], NULL);
	free(thread);
	return told();
}

/* PROCESSES THREADS: all open, look, read and close at once. */
int threads(int argc, char **argv)
{
	const int processes = argc == 2 ? atoi(argv[0]) : 0;
	pid_t *pid = calloc((size_t)processes + 1, sizeof(*pid));

	/* One whose reads the daemon answers. */
	MUST(make("looked_at", 'l', 0));
	MUST(setxattr("looked_at", "user.iobuf", "capacity=64K", 12, 0));
	for (int i = 0; i < processes; i++)
		MUST(pid[i] = in_process(run_threads, atoi(argv[1])));
	for (int i = 0; i < processes; i++)
		IS(ended_well(pid[i]));
	free(pid);
	return told();
}

/* SPEC ERROR: files of that kind, or of 1 MiB where it is `-`, until the error
 * comes; then the one that has failed is as it was, and all can be removed. */
int fills(int argc, char **argv)
{
	const char *spec = argc == 2 ? argv[0] : "";
	struct stat st = { 0 };
	char name[32];
	int i, failed = 0;

	for (i = 0; !failed && i < 10000; i++) {
		snprintf(name, sizeof(name), "fill%d", i);
		if (strcmp(spec, "-") == 0) {
			failed = make(name, 'f', 1 << 20) < 0 ? errno : 0;
			continue;
		}
		/* Names take no room that is counted, so this one is there. */
		if (make(name, 'f', 0) < 0)
			failed = errno;
		else if (setxattr(name, "user.iobuf", spec, strlen(spec), 0) < 0)
			failed = errno;
		if (failed && stat(name, &st) == 0)
			IS(st.st_size == 0 && st.st_blocks == 0);
	}
	errno = failed;
	if (failed == 0 || strcmp(strerrorname_np(failed), argv[1]))
		tell("another error than was wanted", __LINE__);
	printf("%d\n", i);
	/* The bystander meets the full pool meanwhile. */
	usleep(100000);
	while (i-- > 0) {
		snprintf(name, sizeof(name), "fill%d", i);
		if (unlink(name) < 0 && errno != ENOENT)
			tell("unlink", __LINE__);
	}
	return told();
}

enum { JOURNALED = 2000 };

static atomic_bool enough;

static void once(int number, int turn)
{
	char name[64], moved[64];
	int record = number, got[3];
	int fd;

	snprintf(name, sizeof(name), "t%d/f", number);
	snprintf(moved, sizeof(moved), "t%d/moved", number);
	fd = open(name, O_RDWR | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0600);
	if (fd < 0) {
		tell("create", turn);
		return;
	}
	for (int i = 0; i < 2; i++, record++)
		IS(write(fd, &record, sizeof(record)) == sizeof(record));
	IS(pread(fd, got, sizeof(got), 0) == 2 * sizeof(got[0]));
	IS(got[0] == number && got[1] == number + 1);
	MUST(rename(name, moved));
	MUST(close(fd));
	MUST(unlink(moved));
}

static void *append(void *argument)
{
	const int number = (int)(long)argument;

	pthread_barrier_wait(&start);
	for (int i = 0; !atomic_load(&enough); i++)
		once(number, i);
	return argument;
}

/* Until SIGTERM, very many make, append, rename and remove at once, each in a
 * directory of its own, so that the kernel holds none of them back; each happens
 * once. */
int appends(int argc, char **argv)
{
	static pthread_t thread[JOURNALED];
	pthread_attr_t attributes;
	char name[32];

	(void)argc;
	(void)argv;
	is_asked_to_end(0); /* the threads shall not be */
	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, 64 * 1024);
	pthread_barrier_init(&start, NULL, JOURNALED + 1);
	for (long i = 0; i < JOURNALED; i++) {
		snprintf(name, sizeof(name), "t%ld", i);
		MUST(mkdir(name, 0700));
		/* So that what is appended comes to the daemon. */
		MUST(setxattr(name, "user.iobuf", "cache=writethru", 15, 0));
		errno = pthread_create(&thread[i], &attributes, append, (void *)i);
		if (errno) {
			tell("pthread_create", __LINE__);
			return 1;
		}
	}
	puts("ready");
	fflush(stdout);
	pthread_barrier_wait(&start);
	while (!is_asked_to_end(900000000))
		;
	atomic_store(&enough, true);
	for (int i = 0; i < JOURNALED; i++)
		pthread_join(thread[i], NULL);
	return told();
}

static int from_main[2]; /* a byte when it may go on */

static void check_map(const char *map, char byte)
{
	for (size_t i = 0; i < MAPPED; i += 4096)
		IS(map[i] == byte);
}

/* What a dead parent has mapped is the heir's until it ends. */
static int heir(char **maps)
{
	char byte;

	IS(read(from_main[0], &byte, 1) == 1);
	die_with(getppid());
	do {
		for (int i = 0; i < 2; i++) {
			check_map(maps[i], 'm');
			maps[i][4096] = 'm';
		}
	} while (!is_asked_to_end(1000000));
	return told();
}

static char *map_one(const char *file, const char *spec)
{
	int fd;
	char *map;

	MUST(fd = open(file, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
	MUST(fsetxattr(fd, "user.iobuf", spec, strlen(spec), 0));
	map = mmap(NULL, MAPPED, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED) {
		tell("mmap", __LINE__);
		_exit(1);
	}
	memset(map, 'm', MAPPED);
	close(fd);
	return map;
}

/* Has two buffers mapped, one of which is bound to it, forks, and dies. */
static int testator(int number)
{
	char *maps[] = { map_one("bound", "capacity=4M,task=self"),
			 map_one("unlinked", "wired,capacity=4M") };
	const pid_t pid = fork();

	(void)number;
	if (pid == 0)
		_exit(heir(maps));
	MUST(unlink("unlinked"));
	IS(write(to_parent[1], &pid, sizeof(pid)) == sizeof(pid));
	kill(getpid(), told() ? SIGABRT : SIGKILL);
	return 1;
}

/* Until SIGTERM, a process keeps mappings that it has from its dead parent. */
int inherits(int argc, char **argv)
{
	pid_t testators, heirs = 0;

	(void)argc;
	(void)argv;
	MUST(prctl(PR_SET_CHILD_SUBREAPER, 1));
	MUST(pipe(to_parent));
	MUST(pipe(from_main));
	MUST(testators = in_process(testator, 0));
	IS(read(to_parent[0], &heirs, sizeof(heirs)) == sizeof(heirs));
	IS(!ended_well(testators));
	IS(write(from_main[1], "x", 1) == 1);
	puts("ready");
	fflush(stdout);
	while (!is_asked_to_end(900000000))
		;
	MUST(kill(heirs, SIGTERM));
	IS(ended_well(heirs));
	return told();
}
