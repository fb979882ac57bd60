/* SPDX-License-Identifier: MIT */
/*
 * task.h - processes that buffers are bound to: when one ends, by SIGKILL too,
 * the names of its buffers go. Their memory lives on with open files and
 * mappings of others, as after any unlink(2).
 *
 * A process is known by its id and the time that it started at: an id that was
 * given to another process since is another task. Each has one pidfd, and its
 * buffers are a list of inodes: a buffer costs no descriptor, and the thread
 * that waits for the ends of processes does nothing else meanwhile.
 *
 * Which buffers are bound outlives a worker: the record says to whom, the flag
 * BFS_SLOT_BOUND in the shared block which ones to look at.
 *
 * Functions that take a struct bfs_file want its inode locked, as it is. The
 * table's own lock is a leaf.
 */
#ifndef BFS_TASK_H
#define BFS_TASK_H

#include "file.h"

struct bfs_tasks;
struct bfs_task;

/* Make the table, of which fs->tasks is to be set before files are bound.
 * destroy: no file that is bound will be used any more. 0; -ENOMEM, -EMFILE, -ENFILE. */
int bfs_tasks_create(struct bfs_fs *fs, struct bfs_tasks **ret_tasks);
void bfs_tasks_destroy(struct bfs_tasks *tasks);

/*
 * Start the thread that takes names away. It first takes over what an earlier
 * worker had bound, and the names that a last close had left to it. -EAGAIN
 * when there are no more threads.
 */
int bfs_tasks_start(struct bfs_tasks *tasks);

/* What that thread does: wait for at most timeout_ms (-1: without end) for a
 * process to end, and take its names. For tests. */
void bfs_tasks_wait(struct bfs_tasks *tasks, int timeout_ms);

/*
 * Which process is meant by `asked` (IOBUF_TASK_SELF: the caller's own; the id
 * of a thread means its process), and may the caller bind to it?
 *
 * caller      the thread that asks; 0: nobody knows.
 * ret_pid, ret_start   the process.
 *
 * 0; -ESRCH: it has ended, or never was; -EPERM: the caller could not send it a
 * signal; -EOPNOTSUPP: a number by a caller of another process id namespace, or
 * one that is not seen here at all; -EMFILE, -ENFILE. With words in *ret_reason.
 */
int bfs_task_find(pid_t caller, int32_t asked, int32_t *ret_pid,
		  uint64_t *ret_start, struct iobuf_reason *ret_reason);

/* Does it run? `start`: of the process that is meant. */
bool bfs_task_runs(int32_t pid, uint64_t start);

/*
 * Around what stores `record`, which is the commit: begin finds the task and
 * can fail, end (with the outcome `r`, which it returns) binds the file to it or,
 * after a failure, leaves all as it was. A record without a task unbinds.
 * -ESRCH, -ENFILE, -ENOMEM, -EMFILE; -EOPNOTSUPP where there is no table.
 */
int bfs_task_begin(struct bfs_file *file, const struct bfs_record *record,
		   struct bfs_task **ret_task);
int bfs_task_end(struct bfs_file *file, struct bfs_task *task, int r);

/* Unbind a locked inode; the flag in its slot too. */
void bfs_task_unbind(struct bfs_fs *fs, struct bfs_inode *inode);

/* Bind a file again that is bound by its record; its names go when the process
 * has ended. No lock is to be held. */
void bfs_task_bind_again(struct bfs_fs *fs, uint64_t nodeid);

#endif
