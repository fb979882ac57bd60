/* SPDX-License-Identifier: MIT */
#include "buffers.h"

#define NV IOBUF_PURGEABLE_NONVOLATILE
#define VO IOBUF_PURGEABLE_VOLATILE
#define EM IOBUF_PURGEABLE_EMPTY
#define KEEP IOBUF_PURGEABLE_KEEP_CURRENT

static void the_numbers_are_apples(void **state)
{
	(void)state;
	assert_int_equal(KEEP, 1);
	assert_int_equal(NV, 2);
	assert_int_equal(VO, 3);
	assert_int_equal(EM, 4);
	assert_int_equal(IOBUF_VOLATILE_GROUP(7), 7 << 8);
	assert_int_equal(IOBUF_VOLATILE_LIFO, 1 << 6);
}

static void every_change_follows_xnus_rules(void **state)
{
	static const struct {
		uint32_t from, control;
		bool holds;
		uint32_t to;
		bool discard, refill;
	} rows[] = {
		{ NV, KEEP, true, NV, false, false },
		{ VO | 0x340, KEEP, true, VO | 0x340, false, false },
		{ EM, KEEP, false, EM, false, false },
		{ NV, NV, true, NV, false, false },
		{ VO, NV, true, NV, false, false },
		{ EM, NV, false, NV, false, true },
		{ EM, NV, true, NV, false, true },
		{ NV, VO | 0x200, true, VO | 0x200, false, false },
		{ NV, VO, false, VO, false, false },
		{ VO | 0x200, VO | 0x40, true, VO | 0x40, false, false },
		{ EM, VO, false, EM, false, false },
		{ EM, VO | 0x100, true, VO | 0x100, false, false },
		{ NV, EM, true, EM, true, false },
		{ VO, EM, true, EM, true, false },
		{ EM, EM, true, EM, true, false },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct iobuf_purgeable_change change;

		assert_int_equal(iobuf_purgeable_change(rows[i].from,
							rows[i].control,
							rows[i].holds, &change),
				 0);
		assert_int_equal(change.state, rows[i].to);
		assert_int_equal(change.discard, rows[i].discard);
		assert_int_equal(change.refill, rows[i].refill);
	}
}

static void what_is_not_a_state_is_einval(void **state)
{
	static const uint32_t bad[] = { 0,	  5,	   15,	  NV | 0x40,
					EM | 0x100, VO | 0x10, VO | 0x800,
					KEEP | 0x40, VO | 0x80000000u };
	struct iobuf_purgeable_change change = { .state = 77 };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(bad); i++)
		assert_int_equal(iobuf_purgeable_change(NV, bad[i], true,
							&change),
				 -EINVAL);
	assert_int_equal(change.state, 77);
}

static void states_are_read_and_printed(void **state)
{
	static const struct {
		const char *text;
		uint32_t state;
		const char *printed;
	} rows[] = {
		{ "nonvolatile", NV, "nonvolatile" },
		{ "empty", EM, "empty" },
		{ "volatile", VO, "volatile" },
		{ "volatile:group=0", VO, "volatile" },
		{ "volatile:fifo", VO, "volatile" },
		{ "volatile:group=7", VO | 0x700, "volatile:group=7" },
		{ "volatile:lifo", VO | 0x40, "volatile:lifo" },
		{ "volatile:group=3:lifo", VO | 0x340,
		  "volatile:group=3:lifo" },
		{ "volatile:lifo:group=3", VO | 0x340,
		  "volatile:group=3:lifo" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		char text[IOBUF_PURGEABLE_TEXT_MAX];
		uint32_t got = 0;
		int n;

		assert_int_equal(iobuf_purgeable_parse(rows[i].text,
						       strlen(rows[i].text),
						       &got),
				 0);
		assert_int_equal(got, rows[i].state);
		n = iobuf_purgeable_print(got, text, sizeof(text));
		assert_int_equal(n, strlen(rows[i].printed));
		assert_string_equal(text, rows[i].printed);
		assert_int_equal(iobuf_purgeable_print(got, text, (size_t)n),
				 -ERANGE);
	}
}

static void bad_texts_are_einval(void **state)
{
	static const char *const bad[] = {
		"", "volatil", "volatilee", "Volatile", "volatile:",
		"volatile::lifo", "volatile:group=8", "volatile:group=-1",
		"volatile:group=", "volatile:group=07", "volatile:group=1:group=1",
		"volatile:fifo:lifo", "volatile:lifo:", "nonvolatile:fifo",
		"empty:group=0", "nonvolatile:", ":lifo", "volatile,lifo",
		"volatile:group=1 ", "keep", "volatile\n",
	};
	uint32_t got = 77;
	char text[IOBUF_PURGEABLE_TEXT_MAX];

	(void)state;
	for (size_t i = 0; i < COUNT_OF(bad); i++)
		if (iobuf_purgeable_parse(bad[i], strlen(bad[i]), &got) !=
		    -EINVAL)
			fail_msg("'%s' passed", bad[i]);
	assert_int_equal(iobuf_purgeable_parse("empty\0", 6, &got), -EINVAL);
	assert_int_equal(got, 77);
	assert_int_equal(iobuf_purgeable_print(KEEP, text, sizeof(text)),
			 -EINVAL);
	assert_int_equal(iobuf_purgeable_print(0, text, sizeof(text)), -EINVAL);
}

static uint64_t allocated(struct iobuf *b)
{
	struct iobuf_report report;

	assert_int_equal(iobuf_get_report(b, &report), 0);
	return report.allocated;
}

static uint64_t purge_count(struct iobuf *b)
{
	struct iobuf_report report;

	assert_int_equal(iobuf_get_report(b, &report), 0);
	return report.purge_count;
}

static uint32_t set(struct iobuf *b, uint32_t control)
{
	uint32_t old = 0;

	assert_int_equal(iobuf_set_purgeable(b, control, &old), 0);
	return old;
}

static void a_purged_buffer_reads_as_zero_through_its_mapping(void **state)
{
	struct iobuf *b = created("purgeable,capacity=1M");
	char *bytes = iobuf_get_bytes_no_copy(b, 0, MIB);
	uint64_t freed = 0;

	(void)state;
	memset(bytes, 'x', MIB);
	assert_int_equal(iobuf_purge(b, &freed), -EBUSY);
	assert_int_equal(set(b, VO), NV);
	assert_int_equal(bytes[MIB - 1], 'x');
	assert_int_equal(iobuf_purge(b, &freed), 0);
	assert_int_equal(freed, MIB);
	assert_int_equal(allocated(b), 0);
	assert_int_equal(iobuf_purge(b, &freed), -EBUSY); /* it is empty */
	assert_int_equal(set(b, NV), EM);
	assert_int_equal(allocated(b), MIB); /* reserved again */
	for (size_t i = 0; i < MIB; i++)
		assert_int_equal(bytes[i], 0);
	bytes[0] = 'y';
	assert_int_equal(set(b, KEEP), NV);
	assert_int_equal(purge_count(b), 1);
	iobuf_release(b);
}

static void contents_of_a_volatile_buffer_stay_until_it_is_purged(void **state)
{
	struct iobuf *b = created("purgeable,capacity=64K");
	char *bytes = iobuf_get_bytes_no_copy(b, 0, 65536);

	(void)state;
	memset(bytes, 'x', 65536);
	assert_int_equal(set(b, VO | 0x340), NV);
	assert_int_equal(set(b, KEEP), VO | 0x340);
	assert_int_equal(set(b, NV), VO | 0x340);
	assert_int_equal(bytes[65535], 'x');
	assert_int_equal(purge_count(b), 0);
	iobuf_release(b);
}

static void set_empty_discards_whatever_the_state(void **state)
{
	struct iobuf *b = created("purgeable,capacity=64K");
	char *bytes = iobuf_get_bytes_no_copy(b, 0, 65536);

	(void)state;
	bytes[0] = 'x';
	assert_int_equal(set(b, EM), NV);
	assert_int_equal(bytes[0], 0);
	assert_int_equal(purge_count(b), 1);
	bytes[0] = 'y';
	assert_int_equal(set(b, EM), EM);
	assert_int_equal(bytes[0], 0);
	assert_int_equal(purge_count(b), 2);
	iobuf_release(b);
}

static void an_elastic_buffer_keeps_its_length(void **state)
{
	int fd;
	struct iobuf *b = elastic("purgeable", MIB, &fd);

	(void)state;
	assert_int_equal(pwrite(fd, "x", 1, 5000), 1);
	assert_int_equal(set(b, EM), NV);
	assert_int_equal(stat_of(fd).st_size, MIB);
	assert_int_equal(stat_of(fd).st_blocks, 0);
	assert_int_equal(set(b, VO), EM); /* nothing there: it stays empty */
	assert_int_equal(set(b, KEEP), EM);
	assert_int_equal(pwrite(fd, "x", 1, 5000), 1);
	assert_int_equal(set(b, VO), EM);
	assert_int_equal(set(b, NV), VO);
	iobuf_release(b);
	close(fd);
}

static void discarding_takes_what_is_reserved_past_the_end(void **state)
{
	int fd;
	struct iobuf *b = elastic("purgeable", 4096, &fd);

	(void)state;
	assert_int_equal(fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, MIB), 0);
	assert_int_equal(iobuf_discard(b), 0);
	assert_int_equal(stat_of(fd).st_blocks, 0);
	assert_int_equal(stat_of(fd).st_size, 4096);
	iobuf_release(b);
	close(fd);
}

static void other_buffers_have_no_state(void **state)
{
	struct iobuf *plain = created("capacity=4K"),
		     *wired = created("wired,capacity=4K"),
		     *purgeable = created("purgeable,capacity=4K");
	uint32_t old = 77;

	(void)state;
	assert_int_equal(iobuf_set_purgeable(plain, VO, &old), -EINVAL);
	assert_int_equal(iobuf_set_purgeable(wired, KEEP, &old), -EINVAL);
	assert_int_equal(iobuf_set_purgeable(purgeable, 0, &old), -EINVAL);
	assert_int_equal(iobuf_discard(wired), -EINVAL);
	assert_int_equal(iobuf_purge(plain, NULL), -EBUSY);
	assert_int_equal(old, 77);
	iobuf_release(plain);
	iobuf_release(wired);
	iobuf_release(purgeable);
}

static void what_is_prepared_stays(void **state)
{
	struct iobuf *b = created("purgeable,capacity=4K");

	(void)state;
	assert_int_equal(set(b, VO), NV);
	assert_int_equal(iobuf_prepare(b), 0);
	assert_int_equal(iobuf_purge(b, NULL), -EBUSY);
	assert_int_equal(iobuf_discard(b), -EINVAL);
	assert_int_equal(iobuf_set_purgeable(b, EM, NULL), -EINVAL);
	assert_int_equal(iobuf_complete(b), 0);
	assert_int_equal(iobuf_purge(b, NULL), 0);
	iobuf_release(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_numbers_are_apples),
		cmocka_unit_test(every_change_follows_xnus_rules),
		cmocka_unit_test(what_is_not_a_state_is_einval),
		cmocka_unit_test(states_are_read_and_printed),
		cmocka_unit_test(bad_texts_are_einval),
		cmocka_unit_test(
			a_purged_buffer_reads_as_zero_through_its_mapping),
		cmocka_unit_test(
			contents_of_a_volatile_buffer_stay_until_it_is_purged),
		cmocka_unit_test(set_empty_discards_whatever_the_state),
		cmocka_unit_test(an_elastic_buffer_keeps_its_length),
		cmocka_unit_test(
			discarding_takes_what_is_reserved_past_the_end),
		cmocka_unit_test(other_buffers_have_no_state),
		cmocka_unit_test(what_is_prepared_stays),
	};

	return RUN_TESTS("purgeable", tests);
}
