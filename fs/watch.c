/* SPDX-License-Identifier: MIT */
/*
 * watch.c - the holder's part of the watchdog: look, ask, and kill what hangs.
 */
#include "holder_internal.h"

#include "log.h"

#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/vfs.h>
#include <unistd.h>

static bool is_on(const struct bfs_holder *h)
{
	/* Requests that come by rings are not seen here; and with a successor
	 * under way the worker is waited for anyway. */
	return h->shared->config.watchdog_s && h->serves &&
	       !h->shared->io_uring && h->next.stage == BFS_SUCCESSOR_NONE;
}

static int64_t interval_ms(const struct bfs_holder *h)
{
	return h->shared->config.watchdog_s * INT64_C(1000) /
	       BFS_WATCHDOG_LOOKS;
}

void bfs_watch_begin(struct bfs_holder *h)
{
	h->watchdog = (struct bfs_watchdog){ 0 };
	h->next_look_ms = bfs_now_ms() + interval_ms(h);
}

int bfs_watch_timeout(const struct bfs_holder *h, int timeout_ms)
{
	const int64_t left = h->next_look_ms - bfs_now_ms();

	if (!is_on(h))
		return timeout_ms;
	return left < 0 ? 0 : left < timeout_ms ? (int)left : timeout_ms;
}

/* In a process of its own, which may wait for long. It must not keep the
 * connection when all others are gone. */
static void start_probe(struct bfs_holder *h)
{
	struct statfs fs;

	h->probe = fork();
	if (h->probe != 0)
		return;
	close_range(0, ~0U, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	_exit(statfs(h->shared->config.mountpoint, &fs) < 0);
}

static bool is_request_waiting(const struct bfs_holder *h)
{
	struct pollfd fd = { .fd = h->fuse_fd, .events = POLLIN };

	return poll(&fd, 1, 0) > 0 && fd.revents & POLLIN;
}

bool bfs_has_requests(const struct bfs_holder *h)
{
	return h->shared->working > 0 || is_request_waiting(h);
}

void bfs_watch_look(struct bfs_holder *h)
{
	const struct bfs_shared *shared = h->shared;

	if (!is_on(h) || bfs_now_ms() < h->next_look_ms)
		return;
	h->next_look_ms = bfs_now_ms() + interval_ms(h);
	switch (bfs_watchdog_look(&h->watchdog,
				  h->probe > 0 || is_request_waiting(h),
				  shared->working > 0, shared->progress)) {
	case BFS_WATCHDOG_WELL:
		break;
	case BFS_WATCHDOG_PROBE:
		start_probe(h);
		break;
	case BFS_WATCHDOG_HANGS:
		bfs_log(LOG_ERR, "worker %d has answered nothing for %u s: "
			"killed", h->worker, shared->config.watchdog_s);
		h->hangs = true;
		kill(h->worker, SIGKILL);
		break;
	}
}
