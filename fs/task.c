/* SPDX-License-Identifier: MIT */
/*
 * task.c - the table of tasks, and the thread that waits for their ends.
 *
 * A task's pidfd is in an epoll instance, to be told of once: the thread works
 * through the task's list then. A buffer can be bound to a task that has ended
 * just now, after the thread was there: whoever binds asks to be told again.
 *
 * The thread finds a task by the process id that comes with the event, as a
 * task may be freed at any time between two holds of the lock.
 */
#include "task.h"

#include "caller.h"
#include "fd.h"
#include "log.h"
#include "thread.h"
#include "tree.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>

enum { BUCKETS = 1 << 10 };

struct bfs_task {
	struct bfs_task *next; /* of the bucket */
	pid_t pid;             /* constant, as what follows */
	uint64_t start;
	int pidfd;
	unsigned int users;      /* bound inodes, and who is about to bind */
	struct bfs_inode *bound; /* the first */
};

struct bfs_tasks {
	struct bfs_fs *fs;
	int epoll_fd;
	pthread_mutex_t lock; /* protects all below, and the inodes' links */
	unsigned int count, count_max;
	struct bfs_task *buckets[BUCKETS];
};

static int open_pidfd(pid_t pid)
{
	int fd = (int)syscall(SYS_pidfd_open, pid, 0);

	if (fd >= 0)
		return fd;
	/* Not a process, or not one any more. */
	return errno == EINVAL || errno == ENOENT ? -ESRCH
	       : errno == ENOSYS		  ? -EOPNOTSUPP
						  : -errno;
}

/* A pidfd can be read when all threads of the process are gone. */
static bool has_ended(int pidfd)
{
	struct pollfd fd = { .fd = pidfd, .events = POLLIN };

	return poll(&fd, 1, 0) != 0;
}

/* Field 22 of /proc/PID/stat. The second is the program's name, which may have
 * anything in it: what is counted begins behind its last parenthesis. */
static int read_start(pid_t pid, uint64_t *ret_start)
{
	enum { FIELD = 22, FIELDS_OF_NAME = 2 };
	char path[64], text[2048], *at;
	BFS_FD int fd = -1;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	if ((fd = open(path, O_RDONLY | O_CLOEXEC)) < 0)
		return errno == ENOENT ? -ESRCH : -errno;
	if ((n = read(fd, text, sizeof(text) - 1)) <= 0)
		return -ESRCH;
	text[n] = '\0';
	at = strrchr(text, ')');
	for (int i = FIELDS_OF_NAME; at && i < FIELD; i++)
		at = strchr(at + 1, ' ');
	if (!at)
		return -EIO;
	*ret_start = strtoull(at, NULL, 10);
	return 0;
}

/*
 * A pidfd of the process with that id, and when it started. What was read is of
 * this process because it runs afterwards: an id that was given to another one
 * meanwhile would have been free before.
 */
static int open_process(pid_t pid, uint64_t *ret_start)
{
	BFS_FD int fd = open_pidfd(pid);
	uint64_t start;
	int r;

	if (fd < 0)
		return fd;
	if ((r = read_start(pid, &start)) < 0)
		return r;
	if (has_ended(fd))
		return -ESRCH;
	*ret_start = start;
	return bfs_fd_take(&fd);
}

bool bfs_task_runs(int32_t pid, uint64_t start)
{
	uint64_t found;
	BFS_FD int fd = open_process(pid, &found);

	/* What cannot be known (no descriptors) is not an end. */
	return fd < 0 ? fd != -ESRCH : found == start;
}

static int refuse(struct iobuf_reason *reason, int error, const char *why)
{
	if (reason)
		snprintf(reason->text, sizeof(reason->text), "%s", why);
	return -error;
}

static int refuse_process(struct iobuf_reason *reason, int r)
{
	return refuse(reason, -r,
		      r == -ESRCH	 ? "there is no such process"
		      : r == -EOPNOTSUPP ? "tasks take Linux 5.3"
					 : "the process cannot be looked at");
}

int bfs_task_find(pid_t caller, int32_t asked, int32_t *ret_pid,
		  uint64_t *ret_start, struct iobuf_reason *ret_reason)
{
	const bool self = asked == IOBUF_TASK_SELF;
	BFS_FD int fd = -1;
	uint64_t start;
	pid_t pid;
	bool may;

	if (caller <= 0)
		return refuse(ret_reason, EOPNOTSUPP,
			      "the process that asks is not seen here: it is of "
			      "another process id namespace");
	if (!self && !bfs_shares_process_ids(caller))
		return refuse(ret_reason, EOPNOTSUPP,
			      "process ids of another namespace are not known "
			      "here: task=self is");
	if ((pid = bfs_process_of(self ? caller : asked)) <= 0)
		return refuse_process(ret_reason, -ESRCH);
	if ((fd = open_pidfd(pid)) < 0)
		return refuse_process(ret_reason, fd);
	may = self || bfs_may_signal(caller, pid);
	if (read_start(pid, &start) < 0 || has_ended(fd))
		return refuse_process(ret_reason, -ESRCH);
	if (!may)
		return refuse(ret_reason, EPERM,
			      "the caller may not signal that process");
	*ret_pid = pid;
	*ret_start = start;
	return 0;
}

/* Descriptors are for requests too. */
static unsigned int most_tasks(void)
{
	enum { SHARE = 4 };
	struct rlimit files;

	return getrlimit(RLIMIT_NOFILE, &files) < 0 ||
			       files.rlim_cur / SHARE > UINT_MAX
		       ? UINT_MAX
		       : (unsigned int)files.rlim_cur / SHARE;
}

int bfs_tasks_create(struct bfs_fs *fs, struct bfs_tasks **ret_tasks)
{
	struct bfs_tasks *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	t->fs = fs;
	t->count_max = most_tasks();
	if ((t->epoll_fd = epoll_create1(EPOLL_CLOEXEC)) < 0) {
		int error = errno;

		free(t);
		return -error;
	}
	pthread_mutex_init(&t->lock, NULL);
	*ret_tasks = t;
	return 0;
}

void bfs_tasks_destroy(struct bfs_tasks *t)
{
	if (!t)
		return;
	for (size_t i = 0; i < BUCKETS; i++)
		for (struct bfs_task *task = t->buckets[i], *next; task;
		     task = next) {
			next = task->next;
			close(task->pidfd);
			free(task);
		}
	close(t->epoll_fd);
	pthread_mutex_destroy(&t->lock);
	free(t);
}

static struct bfs_task **bucket_of(struct bfs_tasks *t, pid_t pid)
{
	return &t->buckets[(unsigned int)pid % BUCKETS];
}

static int watch(struct bfs_tasks *t, struct bfs_task *task, int operation)
{
	struct epoll_event event = {
		.events = EPOLLIN | EPOLLONESHOT,
		.data.u64 = (uint64_t)task->pid,
	};

	return epoll_ctl(t->epoll_fd, operation, task->pidfd, &event) < 0
		       ? -errno
		       : 0;
}

/* A task that is not in the table yet; takes pidfd. With the lock. */
static int add_task(struct bfs_tasks *t, pid_t pid, uint64_t start, int *pidfd,
		    struct bfs_task **ret_task)
{
	struct bfs_task **bucket = bucket_of(t, pid), *task;
	int r;

	if (t->count >= t->count_max)
		return -ENFILE;
	if (!(task = calloc(1, sizeof(*task))))
		return -ENOMEM;
	*task = (struct bfs_task){ *bucket, pid, start, *pidfd, 0, NULL };
	if ((r = watch(t, task, EPOLL_CTL_ADD)) < 0) {
		free(task);
		return r;
	}
	bfs_fd_take(pidfd);
	t->count++;
	*bucket = task;
	*ret_task = task;
	return 0;
}

/* The task of a process that runs, counted as used. */
static int get_task(struct bfs_tasks *t, pid_t pid, uint64_t start,
		    struct bfs_task **ret_task)
{
	uint64_t found = 0;
	BFS_FD int pidfd = open_process(pid, &found);
	struct bfs_task *task;
	int r = 0;

	if (pidfd < 0)
		return pidfd;
	if (found != start)
		return -ESRCH;
	pthread_mutex_lock(&t->lock);
	task = *bucket_of(t, pid);
	while (task && (task->pid != pid || task->start != start))
		task = task->next;
	if (!task)
		r = add_task(t, pid, start, &pidfd, &task);
	if (r == 0) {
		task->users++;
		*ret_task = task;
	}
	pthread_mutex_unlock(&t->lock);
	return r;
}

/* With the lock. */
static void put_task(struct bfs_tasks *t, struct bfs_task *task)
{
	struct bfs_task **link = bucket_of(t, task->pid);

	if (--task->users)
		return;
	while (*link != task)
		link = &(*link)->next;
	*link = task->next;
	t->count--;
	close(task->pidfd);
	free(task);
}

static void link_inode(struct bfs_tasks *t, struct bfs_inode *inode,
		       struct bfs_task *task)
{
	inode->task = task;
	inode->next_bound = task->bound;
	inode->link_bound = &task->bound;
	if (inode->next_bound)
		inode->next_bound->link_bound = &inode->next_bound;
	task->bound = inode;
	if (has_ended(task->pidfd))
		watch(t, task, EPOLL_CTL_MOD);
}

static void unlink_inode(struct bfs_tasks *t, struct bfs_inode *inode)
{
	struct bfs_task *task = inode->task;

	*inode->link_bound = inode->next_bound;
	if (inode->next_bound)
		inode->next_bound->link_bound = inode->link_bound;
	inode->task = NULL;
	put_task(t, task);
}

/* Bind a locked inode to `task` (or to none), whose use is taken over. */
static void bind_inode(struct bfs_tasks *t, struct bfs_inode *inode,
		       struct bfs_task *task)
{
	pthread_mutex_lock(&t->lock);
	if (inode->task)
		unlink_inode(t, inode);
	if (task)
		link_inode(t, inode, task);
	pthread_mutex_unlock(&t->lock);
}

static void flag_slot(struct bfs_inode *inode)
{
	if (!inode->slot)
		return;
	if (inode->task)
		inode->slot->flags |= BFS_SLOT_BOUND;
	else
		inode->slot->flags &= ~(uint32_t)BFS_SLOT_BOUND;
}

int bfs_task_begin(struct bfs_file *file, const struct bfs_record *record,
		   struct bfs_task **ret_task)
{
	struct bfs_fs *fs = file->fs;
	int r;

	*ret_task = NULL;
	if (record->spec.task <= IOBUF_TASK_KERNEL)
		return 0;
	if (!fs->tasks)
		return -EOPNOTSUPP;
	if ((r = bfs_inode_take_slot(fs->inodes, file->inode)) < 0 ||
	    (r = get_task(fs->tasks, record->spec.task, record->task_start,
			  ret_task)) < 0)
		return r;
	/* Killed after the commit, it has to be bound by the next worker. */
	file->inode->slot->flags |= BFS_SLOT_BOUND;
	return 0;
}

int bfs_task_end(struct bfs_file *file, struct bfs_task *task, int r)
{
	struct bfs_tasks *t = file->fs->tasks;

	if (r < 0 && task) {
		pthread_mutex_lock(&t->lock);
		put_task(t, task);
		pthread_mutex_unlock(&t->lock);
	} else if (r >= 0 && t) {
		bind_inode(t, file->inode, task);
	}
	flag_slot(file->inode);
	return r;
}

void bfs_task_unbind(struct bfs_fs *fs, struct bfs_inode *inode)
{
	if (fs->tasks)
		bind_inode(fs->tasks, inode, NULL);
	flag_slot(inode);
}

static void unbind(struct bfs_fs *fs, uint64_t nodeid)
{
	struct bfs_inode *inode = bfs_inode_lock(fs->inodes, nodeid);

	if (!inode)
		return;
	bfs_task_unbind(fs, inode);
	bfs_inode_unlock(fs->inodes, inode);
}

/* The flag stays in the slot until bfs_names_gone(), for the next worker. */
static void leave_task(struct bfs_fs *fs, uint64_t nodeid)
{
	struct bfs_inode *inode = bfs_inode_lock(fs->inodes, nodeid);

	if (!inode)
		return;
	bind_inode(fs->tasks, inode, NULL);
	bfs_inode_unlock(fs->inodes, inode);
}

/* Of something that may be there again in a moment. */
static bool is_passing(int r)
{
	return r == -EMFILE || r == -ENFILE || r == -ENOMEM;
}

/*
 * The names go for good: nobody can give the file a new one or bind it
 * elsewhere, because a task that has ended forbids both (bfs_link(),
 * bfs_file_configure()). -EMFILE and its like: not now.
 */
static int reap(struct bfs_fs *fs, uint64_t nodeid)
{
	int r = bfs_unlink_all(fs, nodeid);

	if (is_passing(r))
		return r;
	if (r == -EINPROGRESS) {
		leave_task(fs, nodeid);
		return 0;
	}
	if (r < 0)
		bfs_log(LOG_ERR, "the name of a buffer whose task has ended "
			"cannot be removed: %s", strerror(-r));
	unbind(fs, nodeid);
	return 0;
}

/* Is it still bound to that process? The record counts. */
static int check_bound(struct bfs_fs *fs, uint64_t nodeid, pid_t pid,
		       uint64_t start)
{
	BFS_FILE struct bfs_file file = { 0 };
	const struct bfs_task *task;
	int r = bfs_file_open(fs, nodeid, O_PATH | O_NOFOLLOW, &file);

	if (r < 0)
		return r;
	if (file.record.spec.task == pid && file.record.task_start == start)
		return 1;
	task = file.inode->task;
	if (task && task->pid == pid && task->start == start)
		bfs_task_unbind(fs, file.inode);
	return 0;
}

static int reap_if_bound(struct bfs_fs *fs, uint64_t nodeid, pid_t pid,
			 uint64_t start)
{
	int r = check_bound(fs, nodeid, pid, start);

	if (r > 0)
		return reap(fs, nodeid);
	if (is_passing(r))
		return r;
	if (r < 0) /* it is gone, or cannot be read */
		unbind(fs, nodeid);
	return 0;
}

/* A buffer of a process with that id that has ended. With the lock. */
static struct bfs_inode *find_bound(struct bfs_tasks *t, pid_t pid)
{
	for (struct bfs_task *task = *bucket_of(t, pid); task; task = task->next)
		if (task->pid == pid && task->bound && has_ended(task->pidfd))
			return task->bound;
	return NULL;
}

static bool next_bound(struct bfs_tasks *t, pid_t pid, uint64_t *ret_nodeid,
		       uint64_t *ret_start)
{
	const struct bfs_inode *inode;

	pthread_mutex_lock(&t->lock);
	if ((inode = find_bound(t, pid))) {
		*ret_nodeid = inode->nodeid;
		*ret_start = inode->task->start;
	}
	pthread_mutex_unlock(&t->lock);
	return inode;
}

static void reap_all(struct bfs_tasks *t, pid_t pid)
{
	const struct timespec moment = { .tv_nsec = 10 * 1000 * 1000 };
	uint64_t nodeid, start;

	while (next_bound(t, pid, &nodeid, &start))
		if (reap_if_bound(t->fs, nodeid, pid, start) < 0)
			nanosleep(&moment, NULL);
}

void bfs_tasks_wait(struct bfs_tasks *tasks, int timeout_ms)
{
	struct epoll_event event;

	if (epoll_wait(tasks->epoll_fd, &event, 1, timeout_ms) == 1)
		reap_all(tasks, (pid_t)event.data.u64);
}

/* Bind a locked file by its record. 1: its task has ended. */
static int bind_by_record(struct bfs_file *file)
{
	struct bfs_task *task;
	int r;

	if (file->inode->task)
		return 0; /* by a request, meanwhile */
	r = bfs_task_begin(file, &file->record, &task);
	if (r == 0)
		return bfs_task_end(file, task, 0);
	/* The flag stays until the names are gone: see reap(). */
	if (r == -ESRCH)
		return 1;
	bfs_log(LOG_ERR, "a buffer could not be bound to its task again: %s",
		strerror(-r));
	return r;
}

void bfs_task_bind_again(struct bfs_fs *fs, uint64_t nodeid)
{
	BFS_FILE struct bfs_file file = { 0 };
	int r = bfs_file_open(fs, nodeid, O_PATH | O_NOFOLLOW, &file);

	if (r == -ESTALE)
		unbind(fs, nodeid);
	if (r < 0 || bind_by_record(&file) != 1)
		return;
	bfs_file_close(&file);
	while (reap(fs, nodeid) < 0)
		nanosleep(&(struct timespec){ .tv_nsec = 10 * 1000 * 1000 },
			  NULL);
}

static void bind_again(void *context, uint64_t nodeid)
{
	bfs_task_bind_again(context, nodeid);
}

static void finish_last_close(void *context, uint64_t nodeid)
{
	bfs_end_life(context, nodeid);
}

static void *wait_for_ends(void *context)
{
	struct bfs_tasks *t = context;

	pthread_setname_np(pthread_self(), "bufferfs-tasks");
	bfs_inode_each(t->fs->inodes, BFS_SLOT_BOUND, bind_again, t->fs);
	bfs_inode_each(t->fs->inodes, BFS_SLOT_LASTCLOSE, finish_last_close,
		       t->fs);
	for (;;)
		bfs_tasks_wait(t, -1);
	return NULL;
}

int bfs_tasks_start(struct bfs_tasks *tasks)
{
	return bfs_thread_start(wait_for_ends, tasks);
}
