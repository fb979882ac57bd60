/* SPDX-License-Identifier: MIT */
/*
 * holder_internal.h - what holder.c, start.c, reload.c and watch.c share.
 */
#ifndef BFS_HOLDER_INTERNAL_H
#define BFS_HOLDER_INTERNAL_H

#include "clock.h"
#include "pressure_trigger.h"
#include "shared.h"
#include "watchdog.h"

#include <sys/signalfd.h>
#include <sys/types.h>
#include <time.h>

/*
 * A worker to be, from the binary that is on disk now, while another serves.
 *
 *	NONE -> PREPARES       asked for; it was started
 *	PREPARES -> ENDS_OLD   it could serve: the worker is told to end
 *	ENDS_OLD -> TAKES_OVER the worker has ended, this one is the worker now
 *	TAKES_OVER -> NONE     it serves
 *
 * From PREPARES on any failure leads to NONE, with the worker that is there or,
 * in TAKES_OVER, another one from the binary before.
 */
enum bfs_successor_stage {
	BFS_SUCCESSOR_NONE,
	BFS_SUCCESSOR_PREPARES,
	BFS_SUCCESSOR_ENDS_OLD,
	BFS_SUCCESSOR_TAKES_OVER,
};

struct bfs_successor {
	enum bfs_successor_stage stage;
	pid_t pid;
	int program_fd;
	int control_fd; /* see worker.h */
	int text_fd;    /* its stderr until it takes over */
	int answer_fd;  /* -1: nobody waits for the end of it */
	int64_t until_ms; /* it has to be in the next stage by then */
	char text[1024];  /* what it said last, or went wrong */
	size_t text_size;
};

struct bfs_holder {
	struct bfs_shared *shared;
	int shared_fd, pool_fd, fuse_fd;
	struct bfs_pressure_triggers pressure;
	int sample_fd; /* see worker.h; -1 once a worker serves */
	int program_fd; /* what workers are started from */
	char program[PATH_MAX]; /* where it lay when we were started */
	int ready_fd; /* -1: nobody waits, or has been told */
	int signal_fd;
	pid_t worker;
	bool serves; /* the worker, by its own word */
	bool hangs;  /* and is killed for that */
	struct timespec started;
	unsigned int early_deaths; /* in a row, each within a second */
	bool abandoned;            /* the mount; what is in the pool stays */
	struct bfs_successor next;
	struct bfs_watchdog watchdog;
	int64_t next_look_ms;
	int64_t unmount_until_ms; /* 0: nobody wants it; else requests that are
				     at work are waited for until then */
	pid_t probe; /* a process that asks the worker something, or 0 */
};

/* A worker from holder->program_fd, or from successor->program_fd: its process
 * id, or a negative errno. */
pid_t bfs_start_worker(const struct bfs_holder *holder,
		       const struct bfs_successor *successor);

/* SIGHUP: start a successor, and tell the sender what becomes of it if he wants
 * to know. */
void bfs_reload_begin(struct bfs_holder *holder,
		      const struct signalfd_siginfo *request);

/* Descriptors to poll: up to two, their count. */
struct pollfd;
size_t bfs_reload_poll(const struct bfs_holder *holder, struct pollfd *fds);

/* For how many ms to poll at most, given what else there is to look after. */
int bfs_reload_timeout(const struct bfs_holder *holder, int timeout_ms);

/* After that: go on with what was heard, or is late. */
void bfs_reload_go_on(struct bfs_holder *holder);

/* The worker has ended, and not because the mount is gone. True: the successor
 * is the worker now. */
bool bfs_reload_worker_ended(struct bfs_holder *holder);

/* The successor has ended before it was the worker. */
void bfs_reload_successor_ended(struct bfs_holder *holder, int status);

/* Requests that were read and not answered, or wait to be read. */
bool bfs_has_requests(const struct bfs_holder *holder);

/* The watchdog, as with a successor: from when a worker serves, for how long to
 * poll, and after that. */
void bfs_watch_begin(struct bfs_holder *holder);
int bfs_watch_timeout(const struct bfs_holder *holder, int timeout_ms);
void bfs_watch_look(struct bfs_holder *holder);

#endif
