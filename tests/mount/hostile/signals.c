/* SPDX-License-Identifier: MIT */
/*
 * signals.c - signals in every call that may block. What is interrupted has not
 * been done, what is not has been done; nothing is half done.
 */
#include "hostile.h"

#include <iobuf/ioctl.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

enum { BUFFER = 1 << 20, RUN = 32 << 20, TURNS = 60 };

static char name[2][64]; /* of this process */
static char *bytes;
static unsigned long interrupted;
static unsigned int turn;

static void ignore(int number)
{
	(void)number;
}

/* Whether it was done; anything but EINTR is told. */
static bool done(long result, const char *what, int line)
{
	if (result >= 0)
		return true;
	if (errno == EINTR)
		interrupted++;
	else
		tell(what, line);
	return false;
}
#define DONE(call) done((long)(call), #call, __LINE__)

/* What only tidies up, however often it is interrupted. */
#define SURELY(call)                                                           \
	({                                                                     \
		long result_;                                                  \
		do                                                             \
			result_ = (long)(call);                                \
		while (result_ < 0 && errno == EINTR);                         \
		if (result_ < 0)                                               \
			tell(#call, __LINE__);                                 \
		(int)result_;                                                  \
	})

static bool is_there(const char *path)
{
	struct stat st;
	int result;

	do
		result = lstat(path, &st);
	while (result < 0 && errno == EINTR);
	return result == 0;
}

static off_t size_of(int fd)
{
	struct stat st = { 0 };

	SURELY(fstat(fd, &st));
	return st.st_size;
}

static int anew(const char *path)
{
	return SURELY(open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
}

static void create_one(void)
{
	const int fd = open(name[0], O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	if (DONE(fd))
		close(fd);
	/* An open that waits for its turn may come after the file was made,
	 * but then the file is empty. */
	if (fd < 0 && is_there(name[0]))
		tell("made, and interrupted", __LINE__);
	if (fd >= 0)
		SURELY(unlink(name[0]));
}

static void make_and_move(void)
{
	if (!DONE(mkdir(name[0], 0700))) {
		IS(!is_there(name[0]));
		return;
	}
	if (DONE(rename(name[0], name[1])))
		IS(is_there(name[1]) && !is_there(name[0]));
	else
		IS(is_there(name[0]) && !is_there(name[1]));
	SURELY(rmdir(is_there(name[0]) ? name[0] : name[1]));
}

/* A buffer whose transfers come to the daemon. */
static int fixed(void)
{
	const int fd = anew(name[0]);

	SURELY(fsetxattr(fd, "user.iobuf",
			 "capacity=1M,purgeable,cache=writethru", 37, 0));
	return fd;
}

static void write_and_read(void)
{
	const int fd = fixed();
	char *got = malloc(BUFFER);
	ssize_t written, n;

	memset(bytes, 'a' + (int)(turn % 26), BUFFER);
	written = pwrite(fd, bytes, BUFFER, 0);
	DONE(written);
	DONE(fsync(fd));
	n = pread(fd, got, BUFFER, 0);
	if (DONE(n) && written > 0)
		IS(memcmp(got, bytes, (size_t)(n < written ? n : written)) == 0);
	/* What was not written is as it was. */
	if (DONE(n) && written >= 0)
		for (ssize_t i = written; i < n; i += 512)
			IS(got[i] == 0);
	free(got);
	close(fd);
	SURELY(unlink(name[0]));
}

static void purge_and_keep(void)
{
	const int fd = fixed();
	uint32_t state = IOBUF_PURGEABLE_VOLATILE, is = IOBUF_PURGEABLE_KEEP_CURRENT;
	const bool set = DONE(ioctl(fd, IOBUF_IOC_SET_PURGEABLE, &state));

	SURELY(ioctl(fd, IOBUF_IOC_SET_PURGEABLE, &is));
	IS(set == (is != IOBUF_PURGEABLE_NONVOLATILE));
	close(fd);
	SURELY(unlink(name[0]));
}

static void search(void)
{
	static const char spec[] = "contiguous,capacity=32M";
	const int fd = anew(name[0]);
	const bool set = DONE(fsetxattr(fd, "user.iobuf", spec, strlen(spec), 0));
	struct stat st = { 0 };

	SURELY(fstat(fd, &st));
	IS(st.st_size == (set ? RUN : 0));
	IS(st.st_blocks == (set ? RUN / 512 : 0));
	close(fd);
	SURELY(unlink(name[0]));
}

static void reserve(void)
{
	const int fd = anew(name[0]);
	const bool grown = DONE(fallocate(fd, 0, 0, 4 * BUFFER));

	IS(size_of(fd) == (grown ? 4 * BUFFER : 0));
	if (DONE(ftruncate(fd, 2 * BUFFER)))
		IS(size_of(fd) == 2 * BUFFER);
	else
		IS(size_of(fd) == (grown ? 4 * BUFFER : 0));
	close(fd);
	SURELY(unlink(name[0]));
}

static void copy(void)
{
	const int from = anew(name[0]), to = anew(name[1]);
	char *got = malloc(BUFFER);
	ssize_t n;

	memset(bytes, 'c', BUFFER);
	IS(pwrite(from, bytes, BUFFER, 0) > 0);
	n = copy_file_range(from, NULL, to, NULL, BUFFER, 0);
	if (DONE(n)) {
		IS(size_of(to) == n);
		IS(pread(to, got, BUFFER, 0) == n);
		IS(memcmp(got, bytes, (size_t)n) == 0);
	}
	free(got);
	close(from);
	close(to);
	SURELY(unlink(name[0]));
	SURELY(unlink(name[1]));
}

/* The other process of the two has it at times, and so they wait. */
static void lock(void)
{
	const int fd = SURELY(open("locked", O_RDWR | O_CREAT | O_CLOEXEC, 0600));
	const struct timespec hold = { 0, 3000000 };
	struct flock range = { .l_type = F_WRLCK, .l_len = 1 };

	if (DONE(flock(fd, LOCK_EX))) {
		nanosleep(&hold, NULL);
		IS(flock(fd, LOCK_UN) == 0);
	}
	if (DONE(fcntl(fd, F_SETLKW, &range)))
		nanosleep(&hold, NULL);
	close(fd);
}

static void (*const calls[])(void) = {
	create_one, make_and_move, write_and_read, purge_and_keep, search,
	reserve,    copy,	   lock,
};

static void prepare(int number)
{
	snprintf(name[0], sizeof(name[0]), "signals%d", number);
	snprintf(name[1], sizeof(name[1]), "signals%d-other", number);
	bytes = malloc(BUFFER);
}

static int under_signals(int number)
{
	const struct itimerval every = { { 0, 1000 }, { 0, 1000 } };
	const struct itimerval never = { 0 };
	const struct sigaction action = {
		.sa_handler = ignore,
		.sa_flags = number % 2 ? SA_RESTART : 0,
	};

	prepare(number);
	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &every, NULL);
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
		for (turn = 0; turn < TURNS; turn++)
			calls[i]();
	setitimer(ITIMER_REAL, &never, NULL);
	printf("%lu interrupted\n", interrupted);
	fflush(stdout);
	return told();
}

/* One process whose calls are restarted, and one whose are not. */
int signals(int argc, char **argv)
{
	pid_t pid[2];
	int fd;

	(void)argc;
	(void)argv;
	for (int i = 0; i < 2; i++)
		MUST(pid[i] = in_process(under_signals, i));
	for (int i = 0; i < 2; i++)
		IS(ended_well(pid[i]));
	/* No lock stays. */
	MUST(fd = open("locked", O_RDWR | O_CLOEXEC));
	MUST(flock(fd, LOCK_EX | LOCK_NB));
	close(fd);
	return told();
}

static int until_killed(int number)
{
	prepare(0);
	for (turn = 0;; turn++)
		calls[((unsigned int)number + turn) %
		      (sizeof(calls) / sizeof(calls[0]))]();
	return 1;
}

/* What it had made; it is the same for all of them. */
static void remove_both(void)
{
	prepare(0);
	for (int i = 0; i < 2; i++)
		if (unlink(name[i]) < 0 && errno == EISDIR)
			MUST(rmdir(name[i]));
	free(bytes);
}

/* KILLS: as many processes are killed in whatever they are at. */
int killed(int argc, char **argv)
{
	const int kills = argc == 1 ? atoi(argv[0]) : 0;
	const unsigned int seed = (unsigned int)getpid();
	int fd;

	srandom(seed);
	for (int i = 0; i < kills; i++) {
		const pid_t pid = in_process(until_killed, i);
		const struct timespec a_while = { 0, random() % 20000000 };

		MUST(pid);
		nanosleep(&a_while, NULL);
		MUST(kill(pid, SIGKILL));
		IS(!ended_well(pid));
		remove_both();
	}
	MUST(fd = open("locked", O_RDWR | O_CREAT | O_CLOEXEC, 0600));
	MUST(flock(fd, LOCK_EX | LOCK_NB));
	close(fd);
	if (told())
		fprintf(stderr, "seed %u\n", seed);
	return told();
}
