/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "record.h"

#include <sys/xattr.h>

static const char XATTR[] = "user.iobuf.record";

static bool user_xattrs_work(void)
{
	int fd = new_shm_file();
	bool work = fsetxattr(fd, "user.unit", "x", 1, 0) == 0;

	close(fd);
	return work;
}

#define NEEDS_USER_XATTRS()                                                    \
	do {                                                                   \
		if (!user_xattrs_work())                                       \
			SKIP("/dev/shm takes no user.* xattrs");               \
	} while (0)

static struct bfs_record example(void)
{
	struct bfs_record record = {
		.present = true,
		.flags = BFS_RECORD_EXPLICIT,
		.length = 12345,
		.purgeable = 3,
		.purge_count = 7,
		.volatile_since = UINT64_C(1) << 40,
		.task_start = UINT64_C(3) << 40,
		.spec = {
			.options = IOBUF_DIRECTION_IN | IOBUF_SHARED |
				   IOBUF_CACHE_WRITECOMBINE,
			.capacity = UINT64_C(5) << 40,
			.alignment = 4096,
			.physical_mask = 0xfffffffff000,
		},
		.inherited = {
			.options = IOBUF_PAGEABLE | IOBUF_DIRECTION_OUT,
			.task = 77,
			.life = IOBUF_LIFE_LASTCLOSE,
			.alignment = 64,
		},
	};

	memset(record.spec.tag, 't', IOBUF_TAG_MAX);
	strcpy(record.inherited.tag, "label");
	return record;
}

static void assert_records_equal(const struct bfs_record *a,
				 const struct bfs_record *b)
{
	assert_int_equal(a->present, b->present);
	assert_int_equal(a->flags, b->flags);
	assert_int_equal(a->length, b->length);
	assert_int_equal(a->purgeable, b->purgeable);
	assert_int_equal(a->purge_count, b->purge_count);
	assert_int_equal(a->volatile_since, b->volatile_since);
	assert_int_equal(a->task_start, b->task_start);
	assert_true(iobuf_spec_equal(&a->spec, &b->spec));
	assert_true(iobuf_spec_equal(&a->inherited, &b->inherited));
}

static void a_plain_record_is_the_resolved_default(void **state)
{
	struct bfs_record record = bfs_record_plain();
	struct iobuf_spec resolved;

	(void)state;
	assert_int_equal(iobuf_spec_resolve(&iobuf_spec_default,
					    &iobuf_spec_default, &resolved,
					    NULL),
			 0);
	assert_true(iobuf_spec_equal(&record.spec, &resolved));
	assert_true(iobuf_spec_equal(&record.inherited, &iobuf_spec_default));
	assert_false(record.present);
	assert_int_equal(record.flags, 0);
	assert_int_equal(record.length, 0);
}

static void a_file_without_a_record_is_plain(void **state)
{
	const struct bfs_record plain = bfs_record_plain();
	struct bfs_record record = example();
	int fd = new_shm_file();

	(void)state;
	assert_int_equal(bfs_record_load_fd(fd, &record), 0);
	assert_records_equal(&record, &plain);
	close(fd);
}

static void a_file_that_takes_no_xattrs_is_plain(void **state)
{
	const struct bfs_record plain = bfs_record_plain();
	struct bfs_record record = example();
	int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);

	(void)state;
	assert_int_equal(bfs_record_load_fd(fd, &record), 0);
	assert_records_equal(&record, &plain);
	close(fd);
}

static void a_stored_record_is_loaded_again(void **state)
{
	const struct bfs_record stored = example();
	struct bfs_record record = bfs_record_plain();
	int fd;

	(void)state;
	NEEDS_USER_XATTRS();
	fd = new_shm_file();
	assert_int_equal(bfs_record_store(fd, &stored), 0);
	assert_int_equal(bfs_record_load_fd(fd, &record), 0);
	assert_records_equal(&record, &stored);
	close(fd);
}

static void storing_replaces_the_whole_record(void **state)
{
	struct bfs_record first = example(), second = bfs_record_plain(), found;
	int fd;

	(void)state;
	NEEDS_USER_XATTRS();
	fd = new_shm_file();
	second.present = true;
	assert_int_equal(bfs_record_store(fd, &first), 0);
	assert_int_equal(bfs_record_store(fd, &second), 0);
	assert_int_equal(bfs_record_load_fd(fd, &found), 0);
	assert_records_equal(&found, &second);
	close(fd);
}

static void removing_makes_a_file_plain_and_may_be_repeated(void **state)
{
	const struct bfs_record stored = example(), plain = bfs_record_plain();
	struct bfs_record record;
	int fd;

	(void)state;
	NEEDS_USER_XATTRS();
	fd = new_shm_file();
	assert_int_equal(bfs_record_store(fd, &stored), 0);
	assert_int_equal(bfs_record_remove(fd), 0);
	assert_int_equal(bfs_record_load_fd(fd, &record), 0);
	assert_records_equal(&record, &plain);
	assert_int_equal(bfs_record_remove(fd), 0);
	close(fd);
}

static void o_path_and_read_only_descriptors_will_do(void **state)
{
	const struct bfs_record stored = example();
	struct scratch dir;
	struct bfs_record record;
	int file, path, link;

	(void)state;
	NEEDS_USER_XATTRS();
	dir = scratch_make();
	file = openat(dir.fd, "f", O_CREAT | O_RDONLY | O_CLOEXEC, 0600);
	path = openat(dir.fd, "f", O_PATH | O_CLOEXEC);
	assert_int_equal(bfs_record_store(path, &stored), 0);
	assert_int_equal(bfs_record_load_fd(path, &record), 0);
	assert_records_equal(&record, &stored);
	assert_int_equal(bfs_record_load_fd(file, &record), 0);
	assert_records_equal(&record, &stored);
	/* Of a symlink itself: it has none, and its target is not asked. */
	assert_int_equal(symlinkat("f", dir.fd, "l"), 0);
	link = openat(dir.fd, "l", O_PATH | O_NOFOLLOW | O_CLOEXEC);
	assert_true(link >= 0);
	assert_int_equal(bfs_record_load_fd(link, &record), 0);
	assert_false(record.present);
	assert_int_equal(bfs_record_remove(path), 0);
	close(link);
	close(path);
	close(file);
	scratch_remove(&dir);
}

static void directories_carry_records(void **state)
{
	const struct bfs_record stored = example();
	struct scratch dir;
	struct bfs_record record;

	(void)state;
	NEEDS_USER_XATTRS();
	dir = scratch_make();
	assert_int_equal(bfs_record_store(dir.fd, &stored), 0);
	assert_int_equal(bfs_record_load_fd(dir.fd, &record), 0);
	assert_records_equal(&record, &stored);
	scratch_remove(&dir);
}

/* Load what the xattr of `fd` says now: -EIO, with the output untouched. */
static void assert_eio(int fd)
{
	struct bfs_record record, before;

	memset(&before, 0xa5, sizeof(before));
	record = before;
	assert_int_equal(bfs_record_load_fd(fd, &record), -EIO);
	assert_memory_equal(&record, &before, sizeof(record));
}

static void a_record_of_any_other_size_is_eio(void **state)
{
	const struct bfs_record stored = example();
	unsigned char bytes[1024] = { 0 };
	ssize_t size;
	int fd;

	(void)state;
	NEEDS_USER_XATTRS();
	fd = new_shm_file();
	assert_int_equal(bfs_record_store(fd, &stored), 0);
	size = fgetxattr(fd, XATTR, bytes, sizeof(bytes));
	assert_true(size > 0);
	for (size_t n = 0; n < 2 * (size_t)size; n++) {
		if (n == (size_t)size)
			continue;
		assert_int_equal(fsetxattr(fd, XATTR, bytes, n, 0), 0);
		assert_eio(fd);
	}
	assert_int_equal(fsetxattr(fd, XATTR, bytes, sizeof(bytes), 0), 0);
	assert_eio(fd);
	close(fd);
}

static void a_record_that_makes_no_sense_is_eio(void **state)
{
	struct bfs_record odd[] = { example(), example(), example() };

	(void)state;
	NEEDS_USER_XATTRS();
	odd[0].spec.alignment = 0;
	odd[1].spec.options |= IOBUF_PAGEABLE; /* with a mask */
	odd[2].spec.options |= 1u << 31;
	for (size_t i = 0; i < COUNT_OF(odd); i++) {
		int fd = new_shm_file();

		assert_int_equal(bfs_record_store(fd, &odd[i]), 0);
		assert_eio(fd);
		close(fd);
	}
}

static void a_record_with_another_magic_is_eio(void **state)
{
	const struct bfs_record stored = example();
	unsigned char bytes[1024];
	ssize_t size;
	int fd;

	(void)state;
	NEEDS_USER_XATTRS();
	fd = new_shm_file();
	assert_int_equal(bfs_record_store(fd, &stored), 0);
	size = fgetxattr(fd, XATTR, bytes, sizeof(bytes));
	assert_true(size > 0);
	for (int i = 0; i < 4; i++) {
		bytes[i] ^= 1;
		assert_int_equal(fsetxattr(fd, XATTR, bytes, (size_t)size, 0),
				 0);
		assert_eio(fd);
		bytes[i] ^= 1;
	}
	close(fd);
}

static void a_length_past_the_capacity_is_eio(void **state)
{
	struct bfs_record record = example();
	int fd;

	(void)state;
	NEEDS_USER_XATTRS();
	fd = new_shm_file();
	record.length = record.spec.capacity + 1;
	assert_int_equal(bfs_record_store(fd, &record), 0);
	assert_eio(fd);
	record.length = record.spec.capacity;
	assert_int_equal(bfs_record_store(fd, &record), 0);
	assert_int_equal(bfs_record_load_fd(fd, &record), 0);
	close(fd);
}

static void a_tag_without_an_end_is_ended(void **state)
{
	struct bfs_record stored = example(), record;
	int fd;

	(void)state;
	NEEDS_USER_XATTRS();
	fd = new_shm_file();
	memset(stored.spec.tag, 'x', sizeof(stored.spec.tag));
	assert_int_equal(bfs_record_store(fd, &stored), 0);
	assert_int_equal(bfs_record_load_fd(fd, &record), 0);
	assert_int_equal(strnlen(record.spec.tag, sizeof(record.spec.tag)),
			 IOBUF_TAG_MAX);
	close(fd);
}

static void a_bad_descriptor_is_an_error(void **state)
{
	const struct bfs_record stored = example();
	struct bfs_record record;

	(void)state;
	assert_true(bfs_record_load_fd(-1, &record) < 0);
	assert_true(bfs_record_store(-1, &stored) < 0);
	assert_true(bfs_record_remove(-1) < 0);
}

static void the_name_is_trusted_or_users(void **state)
{
	const struct bfs_record stored = example();
	struct bfs_record record;
	int fd = new_shm_file(), r;

	(void)state;
	assert_string_equal(bfs_record_xattr(), XATTR);
	bfs_record_use_trusted(true);
	assert_string_equal(bfs_record_xattr(), "trusted.iobuf.record");
	r = bfs_record_store(fd, &stored);
	if (r == 0)
		r = bfs_record_load_fd(fd, &record);
	bfs_record_use_trusted(false);
	assert_string_equal(bfs_record_xattr(), XATTR);
	if (r == -EPERM || r == -EOPNOTSUPP) {
		close(fd);
		SKIP("trusted.* xattrs need CAP_SYS_ADMIN");
	}
	assert_int_equal(r, 0);
	assert_records_equal(&record, &stored);
	/* The two names do not see each other. */
	assert_int_equal(bfs_record_load_fd(fd, &record), 0);
	assert_false(record.present);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_plain_record_is_the_resolved_default),
		cmocka_unit_test(a_file_without_a_record_is_plain),
		cmocka_unit_test(a_file_that_takes_no_xattrs_is_plain),
		cmocka_unit_test(a_stored_record_is_loaded_again),
		cmocka_unit_test(storing_replaces_the_whole_record),
		cmocka_unit_test(
			removing_makes_a_file_plain_and_may_be_repeated),
		cmocka_unit_test(o_path_and_read_only_descriptors_will_do),
		cmocka_unit_test(directories_carry_records),
		cmocka_unit_test(a_record_of_any_other_size_is_eio),
		cmocka_unit_test(a_record_that_makes_no_sense_is_eio),
		cmocka_unit_test(a_record_with_another_magic_is_eio),
		cmocka_unit_test(a_length_past_the_capacity_is_eio),
		cmocka_unit_test(a_tag_without_an_end_is_ended),
		cmocka_unit_test(a_bad_descriptor_is_an_error),
		cmocka_unit_test(the_name_is_trusted_or_users),
	};

	return RUN_TESTS("record", tests);
}
