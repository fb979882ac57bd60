/* SPDX-License-Identifier: MIT */
/*
 * main.c - many processes mix every operation on files of their own, whose
 * every byte they know, and on shared ones, where only such errors are let pass
 * as any filesystem gives when another was faster.
 * usage: stress DIRECTORY SECONDS PROCESSES SEED [buffers|cached]
 */
#include "stress.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const uint64_t MAGIC = UINT64_C(0xb0f5) << 48;

uint32_t pick(struct process *p, uint32_t below)
{
	/* xorshift64* */
	p->random ^= p->random >> 12;
	p->random ^= p->random << 25;
	p->random ^= p->random >> 27;
	return (uint32_t)((p->random * UINT64_C(0x2545F4914F6CDD1D)) >> 33) %
	       below;
}

/* 16 bits of magic, 12 of the owner, 20 of the version, 16 of the place. */
static uint64_t stamp(unsigned int owner, uint32_t version, uint64_t offset)
{
	return MAGIC | (uint64_t)owner << 36 |
	       (uint64_t)(version & 0xfffff) << 16 | ((offset / 8) & 0xffff);
}

void fill(unsigned char *to, unsigned int owner, uint32_t version,
	  uint64_t offset, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		uint64_t word = stamp(owner, version, offset + i);

		to[i] = ((unsigned char *)&word)[(offset + i) % 8];
	}
}

bool is_stamped(const unsigned char *bytes, unsigned int owner,
		uint64_t offset, size_t size)
{
	for (size_t i = 0; i + 8 <= size; i += 8) {
		uint64_t word, expected;

		memcpy(&word, bytes + i, 8);
		expected = stamp(owner, (uint32_t)(word >> 16), offset + i);
		if (word && word != expected)
			return false;
	}
	return true;
}

void give_up(const struct process *p, const char *format, ...)
{
	int error = errno;
	va_list args;

	flockfile(stderr);
	fprintf(stderr, "stress: process %u: %s: ", p->number, p->doing);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fprintf(stderr, error ? ": %s\n" : "\n", strerror(error));
	funlockfile(stderr);
	_exit(1);
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static int make_directory(struct process *p, const char *name)
{
	int dir;

	CHECK(p, mkdirat(p->top, name, 0755) == 0 || errno == EEXIST,
	      "mkdir %s", name);
	dir = openat(p->top, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CHECK(p, dir >= 0, "open %s", name);
	return dir;
}

static void run(struct process *p, double end)
{
	char name[32];

	p->doing = "start";
	snprintf(name, sizeof(name), "own-%u", p->number);
	p->own = make_directory(p, name);
	p->shared = make_directory(p, "shared");
	CHECK(p, mkdirat(p->own, "sub", 0755) == 0, "mkdir sub");
	for (int i = 0; i < FILES; i++)
		p->files[i].bytes = calloc(1, SIZE_MAX_BYTES);
	while (now() < end) {
		if (pick(p, 3))
			operate_on_own(p);
		else
			operate_on_shared(p);
		p->counts->operations++;
	}
	check_own(p);
	_exit(0);
}

static uint64_t number_in(struct process *p, const char *name)
{
	int fd = openat(p->shared, name, O_RDONLY | O_CLOEXEC);
	uint64_t n = 0;

	if (fd >= 0 && read(fd, &n, sizeof(n)) < 0)
		n = UINT64_MAX;
	close(fd);
	return n;
}

/* No increment that was made under a lock is lost. */
static bool check_counters(struct process *p, const struct counts *counts,
			   int processes)
{
	struct counts sum = { 0 };
	uint64_t flocked = number_in(p, "flocked");
	uint64_t locked = number_in(p, "locked");

	for (int i = 0; i < processes; i++) {
		sum.operations += counts[i].operations;
		sum.flocked += counts[i].flocked;
		sum.locked += counts[i].locked;
	}
	printf("%llu operations, %llu under flock, %llu under fcntl\n",
	       (unsigned long long)sum.operations,
	       (unsigned long long)sum.flocked,
	       (unsigned long long)sum.locked);
	if (flocked == sum.flocked && locked == sum.locked)
		return true;
	fprintf(stderr, "stress: counters: flock %llu, fcntl %llu\n",
		(unsigned long long)flocked, (unsigned long long)locked);
	return false;
}

static int wait_for_all(int processes)
{
	int failed = 0;

	for (int i = 0; i < processes; i++) {
		int status;

		if (wait(&status) < 0 || status != 0) {
			failed++;
			if (WIFSIGNALED(status))
				fprintf(stderr, "stress: a process died: %s\n",
					strsignal(WTERMSIG(status)));
		}
	}
	return failed;
}

int main(int argc, char **argv)
{
	double end = argc >= 5 ? now() + atof(argv[2]) : 0;
	int processes = argc >= 5 ? atoi(argv[3]) : 0;
	struct process p = { .doing = "start" };
	struct counts *counts;

	if (processes <= 0 || processes >= SHARED_OWNER)
		return 2;
	counts = mmap(NULL, sizeof(*counts) * (size_t)processes,
		      PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	p.top = open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (p.top < 0 || counts == MAP_FAILED)
		return 2;
	p.shared = make_directory(&p, "shared");
	p.buffers = argc == 6;
	p.cached = p.buffers && strcmp(argv[5], "cached") == 0;
	for (int i = 0; i < processes; i++) {
		p.number = (unsigned int)i;
		p.counts = &counts[i];
		p.random = strtoull(argv[4], NULL, 0) * 1000003 +
			   (uint64_t)i * 7919 + 1;
		if (fork() == 0)
			run(&p, end);
	}
	if (wait_for_all(processes) > 0)
		return 1;
	return check_counters(&p, counts, processes) ? 0 : 1;
}
