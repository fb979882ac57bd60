/* SPDX-License-Identifier: MIT */
/*
 * account_walk.c - look at every buffer of the pool, and let readers share it.
 */
#include "account.h"

#include "clock.h"
#include "fd.h"
#include "file_internal.h"
#include "purge.h"
#include "walk.h"

#include <iobuf/purgeable.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

/* Inodes that are met by more than one way: by several names, or by none.
 * Open addressing; 0 is free. */
struct inode_set {
	uint64_t *inos;
	size_t size, used; /* size: 0, or a power of two */
};

static uint64_t *find_ino(const struct inode_set *set, uint64_t ino)
{
	size_t i = (size_t)(ino * UINT64_C(0x9E3779B97F4A7C15) >> 32) &
		   (set->size - 1);

	while (set->inos[i] && set->inos[i] != ino)
		i = (i + 1) & (set->size - 1);
	return &set->inos[i];
}

static int grow_set(struct inode_set *set)
{
	struct inode_set larger = { .size = set->size ? set->size * 2 : 64,
				    .used = set->used };

	if (!(larger.inos = calloc(larger.size, sizeof(*larger.inos))))
		return -ENOMEM;
	for (size_t i = 0; i < set->size; i++)
		if (set->inos[i])
			*find_ino(&larger, set->inos[i]) = set->inos[i];
	free(set->inos);
	*set = larger;
	return 0;
}

/* 1: it was not there before; 0: it was. */
static int add_ino(struct inode_set *set, uint64_t ino)
{
	uint64_t *place;

	if (set->used * 2 >= set->size && grow_set(set) < 0)
		return -ENOMEM;
	place = find_ino(set, ino);
	if (*place)
		return 0;
	*place = ino;
	set->used++;
	return 1;
}

struct survey {
	const struct bfs_fs *fs;
	struct bfs_accounts *accounts;
	struct inode_set seen;
	int error;
};

static bool is_volatile(const struct bfs_record *record)
{
	return (bfs_record_purgeable(record) & IOBUF_PURGEABLE_STATE_MASK) ==
	       IOBUF_PURGEABLE_VOLATILE;
}

static struct bfs_account measure(int fd, const struct stat *st,
				  const struct bfs_record *record)
{
	struct bfs_account a = {
		.buffers = 1,
		.asked = bfs_record_is_fixed(record) ? record->spec.capacity
						     : (uint64_t)st->st_size,
		.purged = record->purge_count,
	};
	struct iobuf_usage usage;

	if (st->st_blocks == 0)
		return a;
	if (iobuf_get_file_usage(fd, &usage) < 0)
		usage = (struct iobuf_usage){
			.allocated = (uint64_t)st->st_blocks * 512,
			.resident = (uint64_t)st->st_blocks * 512,
			.huge = IOBUF_UNKNOWN,
		};
	a.resident = usage.resident;
	a.wired = bfs_record_is_wired(record) ? usage.resident : 0;
	a.huge = usage.huge;
	a.volatile_bytes = is_volatile(record) ? usage.allocated : 0;
	return a;
}

/* A file of the pool; fd: open for reading, or O_PATH. */
static int add_file(struct survey *s, int fd, const struct stat *st)
{
	struct bfs_record record;
	struct bfs_account buffer;

	/* What is not a record says nothing. */
	if (bfs_record_load_fd(fd, &record) < 0)
		record = bfs_record_plain();
	buffer = measure(fd, st, &record);
	return bfs_accounts_add(s->accounts, st->st_uid, &record.spec, &buffer);
}

static int visit(void *context, const struct bfs_walk_entry *entry)
{
	const int flags = O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
	struct survey *s = context;
	BFS_FD int fd = -1;
	struct stat st;
	int r;

	if (!S_ISREG(entry->st.st_mode))
		return 0;
	if (entry->st.st_nlink > 1 &&
	    (r = add_ino(&s->seen, entry->st.st_ino)) != 1)
		return r;
	fd = openat(entry->dir_fd, entry->name, O_RDONLY | flags);
	if (fd < 0) /* not for us to read */
		fd = openat(entry->dir_fd, entry->name, O_PATH | flags);
	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return 0;
	return add_file(s, fd, &st);
}

/* What is in use may have lost its name. */
static void visit_nameless(void *context, uint64_t nodeid)
{
	struct survey *s = context;
	BFS_FD int path_fd = -1, fd = -1;
	struct stat st;
	int r;

	if (s->error)
		return;
	path_fd = bfs_node_open(s->fs->nodes, nodeid, O_PATH | O_NOFOLLOW);
	if (path_fd < 0 || fstat(path_fd, &st) < 0 || st.st_nlink ||
	    !S_ISREG(st.st_mode))
		return;
	if ((r = add_ino(&s->seen, st.st_ino)) == 1) {
		fd = open(bfs_fd_path(path_fd).text, O_RDONLY | O_CLOEXEC);
		r = add_file(s, fd >= 0 ? fd : path_fd, &st);
	}
	s->error = r;
}

static int walk_pool(const struct bfs_fs *fs, struct bfs_accounts **ret_accounts)
{
	struct survey s = { .fs = fs };
	int r = bfs_accounts_create(&s.accounts);

	if (r == 0)
		r = bfs_walk(fs->root_fd, visit, &s);
	if (r == 0) {
		bfs_inode_each_slot(fs->inodes, visit_nameless, &s);
		bfs_node_each_nameless(fs->nodes, visit_nameless, &s);
		r = s.error;
	}
	free(s.seen.inos);
	if (r < 0)
		bfs_accounts_free(s.accounts);
	else
		*ret_accounts = s.accounts;
	return r;
}

/* What a walk has found, while somebody reads it. */
struct figures {
	struct bfs_accounts *accounts;
	uint64_t end_ns, took_ns;
	atomic_uint users;
};

struct bfs_account_cache {
	pthread_mutex_t lock;   /* a leaf; protects what follows */
	pthread_cond_t walked;  /* a walk has ended */
	bool walking;
	uint64_t walks;         /* that ended */
	int error;              /* of the last one */
	unsigned int waiting;
	struct figures *latest; /* NULL: none yet */
};

int bfs_account_cache_create(struct bfs_account_cache **ret_cache)
{
	struct bfs_account_cache *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	pthread_mutex_init(&c->lock, NULL);
	pthread_cond_init(&c->walked, NULL);
	*ret_cache = c;
	return 0;
}

static void release(struct figures *f)
{
	if (!f || atomic_fetch_sub(&f->users, 1) > 1)
		return;
	bfs_accounts_free(f->accounts);
	free(f);
}

static int make_figures(const struct bfs_fs *fs, struct figures **ret_figures)
{
	const uint64_t begin = bfs_now_ns();
	struct figures *f = calloc(1, sizeof(*f));
	int r = f ? walk_pool(fs, &f->accounts) : -ENOMEM;

	if (r < 0) {
		free(f);
		return r;
	}
	f->end_ns = bfs_now_ns();
	f->took_ns = f->end_ns - begin;
	f->users = 1;
	*ret_figures = f;
	return 0;
}

static bool are_fresh(const struct figures *f)
{
	enum { TIMES = 4 };

	return f && bfs_now_ns() - f->end_ns < TIMES * f->took_ns;
}

/* With cache->lock, which is given up meanwhile. */
static void walk_for_all(const struct bfs_fs *fs, struct bfs_account_cache *c)
{
	struct figures *f = NULL, *former = NULL;
	int r;

	c->walking = true;
	pthread_mutex_unlock(&c->lock);
	r = make_figures(fs, &f);
	pthread_mutex_lock(&c->lock);
	c->walking = false;
	c->walks++;
	if ((c->error = r) == 0) {
		former = c->latest;
		c->latest = f;
	}
	pthread_cond_broadcast(&c->walked);
	release(former);
}

/* Wait for the walk at hand, unless enough do and there are figures to have. */
static void wait_for_walk(struct bfs_account_cache *c)
{
	enum { WAITING_MAX = 8 };
	const uint64_t walks = c->walks;

	if (c->waiting >= WAITING_MAX && c->latest)
		return;
	c->waiting++;
	while (c->walks == walks)
		pthread_cond_wait(&c->walked, &c->lock);
	c->waiting--;
}

static int take_figures(const struct bfs_fs *fs, struct figures **ret_figures)
{
	struct bfs_account_cache *c = fs->accounts;
	int r = 0;

	if (!c)
		return make_figures(fs, ret_figures);
	pthread_mutex_lock(&c->lock);
	if (!are_fresh(c->latest)) {
		if (c->walking)
			wait_for_walk(c);
		else
			walk_for_all(fs, c);
		r = c->error;
	}
	if (c->latest) {
		atomic_fetch_add(&c->latest->users, 1);
		*ret_figures = c->latest;
		r = 0;
	}
	pthread_mutex_unlock(&c->lock);
	return r;
}

int bfs_account_print(const struct bfs_fs *fs, struct bfs_account_reader reader,
		      char *buf, size_t size)
{
	struct figures *f = NULL;
	int n = take_figures(fs, &f);

	if (n < 0)
		return n;
	n = bfs_accounts_print(f->accounts, reader, buf, size);
	release(f);
	return n;
}
