/* SPDX-License-Identifier: MIT */
#include "limit.h"

#include "log.h"
#include "patience.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <time.h>

struct owner {
	struct owner *next;
	uid_t uid;
	unsigned int waiting; /* for bytes to be given back */
	uint64_t used;
};

enum { BUCKETS = 256 };

struct bfs_owners {
	uint64_t max;              /* constant */
	pthread_mutex_t lock;      /* a leaf; protects what follows */
	pthread_cond_t released;   /* bytes were given back */
	struct owner *buckets[BUCKETS];
};

int bfs_owners_create(uint64_t max, struct bfs_owners **ret_owners)
{
	struct bfs_owners *o = calloc(1, sizeof(*o));
	pthread_condattr_t monotonic;

	if (!o)
		return -ENOMEM;
	o->max = max;
	pthread_mutex_init(&o->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&o->released, &monotonic);
	pthread_condattr_destroy(&monotonic);
	*ret_owners = o;
	return 0;
}

void bfs_owners_destroy(struct bfs_owners *owners)
{
	if (!owners)
		return;
	for (size_t i = 0; i < BUCKETS; i++)
		for (struct owner *e = owners->buckets[i], *next; e; e = next) {
			next = e->next;
			free(e);
		}
	pthread_cond_destroy(&owners->released);
	pthread_mutex_destroy(&owners->lock);
	free(owners);
}

/* The link that points at the owner, or at the end of its chain. */
static struct owner **find(struct bfs_owners *o, uid_t uid)
{
	struct owner **link = &o->buckets[uid % BUCKETS];

	while (*link && (*link)->uid != uid)
		link = &(*link)->next;
	return link;
}

static struct owner *need_owner(struct bfs_owners *o, uid_t uid)
{
	struct owner **link = find(o, uid);

	if (!*link && (*link = calloc(1, sizeof(**link))))
		(*link)->uid = uid;
	return *link;
}

/* Who has nothing, and waits for nothing, needs no entry. */
static void forget_idle(struct bfs_owners *o, struct owner *e)
{
	if (e->used || e->waiting)
		return;
	*find(o, e->uid) = e->next;
	free(e);
}

static bool has_room(const struct bfs_owners *o, const struct owner *e,
		     uint64_t bytes)
{
	return e->used <= o->max && bytes <= o->max - e->used;
}

/* A user who asks for too much from very many threads must not have all of
 * ours wait for him. */
static bool wait_for_room(struct bfs_owners *o, struct owner *e, uint64_t bytes)
{
	enum { WAITING_MAX = 4 };
	struct bfs_patience patience;

	if (bytes > o->max || e->waiting == WAITING_MAX)
		return false;
	e->waiting++;
	bfs_patience_begin(&patience, NULL);
	while (!has_room(o, e, bytes) &&
	       bfs_patience_wait(&patience, &o->released, &o->lock))
		;
	e->waiting--;
	return has_room(o, e, bytes);
}

int bfs_owners_charge(struct bfs_owners *owners, uid_t uid, uint64_t bytes)
{
	struct owner *e;
	uint64_t used = 0;
	int r = -ENOMEM;

	pthread_mutex_lock(&owners->lock);
	if ((e = need_owner(owners, uid))) {
		r = has_room(owners, e, bytes) || wait_for_room(owners, e, bytes)
			    ? 0
			    : -EDQUOT;
		e->used += r == 0 ? bytes : 0;
		used = e->used;
		forget_idle(owners, e);
	}
	pthread_mutex_unlock(&owners->lock);
	if (r == -EDQUOT)
		bfs_log_refusal("%llu bytes more are over the limit of user %u: "
				"%llu of %llu are in use; raise -o user_max=",
				(unsigned long long)bytes, uid,
				(unsigned long long)used,
				(unsigned long long)owners->max);
	return r;
}

int bfs_owners_count(struct bfs_owners *owners, uid_t uid, uint64_t bytes)
{
	struct owner *e;

	pthread_mutex_lock(&owners->lock);
	if ((e = need_owner(owners, uid))) {
		e->used += bytes;
		forget_idle(owners, e);
	}
	pthread_mutex_unlock(&owners->lock);
	return e ? 0 : -ENOMEM;
}

void bfs_owners_uncharge(struct bfs_owners *owners, uid_t uid, uint64_t bytes)
{
	struct owner *e;

	if (bytes == 0)
		return;
	pthread_mutex_lock(&owners->lock);
	if ((e = *find(owners, uid))) {
		e->used -= bytes < e->used ? bytes : e->used;
		if (e->waiting)
			pthread_cond_broadcast(&owners->released);
		forget_idle(owners, e);
	}
	pthread_mutex_unlock(&owners->lock);
}

uint64_t bfs_owners_used(struct bfs_owners *owners, uid_t uid)
{
	const struct owner *e;
	uint64_t used;

	pthread_mutex_lock(&owners->lock);
	e = *find(owners, uid);
	used = e ? e->used : 0;
	pthread_mutex_unlock(&owners->lock);
	return used;
}
