/* SPDX-License-Identifier: MIT */
#include "headroom.h"

#include "clock.h"
#include "log.h"
#include "room.h"

#include <errno.h>
#include <linux/magic.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/statfs.h>

struct bfs_headroom {
	pthread_mutex_t lock; /* a leaf; protects all */
	struct bfs_places places;
	uint64_t opened_ns; /* when they were: we may be in another group now */
	uint64_t looked_ns;
	uint64_t left;      /* bytes, of the place that has least */
	const char *where;
};

static __thread uint64_t missing_bytes;

static void open_places(struct bfs_headroom *h, uint64_t now)
{
	bfs_places_open(&h->places, -1);
	h->opened_ns = now;
}

int bfs_headroom_create(int pool_fd, struct bfs_headroom **ret_headroom)
{
	struct bfs_headroom *h;
	struct statfs st;

	*ret_headroom = NULL;
	if (fstatfs(pool_fd, &st) == 0 && st.f_type != TMPFS_MAGIC &&
	    st.f_type != RAMFS_MAGIC)
		return 0;
	if (!(h = calloc(1, sizeof(*h))))
		return -ENOMEM;
	pthread_mutex_init(&h->lock, NULL);
	open_places(h, bfs_now_ns());
	*ret_headroom = h;
	return 0;
}

void bfs_headroom_destroy(struct bfs_headroom *headroom)
{
	if (!headroom)
		return;
	bfs_places_close(&headroom->places);
	pthread_mutex_destroy(&headroom->lock);
	free(headroom);
}

/* What the kernel and we need beside the pages. A worker that comes after another
 * has to find what it needs where buffers have taken all they could. */
static uint64_t margin(uint64_t bytes)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	const uint64_t own = UINT64_C(32) << 20; /* most of it the sanitizer's */
#else
	const uint64_t own = UINT64_C(2) << 20;
#endif

	return bytes / 256 + own;
}

static void look(struct bfs_headroom *h, uint64_t now)
{
	uint64_t swap = 0;

	if (now - h->opened_ns >= BFS_NS_PER_S)
		open_places(h, now);
	h->looked_ns = now;
	h->left = UINT64_MAX;
	for (unsigned int i = 0; i < h->places.count; i++) {
		const struct bfs_place *place = &h->places.list[i];
		struct bfs_room room;

		if (bfs_place_look(place, &room) < 0 || !room.total)
			continue;
		swap += room.swap;
		if (room.left + swap >= h->left)
			continue;
		h->left = room.left + swap;
		h->where = place->name;
	}
}

/* How many are missing; 0: they are taken. */
static uint64_t take(struct bfs_headroom *h, uint64_t bytes, uint64_t *ret_left)
{
	enum { LOOK_NS = 100 * 1000 * 1000 };
	const uint64_t needed = bytes + margin(bytes);
	const uint64_t now = bfs_now_ns();
	uint64_t missing = 0;

	pthread_mutex_lock(&h->lock);
	if (needed > h->left || now - h->looked_ns >= LOOK_NS)
		look(h, now);
	*ret_left = h->left;
	if (needed > h->left)
		missing = needed - h->left;
	else
		h->left -= bytes;
	pthread_mutex_unlock(&h->lock);
	return missing;
}

bool bfs_headroom_try(struct bfs_headroom *headroom, uint64_t bytes)
{
	uint64_t left;

	return !headroom || !bytes || take(headroom, bytes, &left) == 0;
}

int bfs_headroom_take(struct bfs_headroom *headroom, uint64_t bytes)
{
	uint64_t left;

	missing_bytes = 0;
	if (!headroom || !bytes ||
	    (missing_bytes = take(headroom, bytes, &left)) == 0)
		return 0;
	bfs_log_refusal("%llu bytes more than %s has left, which are %llu",
			(unsigned long long)bytes, headroom->where,
			(unsigned long long)left);
	return -ENOMEM;
}

uint64_t bfs_headroom_missing(void)
{
	const uint64_t missing = missing_bytes;

	missing_bytes = 0;
	return missing;
}
