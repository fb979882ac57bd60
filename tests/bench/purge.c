/* SPDX-License-Identifier: MIT */
/*
 * purge.c - what purgeable buffers cost: setting a state, next to the cheapest
 * request that there is; giving up a GiB; and how long it takes from the
 * kernel's word that memory is short until there is some.
 */
#include "bench.h"

#include <iobuf/ioctl.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

enum { BUFFERS = 16, BUFFERS_PRESSED = 64 };

static void set_state(int fd, uint32_t state)
{
	if (ioctl(fd, IOBUF_IOC_SET_PURGEABLE, &state) < 0)
		die("ioctl IOBUF_IOC_SET_PURGEABLE");
}

/* Make a purgeable buffer that holds nothing yet. */
static int make_buffer(const char *name, size_t capacity)
{
	int fd = open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	char spec[64] = "purgeable";

	if (fd < 0)
		die("create");
	if (capacity)
		snprintf(spec, sizeof(spec), "purgeable,capacity=%zu",
			 capacity);
	if (setxattr(name, "user.iobuf", spec, strlen(spec), 0) < 0)
		die("setxattr user.iobuf");
	return fd;
}

static void get_attribute(int fd, uint64_t i)
{
	char value[64];

	(void)i;
	if (fgetxattr(fd, "user.bench", value, sizeof(value)) < 0)
		die("getxattr");
}

static void set_by_attribute(int fd, uint64_t i)
{
	static const char *const words[] = { "volatile", "nonvolatile" };
	const char *word = words[i % 2];

	if (fsetxattr(fd, "user.iobuf.purgeable", word, strlen(word), 0) < 0)
		die("setxattr user.iobuf.purgeable");
}

static void set_by_ioctl(int fd, uint64_t i)
{
	set_state(fd, i % 2 ? IOBUF_PURGEABLE_NONVOLATILE
			    : IOBUF_PURGEABLE_VOLATILE);
}

/* They take turns: what else the machine does is the same for all. */
static void measure_states(const struct bench *b)
{
	static const struct {
		const char *key;
		void (*call)(int fd, uint64_t i);
	} calls[] = {
		{ "getxattr", get_attribute },
		{ "state-xattr", set_by_attribute },
		{ "state-ioctl", set_by_ioctl },
	};
	enum { COUNT = sizeof(calls) / sizeof(calls[0]), TURNS = 40 };
	const uint64_t loops = 20000 / b->divide / TURNS;
	int fd = make_buffer("state", BENCH_PAGE);
	uint64_t ns[COUNT] = { 0 }, start;

	if (fsetxattr(fd, "user.bench", "x", 1, 0) < 0)
		die("setxattr");
	for (int turn = 0; turn < TURNS * COUNT; turn++) {
		start = now_ns();
		for (uint64_t i = 0; i < loops; i++)
			calls[turn % COUNT].call(fd, i);
		ns[turn % COUNT] += now_ns() - start;
	}
	for (int i = 0; i < COUNT; i++)
		printf("%s %.2f\n", calls[i].key,
		       (double)ns[i] / (double)(TURNS * loops));
	close(fd);
	unlink("state");
}

/*
 * Write so that the pool gives it large or small pages: a buffer whose memory
 * is reserved at once gets large ones, one that grows page by page small ones.
 * That takes an open of a buffer that holds memory, which passes through.
 */
static int fill_buffer(const char *name, size_t bytes, bool large)
{
	static const char zeros[BENCH_MIB];
	const size_t n = large ? BENCH_MIB : BENCH_PAGE;
	int fd = make_buffer(name, large ? bytes : 0);

	if (!large) {
		if (ftruncate(fd, BENCH_PAGE) < 0)
			die("ftruncate");
		close(fd);
		fd = open(name, O_RDWR | O_CLOEXEC);
		if (fd < 0)
			die("open");
	}
	for (size_t at = 0; at < bytes; at += n)
		if (pwrite(fd, zeros, n, (off_t)at) != (ssize_t)n)
			die("write");
	set_state(fd, IOBUF_PURGEABLE_VOLATILE);
	return fd;
}

static void measure_purge(const char *key, bool large)
{
	int fds[BUFFERS];
	char name[32];
	uint64_t start;

	for (int i = 0; i < BUFFERS; i++) {
		snprintf(name, sizeof(name), "purge%d", i);
		fds[i] = fill_buffer(name, ((size_t)1 << 30) / BUFFERS, large);
	}
	start = now_ns();
	for (int i = 0; i < BUFFERS; i++)
		set_state(fds[i], IOBUF_PURGEABLE_EMPTY);
	print_ns(key, start, 1);
	for (int i = 0; i < BUFFERS; i++) {
		close(fds[i]);
		snprintf(name, sizeof(name), "purge%d", i);
		unlink(name);
	}
}

void purge_group(const struct bench *b)
{
	measure_states(b);
	measure_purge("purge-huge", true);
	measure_purge("purge-small", false);
}

static uint64_t free_bytes(void)
{
	struct statvfs vfs;

	if (statvfs(".", &vfs) < 0)
		die("statvfs");
	return (uint64_t)vfs.f_bfree * vfs.f_frsize;
}

/* Have the kernel tell us what it tells the daemon, by the same numbers. */
static int ask_for_pressure(void)
{
	static const char trigger[] = "some 100000 2000000";
	int fd = open("/proc/pressure/memory", O_RDWR | O_CLOEXEC);

	if (fd < 0)
		die("/proc/pressure/memory");
	if (write(fd, trigger, sizeof(trigger)) < 0)
		die("write /proc/pressure/memory");
	return fd;
}

static void wait_for_pressure(int fd)
{
	struct pollfd event = { .fd = fd, .events = POLLPRI };
	int r = poll(&event, 1, 15000);

	if (r == 0)
		errno = ETIMEDOUT;
	if (r <= 0)
		die("no memory pressure came");
}

/* Somebody else makes processes wait for memory meanwhile. */
void pressure_group(const struct bench *b)
{
	const size_t bytes = (size_t)256 << 20;
	int fds[BUFFERS_PRESSED], pressure = ask_for_pressure();
	uint64_t start, wanted;
	char name[32];

	(void)b;
	for (int i = 0; i < BUFFERS_PRESSED; i++) {
		snprintf(name, sizeof(name), "pressed%d", i);
		fds[i] = fill_buffer(name, bytes / BUFFERS_PRESSED, true);
	}
	wanted = free_bytes() + bytes / 8;
	wait_for_pressure(pressure);
	start = now_ns();
	while (free_bytes() < wanted && now_ns() - start < 5000000000)
		usleep(50);
	print_ns("pressure", start, 1);
	for (int i = 0; i < BUFFERS_PRESSED; i++) {
		close(fds[i]);
		snprintf(name, sizeof(name), "pressed%d", i);
		unlink(name);
	}
}
