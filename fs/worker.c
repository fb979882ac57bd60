/* SPDX-License-Identifier: MIT */
/*
 * worker.c - prepare, take over, serve.
 *
 * The loop is our own because only fuse_session_receive_buf() followed by
 * fuse_session_process_buf() shows a request's unique, which tells requests
 * that are sent a second time. One thread reads and serves at a time while that
 * suffices; others come when requests wait, so that an operation that blocks
 * holds up nobody else for longer than two milliseconds.
 */
#include "ops.h"

#include "account.h"
#include "caller.h"
#include "fd.h"
#include "journal.h"
#include "limit.h"
#include "log.h"
#include "notify.h"
#include "pressure.h"
#include "process.h"
#include "session.h"
#include "task.h"
#include "thread.h"
#include "worker.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

enum { THREADS_PARKED_MAX = 4, THREADS_MAX = 256 };

static struct bfs_fs fs;

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

/* Ask for the requests that the last worker left unanswered. */
static void ask_again(void)
{
	enum { FUSE_NOTIFY_RESEND_CODE = 7 };
	struct {
		uint32_t len;
		int32_t error;
		uint64_t unique;
	} notify = { sizeof(notify), FUSE_NOTIFY_RESEND_CODE, 0 };

	if (write(fs.fuse_fd, &notify, sizeof(notify)) < 0)
		bfs_log(LOG_ERR, "requests in flight are lost: %s",
			strerror(errno));
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
	if (write(fs.fuse_fd, &reply, sizeof(reply)) < 0)
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
	struct pollfd fd = { .fd = fs.fuse_fd, .events = POLLIN };

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
	threads.working++;
	threads.requests++;
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
	if (--threads.working == 0 && threads.ending)
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
	struct pollfd fd = { .fd = fs.fuse_fd, .events = POLLIN };
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

static void *serve(void *argument)
{
	struct fuse_buf buf = { 0 };
	uint64_t header[2]; /* len and opcode; unique */
	bool stay = true;
	int n;

	while (stay) {
		look_for_request();
		n = fuse_session_receive_buf(fs.session, &buf);
		if (n == -EINTR || n == -EAGAIN)
			continue;
		if (n <= 0)
			end_process(n == 0 ? EXIT_SUCCESS : EXIT_FAILURE);
		leave_reading();
		memcpy(header, buf.mem, sizeof(header));
		if (bfs_request_begin(&fs, header[1]))
			fuse_session_process_buf(fs.session, &buf);
		else
			refuse_request(header[1]);
		bfs_request_end(&fs);
		stay = return_to_reading();
	}
	free(buf.mem);
	return argument;
}

/* Does the pool's filesystem keep access lists? */
static bool keeps_access_lists(void)
{
	return fgetxattr(fs.root_fd, "system.posix_acl_access", NULL, 0) >= 0 ||
	       errno == ENODATA;
}

static int load_defaults(void)
{
	const char *text = fs.shared->config.options;
	struct iobuf_spec asked = iobuf_spec_default;
	int r = *text ? iobuf_spec_parse(text, strlen(text), &asked, NULL) : 0;

	return r < 0 ? r
		     : iobuf_spec_resolve(&asked, &iobuf_spec_default,
					  &fs.defaults, NULL);
}

/* Get as far as can be without touching what the worker uses that serves. */
static int prepare(void)
{
	const struct bfs_config *config = &fs.shared->config;
	int r;

	fs.wired = (struct bfs_limit){ "wired_max", config->wired_max, 0 };
	fs.contiguous = (struct bfs_limit){ "contiguous_max",
					    config->contiguous_max, 0 };
	/* An own pool changes through this mount alone. */
	fs.timeout_s = config->own_pool ? 86400.0 : 1.0;
	bfs_process_begin();
	bfs_record_use_trusted(bfs_may_pass_through());
	fs.own_umasks = unshare(CLONE_FS) == 0;
	fs.access_lists = fs.own_umasks && keeps_access_lists();
	if ((r = load_defaults()) < 0 ||
	    (r = bfs_nodes_create(fs.root_fd, &fs.nodes)) < 0 ||
	    (r = bfs_purge_queue_create(&fs.purge)) < 0 ||
	    (r = bfs_tasks_create(&fs, &fs.tasks)) < 0 ||
	    (r = bfs_account_cache_create(&fs.accounts)) < 0 ||
	    (config->user_max &&
	     (r = bfs_owners_create(config->user_max, &fs.owners)) < 0))
		return r;
	return bfs_session_open(&fs);
}

/* From now on this is the worker: there is no other. */
static int take_over(void)
{
	const bool first = !fs.shared->agreed;
	int r;

	fs.shared->workers_started++;
	fs.shared->worker_pid = getpid(); /* before anybody can ask */
	if ((r = bfs_inode_table_create(fs.shared, fs.fuse_fd, &fs.inodes)) < 0 ||
	    (r = bfs_journal_create(fs.shared, &fs.journal)) < 0)
		return r;
	bfs_notify_start(&fs);
	if (first)
		bfs_session_try_passthrough(&fs);
	fs.shared->agreed = true;
	bfs_files_recover(&fs);
	if ((r = bfs_tasks_start(fs.tasks)) < 0)
		return r;
	bfs_files_rewire(&fs);
	if (!first)
		ask_again();
	return 0;
}

/* Tell the holder, who then ends the worker that serves. Waits for that. */
static int wait_for_turn(struct bfs_worker_fds *fds)
{
	char byte = BFS_SUCCESSOR_READY;

	if (write(fds->control, &byte, 1) != 1 ||
	    read(fds->control, &byte, 1) != 1)
		return -EPIPE;
	/* What was said until now was for who asked for a reload. */
	dup2(fds->stderr_fd, STDERR_FILENO);
	close(fds->stderr_fd);
	return 0;
}

static int start(struct bfs_worker_fds *fds)
{
	int r;

	fs.fuse_fd = fds->fuse;
	fs.root_fd = fds->root;
	fs.is_successor = fds->control >= 0;
	if ((r = bfs_shared_map(fds->shared, &fs.shared)) < 0) {
		bfs_log(LOG_ERR, "its shared memory is not that of the holder: "
			"another version");
		return r;
	}
	bfs_log_open(fs.shared->config.foreground, fs.shared->config.debug);
	if (!fs.is_successor && fs.shared->agreed)
		bfs_log_to_syslog();
	if ((r = prepare()) < 0 ||
	    (fs.is_successor && (r = wait_for_turn(fds)) < 0))
		return r;
	return take_over();
}

/* From now on nobody reads stderr, and somebody may wait for its end. */
static void leave_terminal(void)
{
	BFS_FD int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	bfs_log_to_syslog();
	if (null >= 0)
		dup2(null, STDERR_FILENO);
}

/* Whoever started us goes on. */
static void announce(const struct bfs_worker_fds *fds)
{
	const char byte = BFS_SUCCESSOR_SERVES;

	kill(getppid(), BFS_READY_SIGNAL);
	if (fs.is_successor && write(fds->control, &byte, 1) != 1)
		bfs_log(LOG_WARNING, "the holder does not listen");
	if (fs.is_successor)
		close(fds->control);
}

static int read_arguments(int argc, char **argv, struct bfs_worker_fds *ret_fds)
{
	if (argc != 5 && argc != 7)
		return -EINVAL;
	*ret_fds = (struct bfs_worker_fds){
		.fuse = atoi(argv[2]),
		.shared = atoi(argv[3]),
		.root = atoi(argv[4]),
		.control = argc == 7 ? atoi(argv[5]) : -1,
		.stderr_fd = argc == 7 ? atoi(argv[6]) : -1,
	};
	return 0;
}

int bfs_work(int argc, char **argv)
{
	struct bfs_worker_fds fds;
	int r = read_arguments(argc, argv, &fds);

	if (r < 0 || (r = start(&fds)) < 0) {
		bfs_log(LOG_ERR, "the worker cannot start: %s", strerror(-r));
		return EXIT_FAILURE;
	}
	if ((r = bfs_pressure_start(&fs)) < 0)
		bfs_log(LOG_WARNING, "nobody watches for memory pressure: %s",
			strerror(-r));
	if (!fs.shared->config.foreground)
		leave_terminal();
	announce(&fds);
	threads.total = threads.reading = 1;
	if (!start_thread(watch) || !start_thread(wait_for_end))
		return EXIT_FAILURE;
	serve(NULL);
	/* Enough others wait for requests: this one only keeps the process. */
	for (;;)
		pause();
}
