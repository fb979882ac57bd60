/* SPDX-License-Identifier: MIT */
/*
 * configure.c - how a file becomes the buffer that was asked for.
 */
#include "file_internal.h"

#include "caller.h"
#include "log.h"
#include "purge.h"
#include "task.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void empty(int fd)
{
	if (ftruncate(fd, 0) < 0)
		bfs_log(LOG_ERR, "cannot empty a file of the pool: %s",
			strerror(errno));
}

/* The state of a buffer that could not be had tells how near it was. */
static void note_longest_run(struct bfs_file *file, uint64_t longest_run)
{
	struct bfs_record record = file->record;

	record.longest_run = longest_run;
	if (bfs_file_store(file, &record) < 0)
		bfs_log(LOG_WARNING, "a longest run could not be noted");
}

/*
 * Allocate a fixed buffer. The record is the commit: a slot marked allocating
 * whose file has no capacity on record is emptied by the next worker.
 */
static int allocate(struct bfs_file *file, const struct bfs_record *record,
		    struct iobuf_reason *ret_reason)
{
	struct bfs_slot *slot;
	struct iobuf *buffer;
	int r = bfs_inode_take_slot(file->fs->inodes, file->inode);

	bfs_want_room(record->spec.capacity);
	if (r == 0)
		r = bfs_file_charge(file, record, record->spec.capacity);
	if (r < 0)
		return r;
	slot = file->inode->slot;
	/* Killed after the commit, it has to be wired by the next worker. */
	slot->flags |= BFS_SLOT_ALLOCATING |
		       (bfs_record_is_wired(record) ? BFS_SLOT_WIRED : 0);
	r = iobuf_create_in_file(&record->spec, file->fd, &buffer, ret_reason);
	if (r == 0 && (r = bfs_file_store(file, record)) < 0) {
		iobuf_release(buffer);
		empty(file->fd);
	}
	if (r < 0) {
		slot->flags &= ~(uint32_t)BFS_SLOT_WIRED;
		bfs_file_uncharge(file, record, 0);
	} else if (bfs_record_is_wired(record)) {
		bfs_file_keep_wired(file, buffer);
	} else {
		iobuf_release(buffer);
	}
	slot->flags &= ~(uint32_t)BFS_SLOT_ALLOCATING;
	if (r == -ENOMEM && bfs_record_is_physical(record) && ret_reason)
		note_longest_run(file, ret_reason->longest_run);
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
	const struct bfs_shared *shared = file->fs->shared;
	const uint32_t direction = spec->options & IOBUF_DIRECTION_MASK;

	if (shared->passthrough ||
	    (spec->options & IOBUF_SHARING_MASK) == IOBUF_UNSHARED)
		return 0;
	if (direction != IOBUF_DIRECTION_INOUT)
		snprintf(reason->text, sizeof(reason->text),
			 "direction %s of a shared buffer needs passthrough",
			 iobuf_direction_name(direction));
	else if ((spec->options & IOBUF_PURGEABLE) && shared->io_uring)
		/* See bfs_flush_page_cache(). */
		snprintf(reason->text, sizeof(reason->text),
			 "with io_uring, a purgeable buffer needs passthrough");
	else
		return 0;
	return -EOPNOTSUPP;
}

/*
 * An empty buffer that seems to be open: give the kernel a moment to say that
 * it was closed (touch f && setfattr ... f). Somebody else may have the lock
 * meanwhile, so the record is read again.
 */
static int wait_for_release(struct bfs_file *file, bool plain_only)
{
	const struct bfs_slot *slot = file->inode->slot;
	struct stat st;

	if (!slot || !(plain_only ? slot->plain_opens : slot->opens))
		return 0;
	if (fstat(file->fd, &st) < 0)
		return -errno;
	if (!bfs_file_is_empty(file, &st))
		return 0;
	bfs_inode_wait_for_release(file->fs->inodes, file->inode, plain_only);
	return bfs_record_load_fd(file->fd, &file->record);
}

static bool is_same(const struct bfs_record *a, const struct bfs_record *b)
{
	return iobuf_spec_equal(&a->spec, &b->spec) &&
	       a->task_start == b->task_start;
}

/*
 * Which process record->spec.task means: the one that it was, unless another is
 * asked for. `self` that is inherited is whom the file was bound to when it was
 * made. The names of a buffer whose task has ended are about to go: it is not to
 * be bound to another meanwhile.
 */
static int settle_task(const struct bfs_file *file, bool asked_for,
		       struct bfs_record *record, struct iobuf_reason *reason)
{
	const struct bfs_record *old = &file->record;
	const int32_t task = record->spec.task;

	if (old->spec.task > IOBUF_TASK_KERNEL &&
	    !bfs_task_runs(old->spec.task, old->task_start)) {
		snprintf(reason->text, sizeof(reason->text),
			 "the process that it is bound to has ended");
		return -ESRCH;
	}
	record->task_start = 0;
	if (task == IOBUF_TASK_KERNEL)
		return 0;
	if (asked_for || old->spec.task <= IOBUF_TASK_KERNEL ||
	    (task != IOBUF_TASK_SELF && task != old->spec.task))
		return bfs_task_find(file->caller, task, &record->spec.task,
				     &record->task_start, reason);
	record->spec.task = old->spec.task;
	record->task_start = old->task_start;
	return 0;
}

/* It is what was asked for already: what may be left is its length. */
static int set_first_length(struct bfs_file *file,
			    const struct bfs_record *record)
{
	const uint64_t length = record->spec.length;

	if (!(record->spec.given & IOBUF_GIVEN_LENGTH) ||
	    !bfs_record_is_fixed(record) || length == file->record.length)
		return 0;
	return bfs_file_set_length(file, length);
}

/* A buffer that holds memory, or is in use (`r`, -EBUSY): asked for again, or
 * with its contents. */
static int change_allocated(struct bfs_file *file,
			    const struct bfs_record *record, int r,
			    struct iobuf_reason *ret_reason)
{
	if (r == -EBUSY && (record->spec.given & IOBUF_GIVEN_LENGTH)) {
		ret_reason->text[0] = '\0'; /* it is allocated, and may be */
		return bfs_file_convert(file, record, ret_reason);
	}
	return is_same(record, &file->record) ? 0 : r;
}

/* tar writes a file's xattrs before its contents: a length says that they are
 * to come, and the direction has to wait for them. */
static void expect_contents(struct bfs_file *file,
			    const struct iobuf_spec *asked)
{
	if (!(asked->given & IOBUF_GIVEN_LENGTH) || asked->length == 0 ||
	    (file->record.spec.options & IOBUF_DIRECTION_IN))
		return;
	if (bfs_inode_take_slot(file->fs->inodes, file->inode) == 0)
		file->inode->slot->flags |= BFS_SLOT_FILLING;
}

/* Store what the checks have let through, with memory where it has a capacity. */
static int become(struct bfs_file *file, const struct bfs_record *record,
		  struct iobuf_reason *ret_reason)
{
	int r = check_change(file, &record->spec, ret_reason);

	if (r < 0)
		return change_allocated(file, record, r, ret_reason);
	bfs_file_drop_wired(file);
	r = bfs_record_is_fixed(record) ? allocate(file, record, ret_reason)
					: bfs_file_store(file, record);
	if (r == 0)
		expect_contents(file, &record->spec);
	return r;
}

/*
 * What takes a buffer's names away is its owner's to say: others may have the
 * right to write to it, but none to its directory. Who makes a file owns it.
 */
static int check_owner(const struct bfs_file *file,
		       const struct bfs_record *record, uint32_t flags,
		       struct iobuf_reason *reason)
{
	const struct bfs_record *old = &file->record;
	struct stat st;

	if ((flags & BFS_RECORD_INHERITED) ||
	    (record->spec.life == old->spec.life &&
	     record->spec.task == old->spec.task &&
	     record->task_start == old->task_start))
		return 0;
	if (fstat(file->fd, &st) < 0)
		return -errno;
	if (bfs_may_own(file->caller, st.st_uid))
		return 0;
	snprintf(reason->text, sizeof(reason->text),
		 "only its owner may say what takes its names away");
	return -EPERM;
}

/* What will take its names away, and that the caller may say so. */
static int settle_life(const struct bfs_file *file, bool asked_for,
		       uint32_t flags, struct bfs_record *record,
		       struct iobuf_reason *reason)
{
	int r = settle_task(file, asked_for, record, reason);

	return r < 0 ? r : check_owner(file, record, flags, reason);
}

/* Its names will go with its task, or with its last close. */
static int become_bound(struct bfs_file *file, const struct bfs_record *record,
			struct iobuf_reason *ret_reason,
			int (*how)(struct bfs_file *file,
				   const struct bfs_record *record,
				   struct iobuf_reason *ret_reason))
{
	struct bfs_task *task;
	int r = bfs_task_begin(file, record, &task);

	if (r < 0) {
		snprintf(ret_reason->text, sizeof(ret_reason->text),
			 "its process cannot be waited for");
		return r;
	}
	r = bfs_task_end(file, task, how(file, record, ret_reason));
	if (r == 0)
		bfs_file_note_life(file);
	return r;
}

int bfs_file_configure(struct bfs_file *file, const struct iobuf_spec *asked,
		       const struct iobuf_spec *defaults, uint32_t flags,
		       struct iobuf_reason *ret_reason)
{
	/* `defaults` may be the record's own, which can be read again here. */
	const struct iobuf_spec fallback = *defaults;
	struct bfs_record record;
	int r = wait_for_release(file, !(asked->given & IOBUF_GIVEN_SHARING));

	if (r < 0)
		return r;
	record = file->record;
	if ((r = iobuf_spec_resolve(asked, &fallback, &record.spec,
				    ret_reason)) < 0 ||
	    (r = settle_life(file, asked->given & IOBUF_GIVEN_TASK, flags,
			     &record, ret_reason)) < 0)
		return r;
	if (file->record.present && is_same(&record, &file->record) &&
	    (bfs_record_is_fixed(&record) || file->record.flags == flags)) {
		/* Its worker may have died between that and this. */
		bfs_file_note_life(file);
		return set_first_length(file, &record);
	}
	if ((r = iobuf_spec_supported(&record.spec, ret_reason)) < 0 ||
	    (r = check_datapath(file, &record.spec, ret_reason)) < 0)
		return r;
	record.flags = flags;
	record.longest_run = 0;
	if (!(record.spec.options & IOBUF_PURGEABLE))
		record.purgeable = 0;
	record.length = asked->given & IOBUF_GIVEN_LENGTH
				? asked->length
				: record.spec.capacity;
	return become_bound(file, &record, ret_reason, become);
}

/*
 * rsync takes away what its new file got from the directory and the original
 * has not: the mount's defaults are left, around the contents.
 */
static int disinherit(struct bfs_file *file)
{
	struct iobuf_reason reason = { 0 };
	struct bfs_record record = file->record;
	struct stat st;
	int r = bfs_file_stat(file, &st);

	if (r < 0)
		return r;
	record.spec = record.inherited = file->fs->defaults;
	record.flags = 0;
	record.purgeable = 0;
	record.length = (uint64_t)st.st_size;
	if ((r = settle_life(file, false, 0, &record, &reason)) < 0)
		return r;
	return become_bound(file, &record, &reason, bfs_file_convert);
}

static int become_plain(struct bfs_file *file, const struct bfs_record *record,
			struct iobuf_reason *ret_reason)
{
	int r = check_change(file, &record->spec, ret_reason);

	if (r < 0)
		return r;
	bfs_file_drop_wired(file);
	return bfs_file_store(file, record);
}

int bfs_file_unconfigure(struct bfs_file *file)
{
	struct iobuf_reason reason = { 0 };
	struct bfs_record record = file->record;
	int r;

	if (!(record.flags & BFS_RECORD_EXPLICIT))
		return -ENODATA;
	if (record.flags & BFS_RECORD_INHERITED)
		return disinherit(file);
	r = iobuf_spec_resolve(&record.inherited, &record.inherited,
			       &record.spec, NULL);
	if (r < 0 || (r = settle_life(file, false, 0, &record, &reason)) < 0)
		return r;
	record.flags = 0;
	record.purgeable = 0;
	return become_bound(file, &record, &reason, become_plain);
}

const struct iobuf_spec *bfs_directory_defaults(const struct bfs_fs *fs,
						const struct bfs_record *record)
{
	return record->present ? &record->spec : &fs->defaults;
}

int bfs_file_inherit(struct bfs_file *file, const struct bfs_record *directory)
{
	struct iobuf_reason reason = { 0 };
	struct iobuf_spec nothing = iobuf_spec_default;
	const struct iobuf_spec *defaults =
		bfs_directory_defaults(file->fs, directory);
	int r;

	nothing.given = 0;
	if (iobuf_spec_equal(defaults, &file->record.spec))
		return 0; /* a plain buffer needs no record */
	file->record.inherited = *defaults;
	/* A process that the directory names was looked at when it was named. */
	if (defaults->task > IOBUF_TASK_KERNEL) {
		file->record.spec.task = defaults->task;
		file->record.task_start = directory->task_start;
	}
	r = bfs_file_configure(file, &nothing, defaults,
			       (directory->flags & BFS_RECORD_EXPLICIT) |
				       BFS_RECORD_INHERITED, &reason);
	if (r < 0)
		bfs_log_refusal("a new file cannot have its directory's "
				"defaults: %s", reason.text);
	return r;
}

int bfs_file_set_direction(struct bfs_file *file, uint32_t direction,
			   struct iobuf_reason *ret_reason)
{
	const struct bfs_slot *slot = file->inode->slot;
	struct bfs_record record = file->record;
	int r;

	if (direction == (record.spec.options & IOBUF_DIRECTION_MASK))
		return 0;
	if (slot && slot->plain_opens)
		bfs_inode_wait_for_release(file->fs->inodes, file->inode, true);
	if ((r = bfs_record_load_fd(file->fd, &record)) < 0)
		return r;
	slot = file->inode->slot;
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
	if ((r = bfs_file_store(file, &record)) < 0)
		return r;
	if (file->inode->wired)
		iobuf_set_direction(file->inode->wired, direction);
	return 0;
}
