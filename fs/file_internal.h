/* SPDX-License-Identifier: MIT */
/*
 * file_internal.h - what the files behind file.h share: file.c (open, look),
 * configure.c (become), wiring.c (locked memory), charge.c (limits), data.c
 * (bytes).
 */
#ifndef BFS_FILE_INTERNAL_H
#define BFS_FILE_INTERNAL_H

#include "file.h"
#include "walk.h"

static inline bool bfs_record_is_fixed(const struct bfs_record *record)
{
	return record->spec.capacity > 0;
}

static inline bool bfs_record_is_wired(const struct bfs_record *record)
{
	return !(record->spec.options & IOBUF_PAGEABLE);
}

/* Something is to be done about its cache lines. */
static inline bool bfs_record_has_cache_mode(const struct bfs_record *record)
{
	const uint32_t mode = record->spec.options & IOBUF_CACHE_MASK;

	return mode != IOBUF_CACHE_DEFAULT && mode != IOBUF_CACHE_COPYBACK;
}

static inline bool bfs_record_is_physical(const struct bfs_record *record)
{
	return (record->spec.options & IOBUF_CONTIGUOUS) ||
	       record->spec.physical_mask;
}

/*
 * A buffer that a walk of the pool has found: its record, and a descriptor of it
 * (O_PATH) for the caller to close. False for what is none.
 */
bool bfs_file_found(const struct bfs_walk_entry *entry, int *ret_fd,
		    struct bfs_record *ret_record);

/* Replace the record on the file, then the one in memory. */
int bfs_file_store(struct bfs_file *file, const struct bfs_record *record);

/*
 * restore.c: make a buffer that holds just record->length bytes what the record
 * says, and keep them. -EBUSY for one that holds another number of bytes, or is
 * physical, or open for writing elsewhere; errors as bfs_file_configure(). undo:
 * put one back to what it was whose record says that it is being converted, though
 * nobody is at it.
 */
int bfs_file_convert(struct bfs_file *file, const struct bfs_record *record,
		     struct iobuf_reason *ret_reason);
int bfs_file_undo_conversion(struct bfs_file *file);

/*
 * aside.c: copy the first `size` bytes of a locked buffer to where the next
 * worker finds them; ret_fd is for the caller to close. open: find them, a
 * descriptor; -ENOENT when nothing was set aside, -ESTALE when that is lost.
 * drop: they are not needed any more, if there are any.
 */
int bfs_aside_make(struct bfs_file *file, uint64_t size, int *ret_fd);
int bfs_aside_open(struct bfs_file *file);
void bfs_aside_drop(struct bfs_file *file);
int bfs_copy_bytes(int from, int to, uint64_t size);

/*
 * Is there memory for the pages that the file has not got in that range? 0;
 * -ENOMEM (headroom.h). bfs_file_charge() asks, too.
 */
int bfs_file_want_memory(const struct bfs_file *file, uint64_t offset,
			 uint64_t end);

/*
 * charge.c: count what the buffer will have, all in all, if it is what the
 * record says: its capacity, or of an elastic wired buffer its size. -EDQUOT
 * over its owner's limit, after a moment; -ENOMEM over another; -ENFILE. Then
 * nothing has changed.
 *
 * uncharge: count no more than that. uncharge_wired: nothing as wired, and as
 * its owner's no more than `owned`. settle: no more than the buffer has as it
 * is.
 */
int bfs_file_charge(struct bfs_file *file, const struct bfs_record *record,
		    uint64_t bytes);
void bfs_file_uncharge(struct bfs_file *file, const struct bfs_record *record,
		       uint64_t down_to);
void bfs_file_uncharge_wired(struct bfs_file *file, uint64_t owned);
void bfs_file_settle(struct bfs_file *file);

/* After a worker's death: what the buffer had counts, limits or not. owned: as
 * its owner's alone. */
int bfs_file_count_again(struct bfs_file *file);
int bfs_file_count_owned(struct bfs_file *file);

/* Keep a buffer's memory locked, by the descriptor's mapping alone; takes the
 * reference. Let go of it: unwire goes on counting it, drop does not. */
void bfs_file_keep_wired(struct bfs_file *file, struct iobuf *buffer);
void bfs_file_unwire(struct bfs_file *file);
void bfs_file_drop_wired(struct bfs_file *file);

/*
 * The descriptor of the buffer, with the file lent to it. get: a wired buffer
 * has its memory wired, here if need be. borrow: as it is. Give it back with
 * put, which records a length that moved.
 */
int bfs_file_borrow_buffer(struct bfs_file *file, struct iobuf **ret_buffer);
int bfs_file_get_buffer(struct bfs_file *file, struct iobuf **ret_buffer);
int bfs_file_put_buffer(struct bfs_file *file, struct iobuf *buffer);

#endif
