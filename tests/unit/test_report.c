/* SPDX-License-Identifier: MIT */
#include "buffers.h"

static struct iobuf_report reported(struct iobuf *b)
{
	struct iobuf_report report;

	memset(&report, 0xa5, sizeof(report));
	assert_int_equal(iobuf_get_report(b, &report), 0);
	return report;
}

/* Make all of a buffer resident, wired or not. */
static unsigned char *touched(struct iobuf *b)
{
	const uint64_t size = iobuf_get_length(b);
	unsigned char *p = iobuf_get_bytes_no_copy(b, 0, size);

	assert_non_null(p);
	return memset(p, 1, size);
}

static void a_wired_buffer_is_all_resident_and_wired(void **state)
{
	struct iobuf *b;
	struct iobuf_report report;

	(void)state;
	b = created("wired,capacity=3M");
	report = reported(b);
	assert_int_equal(report.allocated, 3 * MIB);
	assert_int_equal(report.resident, 3 * MIB);
	assert_int_equal(report.wired, 3 * MIB);
	iobuf_release(b);
}

static void a_pageable_buffer_is_allocated_and_not_wired(void **state)
{
	struct iobuf *b = created("pageable,capacity=1M");
	struct iobuf_report report;

	(void)state;
	assert_int_equal(reported(b).allocated, MIB);
	memset(iobuf_get_bytes_no_copy(b, 0, MIB), 1, MIB / 2);
	report = reported(b);
	assert_int_equal(report.allocated, MIB);
	/* mincore(2) counts no page that is reserved and was never touched. */
	assert_in_range(report.resident, MIB / 2, MIB);
	assert_int_equal(report.wired, 0);
	iobuf_release(b);
}

static void wired_follows_prepare_and_complete(void **state)
{
	struct iobuf *b = created("pageable,capacity=1M");

	(void)state;
	touched(b);
	assert_int_equal(reported(b).wired, 0);
	assert_int_equal(iobuf_prepare(b), 0);
	assert_int_equal(reported(b).wired, MIB);
	assert_int_equal(iobuf_complete(b), 0);
	assert_int_equal(reported(b).wired, 0);
	iobuf_release(b);
}

static void huge_bytes_are_counted_or_unknown(void **state)
{
	struct iobuf *b = created("wired,capacity=4M");
	const struct iobuf_report report = reported(b);

	(void)state;
	if (report.huge != IOBUF_UNKNOWN) {
		assert_int_equal(report.huge % (2 * MIB), 0);
		assert_true(report.huge <= 4 * MIB);
	}
	iobuf_release(b);
	b = created("wired,capacity=64K"); /* no huge page fits */
	if (reported(b).huge != IOBUF_UNKNOWN)
		assert_int_equal(reported(b).huge, 0);
	iobuf_release(b);
}

static void reporting_allocates_no_hole(void **state)
{
	int fd = new_memfd();
	struct iobuf *b;
	struct iobuf_report report;
	blkcnt_t before;

	(void)state;
	assert_int_equal(ftruncate(fd, (off_t)(8 * MIB)), 0);
	assert_int_equal(pwrite(fd, "x", 1, (off_t)(3 * MIB)), 1);
	before = stat_of(fd).st_blocks;
	assert_true(before > 0);
	b = attached("pageable", fd, 8 * MIB);
	report = reported(b);
	assert_int_equal(stat_of(fd).st_blocks, before);
	assert_int_equal(report.allocated, (uint64_t)before * 512);
	assert_int_equal(report.resident, (uint64_t)before * 512);
	assert_int_equal(report.wired, 0);
	iobuf_release(b);
	close(fd);
}

static void reporting_through_a_mapping_allocates_no_hole_either(void **state)
{
	int fd = new_memfd();
	struct iobuf *b;

	(void)state;
	assert_int_equal(ftruncate(fd, (off_t)(8 * MIB)), 0);
	b = attached("pageable", fd, 8 * MIB);
	assert_non_null(iobuf_get_bytes_no_copy(b, 0, 1));
	assert_int_equal(reported(b).resident, 0);
	assert_int_equal(stat_of(fd).st_blocks, 0);
	iobuf_release(b);
	close(fd);
}

static void reporting_maps_and_locks_nothing_for_long(void **state)
{
	const uint64_t locked = locked_bytes();
	const unsigned int fds = open_fds();
	int fd = new_memfd();
	static const char bytes[1 << 20];
	struct iobuf *b;

	(void)state;
	assert_int_equal(pwrite(fd, bytes, MIB, 0), MIB);
	b = attached("wired,capacity=1M", fd, MIB);
	assert_int_equal(reported(b).resident, MIB);
	assert_int_equal(reported(b).wired, 0); /* not by this descriptor */
	assert_int_equal(mapped_bytes("memfd:unit"), 0);
	assert_int_equal(locked_bytes(), locked);
	assert_int_equal(open_fds(), fds + 1);
	iobuf_release(b);
	close(fd);
}

static void an_empty_buffer_has_nothing(void **state)
{
	int fd = new_memfd();
	struct iobuf *b = attached("pageable", fd, 0);
	struct iobuf_report report = reported(b);

	(void)state;
	assert_int_equal(report.allocated, 0);
	assert_int_equal(report.resident, 0);
	assert_int_equal(report.wired, 0);
	assert_int_equal(report.huge, 0);
	assert_int_equal(report.longest_run, 0);
	iobuf_release(b);
	close(fd);
}

static void a_let_go_file_is_reported_by_its_mapping(void **state)
{
	struct iobuf_spec spec = resolved("wired,capacity=1M");
	struct iobuf *b = NULL;
	int fd = new_memfd();
	struct iobuf_report report;

	(void)state;
	assert_int_equal(iobuf_create_in_file(&spec, fd, &b, NULL), 0);
	touched(b);
	assert_int_equal(iobuf_set_fd(b, -1), 0);
	report = reported(b);
	assert_int_equal(report.allocated, MIB);
	assert_int_equal(report.resident, MIB);
	assert_int_equal(report.wired, MIB);
	iobuf_release(b);
	close(fd);
}

static void a_buffer_that_grew_is_reported_whole(void **state)
{
	int fd = new_memfd();
	struct iobuf *b = attached("pageable", fd, 0);
	static const char bytes[65536];
	size_t n;

	(void)state;
	assert_int_equal(iobuf_append_bytes(b, bytes, 4096, NULL), 0);
	assert_non_null(iobuf_get_bytes_no_copy(b, 0, 4096));
	assert_int_equal(iobuf_write_bytes(b, 4096, bytes, sizeof(bytes), &n),
			 0);
	assert_int_equal(n, sizeof(bytes));
	assert_int_equal(reported(b).resident, 4096 + sizeof(bytes));
	iobuf_release(b);
	close(fd);
}

static bool frames_are_visible(void)
{
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	uint64_t entry = 0;
	volatile int here = 1;
	ssize_t n = pread(fd, &entry, 8,
			  (off_t)((uintptr_t)&here / page_bytes() * 8));

	close(fd);
	return n == 8 && (entry & ((UINT64_C(1) << 55) - 1));
}

static void the_longest_run_is_measured_for_root(void **state)
{
	struct iobuf *b;
	uint64_t run;

	(void)state;
	if (!frames_are_visible())
		SKIP("frame numbers need CAP_SYS_ADMIN");
	b = created("wired,capacity=4M");
	touched(b);
	run = reported(b).longest_run;
	assert_true(run != IOBUF_UNKNOWN);
	assert_true(run >= page_bytes() && run <= 4 * MIB);
	assert_int_equal(run % page_bytes(), 0);
	iobuf_release(b);
	b = created("wired,capacity=4K");
	touched(b);
	assert_int_equal(reported(b).longest_run, page_bytes());
	iobuf_release(b);
}

static uint64_t frame_of(const void *at)
{
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	uint64_t entry = 0;

	assert_int_equal(pread(fd, &entry, 8,
			       (off_t)((uintptr_t)at / page_bytes() * 8)),
			 8);
	close(fd);
	return entry >> 63 ? entry & ((UINT64_C(1) << 55) - 1) : 0;
}

static void the_longest_run_is_that_of_pagemap(void **state)
{
	uint64_t longest = 0, run = 0, previous = 0;
	const unsigned char *p;
	struct iobuf *b;

	(void)state;
	if (!frames_are_visible())
		SKIP("frame numbers need CAP_SYS_ADMIN");
	b = created("wired,capacity=4M");
	p = touched(b);
	for (uint64_t at = 0; at < 4 * MIB; at += page_bytes()) {
		const uint64_t frame = frame_of(p + at);

		run = frame == previous + 1 ? run + 1 : 1;
		previous = frame;
		longest = run > longest ? run : longest;
	}
	assert_int_equal(reported(b).longest_run, longest * page_bytes());
	iobuf_release(b);
}

static void report_without_frames(void)
{
	struct iobuf *b = created("wired,capacity=64K");
	struct iobuf_report report;

	touched(b);
	drop_capability(CAP_SYS_ADMIN);
	CHILD_CHECK(iobuf_get_report(b, &report) == 0);
	CHILD_CHECK(report.longest_run == IOBUF_UNKNOWN);
	CHILD_CHECK(report.resident == 65536);
	iobuf_release(b);
}

static void the_longest_run_is_unknown_without_privilege(void **state)
{
	(void)state;
	run_in_child(report_without_frames);
}

/* Of a file in /dev/shm, or an errno. */
static struct iobuf_usage usage_of(int fd)
{
	struct iobuf_usage usage;

	memset(&usage, 0xa5, sizeof(usage));
	assert_int_equal(iobuf_get_file_usage(fd, &usage), 0);
	return usage;
}

static void a_files_usage_is_what_it_has_allocated(void **state)
{
	int fd = new_shm_file();

	(void)state;
	assert_int_equal(usage_of(fd).allocated, 0);
	assert_int_equal(usage_of(fd).resident, 0);
	assert_int_equal(usage_of(fd).huge, 0);
	assert_int_equal(ftruncate(fd, (off_t)(8 * MIB)), 0);
	assert_int_equal(pwrite(fd, "x", 1, 5000), 1);
	assert_int_equal(usage_of(fd).allocated,
			 (uint64_t)stat_of(fd).st_blocks * 512);
	assert_int_equal(usage_of(fd).resident, usage_of(fd).allocated);
	close(fd);
}

static void looking_for_a_files_usage_allocates_nothing(void **state)
{
	const unsigned int fds = open_fds();
	int fd = new_memfd();
	unsigned char *p;

	(void)state;
	assert_int_equal(ftruncate(fd, (off_t)(64 * MIB)), 0);
	/* Enough to be looked at for huge pages, and holes around. */
	for (off_t at = (off_t)(5 * MIB); at < (off_t)(9 * MIB); at += 8192)
		assert_int_equal(pwrite(fd, "x", 1, at), 1);
	assert_int_equal(lseek(fd, 77, SEEK_SET), 77);
	p = mmap(NULL, 64 * MIB, PROT_READ, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(p, MAP_FAILED);
	{
		const blkcnt_t before = stat_of(fd).st_blocks;
		const uint64_t mapped = mapped_bytes("unit");

		usage_of(fd);
		assert_int_equal(stat_of(fd).st_blocks, before);
		assert_int_equal(mapped_bytes("unit"), mapped);
	}
	assert_int_equal(lseek(fd, 0, SEEK_CUR), 77);
	munmap(p, 64 * MIB);
	close(fd);
	assert_int_equal(open_fds(), fds);
}

static void a_files_huge_pages_are_those_of_its_report(void **state)
{
	struct iobuf *b = created("wired,capacity=8M");
	struct iobuf_report report = reported(b);

	(void)state;
	assert_int_equal(usage_of(iobuf_fd(b)).huge, report.huge);
	assert_int_equal(usage_of(iobuf_fd(b)).resident, 8 * MIB);
	iobuf_release(b);
}

static void usage_of_no_file_is_refused(void **state)
{
	struct iobuf_usage usage = { 1, 2, 3 };

	(void)state;
	assert_int_equal(iobuf_get_file_usage(-1, &usage), -EBADF);
	assert_int_equal(usage.allocated, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_wired_buffer_is_all_resident_and_wired),
		cmocka_unit_test(a_pageable_buffer_is_allocated_and_not_wired),
		cmocka_unit_test(wired_follows_prepare_and_complete),
		cmocka_unit_test(huge_bytes_are_counted_or_unknown),
		cmocka_unit_test(reporting_allocates_no_hole),
		cmocka_unit_test(
			reporting_through_a_mapping_allocates_no_hole_either),
		cmocka_unit_test(reporting_maps_and_locks_nothing_for_long),
		cmocka_unit_test(an_empty_buffer_has_nothing),
		cmocka_unit_test(a_let_go_file_is_reported_by_its_mapping),
		cmocka_unit_test(a_buffer_that_grew_is_reported_whole),
		cmocka_unit_test(the_longest_run_is_measured_for_root),
		cmocka_unit_test(the_longest_run_is_that_of_pagemap),
		cmocka_unit_test(the_longest_run_is_unknown_without_privilege),
		cmocka_unit_test(a_files_usage_is_what_it_has_allocated),
		cmocka_unit_test(looking_for_a_files_usage_allocates_nothing),
		cmocka_unit_test(a_files_huge_pages_are_those_of_its_report),
		cmocka_unit_test(usage_of_no_file_is_refused),
	};

	return RUN_TESTS("report", tests);
}
