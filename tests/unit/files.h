/* SPDX-License-Identifier: MIT */
/*
 * files.h - files as buffers in a pool in /dev/shm, for the suites that work on
 * them: all of a worker but FUSE.
 */
#ifndef FILES_H
#define FILES_H

#include "unit.h"

#include "file.h"
#include "log.h"
#include "tree.h"
#include "xattr.h"

#include <sys/xattr.h>

#define OWNER ((struct bfs_owner){ geteuid(), getegid(), getpid() })

static struct scratch pool;
static struct bfs_fs fs;
static int shared_fd = -1;
/* A table has no end: these are kept, as by workers that died. */
static struct bfs_inode_table *workers[128];
static size_t worker_count;

static inline int new_worker(void)
{
	if (worker_count == COUNT_OF(workers))
		return -1;
	fs.inodes = NULL;
	if (bfs_inode_table_create(fs.shared, -1, &workers[worker_count]) < 0)
		return -1;
	fs.inodes = workers[worker_count++];
	return 0;
}

static inline int make_fs(void **state)
{
	const struct iobuf_spec *d = &iobuf_spec_default;

	(void)state;
	fs = (struct bfs_fs){ .fuse_fd = -1 };
	pool = scratch_make();
	fs.root_fd = pool.fd;
	shared_fd = bfs_shared_create(&fs.shared);
	if (shared_fd < 0 || iobuf_spec_resolve(d, d, &fs.defaults, NULL) < 0)
		return -1;
	fs.shared->passthrough = true;
	return bfs_nodes_create(pool.fd, &fs.nodes) < 0 ||
			       bfs_purge_queue_create(&fs.purge) < 0
		       ? -1
		       : new_worker();
}

static inline int drop_fs(void **state)
{
	(void)state;
	bfs_nodes_destroy(fs.nodes);
	bfs_purge_queue_destroy(fs.purge);
	munmap(fs.shared, sizeof(*fs.shared));
	close(shared_fd);
	scratch_remove(&pool);
	return 0;
}

#define over_pool(test) cmocka_unit_test_setup_teardown(test, make_fs, drop_fs)

#define NEEDS_POOL()                                                           \
	do {                                                                   \
		if (setxattr(pool.path, "user.unit", "x", 1, 0) < 0)           \
			SKIP("/dev/shm takes no user.* xattrs");               \
	} while (0)

static inline uint64_t created_in(uint64_t parent, const char *name)
{
	struct bfs_entry entry;

	assert_int_equal(bfs_create(&fs, parent, name, 0644, OWNER, &entry,
				    NULL),
			 0);
	return entry.nodeid;
}

static inline uint64_t created(const char *name)
{
	return created_in(BFS_ROOT_NODEID, name);
}

static inline int set(uint64_t nodeid, const char *name, const char *value)
{
	enum bfs_changed changed;

	return bfs_setxattr(&fs, nodeid, name, value, strlen(value), 0, getpid(),
			    &changed);
}

static inline int configure(uint64_t nodeid, const char *spec)
{
	return set(nodeid, "user.iobuf", spec);
}

static inline uint64_t created_as(const char *name, const char *spec)
{
	uint64_t nodeid = created(name);

	assert_int_equal(configure(nodeid, spec), 0);
	return nodeid;
}

/* The value of an xattr, ended by a NUL, or an errno. */
static inline int get(uint64_t nodeid, const char *name, char *ret_text, size_t size)
{
	size_t n = 0;
	int r = bfs_getxattr(&fs, nodeid, name, getpid(), ret_text, size - 1, &n);

	ret_text[r == 0 ? n : 0] = '\0';
	return r;
}

static inline void assert_xattr(uint64_t nodeid, const char *name, const char *value)
{
	char text[8192];

	assert_int_equal(get(nodeid, name, text, sizeof(text)), 0);
	assert_string_equal(text, value);
}

static inline struct stat attributes(uint64_t nodeid)
{
	struct stat st;

	assert_int_equal(bfs_getattr(&fs, nodeid, &st), 0);
	return st;
}

static inline int write_at(uint64_t nodeid, uint64_t offset, const void *bytes,
		    size_t size, size_t *ret_size)
{
	BFS_FILE struct bfs_file file = { 0 };
	int r = bfs_file_open(&fs, nodeid, O_RDWR, &file);

	return r < 0 ? r : bfs_file_write(&file, offset, false, bytes, size, ret_size);
}

static inline int truncate_to(uint64_t nodeid, uint64_t size)
{
	BFS_FILE struct bfs_file file = { 0 };
	int r = bfs_file_open(&fs, nodeid, O_RDWR, &file);

	return r < 0 ? r : bfs_file_truncate(&file, size);
}

static inline int allocate(uint64_t nodeid, int mode, uint64_t offset, uint64_t size)
{
	BFS_FILE struct bfs_file file = { 0 };
	int r = bfs_file_open(&fs, nodeid, O_RDWR, &file);

	return r < 0 ? r : bfs_file_allocate(&file, mode, offset, size);
}

static inline void opened(uint64_t nodeid, bool plain)
{
	struct bfs_inode *inode = bfs_inode_lock(fs.inodes, nodeid);

	assert_non_null(inode);
	assert_int_equal(bfs_inode_add_open(fs.inodes, inode, -1, plain, 0), 0);
	bfs_inode_unlock(fs.inodes, inode);
}

static inline void closed(uint64_t nodeid, bool plain)
{
	struct bfs_inode *inode = bfs_inode_lock(fs.inodes, nodeid);

	assert_non_null(inode);
	bfs_inode_drop_open(fs.inodes, inode, plain, 0);
	bfs_inode_unlock(fs.inodes, inode);
}

static inline unsigned int slots_taken(void)
{
	unsigned int taken = 0;

	for (uint32_t i = 0; i < fs.shared->slots_used; i++)
		taken += fs.shared->slots[i].nodeid != 0;
	return taken;
}

/* All that may change of a buffer, to be compared as a whole. */
struct picture {
	struct stat own, pools;
	struct bfs_record record;
	char bytes[4096];
	ssize_t size;
	unsigned int slots;
};

static inline struct picture picture_of(uint64_t nodeid)
{
	struct picture p;
	int fd = bfs_node_open(fs.nodes, nodeid, O_RDONLY | O_NOATIME);

	memset(&p, 0, sizeof(p));
	assert_true(fd >= 0);
	p.own = attributes(nodeid);
	p.pools = stat_of(fd);
	assert_int_equal(bfs_record_load_fd(fd, &p.record), 0);
	p.size = pread(fd, p.bytes, sizeof(p.bytes), 0);
	close(fd);
	p.slots = slots_taken();
	return p;
}

static inline void assert_unchanged(uint64_t nodeid, const struct picture *before)
{
	const struct picture p = picture_of(nodeid);

	assert_int_equal(p.own.st_size, before->own.st_size);
	assert_int_equal(p.own.st_mode, before->own.st_mode);
	assert_int_equal(p.pools.st_size, before->pools.st_size);
	assert_int_equal(p.pools.st_blocks, before->pools.st_blocks);
	assert_int_equal(p.record.present, before->record.present);
	assert_int_equal(p.record.flags, before->record.flags);
	assert_int_equal(p.record.length, before->record.length);
	assert_true(iobuf_spec_equal(&p.record.spec, &before->record.spec));
	assert_true(iobuf_spec_equal(&p.record.inherited,
				     &before->record.inherited));
	assert_int_equal(p.size, before->size);
	assert_memory_equal(p.bytes, before->bytes, sizeof(p.bytes));
	assert_int_equal(p.slots, before->slots);
}

#endif
