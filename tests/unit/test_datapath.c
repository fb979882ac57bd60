/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "datapath.h"

#include <iobuf/spec.h>

struct open_case {
	bool has_passthrough, fixed, empty, write_only, clears_set_id;
	uint32_t options;
};

/* Every cache mode, direction, sharing and flag, in every combination. */
static const uint32_t caches[] = {
	IOBUF_CACHE_DEFAULT,  IOBUF_CACHE_INHIBIT,	IOBUF_CACHE_WRITETHRU,
	IOBUF_CACHE_COPYBACK, IOBUF_CACHE_WRITECOMBINE,
};

static uint32_t options_of(unsigned int n)
{
	uint32_t options = n & 3; /* direction */

	options |= n & 4 ? IOBUF_SHARED : IOBUF_UNSHARED;
	options |= n & 8 ? IOBUF_PAGEABLE : 0;
	options |= n & 16 ? IOBUF_CONTIGUOUS : 0;
	options |= n & 32 ? IOBUF_PURGEABLE : 0;
	return options | caches[n / 64];
}

enum { OPTION_CASES = 64 * COUNT_OF(caches) };

static void for_each_case(void (*check)(const struct open_case *))
{
	for (unsigned int n = 0; n < OPTION_CASES; n++)
		for (unsigned int m = 0; m < 32; m++) {
			const struct open_case c = {
				.has_passthrough = m & 1,
				.fixed = m & 2,
				.empty = m & 4,
				.write_only = m & 8,
				.clears_set_id = m & 16,
				.options = options_of(n),
			};

			check(&c);
		}
}

static struct bfs_datapath chosen(const struct open_case *c)
{
	return bfs_datapath_choose(c->has_passthrough, c->options, c->fixed,
				   c->empty, c->write_only, c->clears_set_id);
}

enum way { PLAIN, WATCHED, DIRECT, CACHED };

/* The paragraph "The data path" of the design, sentence by sentence. */
static enum way designed(const struct open_case *c)
{
	const bool elastic = !c->fixed;
	const bool pageable = c->options & IOBUF_PAGEABLE;
	const bool inout = (c->options & IOBUF_DIRECTION_IN) &&
			   (c->options & IOBUF_DIRECTION_OUT);
	const bool physical = c->options & IOBUF_CONTIGUOUS;
	/* Copyback is the default mode by another name: nothing special. */
	const bool default_cache =
		!(c->options & IOBUF_CACHE_MASK) ||
		(c->options & IOBUF_CACHE_MASK) == IOBUF_CACHE_COPYBACK;
	const bool default_kind =
		elastic && pageable && inout && default_cache && !physical;

	if (!(c->options & IOBUF_SHARED))
		return DIRECT; /* unshared: FOPEN_DIRECT_IO alone */
	if (!c->has_passthrough)
		return CACHED; /* where passthrough cannot be had */
	if (c->clears_set_id)
		return WATCHED; /* the daemon clears what a write must */
	if (default_kind && c->empty)
		return c->write_only ? PLAIN : WATCHED;
	return default_kind ? PLAIN : WATCHED;
}

static const struct bfs_datapath ways[] = {
	[PLAIN] = { .passthrough = true, .direct_io = false },
	[WATCHED] = { .passthrough = true, .direct_io = true },
	[DIRECT] = { .passthrough = false, .direct_io = true },
	[CACHED] = { .passthrough = false, .direct_io = false },
};

static void check_as_designed(const struct open_case *c)
{
	const struct bfs_datapath expected = ways[designed(c)];
	const struct bfs_datapath path = chosen(c);

	if (path.passthrough != expected.passthrough ||
	    path.direct_io != expected.direct_io)
		fail_msg("options 0x%x passthrough %d fixed %d empty %d "
			 "write_only %d: %d %d",
			 c->options, c->has_passthrough, c->fixed, c->empty,
			 c->write_only, path.passthrough, path.direct_io);
}

static void every_open_goes_the_way_of_the_design(void **state)
{
	(void)state;
	for_each_case(check_as_designed);
}

static void the_ways_written_out(void **state)
{
	static const struct {
		struct open_case c;
		enum way way;
	} rows[] = {
		/* passthrough, fixed, empty, write_only, clears, options */
		{ { true, false, false, false, false, 0x10023 }, PLAIN },
		{ { true, false, false, true, false, 0x10023 }, PLAIN },
		{ { true, false, true, true, false, 0x10023 }, PLAIN },
		{ { true, false, false, false, false, 0x10323 }, PLAIN },
		{ { true, false, true, false, false, 0x10023 }, WATCHED },
		{ { true, true, false, false, false, 0x10023 }, WATCHED },
		{ { true, true, false, true, false, 0x10023 }, WATCHED },
		{ { true, false, false, true, true, 0x10023 }, WATCHED },
		{ { true, false, false, false, false, 0x10003 }, WATCHED },
		{ { true, false, false, false, false, 0x10021 }, WATCHED },
		{ { true, false, false, false, false, 0x10022 }, WATCHED },
		{ { true, false, false, false, false, 0x10020 }, WATCHED },
		{ { true, false, false, false, false, 0x10123 }, WATCHED },
		{ { true, false, false, false, false, 0x10223 }, WATCHED },
		{ { true, false, false, false, false, 0x10423 }, WATCHED },
		{ { true, false, false, false, false, 0x10063 }, PLAIN },
		{ { true, false, true, true, false, 0x10003 }, WATCHED },
		{ { true, false, false, false, false, 0x00023 }, DIRECT },
		{ { true, true, false, false, false, 0x00003 }, DIRECT },
		{ { false, false, false, false, false, 0x00023 }, DIRECT },
		{ { false, false, false, false, false, 0x10023 }, CACHED },
		{ { false, true, false, false, false, 0x10003 }, CACHED },
		{ { false, false, true, true, false, 0x10023 }, CACHED },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		const struct bfs_datapath path = chosen(&rows[i].c);

		assert_int_equal(path.passthrough,
				 ways[rows[i].way].passthrough);
		assert_int_equal(path.direct_io, ways[rows[i].way].direct_io);
	}
}

static void check_one_way_with_passthrough(const struct open_case *c)
{
	struct open_case other = *c;

	/* One inode, one backing id: an allocated buffer's opens agree. */
	other.write_only = !c->write_only;
	if (!c->empty) {
		assert_int_equal(chosen(c).passthrough,
				 chosen(&other).passthrough);
		assert_int_equal(chosen(c).direct_io, chosen(&other).direct_io);
	}
	/* Never an open through the page cache beside passthrough. */
	if (c->has_passthrough)
		assert_true(chosen(c).passthrough || chosen(c).direct_io);
}

static void opens_of_one_buffer_agree_and_none_is_cached(void **state)
{
	(void)state;
	for_each_case(check_one_way_with_passthrough);
}

static void only_passthrough_without_direct_io_is_plain(void **state)
{
	(void)state;
	assert_true(bfs_datapath_is_plain(ways[PLAIN]));
	assert_false(bfs_datapath_is_plain(ways[WATCHED]));
	assert_false(bfs_datapath_is_plain(ways[DIRECT]));
	assert_false(bfs_datapath_is_plain(ways[CACHED]));
}

static void the_ways_have_names(void **state)
{
	(void)state;
	assert_string_equal(bfs_datapath_name(ways[PLAIN]), "passthrough");
	assert_string_equal(bfs_datapath_name(ways[WATCHED]), "passthrough");
	assert_string_equal(bfs_datapath_name(ways[DIRECT]), "direct");
	assert_string_equal(bfs_datapath_name(ways[CACHED]), "cached");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_open_goes_the_way_of_the_design),
		cmocka_unit_test(the_ways_written_out),
		cmocka_unit_test(opens_of_one_buffer_agree_and_none_is_cached),
		cmocka_unit_test(only_passthrough_without_direct_io_is_plain),
		cmocka_unit_test(the_ways_have_names),
	};

	return RUN_TESTS("datapath", tests);
}
