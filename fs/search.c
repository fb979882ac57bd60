/* SPDX-License-Identifier: MIT */
#include "search.h"

#include "fd.h"
#include "log.h"
#include "thread.h"
#include "tree.h"
#include "walk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

/* A file whose names are searched for. */
struct item {
	uint64_t nodeid;
	struct stat st;
	unsigned int walks; /* that did not find all of its names */
};

struct list {
	struct item *items;
	size_t count, size;
};

static struct {
	pthread_mutex_t lock; /* protects what follows */
	pthread_cond_t asked, done;
	struct list waiting;
	bool has_thread, is_walking;
} searches = {
	.lock = PTHREAD_MUTEX_INITIALIZER,
	.asked = PTHREAD_COND_INITIALIZER,
	.done = PTHREAD_COND_INITIALIZER,
};

static int add(struct list *list, const struct item *item)
{
	const size_t size = list->size ? list->size * 2 : 64;
	struct item *items;

	if (list->count == list->size) {
		if (!(items = realloc(list->items, size * sizeof(*items))))
			return -ENOMEM;
		list->items = items;
		list->size = size;
	}
	list->items[list->count++] = *item;
	return 0;
}

static int by_inode(const void *a, const void *b)
{
	const struct item *x = a, *y = b;

	return (x->st.st_ino > y->st.st_ino) - (x->st.st_ino < y->st.st_ino);
}

struct walk {
	struct bfs_fs *fs;
	const struct list *list; /* by inode */
};

static int visit(void *context, const struct bfs_walk_entry *entry)
{
	const struct walk *walk = context;
	const struct item key = { .st = entry->st };
	const struct item *item;

	if (S_ISDIR(entry->st.st_mode))
		return 0;
	item = bsearch(&key, walk->list->items, walk->list->count, sizeof(key),
		       by_inode);
	if (item)
		bfs_unlink_entry(walk->fs, entry->dir_fd, entry->name,
				 item->nodeid, &item->st);
	return 0;
}

/* Does the file have names? Fills in its inode. */
static bool has_names(struct bfs_fs *fs, struct item *item)
{
	BFS_FD int fd = bfs_node_open(fs->nodes, item->nodeid,
				      O_PATH | O_NOFOLLOW);

	return fd >= 0 && fstat(fd, &item->st) == 0 && item->st.st_nlink > 0;
}

/* One walk for all of them. */
static void search(struct bfs_fs *fs, struct list *list)
{
	struct list named = { 0 };

	for (size_t i = 0; i < list->count; i++)
		if (!has_names(fs, &list->items[i]) ||
		    add(&named, &list->items[i]) < 0)
			bfs_names_gone(fs, list->items[i].nodeid);
	if (named.count) {
		struct walk walk = { fs, &named };

		qsort(named.items, named.count, sizeof(*named.items), by_inode);
		bfs_walk(fs->root_fd, visit, &walk);
	}
	free(list->items);
	*list = named;
}

/* Names can move out of the way of a walk, and some are not of the pool. */
static void look_again(struct bfs_fs *fs, struct item *item)
{
	enum { WALKS_MAX = 16 };
	int r = 0;

	if (has_names(fs, item) && ++item->walks < WALKS_MAX) {
		pthread_mutex_lock(&searches.lock);
		r = add(&searches.waiting, item);
		pthread_mutex_unlock(&searches.lock);
		if (r == 0)
			return;
	}
	if (r < 0 || item->walks == WALKS_MAX)
		bfs_log(LOG_ERR, "a name that has to go is not found");
	bfs_names_gone(fs, item->nodeid);
}

static struct list take_waiting(void)
{
	struct list list;

	pthread_mutex_lock(&searches.lock);
	searches.is_walking = false;
	if (!searches.waiting.count)
		pthread_cond_broadcast(&searches.done);
	while (!searches.waiting.count)
		pthread_cond_wait(&searches.asked, &searches.lock);
	searches.is_walking = true;
	list = searches.waiting;
	searches.waiting = (struct list){ 0 };
	pthread_mutex_unlock(&searches.lock);
	return list;
}

static void *run(void *context)
{
	struct bfs_fs *fs = context;

	for (;;) {
		struct list list = take_waiting();

		search(fs, &list);
		for (size_t i = 0; i < list.count; i++)
			look_again(fs, &list.items[i]);
		free(list.items);
	}
	return NULL;
}

int bfs_search_names(struct bfs_fs *fs, uint64_t nodeid)
{
	const struct item item = { .nodeid = nodeid };
	int r = -EAGAIN;

	pthread_mutex_lock(&searches.lock);
	if (!searches.has_thread)
		searches.has_thread = bfs_thread_start(run, fs) == 0;
	if (searches.has_thread && (r = add(&searches.waiting, &item)) == 0)
		pthread_cond_signal(&searches.asked);
	pthread_mutex_unlock(&searches.lock);
	return r < 0 ? r : -EINPROGRESS;
}

void bfs_search_wait(void)
{
	pthread_mutex_lock(&searches.lock);
	while (searches.has_thread &&
	       (searches.waiting.count || searches.is_walking))
		pthread_cond_wait(&searches.done, &searches.lock);
	pthread_mutex_unlock(&searches.lock);
}
