/* SPDX-License-Identifier: MIT */
/*
 * flood.c - very many threads ask for contiguous memory at once, again and
 * again, while the main one goes on asking for what is quick; prints how long it
 * waited at most. Fails when anything fails, but for EAGAIN of an allocation.
 * usage: flood DIRECTORY THREADS ROUNDS
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

static const char *directory;
static int rounds;
static atomic_int running, refused, failed;

static void fail(const char *what)
{
	fprintf(stderr, "flood: %s: %s\n", what, strerror(errno));
	failed++;
}

static void allocate(const char *path)
{
	static const char spec[] = "contiguous,capacity=2M";
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	if (fd < 0) {
		fail("open");
		return;
	}
	close(fd);
	if (setxattr(path, "user.iobuf", spec, strlen(spec), 0) < 0) {
		if (errno == EAGAIN)
			refused++;
		else
			fail("allocate");
	}
	if (unlink(path) < 0)
		fail("unlink");
}

static void *flood(void *number)
{
	char path[4096];

	snprintf(path, sizeof(path), "%s/flood%d", directory, *(int *)number);
	for (int i = 0; i < rounds; i++)
		allocate(path);
	running--;
	return number;
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double ask(void)
{
	const double start = now();
	struct statvfs fs;

	if (statvfs(directory, &fs) < 0)
		fail("statvfs");
	return now() - start;
}

int main(int argc, char **argv)
{
	const int count = argc == 4 ? atoi(argv[2]) : 0;
	pthread_attr_t attributes;
	double longest = 0, t;
	pthread_t thread;
	int *numbers;

	if (count <= 0 || !(numbers = calloc((size_t)count, sizeof(*numbers))))
		return 2;
	directory = argv[1];
	rounds = atoi(argv[3]);
	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, 64 * 1024);
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	running = count;
	for (int i = 0; i < count; i++) {
		numbers[i] = i;
		if (pthread_create(&thread, &attributes, flood, &numbers[i])) {
			fail("pthread_create");
			return 1;
		}
	}
	while (running)
		if ((t = ask()) > longest)
			longest = t;
	printf("%d refused, waited %.3f s at most\n", refused, longest);
	free(numbers);
	return failed ? 1 : 0;
}
