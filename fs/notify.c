/* SPDX-License-Identifier: MIT */
#include "notify.h"

#include "ops.h"
#include "thread.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A name that is gone. */
struct message {
	struct message *next;
	uint64_t parent, nodeid;
	char name[NAME_MAX + 1];
};

/*
 * Messages of some directories, in their order, and the thread that tells them,
 * once there was one. A directory that somebody holds keeps up no others but
 * those of its lane.
 */
enum { LANES = 16, MESSAGES_MAX = 4096 };

static struct lane {
	const struct bfs_fs *fs;
	pthread_mutex_t lock; /* protects what follows */
	pthread_cond_t sent;
	struct message *first, **end;
	size_t count;
	bool has_thread;
} lanes[LANES];

static struct message *receive(struct lane *lane)
{
	struct message *message;

	pthread_mutex_lock(&lane->lock);
	while (!lane->first)
		pthread_cond_wait(&lane->sent, &lane->lock);
	message = lane->first;
	lane->first = message->next;
	if (!lane->first)
		lane->end = &lane->first;
	lane->count--;
	pthread_mutex_unlock(&lane->lock);
	return message;
}

static void *tell(void *argument)
{
	struct lane *lane = argument;

	for (;;) {
		struct message *m = receive(lane);

		fuse_lowlevel_notify_delete(lane->fs->session, m->parent,
					    m->nodeid, m->name,
					    strlen(m->name));
		free(m);
	}
	return NULL;
}

/* False: there are so many that the next one has to go untold. */
static bool send(struct lane *lane, struct message *message)
{
	bool sent;

	pthread_mutex_lock(&lane->lock);
	if (!lane->has_thread)
		lane->has_thread = bfs_thread_start(tell, lane) == 0;
	sent = lane->has_thread && lane->count < MESSAGES_MAX;
	if (sent) {
		*lane->end = message;
		lane->end = &message->next;
		lane->count++;
		pthread_cond_signal(&lane->sent);
	}
	pthread_mutex_unlock(&lane->lock);
	return sent;
}

static struct lane *lane_of(uint64_t parent)
{
	return &lanes[parent * UINT64_C(0x9E3779B97F4A7C15) >> 60];
}

static void unlinked(const struct bfs_fs *fs, uint64_t parent, uint64_t nodeid,
		     const char *name)
{
	struct message *message = calloc(1, sizeof(*message));

	(void)fs;
	if (!message)
		return;
	message->parent = parent;
	message->nodeid = nodeid;
	snprintf(message->name, sizeof(message->name), "%s", name);
	if (!send(lane_of(parent), message))
		free(message);
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

void bfs_notify_start(struct bfs_fs *fs)
{
	static_assert(LANES == 1 << (64 - 60), "the hash has this many bits");
	for (size_t i = 0; i < LANES; i++) {
		struct lane *lane = &lanes[i];

		lane->fs = fs;
		lane->end = &lane->first;
		pthread_mutex_init(&lane->lock, NULL);
		pthread_cond_init(&lane->sent, NULL);
	}
	fs->notify = (struct bfs_notify){ changed, unlinked, knows };
}
