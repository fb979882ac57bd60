/* SPDX-License-Identifier: MIT */
/*
 * What fsync(2) does for a buffer: iobuf_perform_operation() is replaced by one
 * that writes down what is asked of it.
 */
#include "unit.h"

#include "file.h"
#include "tree.h"

static struct scratch pool;
static struct bfs_fs fs;
static struct bfs_shared *shared;

static struct {
	unsigned int calls;
	enum iobuf_operation operation;
	uint64_t offset, size;
	int result;
} asked;

int __wrap_iobuf_perform_operation(struct iobuf *buffer,
				   enum iobuf_operation operation,
				   uint64_t offset, uint64_t size);

int __wrap_iobuf_perform_operation(struct iobuf *buffer,
				   enum iobuf_operation operation,
				   uint64_t offset, uint64_t size)
{
	assert_non_null(buffer);
	asked.calls++;
	asked.operation = operation;
	asked.offset = offset;
	asked.size = size;
	return asked.result;
}

static int make_fs(void **state)
{
	const struct iobuf_spec *d = &iobuf_spec_default;
	int fd = bfs_shared_create(&shared);

	(void)state;
	pool = scratch_make();
	fs = (struct bfs_fs){ .fuse_fd = -1,
			      .root_fd = pool.fd,
			      .shared = shared };
	if (fd < 0 || iobuf_spec_resolve(d, d, &fs.defaults, NULL) < 0 ||
	    bfs_nodes_create(pool.fd, &fs.nodes) < 0)
		return -1;
	close(fd);
	return bfs_inode_table_create(shared, -1, &fs.inodes);
}

static int drop_fs(void **state)
{
	(void)state;
	bfs_nodes_destroy(fs.nodes);
	munmap(shared, sizeof(*shared));
	scratch_remove(&pool);
	return 0;
}

/* A buffer of that kind with 5,000 bytes; its nodeid. */
static uint64_t buffer_of(const char *text)
{
	static unsigned int count;
	BFS_FILE struct bfs_file file = { 0 };
	struct iobuf_spec spec;
	struct iobuf_reason reason;
	struct bfs_entry entry;
	char name[16];

	snprintf(name, sizeof(name), "%u", count++);
	fs.shared->passthrough = true;
	assert_int_equal(iobuf_spec_parse(text, strlen(text), &spec, NULL), 0);
	assert_int_equal(bfs_create(&fs, BFS_ROOT_NODEID, name, 0600,
				    (struct bfs_owner){ geteuid(), getegid(), 0 },
				    &entry, &file),
			 0);
	assert_int_equal(bfs_file_configure(&file, &spec, &fs.defaults, 0,
					    &reason),
			 0);
	assert_int_equal(bfs_file_truncate(&file, 5000), 0);
	return entry.nodeid;
}

static void fsync_stores_what_is_in_a_cache_mode(void **state)
{
	static const struct {
		const char *spec;
		uint64_t size;
	} kinds[] = {
		{ "cache=inhibit", 5000 },
		{ "cache=writethru,wired", 5000 },
		{ "cache=writecombine,capacity=16K", 16384 },
		{ "cache=inhibit,wired,capacity=16K", 16384 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(kinds); i++) {
		uint64_t nodeid = buffer_of(kinds[i].spec);

		memset(&asked, 0, sizeof(asked));
		assert_int_equal(bfs_file_sync(&fs, nodeid), 0);
		assert_int_equal(asked.calls, 1);
		assert_int_equal(asked.operation, IOBUF_OPERATION_STORE);
		assert_int_equal(asked.offset, 0);
		assert_int_equal(asked.size, kinds[i].size);
		asked.result = -ENOMEM;
		assert_int_equal(bfs_file_sync(&fs, nodeid), -ENOMEM);
	}
}

static void fsync_has_nothing_to_do_in_the_default_mode(void **state)
{
	static const char *const kinds[] = {
		"cache=default", "cache=copyback", "wired", "capacity=16K",
	};

	(void)state;
	memset(&asked, 0, sizeof(asked));
	for (size_t i = 0; i < COUNT_OF(kinds); i++)
		assert_int_equal(bfs_file_sync(&fs, buffer_of(kinds[i])), 0);
	assert_int_equal(asked.calls, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(fsync_stores_what_is_in_a_cache_mode,
				       make_fs),
		cmocka_unit_test_teardown(
			fsync_has_nothing_to_do_in_the_default_mode, drop_fs),
	};

	return RUN_TESTS("sync", tests);
}
