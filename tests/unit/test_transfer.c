/* SPDX-License-Identifier: MIT */
#include "buffers.h"

#include <pthread.h>

/* Fill all of a fixed buffer by its mapping, whatever its length. */
static unsigned char *fill(struct iobuf *b, int value)
{
	const uint64_t capacity = iobuf_get_capacity(b);
	const uint64_t length = iobuf_get_length(b);
	unsigned char *p;

	assert_int_equal(iobuf_set_length(b, capacity), 0);
	p = iobuf_get_bytes_no_copy(b, 0, capacity);
	memset(p, value, capacity);
	assert_int_equal(iobuf_set_length(b, length), 0);
	return p;
}

static size_t written(struct iobuf *b, uint64_t offset, const void *bytes,
		      size_t size)
{
	size_t n = SIZE_MAX;

	assert_int_equal(iobuf_write_bytes(b, offset, bytes, size, &n), 0);
	return n;
}

static size_t bytes_read(struct iobuf *b, uint64_t offset, void *bytes,
			 size_t size)
{
	size_t n = SIZE_MAX;

	assert_int_equal(iobuf_read_bytes(b, offset, bytes, size, &n), 0);
	return n;
}

static void a_wrong_way_transfer_is_eperm(void **state)
{
	static const struct {
		const char *text;
		int read, write;
	} ways[] = {
		{ "none,capacity=4K", -EPERM, -EPERM },
		{ "in,capacity=4K", -EPERM, 0 },
		{ "out,capacity=4K", 0, -EPERM },
		{ "inout,capacity=4K", 0, 0 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(ways); i++) {
		struct iobuf *b = created(ways[i].text);
		unsigned char *p = fill(b, 'p');
		char byte = 'w';
		size_t n = 77;

		assert_int_equal(iobuf_write_bytes(b, 0, &byte, 1, &n),
				 ways[i].write);
		assert_int_equal(n, ways[i].write ? 77 : 1);
		assert_int_equal(p[0], ways[i].write ? 'p' : 'w');
		n = 77;
		byte = '-';
		assert_int_equal(iobuf_read_bytes(b, 0, &byte, 1, &n),
				 ways[i].read);
		assert_int_equal(n, ways[i].read ? 77 : 1);
		assert_int_equal(byte, ways[i].read ? '-' : p[0]);
		iobuf_release(b);
	}
}

static void a_wrong_way_transfer_of_nothing_is_eperm_too(void **state)
{
	struct iobuf *b = created("none,capacity=4K");
	size_t n = 77;

	(void)state;
	assert_int_equal(iobuf_write_bytes(b, 0, "", 0, &n), -EPERM);
	assert_int_equal(iobuf_read_bytes(b, 0, &n, 0, &n), -EPERM);
	assert_int_equal(n, 77);
	iobuf_release(b);
}

static void set_direction_binds_transfers_from_then_on(void **state)
{
	struct iobuf *b = created("inout,capacity=4K");
	char byte = 1;
	size_t n;

	(void)state;
	assert_int_equal(iobuf_set_direction(b, IOBUF_DIRECTION_OUT), 0);
	assert_int_equal(iobuf_get_direction(b), IOBUF_DIRECTION_OUT);
	assert_int_equal(iobuf_write_bytes(b, 0, &byte, 1, &n), -EPERM);
	assert_int_equal(bytes_read(b, 0, &byte, 1), 1);
	assert_int_equal(iobuf_set_direction(b, IOBUF_DIRECTION_IN), 0);
	assert_int_equal(iobuf_read_bytes(b, 0, &byte, 1, &n), -EPERM);
	assert_int_equal(written(b, 0, &byte, 1), 1);
	for (uint32_t bad = 4; bad; bad <<= 1)
		assert_int_equal(iobuf_set_direction(b, bad), -EINVAL);
	assert_int_equal(iobuf_get_direction(b), IOBUF_DIRECTION_IN);
	iobuf_release(b);
}

static void mapping_and_appending_are_no_transfers(void **state)
{
	struct iobuf *b = created("none,capacity=4K");

	(void)state;
	assert_non_null(iobuf_get_bytes_no_copy(b, 0, 4096));
	assert_int_equal(iobuf_set_length(b, 0), 0);
	assert_int_equal(iobuf_append_bytes(b, "abc", 3, NULL), 0);
	assert_memory_equal(iobuf_get_bytes_no_copy(b, 0, 3), "abc", 3);
	iobuf_release(b);
}

static void reading_is_clamped_at_the_length(void **state)
{
	struct iobuf *b = created("capacity=8K");
	char bytes[8192];

	(void)state;
	fill(b, 'x');
	assert_int_equal(iobuf_set_length(b, 100), 0);
	memset(bytes, '-', sizeof(bytes));
	assert_int_equal(bytes_read(b, 90, bytes, sizeof(bytes)), 10);
	assert_true(all_bytes_are(bytes, 10, 'x'));
	assert_true(all_bytes_are(bytes + 10, sizeof(bytes) - 10, '-'));
	assert_int_equal(bytes_read(b, 100, bytes, 1), 0);
	assert_int_equal(bytes_read(b, 8192, bytes, 1), 0);
	assert_int_equal(bytes_read(b, UINT64_MAX, bytes, 1), 0);
	assert_int_equal(bytes_read(b, 0, bytes, 0), 0);
	iobuf_release(b);
}

static void reading_an_elastic_buffer_ends_at_its_length(void **state)
{
	int fd;
	struct iobuf *b = elastic("pageable", 5, &fd);
	char bytes[10];

	(void)state;
	assert_int_equal(bytes_read(b, 3, bytes, 10), 2);
	assert_int_equal(bytes_read(b, 5, bytes, 10), 0);
	iobuf_release(b);
	close(fd);
}

static void what_is_written_is_read_back(void **state)
{
	static const char *const kinds[] = { "wired,capacity=1M",
					     "pageable,capacity=1M",
					     "unshared,capacity=1M",
					     "cache=copyback,capacity=1M" };
	static unsigned char in[300000], out[300000];

	(void)state;
	for (size_t i = 0; i < sizeof(in); i++)
		in[i] = (unsigned char)(i * 7 + i / 251);
	for (size_t i = 0; i < COUNT_OF(kinds); i++) {
		struct iobuf *b = created(kinds[i]);

		assert_int_equal(written(b, 4000, in, sizeof(in)), sizeof(in));
		assert_int_equal(bytes_read(b, 4000, out, sizeof(out)),
				 sizeof(out));
		assert_memory_equal(in, out, sizeof(in));
		assert_memory_equal(iobuf_get_bytes_no_copy(b, 4000,
							    sizeof(in)),
				    in, sizeof(in));
		iobuf_release(b);
	}
}

static void a_write_that_crosses_the_capacity_is_short(void **state)
{
	struct iobuf *b = created("unshared,capacity=5000");
	unsigned char bytes[100];
	struct stat st;

	(void)state;
	memset(bytes, 'w', sizeof(bytes));
	assert_int_equal(written(b, 4990, bytes, 100), 10);
	assert_int_equal(iobuf_get_length(b), 5000);
	assert_true(all_bytes_are(iobuf_get_bytes_no_copy(b, 4990, 10), 10,
				  'w'));
	/* Past the capacity the last page holds nothing. */
	st = stat_of(iobuf_fd(b));
	assert_int_equal(st.st_size, 8192);
	assert_int_equal(pread(iobuf_fd(b), bytes, 90, 5000), 90);
	assert_true(all_bytes_are(bytes, 90, 0));
	iobuf_release(b);
}

static void a_write_at_or_past_the_capacity_is_efbig(void **state)
{
	struct iobuf *b = created("capacity=4K");
	size_t n = 77;

	(void)state;
	assert_int_equal(iobuf_set_length(b, 10), 0);
	assert_int_equal(iobuf_write_bytes(b, 4096, "x", 1, &n), -EFBIG);
	assert_int_equal(iobuf_write_bytes(b, UINT64_MAX, "x", 1, &n), -EFBIG);
	assert_int_equal(n, 77);
	assert_int_equal(iobuf_get_length(b), 10);
	assert_int_equal(written(b, 4096, "", 0), 0);
	assert_int_equal(iobuf_get_length(b), 10);
	iobuf_release(b);
}

static void an_elastic_write_past_the_largest_file_is_efbig(void **state)
{
	int fd;
	struct iobuf *b = elastic("pageable", 0, &fd);
	size_t n = 77;

	(void)state;
	assert_int_equal(iobuf_write_bytes(b, INT64_MAX, "x", 1, &n), -EFBIG);
	assert_int_equal(iobuf_write_bytes(b, UINT64_MAX, "x", 1, &n), -EFBIG);
	assert_int_equal(n, 77);
	assert_int_equal(iobuf_get_length(b), 0);
	iobuf_release(b);
	close(fd);
}

static void a_write_past_the_length_moves_it_to_its_end(void **state)
{
	struct iobuf *b = created("capacity=8K");

	(void)state;
	assert_int_equal(iobuf_set_length(b, 10), 0);
	assert_int_equal(written(b, 5, "ab", 2), 2);
	assert_int_equal(iobuf_get_length(b), 10);
	assert_int_equal(written(b, 9, "ab", 2), 2);
	assert_int_equal(iobuf_get_length(b), 11);
	assert_int_equal(written(b, 8190, "abc", 3), 2);
	assert_int_equal(iobuf_get_length(b), 8192);
	iobuf_release(b);
}

static void the_gap_that_a_write_leaves_reads_as_zero(void **state)
{
	struct iobuf *b = created("capacity=512K");
	unsigned char *p = fill(b, 0xff);
	const size_t at = 300000; /* more than one batch of zeros */

	(void)state;
	assert_int_equal(iobuf_set_length(b, 3), 0);
	assert_int_equal(written(b, at, "x", 1), 1);
	assert_true(all_bytes_are(p, 3, 0xff));
	assert_true(all_bytes_are(p + 3, at - 3, 0));
	assert_int_equal(p[at], 'x');
	assert_true(all_bytes_are(p + at + 1, (512 << 10) - at - 1, 0xff));
	iobuf_release(b);
}

static void the_gap_in_an_elastic_buffer_reads_as_zero(void **state)
{
	static const char *const kinds[] = { "pageable", "wired" };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(kinds); i++) {
		int fd;
		struct iobuf *b = elastic(kinds[i], 0, &fd);
		unsigned char out[10000];

		assert_int_equal(iobuf_prepare(b), 0);
		assert_int_equal(written(b, 9999, "x", 1), 1);
		assert_int_equal(iobuf_get_length(b), 10000);
		assert_int_equal(stat_of(fd).st_size, 10000);
		assert_int_equal(bytes_read(b, 0, out, 20000), 10000);
		assert_true(all_bytes_are(out, 9999, 0));
		iobuf_release(b);
		close(fd);
	}
}

static void truncate_grows_with_zeros(void **state)
{
	struct iobuf *b = created("capacity=512K");
	unsigned char *p = fill(b, 0xff);

	(void)state;
	assert_int_equal(iobuf_truncate(b, 10), 0);
	assert_int_equal(iobuf_get_length(b), 10);
	assert_true(all_bytes_are(p + 10, 4096 - 10, 0));
	assert_int_equal(p[4096], 0xff);
	assert_int_equal(iobuf_truncate(b, 200000), 0);
	assert_int_equal(iobuf_get_length(b), 200000);
	assert_true(all_bytes_are(p, 10, 0xff));
	assert_true(all_bytes_are(p + 10, 200000 - 10, 0));
	assert_int_equal(p[200000], 0xff);
	iobuf_release(b);
}

static void zeroing_moves_neither_length_nor_what_is_beside_it(void **state)
{
	struct iobuf *b = created("wired,in,capacity=512K");
	unsigned char *p = fill(b, 0xff);

	(void)state;
	assert_int_equal(iobuf_truncate(b, 1000), 0);
	assert_int_equal(iobuf_zero_bytes(b, 10, 200000), 0);
	assert_int_equal(iobuf_get_length(b), 1000);
	assert_true(all_bytes_are(p, 10, 0xff));
	assert_true(all_bytes_are(p + 10, 200000, 0));
	assert_int_equal(p[200010], 0xff);
	iobuf_release(b);
}

static void zeroing_past_the_capacity_is_einval(void **state)
{
	struct iobuf *b = created("capacity=4K");
	unsigned char *p = fill(b, 0xff);

	(void)state;
	assert_int_equal(iobuf_zero_bytes(b, 4096, 0), 0);
	assert_int_equal(iobuf_zero_bytes(b, 0, 4097), -EINVAL);
	assert_int_equal(iobuf_zero_bytes(b, 4097, 0), -EINVAL);
	assert_int_equal(iobuf_zero_bytes(b, 1, UINT64_MAX), -EINVAL);
	assert_true(all_bytes_are(p, 4096, 0xff));
	iobuf_release(b);
}

static void truncate_past_the_capacity_is_efbig(void **state)
{
	struct iobuf *b = created("capacity=4K");

	(void)state;
	assert_int_equal(iobuf_truncate(b, 5), 0);
	assert_int_equal(iobuf_truncate(b, 4097), -EFBIG);
	assert_int_equal(iobuf_truncate(b, UINT64_MAX), -EFBIG);
	assert_int_equal(iobuf_get_length(b), 5);
	assert_int_equal(iobuf_truncate(b, 4096), 0);
	iobuf_release(b);
}

static void truncate_keeps_the_reservation_of_a_fixed_buffer(void **state)
{
	struct iobuf *b = created("capacity=1M");
	const struct stat before = stat_of(iobuf_fd(b));

	(void)state;
	assert_int_equal(iobuf_truncate(b, 0), 0);
	assert_int_equal(stat_of(iobuf_fd(b)).st_blocks, before.st_blocks);
	assert_int_equal(stat_of(iobuf_fd(b)).st_size, before.st_size);
	iobuf_release(b);
}

static void truncating_an_elastic_buffer_sizes_its_file(void **state)
{
	int fd;
	struct iobuf *b = elastic("pageable", 10, &fd);

	(void)state;
	assert_int_equal(iobuf_truncate(b, 100000), 0);
	assert_int_equal(stat_of(fd).st_size, 100000);
	assert_int_equal(iobuf_get_length(b), 100000);
	assert_int_equal(iobuf_truncate(b, 0), 0);
	assert_int_equal(stat_of(fd).st_size, 0);
	iobuf_release(b);
	close(fd);
}

static void set_length_touches_no_bytes(void **state)
{
	struct iobuf *b = created("capacity=64K");
	unsigned char *p = fill(b, 0xff);

	(void)state;
	assert_int_equal(iobuf_set_length(b, 0), 0);
	assert_int_equal(iobuf_set_length(b, 65536), 0);
	assert_true(all_bytes_are(p, 65536, 0xff));
	iobuf_release(b);
}

static void append_adds_at_the_length_and_clamps_at_the_capacity(void **state)
{
	struct iobuf *b = created("unshared,capacity=10");
	size_t n = 77;

	(void)state;
	assert_int_equal(iobuf_set_length(b, 0), 0);
	assert_int_equal(iobuf_append_bytes(b, "abcd", 4, &n), 0);
	assert_int_equal(n, 4);
	assert_int_equal(iobuf_append_bytes(b, "efgh", 4, NULL), 0);
	assert_int_equal(iobuf_get_length(b), 8);
	assert_int_equal(iobuf_append_bytes(b, "ijkl", 4, &n), 0);
	assert_int_equal(n, 2);
	assert_int_equal(iobuf_append_bytes(b, "z", 1, &n), 0);
	assert_int_equal(n, 0);
	assert_int_equal(iobuf_get_length(b), 10);
	assert_memory_equal(iobuf_get_bytes_no_copy(b, 0, 10), "abcdefghij",
			    10);
	iobuf_release(b);
}

static void append_grows_an_elastic_buffer(void **state)
{
	static const char *const kinds[] = { "pageable", "wired" };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(kinds); i++) {
		int fd;
		struct iobuf *b = elastic(kinds[i], 0, &fd);
		char out[6];

		assert_int_equal(iobuf_append_bytes(b, "abc", 3, NULL), 0);
		assert_int_equal(iobuf_append_bytes(b, "def", 3, NULL), 0);
		assert_int_equal(bytes_read(b, 0, out, 6), 6);
		assert_memory_equal(out, "abcdef", 6);
		assert_int_equal(stat_of(fd).st_size, 6);
		iobuf_release(b);
		close(fd);
	}
}

static void bytes_no_copy_needs_start_and_end_within_the_length(void **state)
{
	struct iobuf *b = created("capacity=8K");
	unsigned char *p = iobuf_get_bytes_no_copy(b, 0, 8192);

	(void)state;
	assert_non_null(p);
	assert_int_equal(iobuf_set_length(b, 100), 0);
	assert_ptr_equal(iobuf_get_bytes_no_copy(b, 0, 100), p);
	assert_ptr_equal(iobuf_get_bytes_no_copy(b, 99, 1), p + 99);
	assert_ptr_equal(iobuf_get_bytes_no_copy(b, 99, 0), p + 99);
	assert_null(iobuf_get_bytes_no_copy(b, 0, 101));
	assert_null(iobuf_get_bytes_no_copy(b, 99, 2));
	assert_null(iobuf_get_bytes_no_copy(b, 100, 0));
	assert_null(iobuf_get_bytes_no_copy(b, 100, 1));
	assert_null(iobuf_get_bytes_no_copy(b, 1, UINT64_MAX));
	assert_null(iobuf_get_bytes_no_copy(b, UINT64_MAX, 1));
	assert_int_equal(iobuf_set_length(b, 0), 0);
	assert_null(iobuf_get_bytes_no_copy(b, 0, 0));
	iobuf_release(b);
}

static void bytes_no_copy_covers_what_a_write_or_append_added(void **state)
{
	static const char *const kinds[] = { "pageable", "wired" };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(kinds); i++) {
		int fd;
		struct iobuf *b = elastic(kinds[i], 1, &fd);
		unsigned char *p = iobuf_get_bytes_no_copy(b, 0, 1);

		assert_non_null(p);
		assert_int_equal(written(b, 1 << 20, "x", 1), 1);
		p = iobuf_get_bytes_no_copy(b, 0, (1 << 20) + 1);
		assert_int_equal(p[1 << 20], 'x');
		assert_int_equal(iobuf_truncate(b, 2 << 20), 0);
		assert_int_equal(iobuf_append_bytes(b, "y", 1, NULL), 0);
		p = iobuf_get_bytes_no_copy(b, 0, (2 << 20) + 1);
		assert_int_equal(p[2 << 20], 'y');
		iobuf_release(b);
		close(fd);
	}
}

static void a_transfer_over_a_hole_answers_with_bytes_not_a_signal(void **state)
{
	struct iobuf *b = created("capacity=64K");
	unsigned char out[4096];

	(void)state;
	fill(b, 'x');
	assert_int_equal(fallocate(iobuf_fd(b),
				   FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				   0, 65536),
			 0);
	assert_int_equal(bytes_read(b, 0, out, sizeof(out)), sizeof(out));
	assert_true(all_bytes_are(out, sizeof(out), 0));
	/* Even a file that someone else cut short. */
	assert_int_equal(ftruncate(iobuf_fd(b), 100), 0);
	assert_int_equal(bytes_read(b, 0, out, sizeof(out)), 100);
	iobuf_release(b);
}

enum { APPENDS = 20000, RECORD = 8 };

struct appender {
	struct iobuf *buffer;
	char id;
};

static void *append_many(void *context)
{
	const struct appender *a = context;
	char record[RECORD];

	memset(record, a->id, sizeof(record));
	for (int i = 0; i < APPENDS; i++) {
		size_t n = 0;

		if (iobuf_append_bytes(a->buffer, record, RECORD, &n) < 0 ||
		    n != RECORD)
			return (void *)1;
	}
	return NULL;
}

/* Whole records, each of one thread, none lost. */
static void check_records(const char *bytes)
{
	size_t count[2] = { 0, 0 };

	for (size_t i = 0; i < 2 * (size_t)APPENDS; i++) {
		const char id = bytes[i * RECORD];

		assert_true(id == 'a' || id == 'b');
		assert_true(all_bytes_are(bytes + i * RECORD, RECORD, id));
		count[id == 'b']++;
	}
	assert_int_equal(count[0], APPENDS);
	assert_int_equal(count[1], APPENDS);
}

static void append_by_two_threads(struct iobuf *b)
{
	struct appender a[2] = { { b, 'a' }, { b, 'b' } };
	pthread_t threads[2];
	void *failed;

	for (size_t i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, append_many,
						&a[i]),
				 0);
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(pthread_join(threads[i], &failed), 0);
		assert_null(failed);
	}
	assert_int_equal(iobuf_get_length(b), 2 * APPENDS * RECORD);
	check_records(iobuf_get_bytes_no_copy(b, 0, 2 * APPENDS * RECORD));
}

static void two_threads_appending_lose_nothing(void **state)
{
	struct iobuf *b = created("capacity=1M");

	(void)state;
	assert_int_equal(iobuf_set_length(b, 0), 0);
	append_by_two_threads(b);
	iobuf_release(b);
}

static void two_threads_growing_a_buffer_lose_nothing(
	void **state)
{
	int fd;
	struct iobuf *b = elastic("pageable", 0, &fd);

	(void)state;
	append_by_two_threads(b);
	iobuf_release(b);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_wrong_way_transfer_is_eperm),
		cmocka_unit_test(a_wrong_way_transfer_of_nothing_is_eperm_too),
		cmocka_unit_test(set_direction_binds_transfers_from_then_on),
		cmocka_unit_test(mapping_and_appending_are_no_transfers),
		cmocka_unit_test(reading_is_clamped_at_the_length),
		cmocka_unit_test(reading_an_elastic_buffer_ends_at_its_length),
		cmocka_unit_test(what_is_written_is_read_back),
		cmocka_unit_test(a_write_that_crosses_the_capacity_is_short),
		cmocka_unit_test(a_write_at_or_past_the_capacity_is_efbig),
		cmocka_unit_test(
			an_elastic_write_past_the_largest_file_is_efbig),
		cmocka_unit_test(a_write_past_the_length_moves_it_to_its_end),
		cmocka_unit_test(the_gap_that_a_write_leaves_reads_as_zero),
		cmocka_unit_test(the_gap_in_an_elastic_buffer_reads_as_zero),
		cmocka_unit_test(truncate_grows_with_zeros),
		cmocka_unit_test(
			zeroing_moves_neither_length_nor_what_is_beside_it),
		cmocka_unit_test(zeroing_past_the_capacity_is_einval),
		cmocka_unit_test(truncate_past_the_capacity_is_efbig),
		cmocka_unit_test(
			truncate_keeps_the_reservation_of_a_fixed_buffer),
		cmocka_unit_test(truncating_an_elastic_buffer_sizes_its_file),
		cmocka_unit_test(set_length_touches_no_bytes),
		cmocka_unit_test(
			append_adds_at_the_length_and_clamps_at_the_capacity),
		cmocka_unit_test(append_grows_an_elastic_buffer),
		cmocka_unit_test(
			bytes_no_copy_needs_start_and_end_within_the_length),
		cmocka_unit_test(
			bytes_no_copy_covers_what_a_write_or_append_added),
		cmocka_unit_test(
			a_transfer_over_a_hole_answers_with_bytes_not_a_signal),
		cmocka_unit_test(two_threads_appending_lose_nothing),
		cmocka_unit_test(
			two_threads_growing_a_buffer_lose_nothing),
	};

	return RUN_TESTS("transfer", tests);
}
