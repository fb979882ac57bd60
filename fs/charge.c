/* SPDX-License-Identifier: MIT */
/*
 * charge.c - what a buffer takes of the mount's limits: counted before it has
 * it, and given back when it is gone. All limits in one place.
 */
#include "file_internal.h"

#include "headroom.h"
#include "limit.h"
#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/statvfs.h>

/* What a buffer of `bytes` bytes takes of each limit. */
static struct bfs_charge charge_of(const struct bfs_fs *fs,
				   const struct bfs_record *record,
				   uint64_t bytes)
{
	const bool wired = bfs_record_is_wired(record);
	const bool owned = wired || bfs_record_is_fixed(record);

	return (struct bfs_charge){
		.wired = wired ? bytes : 0,
		.contiguous = bfs_record_is_physical(record) ? bytes : 0,
		.owned = fs->owners && owned ? bytes : 0,
	};
}

/* Raise what counts of a limit. */
static int charge_limit(struct bfs_limit *limit, uint64_t *charged, uint64_t to)
{
	const uint64_t more = to > *charged ? to - *charged : 0;
	uint64_t used;

	if (more == 0)
		return 0;
	used = atomic_fetch_add(&limit->used, more);
	if (!limit->max || (used <= limit->max && more <= limit->max - used)) {
		*charged = to;
		return 0;
	}
	atomic_fetch_sub(&limit->used, more);
	bfs_log_refusal("%llu bytes more are over the mount's limit: %llu of %llu "
			"are in use; raise -o %s=",
			(unsigned long long)more, (unsigned long long)used,
			(unsigned long long)limit->max, limit->name);
	return -ENOMEM;
}

static void uncharge_limit(struct bfs_limit *limit, uint64_t *charged,
			   uint64_t to)
{
	if (*charged <= to)
		return;
	atomic_fetch_sub(&limit->used, *charged - to);
	*charged = to;
}

/* The slot tells the next worker to count it again. */
static int charge_owner(struct bfs_file *file, uint64_t to,
			int (*count)(struct bfs_owners *owners, uid_t uid,
				     uint64_t bytes))
{
	struct bfs_inode *inode = file->inode;
	const uint64_t had = inode->charged.owned;
	struct stat st;
	int r;

	if (to <= had)
		return 0;
	if (had == 0) {
		if (fstat(file->fd, &st) < 0)
			return -errno;
		if ((r = bfs_inode_take_slot(file->fs->inodes, inode)) < 0)
			return r;
		inode->owner = st.st_uid;
		inode->slot->flags |= BFS_SLOT_CHARGED;
	}
	if ((r = count(file->fs->owners, inode->owner, to - had)) == 0)
		inode->charged.owned = to;
	else if (had == 0)
		inode->slot->flags &= ~(uint32_t)BFS_SLOT_CHARGED;
	return r;
}

static void uncharge_owner(struct bfs_file *file, uint64_t to)
{
	struct bfs_inode *inode = file->inode;

	if (inode->charged.owned <= to)
		return;
	bfs_owners_uncharge(file->fs->owners, inode->owner,
			    inode->charged.owned - to);
	inode->charged.owned = to;
	if (to == 0)
		inode->slot->flags &= ~(uint32_t)BFS_SLOT_CHARGED;
}

static void lower(struct bfs_file *file, struct bfs_charge to)
{
	struct bfs_charge *charged = &file->inode->charged;

	uncharge_limit(&file->fs->wired, &charged->wired, to.wired);
	uncharge_limit(&file->fs->contiguous, &charged->contiguous,
		       to.contiguous);
	uncharge_owner(file, to.owned);
}

static uint64_t smaller(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* What of it is beyond its first hole: looking for that may take long. */
static uint64_t from_hole(int fd, uint64_t offset, uint64_t end)
{
	const off_t hole = lseek(fd, (off_t)offset, SEEK_HOLE);

	return hole < 0 || (uint64_t)hole <= offset ? end - offset
	       : (uint64_t)hole < end		    ? end - (uint64_t)hole
						    : 0;
}

int bfs_file_want_memory(const struct bfs_file *file, uint64_t offset,
			 uint64_t end)
{
	struct bfs_headroom *headroom = file->fs->headroom;
	uint64_t missing, has;
	struct statvfs pool;
	struct stat st;

	if (!headroom || offset >= end)
		return 0;
	if (fstat(file->fd, &st) < 0)
		return -errno;
	has = (uint64_t)st.st_blocks * 512;
	missing = has < end ? smaller(end - has, end - offset) : 0;
	if (bfs_headroom_try(headroom, missing))
		return 0;
	/* It is short: look closer. */
	if (fstatvfs(file->fs->root_fd, &pool) < 0)
		return -errno;
	/* A tmpfs refuses at once what it could never have, and takes the rest
	 * until it is full. */
	if (pool.f_blocks &&
	    end - offset > (uint64_t)pool.f_blocks * pool.f_frsize)
		return 0;
	missing = smaller(missing, from_hole(file->fd, offset, end));
	if (pool.f_blocks)
		missing = smaller(missing,
				  (uint64_t)pool.f_bavail * pool.f_frsize);
	return bfs_headroom_take(headroom, missing);
}

int bfs_file_charge(struct bfs_file *file, const struct bfs_record *record,
		    uint64_t bytes)
{
	struct bfs_fs *fs = file->fs;
	struct bfs_charge *charged = &file->inode->charged;
	const struct bfs_charge before = *charged;
	const struct bfs_charge to = charge_of(fs, record, bytes);
	int r;

	/* The one that may wait comes first: others do not count meanwhile. */
	if ((r = charge_owner(file, to.owned, bfs_owners_charge)) < 0 ||
	    (r = charge_limit(&fs->wired, &charged->wired, to.wired)) < 0 ||
	    (r = charge_limit(&fs->contiguous, &charged->contiguous,
			      to.contiguous)) < 0 ||
	    (r = bfs_file_want_memory(file, 0, bytes)) < 0)
		lower(file, before);
	return r;
}

void bfs_file_uncharge(struct bfs_file *file, const struct bfs_record *record,
		       uint64_t down_to)
{
	lower(file, charge_of(file->fs, record, down_to));
}

void bfs_file_uncharge_wired(struct bfs_file *file, uint64_t owned)
{
	lower(file, (struct bfs_charge){ .owned = owned });
}

/* What the buffer takes as it is. */
static int charge_as_it_is(const struct bfs_file *file,
			   struct bfs_charge *ret_charge)
{
	struct stat st;

	if (fstat(file->fd, &st) < 0)
		return -errno;
	*ret_charge = charge_of(file->fs, &file->record,
				bfs_record_is_fixed(&file->record)
					? file->record.spec.capacity
					: (uint64_t)st.st_size);
	return 0;
}

void bfs_file_settle(struct bfs_file *file)
{
	struct bfs_charge charge;

	if (charge_as_it_is(file, &charge) == 0)
		lower(file, charge);
}

static void count_limit(struct bfs_limit *limit, uint64_t *charged, uint64_t to)
{
	if (*charged >= to)
		return;
	atomic_fetch_add(&limit->used, to - *charged);
	*charged = to;
}

int bfs_file_count_owned(struct bfs_file *file)
{
	struct bfs_charge charge;
	int r = charge_as_it_is(file, &charge);

	return r < 0 ? r : charge_owner(file, charge.owned, bfs_owners_count);
}

int bfs_file_count_again(struct bfs_file *file)
{
	struct bfs_charge *charged = &file->inode->charged;
	struct bfs_charge charge;
	int r = charge_as_it_is(file, &charge);

	if (r < 0)
		return r;
	count_limit(&file->fs->wired, &charged->wired, charge.wired);
	count_limit(&file->fs->contiguous, &charged->contiguous,
		    charge.contiguous);
	r = charge_owner(file, charge.owned, bfs_owners_count);
	/* As it was marked by who did not get that far. */
	if (charged->owned == 0)
		file->inode->slot->flags &= ~(uint32_t)BFS_SLOT_CHARGED;
	return r;
}

int bfs_file_chown(struct bfs_file *file, uid_t uid, gid_t gid)
{
	struct bfs_owners *owners = file->fs->owners;
	struct bfs_inode *inode = file->inode;
	const uint64_t owned = inode->charged.owned;
	const bool moves = owned && uid != (uid_t)-1 && uid != inode->owner;
	int r = moves ? bfs_owners_charge(owners, uid, owned) : 0;

	if (r < 0)
		return r;
	if (fchownat(file->fd, "", uid, gid, AT_EMPTY_PATH) < 0)
		r = -errno;
	if (moves)
		bfs_owners_uncharge(owners, r < 0 ? uid : inode->owner, owned);
	if (moves && r == 0)
		inode->owner = uid;
	return r;
}
