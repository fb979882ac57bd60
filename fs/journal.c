/* SPDX-License-Identifier: MIT */
#include "journal.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

/*
 * Places for notes. A request takes one when it begins and gives it back at its
 * end, so that there are as many in use as threads. Those that are left of an
 * earlier worker wait for their requests; those that have been answered never
 * come: what they occupy is taken when nothing else is left, the oldest first.
 * The kernel counts its requests.
 */
enum place_use { PLACE_FREE, PLACE_TAKEN, PLACE_LEFT };

struct bfs_journal {
	struct bfs_journal_note *notes; /* in the shared block */
	pthread_mutex_t lock;           /* protects what follows */
	uint16_t free[BFS_JOURNAL_MAX]; /* a stack */
	uint32_t free_count;
	unsigned char use[BFS_JOURNAL_MAX]; /* enum place_use */
};

static_assert(BFS_JOURNAL_MAX <= UINT16_MAX, "the stack has room for numbers");

/* The request that this thread works on. */
static __thread struct {
	uint64_t unique; /* 0: none */
	bool begun;      /* by an earlier worker */
	int place;       /* -1: nothing is noted */
} request = { .place = -1 };

int bfs_journal_create(struct bfs_shared *shared, struct bfs_journal **ret_journal)
{
	struct bfs_journal *j = calloc(1, sizeof(*j));

	if (!j)
		return -ENOMEM;
	j->notes = shared->journal;
	pthread_mutex_init(&j->lock, NULL);
	for (uint32_t i = 0; i < BFS_JOURNAL_MAX; i++)
		if (j->notes[i].unique)
			j->use[i] = PLACE_LEFT;
		else
			j->free[j->free_count++] = (uint16_t)i;
	*ret_journal = j;
	return 0;
}

void bfs_journal_destroy(struct bfs_journal *journal)
{
	if (!journal)
		return;
	pthread_mutex_destroy(&journal->lock);
	free(journal);
}

/* The place that an earlier worker noted the request in, or -1. */
static int find_left(struct bfs_journal *j, uint64_t unique)
{
	int found = -1;

	pthread_mutex_lock(&j->lock);
	for (int i = 0; i < BFS_JOURNAL_MAX && found < 0; i++)
		if (j->use[i] == PLACE_LEFT && j->notes[i].unique == unique)
			found = i;
	if (found >= 0)
		j->use[found] = PLACE_TAKEN;
	pthread_mutex_unlock(&j->lock);
	return found;
}

void bfs_journal_request(struct bfs_journal *journal, uint64_t unique, bool again)
{
	if (!journal)
		return;
	request.unique = unique;
	request.place = again ? find_left(journal, unique) : -1;
	request.begun = request.place >= 0;
}

void bfs_journal_end(struct bfs_journal *journal)
{
	const int place = request.place;

	request.unique = 0;
	request.place = -1;
	request.begun = false;
	if (!journal || place < 0)
		return;
	atomic_store_explicit(&journal->notes[place].unique, 0,
			      memory_order_release);
	pthread_mutex_lock(&journal->lock);
	journal->use[place] = PLACE_FREE;
	journal->free[journal->free_count++] = (uint16_t)place;
	pthread_mutex_unlock(&journal->lock);
}

bool bfs_journal_is_on(const struct bfs_journal *journal)
{
	return journal && request.unique;
}

static int oldest_left(const struct bfs_journal *j)
{
	int oldest = -1;

	for (int i = 0; i < BFS_JOURNAL_MAX; i++)
		if (j->use[i] == PLACE_LEFT &&
		    (oldest < 0 || j->notes[i].unique < j->notes[oldest].unique))
			oldest = i;
	return oldest;
}

/* -1: more threads than places; then a request goes without. */
static int take_place(struct bfs_journal *j)
{
	int place;

	pthread_mutex_lock(&j->lock);
	place = j->free_count ? j->free[--j->free_count] : oldest_left(j);
	if (place >= 0)
		j->use[place] = PLACE_TAKEN;
	pthread_mutex_unlock(&j->lock);
	return place;
}

/* A worker can be killed between any two stores: a note that is not complete is
 * nobody's. */
static void write_note(struct bfs_journal_note *note, uint64_t unique,
		       enum bfs_journal_operation operation, uint64_t before,
		       uint64_t before_too)
{
	atomic_store_explicit(&note->unique, 0, memory_order_relaxed);
	atomic_thread_fence(memory_order_release);
	note->operation = operation;
	note->before[0] = before;
	note->before[1] = before_too;
	atomic_store_explicit(&note->unique, unique, memory_order_release);
}

void bfs_journal_begin(struct bfs_journal *journal,
		       enum bfs_journal_operation operation, uint64_t before,
		       uint64_t before_too)
{
	struct bfs_journal_note *note;

	if (!bfs_journal_is_on(journal))
		return;
	if (request.place < 0 && (request.place = take_place(journal)) < 0)
		return;
	note = &journal->notes[request.place];
	if (note->unique == request.unique && note->operation != operation)
		return;
	write_note(note, request.unique, operation, before, before_too);
}

bool bfs_journal_begun(struct bfs_journal *journal,
		       enum bfs_journal_operation operation,
		       uint64_t ret_before[2])
{
	const struct bfs_journal_note *note;

	if (!journal || !request.begun)
		return false;
	note = &journal->notes[request.place];
	if (note->operation != operation)
		return false;
	ret_before[0] = note->before[0];
	ret_before[1] = note->before[1];
	return true;
}
