/* SPDX-License-Identifier: MIT */
#include "file.h"

#include "fd.h"
#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

int bfs_file_open_fd(struct bfs_fs *fs, uint64_t nodeid, int *fd,
		     struct bfs_file *ret_file)
{
	struct bfs_file file = { .fs = fs, .fd = -1 };
	int r;

	if (!(file.inode = bfs_inode_lock(fs->inodes, nodeid)))
		return -ENOMEM;
	if ((r = bfs_record_load_fd(*fd, &file.record)) < 0) {
		bfs_inode_unlock(fs->inodes, file.inode);
		return r;
	}
	file.fd = bfs_fd_take(fd);
	*ret_file = file;
	return 0;
}

int bfs_file_open(struct bfs_fs *fs, uint64_t nodeid, int flags,
		  struct bfs_file *ret_file)
{
	BFS_FD int fd = bfs_node_open(fs->nodes, nodeid, flags);

	return fd < 0 ? fd : bfs_file_open_fd(fs, nodeid, &fd, ret_file);
}

void bfs_file_close(struct bfs_file *file)
{
	if (!file->inode)
		return;
	bfs_inode_unlock(file->fs->inodes, file->inode);
	if (file->fd >= 0)
		close(file->fd);
	*file = (struct bfs_file){ 0 };
}

static bool is_fixed(const struct bfs_record *record)
{
	return record->spec.capacity > 0;
}

static bool is_wired(const struct bfs_record *record)
{
	return !(record->spec.options & IOBUF_PAGEABLE);
}

void bfs_record_apply(const struct bfs_record *record, struct stat *st)
{
	if (S_ISREG(st->st_mode) && is_fixed(record))
		st->st_size = (off_t)record->length;
}

int bfs_file_stat(const struct bfs_file *file, struct stat *ret_st)
{
	if (fstat(file->fd, ret_st) < 0)
		return -errno;
	bfs_record_apply(&file->record, ret_st);
	return 0;
}

bool bfs_file_is_empty(const struct bfs_file *file, const struct stat *st)
{
	return !is_fixed(&file->record) && st->st_size == 0 &&
	       st->st_blocks == 0;
}

int bfs_file_datapath(const struct bfs_file *file, int flags,
		      struct bfs_datapath *ret_path)
{
	struct stat st;

	if (fstat(file->fd, &st) < 0)
		return -errno;
	*ret_path = bfs_datapath_choose(
		file->fs->shared->passthrough, file->record.spec.options,
		is_fixed(&file->record), bfs_file_is_empty(file, &st),
		(flags & O_ACCMODE) == O_WRONLY);
	return 0;
}

/* Replace the record on the file, then the one in memory. */
static int store(struct bfs_file *file, const struct bfs_record *record)
{
	int r = bfs_record_store(file->fd, record);

	if (r < 0)
		return r;
	file->record = *record;
	file->record.present = true;
	return 0;
}

/* Keep the memory locked, by the descriptor's mapping alone. */
static void keep_wired(struct bfs_file *file, struct iobuf *buffer)
{
	iobuf_set_fd(buffer, -1);
	file->inode->wired = buffer;
	file->inode->slot->flags |= BFS_SLOT_WIRED;
}

static void empty(int fd)
{
	if (ftruncate(fd, 0) < 0)
		bfs_log(LOG_ERR, "cannot empty a file of the pool: %s",
			strerror(errno));
}

/*
 * Allocate a fixed buffer. The record is the commit: a slot marked allocating
 * whose file has no capacity on record is emptied by the next worker.
 */
static int allocate(struct bfs_file *file, const struct bfs_record *record,
		    struct iobuf_reason *ret_reason)
{
	struct iobuf *buffer;
	int r = bfs_inode_take_slot(file->fs->inodes, file->inode);

	if (r < 0)
		return r;
	file->inode->slot->flags |= BFS_SLOT_ALLOCATING;
	r = iobuf_create_in_file(&record->spec, file->fd, &buffer, ret_reason);
	if (r == 0 && (r = store(file, record)) < 0) {
		iobuf_release(buffer);
		empty(file->fd);
	}
	if (r == 0 && is_wired(record))
		keep_wired(file, buffer);
	else if (r == 0)
		iobuf_release(buffer);
	file->inode->slot->flags &= ~(uint32_t)BFS_SLOT_ALLOCATING;
	return r;
}

/* May the buffer become what `spec` says? */
static int check_change(const struct bfs_file *file,
			const struct iobuf_spec *spec,
			struct iobuf_reason *reason)
{
	const struct bfs_slot *slot = file->inode->slot;
	struct stat st;
	const char *why = NULL;

	if (fstat(file->fd, &st) < 0)
		return -errno;
	if (!bfs_file_is_empty(file, &st))
		why = "the buffer is allocated";
	else if (slot && slot->plain_opens)
		why = "it is open for writing without the daemon";
	else if (slot && slot->opens &&
		 ((spec->options ^ file->record.spec.options) &
		  IOBUF_SHARING_MASK))
		why = "it is open, and sharing cannot change under an open file";
	if (!why)
		return 0;
	snprintf(reason->text, sizeof(reason->text), "%s", why);
	return -EBUSY;
}

/* The kernel's page cache cannot tell a transfer from a mapping's fault. */
static int check_datapath(const struct bfs_file *file,
			  const struct iobuf_spec *spec,
			  struct iobuf_reason *reason)
{
	const uint32_t direction = spec->options & IOBUF_DIRECTION_MASK;

	if (file->fs->shared->passthrough ||
	    direction == IOBUF_DIRECTION_INOUT ||
	    (spec->options & IOBUF_SHARING_MASK) == IOBUF_UNSHARED)
		return 0;
	snprintf(reason->text, sizeof(reason->text),
		 "direction %s of a shared buffer needs passthrough",
		 iobuf_direction_name(direction));
	return -EOPNOTSUPP;
}

int bfs_file_configure(struct bfs_file *file, const struct iobuf_spec *asked,
		       const struct iobuf_spec *defaults, uint32_t flags,
		       struct iobuf_reason *ret_reason)
{
	struct bfs_record record = file->record;
	int r = iobuf_spec_resolve(asked, defaults, &record.spec, ret_reason);

	if (r < 0)
		return r;
	if (file->record.present &&
	    iobuf_spec_equal(&record.spec, &file->record.spec) &&
	    (is_fixed(&record) || file->record.flags == flags))
		return 0;
	if ((r = iobuf_spec_supported(&record.spec, ret_reason)) < 0 ||
	    (r = check_datapath(file, &record.spec, ret_reason)) < 0)
		return r;
	if ((r = check_change(file, &record.spec, ret_reason)) < 0)
		return iobuf_spec_equal(&record.spec, &file->record.spec) ? 0
									  : r;
	record.flags = flags;
	record.length = record.spec.capacity;
	return is_fixed(&record) ? allocate(file, &record, ret_reason)
				 : store(file, &record);
}

int bfs_file_unconfigure(struct bfs_file *file)
{
	struct iobuf_reason reason;
	struct bfs_record record = file->record;
	int r;

	if (!(record.flags & BFS_RECORD_EXPLICIT))
		return -ENODATA;
	r = iobuf_spec_resolve(&record.inherited, &record.inherited,
			       &record.spec, NULL);
	if (r < 0 || (r = check_change(file, &record.spec, &reason)) < 0)
		return r;
	record.flags = 0;
	return store(file, &record);
}

const struct iobuf_spec *bfs_directory_defaults(const struct bfs_fs *fs,
						const struct bfs_record *record)
{
	return record->present ? &record->spec : &fs->defaults;
}

int bfs_file_inherit(struct bfs_file *file, const struct bfs_record *directory)
{
	struct iobuf_reason reason = { "" };
	struct iobuf_spec nothing = iobuf_spec_default;
	const struct iobuf_spec *defaults =
		bfs_directory_defaults(file->fs, directory);
	int r;

	nothing.given = 0;
	if (iobuf_spec_equal(defaults, &file->record.spec))
		return 0; /* a plain buffer needs no record */
	file->record.inherited = *defaults;
	r = bfs_file_configure(file, &nothing, defaults,
			       directory->flags & BFS_RECORD_EXPLICIT, &reason);
	if (r < 0)
		bfs_log_refusal("a new file cannot have its directory's "
				"defaults: %s", reason.text);
	return r;
}

/*
 * The descriptor of the buffer, with the file lent to it: the one that keeps
 * it wired, which is made here when a wired buffer has none yet, or one for
 * this operation. Give it back with put_buffer().
 */
static int get_buffer(struct bfs_file *file, struct iobuf **ret_buffer)
{
	struct iobuf *buffer = file->inode->wired;
	struct stat st;
	int r;

	if (buffer) {
		iobuf_set_fd(buffer, file->fd);
		*ret_buffer = iobuf_retain(buffer);
		return 0;
	}
	if ((r = bfs_file_stat(file, &st)) < 0 ||
	    (r = iobuf_attach(&file->record.spec, file->fd,
			      (uint64_t)st.st_size, &buffer)) < 0)
		return r;
	if (is_wired(&file->record)) {
		if ((r = bfs_inode_take_slot(file->fs->inodes, file->inode)) < 0 ||
		    (r = iobuf_prepare(buffer)) < 0) {
			iobuf_release(buffer);
			return r;
		}
		keep_wired(file, iobuf_retain(buffer));
		iobuf_set_fd(buffer, file->fd);
	}
	*ret_buffer = buffer;
	return 0;
}

/* Record a length that moved, and take the file back. */
static int put_buffer(struct bfs_file *file, struct iobuf *buffer)
{
	struct bfs_record record = file->record;
	int r = 0;

	record.length = iobuf_get_length(buffer);
	if (is_fixed(&record) && record.length != file->record.length &&
	    (r = store(file, &record)) < 0)
		iobuf_set_length(buffer, file->record.length);
	if (buffer == file->inode->wired)
		iobuf_set_fd(buffer, -1);
	iobuf_release(buffer);
	return r;
}

int bfs_file_truncate(struct bfs_file *file, uint64_t size)
{
	struct iobuf *buffer;
	int r, stored;

	/* The plain case: nothing but the file knows its size. */
	if (!is_fixed(&file->record) && !is_wired(&file->record))
		return ftruncate(file->fd, (off_t)size) < 0 ? -errno : 0;
	if ((r = get_buffer(file, &buffer)) < 0)
		return r;
	r = iobuf_truncate(buffer, size);
	stored = put_buffer(file, buffer);
	return r < 0 ? r : stored;
}

int bfs_file_allocate(struct bfs_file *file, int mode, uint64_t offset,
		      uint64_t size)
{
	struct stat st;
	uint64_t end;
	int r;

	if (__builtin_add_overflow(offset, size, &end) || end > INT64_MAX)
		return -EFBIG;
	if (!is_fixed(&file->record) && !is_wired(&file->record))
		return fallocate(file->fd, mode, (off_t)offset, (off_t)size) < 0
			       ? -errno
			       : 0;
	if (mode != 0)
		return -EOPNOTSUPP;
	if (is_fixed(&file->record) && end > file->record.spec.capacity)
		return -EFBIG;
	if ((r = bfs_file_stat(file, &st)) < 0)
		return r;
	/* All of it is reserved already; what is missing is the length. */
	return end > (uint64_t)st.st_size ? bfs_file_truncate(file, end) : 0;
}

int bfs_file_write(struct bfs_file *file, uint64_t offset, const void *bytes,
		   size_t size, size_t *ret_size)
{
	struct iobuf *buffer;
	size_t done = 0;
	int r, stored;

	if ((r = get_buffer(file, &buffer)) < 0)
		return r;
	r = iobuf_write_bytes(buffer, offset, bytes, size, &done);
	stored = put_buffer(file, buffer);
	if (r < 0 || stored < 0)
		return r < 0 ? r : stored;
	*ret_size = done;
	return 0;
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

int bfs_file_set_length(struct bfs_file *file, uint64_t length)
{
	struct iobuf *buffer;
	int r, stored;

	if ((r = get_buffer(file, &buffer)) < 0)
		return r;
	r = iobuf_set_length(buffer, length);
	stored = put_buffer(file, buffer);
	return r < 0 ? r : stored;
}

int bfs_file_set_direction(struct bfs_file *file, uint32_t direction,
			   struct iobuf_reason *ret_reason)
{
	struct bfs_record record = file->record;
	const struct bfs_slot *slot = file->inode->slot;
	int r;

	if (direction == (record.spec.options & IOBUF_DIRECTION_MASK))
		return 0;
	record.spec.options &= ~IOBUF_DIRECTION_MASK;
	record.spec.options |= direction;
	record.flags |= BFS_RECORD_EXPLICIT;
	if ((r = check_datapath(file, &record.spec, ret_reason)) < 0)
		return r;
	/* A descriptor that skips the daemon would skip the direction too. */
	if (slot && slot->plain_opens) {
		snprintf(ret_reason->text, sizeof(ret_reason->text),
			 "it is open for transfers without the daemon");
		return -EBUSY;
	}
	if ((r = store(file, &record)) < 0)
		return r;
	if (file->inode->wired)
		iobuf_set_direction(file->inode->wired, direction);
	return 0;
}

int bfs_file_report(struct bfs_file *file, struct iobuf_report *ret_report)
{
	struct iobuf *buffer = file->inode->wired;
	struct stat st;
	int r;

	if (buffer) {
		iobuf_set_fd(buffer, file->fd);
		r = iobuf_get_report(buffer, ret_report);
		iobuf_set_fd(buffer, -1);
		return r;
	}
	if ((r = bfs_file_stat(file, &st)) < 0 ||
	    (r = iobuf_attach(&file->record.spec, file->fd,
			      (uint64_t)st.st_size, &buffer)) < 0)
		return r;
	r = iobuf_get_report(buffer, ret_report);
	iobuf_release(buffer);
	return r;
}

void bfs_file_abandon(struct bfs_file *file)
{
	struct bfs_slot *slot = file->inode->slot;

	if (!slot)
		return;
	iobuf_release(file->inode->wired);
	file->inode->wired = NULL;
	slot->opens = slot->plain_opens = 0;
	slot->flags = 0;
}

/*
 * The kernel forgets an unlinked inode only when nothing refers to it: no open
 * file, no mapping. A RELEASE that is still on its way finds nothing to do.
 */
void bfs_file_forget(struct bfs_fs *fs, uint64_t nodeid)
{
	BFS_FILE struct bfs_file file = { .fs = fs, .fd = -1 };
	struct stat st;
	int r;

	if (!bfs_inode_is_known(fs->inodes, nodeid))
		return;
	r = bfs_file_open(fs, nodeid, O_PATH | O_NOFOLLOW, &file);
	/* Nothing held the file: a wired buffer of no bytes has no mapping. */
	if (r == -ESTALE &&
	    (file.inode = bfs_inode_lock(fs->inodes, nodeid)) != NULL)
		bfs_file_abandon(&file);
	else if (r == 0 && fstat(file.fd, &st) == 0 && st.st_nlink == 0)
		bfs_file_abandon(&file);
}
