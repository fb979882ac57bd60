/* SPDX-License-Identifier: MIT */
#include "inode.h"

#include "patience.h"

#include <assert.h>
#include <errno.h>
#include <linux/capability.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* linux/fuse.h, Linux 6.9; older headers lack them. */
struct backing_map {
	int32_t fd;
	uint32_t flags;
	uint64_t padding;
};
#define BACKING_OPEN _IOW(229, 1, struct backing_map)
#define BACKING_CLOSE _IOW(229, 2, uint32_t)

enum { BUCKETS = 1 << 14 };

struct bfs_inode_table {
	struct bfs_shared *shared;
	int fuse_fd;
	pthread_mutex_t backing_lock; /* a leaf: who registers a backing file */
	pthread_mutex_t lock; /* protects all below, and the slots' nodeids */
	struct bfs_inode *buckets[BUCKETS];
	uint32_t *free_slots; /* a stack of slots below slots_used */
	size_t free_count, free_size;
};

#ifdef NDEBUG
static void bfs_inode_check(const struct bfs_inode *inode)
{
	(void)inode;
}
#else
static void bfs_inode_check(const struct bfs_inode *inode)
{
	const struct bfs_slot *slot = inode->slot;

	assert(slot || !inode->wired);
	assert(!inode->charged.owned ||
	       (slot && (slot->flags & BFS_SLOT_CHARGED)));
	assert(!slot || slot->nodeid == inode->nodeid);
	assert(!slot || slot->plain_opens <= slot->opens);
	assert(!inode->task || (slot && (slot->flags & BFS_SLOT_BOUND)));
}
#endif

static struct bfs_inode **find(struct bfs_inode_table *t, uint64_t nodeid)
{
	uint64_t hash = nodeid * UINT64_C(0x9E3779B97F4A7C15);
	struct bfs_inode **link = &t->buckets[hash >> 50];

	static_assert(BUCKETS == 1 << (64 - 50), "the hash has this many bits");
	while (*link && (*link)->nodeid != nodeid)
		link = &(*link)->next;
	return link;
}

static struct bfs_inode *new_inode(uint64_t nodeid)
{
	struct bfs_inode *inode = calloc(1, sizeof(*inode));
	pthread_condattr_t monotonic;

	if (!inode)
		return NULL;
	inode->nodeid = nodeid;
	pthread_mutex_init(&inode->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&inode->released, &monotonic);
	pthread_condattr_destroy(&monotonic);
	return inode;
}

static void close_backing(const struct bfs_inode_table *t, struct bfs_slot *slot)
{
	int32_t id = slot->backing_id;

	/* Closing an id twice is harmless, losing one is not. */
	if (id > 0) {
		ioctl(t->fuse_fd, BACKING_CLOSE, &id);
		slot->backing_id = 0;
	}
}

/* Room for one more free slot is made when a slot is taken: giving one back
 * must not fail. */
static int reserve_free_slot(struct bfs_inode_table *t)
{
	size_t size = t->free_size ? t->free_size * 2 : 64;
	uint32_t *larger;

	if (t->shared->slots_used < t->free_size)
		return 0;
	larger = realloc(t->free_slots, size * sizeof(*larger));
	if (!larger)
		return -ENFILE;
	t->free_slots = larger;
	t->free_size = size;
	return 0;
}

static int take_slot_locked(struct bfs_inode_table *t, struct bfs_inode *inode)
{
	struct bfs_shared *shared = t->shared;
	struct bfs_slot *slot;

	if (t->free_count > 0) {
		slot = &shared->slots[t->free_slots[--t->free_count]];
	} else {
		if (shared->slots_used == BFS_SLOTS_MAX ||
		    reserve_free_slot(t) < 0)
			return -ENFILE;
		slot = &shared->slots[shared->slots_used++];
	}
	slot->backing_id = 0;
	atomic_store(&slot->counts, 0);
	slot->flags = 0;
	atomic_store(&slot->nodeid, inode->nodeid);
	inode->slot = slot;
	return 0;
}

static void give_slot_locked(struct bfs_inode_table *t, struct bfs_inode *inode)
{
	struct bfs_slot *slot = inode->slot;

	inode->slot = NULL;
	close_backing(t, slot);
	atomic_store(&slot->nodeid, 0);
	t->free_slots[t->free_count++] = (uint32_t)(slot - t->shared->slots);
}

/* Give it a slot, of which no more than `most` are to be taken then. */
static int need_slot(struct bfs_inode_table *t, struct bfs_inode *inode,
		     size_t most)
{
	int r = -ENFILE;

	if (inode->slot)
		return 0;
	pthread_mutex_lock(&t->lock);
	if (t->shared->slots_used - t->free_count < most)
		r = take_slot_locked(t, inode);
	pthread_mutex_unlock(&t->lock);
	return r;
}

/* What keeps a slot costs a client nothing but a file, open files are limited:
 * there is always room for these. */
int bfs_inode_take_slot(struct bfs_inode_table *table, struct bfs_inode *inode)
{
	return need_slot(table, inode, BFS_SLOTS_MAX - BFS_SLOTS_MAX / 4);
}

static void note_backing(struct bfs_shared *shared, int32_t id)
{
	if (id > shared->highest_backing_id)
		shared->highest_backing_id = id;
}

/* A worker that counted for a request may have died before it noted that: the
 * slot knows until somebody else counts, or it is given back. */
static void note_last_count(struct bfs_shared *shared,
			    const struct bfs_slot *slot, uint64_t unique)
{
	const uint64_t last = bfs_request_of_tag(slot->request, unique);
	_Atomic uint64_t *noted = &shared->counted[last / 2 % BFS_COUNTED_MAX];

	if (slot->request && *noted < last)
		*noted = last;
}

/* Adopt slot i: an inode for a taken one, the free stack for another. */
static int adopt_slot(struct bfs_inode_table *t, uint32_t i)
{
	struct bfs_slot *slot = &t->shared->slots[i];
	struct bfs_inode **link, *inode;

	if (reserve_free_slot(t) < 0)
		return -ENOMEM;
	if (slot->nodeid) /* what a free one has means nothing */
		note_backing(t->shared, slot->backing_id);
	/* Killed while giving it back: the id may be closed already. */
	if (slot->nodeid && slot->opens == 0) {
		close_backing(t, slot);
		note_last_count(t->shared, slot, t->shared->newest_request);
		if (slot->flags == 0)
			atomic_store(&slot->nodeid, 0);
	}
	link = find(t, slot->nodeid);
	if (*link) /* an inode has one slot */
		atomic_store(&slot->nodeid, 0);
	if (slot->nodeid == 0) {
		t->free_slots[t->free_count++] = i;
		return 0;
	}
	if (!(inode = new_inode(slot->nodeid)))
		return -ENOMEM;
	inode->slot = slot;
	inode->adopted = true;
	*link = inode;
	return 0;
}

/*
 * An id can have been registered and not yet recorded when a worker died: it
 * is at most a few above the highest recorded one. Ids that were never given
 * are refused by the kernel.
 */
static void close_stray_backings(struct bfs_inode_table *t)
{
	enum { STRAYS = 64 };
	const int32_t highest = t->shared->highest_backing_id;

	static_assert(BFS_BACKING_ID_MAX <= INT32_MAX - STRAYS, "they are ids");
	for (int32_t i = 1; i <= STRAYS; i++) {
		const int32_t id = highest + i;

		ioctl(t->fuse_fd, BACKING_CLOSE, &id);
	}
}

void bfs_inode_table_destroy(struct bfs_inode_table *table)
{
	struct bfs_inode *next;

	if (!table)
		return;
	for (size_t i = 0; i < BUCKETS; i++)
		for (struct bfs_inode *inode = table->buckets[i]; inode;
		     inode = next) {
			next = inode->next;
			iobuf_release(inode->wired);
			free(inode);
		}
	free(table->free_slots);
	free(table);
}

int bfs_inode_table_create(struct bfs_shared *shared, int fuse_fd,
			   struct bfs_inode_table **ret_table)
{
	struct bfs_inode_table *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	t->shared = shared;
	t->fuse_fd = fuse_fd;
	pthread_mutex_init(&t->lock, NULL);
	pthread_mutex_init(&t->backing_lock, NULL);
	for (uint32_t i = 0; i < shared->slots_used; i++) {
		int r = adopt_slot(t, i);

		if (r < 0) {
			bfs_inode_table_destroy(t);
			return r;
		}
	}
	if (shared->agreed && shared->passthrough)
		close_stray_backings(t);
	*ret_table = t;
	return 0;
}

struct bfs_inode *bfs_inode_lock(struct bfs_inode_table *table, uint64_t nodeid)
{
	struct bfs_inode **link, *inode;

	pthread_mutex_lock(&table->lock);
	link = find(table, nodeid);
	if (!*link)
		*link = new_inode(nodeid);
	if ((inode = *link))
		inode->users++;
	pthread_mutex_unlock(&table->lock);
	if (inode)
		pthread_mutex_lock(&inode->lock);
	return inode;
}

static bool is_idle(const struct bfs_inode *inode)
{
	const struct bfs_slot *slot = inode->slot;

	return !inode->wired &&
	       (!slot || (slot->opens == 0 && slot->flags == 0));
}

void bfs_inode_unlock(struct bfs_inode_table *table, struct bfs_inode *inode)
{
	bool idle;

	bfs_inode_check(inode);
	pthread_mutex_lock(&table->lock);
	idle = --inode->users == 0 && is_idle(inode);
	if (idle) {
		if (inode->slot)
			give_slot_locked(table, inode);
		*find(table, inode->nodeid) = inode->next;
	}
	pthread_mutex_unlock(&table->lock);
	pthread_mutex_unlock(&inode->lock);
	if (idle) {
		pthread_cond_destroy(&inode->released);
		pthread_mutex_destroy(&inode->lock);
		free(inode);
	}
}

bool bfs_inode_is_known(struct bfs_inode_table *table, uint64_t nodeid)
{
	bool known;

	pthread_mutex_lock(&table->lock);
	known = *find(table, nodeid) != NULL;
	pthread_mutex_unlock(&table->lock);
	return known;
}

/*
 * The kernel writes to a backing file with the rights of whoever registered it,
 * and a write by CAP_FSETID leaves set-ID bits alone: this thread does without
 * it for the moment.
 */
struct capabilities {
	struct __user_cap_header_struct header;
	struct __user_cap_data_struct data[2];
};

/* False: it had none to drop, and nothing is to be restored. */
static bool drop_fsetid(struct capabilities *ret_former)
{
	const uint32_t bit = 1u << CAP_FSETID;
	struct capabilities c = {
		.header.version = _LINUX_CAPABILITY_VERSION_3,
	};

	if (syscall(SYS_capget, &c.header, c.data) < 0 ||
	    !(c.data[0].effective & bit))
		return false;
	*ret_former = c;
	c.data[0].effective &= ~bit;
	return syscall(SYS_capset, &c.header, c.data) == 0;
}

static int open_backing(const struct bfs_inode_table *t, int fd)
{
	struct backing_map map = { .fd = fd };
	struct capabilities former;
	const bool dropped = drop_fsetid(&former);
	int id = ioctl(t->fuse_fd, BACKING_OPEN, &map);

	if (id < 0)
		id = -errno;
	if (dropped)
		syscall(SYS_capset, &former.header, former.data);
	return id ? id : -EIO;
}

bool bfs_backing_works(int fuse_fd, int fd)
{
	const struct bfs_inode_table t = { .fuse_fd = fuse_fd };
	int32_t id = open_backing(&t, fd);

	if (id > 0)
		ioctl(fuse_fd, BACKING_CLOSE, &id);
	return id > 0;
}

/* One inode, one id: the kernel answers EIO to a second. */
static int need_backing(struct bfs_inode_table *t, struct bfs_slot *slot, int fd)
{
	int id = slot->backing_id;

	if (id > 0)
		return id;
	/* One at a time, and the slot has it before it is the highest: what the
	 * kernel gave and no slot has is above that. */
	pthread_mutex_lock(&t->backing_lock);
	if ((id = open_backing(t, fd)) > 0) {
		slot->backing_id = id;
		atomic_signal_fence(memory_order_seq_cst);
		note_backing(t->shared, id);
	}
	pthread_mutex_unlock(&t->backing_lock);
	return id;
}

/* Change the counts in one store. */
static void count(struct bfs_inode_table *t, struct bfs_inode *inode,
		  uint64_t opens, uint64_t plain_opens, uint64_t unique)
{
	struct bfs_slot next = { .counts = 0 };

	if (inode->adopted && unique)
		note_last_count(t->shared, inode->slot, unique);
	inode->adopted = false;
	next.opens = opens;
	next.plain_opens = plain_opens < opens ? plain_opens : opens;
	next.request = bfs_request_tag(unique);
	atomic_store(&inode->slot->counts, atomic_load(&next.counts));
}

bool bfs_inode_has_counted(const struct bfs_inode *inode, uint64_t unique)
{
	return inode->slot && inode->slot->request == bfs_request_tag(unique);
}

int bfs_inode_add_open(struct bfs_inode_table *table, struct bfs_inode *inode,
		       int data_fd, bool plain, uint64_t unique)
{
	int id = 0, r = need_slot(table, inode, BFS_SLOTS_MAX);

	if (r < 0)
		return r;
	if (data_fd >= 0 &&
	    (id = need_backing(table, inode->slot, data_fd)) < 0)
		return id;
	count(table, inode, inode->slot->opens + 1u,
	      inode->slot->plain_opens + (plain ? 1u : 0u), unique);
	return id;
}

void bfs_inode_drop_open(struct bfs_inode_table *table, struct bfs_inode *inode,
			 bool plain, uint64_t unique)
{
	struct bfs_slot *slot = inode->slot;

	if (!slot || slot->opens == 0)
		return;
	/* First: a worker that dies after it has counted is not asked again. */
	if (slot->opens == 1) {
		slot->flags &= ~(uint32_t)(BFS_SLOT_FILLING | BFS_SLOT_NEW);
		atomic_signal_fence(memory_order_seq_cst);
	}
	count(table, inode, slot->opens - 1u,
	      slot->plain_opens - (plain && slot->plain_opens ? 1u : 0u), unique);
	/* The memory of an unlinked buffer must not wait for an id. */
	if (slot->opens == 0)
		close_backing(table, slot);
	pthread_cond_broadcast(&inode->released);
}

void bfs_inode_wait_for_release(struct bfs_inode_table *table,
				struct bfs_inode *inode, bool plain_only)
{
	enum { WAITING_MAX = 64 };
	static atomic_uint waiting; /* each has a thread, which others need too */
	struct bfs_patience patience;

	bfs_patience_begin(&patience, table->shared);
	if (atomic_fetch_add(&waiting, 1) < WAITING_MAX)
		while (inode->slot &&
		       (plain_only ? inode->slot->plain_opens
				   : inode->slot->opens) &&
		       bfs_patience_wait(&patience, &inode->released,
					 &inode->lock))
			;
	atomic_fetch_sub(&waiting, 1);
}

static uint32_t slots_used(struct bfs_inode_table *t)
{
	uint32_t used;

	pthread_mutex_lock(&t->lock);
	used = t->shared->slots_used;
	pthread_mutex_unlock(&t->lock);
	return used;
}

/* A slot's flags belong to whoever holds the inode's lock. */
static bool has_flags(struct bfs_inode_table *t, uint64_t nodeid,
		      uint32_t flags)
{
	struct bfs_inode *inode = bfs_inode_lock(t, nodeid);
	bool has;

	if (!inode)
		return false;
	has = inode->slot && (inode->slot->flags & flags);
	bfs_inode_unlock(t, inode);
	return has;
}

void bfs_inode_each(struct bfs_inode_table *table, uint32_t flags,
		    void (*visit)(void *context, uint64_t nodeid),
		    void *context)
{
	for (uint32_t i = 0; i < slots_used(table); i++) {
		uint64_t nodeid = atomic_load(&table->shared->slots[i].nodeid);

		if (nodeid && has_flags(table, nodeid, flags))
			visit(context, nodeid);
	}
}

void bfs_inode_each_slot(struct bfs_inode_table *table,
			 void (*visit)(void *context, uint64_t nodeid),
			 void *context)
{
	for (uint32_t i = 0; i < slots_used(table); i++) {
		uint64_t nodeid = atomic_load(&table->shared->slots[i].nodeid);

		if (nodeid)
			visit(context, nodeid);
	}
}
