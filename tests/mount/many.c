/* SPDX-License-Identifier: MIT */
/*
 * many.c - makes, stats, reads or removes very many files, 1,000 a directory,
 * checks each of them, and prints how many it did a second.
 * usage: many create|stat|read|remove DIRECTORY FILES
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { PER_DIRECTORY = 1000 };

static void die(const char *what, long i)
{
	fprintf(stderr, "many: %s of file %ld: %s\n", what, i, strerror(errno));
	exit(1);
}

static int content_of(long i, char *buf, size_t size)
{
	return snprintf(buf, size, "this is file %ld\n", i);
}

static void create(int dir, const char *name, long i)
{
	int fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC,
			0644);
	char content[64];
	int n = content_of(i, content, sizeof(content));

	if (fd < 0 || write(fd, content, (size_t)n) != n || close(fd) < 0)
		die("create", i);
}

/* Asks the filesystem, whatever the kernel remembers. */
static void stat_one(int dir, const char *name, long i)
{
	char content[64];
	struct statx st;

	if (statx(dir, name, AT_STATX_FORCE_SYNC, STATX_BASIC_STATS, &st) < 0)
		die("stat", i);
	if (st.stx_size != (unsigned int)content_of(i, content,
						    sizeof(content))) {
		errno = EBADMSG;
		die("size", i);
	}
}

static void read_one(int dir, const char *name, long i)
{
	int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
	char content[64], seen[64];
	int n = content_of(i, content, sizeof(content));

	if (fd < 0 || read(fd, seen, sizeof(seen)) != n ||
	    memcmp(seen, content, (size_t)n) != 0)
		die("read", i);
	close(fd);
}

static void remove_one(int dir, const char *name, long i)
{
	if (unlinkat(dir, name, 0) < 0)
		die("remove", i);
}

static const struct phase {
	const char *name;
	void (*run)(int dir, const char *name, long i);
} phases[] = {
	{ "create", create },
	{ "stat", stat_one },
	{ "read", read_one },
	{ "remove", remove_one },
};

static int open_directory(int root, const char *name, const struct phase *phase)
{
	int dir;

	if (phase->run == create && mkdirat(root, name, 0755) < 0 &&
	    errno != EEXIST)
		return -1;
	dir = openat(root, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return dir;
}

static void run_all(int root, const struct phase *phase, long files)
{
	char name[32];

	for (long i = 0; i < files;) {
		int dir;

		snprintf(name, sizeof(name), "d%ld", i / PER_DIRECTORY);
		if ((dir = open_directory(root, name, phase)) < 0)
			die("directory", i);
		do {
			char file[32];

			snprintf(file, sizeof(file), "file-%ld", i);
			phase->run(dir, file, i);
		} while (++i % PER_DIRECTORY && i < files);
		close(dir);
		if (phase->run == remove_one &&
		    unlinkat(root, name, AT_REMOVEDIR) < 0)
			die("rmdir", i);
	}
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

int main(int argc, char **argv)
{
	int root = argc == 4 ? open(argv[2], O_RDONLY | O_DIRECTORY) : -1;
	long files = argc == 4 ? atol(argv[3]) : 0;

	if (root < 0 || files <= 0)
		return 2;
	for (size_t i = 0; i < sizeof(phases) / sizeof(phases[0]); i++) {
		double start = now();

		if (strcmp(argv[1], phases[i].name) != 0)
			continue;
		run_all(root, &phases[i], files);
		printf("%.0f\n", (double)files / (now() - start));
		return 0;
	}
	return 2;
}
