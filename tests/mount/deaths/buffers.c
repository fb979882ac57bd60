/* SPDX-License-Identifier: MIT */
/* buffers.c - configurers: who says what memory a buffer shall be. */
#include "deaths.h"

#include <iobuf/ioctl.h>
#include <iobuf/purgeable.h>

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

enum { SMALL = 24 << 10, LARGE = 256 << 10 };

static unsigned char bytes[LARGE];

static int set(const char *name, const char *attribute, const char *value)
{
	return setxattr(name, attribute, value, strlen(value), 0);
}

/* Is it a line of its state? */
static bool tells(const char *name, const char *line)
{
	char state[4096];
	ssize_t n = getxattr(name, "user.iobuf.state", state, sizeof(state) - 1);

	if (n < 0)
		return false;
	state[n] = '\0';
	return strstr(state, line);
}

/* It does, when the next worker has wired what the last one had. */
static bool comes_to_tell(const char *name, const char *line, bool wanted)
{
	enum { PAUSE_US = 1000, PAUSES_MAX = 30 * 1000 };

	for (int i = 0; i < PAUSES_MAX; i++) {
		if (tells(name, line) == wanted)
			return true;
		usleep(PAUSE_US);
	}
	return false;
}

/* The kernel may not have told yet that it was closed: that is waited for, but
 * not for as long as a worker may take to come. */
static int set_after_close(const char *name, const char *value)
{
	enum { TRIES_MAX = 100 };
	int r = -1;

	for (int i = 0; i < TRIES_MAX; i++)
		if ((r = set(name, "user.iobuf", value)) == 0 || errno != EBUSY)
			break;
	return r;
}

static void make_empty(const char *name)
{
	int fd;

	WANT(fd = openat(dir, name, O_CREAT | O_EXCL | O_RDWR, 0644));
	close(fd);
}

static bool has_contents(const char *name, size_t size, unsigned int seed)
{
	ssize_t n = -1;
	int fd;

	WANT(fd = openat(dir, name, O_RDONLY));
	if (fd < 0)
		return false;
	WANT(n = pread(fd, bytes, size, 0));
	close(fd);
	return n == (ssize_t)size && is_filled(bytes, size, seed);
}

/* Whole, or refused by the limit: then what is missing is. */
static bool write_contents(const char *name, size_t size, unsigned int seed)
{
	bool done;
	int fd;

	WANT(fd = openat(dir, name, O_WRONLY));
	if (fd < 0)
		return false;
	fill(bytes, size, seed);
	done = DONE(fallocate(fd, 0, 0, (off_t)size));
	if (done)
		WANT(pwrite(fd, bytes, size, 0));
	else
		IS(lseek(fd, 0, SEEK_END) == 0);
	close(fd);
	return done;
}

/* Each kind: whole, and it can be used; or there is nothing of it. */
static void kinds(void)
{
	static const char *const specs[] = {
		"capacity=256K", "wired,capacity=256K", "contiguous,capacity=32K",
		"wired,capacity=256K,cache=writethru,tag=kinds",
		"purgeable,capacity=256K", "contiguous,capacity=128K",
		"align=64K,capacity=64K", "unshared,capacity=64K",
	};
	const char *spec = specs[(turn / 3) % (sizeof(specs) / sizeof(*specs))];
	int fd;

	make_empty("k");
	if (!DONE(set("k", "user.iobuf", spec))) {
		IS(tells("k", "kind=empty\n") && tells("k", "allocated=0\n"));
		WANT(unlinkat(dir, "k", 0));
		return;
	}
	IS(tells("k", "kind=fixed\n"));
	IS(comes_to_tell("k", "wired=0\n",
			 !(strstr(spec, "wired") || strstr(spec, "contiguous") ||
			   strstr(spec, "align"))));
	WANT(fd = openat(dir, "k", O_RDWR));
	fill(bytes, SMALL, turn);
	WANT(pwrite(fd, bytes, SMALL, 0));
	close(fd);
	WANT_ERROR(set("k", "user.iobuf.capacity", "512K"), EBUSY);
	WANT(set("k", "user.iobuf.length", "24K"));
	IS(has_contents("k", SMALL, turn));
	IS(tells("k", "length=24576\n"));
	WANT(unlinkat(dir, "k", 0));
}

/* Contents stay what they are when a buffer becomes another kind, or does not. */
static void conversions(void)
{
	static const char *const specs[] = {
		"wired,capacity=256K,length=24K", "capacity=64K,length=24K",
		"contiguous,capacity=32K,length=24K",
		"purgeable,capacity=256K,length=24K", "wired,length=24K",
		"contiguous,capacity=128K,length=24K",
	};
	const char *spec = specs[(turn / 3) % (sizeof(specs) / sizeof(*specs))];
	bool done;

	make_empty("c");
	if (write_contents("c", SMALL, turn)) {
		done = DONE(set_after_close("c", spec));
		IS(tells("c", "kind=elastic\n") ==
		   (!done || !strstr(spec, "capacity")));
		IS(has_contents("c", SMALL, turn));
	}
	WANT(unlinkat(dir, "c", 0));
}

/* Elastic and wired: it grows, or it stays as it was. */
static void growth(void)
{
	struct stat st = { 0 };
	bool grown;

	make_empty("g");
	WANT(set("g", "user.iobuf", "wired"));
	if (DONE(truncate("g", SMALL))) {
		grown = DONE(truncate("g", LARGE));
		WANT(stat("g", &st));
		IS(st.st_size == (grown ? LARGE : SMALL));
		WANT(truncate("g", 4096));
		IS(comes_to_tell("g", "wired=4096\n", true));
	}
	WANT(unlinkat(dir, "g", 0));
}

static void words(void)
{
	char text[64] = "";

	make_empty("w");
	WANT(set("w", "user.iobuf.tag", "one"));
	WANT(set("w", "user.iobuf.tag", "two"));
	WANT_ERROR(set("w", "user.iobuf", "wired,nonsense"), EINVAL);
	WANT_ERROR(set("w", "user.iobuf.state", "kind=fixed"), EPERM);
	WANT(getxattr("w", "user.iobuf.tag", text, sizeof(text) - 1));
	IS(!strcmp(text, "two"));
	WANT(removexattr("w", "user.iobuf"));
	WANT_ERROR(getxattr("w", "user.iobuf", text, sizeof(text)), ENODATA);
	WANT(unlinkat(dir, "w", 0));
}

static void directions(void)
{
	int fd;

	make_empty("d");
	if (DONE(set("d", "user.iobuf", "capacity=4K"))) {
		WANT(set("d", "user.iobuf.direction", "out"));
		WANT(fd = openat(dir, "d", O_RDWR));
		WANT_ERROR(pwrite(fd, "x", 1, 0), EPERM);
		WANT(set("d", "user.iobuf.direction", "inout"));
		WANT(pwrite(fd, "x", 1, 0));
		close(fd);
	}
	WANT(unlinkat(dir, "d", 0));
}

/* What is made in a directory has what is set on it. */
static void defaults(void)
{
	WANT(mkdirat(dir, "e", 0755));
	WANT(set("e", "user.iobuf", "purgeable,tag=given"));
	make_empty("e/f");
	IS(tells("e/f", "tag=given\n"));
	WANT(mkdirat(dir, "e/g", 0755));
	make_empty("e/g/f");
	IS(tells("e/g/f", "purgeable=nonvolatile\n"));
	WANT(removexattr("e", "user.iobuf"));
	WANT_ERROR(removexattr("e", "user.iobuf"), ENODATA);
	make_empty("e/h");
	IS(!tells("e/h", "tag=given\n"));
	WANT(unlinkat(dir, "e/f", 0));
	WANT(unlinkat(dir, "e/h", 0));
	WANT(unlinkat(dir, "e/g/f", 0));
	WANT(unlinkat(dir, "e/g", AT_REMOVEDIR));
	WANT(unlinkat(dir, "e", AT_REMOVEDIR));
}

/* It goes by itself; there is no call to wait for that. */
static void wait_until_gone(const char *name)
{
	enum { PAUSE_US = 1000, PAUSES_MAX = 60 * 1000 };
	struct stat st;

	for (int i = 0; i < PAUSES_MAX; i++) {
		if (fstatat(dir, name, &st, 0) < 0) {
			if (errno != ENOENT)
				tell("it cannot be seen", __LINE__, errno);
			return;
		}
		usleep(PAUSE_US);
	}
	tell("it does not go", __LINE__, 0);
	unlinkat(dir, name, 0);
}

static void tasks(void)
{
	int status = 0;
	pid_t child = fork();

	if (child == 0) {
		make_empty("t");
		_exit(DONE(set("t", "user.iobuf", "task=self,capacity=4K"))
			      ? EXIT_SUCCESS
			      : EXIT_FAILURE);
	}
	waitpid(child, &status, 0);
	if (child > 0 && status == 0)
		wait_until_gone("t");
	else
		WANT(unlinkat(dir, "t", 0));
}

static void lifes(void)
{
	bool bound;
	int fd;

	WANT(fd = openat(dir, "l", O_CREAT | O_EXCL | O_RDWR, 0644));
	if (fd < 0)
		return;
	bound = DONE(fsetxattr(fd, "user.iobuf", "life=lastclose,capacity=4K",
			       26, 0));
	close(fd);
	if (bound)
		wait_until_gone("l");
	else
		WANT(unlinkat(dir, "l", 0));
}

/* One volatile time. False: the pool is full, and it stays empty. */
static bool be_volatile(int fd, unsigned int seed)
{
	uint32_t state = IOBUF_PURGEABLE_VOLATILE;

	WANT(ioctl(fd, IOBUF_IOC_SET_PURGEABLE, &state));
	IS(state == IOBUF_PURGEABLE_NONVOLATILE);
	state = IOBUF_PURGEABLE_NONVOLATILE;
	if (!DONE(ioctl(fd, IOBUF_IOC_SET_PURGEABLE, &state)))
		return false;
	WANT(pread(fd, bytes, SMALL, 0));
	if (state == IOBUF_PURGEABLE_VOLATILE) {
		IS(is_filled(bytes, SMALL, seed));
		return true;
	}
	IS(state == IOBUF_PURGEABLE_EMPTY);
	IS(bytes[0] == 0 && !memcmp(bytes, bytes + 1, SMALL - 1));
	fill(bytes, SMALL, seed);
	WANT(pwrite(fd, bytes, SMALL, 0));
	return true;
}

/* The old state is told truly; empty, where memory is short. */
static void purgeables(void)
{
	int fd;

	WANT(fd = openat(dir, "p", O_CREAT | O_EXCL | O_RDWR, 0644));
	if (fd < 0)
		return;
	if (DONE(fsetxattr(fd, "user.iobuf", "purgeable,capacity=256K", 23,
			   XATTR_CREATE))) {
		fill(bytes, SMALL, turn);
		WANT(pwrite(fd, bytes, SMALL, 0));
		for (int i = 0; i < 4 && be_volatile(fd, turn); i++)
			;
	}
	close(fd);
	WANT(unlinkat(dir, "p", 0));
}

/* Until the pool is full, where it has a size to be. */
static void files(void)
{
	enum { BLOCKS = 8 };
	int fd, blocks = 0;

	WANT(fd = openat(dir, "f", O_CREAT | O_EXCL | O_WRONLY, 0644));
	if (fd < 0)
		return;
	fill(bytes, LARGE, turn);
	while (blocks < BLOCKS &&
	       DONE(fallocate(fd, 0, (off_t)blocks * LARGE, LARGE))) {
		WANT(pwrite(fd, bytes, LARGE, (off_t)blocks * LARGE));
		blocks++;
	}
	IS(lseek(fd, 0, SEEK_END) == (off_t)blocks * LARGE);
	close(fd);
	if (blocks)
		IS(has_contents("f", LARGE, turn));
	WANT(unlinkat(dir, "f", 0));
}

play_function *const buffers_plays[] = {
	kinds, conversions, growth, words, directions, defaults, tasks, lifes,
	purgeables, files,
};

const unsigned int buffers_plays_count =
	sizeof(buffers_plays) / sizeof(buffers_plays[0]);
