/* SPDX-License-Identifier: MIT */
/*
 * notify.h - what the kernel is told without having asked (struct bfs_notify).
 */
#ifndef BFS_NOTIFY_H
#define BFS_NOTIFY_H

#include "fs.h"

/*
 * Fill in fs->notify, for fs->session. 0; errors of pthread_create(3).
 *
 * That a name is gone is told by a thread that does nothing else: the kernel
 * takes the directory's lock for it, where no signal reaches, and whoever holds
 * that may wait for an answer of ours. The caller waits until it is told, so
 * that a worker that is killed before has not forgotten it; with io_uring he
 * does not, because he may be the only thread that serves a ring, and nobody
 * takes over anyway.
 */
int bfs_notify_start(struct bfs_fs *fs);

#endif
