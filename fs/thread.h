/* SPDX-License-Identifier: MIT */
/*
 * thread.h - a thread that nobody waits for.
 */
#ifndef BFS_THREAD_H
#define BFS_THREAD_H

#include <pthread.h>

/* Run run(argument) in a detached thread. 0; -EAGAIN when there are no more. */
static inline int bfs_thread_start(void *(*run)(void *), void *argument)
{
	pthread_t thread;
	int r = pthread_create(&thread, NULL, run, argument);

	if (r == 0)
		pthread_detach(thread);
	return -r;
}

#endif
