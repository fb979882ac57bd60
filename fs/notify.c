/* SPDX-License-Identifier: MIT */
#include "notify.h"

#include "log.h"
#include "ops.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* A name that is gone. */
struct message {
	struct message *next;
	const struct bfs_fs *fs;
	uint64_t parent, nodeid;
	bool awaited, told;
	char name[NAME_MAX + 1];
};

static struct {
	pthread_mutex_t lock; /* protects what follows */
	pthread_cond_t sent, told;
	struct message *first, **end;
	size_t count;
} queue = {
	.lock = PTHREAD_MUTEX_INITIALIZER,
	.sent = PTHREAD_COND_INITIALIZER,
	.told = PTHREAD_COND_INITIALIZER,
	.end = &queue.first,
};

static struct message *receive(void)
{
	struct message *message;

	pthread_mutex_lock(&queue.lock);
	while (!queue.first)
		pthread_cond_wait(&queue.sent, &queue.lock);
	message = queue.first;
	queue.first = message->next;
	if (!queue.first)
		queue.end = &queue.first;
	queue.count--;
	pthread_mutex_unlock(&queue.lock);
	return message;
}

static void end(struct message *message)
{
	if (!message->awaited) {
		free(message);
		return;
	}
	pthread_mutex_lock(&queue.lock);
	message->told = true;
	pthread_cond_broadcast(&queue.told);
	pthread_mutex_unlock(&queue.lock);
}

static void *tell(void *unused)
{
	for (;;) {
		struct message *m = receive();

		fuse_lowlevel_notify_delete(m->fs->session, m->parent,
					    m->nodeid, m->name,
					    strlen(m->name));
		end(m);
	}
	return unused;
}

static void send(struct message *message)
{
	*queue.end = message;
	queue.end = &message->next;
	queue.count++;
	pthread_cond_signal(&queue.sent);
}

static void send_and_wait(struct message *message)
{
	message->awaited = true;
	pthread_mutex_lock(&queue.lock);
	send(message);
	while (!message->told)
		pthread_cond_wait(&queue.told, &queue.lock);
	pthread_mutex_unlock(&queue.lock);
}

/* A client that holds a directory must not fill our memory with its names. */
static void send_copy(const struct message *message)
{
	enum { COUNT_MAX = 1 << 16 };
	struct message *copy = malloc(sizeof(*copy));

	if (copy)
		*copy = *message;
	pthread_mutex_lock(&queue.lock);
	if (copy && queue.count < COUNT_MAX) {
		send(copy);
		copy = NULL;
	}
	pthread_mutex_unlock(&queue.lock);
	free(copy);
}

static void unlinked(const struct bfs_fs *fs, uint64_t parent, uint64_t nodeid,
		     const char *name)
{
	struct message message = {
		.fs = fs,
		.parent = parent,
		.nodeid = nodeid,
	};

	if (strlen(name) > NAME_MAX)
		return;
	strcpy(message.name, name);
	if (fs->shared->io_uring)
		send_copy(&message);
	else
		send_and_wait(&message);
}

static void changed(const struct bfs_fs *fs, uint64_t nodeid, bool bytes)
{
	/* A negative offset: attributes alone. */
	fuse_lowlevel_notify_inval_inode(fs->session, nodeid, bytes ? 0 : -1, 0);
}

static bool knows(const struct bfs_fs *fs, uint64_t nodeid)
{
	return fuse_lowlevel_notify_inval_inode(fs->session, nodeid, -1, 0) !=
	       -ENOENT;
}

int bfs_notify_start(struct bfs_fs *fs)
{
	pthread_t thread;
	int r = pthread_create(&thread, NULL, tell, NULL);

	if (r)
		return -r;
	pthread_detach(thread);
	fs->notify = (struct bfs_notify){ changed, unlinked, knows };
	return 0;
}
