/* SPDX-License-Identifier: MIT */
/*
 * holder.c - mount, start a worker, start another when it dies.
 *
 * The kernel's FUSE_INIT request is read here and answered by the worker: each
 * worker, not only the first, begins with it, so that libfuse knows what was
 * agreed. Requests that a dead worker left unanswered are asked for again by
 * the next one (FUSE_NOTIFY_RESEND).
 */
#include "holder.h"

#include "fd.h"
#include "holder_internal.h"
#include "log.h"
#include "mount.h"
#include "pool.h"
#include "program.h"
#include "worker.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int read_init_request(struct bfs_holder *h)
{
	/* The kernel refuses to fill a buffer smaller than this. */
	enum { MIN_READ_BUFFER = 8192 };
	static unsigned char buf[MIN_READ_BUFFER * 2];
	ssize_t n;

	do
		n = read(h->fuse_fd, buf, sizeof(buf));
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	if (n > BFS_INIT_REQUEST_MAX)
		return -EPROTO;
	memcpy(h->shared->init_request, buf, (size_t)n);
	h->shared->init_size = (uint32_t)n;
	return 0;
}

static int start_worker(struct bfs_holder *h)
{
	pid_t pid = bfs_start_worker(h, NULL);

	if (pid < 0)
		return pid;
	h->worker = pid;
	h->serves = false;
	clock_gettime(CLOCK_MONOTONIC, &h->started);
	return 0;
}

/* A worker serves (BFS_READY_SIGNAL): let the one who started us go on. */
static void announce_ready(struct bfs_holder *h)
{
	int null;

	h->serves = true;
	if (h->sample_fd >= 0)
		close(h->sample_fd);
	h->sample_fd = -1;
	bfs_watch_begin(h);
	bfs_log_to_syslog();
	bfs_log(LOG_INFO, "worker %d serves %s", h->worker,
		h->shared->config.mountpoint);
	if (h->ready_fd < 0)
		return;
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null >= 0) {
		dup2(null, STDERR_FILENO);
		close(null);
	}
	if (write(h->ready_fd, "", 1) < 0)
		bfs_log(LOG_DEBUG, "nobody waits for the mount");
	close(h->ready_fd);
	h->ready_fd = -1;
}

/* Whoever waits for an answer keeps the mount busy, but not for long. */
static void try_unmount(struct bfs_holder *h)
{
	const bool is_late = bfs_now_ms() >= h->unmount_until_ms;
	int r = bfs_unmount(&h->shared->config);

	if (r == -EBUSY && !is_late && bfs_has_requests(h))
		return;
	h->unmount_until_ms = 0;
	if (r < 0)
		bfs_log(LOG_WARNING, "not unmounted, %s: %s",
			h->shared->config.mountpoint, strerror(-r));
}

static void unmount_on_request(struct bfs_holder *h)
{
	enum { WAIT_MS = 10 * 1000 };

	h->unmount_until_ms = bfs_now_ms() + WAIT_MS;
	try_unmount(h);
	if (h->unmount_until_ms)
		bfs_log(LOG_INFO, "requests at work are waited for before %s is "
			"unmounted", h->shared->config.mountpoint);
}

/* For how many ms to poll at most. */
static int timeout_of(const struct bfs_holder *h)
{
	/* The kernel says nothing of a worker that was killed and cannot end,
	 * nor of requests that are answered. */
	enum { LOOK_MS = 1000, UNMOUNT_LOOK_MS = 10 };

	return bfs_watch_timeout(h, bfs_reload_timeout(
			h, h->unmount_until_ms ? UNMOUNT_LOOK_MS : LOOK_MS));
}

/* Nobody else killed it, nor was it told to end. */
static bool has_crashed(const struct bfs_holder *h, int status)
{
	if (h->hangs)
		return true;
	return WIFSIGNALED(status) ? WTERMSIG(status) != SIGKILL
				   : WEXITSTATUS(status) != BFS_EXIT_HANDED_OVER;
}

/* A worker that dies at once, again and again, must not eat the machine. Who
 * kills one that serves has his own pace. */
static void wait_before_restart(struct bfs_holder *h)
{
	struct timespec now, pause = { 0 };
	double lived;
	bool early;

	clock_gettime(CLOCK_MONOTONIC, &now);
	lived = (double)(now.tv_sec - h->started.tv_sec) +
		(double)(now.tv_nsec - h->started.tv_nsec) / 1e9;
	early = lived < 1.0 && (h->shared->crashed ||
				h->shared->worker_pid != h->worker);
	h->early_deaths = early ? h->early_deaths + 1 : 0;
	if (h->early_deaths < 10)
		return;
	pause.tv_nsec = 100 * 1000 * 1000;
	nanosleep(&pause, NULL);
}

/*
 * Requests that a worker took from a ring cannot be asked for again: whoever
 * waits for them would wait for ever. Better an end that everybody sees.
 */
static void abandon_mount(struct bfs_holder *h)
{
	int r = bfs_abandon(&h->shared->config, h->fuse_fd);

	h->fuse_fd = -1;
	h->abandoned = true;
	bfs_log(LOG_ERR, "with -o io_uring no worker can take over: %s %s; the "
		"next bufferfs there serves the pool again",
		h->shared->config.mountpoint,
		r < 0 ? "could not be detached" : "is unmounted");
}

/* However its last worker ended. */
static bool is_mount_gone(const struct bfs_holder *h)
{
	struct pollfd fd = { .fd = h->fuse_fd };

	return poll(&fd, 1, 0) > 0 && fd.revents & POLLERR;
}

/*
 * Deal with a worker's end. 1: it ended for good, because the mount is gone,
 * it never came to serve, or nobody can take over; 0: another one runs.
 */
static int worker_ended(struct bfs_holder *h, int status)
{
	if (is_mount_gone(h) ||
	    (WIFEXITED(status) &&
	     (WEXITSTATUS(status) == EXIT_SUCCESS || !h->shared->agreed)))
		return 1;
	h->shared->crashed = has_crashed(h, status);
	h->hangs = false;
	if (bfs_reload_worker_ended(h))
		return 0;
	bfs_log(LOG_ERR, "worker %d %s %d%s", h->worker,
		WIFSIGNALED(status) ? "was killed by signal" : "exited with",
		WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status),
		h->shared->io_uring ? "" : ": starting another");
	if (h->shared->io_uring) {
		abandon_mount(h);
		return 1;
	}
	wait_before_restart(h);
	while (start_worker(h) < 0) {
		struct timespec pause = { 0, 100 * 1000 * 1000 };

		nanosleep(&pause, NULL);
	}
	return 0;
}

/* Of a thread: was it killed, and does it wait in the kernel where that does not
 * reach it? Or it is gone. */
static bool is_killed_and_waits(int tasks_fd, const char *thread)
{
	char path[NAME_MAX + sizeof("/status")], text[4096], *state, *pending;
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "%s/status", thread);
	if ((fd = openat(tasks_fd, path, O_RDONLY | O_CLOEXEC)) < 0)
		return errno == ENOENT;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	text[n > 0 ? n : 0] = '\0';
	state = strstr(text, "\nState:\t");
	pending = strstr(text, "\nSigPnd:\t");
	if (!state || !pending)
		return n < 0 && errno == ESRCH;
	if (strchr("ZX", state[8]))
		return true;
	return state[8] == 'D' &&
	       strtoull(pending + 9, NULL, 16) >> (SIGKILL - 1) & 1;
}

/*
 * A thread of a worker that was killed can wait for a directory's lock, to tell
 * the kernel of a name that is gone, which a client holds who waits for an
 * answer: that of the next worker. Nothing of the old one runs any more when
 * all that is left of it waits like that: its threads die on their way out.
 */
static bool is_stuck(pid_t worker)
{
	const struct dirent *e;
	bool stuck = true;
	char path[64];
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/task", worker);
	if (!(dir = opendir(path)))
		return false;
	while (stuck && (e = readdir(dir)))
		stuck = e->d_name[0] == '.' ||
			is_killed_and_waits(dirfd(dir), e->d_name);
	closedir(dir);
	return stuck;
}

/* Workers that were left behind end some time, too. */
static bool has_ended(struct bfs_holder *h, int *ret_status)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid == h->worker) {
			*ret_status = status;
			return true;
		}
		if (pid == h->next.pid)
			bfs_reload_successor_ended(h, status);
		if (pid == h->probe)
			h->probe = 0;
	}
	return false;
}

static void serve_signal(struct bfs_holder *h)
{
	struct signalfd_siginfo info;

	if (read(h->signal_fd, &info, sizeof(info)) != sizeof(info))
		return;
	if (info.ssi_signo == SIGTERM || info.ssi_signo == SIGINT)
		unmount_on_request(h);
	else if (info.ssi_signo == BFS_READY_SIGNAL)
		announce_ready(h);
	else if (info.ssi_signo == SIGHUP)
		bfs_reload_begin(h, &info);
}

/* Wait for a signal or the worker's end. False: it has ended. */
static bool wait_for_event(struct bfs_holder *h, int *ret_status)
{
	enum { MOMENT_MS = 200 };
	struct pollfd fds[3] = { { h->signal_fd, POLLIN, 0 } };
	int heard;

	if (has_ended(h, ret_status))
		return false;
	heard = poll(fds, 1 + bfs_reload_poll(h, fds + 1), timeout_of(h));
	bfs_reload_go_on(h);
	bfs_watch_look(h);
	if (h->unmount_until_ms)
		try_unmount(h);
	if (fds[0].revents)
		serve_signal(h);
	if (heard > 0 || !is_stuck(h->worker))
		return true;
	poll(NULL, 0, MOMENT_MS); /* what ends now is not stuck */
	if (has_ended(h, ret_status))
		return false;
	if (!is_stuck(h->worker))
		return true;
	bfs_log(LOG_NOTICE, "worker %d waits in the kernel: left behind",
		h->worker);
	*ret_status = SIGKILL;
	return false;
}

static int hold(struct bfs_holder *h)
{
	sigset_t signals;
	int status;

	sigemptyset(&signals);
	sigaddset(&signals, SIGCHLD);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGHUP);
	sigaddset(&signals, BFS_READY_SIGNAL);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	h->signal_fd = signalfd(-1, &signals, SFD_CLOEXEC);
	if (h->signal_fd < 0 || start_worker(h) < 0)
		return EXIT_FAILURE;
	while (wait_for_event(h, &status) || !worker_ended(h, status))
		;
	return h->shared->agreed && !h->abandoned ? EXIT_SUCCESS : EXIT_FAILURE;
}

int bfs_hold(const struct bfs_mount_options *options, int ready_fd)
{
	BFS_FD int shared_fd = -1, lock_fd = -1, pool_fd = -1, fuse_fd = -1;
	struct bfs_holder h = { .ready_fd = ready_fd };
	struct bfs_config *config;
	int r;

	/* A log that nobody reads must not end us; and a starter that ignores
	 * SIGCHLD would hide the death of workers. */
	signal(SIGPIPE, SIG_IGN);
	signal(SIGCHLD, SIG_DFL);
	if ((h.program_fd = bfs_program_self(h.program, sizeof(h.program))) < 0 ||
	    (shared_fd = bfs_shared_create(&h.shared)) < 0)
		return EXIT_FAILURE;
	config = &h.shared->config;
	*config = options->config;
	h.shared->holder_pid = getpid();
	if ((pool_fd = bfs_pool_open(config, &lock_fd)) < 0)
		return EXIT_FAILURE;
	bfs_detach_dead(config);
	r = bfs_pool_wait(config, pool_fd);
	h.pressure = bfs_pressure_triggers_open(config);
	/* Now, when the path is not in our own mount yet. */
	h.sample_fd = config->reads_pool
			      ? open(config->pool, O_TMPFILE | O_RDWR | O_CLOEXEC,
				     0600)
			      : -1;
	fuse_fd = r < 0 ? r : bfs_mount(config, options->flags);
	h.shared_fd = shared_fd;
	h.pool_fd = pool_fd;
	h.fuse_fd = fuse_fd;
	r = fuse_fd < 0 ? fuse_fd : read_init_request(&h);
	if (r == 0 && hold(&h) == EXIT_FAILURE)
		r = -EIO;
	fuse_fd = h.fuse_fd;
	if (r < 0 && fuse_fd >= 0)
		bfs_unmount(config);
	/* What was there before a failed start stays. */
	if (!h.abandoned && (r == 0 || !config->adopted_pool))
		bfs_pool_remove(config);
	return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
