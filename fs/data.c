/* SPDX-License-Identifier: MIT */
/*
 * data.c - sizes and bytes of a buffer, and the look at what it has.
 */
#include "file_internal.h"

#include "fd.h"
#include "journal.h"
#include "log.h"
#include "purge.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

/* The first size of a contiguous buffer is its capacity. */
static int allocate_by_size(struct bfs_file *file, uint64_t size)
{
	struct iobuf_reason reason = { 0 };
	struct iobuf_spec asked = iobuf_spec_default;
	int r;

	if (size == 0)
		return 0;
	asked.given = IOBUF_GIVEN_CAPACITY;
	asked.capacity = size;
	r = bfs_file_configure(file, &asked, &file->record.spec,
			       file->record.flags, &reason);
	if (r < 0)
		bfs_log_refusal("not allocated: %s", reason.text);
	return r == 0 && file->record.length != size
		       ? bfs_file_set_length(file, size)
		       : r;
}

static bool waits_for_size(const struct bfs_file *file)
{
	return bfs_record_is_physical(&file->record) &&
	       !bfs_record_is_fixed(&file->record);
}

static bool grows_wired(const struct bfs_file *file)
{
	return !bfs_record_is_fixed(&file->record) &&
	       bfs_record_is_wired(&file->record);
}

/* Nothing but the file knows its size. */
static bool is_plain_file(const struct bfs_file *file)
{
	return !bfs_record_is_fixed(&file->record) &&
	       !bfs_record_is_wired(&file->record);
}

/* Before a wired elastic buffer changes its size, and after. */
static int charge_growth(struct bfs_file *file, uint64_t size)
{
	return grows_wired(file) ? bfs_file_charge(file, &file->record, size)
				 : 0;
}

/* What a write may take. */
static int want_growth(struct bfs_file *file, uint64_t offset, uint64_t size)
{
	return is_plain_file(file)
		       ? bfs_file_want_memory(file, offset, offset + size)
		       : charge_growth(file, offset + size);
}

static void settle_charge(struct bfs_file *file, const struct iobuf *buffer)
{
	if (grows_wired(file))
		bfs_file_uncharge(file, &file->record,
				  iobuf_get_length(buffer));
}

int bfs_file_truncate(struct bfs_file *file, uint64_t size)
{
	struct iobuf *buffer;
	int r, stored;

	if (waits_for_size(file))
		return allocate_by_size(file, size);
	if (is_plain_file(file))
		return ftruncate(file->fd, (off_t)size) < 0 ? -errno : 0;
	if ((r = bfs_file_get_buffer(file, &buffer)) < 0)
		return r;
	if (size > iobuf_get_length(buffer))
		bfs_want_room(size - iobuf_get_length(buffer));
	if ((r = charge_growth(file, size)) == 0)
		r = iobuf_truncate(buffer, size);
	settle_charge(file, buffer);
	stored = bfs_file_put_buffer(file, buffer);
	return r < 0 ? r : stored;
}

/* The modes of fallocate(2) that a buffer has. Zeroing keeps the pages: what is
 * wired or contiguous stays so. */
static const struct allocation {
	int mode;
	bool reserves, moves_end, zeroes;
} allocations[] = {
	{ 0, .reserves = true, .moves_end = true },
	{ FALLOC_FL_KEEP_SIZE, .reserves = true },
	{ FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, .zeroes = true },
	{ FALLOC_FL_ZERO_RANGE, .reserves = true, .moves_end = true,
	  .zeroes = true },
	{ FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, .reserves = true,
	  .zeroes = true },
};

static const struct allocation *find_allocation(int mode)
{
	for (size_t i = 0; i < sizeof(allocations) / sizeof(allocations[0]); i++)
		if (allocations[i].mode == mode)
			return &allocations[i];
	return NULL;
}

/* What is within the length already has to be clear from the start: see
 * iobuf_allocate_range(). Past it fallocate(2) takes pages that are cleared
 * whatever comes first, a mapping or a length. */
static int clear_within(const struct bfs_file *file, uint64_t offset, uint64_t end)
{
	struct stat st;

	if (fstat(file->fd, &st) < 0)
		return -errno;
	if (end > (uint64_t)st.st_size)
		end = (uint64_t)st.st_size;
	return offset < end ? iobuf_allocate_range(file->fd, offset, end - offset)
			    : 0;
}

static int allocate_in_pool(const struct bfs_file *file, int mode,
			    uint64_t offset, uint64_t end)
{
	int r = mode & FALLOC_FL_PUNCH_HOLE ? 0
					    : clear_within(file, offset, end);

	if (r < 0)
		return r;
	return fallocate(file->fd, mode, (off_t)offset,
			 (off_t)(end - offset)) < 0
		       ? -errno
		       : 0;
}

/* Of a fixed buffer and of a wired one all is reserved that is within its end:
 * what may be missing is the length. */
static int reserve(struct bfs_file *file, bool moves_end, uint64_t offset,
		   uint64_t end)
{
	const int mode = moves_end ? 0 : FALLOC_FL_KEEP_SIZE;
	struct stat st;
	int r;

	if (is_plain_file(file) || !(moves_end ||
				     bfs_record_is_fixed(&file->record)))
		return allocate_in_pool(file, mode, offset, end);
	if ((r = bfs_file_stat(file, &st)) < 0)
		return r;
	return moves_end && end > (uint64_t)st.st_size
		       ? bfs_file_truncate(file, end)
		       : 0;
}

/* Up to the capacity, or the end of an elastic buffer. */
static int zero_range(struct bfs_file *file, uint64_t offset, uint64_t end)
{
	struct iobuf *buffer;
	int r = bfs_file_borrow_buffer(file, &buffer);

	if (r < 0)
		return r;
	if (end > iobuf_get_capacity(buffer))
		end = iobuf_get_capacity(buffer);
	if (offset < end)
		r = iobuf_zero_bytes(buffer, offset, end - offset);
	bfs_file_put_buffer(file, buffer);
	return r;
}

int bfs_file_allocate(struct bfs_file *file, int mode, uint64_t offset,
		      uint64_t size)
{
	const struct allocation *row;
	uint64_t end;
	int r;

	if (__builtin_add_overflow(offset, size, &end) || end > INT64_MAX)
		return -EFBIG;
	bfs_want_room(size);
	if (waits_for_size(file) && mode == 0)
		return allocate_by_size(file, end);
	if (!(row = find_allocation(mode)))
		return -EOPNOTSUPP;
	if (row->reserves && is_plain_file(file) &&
	    (r = bfs_file_want_memory(file, offset, end)) < 0)
		return r;
	/* A tmpfs reserves and it punches; it does not do both at once. */
	if (is_plain_file(file) && !(row->reserves && row->zeroes))
		return allocate_in_pool(file, mode, offset, end);
	if (bfs_record_is_fixed(&file->record) &&
	    end > file->record.spec.capacity) {
		if (row->reserves)
			return -EFBIG;
		end = file->record.spec.capacity;
	}
	if (row->reserves && (r = reserve(file, row->moves_end, offset, end)) < 0)
		return r;
	return row->zeroes ? zero_range(file, offset, end) : 0;
}

static bool is_filling(const struct bfs_file *file)
{
	const struct bfs_slot *slot = file->inode->slot;

	return slot && (slot->flags & BFS_SLOT_FILLING);
}

/* The end, which an earlier worker may have moved for this request: then the
 * bytes belong where they were to go. */
static uint64_t end_to_append_at(struct bfs_file *file, uint64_t length)
{
	struct bfs_journal *journal = file->fs->journal;
	uint64_t before[2];

	if (bfs_journal_begun(journal, BFS_JOURNAL_APPEND, before) &&
	    before[0] <= length)
		return before[0];
	bfs_journal_begin(journal, BFS_JOURNAL_APPEND, length, 0);
	return length;
}

int bfs_file_write(struct bfs_file *file, uint64_t offset, bool append,
		   const void *bytes, size_t size, size_t *ret_size)
{
	struct iobuf *buffer;
	size_t done = 0;
	int r, stored;

	if (waits_for_size(file))
		return -ENOSPC; /* a write does not say how much it will be */
	bfs_want_room(size);
	if ((r = bfs_file_get_buffer(file, &buffer)) < 0)
		return r;
	if (append)
		offset = end_to_append_at(file, iobuf_get_length(buffer));
	if (is_filling(file))
		iobuf_set_direction(buffer, IOBUF_DIRECTION_INOUT);
	if ((r = want_growth(file, offset, size)) == 0)
		r = iobuf_write_bytes(buffer, offset, bytes, size, &done);
	if (is_filling(file))
		iobuf_set_direction(buffer, file->record.spec.options &
						    IOBUF_DIRECTION_MASK);
	settle_charge(file, buffer);
	stored = bfs_file_put_buffer(file, buffer);
	if (r < 0 || stored < 0)
		return r < 0 ? r : stored;
	*ret_size = done;
	return 0;
}

/* Through the mapping that there is, rather than one for each read. */
static int read_wired(struct bfs_fs *fs, uint64_t nodeid, int *fd,
		      uint64_t offset, void *bytes, size_t size,
		      size_t *ret_size)
{
	BFS_FILE struct bfs_file file = { 0 };
	struct iobuf *buffer;
	int r;

	if ((r = bfs_file_open_fd(fs, nodeid, fd, &file)) < 0 ||
	    (r = bfs_file_borrow_buffer(&file, &buffer)) < 0)
		return r;
	r = iobuf_read_bytes(buffer, offset, bytes, size, ret_size);
	bfs_file_put_buffer(&file, buffer);
	return r;
}

int bfs_file_read(struct bfs_fs *fs, uint64_t nodeid, uint64_t offset,
		  void *bytes, size_t size, size_t *ret_size)
{
	BFS_FD int fd = bfs_node_open(fs->nodes, nodeid, O_RDONLY);
	struct bfs_record record;
	struct iobuf *buffer;
	struct stat st;
	int r;

	if (fd < 0)
		return fd;
	if ((r = bfs_record_load_fd(fd, &record)) < 0)
		return r;
	if (bfs_record_is_wired(&record) && bfs_record_has_cache_mode(&record))
		return read_wired(fs, nodeid, &fd, offset, bytes, size,
				  ret_size);
	if (fstat(fd, &st) < 0)
		return -errno;
	bfs_record_apply(&record, &st);
	r = iobuf_attach(&record.spec, fd, (uint64_t)st.st_size, &buffer);
	if (r < 0)
		return r;
	r = iobuf_read_bytes(buffer, offset, bytes, size, ret_size);
	iobuf_release(buffer);
	return r;
}

/* Both ends as the kernel would do it; -EXDEV where it does not. */
static int copy_in_pool(struct bfs_file *to, uint64_t to_offset, int from_fd,
			uint64_t from_offset, size_t size, size_t *ret_size)
{
	off_t in = (off_t)from_offset, out = (off_t)to_offset;
	ssize_t n = copy_file_range(from_fd, &in, to->fd, &out, size, 0);

	if (n < 0)
		return -errno;
	*ret_size = (size_t)n;
	return 0;
}

static bool may_copy_in_pool(const struct bfs_record *record)
{
	return !bfs_record_is_fixed(record) &&
	       bfs_options_are_plain(record->spec.options);
}

/* The pool's own copy between buffers that need nothing else. */
static int copy_plain(struct bfs_fs *fs, uint64_t from, uint64_t from_offset,
		      uint64_t to, uint64_t to_offset, size_t size,
		      size_t *ret_size)
{
	BFS_FD int from_fd = bfs_node_open(fs->nodes, from, O_RDONLY);
	BFS_FILE struct bfs_file file = { 0 };
	struct bfs_record record;
	uint64_t there = 0;
	struct stat st;
	int r;

	if (from_fd < 0)
		return from_fd;
	if ((r = bfs_record_load_fd(from_fd, &record)) < 0 ||
	    (r = bfs_file_open(fs, to, O_RDWR, &file)) < 0)
		return r;
	if (!may_copy_in_pool(&record) || !may_copy_in_pool(&file.record))
		return -EXDEV;
	if (fstat(from_fd, &st) < 0)
		return -errno;
	if (from_offset < (uint64_t)st.st_size)
		there = (uint64_t)st.st_size - from_offset;
	r = bfs_file_want_memory(&file, to_offset,
				 to_offset + (size < there ? size : there));
	if (r < 0)
		return r;
	return copy_in_pool(&file, to_offset, from_fd, from_offset, size,
			    ret_size);
}

/* A piece at a time, with no lock held between reading and writing: two copies
 * that cross each other must not wait for one another. */
static int copy_piece(struct bfs_fs *fs, uint64_t from, uint64_t from_offset,
		      uint64_t to, uint64_t to_offset, void *bytes,
		      size_t size, size_t *ret_size)
{
	BFS_FILE struct bfs_file file = { 0 };
	size_t n = 0;
	int r = bfs_file_read(fs, from, from_offset, bytes, size, &n);

	if (r < 0)
		return r;
	if (n == 0) {
		*ret_size = 0;
		return 0;
	}
	if ((r = bfs_file_open(fs, to, O_RDWR, &file)) < 0)
		return r;
	return bfs_file_write(&file, to_offset, false, bytes, n, ret_size);
}

static int copy_by_pieces(struct bfs_fs *fs, uint64_t from,
			  uint64_t from_offset, uint64_t to, uint64_t to_offset,
			  size_t size, size_t *ret_size)
{
	enum { PIECE = 1 << 20 };
	void *bytes = malloc(size < PIECE ? size : PIECE);
	size_t done = 0, n = 0;
	int r = bytes ? 0 : -ENOMEM;

	while (r == 0 && done < size) {
		const size_t left = size - done;

		r = copy_piece(fs, from, from_offset + done, to,
			       to_offset + done, bytes,
			       left < PIECE ? left : PIECE, &n);
		if (r < 0 || n == 0)
			break;
		done += n;
	}
	free(bytes);
	if (r < 0 && done == 0)
		return r;
	*ret_size = done;
	return 0;
}

int bfs_file_copy(struct bfs_fs *fs, uint64_t from, uint64_t from_offset,
		  uint64_t to, uint64_t to_offset, size_t size,
		  size_t *ret_size)
{
	/* Nobody should wait for long; who wants more asks again. */
	const size_t most = (size_t)64 << 20;
	int r;

	if (size > most)
		size = most;
	r = copy_plain(fs, from, from_offset, to, to_offset, size, ret_size);
	return r == -EXDEV ? copy_by_pieces(fs, from, from_offset, to,
					    to_offset, size, ret_size)
			   : r;
}

int bfs_file_sync(struct bfs_fs *fs, uint64_t nodeid)
{
	BFS_FD int path_fd = bfs_node_open(fs->nodes, nodeid,
					   O_PATH | O_NOFOLLOW);
	BFS_FILE struct bfs_file file = { 0 };
	struct bfs_record record;
	struct iobuf *buffer;
	int r;

	if (path_fd < 0)
		return path_fd;
	if ((r = bfs_record_load_fd(path_fd, &record)) < 0 ||
	    !bfs_record_has_cache_mode(&record))
		return r;
	if ((r = bfs_file_open(fs, nodeid, O_RDONLY, &file)) < 0 ||
	    (r = bfs_file_borrow_buffer(&file, &buffer)) < 0)
		return r;
	r = iobuf_perform_operation(buffer, IOBUF_OPERATION_STORE, 0,
				    iobuf_get_capacity(buffer));
	bfs_file_put_buffer(&file, buffer);
	return r;
}

int bfs_file_seek(struct bfs_fs *fs, uint64_t nodeid, off_t offset, int whence,
		  uint64_t *ret_offset)
{
	BFS_FD int fd = bfs_node_open(fs->nodes, nodeid, O_RDONLY);
	struct bfs_record record;
	off_t found;
	int r;

	if (fd < 0)
		return fd;
	if (whence != SEEK_DATA && whence != SEEK_HOLE)
		return -EINVAL;
	if ((r = bfs_record_load_fd(fd, &record)) < 0)
		return r;
	if (bfs_record_is_fixed(&record)) {
		if (offset < 0 || (uint64_t)offset >= record.length)
			return -ENXIO;
		*ret_offset = whence == SEEK_DATA ? (uint64_t)offset
						  : record.length;
		return 0;
	}
	found = lseek(fd, offset, whence);
	if (found < 0)
		return -errno;
	*ret_offset = (uint64_t)found;
	return 0;
}

int bfs_file_set_length(struct bfs_file *file, uint64_t length)
{
	struct iobuf *buffer;
	int r, stored;

	if ((r = bfs_file_get_buffer(file, &buffer)) < 0)
		return r;
	r = iobuf_set_length(buffer, length);
	stored = bfs_file_put_buffer(file, buffer);
	return r < 0 ? r : stored;
}

int bfs_file_report(struct bfs_file *file, struct iobuf_report *ret_report)
{
	struct iobuf *buffer;
	int r = bfs_file_borrow_buffer(file, &buffer);

	if (r < 0)
		return r;
	r = iobuf_get_report(buffer, ret_report);
	bfs_file_put_buffer(file, buffer);
	return r;
}
