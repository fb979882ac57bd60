/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include <iobuf/spec.h>

#include <ctype.h>

static int parse(const char *text, struct iobuf_spec *ret_spec)
{
	return iobuf_spec_parse(text, strlen(text), ret_spec, NULL);
}

static struct iobuf_spec parsed(const char *text)
{
	struct iobuf_spec spec;
	struct iobuf_reason reason = { 0 };
	int r = iobuf_spec_parse(text, strlen(text), &spec, &reason);

	if (r < 0)
		fail_msg("'%s': %d, %s", text, r, reason.text);
	return spec;
}

static int resolve(struct iobuf_spec *spec)
{
	return iobuf_spec_resolve(spec, &iobuf_spec_default, spec, NULL);
}

/* A failed parse must say why and must not touch what it was given. */
static void refused(const char *text, size_t size, int error)
{
	struct iobuf_spec spec, before;
	struct iobuf_reason reason = { 0 };
	int r;

	memset(&before, 0xa5, sizeof(before));
	spec = before;
	r = iobuf_spec_parse(text, size, &spec, &reason);
	if (r != -error)
		fail_msg("'%s': %d, not %d", text, r, -error);
	if (memcmp(&spec, &before, sizeof(spec)))
		fail_msg("'%s' changed the output", text);
	if (!reason.text[0])
		fail_msg("'%s' was refused without words", text);
	for (const char *c = reason.text; *c; c++)
		assert_true(isprint((unsigned char)*c));
}

/* A token of the table with a value that its row accepts. */
static bool example_of(const char *token, char *ret_example, size_t size)
{
	static const struct {
		const char *shape, *example;
	} values[] = {
		{ "capacity=N[K|M|G]", "capacity=64K" },
		{ "align=N[K|M|G]", "align=4K" },
		{ "mask=0xN", "mask=0xffffffff" },
		{ "task=kernel|self|PID", "task=1234" },
		{ "life=unlink|lastclose", "life=lastclose" },
		{ "tag=TEXT", "tag=caf\xc3\xa9 1" },
		{ "length=N[K|M|G]", "length=1K" },
		{ "options=0xN", "options=0x10023" },
	};

	for (size_t i = 0; i < COUNT_OF(values); i++)
		if (!strcmp(values[i].shape, token)) {
			snprintf(ret_example, size, "%s", values[i].example);
			return true;
		}
	snprintf(ret_example, size, "%s", token);
	return !strpbrk(token, "[]|");
}

static void assert_round_trip(struct iobuf_spec spec)
{
	char text[IOBUF_SPEC_TEXT_MAX];
	struct iobuf_spec again;
	int n = iobuf_spec_print(&spec, text, sizeof(text));

	assert_int_equal(n, strlen(text));
	again = parsed(text);
	if (resolve(&again) < 0 || !iobuf_spec_equal(&spec, &again))
		fail_msg("'%s' reads back as something else", text);
}

static void every_row_parses_and_has_help(void **state)
{
	const char *token, *help;
	char example[128];
	size_t rows = 0;

	(void)state;
	for (; (token = iobuf_token_help(rows, &help)); rows++) {
		assert_true(help && help[0]);
		if (!example_of(token, example, sizeof(example)))
			fail_msg("no example for the row '%s'", token);
		assert_true(parsed(example).given != 0);
	}
	assert_int_equal(rows, 23);
	assert_null(iobuf_token_help(rows, &help));
	assert_null(iobuf_token_help(SIZE_MAX, &help));
}

static void every_row_reads_back_as_printed(void **state)
{
	const char *token, *help;
	char example[128];

	(void)state;
	for (size_t i = 0; (token = iobuf_token_help(i, &help)); i++) {
		struct iobuf_spec spec;

		assert_true(example_of(token, example, sizeof(example)));
		spec = parsed(example);
		assert_int_equal(resolve(&spec), 0);
		assert_round_trip(spec);
	}
}

static void every_row_given_twice_is_einval(void **state)
{
	const char *token, *help;
	char example[128], twice[300];

	(void)state;
	for (size_t i = 0; (token = iobuf_token_help(i, &help)); i++) {
		assert_true(example_of(token, example, sizeof(example)));
		snprintf(twice, sizeof(twice), "%s,%s", example, example);
		refused(twice, strlen(twice), EINVAL);
	}
}

/* IOKit/IOTypes.h, IOKit/IOMemoryDescriptor.h, IOBufferMemoryDescriptor.h */
static const struct {
	const char *apple, *ours;
	uint32_t mask, bits;
} apple_names[] = {
	{ "kIODirectionNone", "none", 0x7, 0x0 },
	{ "kIODirectionIn", "in", 0x7, 0x1 },
	{ "kIODirectionOut", "out", 0x7, 0x2 },
	{ "kIODirectionInOut", "inout", 0x7, 0x3 },
	{ "kIOMemoryPhysicallyContiguous", "contiguous", 0x10, 0x10 },
	{ "kIOMemoryPageable", "pageable", 0x20, 0x20 },
	{ "kIOMemoryPurgeable", "purgeable", 0x40, 0x40 },
	{ "kIOMapDefaultCache", "cache=default", 0xf00, 0x000 },
	{ "kIOMapInhibitCache", "cache=inhibit", 0xf00, 0x100 },
	{ "kIOMapWriteThruCache", "cache=writethru", 0xf00, 0x200 },
	{ "kIOMapCopybackCache", "cache=copyback", 0xf00, 0x300 },
	{ "kIOMapWriteCombineCache", "cache=writecombine", 0xf00, 0x400 },
	{ "kIOMemoryUnshared", "unshared", 0xf0000, 0x00000 },
	{ "kIOMemoryKernelUserShared", "shared", 0xf0000, 0x10000 },
};

static void apple_names_mean_the_same_as_ours(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(apple_names); i++) {
		struct iobuf_spec theirs = parsed(apple_names[i].apple);
		struct iobuf_spec ours = parsed(apple_names[i].ours);

		assert_true(iobuf_spec_equal(&theirs, &ours));
		assert_int_equal(theirs.given, ours.given);
	}
}

static void tokens_set_apples_bits_and_no_others(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(apple_names); i++) {
		const uint32_t mask = apple_names[i].mask;
		struct iobuf_spec spec = parsed(apple_names[i].ours);

		assert_int_equal(spec.options & mask, apple_names[i].bits);
		assert_int_equal(spec.options & ~mask,
				 iobuf_spec_default.options & ~mask);
	}
}

static void what_is_not_named_is_the_default(void **state)
{
	struct iobuf_spec spec = parsed("tag=x");

	(void)state;
	assert_int_equal(spec.given, IOBUF_GIVEN_TAG);
	spec.tag[0] = '\0';
	assert_true(iobuf_spec_equal(&spec, &iobuf_spec_default));
}

static void tokens_come_in_any_order(void **state)
{
	struct iobuf_spec a = parsed("wired,in,capacity=64M,align=2M,tag=x");
	struct iobuf_spec b = parsed("tag=x,align=2M,capacity=64M,in,wired");

	(void)state;
	assert_true(iobuf_spec_equal(&a, &b));
	assert_int_equal(a.given, b.given);
	assert_int_equal(a.capacity, 64 << 20);
	assert_int_equal(a.alignment, 2 << 20);
	assert_int_equal(a.options & IOBUF_PAGEABLE, 0);
	assert_int_equal(a.options & IOBUF_DIRECTION_MASK, IOBUF_DIRECTION_IN);
}

static void malformed_text_has_its_errno_and_changes_nothing(void **state)
{
	static const struct {
		const char *text;
		int error;
	} bad[] = {
		{ "", EINVAL },
		{ ",", EINVAL },
		{ "wired,", EINVAL },
		{ ",wired", EINVAL },
		{ "wired,,in", EINVAL },
		{ " wired", EINVAL },
		{ "wired ", EINVAL },
		{ "wired, in", EINVAL },
		{ "WIRED", EINVAL },
		{ "wire", EINVAL },
		{ "wiredx", EINVAL },
		{ "fast", EINVAL },
		{ "wired=1", EINVAL },
		{ "kIOMemoryPageableX", EINVAL },
		{ "kIOMemory", EINVAL },
		{ "\x01\x02\xff", EINVAL },
		{ "capacity", EINVAL },
		{ "capacity=", EINVAL },
		{ "capacity=0", EINVAL },
		{ "capacity=0G", EINVAL },
		{ "capacity=-1", EINVAL },
		{ "capacity=+1", EINVAL },
		{ "capacity= 1", EINVAL },
		{ "capacity=12Q", EINVAL },
		{ "capacity=12k", EINVAL },
		{ "capacity=12KB", EINVAL },
		{ "capacity=K", EINVAL },
		{ "capacity=1.5G", EINVAL },
		{ "capacity=0x", EINVAL },
		{ "capacity=0xg", EINVAL },
		{ "capacity=1e3", EINVAL },
		{ "capacity=99999999999999999999Q", EINVAL },
		{ "capacity=18446744073709551616", EOVERFLOW },
		{ "capacity=0x10000000000000000", EOVERFLOW },
		{ "capacity=17179869184G", EOVERFLOW },
		{ "capacity=18014398509481984K", EOVERFLOW },
		{ "align=", EINVAL },
		{ "align=0", EINVAL },
		{ "align=3", EINVAL },
		{ "align=6K", EINVAL },
		{ "align=-4096", EINVAL },
		{ "align=18446744073709551616", EOVERFLOW },
		{ "mask=", EINVAL },
		{ "mask=0", EINVAL },
		{ "mask=0x", EINVAL },
		{ "mask=0xzz", EINVAL },
		{ "mask=1K", EINVAL },
		{ "mask=0x10000000000000000", EOVERFLOW },
		{ "task=", EINVAL },
		{ "task=0", EINVAL },
		{ "task=-1", EINVAL },
		{ "task=2147483648", EINVAL },
		{ "task=kernel2", EINVAL },
		{ "task=18446744073709551616", EOVERFLOW },
		{ "life=", EINVAL },
		{ "life=open", EINVAL },
		{ "tag=", EINVAL },
		{ "length=", EINVAL },
		{ "length=-1", EINVAL },
		{ "length=18446744073709551616", EOVERFLOW },
		{ "tag=a\nb", EINVAL },
		{ "tag=a\x7f", EINVAL },
		{ "cache=", EINVAL },
		{ "cache=fast", EINVAL },
		{ "cache", EINVAL },
		{ "options=", EINVAL },
		{ "options=x", EINVAL },
		{ "options=0x10023K", EINVAL },
		{ "options=0x8", EINVAL },
		{ "options=0x80", EINVAL },
		{ "options=0x1000", EINVAL },
		{ "options=0x100000", EINVAL },
		{ "options=0x100000000", EINVAL },
		{ "options=0x10000000000000000", EOVERFLOW },
		{ "wired,pageable", EINVAL },
		{ "pageable,kIOMemoryPageable", EINVAL },
		{ "shared,unshared", EINVAL },
		{ "in,out", EINVAL },
		{ "inout,none", EINVAL },
		{ "cache=default,cache=inhibit", EINVAL },
		{ "capacity=1M,capacity=2M", EINVAL },
		{ "task=self,task=1", EINVAL },
		{ "options=0x10023,wired", EINVAL },
		{ "shared,options=0x10023", EINVAL },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(bad); i++)
		refused(bad[i].text, strlen(bad[i].text), bad[i].error);
}

static void no_text_at_all_is_einval(void **state)
{
	struct iobuf_spec spec;

	(void)state;
	assert_int_equal(iobuf_spec_parse(NULL, 0, &spec, NULL), -EINVAL);
}

static void embedded_nul_is_einval(void **state)
{
	(void)state;
	refused("wired\0", 6, EINVAL);
	refused("wired\0,in", 9, EINVAL);
	refused("\0", 1, EINVAL);
	refused("tag=a\0b", 7, EINVAL);
	refused("capacity=1\0", 11, EINVAL);
	refused("options=0x10023\0", 16, EINVAL);
}

static void text_ends_where_its_size_says(void **state)
{
	struct iobuf_spec spec;

	(void)state;
	assert_int_equal(iobuf_spec_parse("wired,garbage", 5, &spec, NULL), 0);
	assert_int_equal(spec.given, IOBUF_GIVEN_PAGING);
	assert_int_equal(iobuf_spec_parse("capacity=123", 10, &spec, NULL), 0);
	assert_int_equal(spec.capacity, 1);
}

static void a_reason_names_the_token(void **state)
{
	struct iobuf_spec spec;
	struct iobuf_reason reason;

	(void)state;
	assert_int_equal(iobuf_spec_parse("in,bogus", 8, &spec, &reason),
			 -EINVAL);
	assert_non_null(strstr(reason.text, "bogus"));
	assert_int_equal(iobuf_spec_parse("align=12", 8, &spec, &reason),
			 -EINVAL);
	assert_non_null(strstr(reason.text, "align="));
}

static void a_long_bad_token_is_shown_short(void **state)
{
	char text[4096];

	(void)state;
	memset(text, 'a', sizeof(text));
	refused(text, sizeof(text), EINVAL);
	memset(text, '\x1b', sizeof(text));
	refused(text, sizeof(text), EINVAL);
}

static void options_number_is_exact(void **state)
{
	static const uint32_t numbers[] = { 0x10023, 0x23, 0x3, 0x1, 0x0,
					    0x10003, 0x10321 };
	char text[32];

	(void)state;
	for (size_t i = 0; i < COUNT_OF(numbers); i++) {
		struct iobuf_spec spec;

		snprintf(text, sizeof(text), "options=0x%x", numbers[i]);
		spec = parsed(text);
		assert_int_equal(spec.options, numbers[i]);
		assert_int_equal(spec.given, IOBUF_GIVEN_OPTIONS);
		assert_int_equal(resolve(&spec), 0);
		assert_int_equal(spec.options, numbers[i]);
	}
}

static void options_zero_is_wired_unshared_without_direction(void **state)
{
	struct iobuf_spec spec = parsed("options=0x0");
	char text[64];

	(void)state;
	assert_int_equal(resolve(&spec), 0);
	assert_true(iobuf_options_print(spec.options, text, sizeof(text)) > 0);
	assert_string_equal(text, "wired,none,unshared");
}

static void options_number_may_be_decimal(void **state)
{
	(void)state;
	assert_int_equal(parsed("options=65571").options, 0x10023);
}

static void tag_holds_63_bytes_and_not_64(void **state)
{
	char text[4 + 64 + 1] = "tag=";

	(void)state;
	memset(text + 4, 't', 64);
	refused(text, 4 + 64, EINVAL);
	text[4 + 63] = '\0';
	assert_string_equal(parsed(text).tag, text + 4);
}

static void task_words_and_ids_are_read(void **state)
{
	(void)state;
	assert_int_equal(parsed("task=kernel").task, IOBUF_TASK_KERNEL);
	assert_int_equal(parsed("task=self").task, IOBUF_TASK_SELF);
	assert_int_equal(parsed("task=1").task, 1);
	assert_int_equal(parsed("task=2147483647").task, INT32_MAX);
}

static void bytes_are_decimal_or_hexadecimal_with_a_unit(void **state)
{
	static const struct {
		const char *text;
		uint64_t bytes;
	} good[] = {
		{ "0", 0 },
		{ "1", 1 },
		{ "007", 7 },
		{ "1K", UINT64_C(1) << 10 },
		{ "3M", UINT64_C(3) << 20 },
		{ "2G", UINT64_C(2) << 30 },
		{ "0x10", 16 },
		{ "0xfF", 255 },
		{ "0x10K", 16384 },
		{ "18446744073709551615", UINT64_MAX },
		{ "0xffffffffffffffff", UINT64_MAX },
		{ "17179869183G", UINT64_C(17179869183) << 30 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(good); i++) {
		uint64_t n = 77;

		assert_int_equal(iobuf_bytes_parse(good[i].text,
						   strlen(good[i].text), &n),
				 0);
		assert_true(n == good[i].bytes);
	}
}

static void bad_bytes_have_their_errno_and_change_nothing(void **state)
{
	static const struct {
		const char *text;
		int error;
	} bad[] = {
		{ "", EINVAL },		{ "-1", EINVAL },
		{ "+1", EINVAL },	{ " 1", EINVAL },
		{ "1 ", EINVAL },	{ "1k", EINVAL },
		{ "1T", EINVAL },	{ "1KK", EINVAL },
		{ "0x", EINVAL },	{ "X10", EINVAL },
		{ "0X10", EINVAL },	{ "1_000", EINVAL },
		{ "99999999999999999999Q", EINVAL },
		{ "18446744073709551616", EOVERFLOW },
		{ "18446744073709551615K", EOVERFLOW },
		{ "17179869184G", EOVERFLOW },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(bad); i++) {
		uint64_t n = 77;
		int r = iobuf_bytes_parse(bad[i].text, strlen(bad[i].text), &n);

		if (r != -bad[i].error)
			fail_msg("'%s': %d", bad[i].text, r);
		assert_int_equal(n, 77);
	}
}

static void every_resolved_specification_reads_back_as_printed(void **state)
{
	static const uint64_t alignments[] = { 1, 2, 2048, 4096, 65536,
					       2 << 20 };
	static const uint64_t capacities[] = { 0, 1, 4095, 4096,
					       UINT64_C(5) << 40 };
	unsigned int resolved = 0;

	(void)state;
	for (uint32_t bits = 0; bits <= IOBUF_OPTIONS_MASK; bits++)
		for (size_t i = 0; !(bits & ~IOBUF_OPTIONS_MASK) &&
				   i < COUNT_OF(alignments); i++) {
			struct iobuf_spec spec = {
				.given = ~0u,
				.options = bits,
				.alignment = alignments[i],
				.capacity = capacities[i % 5],
				.tag = "all of it",
			};

			if (resolve(&spec) < 0)
				continue;
			assert_round_trip(spec);
			resolved++;
		}
	assert_true(resolved > 100);
}

static void masks_and_tasks_read_back_as_printed(void **state)
{
	static const uint64_t masks[] = { 0xffffffff, 0xffffc000, 1, UINT64_MAX,
					  UINT64_C(1) << 40 };
	static const int32_t tasks[] = { IOBUF_TASK_SELF, 1, INT32_MAX };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(masks); i++) {
		struct iobuf_spec spec = {
			.given = IOBUF_GIVEN_PHYSICAL_MASK |
				 IOBUF_GIVEN_CAPACITY,
			.physical_mask = masks[i],
			.capacity = 4096,
		};

		assert_int_equal(resolve(&spec), 0);
		assert_round_trip(spec);
	}
	for (size_t i = 0; i < COUNT_OF(tasks); i++) {
		struct iobuf_spec spec = {
			.given = IOBUF_GIVEN_TASK,
			.task = tasks[i],
		};

		assert_int_equal(resolve(&spec), 0);
		assert_round_trip(spec);
	}
}

static void print_answers_erange_and_stays_within_the_buffer(void **state)
{
	struct iobuf_spec spec = parsed("wired,capacity=64M,tag=label");
	char text[IOBUF_SPEC_TEXT_MAX], small[IOBUF_SPEC_TEXT_MAX];
	int n;

	(void)state;
	assert_int_equal(resolve(&spec), 0);
	n = iobuf_spec_print(&spec, text, sizeof(text));
	assert_true(n > 0);
	for (size_t size = 0; size <= (size_t)n; size++) {
		memset(small, '#', sizeof(small));
		assert_int_equal(iobuf_spec_print(&spec, small, size), -ERANGE);
		assert_true(all_bytes_are(small + size, sizeof(small) - size,
					  '#'));
	}
	assert_int_equal(iobuf_spec_print(&spec, small, (size_t)n + 1), n);
	assert_string_equal(small, text);
}

static void the_longest_specification_fits_text_max(void **state)
{
	char text[IOBUF_SPEC_TEXT_MAX];
	struct iobuf_spec spec = {
		.options = IOBUF_CONTIGUOUS | IOBUF_CACHE_WRITECOMBINE |
			   IOBUF_PURGEABLE | IOBUF_DIRECTION_INOUT,
		.task = INT32_MIN,
		.capacity = UINT64_MAX,
		.alignment = UINT64_MAX,
		.physical_mask = UINT64_MAX,
	};

	(void)state;
	memset(spec.tag, 'x', IOBUF_TAG_MAX);
	assert_true(iobuf_spec_print(&spec, text, sizeof(text)) > 0);
}

static void directions_have_names(void **state)
{
	(void)state;
	assert_string_equal(iobuf_direction_name(0x10020), "none");
	assert_string_equal(iobuf_direction_name(0x10021), "in");
	assert_string_equal(iobuf_direction_name(0x10022), "out");
	assert_string_equal(iobuf_direction_name(0x10023), "inout");
}

static void a_reason_is_optional(void **state)
{
	struct iobuf_spec spec;

	(void)state;
	assert_int_equal(parse("bogus", &spec), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_row_parses_and_has_help),
		cmocka_unit_test(every_row_reads_back_as_printed),
		cmocka_unit_test(every_row_given_twice_is_einval),
		cmocka_unit_test(apple_names_mean_the_same_as_ours),
		cmocka_unit_test(tokens_set_apples_bits_and_no_others),
		cmocka_unit_test(what_is_not_named_is_the_default),
		cmocka_unit_test(tokens_come_in_any_order),
		cmocka_unit_test(
			malformed_text_has_its_errno_and_changes_nothing),
		cmocka_unit_test(no_text_at_all_is_einval),
		cmocka_unit_test(embedded_nul_is_einval),
		cmocka_unit_test(text_ends_where_its_size_says),
		cmocka_unit_test(a_reason_names_the_token),
		cmocka_unit_test(a_long_bad_token_is_shown_short),
		cmocka_unit_test(options_number_is_exact),
		cmocka_unit_test(
			options_zero_is_wired_unshared_without_direction),
		cmocka_unit_test(options_number_may_be_decimal),
		cmocka_unit_test(tag_holds_63_bytes_and_not_64),
		cmocka_unit_test(task_words_and_ids_are_read),
		cmocka_unit_test(bytes_are_decimal_or_hexadecimal_with_a_unit),
		cmocka_unit_test(bad_bytes_have_their_errno_and_change_nothing),
		cmocka_unit_test(
			every_resolved_specification_reads_back_as_printed),
		cmocka_unit_test(masks_and_tasks_read_back_as_printed),
		cmocka_unit_test(
			print_answers_erange_and_stays_within_the_buffer),
		cmocka_unit_test(the_longest_specification_fits_text_max),
		cmocka_unit_test(directions_have_names),
		cmocka_unit_test(a_reason_is_optional),
	};

	return RUN_TESTS("option", tests);
}
