/* SPDX-License-Identifier: MIT */
/*
 * reload.c - the holder's part of a live upgrade: the states are in
 * holder_internal.h.
 */
#include "holder_internal.h"

#include "fd.h"
#include "log.h"
#include "program.h"
#include "reload.h"
#include "worker.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
	PREPARE_MS = 30 * 1000, /* a binary that does not get ready */
	END_MS = 500,           /* requests that take longer are asked again */
	TAKE_OVER_MS = 120 * 1000,
};

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* The pipe of who asks, which he names by its number with the signal; the kernel
 * has checked that he may signal us. */
static int open_answer(const struct signalfd_siginfo *request)
{
	BFS_FD int fd = -1;
	char path[64];
	struct stat st;

	if (request->ssi_code != SI_QUEUE)
		return -1;
	snprintf(path, sizeof(path), "/proc/%u/fd/%d", request->ssi_pid,
		 request->ssi_int);
	fd = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISFIFO(st.st_mode))
		return -1;
	return bfs_fd_take(&fd);
}

static void answer(int fd, char code, const char *text)
{
	char line[1200];
	int n = snprintf(line, sizeof(line), "%c%s", code, text);

	if (fd >= 0 && write(fd, line, (size_t)n) < 0)
		bfs_log(LOG_DEBUG, "nobody waits for the reload");
}

/* No successor any more: tell why, or nothing when it serves. */
static void end(struct bfs_successor *next, const char *failure)
{
	if (failure)
		bfs_log(LOG_ERR, "not reloaded: %s", failure);
	answer(next->answer_fd, failure ? BFS_RELOAD_FAILED : BFS_RELOAD_DONE,
	       failure ? failure : "");
	close_fd(&next->answer_fd);
	close_fd(&next->control_fd);
	close_fd(&next->text_fd);
	close_fd(&next->program_fd);
	next->stage = BFS_SUCCESSOR_NONE;
	next->pid = 0;
}

/* The end of what it says is kept. */
static void read_text(struct bfs_successor *next)
{
	const size_t max = sizeof(next->text) - 1;
	char piece[256];
	ssize_t n = 0;

	while (next->text_fd >= 0 &&
	       (n = read(next->text_fd, piece, sizeof(piece))) > 0) {
		const size_t over = next->text_size + (size_t)n > max
					    ? next->text_size + (size_t)n - max
					    : 0;

		memmove(next->text, next->text + over, next->text_size - over);
		next->text_size -= over;
		memcpy(next->text + next->text_size, piece, (size_t)n);
		next->text_size += (size_t)n;
	}
	next->text[next->text_size] = '\0';
	if (next->text_fd >= 0 && n == 0)
		close_fd(&next->text_fd);
}

/* It failed: what it said last, else how it ended. */
static void end_by_its_words(struct bfs_successor *next, const char *otherwise)
{
	char *text = next->text, *line;

	read_text(next);
	while (next->text_size && text[next->text_size - 1] == '\n')
		text[--next->text_size] = '\0';
	line = strrchr(text, '\n');
	/* Two lines: libraries say what they miss before us, we say why after
	 * what. */
	while (line && line > text && line[-1] != '\n')
		line--;
	end(next, *text ? (line ? line : text) : otherwise);
}

static void give_up(struct bfs_successor *next, const char *otherwise)
{
	if (next->pid > 0)
		kill(next->pid, SIGKILL);
	end_by_its_words(next, otherwise);
}

static int open_channels(struct bfs_successor *next, int *ret_control,
			 int *ret_text)
{
	int sockets[2], texts[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) < 0)
		return -errno;
	next->control_fd = sockets[0];
	*ret_control = sockets[1];
	if (pipe2(texts, O_CLOEXEC) < 0)
		return -errno;
	next->text_fd = texts[0];
	*ret_text = texts[1];
	fcntl(next->control_fd, F_SETFL, O_NONBLOCK);
	fcntl(next->text_fd, F_SETFL, O_NONBLOCK);
	return 0;
}

static int start(struct bfs_holder *h)
{
	struct bfs_successor *next = &h->next, child;
	BFS_FD int control = -1, text = -1;
	int r = open_channels(next, &control, &text);

	if (r < 0)
		return r;
	child = *next;
	child.control_fd = control;
	child.text_fd = text;
	if ((r = bfs_start_worker(h, &child)) < 0)
		return r;
	next->pid = r;
	next->stage = BFS_SUCCESSOR_PREPARES;
	next->until_ms = bfs_now_ms() + PREPARE_MS;
	return 0;
}

void bfs_reload_begin(struct bfs_holder *h,
		      const struct signalfd_siginfo *request)
{
	struct bfs_successor *next = &h->next;
	char why[PATH_MAX + 128], fault[PATH_MAX] = "";
	BFS_FD int answer_fd = open_answer(request);
	int r;

	if (next->stage != BFS_SUCCESSOR_NONE) {
		answer(answer_fd, BFS_RELOAD_FAILED,
		       "another reload is under way");
		return;
	}
	answer(answer_fd, BFS_RELOAD_BEGUN, "");
	*next = (struct bfs_successor){ .program_fd = -1, .control_fd = -1,
					.text_fd = -1,
					.answer_fd = bfs_fd_take(&answer_fd) };
	if (!h->shared->agreed || h->shared->io_uring) {
		end(next, h->shared->io_uring
				  ? "with -o io_uring no worker can take over"
				  : "no worker serves yet");
		return;
	}
	r = bfs_program_open(h->program, fault, sizeof(fault));
	if (r >= 0) {
		next->program_fd = r;
		r = start(h);
	}
	if (r >= 0)
		return;
	snprintf(why, sizeof(why), "%s: %s", *fault ? fault : h->program,
		 r == -EPERM && *fault ? "others may write it" : strerror(-r));
	end(next, why);
}

size_t bfs_reload_poll(const struct bfs_holder *h, struct pollfd *fds)
{
	size_t n = 0;

	if (h->next.stage == BFS_SUCCESSOR_NONE)
		return 0;
	fds[n++] = (struct pollfd){ h->next.control_fd, POLLIN, 0 };
	if (h->next.text_fd >= 0)
		fds[n++] = (struct pollfd){ h->next.text_fd, POLLIN, 0 };
	return n;
}

int bfs_reload_timeout(const struct bfs_holder *h, int timeout_ms)
{
	int64_t left;

	if (h->next.stage == BFS_SUCCESSOR_NONE)
		return timeout_ms;
	left = h->next.until_ms - bfs_now_ms();
	return left < 0 ? 0 : left < timeout_ms ? (int)left : timeout_ms;
}

static void end_old_worker(struct bfs_holder *h)
{
	bfs_log(LOG_INFO, "worker %d is ready to take over from %d",
		h->next.pid, h->worker);
	kill(h->worker, BFS_END_SIGNAL);
	h->next.stage = BFS_SUCCESSOR_ENDS_OLD;
	h->next.until_ms = bfs_now_ms() + END_MS;
}

static void be_late(struct bfs_holder *h)
{
	struct bfs_successor *next = &h->next;

	switch (next->stage) {
	case BFS_SUCCESSOR_PREPARES:
		give_up(next, "it did not get ready");
		break;
	case BFS_SUCCESSOR_ENDS_OLD:
		/* Once: what it is stuck in then is for the holder to see. */
		kill(h->worker, SIGKILL);
		next->until_ms = INT64_MAX;
		break;
	case BFS_SUCCESSOR_TAKES_OVER:
		give_up(next, "it did not come to serve");
		break;
	case BFS_SUCCESSOR_NONE:
		break;
	}
}

void bfs_reload_go_on(struct bfs_holder *h)
{
	struct bfs_successor *next = &h->next;
	char byte = 0;
	ssize_t n;

	if (next->stage == BFS_SUCCESSOR_NONE)
		return;
	read_text(next);
	n = read(next->control_fd, &byte, 1);
	if (n == 1 && byte == BFS_SUCCESSOR_READY &&
	    next->stage == BFS_SUCCESSOR_PREPARES) {
		end_old_worker(h);
	} else if (n == 1 && byte == BFS_SUCCESSOR_SERVES &&
		   next->stage == BFS_SUCCESSOR_TAKES_OVER) {
		int before = h->program_fd;

		h->program_fd = bfs_fd_take(&next->program_fd);
		close(before);
		end(next, NULL);
	} else if (bfs_now_ms() >= next->until_ms) {
		be_late(h);
	}
}

bool bfs_reload_worker_ended(struct bfs_holder *h)
{
	struct bfs_successor *next = &h->next;
	const char byte = 0;

	if (next->stage == BFS_SUCCESSOR_TAKES_OVER)
		end_by_its_words(next, "it ended when it took over");
	if (next->stage != BFS_SUCCESSOR_ENDS_OLD)
		return false;
	if (write(next->control_fd, &byte, 1) != 1) {
		give_up(next, "it ended before it could take over");
		return false;
	}
	h->worker = next->pid;
	h->serves = false;
	clock_gettime(CLOCK_MONOTONIC, &h->started);
	next->stage = BFS_SUCCESSOR_TAKES_OVER;
	next->until_ms = bfs_now_ms() + TAKE_OVER_MS;
	return true;
}

void bfs_reload_successor_ended(struct bfs_holder *h, int status)
{
	char how[64];

	snprintf(how, sizeof(how), "it %s %d",
		 WIFSIGNALED(status) ? "was killed by signal" : "exited with",
		 WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
	end_by_its_words(&h->next, how);
}
