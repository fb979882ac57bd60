/* SPDX-License-Identifier: MIT */
/*
 * worker.h - the process that serves requests until it is killed or the mount
 * is gone.
 */
#ifndef BFS_WORKER_H
#define BFS_WORKER_H

#include "pressure_trigger.h"

#include <signal.h>

/*
 * argv[1] of a worker; the numbers of its descriptors follow. The last two are a
 * successor's alone, which is started while another worker serves, perhaps from
 * another binary. What stands here binds the holders that run and the workers
 * that are still to be written.
 */
#define BFS_WORKER_ARGUMENT "--worker"
struct bfs_worker_fds {
	int fuse, shared, root; /* /dev/fuse, shared block, pool root */
	struct bfs_pressure_triggers pressure;
	int sample; /* a nameless file of a pool that is only read, or -1: to try
		       passthrough with */
	int control;            /* socket to the holder, or -1 */
	int stderr_fd;          /* for stderr, once it is the worker */
};

/*
 * A successor tells its holder that it could serve, and touches nothing until
 * it is answered by any byte; then there is no other worker. It tells again when
 * it serves. An end of file tells either that the other has given up.
 */
#define BFS_SUCCESSOR_READY 'r'
#define BFS_SUCCESSOR_SERVES 's'

/* What a worker sends to its holder when it serves. */
#define BFS_READY_SIGNAL SIGUSR1

/* What ends a worker once it has answered what it works on, and with what exit
 * status. */
#define BFS_END_SIGNAL SIGUSR2
#define BFS_EXIT_HANDED_OVER 3

/* Never returns to the caller's caller: the exit status of the process is 0
 * when the mount is gone. */
int bfs_work(int argc, char **argv);

#endif
