/* SPDX-License-Identifier: MIT */
/*
 * reload.h - bufferfs --reload: ask the holder of a mount for a worker from the
 * binary that is on disk now.
 *
 * It is SIGHUP to the holder. Who wants to know what becomes of it queues it
 * with the number of a pipe's descriptor of his, and is told there: each answer
 * is a code, and words for who reads them. A plain SIGHUP asks for the same.
 */
#ifndef BFS_RELOAD_H
#define BFS_RELOAD_H

#define BFS_RELOAD_BEGUN 'b'
#define BFS_RELOAD_DONE 'd'
#define BFS_RELOAD_FAILED 'f'

/* Returns the exit status of the program when it serves, or does not. */
int bfs_reload(const char *mountpoint);

#endif
