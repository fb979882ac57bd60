/* SPDX-License-Identifier: MIT */
/*
 * restart.c - kill the worker of a bufferfs, and see how long it takes until the
 * next one answers what no cache of the kernel's can.
 */
#include "bench.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

enum { KILLS_MAX = 50, LOADS = 4, SETTLE_US = 30 * 1000 };

static int compare(const void *a, const void *b)
{
	const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static uint64_t time_restart(void)
{
	pid_t worker = process_of(".", "worker_pid=");
	uint64_t start = now_ns();
	char value[8];

	if (worker <= 0 || kill(worker, SIGKILL) < 0)
		die("kill the worker");
	if (getxattr(".", "user.bench", value, sizeof(value)) >= 0 ||
	    errno != ENODATA)
		die("getxattr");
	return now_ns() - start;
}

static void measure_restart(const char *key, unsigned int kills)
{
	uint64_t ns[KILLS_MAX];

	for (unsigned int i = 0; i < kills; i++) {
		usleep(SETTLE_US);
		ns[i] = time_restart();
	}
	qsort(ns, kills, sizeof(ns[0]), compare);
	printf("%s %llu\n", key, (unsigned long long)ns[kills / 2]);
}

/* Make a file, fill it, move it and remove it, for ever. */
static _Noreturn void be_load(int number)
{
	static const char page[BENCH_PAGE];
	char name[32], other[32];

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	snprintf(name, sizeof(name), "load%d", number);
	snprintf(other, sizeof(other), "loaded%d", number);
	for (;;) {
		int fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

		if (fd < 0 || write(fd, page, sizeof(page)) != sizeof(page) ||
		    setxattr(name, "user.bench", "x", 1, 0) < 0 ||
		    rename(name, other) < 0 || unlink(other) < 0 ||
		    close(fd) < 0)
			die("a client saw an error");
	}
}

/* Whoever ended before he is told to has seen an error, and said so. */
static void end_load(pid_t pid)
{
	bool ended = waitpid(pid, NULL, WNOHANG) != 0;

	if (ended)
		exit(EXIT_FAILURE);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

void restart_group(const struct bench *b)
{
	unsigned int kills = KILLS_MAX / b->divide;
	pid_t loads[LOADS];

	kills += kills < 5 ? 5 - kills : 0;
	measure_restart("restart-idle", kills);
	for (int i = 0; i < LOADS; i++) {
		loads[i] = fork();
		if (loads[i] < 0)
			die("fork");
		if (loads[i] == 0)
			be_load(i);
	}
	measure_restart("restart-load", kills);
	for (int i = 0; i < LOADS; i++)
		end_load(loads[i]);
}
