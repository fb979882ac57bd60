/* SPDX-License-Identifier: MIT */
/*
 * process.h - what a worker is as a process: its name, signals, limits, rights.
 */
#ifndef BFS_PROCESS_H
#define BFS_PROCESS_H

/* Once, before any thread is started: they inherit it. */
void bfs_process_begin(void);

#endif
