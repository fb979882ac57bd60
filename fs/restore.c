/* SPDX-License-Identifier: MIT */
/*
 * restore.c - a buffer that keeps its contents while it becomes another kind.
 *
 * cp -a, rsync -X and others write a file's contents first and set its xattrs
 * afterwards, when the creation options of a buffer are fixed. A specification
 * with length=N says "of these N bytes", and is taken by a buffer that holds
 * just N bytes.
 *
 * Most kinds are made of the pages that are there. The record says meanwhile
 * that it is being converted, and the record of the new kind is the commit:
 *
 *   old record --mark--> old record, CONVERTING --reserve, wire--> new record
 *
 * A fixed buffer may be mapped over all of its capacity: it may only grow, where
 * it is.
 *
 * A physical run has to be built anew. Its contents are set aside first, which
 * the mark says, too: see aside.c.
 */
#include "file_internal.h"

#include "fd.h"
#include "log.h"
#include "purge.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

static uint64_t round_to_pages(uint64_t n)
{
	const uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);

	return (n + page - 1) & ~(page - 1);
}

/* Bytes of the pool file. */
static uint64_t extent_of(const struct bfs_record *record)
{
	return bfs_record_is_fixed(record)
		       ? round_to_pages(record->spec.capacity)
		       : record->length;
}

/* A mapping of a fixed buffer never faults: nothing is taken from under it. One
 * that is being made, with what its directory hands down, is its maker's. */
static bool may_be_mapped(const struct bfs_file *file)
{
	const struct bfs_slot *slot = file->inode->slot;
	const bool is_new = slot && (slot->flags & BFS_SLOT_NEW) &&
			    (file->record.flags & BFS_RECORD_INHERITED);

	return bfs_record_is_fixed(&file->record) && !is_new;
}

static int check_conversion(const struct bfs_file *file,
			    const struct bfs_record *record,
			    struct iobuf_reason *reason)
{
	const struct bfs_slot *slot = file->inode->slot;
	struct stat st;
	const char *why = NULL;
	int r = bfs_file_stat(file, &st);

	if (r < 0)
		return r;
	if ((uint64_t)st.st_size != record->length)
		why = "the buffer does not hold that many bytes";
	else if (bfs_record_is_physical(&file->record))
		why = "the buffer is contiguous or masked";
	else if (may_be_mapped(file) &&
		 (!bfs_record_is_fixed(record) ||
		  extent_of(record) < extent_of(&file->record)))
		why = "who maps a fixed buffer keeps all of it";
	else if (bfs_record_is_physical(record) &&
		 (may_be_mapped(file) ||
		  (!bfs_record_is_fixed(record) && st.st_size > 0)))
		why = "its contents cannot move, or it has no capacity";
	/* One may be that of the program that restores: cp has the file open
	 * for writing, rsync for reading. */
	else if (slot && (slot->plain_opens > 1 ||
			  slot->plain_opens > file->inode->one_way))
		why = "it is open for transfers without the daemon";
	if (!why)
		return 0;
	snprintf(reason->text, sizeof(reason->text), "%s", why);
	return -EBUSY;
}

static int store_old(struct bfs_file *file, const struct bfs_record *old)
{
	if (old->present)
		return bfs_file_store(file, old);
	file->record = *old;
	return bfs_record_remove(file->fd);
}

/* Every page of the new extent, with the file no shorter than it was. */
static int reserve(struct bfs_file *file, const struct bfs_record *record)
{
	const uint64_t extent = extent_of(record);
	struct stat st;

	if (!bfs_record_is_fixed(record))
		return 0;
	if (fstat(file->fd, &st) < 0)
		return -errno;
	/* The size comes first: see huge=within_size of tmpfs(5). */
	if (extent > (uint64_t)st.st_size &&
	    ftruncate(file->fd, (off_t)extent) < 0)
		return -errno;
	return iobuf_allocate_range(file->fd, 0, extent);
}

static int wire(struct bfs_file *file, const struct bfs_record *record,
		struct iobuf **ret_buffer)
{
	struct iobuf *buffer;
	int r = iobuf_attach(&record->spec, file->fd, record->length, &buffer);

	if (r < 0)
		return r;
	if ((r = iobuf_prepare(buffer)) < 0)
		iobuf_release(buffer);
	else
		*ret_buffer = buffer;
	return r;
}

static int mark(struct bfs_file *file, uint64_t length, uint32_t flags)
{
	struct bfs_record marked = file->record;

	marked.flags |= BFS_RECORD_CONVERTING | flags;
	marked.length = length;
	return bfs_file_store(file, &marked);
}

static int convert_in_place(struct bfs_file *file,
			    const struct bfs_record *record)
{
	struct iobuf *buffer = NULL;
	int r;

	if ((r = mark(file, record->length, 0)) < 0 ||
	    (r = reserve(file, record)) < 0 ||
	    (bfs_record_is_wired(record) &&
	     (r = wire(file, record, &buffer)) < 0) ||
	    (r = bfs_file_store(file, record)) < 0) {
		iobuf_release(buffer);
		return r;
	}
	/* The file may have been larger: a capacity that it gives up. */
	if (ftruncate(file->fd, (off_t)extent_of(record)) < 0)
		bfs_log(LOG_WARNING, "a buffer keeps more memory than it "
			"needs: %s", strerror(errno));
	if (buffer)
		bfs_file_keep_wired(file, buffer);
	return 0;
}

/* Fill new memory with what was set aside. */
static int refill(struct iobuf *buffer, int aside, uint64_t size)
{
	unsigned char *to = iobuf_get_bytes_no_copy(buffer, 0, size);
	uint64_t done = 0;

	if (size && !to)
		return -ENOMEM;
	while (done < size) {
		ssize_t n = pread(aside, to + done, (size_t)(size - done),
				  (off_t)done);

		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		done += (uint64_t)n;
	}
	return 0;
}

static int rebuild(struct bfs_file *file, const struct bfs_record *record,
		   int aside, struct iobuf_reason *reason)
{
	struct iobuf *buffer = NULL;
	int r;

	if (ftruncate(file->fd, 0) < 0)
		return -errno;
	r = iobuf_create_in_file(&record->spec, file->fd, &buffer, reason);
	if (r < 0)
		return r;
	if ((r = refill(buffer, aside, record->length)) < 0 ||
	    (r = bfs_file_store(file, record)) < 0) {
		iobuf_release(buffer);
		return r;
	}
	bfs_file_keep_wired(file, buffer);
	return 0;
}

/* A contiguous or masked buffer: all of its pages are new. */
static int convert_by_copy(struct bfs_file *file,
			   const struct bfs_record *record,
			   struct iobuf_reason *reason)
{
	BFS_FD int aside = -1;
	int r;

	if ((r = bfs_aside_make(file, record->length, &aside)) < 0 ||
	    (r = mark(file, record->length, BFS_RECORD_ASIDE)) < 0)
		return r;
	if ((r = rebuild(file, record, aside, reason)) < 0 &&
	    (ftruncate(file->fd, 0) < 0 ||
	     bfs_copy_bytes(aside, file->fd, record->length) < 0))
		bfs_log(LOG_ERR, "the contents of a buffer are lost: it could "
			"neither be converted nor put back");
	return r;
}

/* The contents are the same, and a restored file has its times already. */
static void keep_times(int fd, const struct stat *before)
{
	const struct timespec times[2] = { before->st_atim, before->st_mtim };

	futimens(fd, times);
}

/* After a failure: size, record and locks as they were. */
static void put_back(struct bfs_file *file, const struct bfs_record *old,
		     const struct stat *before)
{
	struct iobuf *buffer;
	int r = ftruncate(file->fd, before->st_size) < 0 ? -errno
							 : store_old(file, old);

	keep_times(file->fd, before);
	if (r == 0 && bfs_record_is_wired(old) &&
	    (r = bfs_file_get_buffer(file, &buffer)) == 0)
		r = bfs_file_put_buffer(file, buffer);
	if (r < 0)
		bfs_log(LOG_ERR, "a buffer could not be put back: %s",
			strerror(-r));
}

int bfs_file_convert(struct bfs_file *file, const struct bfs_record *record,
		     struct iobuf_reason *ret_reason)
{
	const struct bfs_record old = file->record;
	struct stat before;
	int r = check_conversion(file, record, ret_reason);

	if (r < 0 ||
	    (r = bfs_inode_take_slot(file->fs->inodes, file->inode)) < 0)
		return r;
	if (fstat(file->fd, &before) < 0)
		return -errno;
	bfs_want_room(extent_of(record));
	/* More than before, or as much: what it has is not given up for what it
	 * may not get. */
	if ((r = bfs_file_charge(file, record,
				 bfs_record_is_fixed(record)
					 ? record->spec.capacity
					 : record->length)) < 0)
		return r;
	bfs_file_unwire(file);
	/* Killed after the commit, it has to be wired by the next worker. */
	file->inode->slot->flags |=
		BFS_SLOT_CONVERTING |
		(bfs_record_is_wired(record) ? BFS_SLOT_WIRED : 0);
	r = bfs_record_is_physical(record) && bfs_record_is_fixed(record)
		    ? convert_by_copy(file, record, ret_reason)
		    : convert_in_place(file, record);
	if (r == 0) {
		keep_times(file->fd, &before);
	} else {
		file->inode->slot->flags &= ~(uint32_t)BFS_SLOT_WIRED;
		put_back(file, &old, &before);
	}
	bfs_file_settle(file);
	bfs_aside_drop(file);
	file->inode->slot->flags &= ~(uint32_t)BFS_SLOT_CONVERTING;
	return r;
}

/* All that was to be built anew is to be given up first: there was room for what
 * is aside, and for what was there. */
static int bring_back(struct bfs_file *file, uint64_t size)
{
	BFS_FD int aside = -1;

	if (!(file->record.flags & BFS_RECORD_ASIDE))
		return 0;
	if ((aside = bfs_aside_open(file)) < 0)
		bfs_log(LOG_ERR, "the contents of a buffer are lost that was "
			"being converted");
	if (ftruncate(file->fd, 0) < 0)
		return -errno;
	return aside < 0 ? 0 : bfs_copy_bytes(aside, file->fd, size);
}

int bfs_file_undo_conversion(struct bfs_file *file)
{
	struct bfs_record record = file->record;
	int r;

	record.flags &= ~(uint32_t)(BFS_RECORD_CONVERTING | BFS_RECORD_ASIDE);
	if ((r = bring_back(file, record.length)) < 0)
		return r;
	if (ftruncate(file->fd, (off_t)extent_of(&record)) < 0)
		return -errno;
	if ((r = bfs_file_store(file, &record)) == 0)
		bfs_aside_drop(file);
	return r;
}
