/* SPDX-License-Identifier: MIT */
/*
 * worker.h - the process that serves requests until it is killed or the mount
 * is gone.
 */
#ifndef BFS_WORKER_H
#define BFS_WORKER_H

#include <signal.h>

/* argv[1] of a worker; the descriptors' numbers follow:
 * /dev/fuse, shared block, pool root. */
#define BFS_WORKER_ARGUMENT "--worker"

/* What a worker sends to its holder when it serves. */
#define BFS_READY_SIGNAL SIGUSR1

/* Never returns to the caller's caller: the exit status of the process is 0
 * when the mount is gone. */
int bfs_work(int argc, char **argv);

#endif
