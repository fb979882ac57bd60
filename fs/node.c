/* SPDX-License-Identifier: MIT */
#include "node.h"

#include "fd.h"
#include "walk.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

/*
 * Shapes of a 64-bit handle, by the words that the kernel's encoders write:
 * tmpfs {generation, inode low, inode high}, most others {inode, generation}
 * (FILEID_INO32_GEN). A nodeid is generation << 32 | inode.
 */
enum shape { SHAPE_NONE, SHAPE_TMPFS, SHAPE_INO32_GEN };

struct handle {
	struct file_handle head;
	uint32_t words[MAX_HANDLE_SZ / 4];
};

/* A looked-up file, where nodeids are inode numbers; elsewhere, a file without
 * a name. */
struct entry {
	struct entry *next;
	uint64_t nodeid, lookups;
	uint64_t parent; /* inode number of the directory that has `name` */
	char *name;      /* NULL: not known, so that `fd` has to stay */
	int fd;          /* O_PATH; -1: closed, see spare_descriptors() */
};

enum {
	BUCKETS = 1 << 14,
	HELD_MAX = 1024,  /* files without a name */
	FDS_MAX = 4096,   /* descriptors of the table */
	DEPTH_MAX = 256,  /* directories to be opened again, one in another */
};

struct bfs_nodes {
	int root_fd;
	dev_t device;
	enum shape shape;
	int handle_type, mount_id;
	uint64_t root_ino;
	pthread_mutex_t lock; /* protects what follows */
	unsigned int fds, fds_max; /* of entries */
	unsigned int hand;         /* bucket where descriptors are closed next */
	struct entry *buckets[BUCKETS];
	atomic_uint held; /* entries by bfs_node_hold() */
};

static int get_handle(int dir_fd, const char *name, struct handle *ret_handle,
		      int *ret_mount_id)
{
	ret_handle->head.handle_bytes = sizeof(ret_handle->words);
	return name_to_handle_at(dir_fd, name, &ret_handle->head, ret_mount_id,
				 *name ? 0 : AT_EMPTY_PATH) < 0
		       ? -errno
		       : 0;
}

static int encode(const struct bfs_nodes *nodes, const struct handle *h,
		  uint64_t *ret_nodeid)
{
	const uint32_t *w = h->words;
	uint32_t ino, generation;

	if (h->head.handle_type != nodes->handle_type)
		return -EOVERFLOW;
	if (nodes->shape == SHAPE_TMPFS) {
		if (h->head.handle_bytes != 12 || w[2])
			return -EOVERFLOW;
		generation = w[0];
		ino = w[1];
	} else {
		if (h->head.handle_bytes != 8)
			return -EOVERFLOW;
		ino = w[0];
		generation = w[1];
	}
	*ret_nodeid = (uint64_t)generation << 32 | ino;
	return 0;
}

static struct handle decode(const struct bfs_nodes *nodes, uint64_t nodeid)
{
	struct handle h = { .head.handle_type = nodes->handle_type };
	uint32_t generation = (uint32_t)(nodeid >> 32), ino = (uint32_t)nodeid;

	if (nodes->shape == SHAPE_TMPFS) {
		h.head.handle_bytes = 12;
		h.words[0] = generation;
		h.words[1] = ino;
	} else {
		h.head.handle_bytes = 8;
		h.words[0] = ino;
		h.words[1] = generation;
	}
	return h;
}

/* Can the root's handle be told from its inode number, and be opened? */
static enum shape find_shape(struct bfs_nodes *nodes, uint64_t root_ino)
{
	struct handle h;
	int fd;

	if (get_handle(nodes->root_fd, "", &h, &nodes->mount_id) < 0)
		return SHAPE_NONE;
	nodes->handle_type = h.head.handle_type;
	fd = open_by_handle_at(nodes->root_fd, &h.head, O_PATH | O_CLOEXEC);
	if (fd < 0)
		return SHAPE_NONE;
	close(fd);
	if (h.head.handle_bytes == 12 && h.words[1] == root_ino && !h.words[2])
		return SHAPE_TMPFS;
	if (h.head.handle_bytes == 8 && h.words[0] == root_ino)
		return SHAPE_INO32_GEN;
	return SHAPE_NONE;
}

/* Half of what there may be is for requests at work. */
static unsigned int most_descriptors(void)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) < 0 ||
	    files.rlim_cur > 2 * FDS_MAX)
		return FDS_MAX;
	return (unsigned int)files.rlim_cur / 2;
}

int bfs_nodes_create(int root_fd, struct bfs_nodes **ret_nodes)
{
	struct bfs_nodes *nodes = calloc(1, sizeof(*nodes));
	struct stat st;

	if (!nodes)
		return -ENOMEM;
	if (fstat(root_fd, &st) < 0) {
		int error = errno;

		free(nodes);
		return -error;
	}
	nodes->root_fd = root_fd;
	nodes->device = st.st_dev;
	nodes->root_ino = st.st_ino;
	nodes->fds_max = most_descriptors();
	pthread_mutex_init(&nodes->lock, NULL);
	nodes->shape = find_shape(nodes, st.st_ino);
	*ret_nodes = nodes;
	return 0;
}

static void close_entry(struct bfs_nodes *nodes, struct entry *e)
{
	if (e->fd < 0)
		return;
	close(e->fd);
	e->fd = -1;
	nodes->fds--;
}

static void drop_entry(struct bfs_nodes *nodes, struct entry *e)
{
	close_entry(nodes, e);
	free(e->name);
	free(e);
}

void bfs_nodes_destroy(struct bfs_nodes *nodes)
{
	if (!nodes)
		return;
	for (size_t i = 0; i < BUCKETS; i++)
		for (struct entry *e = nodes->buckets[i], *next; e; e = next) {
			next = e->next;
			drop_entry(nodes, e);
		}
	pthread_mutex_destroy(&nodes->lock);
	free(nodes);
}

/* The link that points at the entry of a nodeid, or at the end of its chain. */
static struct entry **find_entry(struct bfs_nodes *nodes, uint64_t nodeid)
{
	struct entry **link =
		&nodes->buckets[nodeid * UINT64_C(0x9E3779B97F4A7C15) >> 50];

	static_assert(BUCKETS == 1 << (64 - 50), "the hash has this many bits");

	while (*link && (*link)->nodeid != nodeid)
		link = &(*link)->next;
	return link;
}

/* Close descriptors that can be opened again by name, bucket after bucket. */
static void spare_descriptors(struct bfs_nodes *nodes)
{
	const unsigned int enough = nodes->fds_max - nodes->fds_max / 8;

	if (nodes->fds <= nodes->fds_max)
		return;
	for (unsigned int i = 0; i < BUCKETS && nodes->fds > enough; i++) {
		nodes->hand = (nodes->hand + 1) % BUCKETS;
		for (struct entry *e = nodes->buckets[nodes->hand]; e;
		     e = e->next)
			if (e->name)
				close_entry(nodes, e);
	}
}

static void give_fd(struct bfs_nodes *nodes, struct entry *e, int *fd)
{
	if (e->fd >= 0)
		return;
	e->fd = bfs_fd_take(fd);
	nodes->fds++;
}

/* Note lookups of an inode; takes fd where it has none. `lock` held. */
static int note_lookup(struct bfs_nodes *nodes, uint64_t nodeid, int *fd,
		       uint64_t lookups)
{
	struct entry **link = find_entry(nodes, nodeid);

	if (!*link) {
		if (!(*link = calloc(1, sizeof(**link))))
			return -ENOMEM;
		(*link)->nodeid = nodeid;
		(*link)->fd = -1;
	}
	give_fd(nodes, *link, fd);
	(*link)->lookups += lookups;
	return 0;
}

/*
 * The descriptor of an entry, opened again by its directory and name if it was
 * closed; borrowed. -ESTALE: it is not there any more. `lock` held.
 */
static int fd_of_entry(struct bfs_nodes *nodes, struct entry *e, int depth)
{
	struct entry *parent;
	BFS_FD int fd = -1;
	struct stat st;
	int dir = nodes->root_fd;

	if (e->fd >= 0)
		return e->fd;
	if (!e->name || depth == DEPTH_MAX)
		return -ESTALE;
	if (e->parent != nodes->root_ino) {
		parent = *find_entry(nodes, e->parent);
		dir = parent ? fd_of_entry(nodes, parent, depth + 1) : -ESTALE;
	}
	if (dir < 0)
		return dir;
	fd = openat(dir, e->name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT || errno == ENOTDIR ? -ESTALE : -errno;
	if (fstat(fd, &st) < 0 || st.st_ino != e->nodeid ||
	    st.st_dev != nodes->device)
		return -ESTALE;
	give_fd(nodes, e, &fd);
	return e->fd;
}

void bfs_node_named(struct bfs_nodes *nodes, uint64_t nodeid, int dir_fd,
		    const char *name)
{
	struct entry *e;
	struct stat st;

	if (nodes->shape != SHAPE_NONE || fstat(dir_fd, &st) < 0)
		return;
	pthread_mutex_lock(&nodes->lock);
	e = *find_entry(nodes, nodeid);
	if (e && (!e->name || strcmp(e->name, name))) {
		free(e->name);
		e->name = strdup(name);
	}
	if (e)
		e->parent = st.st_ino;
	spare_descriptors(nodes);
	pthread_mutex_unlock(&nodes->lock);
}

void bfs_node_moved(struct bfs_nodes *nodes, int dir_fd, const char *name)
{
	struct stat st;

	if (nodes->shape == SHAPE_NONE &&
	    fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
		bfs_node_named(nodes, st.st_ino, dir_fd, name);
}

static int lookup_in_table(struct bfs_nodes *nodes, int dir_fd,
			   const char *name, uint64_t *ret_nodeid)
{
	BFS_FD int fd = -1;
	struct stat st;
	int r;

	fd = *name ? openat(dir_fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC)
		   : fcntl(dir_fd, F_DUPFD_CLOEXEC, 0);
	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (st.st_dev != nodes->device)
		return -EXDEV;
	if (st.st_ino <= BFS_ROOT_NODEID)
		return -EOVERFLOW;
	pthread_mutex_lock(&nodes->lock);
	r = note_lookup(nodes, st.st_ino, &fd, 1);
	pthread_mutex_unlock(&nodes->lock);
	if (r == 0)
		*ret_nodeid = st.st_ino;
	return r;
}

/* Where a nodeid is a handle. */
static int nodeid_of_handle(const struct bfs_nodes *nodes, int dir_fd,
			    const char *name, uint64_t *ret_nodeid)
{
	struct handle h;
	int mount_id, r;

	if ((r = get_handle(dir_fd, name, &h, &mount_id)) < 0)
		return r;
	if (mount_id != nodes->mount_id)
		return -EXDEV;
	return encode(nodes, &h, ret_nodeid);
}

int bfs_node_lookup(struct bfs_nodes *nodes, int dir_fd, const char *name,
		    uint64_t *ret_nodeid)
{
	return nodes->shape == SHAPE_NONE
		       ? lookup_in_table(nodes, dir_fd, name, ret_nodeid)
		       : nodeid_of_handle(nodes, dir_fd, name, ret_nodeid);
}

/* A nodeid that the kernel learnt from an earlier worker: look for it in the
 * whole pool. */
struct search {
	uint64_t nodeid;
	int fd;
};

static int search_one(void *context, const struct bfs_walk_entry *entry)
{
	struct search *search = context;

	if (entry->st.st_ino != search->nodeid)
		return 0;
	search->fd = openat(entry->dir_fd, entry->name,
			    O_PATH | O_NOFOLLOW | O_CLOEXEC);
	return 1;
}

static int search_pool(const struct bfs_nodes *nodes, uint64_t nodeid)
{
	struct search search = { .nodeid = nodeid, .fd = -1 };

	bfs_walk(nodes->root_fd, search_one, &search);
	return search.fd < 0 ? -ESTALE : search.fd;
}

static int open_path_fd(int fd, int flags)
{
	int copy = flags & O_PATH ? fcntl(fd, F_DUPFD_CLOEXEC, 0)
				  : open(bfs_fd_path(fd).text,
					 (flags & ~O_NOFOLLOW) | O_CLOEXEC);

	return copy < 0 ? -errno : copy;
}

static int open_entry(struct bfs_nodes *nodes, struct entry *e, int flags)
{
	int fd = fd_of_entry(nodes, e, 0);

	return fd < 0 ? fd : open_path_fd(fd, flags);
}

static int open_from_table(struct bfs_nodes *nodes, uint64_t nodeid, int flags)
{
	BFS_FD int found = -1;
	struct entry *e;
	int r = -ENOENT;

	pthread_mutex_lock(&nodes->lock);
	if ((e = *find_entry(nodes, nodeid)))
		r = open_entry(nodes, e, flags);
	spare_descriptors(nodes);
	pthread_mutex_unlock(&nodes->lock);
	if (e && r != -ESTALE)
		return r;
	if ((found = search_pool(nodes, nodeid)) < 0)
		return found;
	r = open_path_fd(found, flags);
	pthread_mutex_lock(&nodes->lock);
	note_lookup(nodes, nodeid, &found, 0);
	pthread_mutex_unlock(&nodes->lock);
	return r;
}

/* -ENOENT: it is not among those that are held. */
static int open_held(struct bfs_nodes *nodes, uint64_t nodeid, int flags)
{
	struct entry *e;
	int r = -ENOENT;

	pthread_mutex_lock(&nodes->lock);
	if ((e = *find_entry(nodes, nodeid)))
		r = open_path_fd(e->fd, flags);
	pthread_mutex_unlock(&nodes->lock);
	return r;
}

int bfs_node_at(struct bfs_nodes *nodes, int dir_fd, const char *name,
		uint64_t *ret_nodeid)
{
	const int flags = AT_SYMLINK_NOFOLLOW | (*name ? 0 : AT_EMPTY_PATH);
	struct stat st;

	if (nodes->shape != SHAPE_NONE)
		return nodeid_of_handle(nodes, dir_fd, name, ret_nodeid);
	if (fstatat(dir_fd, name, &st, flags) < 0)
		return -errno;
	*ret_nodeid = st.st_ino;
	return 0;
}

int bfs_node_of(struct bfs_nodes *nodes, int fd, uint64_t *ret_nodeid)
{
	return bfs_node_at(nodes, fd, "", ret_nodeid);
}

/* Of a table of looked-up files: its descriptor has to stay from now on. */
static void keep_nameless(struct bfs_nodes *nodes, uint64_t nodeid, int *fd)
{
	struct entry *e;

	pthread_mutex_lock(&nodes->lock);
	if ((e = *find_entry(nodes, nodeid))) {
		give_fd(nodes, e, fd);
		free(e->name);
		e->name = NULL;
	}
	pthread_mutex_unlock(&nodes->lock);
}

void bfs_node_hold(struct bfs_nodes *nodes, int *fd)
{
	struct stat st;
	uint64_t nodeid;

	if (fstat(*fd, &st) < 0 || st.st_nlink > 0 ||
	    bfs_node_of(nodes, *fd, &nodeid) < 0)
		return;
	if (nodes->shape == SHAPE_NONE) {
		keep_nameless(nodes, nodeid, fd);
		return;
	}
	if (atomic_load(&nodes->held) >= HELD_MAX)
		return;
	pthread_mutex_lock(&nodes->lock);
	if (note_lookup(nodes, nodeid, fd, 1) == 0 && *fd < 0)
		atomic_fetch_add(&nodes->held, 1);
	pthread_mutex_unlock(&nodes->lock);
}

int bfs_node_open(struct bfs_nodes *nodes, uint64_t nodeid, int flags)
{
	struct handle h;
	int fd;

	if (nodeid == BFS_ROOT_NODEID) {
		fd = openat(nodes->root_fd, ".", flags | O_CLOEXEC);
		return fd < 0 ? -errno : fd;
	}
	if (nodes->shape == SHAPE_NONE)
		return open_from_table(nodes, nodeid, flags);
	if (atomic_load(&nodes->held) &&
	    (fd = open_held(nodes, nodeid, flags)) != -ENOENT)
		return fd;
	h = decode(nodes, nodeid);
	fd = open_by_handle_at(nodes->root_fd, &h.head, flags | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* Take `count` lookups back; true when none is left. A file that is held has
 * no count of its own: the kernel forgets it as a whole. */
static bool is_forgotten(const struct bfs_nodes *nodes, struct entry *e,
			 uint64_t count)
{
	if (nodes->shape != SHAPE_NONE)
		return true;
	e->lookups -= count < e->lookups ? count : e->lookups;
	return e->lookups == 0;
}

void bfs_node_forget(struct bfs_nodes *nodes, uint64_t nodeid, uint64_t count)
{
	struct entry **link, *e;

	if (nodes->shape != SHAPE_NONE && !atomic_load(&nodes->held))
		return;
	pthread_mutex_lock(&nodes->lock);
	link = find_entry(nodes, nodeid);
	e = *link;
	if (e && is_forgotten(nodes, e, count)) {
		*link = e->next;
		drop_entry(nodes, e);
		if (nodes->shape != SHAPE_NONE)
			atomic_fetch_sub(&nodes->held, 1);
	}
	pthread_mutex_unlock(&nodes->lock);
}

/* At most `max` of them; returns how many. */
static size_t list_nameless(struct bfs_nodes *nodes, uint64_t *ret_nodeids,
			    size_t max)
{
	size_t n = 0;

	pthread_mutex_lock(&nodes->lock);
	for (size_t i = 0; i < BUCKETS && n < max; i++)
		for (struct entry *e = nodes->buckets[i]; e && n < max;
		     e = e->next)
			if (!e->name)
				ret_nodeids[n++] = e->nodeid;
	pthread_mutex_unlock(&nodes->lock);
	return n;
}

void bfs_node_each_nameless(struct bfs_nodes *nodes,
			    void (*visit)(void *context, uint64_t nodeid),
			    void *context)
{
	enum { MOST = 4 * HELD_MAX };
	uint64_t nodeids[MOST];
	size_t n;

	if (nodes->shape != SHAPE_NONE && !atomic_load(&nodes->held))
		return;
	n = list_nameless(nodes, nodeids, MOST);
	for (size_t i = 0; i < n; i++)
		visit(context, nodeids[i]);
}
