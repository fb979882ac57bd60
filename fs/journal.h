/* SPDX-License-Identifier: MIT */
/*
 * journal.h - what a request that must not run twice has found before it runs.
 *
 * The next worker gets the requests again that a killed one has not answered,
 * and cannot tell from the request whether it has run: a second mkdir(2) would be
 * EEXIST. So whoever is about to make, move or remove something notes first what
 * is there, under the request's unique; who gets it again compares that with
 * what is there now.
 *
 *   died before the note    nothing was done: as a request that comes first
 *   after it, before it ran what was noted is still there: it runs now
 *   after it ran            what was noted is not, what it makes is: the rest is
 *                           done (an owner given, the file opened) and answered
 *   after the answer        the kernel does not ask again; the note is dropped
 *                           as another takes its place
 *
 * The comparison tells for sure because the kernel holds a directory's lock from
 * a request to its answer: nobody else changes names there meanwhile. Where
 * another does, in a pool that is not the mount's own, files are told apart by
 * their nodeids, and what came later than the note is left alone.
 *
 * A note is in the shared block from bfs_journal_begin() to the end of its
 * request; nothing is noted with io_uring, where no worker takes over.
 *
 * A thread works on one request at a time. Every function may be called from any
 * thread, with locks held, and with a journal of NULL: then nothing is noted.
 */
#ifndef BFS_JOURNAL_H
#define BFS_JOURNAL_H

#include "shared.h"

struct bfs_journal;

/* Constant in meaning: the next worker may be of another version. What `before`
 * has of each: */
enum bfs_journal_operation {
	BFS_JOURNAL_NONE,
	BFS_JOURNAL_CREATE,  /* nodeid of the file about to be named, and 0; of
				  * one that has its name and is not complete, and
				  * 1; nothing: there was no such name */
	BFS_JOURNAL_TMPFILE, /* nodeid of the file */
	BFS_JOURNAL_MKDIR,   /* nothing: there was no such name */
	BFS_JOURNAL_MKNOD,   /* as that */
	BFS_JOURNAL_SYMLINK, /* as that */
	BFS_JOURNAL_LINK,    /* as that */
	BFS_JOURNAL_UNLINK,  /* nodeid of the name's file */
	BFS_JOURNAL_RENAME,  /* of the old name's file, of the new one's or 0 */
	BFS_JOURNAL_SETXATTR,    /* nothing: there was none */
	BFS_JOURNAL_REMOVEXATTR, /* nothing: there was one */
	BFS_JOURNAL_APPEND,      /* the length */
	BFS_JOURNAL_PURGEABLE,   /* the state, and how often it was purged */
};

/* Take over the notes of a shared block, as the last worker left them, whatever
 * that is. 0; -ENOMEM. */
int bfs_journal_create(struct bfs_shared *shared, struct bfs_journal **ret_journal);
void bfs_journal_destroy(struct bfs_journal *journal);

/*
 * This thread works on the request `unique` until bfs_journal_end(). again: an
 * earlier worker has been given it.
 */
void bfs_journal_request(struct bfs_journal *journal, uint64_t unique,
			 bool again);
void bfs_journal_end(struct bfs_journal *journal);

/* Is there a request to note something of? */
bool bfs_journal_is_on(const struct bfs_journal *journal);

/*
 * Note what there is, right before the request's operation runs; in place of
 * what was noted of the same operation before. What runs as a part of another
 * operation of the request is not noted.
 */
void bfs_journal_begin(struct bfs_journal *journal,
		       enum bfs_journal_operation operation, uint64_t before,
		       uint64_t before_too);

/* Did an earlier worker begin this operation of the request? What it noted is
 * in ret_before then. */
bool bfs_journal_begun(struct bfs_journal *journal,
		       enum bfs_journal_operation operation,
		       uint64_t ret_before[2]);

#endif
