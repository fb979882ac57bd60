/* SPDX-License-Identifier: MIT */
#include "buffers.h"

static void created_memory_is_reserved_and_zero(void **state)
{
	struct iobuf *b = created("capacity=1M");
	const struct stat st = stat_of(iobuf_fd(b));

	(void)state;
	assert_int_equal(st.st_size, MIB);
	assert_true((uint64_t)st.st_blocks * 512 >= MIB);
	assert_true(all_bytes_are(iobuf_get_bytes_no_copy(b, 0, MIB), MIB, 0));
	iobuf_release(b);
}

static void length_starts_equal_to_capacity(void **state)
{
	struct iobuf *b = created("capacity=100");

	(void)state;
	assert_int_equal(iobuf_get_capacity(b), page_bytes());
	assert_int_equal(iobuf_get_length(b), page_bytes());
	iobuf_release(b);
	b = created("unshared,capacity=100");
	assert_int_equal(iobuf_get_capacity(b), 100);
	assert_int_equal(iobuf_get_length(b), 100);
	iobuf_release(b);
}

static void create_completes_the_specification(void **state)
{
	struct iobuf_spec asked = {
		.given = IOBUF_GIVEN_CAPACITY | IOBUF_GIVEN_TAG,
		.capacity = 1,
		.tag = "label",
	};
	struct iobuf_spec expected = resolved("capacity=1,tag=label");
	struct iobuf *b = NULL;

	(void)state;
	assert_int_equal(iobuf_create(&asked, &b, NULL), 0);
	assert_true(iobuf_spec_equal(iobuf_get_spec(b), &expected));
	iobuf_release(b);
}

static void create_without_capacity_is_einval(void **state)
{
	struct iobuf_spec spec = resolved("pageable");
	struct iobuf_reason reason = { 0 };
	struct iobuf *b = NULL;
	int fd = new_memfd();

	(void)state;
	assert_int_equal(iobuf_create(&spec, &b, &reason), -EINVAL);
	assert_true(reason.text[0] != '\0');
	assert_int_equal(iobuf_create_in_file(&spec, fd, &b, NULL), -EINVAL);
	assert_null(b);
	close(fd);
}

static void create_refuses_what_resolve_refuses(void **state)
{
	struct iobuf_spec spec = {
		.given = IOBUF_GIVEN_PAGING | IOBUF_GIVEN_CONTIGUOUS |
			 IOBUF_GIVEN_CAPACITY,
		.options = IOBUF_PAGEABLE | IOBUF_CONTIGUOUS,
		.capacity = 4096,
	};
	struct iobuf *b = NULL;

	(void)state;
	assert_int_equal(iobuf_create(&spec, &b, NULL), -EINVAL);
	assert_null(b);
}

static void task_and_life_are_of_files_not_of_own_memory(void **state)
{
	static const char *const texts[] = {
		"task=1,capacity=4K", "task=self,capacity=4K",
		"life=lastclose,capacity=4K",
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(texts); i++) {
		struct iobuf_spec spec = resolved(texts[i]);
		struct iobuf_reason reason = { 0 };
		struct iobuf *b = NULL;
		int fd = new_memfd();

		assert_int_equal(iobuf_create(&spec, &b, &reason), -EOPNOTSUPP);
		assert_int_not_equal(reason.text[0], '\0');
		assert_null(b);
		assert_int_equal(iobuf_create_in_file(&spec, fd, &b, NULL), 0);
		iobuf_release(b);
		close(fd);
	}
}

/* The limit of file sizes keeps the machine alive, should the check be gone. */
static void more_than_all_memory_is_enomem(void **state)
{
	struct iobuf_spec spec = resolved("capacity=0x3000000000000000");
	struct iobuf_reason reason = { 0 };
	const unsigned int fds = open_fds();
	struct iobuf *b = NULL;

	(void)state;
	assert_int_equal(iobuf_create(&spec, &b, &reason), -ENOMEM);
	assert_true(reason.text[0] != '\0');
	assert_null(b);
	assert_int_equal(open_fds(), fds);
}

static void create_in_a_full_filesystem(void)
{
	struct iobuf_spec large = resolved("pageable,capacity=2M");
	struct iobuf_spec wired = resolved("wired,capacity=2M");
	struct iobuf_spec small = resolved("capacity=1M");
	struct iobuf_reason reason = { 0 };
	struct iobuf *b = NULL;
	int fd;

	enter_small_tmpfs("1M");
	fd = new_shm_file();
	CHILD_CHECK(iobuf_create_in_file(&large, fd, &b, &reason) == -ENOSPC);
	CHILD_CHECK(!b && reason.text[0]);
	CHILD_CHECK(stat_of(fd).st_size == 0 && stat_of(fd).st_blocks == 0);
	CHILD_CHECK(iobuf_create_in_file(&wired, fd, &b, NULL) == -ENOSPC);
	CHILD_CHECK(stat_of(fd).st_size == 0 && stat_of(fd).st_blocks == 0);
	CHILD_CHECK(iobuf_create_in_file(&small, fd, &b, NULL) == 0);
	iobuf_release(b);
}

static void a_full_filesystem_is_enospc_and_leaves_the_file_empty(void **state)
{
	(void)state;
	if (run_in_child(create_in_a_full_filesystem) == UNIT_SKIPPED)
		SKIP("mounting is not allowed");
}

static void the_last_release_frees_file_and_mapping(void **state)
{
	const unsigned int fds = open_fds();
	const uint64_t mapped = mapped_bytes("memfd:iobuf");
	struct iobuf *b = created("capacity=1M");

	(void)state;
	assert_non_null(iobuf_get_bytes_no_copy(b, 0, 1));
	assert_int_equal(open_fds(), fds + 1);
	assert_int_equal(mapped_bytes("memfd:iobuf"), mapped + MIB);
	assert_ptr_equal(iobuf_retain(b), b);
	iobuf_release(b);
	assert_int_equal(open_fds(), fds + 1);
	assert_int_equal(iobuf_get_length(b), MIB);
	iobuf_release(b);
	assert_int_equal(open_fds(), fds);
	assert_int_equal(mapped_bytes("memfd:iobuf"), mapped);
}

static void releasing_null_does_nothing(void **state)
{
	(void)state;
	iobuf_release(NULL);
}

static void create_in_file_borrows_the_file(void **state)
{
	struct iobuf_spec spec = resolved("unshared,capacity=100");
	struct iobuf *b = NULL;
	int fd = new_memfd();

	(void)state;
	assert_int_equal(iobuf_create_in_file(&spec, fd, &b, NULL), 0);
	assert_int_equal(iobuf_fd(b), fd);
	assert_int_equal(stat_of(fd).st_size, page_bytes());
	iobuf_release(b);
	assert_int_equal(stat_of(fd).st_size, page_bytes()); /* still open */
	close(fd);
}

static void a_file_that_is_not_empty_is_ebusy(void **state)
{
	struct iobuf_spec spec = resolved("capacity=1M");
	struct iobuf *b = NULL;
	int fd = new_memfd();

	(void)state;
	assert_int_equal(pwrite(fd, "x", 1, 0), 1);
	assert_int_equal(iobuf_create_in_file(&spec, fd, &b, NULL), -EBUSY);
	assert_null(b);
	assert_int_equal(stat_of(fd).st_size, 1);
	close(fd);
}

static void a_file_with_blocks_past_its_end_is_ebusy(void **state)
{
	struct iobuf_spec spec = resolved("capacity=1M");
	struct iobuf *b = NULL;
	int fd = new_memfd();

	(void)state;
	assert_int_equal(fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 4096), 0);
	assert_int_equal(stat_of(fd).st_size, 0);
	assert_int_equal(iobuf_create_in_file(&spec, fd, &b, NULL), -EBUSY);
	assert_true(stat_of(fd).st_blocks > 0);
	close(fd);
}

static void two_descriptors_of_a_file_share_its_bytes(void **state)
{
	struct iobuf *a = created("capacity=1M"), *b = NULL;
	unsigned char *ours, *theirs;

	(void)state;
	assert_int_equal(iobuf_attach(iobuf_get_spec(a), iobuf_fd(a), MIB, &b),
			 0);
	ours = iobuf_get_bytes_no_copy(a, 0, MIB);
	theirs = iobuf_get_bytes_no_copy(b, 0, MIB);
	assert_ptr_not_equal(ours, theirs);
	ours[4096] = 42;
	assert_int_equal(theirs[4096], 42);
	iobuf_release(b);
	iobuf_release(a);
}

static void attach_allocates_maps_and_wires_nothing(void **state)
{
	struct iobuf_spec spec = resolved("wired,capacity=1M");
	const uint64_t locked = locked_bytes();
	struct iobuf *b = NULL;
	int fd = new_memfd();

	(void)state;
	assert_int_equal(ftruncate(fd, (off_t)MIB), 0);
	assert_int_equal(iobuf_attach(&spec, fd, 10, &b), 0);
	assert_int_equal(stat_of(fd).st_blocks, 0);
	assert_int_equal(mapped_bytes("memfd:unit"), 0);
	assert_int_equal(locked_bytes(), locked);
	assert_int_equal(iobuf_get_length(b), 10);
	assert_int_equal(iobuf_get_capacity(b), MIB);
	iobuf_release(b);
	close(fd);
}

static void attach_with_a_length_past_the_capacity_is_einval(void **state)
{
	struct iobuf_spec spec = resolved("capacity=1M");
	struct iobuf *b = NULL;
	int fd = new_memfd();

	(void)state;
	assert_int_equal(iobuf_attach(&spec, fd, MIB + 1, &b), -EINVAL);
	assert_null(b);
	assert_int_equal(iobuf_attach(&spec, fd, MIB, &b), 0);
	iobuf_release(b);
	close(fd);
}

static void a_buffer_without_capacity_is_as_long_as_its_file(void **state)
{
	int fd;
	struct iobuf *b = elastic("pageable", 12345, &fd);

	(void)state;
	assert_int_equal(iobuf_get_length(b), 12345);
	assert_int_equal(iobuf_get_capacity(b), 12345);
	assert_int_equal(iobuf_set_length(b, 1), -EOPNOTSUPP);
	assert_int_equal(iobuf_get_length(b), 12345);
	iobuf_release(b);
	close(fd);
}

static void wired_memory_is_resident_and_locked_until_release(void **state)
{
	const uint64_t before = locked_bytes();
	struct iobuf *b;
	void *bytes;

	(void)state;
	b = created("wired,capacity=3M");
	assert_int_equal(locked_bytes(), before + 3 * MIB);
	bytes = iobuf_get_bytes_no_copy(b, 0, 3 * MIB);
	assert_int_equal(present_pages(bytes, 3 * MIB) * page_bytes(), 3 * MIB);
	iobuf_release(b);
	assert_int_equal(locked_bytes(), before);
}

static void pageable_memory_is_not_locked(void **state)
{
	const uint64_t before = locked_bytes();
	struct iobuf *b = created("pageable,capacity=1M");
	void *bytes = iobuf_get_bytes_no_copy(b, 0, MIB);

	(void)state;
	assert_int_equal(locked_bytes(), before);
	assert_int_equal(present_pages(bytes, MIB), 0);
	iobuf_release(b);
}

static void set_length_moves_within_the_capacity(void **state)
{
	struct iobuf *b = created("capacity=1M");

	(void)state;
	assert_int_equal(iobuf_set_length(b, 0), 0);
	assert_int_equal(iobuf_get_length(b), 0);
	assert_int_equal(iobuf_set_length(b, MIB), 0);
	assert_int_equal(iobuf_get_length(b), MIB);
	assert_int_equal(iobuf_set_length(b, MIB + 1), -EINVAL);
	assert_int_equal(iobuf_set_length(b, UINT64_MAX), -EINVAL);
	assert_int_equal(iobuf_get_length(b), MIB);
	assert_int_equal(iobuf_get_capacity(b), MIB);
	iobuf_release(b);
}

static void a_fixed_buffer_cannot_be_resized(void **state)
{
	struct iobuf *b = created("capacity=1M");

	(void)state;
	assert_int_equal(iobuf_resize(b, MIB / 2), -EINVAL);
	assert_int_equal(iobuf_resize(b, 2 * MIB), -EINVAL);
	assert_int_equal(stat_of(iobuf_fd(b)).st_size, MIB);
	iobuf_release(b);
}

static void resizing_a_pageable_buffer_sizes_its_file(void **state)
{
	int fd;
	struct iobuf *b = elastic("pageable", 0, &fd);

	(void)state;
	assert_int_equal(iobuf_resize(b, 10 * MIB), 0);
	assert_int_equal(iobuf_get_length(b), 10 * MIB);
	assert_int_equal(stat_of(fd).st_size, 10 * MIB);
	assert_int_equal(stat_of(fd).st_blocks, 0); /* nothing was asked */
	assert_int_equal(iobuf_resize(b, 0), 0);
	assert_int_equal(stat_of(fd).st_size, 0);
	iobuf_release(b);
	close(fd);
}

static void the_mapping_follows_a_resize(void **state)
{
	const uint64_t page = page_bytes();
	int fd;
	struct iobuf *b = elastic("pageable", page, &fd);
	unsigned char *p = iobuf_get_bytes_no_copy(b, 0, page);

	(void)state;
	p[0] = 7;
	assert_int_equal(iobuf_resize(b, 100 * page), 0);
	p = iobuf_get_bytes_no_copy(b, 0, 100 * page);
	assert_int_equal(p[0], 7);
	p[100 * page - 1] = 8;
	assert_int_equal(iobuf_resize(b, page + 1), 0);
	assert_int_equal(mapped_bytes("memfd:unit"), 2 * page);
	assert_int_equal(iobuf_resize(b, 0), 0);
	assert_int_equal(mapped_bytes("memfd:unit"), 0);
	assert_null(iobuf_get_bytes_no_copy(b, 0, 0));
	iobuf_release(b);
	close(fd);
}

static void what_a_wired_buffer_grows_by_is_reserved_and_wired(void **state)
{
	const uint64_t before = locked_bytes();
	struct iobuf *b;
	int fd;

	(void)state;
	b = elastic("wired", 0, &fd);
	assert_int_equal(iobuf_prepare(b), 0);
	assert_int_equal(iobuf_resize(b, 2 * MIB), 0);
	assert_int_equal(stat_of(fd).st_blocks * 512, 2 * MIB);
	assert_int_equal(locked_bytes(), before + 2 * MIB);
	assert_int_equal(iobuf_resize(b, 3 * MIB), 0);
	assert_int_equal(stat_of(fd).st_blocks * 512, 3 * MIB);
	assert_int_equal(locked_bytes(), before + 3 * MIB);
	assert_int_equal(present_pages(iobuf_get_bytes_no_copy(b, 0, 3 * MIB),
				       3 * MIB) * page_bytes(),
			 3 * MIB);
	/* From a size that is no multiple of a huge page, too. */
	assert_int_equal(iobuf_resize(b, 5 * MIB + 1), 0);
	assert_int_equal(locked_bytes(), before + 5 * MIB + page_bytes());
	assert_int_equal((uintptr_t)iobuf_get_bytes_no_copy(b, 0, 1) %
				 (2 * MIB),
			 0);
	assert_int_equal(iobuf_resize(b, MIB), 0);
	assert_int_equal(locked_bytes(), before + MIB);
	assert_int_equal(iobuf_resize(b, 0), 0);
	assert_int_equal(locked_bytes(), before);
	iobuf_release(b);
	close(fd);
}

static void a_wired_buffer_grows_from_inside_a_page(void **state)
{
	int fd;
	struct iobuf *b = elastic("wired", 0, &fd);
	char byte = 'x';
	size_t n;

	(void)state;
	assert_int_equal(iobuf_prepare(b), 0);
	assert_int_equal(iobuf_resize(b, 100), 0);
	assert_int_equal(iobuf_write_bytes(b, 99, &byte, 1, &n), 0);
	assert_int_equal(iobuf_resize(b, 5000), 0);
	assert_int_equal(iobuf_get_length(b), 5000);
	assert_int_equal(stat_of(fd).st_size, 5000);
	assert_int_equal(((char *)iobuf_get_bytes_no_copy(b, 0, 100))[99], 'x');
	iobuf_release(b);
	close(fd);
}

static void a_refused_resize_keeps_size_and_bytes(void **state)
{
	static const char *const kinds[] = { "pageable", "wired" };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(kinds); i++) {
		int fd;
		struct iobuf *b = elastic(kinds[i], 0, &fd);
		const struct stat empty = stat_of(fd);

		assert_int_equal(iobuf_resize(b, UINT64_MAX), -EFBIG);
		assert_int_equal(iobuf_resize(b, INT64_MAX), -EFBIG);
		assert_int_equal(iobuf_get_length(b), 0);
		assert_int_equal(stat_of(fd).st_size, empty.st_size);
		assert_int_equal(iobuf_resize(b, 100), 0);
		iobuf_release(b);
		close(fd);
	}
}

static void grow_past_the_filesystem(void)
{
	struct iobuf_spec spec = resolved("wired");
	struct iobuf *b = NULL;
	size_t n = 77;
	int fd;

	enter_small_tmpfs("1M");
	fd = new_shm_file();
	CHILD_CHECK(iobuf_attach(&spec, fd, 0, &b) == 0);
	CHILD_CHECK(iobuf_prepare(b) == 0);
	CHILD_CHECK(iobuf_resize(b, 5000) == 0);
	CHILD_CHECK(iobuf_resize(b, 2 * MIB) == -ENOSPC);
	CHILD_CHECK(iobuf_write_bytes(b, 2 * MIB, "x", 1, &n) == -ENOSPC);
	CHILD_CHECK(n == 77);
	CHILD_CHECK(iobuf_get_length(b) == 5000);
	CHILD_CHECK(stat_of(fd).st_size == 5000);
	CHILD_CHECK((uint64_t)stat_of(fd).st_blocks * 512 == 2 * page_bytes());
	CHILD_CHECK(iobuf_get_bytes_no_copy(b, 0, 5000));
	iobuf_release(b);
}

static void a_wired_buffer_that_cannot_grow_stays_as_it_was(void **state)
{
	(void)state;
	if (run_in_child(grow_past_the_filesystem) == UNIT_SKIPPED)
		SKIP("mounting is not allowed");
}

static void write_past_the_filesystem(void)
{
	static const char bytes[2 << 20];
	struct iobuf_spec spec = resolved("pageable");
	struct iobuf *b = NULL;
	size_t n = 77;
	int fd;

	enter_small_tmpfs("1M");
	fd = new_shm_file();
	CHILD_CHECK(iobuf_attach(&spec, fd, 0, &b) == 0);
	CHILD_CHECK(iobuf_append_bytes(b, bytes, 4096, &n) == 0);
	CHILD_CHECK(iobuf_get_bytes_no_copy(b, 0, 4096));
	/* What fits is written; then nothing is, and nothing changes. */
	CHILD_CHECK(iobuf_append_bytes(b, bytes, sizeof(bytes), &n) == 0);
	CHILD_CHECK(n == MIB - 4096);
	CHILD_CHECK(iobuf_get_length(b) == MIB);
	CHILD_CHECK((uint64_t)stat_of(fd).st_size == MIB);
	n = 77;
	CHILD_CHECK(iobuf_append_bytes(b, bytes, 1, &n) == -ENOSPC);
	CHILD_CHECK(iobuf_write_bytes(b, 3 * MIB, bytes, 1, &n) == -ENOSPC);
	CHILD_CHECK(n == 77);
	CHILD_CHECK(iobuf_get_length(b) == MIB);
	CHILD_CHECK((uint64_t)stat_of(fd).st_size == MIB);
	CHILD_CHECK(mapped_bytes("/dev/shm/") == MIB);
	iobuf_release(b);
}

static void a_full_filesystem_cuts_a_write_short(
	void **state)
{
	(void)state;
	if (run_in_child(write_past_the_filesystem) == UNIT_SKIPPED)
		SKIP("mounting is not allowed");
}

static void a_lent_file_may_be_taken_back_once_mapped(void **state)
{
	struct iobuf_spec spec = resolved("wired,capacity=1M");
	struct iobuf *b = NULL;
	int fd = new_memfd();
	char in[3] = "abc", out[3] = "";
	size_t n = 0;

	(void)state;
	assert_int_equal(iobuf_create_in_file(&spec, fd, &b, NULL), 0);
	assert_int_equal(iobuf_set_fd(b, -1), 0);
	assert_int_equal(iobuf_fd(b), -1);
	assert_int_equal(iobuf_write_bytes(b, 4095, in, 3, &n), 0);
	assert_int_equal(n, 3);
	assert_int_equal(iobuf_read_bytes(b, 4095, out, 3, &n), 0);
	assert_memory_equal(in, out, 3);
	assert_int_equal(pread(fd, out, 1, 4097), 1);
	assert_int_equal(out[0], 'c');
	assert_int_equal(iobuf_set_fd(b, fd), 0);
	assert_int_equal(iobuf_fd(b), fd);
	iobuf_release(b);
	close(fd);
}

static void taking_back_the_only_way_to_the_memory_is_einval(void **state)
{
	int fd;
	struct iobuf *b = elastic("pageable", 4096, &fd);

	(void)state;
	assert_int_equal(iobuf_set_fd(b, -1), -EINVAL);
	assert_int_equal(iobuf_fd(b), fd);
	assert_int_equal(iobuf_prepare(b), 0);
	assert_int_equal(iobuf_set_fd(b, -1), 0);
	assert_int_equal(iobuf_set_fd(b, fd), 0);
	iobuf_release(b);
	close(fd);
}

static void the_file_of_a_created_buffer_stays(void **state)
{
	struct iobuf *b = created("wired,capacity=4K");
	int fd = iobuf_fd(b);

	(void)state;
	assert_int_equal(iobuf_set_fd(b, -1), -EINVAL);
	assert_int_equal(iobuf_set_fd(b, fd), -EINVAL);
	assert_int_equal(iobuf_fd(b), fd);
	iobuf_release(b);
}

static void a_buffer_without_its_file_cannot_grow(void **state)
{
	int fd;
	struct iobuf *b = elastic("pageable", 4096, &fd);
	char bytes[8192] = { 1 };
	size_t n = 77;

	(void)state;
	assert_int_equal(iobuf_prepare(b), 0);
	assert_int_equal(iobuf_set_fd(b, -1), 0);
	assert_int_equal(iobuf_resize(b, 8192), -EBADF);
	assert_int_equal(iobuf_write_bytes(b, 0, bytes, 8192, &n), -EBADF);
	assert_int_equal(iobuf_append_bytes(b, bytes, 1, &n), -EBADF);
	assert_int_equal(n, 77);
	assert_int_equal(iobuf_get_length(b), 4096);
	assert_int_equal(iobuf_write_bytes(b, 0, bytes, 4096, &n), 0);
	iobuf_release(b);
	close(fd);
}

static void prepare_and_complete_nest(void **state)
{
	const uint64_t before = locked_bytes();
	struct iobuf *b;

	(void)state;
	b = created("pageable,capacity=1M");
	assert_int_equal(iobuf_prepare(b), 0);
	assert_int_equal(locked_bytes(), before + MIB);
	assert_int_equal(iobuf_prepare(b), 0);
	assert_int_equal(locked_bytes(), before + MIB);
	assert_int_equal(iobuf_complete(b), 0);
	assert_int_equal(locked_bytes(), before + MIB);
	assert_int_equal(iobuf_complete(b), 0);
	assert_int_equal(locked_bytes(), before);
	iobuf_release(b);
}

static void complete_without_prepare_is_einval(void **state)
{
	struct iobuf *b = created("pageable,capacity=4K");

	(void)state;
	assert_int_equal(iobuf_complete(b), -EINVAL);
	assert_int_equal(iobuf_prepare(b), 0);
	assert_int_equal(iobuf_complete(b), 0);
	assert_int_equal(iobuf_complete(b), -EINVAL);
	iobuf_release(b);
}

static void complete_does_not_undo_the_wiring_of_a_wired_buffer(void **state)
{
	const uint64_t before = locked_bytes();
	struct iobuf *b;

	(void)state;
	b = created("wired,capacity=1M");
	assert_int_equal(iobuf_complete(b), -EINVAL);
	assert_int_equal(iobuf_prepare(b), 0);
	assert_int_equal(iobuf_complete(b), 0);
	assert_int_equal(iobuf_complete(b), -EINVAL);
	assert_int_equal(locked_bytes(), before + MIB);
	iobuf_release(b);
	assert_int_equal(locked_bytes(), before);
}

static void release_while_prepared_unlocks(void **state)
{
	const uint64_t before = locked_bytes();
	struct iobuf *b;

	(void)state;
	b = created("pageable,capacity=1M");
	assert_int_equal(iobuf_prepare(b), 0);
	assert_int_equal(iobuf_prepare(b), 0);
	iobuf_release(b);
	assert_int_equal(locked_bytes(), before);
}

static void what_a_prepared_buffer_grows_by_is_wired(void **state)
{
	const uint64_t before = locked_bytes();
	char byte = 1;
	struct iobuf *b;
	size_t n;
	int fd;

	(void)state;
	b = elastic("pageable", MIB, &fd);
	assert_int_equal(iobuf_prepare(b), 0);
	assert_int_equal(iobuf_resize(b, 2 * MIB), 0);
	assert_int_equal(locked_bytes(), before + 2 * MIB);
	assert_int_equal(iobuf_write_bytes(b, 3 * MIB - 1, &byte, 1, &n), 0);
	assert_int_equal(locked_bytes(), before + 3 * MIB);
	iobuf_release(b);
	assert_int_equal(locked_bytes(), before);
	close(fd);
}

static void limit_locked_memory(rlim_t bytes)
{
	const struct rlimit limit = { bytes, bytes };

	drop_capability(CAP_IPC_LOCK);
	CHILD_CHECK(setrlimit(RLIMIT_MEMLOCK, &limit) == 0);
}

static void create_under_a_lock_limit(void)
{
	struct iobuf_spec large = resolved("wired,capacity=1M");
	struct iobuf_spec small = resolved("wired,capacity=16K");
	struct iobuf_reason reason = { 0 };
	const unsigned int fds = open_fds();
	struct iobuf *b = NULL;
	int fd;

	limit_locked_memory(65536);
	CHILD_CHECK(iobuf_create(&large, &b, &reason) == -ENOMEM);
	CHILD_CHECK(!b && reason.text[0]);
	CHILD_CHECK(open_fds() == fds);
	CHILD_CHECK(locked_bytes() == 0);
	CHILD_CHECK(mapped_bytes("memfd:") == 0);

	fd = new_memfd();
	CHILD_CHECK(iobuf_create_in_file(&large, fd, &b, NULL) == -ENOMEM);
	CHILD_CHECK(!b && locked_bytes() == 0);
	CHILD_CHECK(mapped_bytes("memfd:") == 0);
	CHILD_CHECK(stat_of(fd).st_size == 0 && stat_of(fd).st_blocks == 0);
	/* The limit it was, and nothing else: less memory is given. */
	CHILD_CHECK(iobuf_create_in_file(&small, fd, &b, NULL) == 0);
	CHILD_CHECK(locked_bytes() == 16384);
	iobuf_release(b);
	close(fd);
}

static void the_lock_limit_is_enomem_and_leaves_nothing(void **state)
{
	(void)state;
	run_in_child(create_under_a_lock_limit);
}

static void create_without_any_lock(void)
{
	struct iobuf_spec spec = resolved("wired,capacity=4K");
	struct iobuf *b = NULL;

	limit_locked_memory(0);
	CHILD_CHECK(iobuf_create(&spec, &b, NULL) == -ENOMEM);
	CHILD_CHECK(!b);
}

static void a_lock_limit_of_zero_is_enomem_too(void **state)
{
	(void)state;
	run_in_child(create_without_any_lock);
}

static void grow_under_a_lock_limit(void)
{
	int fd;
	struct iobuf *b = elastic("wired", 0, &fd);
	char bytes[16] = "sixteen bytes...";
	size_t n = 77;

	limit_locked_memory(65536);
	CHILD_CHECK(iobuf_prepare(b) == 0);
	CHILD_CHECK(iobuf_resize(b, 8192) == 0);
	CHILD_CHECK(iobuf_write_bytes(b, 0, bytes, 16, &n) == 0);
	CHILD_CHECK(locked_bytes() == 8192);
	n = 77;
	CHILD_CHECK(iobuf_resize(b, MIB) == -ENOMEM);
	CHILD_CHECK(iobuf_write_bytes(b, MIB, bytes, 16, &n) == -ENOMEM);
	CHILD_CHECK(n == 77);
	CHILD_CHECK(iobuf_get_length(b) == 8192);
	CHILD_CHECK(stat_of(fd).st_size == 8192);
	CHILD_CHECK(stat_of(fd).st_blocks * 512 == 8192);
	CHILD_CHECK(locked_bytes() == 8192);
	CHILD_CHECK(!memcmp(iobuf_get_bytes_no_copy(b, 0, 16), bytes, 16));
	iobuf_release(b);
}

static void growing_past_the_lock_limit_changes_nothing(
	void **state)
{
	(void)state;
	run_in_child(grow_under_a_lock_limit);
}

static void prepare_under_a_lock_limit(void)
{
	struct iobuf *b = created("pageable,capacity=1M");

	limit_locked_memory(65536);
	CHILD_CHECK(iobuf_prepare(b) == -ENOMEM);
	CHILD_CHECK(locked_bytes() == 0);
	CHILD_CHECK(iobuf_complete(b) == -EINVAL);
	iobuf_release(b);
}

static void preparing_past_the_lock_limit_is_enomem(void **state)
{
	(void)state;
	run_in_child(prepare_under_a_lock_limit);
}

static void fill_the_descriptors(void)
{
	const struct rlimit none = { 0, 0 };
	struct iobuf_spec spec = resolved("capacity=4K");
	struct iobuf *b = NULL;

	CHILD_CHECK(setrlimit(RLIMIT_NOFILE, &none) == 0);
	CHILD_CHECK(iobuf_create(&spec, &b, NULL) == -EMFILE);
	CHILD_CHECK(!b);
}

static void no_descriptor_left_is_emfile(void **state)
{
	(void)state;
	run_in_child(fill_the_descriptors);
}

static void huge_memory_starts_on_a_huge_page(void **state)
{
	struct iobuf *b = created("capacity=4M");
	uintptr_t at = (uintptr_t)iobuf_get_bytes_no_copy(b, 0, 4 * MIB);

	(void)state;
	assert_true(at != 0);
	assert_int_equal(at % (2 * MIB), 0);
	iobuf_release(b);
}

/* Leave bytes behind in memory that the kernel will hand out next. */
static void soil_free_memory(void)
{
	const size_t size = 256 * MIB;
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHILD_CHECK(p != MAP_FAILED);
	madvise(p, size, MADV_HUGEPAGE);
	memset(p, 0xAA, size);
	munmap(p, size);
}

static void create_in_soiled_memory(void)
{
	struct iobuf_spec spec = resolved("wired,capacity=128M");
	struct iobuf *b = NULL;
	const unsigned char *bytes;

	enter_small_tmpfs("256M,huge=within_size");
	soil_free_memory();
	CHILD_CHECK(iobuf_create_in_file(&spec, new_shm_file(), &b, NULL) == 0);
	bytes = iobuf_get_bytes_no_copy(b, 0, spec.capacity);
	CHILD_CHECK(bytes && bytes[0] == 0);
	CHILD_CHECK(!memcmp(bytes, bytes + 1, spec.capacity - 1));
	iobuf_release(b);
}

/* fallocate(2) leaves huge pages uncleared until they are faulted in, and not
 * every way to map them does that. */
static void a_wired_buffer_never_shows_old_memory(void **state)
{
	(void)state;
	run_in_child(create_in_soiled_memory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(created_memory_is_reserved_and_zero),
		cmocka_unit_test(length_starts_equal_to_capacity),
		cmocka_unit_test(create_completes_the_specification),
		cmocka_unit_test(create_without_capacity_is_einval),
		cmocka_unit_test(create_refuses_what_resolve_refuses),
		cmocka_unit_test(task_and_life_are_of_files_not_of_own_memory),
		cmocka_unit_test(more_than_all_memory_is_enomem),
		cmocka_unit_test(
			a_full_filesystem_is_enospc_and_leaves_the_file_empty),
		cmocka_unit_test(the_last_release_frees_file_and_mapping),
		cmocka_unit_test(releasing_null_does_nothing),
		cmocka_unit_test(create_in_file_borrows_the_file),
		cmocka_unit_test(a_file_that_is_not_empty_is_ebusy),
		cmocka_unit_test(a_file_with_blocks_past_its_end_is_ebusy),
		cmocka_unit_test(two_descriptors_of_a_file_share_its_bytes),
		cmocka_unit_test(attach_allocates_maps_and_wires_nothing),
		cmocka_unit_test(
			attach_with_a_length_past_the_capacity_is_einval),
		cmocka_unit_test(
			a_buffer_without_capacity_is_as_long_as_its_file),
		cmocka_unit_test(
			wired_memory_is_resident_and_locked_until_release),
		cmocka_unit_test(pageable_memory_is_not_locked),
		cmocka_unit_test(set_length_moves_within_the_capacity),
		cmocka_unit_test(a_fixed_buffer_cannot_be_resized),
		cmocka_unit_test(resizing_a_pageable_buffer_sizes_its_file),
		cmocka_unit_test(the_mapping_follows_a_resize),
		cmocka_unit_test(
			what_a_wired_buffer_grows_by_is_reserved_and_wired),
		cmocka_unit_test(a_wired_buffer_grows_from_inside_a_page),
		cmocka_unit_test(a_refused_resize_keeps_size_and_bytes),
		cmocka_unit_test(
			a_wired_buffer_that_cannot_grow_stays_as_it_was),
		cmocka_unit_test(
			a_full_filesystem_cuts_a_write_short),
		cmocka_unit_test(a_lent_file_may_be_taken_back_once_mapped),
		cmocka_unit_test(
			taking_back_the_only_way_to_the_memory_is_einval),
		cmocka_unit_test(the_file_of_a_created_buffer_stays),
		cmocka_unit_test(a_buffer_without_its_file_cannot_grow),
		cmocka_unit_test(prepare_and_complete_nest),
		cmocka_unit_test(complete_without_prepare_is_einval),
		cmocka_unit_test(
			complete_does_not_undo_the_wiring_of_a_wired_buffer),
		cmocka_unit_test(release_while_prepared_unlocks),
		cmocka_unit_test(what_a_prepared_buffer_grows_by_is_wired),
		cmocka_unit_test(the_lock_limit_is_enomem_and_leaves_nothing),
		cmocka_unit_test(a_lock_limit_of_zero_is_enomem_too),
		cmocka_unit_test(
			growing_past_the_lock_limit_changes_nothing),
		cmocka_unit_test(preparing_past_the_lock_limit_is_enomem),
		cmocka_unit_test(no_descriptor_left_is_emfile),
		cmocka_unit_test(huge_memory_starts_on_a_huge_page),
		cmocka_unit_test(a_wired_buffer_never_shows_old_memory),
	};

	return RUN_TESTS("buffer", tests);
}
