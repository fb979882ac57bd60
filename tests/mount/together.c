/* SPDX-License-Identifier: MIT */
/*
 * together.c - many processes that make purgeable buffers, some bound to
 * themselves and some until their last close, make them volatile and
 * nonvolatile, ask for the mount's figures, and die, all at once in a small
 * pool: for what may happen between the monitor, requests and the reaper.
 *
 * Each checks what it is promised: contents are whole or gone.
 */
#include <iobuf/ioctl.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

enum { BUFFER_BYTES = 1 << 20, BUFFERS = 6 };

static const char *mount_point;

static void die(const char *what)
{
	fprintf(stderr, "together: %s: %s\n", what, strerror(errno));
	_exit(EXIT_FAILURE);
}

/* The pool may be full of what others need: that is no failure. */
static int may_fail(int r)
{
	if (r < 0 && errno != ENOSPC)
		die("a request");
	return r;
}

static int set_state(int fd, uint32_t state, uint32_t *ret_old)
{
	if (may_fail(ioctl(fd, IOBUF_IOC_SET_PURGEABLE, &state)) < 0)
		return -1;
	*ret_old = state;
	return 0;
}

static void check(const unsigned char *bytes, unsigned char value,
		  const char *what)
{
	for (size_t i = 0; i < BUFFER_BYTES; i += 64)
		if (bytes[i] != value) {
			errno = EILSEQ;
			die(what);
		}
}

/* A buffer of this process, filled and volatile; -1 when there is no room. */
static int make(unsigned int process, unsigned int i, unsigned char value)
{
	static const char *const specs[] = {
		"purgeable,task=self,capacity=1M",
		"purgeable,life=lastclose,capacity=1M",
		"purgeable,tag=together,capacity=1M",
	};
	const char *spec = specs[i % 3];
	unsigned char *bytes;
	char path[4096];
	uint32_t old;
	int fd;

	snprintf(path, sizeof(path), "%s/%u-%u", mount_point, process, i);
	unlink(path);
	if ((fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600)) < 0)
		die(path);
	if (may_fail(fsetxattr(fd, "user.iobuf", spec, strlen(spec), 0)) < 0) {
		close(fd);
		return -1;
	}
	bytes = mmap(NULL, BUFFER_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED,
		     fd, 0);
	if (bytes == MAP_FAILED)
		die("mmap");
	memset(bytes, value, BUFFER_BYTES);
	munmap(bytes, BUFFER_BYTES);
	if (set_state(fd, IOBUF_PURGEABLE_VOLATILE |
				  IOBUF_VOLATILE_GROUP(i % 8), &old) < 0)
		die("volatile");
	return fd;
}

/* All of it, or none, and the state has told which. */
static void use(int fd, unsigned char value)
{
	static unsigned char bytes[BUFFER_BYTES];
	uint32_t old;

	if (set_state(fd, IOBUF_PURGEABLE_NONVOLATILE, &old) < 0)
		return;
	if (pread(fd, bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes))
		die("pread");
	check(bytes, old == IOBUF_PURGEABLE_EMPTY ? 0 : value,
	      "neither all nor nothing");
}

static void look(void)
{
	char text[65536];

	if (getxattr(mount_point, "user.iobuf.state", text, sizeof(text)) < 0)
		die("the mount's state");
}

static void live(unsigned int process, unsigned int life)
{
	const unsigned char value = (unsigned char)(1 + (process + life) % 255);
	int fds[BUFFERS];

	for (unsigned int i = 0; i < BUFFERS; i++)
		fds[i] = make(process, i + BUFFERS * (life % 4), value);
	if (process == 0)
		look();
	for (unsigned int i = 0; i < BUFFERS; i++)
		if (fds[i] >= 0) {
			use(fds[i], value);
			if (i % 2)
				close(fds[i]);
		}
	_exit(EXIT_SUCCESS); /* its tasks' names go with it */
}

static void wait_for(pid_t pid)
{
	int status;

	if (waitpid(pid, &status, 0) != pid || status)
		_exit(EXIT_FAILURE);
}

static void run(unsigned int process, unsigned int lives)
{
	for (unsigned int life = 0; life < lives; life++) {
		pid_t pid = fork();

		if (pid < 0)
			die("fork");
		if (pid == 0)
			live(process, life);
		wait_for(pid);
	}
	_exit(EXIT_SUCCESS);
}

int main(int argc, char **argv)
{
	int failed = 0, status;

	if (argc != 4) {
		fprintf(stderr, "usage: together MOUNT PROCESSES LIVES\n");
		return 2;
	}
	mount_point = argv[1];
	for (int i = 0; i < atoi(argv[2]); i++)
		if (fork() == 0)
			run((unsigned int)i, (unsigned int)atoi(argv[3]));
	while (wait(&status) > 0)
		failed |= status;
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
