/* SPDX-License-Identifier: MIT */
/*
 * worker.c - the session: agree with the kernel, recover, serve.
 *
 * The loop is our own because only fuse_session_receive_buf() followed by
 * fuse_session_process_buf() shows a request's unique, which tells requests
 * that are sent a second time. One thread reads and serves at a time while that
 * suffices; others come when requests wait, so that an operation that blocks
 * holds up nobody else for longer than two milliseconds.
 */
#include "worker.h"

#include "ops.h"

#include "account.h"
#include "caller.h"
#include "fd.h"
#include "journal.h"
#include "limit.h"
#include "log.h"
#include "notify.h"
#include "pressure.h"
#include "thread.h"
#include "task.h"
#include "uring.h"

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
	unsigned int total, reading, parked, called;
	uint64_t requests;
	bool active; /* watched: there were requests of late */
} threads = {
	.lock = PTHREAD_MUTEX_INITIALIZER,
	.call = PTHREAD_COND_INITIALIZER,
	.activity = PTHREAD_COND_INITIALIZER,
};

/*
 * Passthrough takes CAP_SYS_ADMIN in the initial user namespace; asked for
 * without it, the kernel agrees and then refuses every backing file.
 */
static bool may_pass_through(void)
{
	struct bfs_uid_map map;

	return bfs_load_uid_map(&map) && map.inside == 0 && map.outside == 0 &&
	       map.count == UINT32_MAX && bfs_has_sys_admin(getpid());
}

#ifdef FUSE_CAP_OVER_IO_URING
static const bool libfuse_has_uring = true;
#else
static const bool libfuse_has_uring = false; /* before 3.18 */
#endif

/* What a dead worker took from a ring is lost: a worker that takes over serves
 * /dev/fuse alone. */
static bool may_use_uring(void)
{
	return fs.shared->config.io_uring && !fs.shared->agreed;
}

static void agree_on_transport(struct fuse_conn_info *conn)
{
	bool agreed = false;

#ifdef FUSE_CAP_OVER_IO_URING
	if (may_use_uring())
		agreed = fuse_set_feature_flag(conn, FUSE_CAP_OVER_IO_URING);
	else
		fuse_unset_feature_flag(conn, FUSE_CAP_OVER_IO_URING);
#endif
	(void)conn;
	fs.shared->io_uring = agreed;
}

static void agree(void *userdata, struct fuse_conn_info *conn)
{
	struct bfs_shared *shared = fs.shared;
	bool passthrough = shared->agreed ? shared->passthrough
					  : may_pass_through();

	(void)userdata;
	fuse_set_feature_flag(conn, FUSE_CAP_PARALLEL_DIROPS);
	fuse_set_feature_flag(conn, FUSE_CAP_HANDLE_KILLPRIV_V2);
	fuse_set_feature_flag(conn, FUSE_CAP_NO_OPENDIR_SUPPORT);
	/* The umask comes with each request: see BFS_CALLER_UMASK(). */
	if (fs.own_umasks)
		fuse_set_feature_flag(conn, FUSE_CAP_DONT_MASK);
	if (fs.access_lists)
		fuse_set_feature_flag(conn, FUSE_CAP_POSIX_ACL);
	/* A handle that somebody makes up must not reach beyond the pool. */
	if (shared->config.own_pool)
		fuse_set_feature_flag(conn, FUSE_CAP_EXPORT_SUPPORT);
	fuse_unset_feature_flag(conn, FUSE_CAP_AUTO_INVAL_DATA);
	agree_on_transport(conn);
	passthrough = passthrough &&
		      fuse_set_feature_flag(conn, FUSE_CAP_PASSTHROUGH);
	if (passthrough)
		conn->max_backing_stack_depth = 0;
	shared->passthrough = passthrough;
}

/* Does the kernel keep what it agreed to, for a file of this pool? */
static void try_passthrough(void)
{
	BFS_FD int fd = openat(fs.root_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC,
			       0600);

	if (fs.shared->passthrough &&
	    (fd < 0 || !bfs_backing_works(fs.fuse_fd, fd)))
		fs.shared->passthrough = false;
	if (!fs.shared->passthrough)
		bfs_log(LOG_WARNING,
			"no passthrough (it takes CAP_SYS_ADMIN, Linux 6.9 and "
			"a pool that can be a backing file): data goes the "
			"cached path");
}

__attribute__((format(printf, 2, 0))) static void
log_from_libfuse(enum fuse_log_level level, const char *format, va_list args)
{
	char line[1024];
	size_t n;

	vsnprintf(line, sizeof(line), format, args);
	n = strlen(line);
	if (n && line[n - 1] == '\n')
		line[n - 1] = '\0';
	bfs_log((int)level, "%s", line);
}

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

/* This thread has a request: whose is the next one? */
static void leave_reading(void)
{
	pthread_mutex_lock(&threads.lock);
	threads.reading--;
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

/* The worker ends as one, and leaves the mount to its holder. */
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
			_exit(n == 0 ? EXIT_SUCCESS : EXIT_FAILURE);
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

static unsigned int count_threads(void)
{
	struct stat st;

	return stat("/proc/self/task", &st) < 0 ? 1 : (unsigned int)st.st_nlink - 2;
}

/*
 * Answer FUSE_INIT. libfuse then starts a thread for each ring, and tells
 * nobody but the log when it could not; requests go to /dev/fuse in that case.
 * FORGET and INTERRUPT do in any.
 */
static void answer_init(void)
{
	const unsigned int before = count_threads();
	bool offered;

	fuse_session_process_buf(fs.session, &(struct fuse_buf){
		.mem = fs.shared->init_request,
		.size = fs.shared->init_size,
	});
	offered = fs.shared->io_uring;
	fs.shared->io_uring = offered && count_threads() > before;
	if (!may_use_uring())
		return;
	if (fs.shared->io_uring)
		bfs_log(LOG_NOTICE, "requests go by io_uring: "
			"the mount ends with its worker");
	else
		bfs_log(LOG_WARNING, "requests go by /dev/fuse, not io_uring: %s",
			bfs_uring_obstacle(libfuse_has_uring, offered));
}

static int open_session(bool debug)
{
	static struct fuse_lowlevel_ops ops = { .init = agree };
	char *argv[4] = { (char *)"bufferfs" };
	struct fuse_args args = { 1, argv, 0 };
	char path[32];

	if (debug)
		argv[args.argc++] = (char *)"-d";
	if (may_use_uring() && libfuse_has_uring)
		argv[args.argc++] = (char *)"-oio_uring";
	bfs_ops_name(&ops);
	bfs_ops_open(&ops);
	bfs_ops_io(&ops);
	bfs_ops_dir(&ops);
	bfs_ops_xattr(&ops);
	fs.session = fuse_session_new(&args, &ops, sizeof(ops), &fs);
	snprintf(path, sizeof(path), "/dev/fd/%d", fs.fuse_fd);
	if (!fs.session || fuse_session_mount(fs.session, path) < 0)
		return -EIO;
	answer_init();
	return fuse_session_exited(fs.session) ? -EPROTO : 0;
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

/* Whoever wants the mount to end asks the holder; a terminal's ^C asks all. */
static void leave_signals_to_holder(void)
{
	static const int signals[] = { SIGINT, SIGTERM, SIGHUP, SIGPIPE,
				       SIGXFSZ };

	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		signal(signals[i], SIG_IGN);
}

/* Clients can take pages away that the worker works on; libiobuf goes on then.
 * Any other fault ends it as it would have without this. */
static void on_sigbus(int number, siginfo_t *info, void *context)
{
	(void)context;
	if (iobuf_handle_sigbus(info))
		return;
	signal(number, SIG_DFL);
	raise(number);
}

static void survive_sigbus(void)
{
	struct sigaction action = {
		.sa_sigaction = on_sigbus,
		.sa_flags = SA_SIGINFO,
	};

	sigaction(SIGBUS, &action, NULL);
}

static int write_text(const char *path, const char *text)
{
	BFS_FD int fd = open(path, O_WRONLY | O_CLOEXEC);
	const ssize_t n = (ssize_t)strlen(text);

	return fd >= 0 && write(fd, text, (size_t)n) == n ? 0 : -EPERM;
}

/*
 * An ordinary user's worker has to read and write files whose modes forbid it
 * to the user: whoever opened such a file before may go on, and the kernel has
 * checked that. In a user namespace of its own it may, for the user's files
 * alone. Where there are none for ordinary users it goes on without.
 */
static void rule_own_files(void)
{
	const uid_t uid = geteuid();
	const gid_t gid = getegid();
	char uids[64], gids[64];

	if (uid == 0 || unshare(CLONE_NEWUSER) < 0)
		return;
	snprintf(uids, sizeof(uids), "%u %u 1", uid, uid);
	snprintf(gids, sizeof(gids), "%u %u 1", gid, gid);
	if (write_text("/proc/self/setgroups", "deny") < 0 ||
	    write_text("/proc/self/uid_map", uids) < 0 ||
	    write_text("/proc/self/gid_map", gids) < 0)
		bfs_log(LOG_WARNING, "files whose modes forbid it cannot be "
			"written, even where they are open");
}

static void lift_limit(int resource)
{
	struct rlimit limit;

	if (getrlimit(resource, &limit) < 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(resource, &limit);
}

static void lift_limits(void)
{
	const struct rlimit none = { RLIM_INFINITY, RLIM_INFINITY };

	umask(0);
	lift_limit(RLIMIT_NOFILE);
	/* File sizes are the clients' limit, not that of whoever mounted. */
	if (setrlimit(RLIMIT_FSIZE, &none) < 0)
		lift_limit(RLIMIT_FSIZE);
}

static int start(int argc, char **argv)
{
	const struct bfs_config *config;
	bool first;
	int r;

	if (argc != 5)
		return -EINVAL;
	fs.fuse_fd = atoi(argv[2]);
	fs.root_fd = atoi(argv[4]);
	if ((r = bfs_shared_map(atoi(argv[3]), &fs.shared)) < 0)
		return r;
	config = &fs.shared->config;
	first = !fs.shared->agreed;
	fs.shared->workers_started++;
	fs.shared->worker_pid = getpid(); /* before anybody can ask */
	prctl(PR_SET_NAME, "bufferfs");   /* it was started as /proc/self/exe */
	fs.wired = (struct bfs_limit){ "wired_max", config->wired_max, 0 };
	fs.contiguous = (struct bfs_limit){ "contiguous_max",
					    config->contiguous_max, 0 };
	/* An own pool changes through this mount alone. */
	fs.timeout_s = config->own_pool ? 86400.0 : 1.0;
	bfs_log_open(config->foreground, config->debug);
	if (!first)
		bfs_log_to_syslog();
	fuse_set_log_func(log_from_libfuse);
	leave_signals_to_holder();
	survive_sigbus();
	lift_limits();
	rule_own_files();
	bfs_record_use_trusted(may_pass_through());
	fs.own_umasks = unshare(CLONE_FS) == 0;
	fs.access_lists = fs.own_umasks && keeps_access_lists();
	if ((r = load_defaults()) < 0 ||
	    (r = bfs_nodes_create(fs.root_fd, &fs.nodes)) < 0 ||
	    (r = bfs_inode_table_create(fs.shared, fs.fuse_fd, &fs.inodes)) < 0 ||
	    (r = bfs_purge_queue_create(&fs.purge)) < 0 ||
	    (r = bfs_journal_create(fs.shared, &fs.journal)) < 0 ||
	    (r = bfs_tasks_create(&fs, &fs.tasks)) < 0 ||
	    (r = bfs_account_cache_create(&fs.accounts)) < 0 ||
	    (config->user_max &&
	     (r = bfs_owners_create(config->user_max, &fs.owners)) < 0) ||
	    (r = open_session(config->debug)) < 0)
		return r;
	bfs_notify_start(&fs);
	if (first)
		try_passthrough();
	fs.shared->agreed = true;
	bfs_files_recover(&fs);
	if ((r = bfs_tasks_start(fs.tasks)) < 0)
		return r;
	bfs_files_rewire(&fs);
	if (!first)
		ask_again();
	return 0;
}

/* From now on nobody reads stderr, and somebody may wait for its end. */
static void leave_terminal(void)
{
	BFS_FD int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	bfs_log_to_syslog();
	if (null >= 0)
		dup2(null, STDERR_FILENO);
}

int bfs_work(int argc, char **argv)
{
	int r = start(argc, argv);

	if (r < 0) {
		bfs_log(LOG_ERR, "the worker cannot start: %s", strerror(-r));
		return EXIT_FAILURE;
	}
	if ((r = bfs_pressure_start(&fs)) < 0)
		bfs_log(LOG_WARNING, "nobody watches for memory pressure: %s",
			strerror(-r));
	if (!fs.shared->config.foreground)
		leave_terminal();
	kill(getppid(), BFS_READY_SIGNAL);
	threads.total = threads.reading = 1;
	if (!start_thread(watch))
		return EXIT_FAILURE;
	serve(NULL);
	/* Enough others wait for requests: this one only keeps the process. */
	for (;;)
		pause();
}
