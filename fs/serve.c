/* SPDX-License-Identifier: MIT */
/*
 * serve.c - the threads that read requests and serve them.
 *
 * The loop is our own because only fuse_session_process_buf() of what was read
 * before shows a request's unique, which tells requests that are sent a second
 * time; and because nobody may be told of a death while his request is read: see
 * struct request_buffer. One thread reads and serves at a time while that
 * suffices; others come when requests wait, so that an operation that blocks
 * holds up nobody else for longer than two milliseconds.
 */
#include "serve.h"

#include "ops.h"

#include "headroom.h"
#include "log.h"
#include "session.h"
#include "thread.h"
#include "tree.h"
#include "worker.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/lsan_interface.h>
#endif
#ifdef BUFFERFS_COVERAGE
#include <gcov.h>
#endif

enum { THREADS_PARKED_MAX = 4, THREADS_MAX = 1024, LONG_OPERATIONS_MAX = 512 };

static struct bfs_fs *fs;

/*
 * One thread waits for requests, the others are parked: of several that wait
 * the kernel would wake the one that has slept longest, on a CPU that sleeps
 * too. Another is called when requests wait that nobody reads.
 */
static struct {
	pthread_mutex_t lock;
	pthread_cond_t call;     /* parked threads: to read */
	pthread_cond_t activity; /* the one that watches */
	pthread_cond_t idle;     /* the one that ends the process */
	unsigned int total, reading, parked, called;
	unsigned int working; /* on requests */
	bool ending;          /* no request is begun any more */
	uint64_t requests;
	bool active; /* watched: there were requests of late */
} threads = {
	.lock = PTHREAD_MUTEX_INITIALIZER,
	.call = PTHREAD_COND_INITIALIZER,
	.activity = PTHREAD_COND_INITIALIZER,
	.idle = PTHREAD_COND_INITIALIZER,
};

/*
 * Memory for a request, every page of which is there. The kernel tells a client EIO
 * when it cannot copy a request to who reads it, and a killed thread gets no page
 * any more. Who has read a small request works on a copy of it, so that there are
 * as many buffers as threads that read, or that write what is large.
 */
struct request_buffer {
	unsigned char mem[BFS_REQUEST_MAX];
	struct request_buffer *next;
};

static struct {
	pthread_mutex_t lock; /* a leaf */
	struct request_buffer *first;
	unsigned int count;
} spare_buffers = { .lock = PTHREAD_MUTEX_INITIALIZER };

static struct request_buffer *take_buffer(void)
{
	struct request_buffer *buffer;

	pthread_mutex_lock(&spare_buffers.lock);
	if ((buffer = spare_buffers.first)) {
		spare_buffers.first = buffer->next;
		spare_buffers.count--;
	}
	pthread_mutex_unlock(&spare_buffers.lock);
	if (buffer)
		return buffer;
	buffer = mmap(NULL, sizeof(*buffer), PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	return buffer == MAP_FAILED ? NULL : buffer;
}

/* Memory is short for a moment, or others read meanwhile. */
static struct request_buffer *need_buffer(void)
{
	enum { PAUSE_US = 1000 };
	struct request_buffer *buffer;

	while (!(buffer = take_buffer()))
		usleep(PAUSE_US);
	return buffer;
}

static void give_buffer_back(struct request_buffer *buffer)
{
	enum { SPARE_MAX = 1 };

	pthread_mutex_lock(&spare_buffers.lock);
	if (spare_buffers.count < SPARE_MAX) {
		buffer->next = spare_buffers.first;
		spare_buffers.first = buffer;
		spare_buffers.count++;
		buffer = NULL;
	}
	pthread_mutex_unlock(&spare_buffers.lock);
	if (buffer)
		munmap(buffer, sizeof(*buffer));
}

/* The size of a request, or 0: the mount is gone; a negative errno. */
static ssize_t read_request(struct request_buffer *buffer)
{
	ssize_t n = read(fs->fuse_fd, buffer->mem, sizeof(buffer->mem));

	if (fuse_session_exited(fs->session) || (n < 0 && errno == ENODEV))
		return 0;
	/* ENOENT: it was interrupted before it was read. */
	return n >= 0 ? n : errno == ENOENT ? -EINTR : -errno;
}

/* A request that workers die over is answered without being looked at. */
static void refuse_request(uint64_t unique)
{
	struct {
		uint32_t len;
		int32_t error;
		uint64_t unique;
	} reply = { sizeof(reply), -EIO, unique };

	bfs_log(LOG_ERR, "request %llu ended its workers: refused with EIO",
		(unsigned long long)(unique & ~(UINT64_C(1) << 63)));
	if (write(fs->fuse_fd, &reply, sizeof(reply)) < 0)
		bfs_log(LOG_ERR, "and the refusal too: %s", strerror(errno));
}

static void *serve(void *argument);

static bool start_thread(void *(*run)(void *))
{
	int r = bfs_thread_start(run, NULL);

	if (r < 0)
		bfs_log(LOG_WARNING, "no more threads: %s", strerror(-r));
	return r == 0;
}

/* Have somebody wait for requests. With threads.lock. */
static void add_reader(void)
{
	if (threads.parked > threads.called) {
		threads.called++;
		pthread_cond_signal(&threads.call);
	} else if (threads.total == THREADS_MAX || !start_thread(serve)) {
		return;
	} else {
		threads.total++;
	}
	threads.reading++;
}

static bool is_request_waiting(void)
{
	struct pollfd fd = { .fd = fs->fuse_fd, .events = POLLIN };

	return poll(&fd, 1, 0) > 0;
}

/* What this thread has read from now on is for the next worker, who asks for
 * it again. With threads.lock. */
static _Noreturn void leave_request(void)
{
	pthread_mutex_unlock(&threads.lock);
	for (;;)
		pause();
}

/* This thread has a request: whose is the next one? */
static void leave_reading(void)
{
	pthread_mutex_lock(&threads.lock);
	if (threads.ending)
		leave_request();
	threads.reading--;
	threads.requests++;
	fs->shared->working = ++threads.working;
	if (threads.reading == 0 && is_request_waiting())
		add_reader();
	if (!threads.active) {
		threads.active = true;
		pthread_cond_signal(&threads.activity);
	}
	pthread_mutex_unlock(&threads.lock);
}

/* False: enough others wait, this one may end. */
static bool return_to_reading(void)
{
	bool stay = true;

	pthread_mutex_lock(&threads.lock);
	fs->shared->working = --threads.working;
	fs->shared->progress++;
	if (threads.working == 0 && threads.ending)
		pthread_cond_broadcast(&threads.idle);
	if (threads.reading == 0 || is_request_waiting()) {
		threads.reading++;
	} else if (threads.parked - threads.called >= THREADS_PARKED_MAX) {
		threads.total--;
		stay = false;
	} else {
		threads.parked++;
		while (threads.called == 0)
			pthread_cond_wait(&threads.call, &threads.lock);
		threads.called--;
		threads.parked--;
	}
	pthread_mutex_unlock(&threads.lock);
	return stay;
}

/* Whoever reads may be held up by what it has read: then another takes over. */
static void *watch(void *argument)
{
	enum { QUIET_MAX = 20 };
	const struct timespec tick = { .tv_nsec = 1000 * 1000 };
	unsigned int quiet = 0;

	pthread_mutex_lock(&threads.lock);
	for (;;) {
		const uint64_t before = threads.requests;

		while (!threads.active)
			pthread_cond_wait(&threads.activity, &threads.lock);
		pthread_mutex_unlock(&threads.lock);
		nanosleep(&tick, NULL);
		pthread_mutex_lock(&threads.lock);
		quiet = threads.requests == before ? quiet + 1 : 0;
		if (quiet && threads.reading == 0)
			add_reader();
		else if (quiet > QUIET_MAX)
			threads.active = false;
	}
	return argument;
}

/*
 * Look for the next request for a moment before sleeping: a client that works
 * through many files sends it within microseconds, and waking a thread takes
 * longer than most requests. One thread at a time, and never for long.
 */
static void look_for_request(void)
{
	enum { LOOK_NS = 20 * 1000 };
	static atomic_flag looking = ATOMIC_FLAG_INIT;
	struct pollfd fd = { .fd = fs->fuse_fd, .events = POLLIN };
	struct timespec start, now;

	if (atomic_flag_test_and_set(&looking))
		return;
	clock_gettime(CLOCK_MONOTONIC, &start);
	do {
		if (poll(&fd, 1, 0))
			break;
		clock_gettime(CLOCK_MONOTONIC, &now);
	} while (now.tv_sec == start.tv_sec &&
		 now.tv_nsec - start.tv_nsec < LOOK_NS);
	atomic_flag_clear(&looking);
}

/* Will the next mount find the pool as it is left? */
static bool outlives_mount(void)
{
	return !fs->shared->config.own_pool || fs->shared->config.keep;
}

/* _exit(2) leaves that out, and exit(3) would end what other threads work on. */
static void report_to_tools(void)
{
#ifdef BUFFERFS_COVERAGE
	__gcov_dump();
#endif
#ifdef __SANITIZE_ADDRESS__
	__lsan_do_leak_check();
#endif
}

/* The worker ends as one, and leaves the mount to its holder: when requests are
 * answered that are being worked on, but not for long. */
static _Noreturn void end_process(int status)
{
	enum { WAIT_S = 10 };
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += WAIT_S;
	pthread_mutex_lock(&threads.lock);
	threads.ending = true;
	while (threads.working > 0 &&
	       pthread_cond_timedwait(&threads.idle, &threads.lock, &until) == 0)
		;
	if (status == EXIT_SUCCESS && outlives_mount())
		bfs_end_all_lives(fs);
	report_to_tools();
	_exit(status);
}

/* The holder has another worker that is ready, and kills us where we are slow. */
static void *wait_for_end(void *argument)
{
	sigset_t end;
	int number;

	sigemptyset(&end);
	sigaddset(&end, BFS_END_SIGNAL);
	while (sigwait(&end, &number) != 0)
		;
	end_process(BFS_EXIT_HANDED_OVER);
	return argument;
}

/* Of those that take long, how many there are, and is this thread's one? */
static atomic_uint long_operations;
static _Thread_local bool is_long;

int bfs_may_go_on(void *req)
{
	bfs_fs_of(req)->shared->progress++;
	if (!is_long && ++long_operations > LONG_OPERATIONS_MAX) {
		long_operations--;
		return -EAGAIN;
	}
	is_long = true;
	return fuse_req_interrupted(req) ? -EINTR : 0;
}

static int take_memory(void *served, uint64_t bytes)
{
	return bfs_headroom_take(((struct bfs_fs *)served)->headroom, bytes);
}

int bfs_begin_interruptible(void *req)
{
	iobuf_set_interrupt_check(bfs_may_go_on, req);
	iobuf_set_memory_check(take_memory, bfs_fs_of(req));
	return 0;
}

void bfs_end_interruptible(const int *unused)
{
	(void)unused;
	iobuf_set_interrupt_check(NULL, NULL);
	iobuf_set_memory_check(NULL, NULL);
	if (is_long)
		long_operations--;
	is_long = false;
}

static void serve_request(unsigned char *request, size_t size)
{
	uint64_t header[2]; /* len and opcode; unique */

	memcpy(header, request, sizeof(header));
	if (bfs_request_begin(fs, header[1]))
		fuse_session_process_buf(fs->session, &(struct fuse_buf){
			.mem = request,
			.size = size,
		});
	else
		refuse_request(header[1]);
	bfs_request_end(fs);
}

/* The next request, read into buffer; returns its size. */
static size_t wait_for_request(struct request_buffer *buffer)
{
	ssize_t n;

	look_for_request();
	while ((n = read_request(buffer)) == -EINTR || n == -EAGAIN)
		;
	if (n <= 0)
		end_process(n == 0 ? EXIT_SUCCESS : EXIT_FAILURE);
	return (size_t)n;
}

static void *serve(void *argument)
{
	enum { SMALL_MAX = 8 << 10 };
	unsigned char *small = malloc(SMALL_MAX);
	bool stay = true;

	while (stay) {
		struct request_buffer *buffer = need_buffer();
		const size_t size = wait_for_request(buffer);

		leave_reading();
		if (small && size <= SMALL_MAX) {
			memcpy(small, buffer->mem, size);
			give_buffer_back(buffer);
			serve_request(small, size);
		} else {
			serve_request(buffer->mem, size);
			give_buffer_back(buffer);
		}
		stay = return_to_reading();
	}
	free(small);
	return argument;
}

int bfs_serve(struct bfs_fs *served)
{
	fs = served;
	threads.total = threads.reading = 1;
	if (!start_thread(watch) || !start_thread(wait_for_end))
		return EXIT_FAILURE;
	serve(NULL);
	/* Enough others wait for requests: this one only keeps the process. */
	for (;;)
		pause();
}
