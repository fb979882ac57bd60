/* SPDX-License-Identifier: MIT */
#include "shared.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static int map(int fd, struct bfs_shared **ret_shared)
{
	void *p = mmap(NULL, sizeof(struct bfs_shared), PROT_READ | PROT_WRITE,
		       MAP_SHARED, fd, 0);

	if (p == MAP_FAILED)
		return -errno;
	*ret_shared = p;
	return 0;
}

int bfs_shared_create(struct bfs_shared **ret_shared)
{
	int fd = memfd_create("bufferfs-shared", MFD_CLOEXEC);
	int r;

	if (fd < 0)
		return -errno;
	r = ftruncate(fd, sizeof(struct bfs_shared)) < 0 ? -errno
							 : map(fd, ret_shared);
	if (r < 0) {
		close(fd);
		return r;
	}
	(*ret_shared)->magic = BFS_SHARED_MAGIC;
	(*ret_shared)->version = BFS_SHARED_VERSION;
	return fd;
}

static bool is_text(const char *text, size_t size)
{
	return memchr(text, '\0', size) != NULL;
}

/* Whatever it is, it must not be looked at as a bool before. */
static bool is_bool(const bool *value)
{
	unsigned char byte;

	memcpy(&byte, value, 1);
	return byte <= 1;
}

static bool is_sound_config(const struct bfs_config *c)
{
	return is_text(c->mountpoint, sizeof(c->mountpoint)) &&
	       is_text(c->pool, sizeof(c->pool)) &&
	       is_text(c->options, sizeof(c->options)) &&
	       is_text(c->size, sizeof(c->size)) &&
	       is_text(c->fsname, sizeof(c->fsname)) && is_bool(&c->own_pool) &&
	       is_bool(&c->adopted_pool) && is_bool(&c->reads_pool) &&
	       is_bool(&c->keep) && is_bool(&c->allow_other) &&
	       is_bool(&c->io_uring) && is_bool(&c->foreground) &&
	       is_bool(&c->debug);
}

/* With the kernel. */
static bool is_sound_agreement(const struct bfs_shared *s)
{
	return s->init_size <= BFS_INIT_REQUEST_MAX &&
	       s->init_reply_size <= BFS_INIT_REPLY_MAX &&
	       is_bool(&s->agreed) && is_bool(&s->agreed_passthrough) &&
	       is_bool(&s->passthrough) && is_bool(&s->io_uring);
}

static bool is_sound_id(int32_t backing_id)
{
	return backing_id >= 0 && backing_id <= BFS_BACKING_ID_MAX;
}

static bool is_sound_slot(const struct bfs_slot *slot)
{
	return !slot->nodeid || (!(slot->flags & ~(uint32_t)BFS_SLOT_FLAGS) &&
				 slot->plain_opens <= slot->opens &&
				 is_sound_id(slot->backing_id));
}

/* Where nobody can say how many slots are in use: up to the last that is. */
static uint32_t count_slots(const struct bfs_shared *shared)
{
	uint32_t n = BFS_SLOTS_MAX;

	while (n > 0 && !shared->slots[n - 1].nodeid)
		n--;
	return n;
}

static bool mend_slots(struct bfs_shared *shared)
{
	bool mended = shared->slots_used > BFS_SLOTS_MAX;

	if (mended)
		shared->slots_used = count_slots(shared);
	for (uint32_t i = 0; i < shared->slots_used; i++)
		if (!is_sound_slot(&shared->slots[i])) {
			shared->slots[i].nodeid = 0;
			shared->slots[i].backing_id = 0;
			mended = true;
		}
	return mended;
}

static int by_id(const void *a, const void *b)
{
	const int32_t x = (*(struct bfs_slot *const *)a)->backing_id;
	const int32_t y = (*(struct bfs_slot *const *)b)->backing_id;

	return (x > y) - (x < y);
}

/* Of slots by their ids: nobody can say whose an id is that several have. */
static bool forget_shared_ids(struct bfs_slot **slots, size_t count)
{
	bool mended = false;

	for (size_t i = 0, n; i < count; i += n) {
		for (n = 1; i + n < count && !by_id(&slots[i], &slots[i + n]);)
			n++;
		mended |= n > 1;
		for (size_t j = i; n > 1 && j < i + n; j++)
			slots[j]->nodeid = 0;
	}
	return mended;
}

/* An id is of one inode, or an open of this one reaches another's bytes. */
static bool mend_ids(struct bfs_shared *shared)
{
	struct bfs_slot **slots = calloc(shared->slots_used + 1u,
					 sizeof(*slots));
	size_t count = 0;
	bool mended;

	for (uint32_t i = 0; slots && i < shared->slots_used; i++)
		if (shared->slots[i].nodeid && shared->slots[i].backing_id)
			slots[count++] = &shared->slots[i];
	if (count)
		qsort(slots, count, sizeof(*slots), by_id);
	mended = forget_shared_ids(slots, count);
	free(slots);
	return mended;
}

static bool mend_attempts(struct bfs_shared *shared)
{
	bool mended = false;

	for (uint32_t i = 0; i < BFS_COUNTED_MAX; i++)
		if (!is_bool((const bool *)&shared->attempts[i].waits)) {
			shared->attempts[i] = (struct bfs_attempts){ 0 };
			mended = true;
		}
	return mended;
}

bool bfs_shared_mend(struct bfs_shared *shared)
{
	bool mended = mend_slots(shared);

	if (!is_bool(&shared->crashed) || !is_bool(&shared->counted_pool)) {
		shared->crashed = true;
		mended = true;
	}
	if (!is_sound_id(shared->highest_backing_id)) {
		shared->highest_backing_id = 0;
		mended = true;
	}
	mended |= mend_ids(shared);
	mended |= mend_attempts(shared);
	if (mended) {
		shared->counted_pool = false;
		shared->config.adopted_pool = !shared->config.reads_pool;
	}
	return mended;
}

static int check_mapped(const struct bfs_shared *shared)
{
	if (shared->magic != BFS_SHARED_MAGIC ||
	    shared->version != BFS_SHARED_VERSION)
		return -EINVAL;
	return is_sound_config(&shared->config) && is_sound_agreement(shared)
		       ? 0
		       : -EUCLEAN;
}

int bfs_shared_map(int fd, struct bfs_shared **ret_shared)
{
	struct bfs_shared *shared = NULL;
	struct stat st;
	int r;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (st.st_size != sizeof(struct bfs_shared))
		return -EINVAL;
	if ((r = map(fd, &shared)) < 0)
		return r;
	if ((r = check_mapped(shared)) < 0) {
		munmap(shared, sizeof(*shared));
		return r;
	}
	*ret_shared = shared;
	return 0;
}
