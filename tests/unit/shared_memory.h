/* SPDX-License-Identifier: MIT */
/*
 * shared_memory.h - for the tests of what lies in shared memory: memory between
 * guard pages, and two threads or processes that work on it.
 */
#ifndef SHARED_MEMORY_H
#define SHARED_MEMORY_H

#include "unit.h"

#include <pthread.h>

enum { DEADLINE_MS = 60000 }; /* of what is bound to come; only a bug waits */

/* Shared memory that ends at a page that cannot be touched, and begins after one. */
struct region {
	void *memory;
	size_t bytes;
	void *mapped;
	size_t mapped_bytes;
};

/* Zeros; `bytes` is a multiple of 8. */
static inline struct region region_make(size_t bytes)
{
	const size_t page = page_bytes();
	const size_t used = (bytes + page - 1) / page * page;
	struct region r = { .bytes = bytes, .mapped_bytes = used + 2 * page };
	unsigned char *p = mmap(NULL, r.mapped_bytes, PROT_READ | PROT_WRITE,
				MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(p, MAP_FAILED);
	assert_int_equal(mprotect(p, page, PROT_NONE), 0);
	assert_int_equal(mprotect(p + page + used, page, PROT_NONE), 0);
	r.mapped = p;
	r.memory = p + page + (used - bytes);
	return r;
}

static inline void region_free(struct region *r)
{
	munmap(r->mapped, r->mapped_bytes);
}

/* What a thread or process does; returns NULL, or what went wrong. */
typedef const char *region_body(const struct region *);

struct region_thread {
	pthread_t thread;
	region_body *body;
	const struct region *region;
	const char *failed;
};

static inline void *region_thread_run(void *argument)
{
	struct region_thread *t = argument;

	t->failed = t->body(t->region);
	return NULL;
}

static inline void run_in_two_threads(const struct region *region,
				      region_body *one, region_body *other)
{
	struct region_thread threads[] = { { .body = one, .region = region },
					   { .body = other,
					     .region = region } };

	for (size_t i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&threads[i].thread, NULL,
						region_thread_run, &threads[i]),
				 0);
	for (size_t i = 0; i < 2; i++)
		assert_int_equal(pthread_join(threads[i].thread, NULL), 0);
	for (size_t i = 0; i < 2; i++)
		if (threads[i].failed)
			fail_msg("%s", threads[i].failed);
}

static inline pid_t start_process(const struct region *region,
				  region_body *body)
{
	const char *failed;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (pid > 0)
		return pid;
	failed = body(region);
	if (failed)
		fprintf(stderr, "in a child: %s\n", failed);
	_exit(failed ? EXIT_FAILURE : EXIT_SUCCESS);
}

static inline void run_in_two_processes(const struct region *region,
					region_body *one, region_body *other)
{
	const pid_t pids[] = { start_process(region, one),
			       start_process(region, other) };
	int status[2];

	for (size_t i = 0; i < 2; i++)
		assert_int_equal(waitpid(pids[i], &status[i], 0), pids[i]);
	for (size_t i = 0; i < 2; i++)
		assert_int_equal(status[i], 0);
}

static inline void assert_killed(const struct region *region,
				 region_body *body)
{
	const pid_t pid = start_process(region, body);
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
}

#endif
