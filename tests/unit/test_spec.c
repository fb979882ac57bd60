/* SPDX-License-Identifier: MIT */
/*
 * The rules of a buffer's specification, row by row. Numbers are written out
 * for pages of any size with page_bytes().
 */
#include "unit.h"

#include <iobuf/iobuf.h>

static struct iobuf_spec parsed(const char *text)
{
	struct iobuf_spec spec;
	int r = iobuf_spec_parse(text, strlen(text), &spec, NULL);

	if (r < 0)
		fail_msg("'%s': %d", text, r);
	return spec;
}

static struct iobuf_spec resolved_with(const char *text,
				       const struct iobuf_spec *defaults)
{
	struct iobuf_spec asked = parsed(text), spec;
	struct iobuf_reason reason = { 0 };
	int r = iobuf_spec_resolve(&asked, defaults, &spec, &reason);

	if (r < 0)
		fail_msg("'%s': %d, %s", text, r, reason.text);
	return spec;
}

static struct iobuf_spec resolved(const char *text)
{
	return resolved_with(text, &iobuf_spec_default);
}

/* Refused with words, the output untouched. */
static void refused_spec(const struct iobuf_spec *asked,
			 const struct iobuf_spec *defaults, int error)
{
	struct iobuf_spec spec, before;
	struct iobuf_reason reason = { 0 };
	int r;

	memset(&before, 0xa5, sizeof(before));
	spec = before;
	r = iobuf_spec_resolve(asked, defaults, &spec, &reason);
	if (r != -error)
		fail_msg("%d, not %d", r, -error);
	assert_memory_equal(&spec, &before, sizeof(spec));
	assert_true(reason.text[0] != '\0');
	assert_int_equal(iobuf_spec_resolve(asked, defaults, &spec, NULL),
			 -error);
}

static void refused_with(const char *text, const struct iobuf_spec *defaults,
			 int error)
{
	struct iobuf_spec asked = parsed(text);

	refused_spec(&asked, defaults, error);
}

static void refused(const char *text, int error)
{
	refused_with(text, &iobuf_spec_default, error);
}

static bool is_wired(struct iobuf_spec spec)
{
	return !(spec.options & IOBUF_PAGEABLE);
}

static void capacity_zero_is_einval(void **state)
{
	struct iobuf_spec spec = {
		.given = IOBUF_GIVEN_CAPACITY,
		.capacity = 0,
	};
	struct iobuf *buffer = NULL;

	(void)state;
	assert_int_equal(iobuf_spec_parse("capacity=0", 10, &spec, NULL),
			 -EINVAL);
	assert_int_equal(iobuf_create(&spec, &buffer, NULL), -EINVAL);
	assert_null(buffer);
}

static void a_length_above_the_capacity_is_einval(void **state)
{
	(void)state;
	refused("capacity=4K,length=4097", EINVAL);
	assert_int_equal(resolved("capacity=4K,length=4096").length, 4096);
	assert_int_equal(resolved("length=4097").length, 4097);
}

static void capacity_plus_alignment_overflow_is_eoverflow(void **state)
{
	(void)state;
	refused("capacity=0xffffffffffffffff", EOVERFLOW);
	refused("unshared,capacity=0xffffffffffffffff", EOVERFLOW);
	refused("capacity=0x7fffffffffffffff", EOVERFLOW);
	refused("unshared,capacity=0x7fffffffffffffff", EOVERFLOW);
	refused("capacity=0x4000000000000000,align=0x4000000000000000",
		EOVERFLOW);
	refused("align=0x8000000000000000", EOVERFLOW);
	assert_true(resolved("capacity=0x4000000000000000").capacity ==
		    UINT64_C(1) << 62);
}

static void an_alignment_that_a_mask_gives_may_not_overflow_either(void **state)
{
	(void)state;
	refused("mask=0x8000000000000000,capacity=1M", EOVERFLOW);
	refused("mask=0x4000000000000000,capacity=0x4000000000000000",
		EOVERFLOW);
}

static void alignment_not_a_power_of_two_is_einval(void **state)
{
	static const uint64_t bad[] = { 0, 3, 4095, 4097, 12288, UINT64_MAX };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(bad); i++) {
		struct iobuf_spec spec = {
			.given = IOBUF_GIVEN_ALIGNMENT,
			.alignment = bad[i],
		};

		refused_spec(&spec, &iobuf_spec_default, EINVAL);
	}
}

static void a_process_task_without_pageable_is_einval(void **state)
{
	struct iobuf_spec wired = resolved("wired");

	(void)state;
	refused("wired,task=1", EINVAL);
	refused("wired,task=self", EINVAL);
	refused("task=1,contiguous", EINVAL);
	refused_with("task=1", &wired, EINVAL);
	assert_int_equal(resolved("pageable,task=1").task, 1);
	assert_int_equal(resolved("task=1").task, 1);
	assert_true(is_wired(resolved("wired,task=kernel")));
}

static void purgeable_without_pageable_is_einval(void **state)
{
	(void)state;
	refused("wired,purgeable", EINVAL);
	refused("options=0x43", EINVAL);
	refused("contiguous,purgeable", EINVAL);
	assert_true(resolved("pageable,purgeable").options & IOBUF_PURGEABLE);
	assert_true(resolved("purgeable").options & IOBUF_PURGEABLE);
}

static void shared_raises_alignment_to_a_page(void **state)
{
	(void)state;
	assert_int_equal(resolved("shared").alignment, page_bytes());
	assert_int_equal(resolved("shared,align=1").alignment, page_bytes());
	assert_int_equal(resolved("shared,align=16").alignment, page_bytes());
	assert_int_equal(resolved("unshared").alignment, 1);
	assert_int_equal(resolved("unshared,align=16").alignment, 16);
}

static void any_cache_mode_given_raises_alignment_to_a_page(void **state)
{
	static const char *const modes[] = { "default", "inhibit", "writethru",
					     "copyback", "writecombine" };
	char text[64];

	(void)state;
	for (size_t i = 0; i < COUNT_OF(modes); i++) {
		snprintf(text, sizeof(text), "unshared,align=8,cache=%s",
			 modes[i]);
		assert_int_equal(resolved(text).alignment, page_bytes());
	}
}

static void an_inherited_cache_mode_raises_alignment_too(void **state)
{
	struct iobuf_spec defaults = resolved("unshared,cache=copyback");

	(void)state;
	assert_int_equal(resolved_with("align=8", &defaults).alignment,
			 page_bytes());
}

static void alignment_of_a_page_rounds_capacity_to_whole_pages(void **state)
{
	const uint64_t page = page_bytes();
	char text[64];

	(void)state;
	assert_int_equal(resolved("capacity=1").capacity, page);
	snprintf(text, sizeof(text), "unshared,capacity=1,align=%llu",
		 (unsigned long long)page);
	assert_int_equal(resolved(text).capacity, page);
	snprintf(text, sizeof(text), "capacity=%llu",
		 (unsigned long long)page + 1);
	assert_int_equal(resolved(text).capacity, 2 * page);
	snprintf(text, sizeof(text), "capacity=%llu", (unsigned long long)page);
	assert_int_equal(resolved(text).capacity, page);
}

static void alignment_below_a_page_leaves_capacity_alone(void **state)
{
	(void)state;
	assert_int_equal(resolved("unshared,capacity=100").capacity, 100);
	assert_int_equal(resolved("unshared,capacity=100,align=64").capacity,
			 100);
}

static void no_capacity_stays_no_capacity(void **state)
{
	(void)state;
	assert_int_equal(resolved("wired,align=4K").capacity, 0);
}

static void alignment_above_a_page_implies_contiguous(void **state)
{
	struct iobuf_spec spec = resolved("align=2M");

	(void)state;
	assert_true(spec.options & IOBUF_CONTIGUOUS);
	assert_int_equal(spec.alignment, 2 << 20);
	assert_true(is_wired(spec));
}

static void alignment_of_a_page_does_not_imply_contiguous(void **state)
{
	char text[64];

	(void)state;
	snprintf(text, sizeof(text), "align=%llu",
		 (unsigned long long)page_bytes());
	assert_false(resolved(text).options & IOBUF_CONTIGUOUS);
	assert_false(is_wired(resolved(text)));
}

static void a_mask_without_alignment_gives_one(void **state)
{
	const uint64_t page = page_bytes();

	(void)state;
	assert_int_equal(resolved("mask=0xffff0000").alignment, 0x10000);
	assert_int_equal(resolved("mask=0xff000000,align=1").alignment,
			 0x1000000);
	assert_int_equal(resolved("unshared,mask=0xffffffff").alignment, page);
	assert_int_equal(resolved("unshared,mask=0x1").alignment, page);
}

static void a_mask_leaves_a_given_alignment_alone(void **state)
{
	(void)state;
	assert_int_equal(
		resolved("unshared,mask=0xff000000,align=64").alignment, 64);
	assert_int_equal(resolved("mask=0xffff0000,align=2M").alignment,
			 2 << 20);
}

static void what_is_not_pageable_is_wired(void **state)
{
	(void)state;
	assert_true(is_wired(resolved("wired")));
	assert_true(is_wired(resolved("options=0x10003")));
	assert_false(is_wired(resolved("pageable")));
	assert_false(is_wired(resolved("inout")));
}

static void physical_memory_named_pageable_is_einval(void **state)
{
	struct iobuf_spec contiguous = resolved("contiguous");
	struct iobuf_spec masked = resolved("mask=0xffffffff");
	struct iobuf_spec aligned = resolved("align=2M");

	(void)state;
	refused("pageable,contiguous", EINVAL);
	refused("pageable,mask=0xffffffff", EINVAL);
	refused("pageable,align=2M", EINVAL);
	refused("options=0x10033", EINVAL);
	refused("options=0x10023,align=2M", EINVAL);
	refused_with("pageable", &contiguous, EINVAL);
	refused_with("pageable", &masked, EINVAL);
	refused_with("pageable", &aligned, EINVAL);
}

static void physical_memory_pageable_only_by_default_is_wired(void **state)
{
	static const char *const physical[] = { "contiguous",
						"mask=0xffffffff", "align=2M" };
	struct iobuf_spec pageable = resolved("pageable,in");

	(void)state;
	for (size_t i = 0; i < COUNT_OF(physical); i++) {
		struct iobuf_spec spec = resolved_with(physical[i], &pageable);

		assert_true(is_wired(spec));
		assert_int_equal(spec.options & IOBUF_DIRECTION_MASK,
				 IOBUF_DIRECTION_IN);
	}
}

static void unknown_option_bits_are_einval(void **state)
{
	static const uint32_t bad[] = { 0x4, 0x7, 0x8, 0x80, 0x500, 0xf00,
					0x1000, 0x20000, 0xf0000, 0x100000,
					0x80000000 };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(bad); i++) {
		struct iobuf_spec spec = {
			.given = IOBUF_GIVEN_OPTIONS,
			.options = IOBUF_PAGEABLE | bad[i],
			.alignment = 1,
		};
		struct iobuf_spec nothing = { .given = 0 };

		refused_spec(&spec, &iobuf_spec_default, EINVAL);
		refused_spec(&nothing, &spec, EINVAL);
	}
}

static void what_is_not_asked_comes_from_the_defaults(void **state)
{
	static const char *const defaults_text =
		"pageable,in,purgeable,unshared,cache=writethru,capacity=3M,"
		"align=4K,task=7,tag=inherited";
	struct iobuf_spec defaults = resolved(defaults_text), spec;
	struct iobuf_spec nothing = { .given = 0 };

	(void)state;
	assert_int_equal(iobuf_spec_resolve(&nothing, &defaults, &spec, NULL),
			 0);
	assert_true(iobuf_spec_equal(&spec, &defaults));
}

static void a_part_that_is_asked_wins_over_the_defaults(void **state)
{
	static const struct {
		const char *text;
		size_t offset, size;
	} parts[] = {
#define PART(text, field)                                                      \
	{ text, offsetof(struct iobuf_spec, field),                            \
	  sizeof(((struct iobuf_spec *)0)->field) }
		PART("out", options),
		PART("shared", options),
		PART("cache=copyback", options),
		PART("capacity=8M", capacity),
		PART("align=1K", alignment),
		PART("task=9", task),
		PART("tag=own", tag),
#undef PART
	};
	struct iobuf_spec defaults =
		resolved("pageable,in,unshared,cache=default,capacity=4M,"
			 "task=7,tag=inherited");

	(void)state;
	defaults.alignment = 2; /* below a page, so that 1K stays 1K */
	for (size_t i = 0; i < COUNT_OF(parts); i++) {
		struct iobuf_spec asked = parsed(parts[i].text);
		struct iobuf_spec spec =
			resolved_with(parts[i].text, &defaults);
		char *own = (char *)&spec + parts[i].offset;
		char *theirs = (char *)&defaults + parts[i].offset;

		if (!memcmp(own, theirs, parts[i].size))
			fail_msg("'%s' was not taken", parts[i].text);
		if (parts[i].offset != offsetof(struct iobuf_spec, options))
			assert_memory_equal(own,
					    (char *)&asked + parts[i].offset,
					    parts[i].size);
		/* The others are the defaults'. */
		memcpy(own, theirs, parts[i].size);
		if (spec.alignment == page_bytes())
			spec.alignment = defaults.alignment;
		if (!iobuf_spec_equal(&spec, &defaults))
			fail_msg("'%s' changed another part", parts[i].text);
	}
}

static void one_option_leaves_the_other_options_inherited(void **state)
{
	struct iobuf_spec defaults =
		resolved("wired,in,unshared,cache=copyback");
	const uint32_t base = defaults.options;

	(void)state;
	assert_int_equal(resolved_with("out", &defaults).options,
			 (base & ~IOBUF_DIRECTION_MASK) | IOBUF_DIRECTION_OUT);
	assert_int_equal(resolved_with("pageable", &defaults).options,
			 base | IOBUF_PAGEABLE);
	assert_int_equal(resolved_with("shared", &defaults).options,
			 base | IOBUF_SHARED);
	assert_int_equal(resolved_with("cache=default", &defaults).options,
			 base & ~IOBUF_CACHE_MASK);
	assert_int_equal(resolved_with("contiguous", &defaults).options,
			 base | IOBUF_CONTIGUOUS);
	assert_int_equal(resolved_with("options=0x23", &defaults).options,
			 0x23);
}

static void wired_alone_is_inout_and_shared(void **state)
{
	struct iobuf_spec spec = resolved("wired,capacity=64M");

	(void)state;
	assert_int_equal(spec.options, IOBUF_DIRECTION_INOUT | IOBUF_SHARED);
}

static void the_output_may_be_an_input(void **state)
{
	struct iobuf_spec expected = resolved("wired,capacity=1");
	struct iobuf_spec asked = parsed("wired,capacity=1");
	struct iobuf_spec defaults = iobuf_spec_default;
	struct iobuf_spec copy = asked;

	(void)state;
	assert_int_equal(iobuf_spec_resolve(&copy, &defaults, &copy, NULL), 0);
	assert_true(iobuf_spec_equal(&copy, &expected));
	assert_int_equal(iobuf_spec_resolve(&asked, &defaults, &defaults, NULL),
			 0);
	assert_true(iobuf_spec_equal(&defaults, &expected));
}

static void resolving_again_changes_nothing(void **state)
{
	static const char *const texts[] = {
		"wired,capacity=1", "contiguous,capacity=3M", "align=2M",
		"mask=0xffff0000,capacity=1M", "unshared,align=64,capacity=65",
		"purgeable,task=3,cache=inhibit",
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(texts); i++) {
		struct iobuf_spec once = resolved(texts[i]), twice;

		assert_int_equal(iobuf_spec_resolve(&once, &iobuf_spec_default,
						    &twice, NULL),
				 0);
		assert_true(iobuf_spec_equal(&once, &twice));
	}
}

static void the_built_in_defaults_resolve(void **state)
{
	struct iobuf_spec spec;

	(void)state;
	assert_int_equal(iobuf_spec_resolve(&iobuf_spec_default,
					    &iobuf_spec_default, &spec, NULL),
			 0);
	assert_int_equal(spec.options, 0x10023);
	assert_int_equal(spec.capacity, 0);
	assert_int_equal(spec.alignment, page_bytes());
}

static void what_is_built_is_supported(void **state)
{
	static const char *const texts[] = {
		"pageable", "wired", "wired,capacity=1M", "unshared,none",
		"cache=copyback", "cache=default", "in,tag=x", "align=4K",
		"cache=inhibit", "cache=writethru", "cache=writecombine",
		"task=1", "task=self", "life=lastclose",
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(texts); i++) {
		struct iobuf_spec spec = resolved(texts[i]);
		struct iobuf_reason reason = { 0 };

		if (iobuf_spec_supported(&spec, &reason) < 0)
			fail_msg("'%s': %s", texts[i], reason.text);
	}
}

static void equal_compares_what_is_asked_not_what_was_given(void **state)
{
	struct iobuf_spec a = resolved("wired,capacity=1M,tag=t"), b = a;

	(void)state;
	b.given = 0;
	assert_true(iobuf_spec_equal(&a, &b));
#define DIFFERS(field, value)                                                  \
	do {                                                                   \
		b = a;                                                         \
		b.field = value;                                               \
		assert_false(iobuf_spec_equal(&a, &b));                        \
	} while (0)
	DIFFERS(options, 0);
	DIFFERS(task, 1);
	DIFFERS(life, IOBUF_LIFE_LASTCLOSE);
	DIFFERS(capacity, 1);
	DIFFERS(alignment, 1);
	DIFFERS(physical_mask, 1);
	DIFFERS(tag[0], 'u');
#undef DIFFERS
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(capacity_zero_is_einval),
		cmocka_unit_test(capacity_plus_alignment_overflow_is_eoverflow),
		cmocka_unit_test(
			an_alignment_that_a_mask_gives_may_not_overflow_either),
		cmocka_unit_test(alignment_not_a_power_of_two_is_einval),
		cmocka_unit_test(a_process_task_without_pageable_is_einval),
		cmocka_unit_test(purgeable_without_pageable_is_einval),
		cmocka_unit_test(shared_raises_alignment_to_a_page),
		cmocka_unit_test(
			any_cache_mode_given_raises_alignment_to_a_page),
		cmocka_unit_test(an_inherited_cache_mode_raises_alignment_too),
		cmocka_unit_test(
			alignment_of_a_page_rounds_capacity_to_whole_pages),
		cmocka_unit_test(alignment_below_a_page_leaves_capacity_alone),
		cmocka_unit_test(no_capacity_stays_no_capacity),
		cmocka_unit_test(alignment_above_a_page_implies_contiguous),
		cmocka_unit_test(a_length_above_the_capacity_is_einval),
		cmocka_unit_test(alignment_of_a_page_does_not_imply_contiguous),
		cmocka_unit_test(a_mask_without_alignment_gives_one),
		cmocka_unit_test(a_mask_leaves_a_given_alignment_alone),
		cmocka_unit_test(what_is_not_pageable_is_wired),
		cmocka_unit_test(physical_memory_named_pageable_is_einval),
		cmocka_unit_test(
			physical_memory_pageable_only_by_default_is_wired),
		cmocka_unit_test(unknown_option_bits_are_einval),
		cmocka_unit_test(what_is_not_asked_comes_from_the_defaults),
		cmocka_unit_test(a_part_that_is_asked_wins_over_the_defaults),
		cmocka_unit_test(one_option_leaves_the_other_options_inherited),
		cmocka_unit_test(wired_alone_is_inout_and_shared),
		cmocka_unit_test(the_output_may_be_an_input),
		cmocka_unit_test(resolving_again_changes_nothing),
		cmocka_unit_test(the_built_in_defaults_resolve),
		cmocka_unit_test(what_is_built_is_supported),
		cmocka_unit_test(
			equal_compares_what_is_asked_not_what_was_given),
	};

	return RUN_TESTS("spec", tests);
}
