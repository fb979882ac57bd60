/* SPDX-License-Identifier: MIT */
#include "purge_queue.h"

#include "inode.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

enum { GROUPS = 8, ORDERS = 2 };

/* Buffers of one group and order, the one that is volatile for longest first. */
struct list {
	struct bfs_inode *first, *last;
};

struct bfs_purge_queue {
	pthread_mutex_t lock; /* protects what follows, and the inodes' links */
	struct list lists[GROUPS][ORDERS];
	uint64_t latest;      /* moment that was given last */
	unsigned int purging; /* threads that are */
	uint64_t purged;      /* how many times memory was given back */
	pthread_cond_t ended; /* one was purged */
	_Atomic size_t count; /* changed under `lock` */
	_Atomic uint64_t bytes;
	int fd;
};

int bfs_purge_queue_create(struct bfs_purge_queue **ret_queue)
{
	struct bfs_purge_queue *queue = calloc(1, sizeof(*queue));

	if (!queue)
		return -ENOMEM;
	queue->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (queue->fd < 0) {
		int error = errno;

		free(queue);
		return -error;
	}
	pthread_mutex_init(&queue->lock, NULL);
	pthread_cond_init(&queue->ended, NULL);
	*ret_queue = queue;
	return 0;
}

void bfs_purge_queue_destroy(struct bfs_purge_queue *queue)
{
	if (!queue)
		return;
	close(queue->fd);
	pthread_cond_destroy(&queue->ended);
	pthread_mutex_destroy(&queue->lock);
	free(queue);
}

int bfs_purge_queue_fd(const struct bfs_purge_queue *queue)
{
	return queue->fd;
}

static struct list *list_of(struct bfs_purge_queue *queue, uint32_t state)
{
	const uint32_t group = (state & IOBUF_VOLATILE_GROUP_MASK) >>
			       IOBUF_VOLATILE_GROUP_SHIFT;

	static_assert(IOBUF_VOLATILE_GROUP_MASK >> IOBUF_VOLATILE_GROUP_SHIFT ==
			      GROUPS - 1,
		      "a list for each group");
	return &queue->lists[group][(state & IOBUF_VOLATILE_ORDER_MASK) ==
				    IOBUF_VOLATILE_LIFO];
}

/* By age; what comes is nearly always the youngest. */
static void insert(struct list *list, struct bfs_inode *inode)
{
	struct bfs_volatile *v = &inode->purge;
	struct bfs_inode *before = list->last;

	while (before && before->purge.since > v->since)
		before = before->purge.previous;
	v->previous = before;
	v->next = before ? before->purge.next : list->first;
	*(before ? &before->purge.next : &list->first) = inode;
	*(v->next ? &v->next->purge.previous : &list->last) = inode;
}

static void take_out(struct bfs_purge_queue *queue, struct bfs_inode *inode)
{
	struct bfs_volatile *v = &inode->purge;
	struct list *list = list_of(queue, v->state);

	if (!v->state)
		return;
	*(v->previous ? &v->previous->purge.next : &list->first) = v->next;
	*(v->next ? &v->next->purge.previous : &list->last) = v->previous;
	atomic_fetch_sub(&queue->count, 1);
	atomic_fetch_sub(&queue->bytes, v->bytes);
	*v = (struct bfs_volatile){ 0 };
}

/* Whoever waits for the first one; it may be awake already. */
static void wake(const struct bfs_purge_queue *queue)
{
	(void)!eventfd_write(queue->fd, 1);
}

/* Its place is the same, and looking for it from the youngest on takes long
 * where many are younger: a client could have us do that for each write. */
static bool stays(struct bfs_purge_queue *queue, struct bfs_inode *inode,
		  uint32_t state, uint64_t since, uint64_t bytes)
{
	struct bfs_volatile *v = &inode->purge;

	if (v->state != state || v->since != since)
		return false;
	atomic_fetch_add(&queue->bytes, bytes - v->bytes);
	v->bytes = bytes;
	return true;
}

void bfs_purge_queue_put(struct bfs_purge_queue *queue, struct bfs_inode *inode,
			 uint32_t state, uint64_t since, uint64_t bytes)
{
	bool first;

	pthread_mutex_lock(&queue->lock);
	if (stays(queue, inode, state, since, bytes)) {
		pthread_mutex_unlock(&queue->lock);
		return;
	}
	take_out(queue, inode);
	inode->purge = (struct bfs_volatile){
		.state = state,
		.since = since,
		.bytes = bytes,
	};
	insert(list_of(queue, state), inode);
	atomic_fetch_add(&queue->bytes, bytes);
	first = atomic_fetch_add(&queue->count, 1) == 0;
	pthread_mutex_unlock(&queue->lock);
	if (first)
		wake(queue);
}

void bfs_purge_queue_remove(struct bfs_purge_queue *queue,
			    struct bfs_inode *inode)
{
	if (!inode->purge.state)
		return;
	pthread_mutex_lock(&queue->lock);
	take_out(queue, inode);
	pthread_mutex_unlock(&queue->lock);
}

uint64_t bfs_purge_queue_next(struct bfs_purge_queue *queue)
{
	const struct bfs_inode *inode = NULL;
	uint64_t nodeid;

	pthread_mutex_lock(&queue->lock);
	for (unsigned int group = 0; group < GROUPS && !inode; group++) {
		inode = queue->lists[group][0].first;
		if (!inode)
			inode = queue->lists[group][1].last;
	}
	nodeid = inode ? inode->nodeid : 0;
	pthread_mutex_unlock(&queue->lock);
	return nodeid;
}

void bfs_purge_queue_begin(struct bfs_purge_queue *queue)
{
	pthread_mutex_lock(&queue->lock);
	queue->purging++;
	pthread_mutex_unlock(&queue->lock);
}

void bfs_purge_queue_end(struct bfs_purge_queue *queue, uint64_t bytes)
{
	pthread_mutex_lock(&queue->lock);
	queue->purging--;
	queue->purged += bytes > 0;
	pthread_cond_broadcast(&queue->ended);
	pthread_mutex_unlock(&queue->lock);
}

bool bfs_purge_queue_wait(struct bfs_purge_queue *queue, uint64_t *seen)
{
	bool changed;

	pthread_mutex_lock(&queue->lock);
	while (queue->purging > 0 && queue->purged == *seen)
		pthread_cond_wait(&queue->ended, &queue->lock);
	changed = queue->purged != *seen;
	*seen = queue->purged;
	pthread_mutex_unlock(&queue->lock);
	return changed;
}

uint64_t bfs_purge_queue_moment(struct bfs_purge_queue *queue)
{
	struct timespec now;
	uint64_t moment;

	clock_gettime(CLOCK_BOOTTIME, &now);
	moment = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
	pthread_mutex_lock(&queue->lock);
	if (moment <= queue->latest)
		moment = queue->latest + 1;
	queue->latest = moment;
	pthread_mutex_unlock(&queue->lock);
	return moment;
}

size_t bfs_purge_queue_count(const struct bfs_purge_queue *queue)
{
	return atomic_load(&queue->count);
}

uint64_t bfs_purge_queue_bytes(const struct bfs_purge_queue *queue)
{
	return atomic_load(&queue->bytes);
}
