/* SPDX-License-Identifier: MIT */
#include "purge.h"

#include "fd.h"
#include "file_internal.h"
#include "headroom.h"
#include "journal.h"
#include "log.h"
#include "walk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

enum { BLOCK_BYTES = 512 };

uint32_t bfs_record_purgeable(const struct bfs_record *record)
{
	if (!(record->spec.options & IOBUF_PURGEABLE))
		return 0;
	return record->purgeable ? record->purgeable
				 : IOBUF_PURGEABLE_NONVOLATILE;
}

static bool is_volatile(const struct bfs_record *record)
{
	return (bfs_record_purgeable(record) & IOBUF_PURGEABLE_STATE_MASK) ==
	       IOBUF_PURGEABLE_VOLATILE;
}

/* Keep the slot's flag, for the next worker; false when there is no slot. */
static bool mark(struct bfs_fs *fs, struct bfs_inode *inode, bool marked)
{
	if (marked && bfs_inode_take_slot(fs->inodes, inode) < 0)
		return false;
	if (marked)
		inode->slot->flags |= BFS_SLOT_VOLATILE;
	else if (inode->slot)
		inode->slot->flags &= ~(uint32_t)BFS_SLOT_VOLATILE;
	return true;
}

void bfs_purge_unqueue(struct bfs_fs *fs, struct bfs_inode *inode)
{
	bfs_purge_queue_remove(fs->purge, inode);
	mark(fs, inode, false);
}

static uint64_t allocated_bytes(const struct bfs_file *file)
{
	struct stat st;

	return fstat(file->fd, &st) < 0 ? 0 : (uint64_t)st.st_blocks * BLOCK_BYTES;
}

void bfs_purge_requeue(struct bfs_file *file)
{
	const struct bfs_record *record = &file->record;
	struct bfs_inode *inode = file->inode;

	if (is_volatile(record) && mark(file->fs, inode, true)) {
		bfs_purge_queue_put(file->fs->purge, inode, record->purgeable,
				    record->volatile_since,
				    allocated_bytes(file));
		return;
	}
	bfs_purge_unqueue(file->fs, inode);
	if (record->flags & BFS_RECORD_PURGING)
		mark(file->fs, inode, true);
}

/* Call one of the descriptor's halves of purging. */
static int with_buffer(struct bfs_file *file, int (*work)(struct iobuf *))
{
	struct iobuf *buffer;
	int r = bfs_file_borrow_buffer(file, &buffer);

	if (r < 0)
		return r;
	r = work(buffer);
	bfs_file_put_buffer(file, buffer);
	return r;
}

/* Discard what is left, and say that nothing is. */
static int finish_purge(struct bfs_file *file)
{
	struct bfs_record record = file->record;
	int r = with_buffer(file, iobuf_discard);

	if (r < 0)
		return r;
	record.flags &= ~(uint32_t)BFS_RECORD_PURGING;
	return bfs_file_store(file, &record);
}

/* Empty a buffer; the record first, see purge.h. */
static int empty(struct bfs_file *file, uint64_t *ret_bytes)
{
	const struct bfs_record old = file->record;
	const uint64_t bytes = allocated_bytes(file);
	struct bfs_record record = old;
	int r;

	if (bytes || bfs_record_purgeable(&old) != IOBUF_PURGEABLE_EMPTY)
		record.purge_count++;
	record.purgeable = IOBUF_PURGEABLE_EMPTY;
	record.flags |= BFS_RECORD_PURGING;
	if ((r = bfs_file_store(file, &record)) < 0)
		return r;
	if ((r = finish_purge(file)) < 0) {
		bfs_file_store(file, &old);
		return r;
	}
	*ret_bytes = bytes;
	return 0;
}

/* Have the memory of a fixed buffer reserved again. */
static int refill(struct bfs_file *file)
{
	const uint64_t capacity = file->record.spec.capacity;
	int r;

	if (!bfs_record_is_fixed(&file->record))
		return 0;
	bfs_want_room(capacity);
	r = bfs_file_want_memory(file, 0, capacity);
	return r < 0 ? r : with_buffer(file, iobuf_refill);
}

static int apply(struct bfs_file *file,
		 const struct iobuf_purgeable_change *change)
{
	struct bfs_record record;
	uint64_t bytes;
	int r;

	if (change->discard)
		return empty(file, &bytes);
	if (change->refill && (r = refill(file)) < 0)
		return r;
	record = file->record;
	record.purgeable = change->state;
	if (is_volatile(&record))
		record.volatile_since = bfs_purge_queue_moment(file->fs->purge);
	return bfs_file_store(file, &record);
}

/*
 * The state that the caller is told, of before the change: which an earlier
 * worker may have made for this request. What was purged since is gone, and he
 * has to know that; only what was volatile before could be.
 */
static uint32_t note_old_state(struct bfs_file *file, uint32_t control,
			       uint32_t old)
{
	struct bfs_journal *journal = file->fs->journal;
	uint64_t before[2];

	if (!bfs_journal_begun(journal, BFS_JOURNAL_PURGEABLE, before)) {
		bfs_journal_begin(journal, BFS_JOURNAL_PURGEABLE, old,
				  file->record.purge_count);
		return old;
	}
	if ((before[0] & IOBUF_PURGEABLE_STATE_MASK) ==
		    IOBUF_PURGEABLE_VOLATILE &&
	    before[1] != file->record.purge_count &&
	    control != IOBUF_PURGEABLE_EMPTY)
		return IOBUF_PURGEABLE_EMPTY;
	return (uint32_t)before[0];
}

int bfs_file_set_purgeable(struct bfs_file *file, uint32_t control,
			   uint32_t *ret_old, enum bfs_changed *ret_changed)
{
	const uint32_t old = bfs_record_purgeable(&file->record);
	struct iobuf_purgeable_change change;
	uint32_t told = old;
	bool holds_memory;
	int r;

	if (!old)
		return -EINVAL;
	if ((file->record.flags & BFS_RECORD_PURGING) &&
	    (r = finish_purge(file)) < 0)
		return r;
	/* It is asked for where it matters alone. */
	holds_memory = old != IOBUF_PURGEABLE_EMPTY || allocated_bytes(file) > 0;
	r = iobuf_purgeable_change(old, control, holds_memory, &change);
	if (r == 0 && control != IOBUF_PURGEABLE_KEEP_CURRENT) {
		if ((r = bfs_inode_take_slot(file->fs->inodes, file->inode)) < 0)
			return r;
		told = note_old_state(file, control, old);
		r = apply(file, &change);
	}
	if (r < 0)
		return r;
	*ret_old = told;
	/* The cached path may still have what the buffer has not. */
	*ret_changed = change.discard || old == IOBUF_PURGEABLE_EMPTY
			       ? BFS_CHANGED_BYTES
			       : BFS_CHANGED_NOTHING;
	return 0;
}

static void unqueue(struct bfs_fs *fs, uint64_t nodeid)
{
	struct bfs_inode *inode = bfs_inode_lock(fs->inodes, nodeid);

	if (!inode)
		return;
	bfs_purge_unqueue(fs, inode);
	bfs_inode_unlock(fs->inodes, inode);
}

/* What cannot be purged must not be tried for ever. */
static void give_up(struct bfs_fs *fs, uint64_t nodeid, int r)
{
	bfs_log(LOG_ERR, "a volatile buffer cannot be purged: %s", strerror(-r));
	unqueue(fs, nodeid);
}

/* Of something that may be there again in a moment. */
static bool is_passing(int r)
{
	return r == -EMFILE || r == -ENFILE || r == -ENOMEM || r == -ENOSPC;
}

/* Purge it if it is volatile still. The bytes that it gave back are added to
 * *done. False: nothing can be purged for the moment. */
static bool purge_one(struct bfs_fs *fs, uint64_t nodeid, uint64_t *done)
{
	BFS_FILE struct bfs_file file = { 0 };
	uint64_t bytes = 0;
	int r;

	bfs_purge_queue_begin(fs->purge);
	r = bfs_file_open(fs, nodeid, O_RDWR, &file);
	if (r == 0 && is_volatile(&file.record))
		r = empty(&file, &bytes);
	bfs_file_close(&file);
	bfs_purge_queue_end(fs->purge, bytes);
	if (r < 0 && !is_passing(r))
		give_up(fs, nodeid, r);
	*done += bytes;
	return !is_passing(r);
}

static void notify(const struct bfs_fs *fs, uint64_t nodeid)
{
	if (fs->notify.changed)
		fs->notify.changed(fs, nodeid, !fs->shared->passthrough);
}

uint64_t bfs_purge(struct bfs_fs *fs, uint64_t bytes)
{
	uint64_t done = 0, nodeid;
	bool goes_on = true;

	while (goes_on && done < bytes &&
	       (nodeid = bfs_purge_queue_next(fs->purge))) {
		/* What the kernel's page cache has not written yet comes
		 * before, or it would come after. */
		if (!fs->shared->passthrough)
			notify(fs, nodeid);
		goes_on = purge_one(fs, nodeid, &done);
		notify(fs, nodeid);
	}
	return done;
}

bool bfs_has_volatile(const struct bfs_fs *fs)
{
	return bfs_purge_queue_count(fs->purge) > 0;
}

uint64_t bfs_volatile_bytes(const struct bfs_fs *fs)
{
	return bfs_purge_queue_bytes(fs->purge);
}

static __thread uint64_t wanted_bytes;

void bfs_want_room(uint64_t bytes)
{
	wanted_bytes = bytes;
}

/* Bytes that are to be had for `want` of them; 0 when it is not for them that
 * an operation failed. */
static uint64_t missing_room(const struct bfs_fs *fs, uint64_t want)
{
	/* Who finds that much beyond what it wants lacks something else. */
	const uint64_t slack = UINT64_C(4) << 20;
	struct statvfs st;
	uint64_t free_bytes;

	if (fstatvfs(fs->root_fd, &st) < 0)
		return 0;
	/* What no pool of this size could give is not to cost anybody his. */
	if (want > (uint64_t)st.f_blocks * st.f_frsize)
		return 0;
	free_bytes = (uint64_t)st.f_bavail * st.f_frsize;
	if (free_bytes < want)
		return want - free_bytes;
	if (st.f_files && !st.f_ffree)
		return 0;
	return free_bytes - want < slack ? 1 : 0;
}

/*
 * What others purge is room for this one too, also when it was the last that
 * there was. They are waited for: a buffer leaves the queue before its pages
 * are gone.
 */
bool bfs_make_room(struct bfs_fs *fs, int r)
{
	static __thread uint64_t seen; /* of the purges that there were */
	const uint64_t want = wanted_bytes;
	uint64_t missing;
	bool purged;

	wanted_bytes = 0;
	missing = bfs_headroom_missing();
	/* What all of it could not give is not to cost anybody his. */
	if (r == -ENOMEM && missing)
		return missing <= bfs_volatile_bytes(fs) &&
		       bfs_purge(fs, missing) > 0;
	if (r != -ENOSPC)
		return false;
	if (bfs_purge_queue_wait(fs->purge, &seen))
		return true;
	missing = bfs_has_volatile(fs) ? missing_room(fs, want) : 0;
	purged = missing && bfs_purge(fs, missing) > 0;
	return bfs_purge_queue_wait(fs->purge, &seen) || purged;
}

/* Volatile buffers of an earlier worker, to be put into the queue by age. */
struct found {
	struct bfs_fs *fs;
	struct item {
		uint64_t nodeid, since;
	} *items;
	size_t count, size;
};

static void add_found(struct found *found, uint64_t nodeid, uint64_t since)
{
	const size_t size = found->size ? found->size * 2 : 64;
	struct item *items = found->items;

	if (found->count == found->size) {
		items = realloc(items, size * sizeof(*items));
		if (!items) {
			bfs_log(LOG_ERR, "a volatile buffer is forgotten");
			return;
		}
		found->items = items;
		found->size = size;
	}
	items[found->count++] = (struct item){ nodeid, since };
}

static void find_by_slot(void *context, uint64_t nodeid)
{
	struct found *found = context;
	BFS_FILE struct bfs_file file = { 0 };
	int r = bfs_file_open(found->fs, nodeid, O_RDWR, &file);

	if (r == 0)
		add_found(found, nodeid, file.record.volatile_since);
	else if (r == -ESTALE) /* unlinked, and forgotten meanwhile */
		unqueue(found->fs, nodeid);
}

static int find_by_walk(void *context, const struct bfs_walk_entry *entry)
{
	struct found *found = context;
	BFS_FD int fd = -1;
	struct bfs_record record;
	uint64_t nodeid;

	if (bfs_file_found(entry, &fd, &record) &&
	    (is_volatile(&record) || (record.flags & BFS_RECORD_PURGING)) &&
	    bfs_node_lookup(found->fs->nodes, fd, "", &nodeid) == 0)
		add_found(found, nodeid, record.volatile_since);
	return 0;
}

static int by_age(const void *a, const void *b)
{
	const struct item *x = a, *y = b;

	return (x->since > y->since) - (x->since < y->since);
}

static void requeue_found(struct found *found)
{
	if (found->count) /* else there is no array */
		qsort(found->items, found->count, sizeof(*found->items),
		      by_age);
	for (size_t i = 0; i < found->count; i++) {
		BFS_FILE struct bfs_file file = { 0 };
		int r = bfs_file_open(found->fs, found->items[i].nodeid, O_RDWR,
				      &file);

		if (r == 0 && (file.record.flags & BFS_RECORD_PURGING))
			r = finish_purge(&file);
		else if (r == 0)
			bfs_purge_requeue(&file);
		if (r < 0)
			bfs_log(LOG_ERR, "a volatile buffer is lost: %s",
				strerror(-r));
	}
	free(found->items);
}

void bfs_purge_recover(struct bfs_fs *fs)
{
	struct found found = { .fs = fs };

	bfs_inode_each(fs->inodes, BFS_SLOT_VOLATILE, find_by_slot, &found);
	requeue_found(&found);
}

void bfs_purge_adopt(struct bfs_fs *fs)
{
	struct found found = { .fs = fs };

	bfs_walk(fs->root_fd, find_by_walk, &found);
	requeue_found(&found);
}
