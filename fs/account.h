/* SPDX-License-Identifier: MIT */
/*
 * account.h - who has how much of the pool: per owner, per tag, per task.
 *
 * Nothing is counted while buffers are made and go: a reader of the figures
 * pays for them, by a walk of the pool. Several readers share one walk.
 */
#ifndef BFS_ACCOUNT_H
#define BFS_ACCOUNT_H

#include "file.h"

struct bfs_accounts;

/* Whose figures: of a row's key the others are 0. */
enum bfs_account_kind {
	BFS_ACCOUNT_TOTAL,
	BFS_ACCOUNT_OWNER,
	BFS_ACCOUNT_TAG,
	BFS_ACCOUNT_TASK,
};

struct bfs_account_key {
	enum bfs_account_kind kind;
	bool everyone; /* a tag or task, whoever owns the buffers; else uid's */
	uid_t uid;
	int32_t task;
	char tag[IOBUF_TAG_MAX + 1];
};

/* Regular files; bytes but for the first and the last. */
struct bfs_account {
	uint64_t buffers;
	uint64_t asked;    /* capacity, or the size of an elastic buffer */
	uint64_t resident; /* in memory, reserved pages too */
	uint64_t wired;    /* resident, of wired buffers */
	uint64_t huge;     /* in huge pages; IOBUF_UNKNOWN before Linux 6.7 */
	uint64_t volatile_bytes; /* allocated, of volatile buffers */
	uint64_t purged;   /* times that contents went */
};

/* The rows of one walk, any order. */
struct bfs_account_row {
	struct bfs_account_key key;
	struct bfs_account sum;
};

/* An empty set of rows; add a buffer to each row that it belongs to; free.
 * -ENOMEM: the set is of no use any more. */
int bfs_accounts_create(struct bfs_accounts **ret_accounts);
int bfs_accounts_add(struct bfs_accounts *accounts, uid_t owner,
		     const struct iobuf_spec *spec,
		     const struct bfs_account *buffer);
void bfs_accounts_free(struct bfs_accounts *accounts);

/* Who reads: who may not see all sees the total and what is his own. */
struct bfs_account_reader {
	uid_t uid;
	bool sees_all;
};

/*
 * "total=", "owner.UID=", "tag.TEXT=" and "task.PID=", a line each, with
 * "buffers:N asked:N resident:N wired:N huge:N volatile:N purged:N". Owners
 * first, then the rest; the largest by what they asked for first. Rows that do
 * not fit into `size` bytes are left out, the smallest first, and "omitted=N"
 * tells how many. Returns the length of the text; -ERANGE when not even the
 * total fits; -ENOMEM.
 */
int bfs_accounts_print(const struct bfs_accounts *accounts,
		       struct bfs_account_reader reader, char *buf, size_t size);

/*
 * The figures of a pool as they are, or as they were a moment ago: a walk is
 * used again for four times as long as it took, so that all readers together
 * take no more than a fifth of one CPU. One thread walks at a time; a few wait
 * for it, and who comes then gets what the walk before has found: readers do
 * not use up the threads that serve everybody. What is open and has no name any
 * more counts too.
 *
 * cache: of bfs_account_cache_create(), or NULL: walk each time. Returns as
 * bfs_accounts_print(), and errors of openat(2). Not to be called with an
 * inode's lock; takes none.
 */
struct bfs_account_cache;

int bfs_account_cache_create(struct bfs_account_cache **ret_cache);
int bfs_account_print(const struct bfs_fs *fs, struct bfs_account_reader reader,
		      char *buf, size_t size);

#endif
