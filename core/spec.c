/* SPDX-License-Identifier: MIT */
/*
 * spec.c - the rules of inTaskWithOptions: what a specification inherits, what
 * it implies, and what it may not ask.
 */
#include "internal.h"

#include <string.h>

const struct iobuf_spec iobuf_spec_default = {
	.options = IOBUF_PAGEABLE | IOBUF_DIRECTION_INOUT | IOBUF_SHARED,
	.alignment = 1,
};

/* The option bits of each part, in the order of enum iobuf_given. */
static const uint32_t part_bits[] = {
	IOBUF_DIRECTION_MASK, IOBUF_PAGEABLE,     IOBUF_CONTIGUOUS,
	IOBUF_PURGEABLE,      IOBUF_SHARING_MASK, IOBUF_CACHE_MASK,
};

static uint32_t given_bits(uint32_t given)
{
	uint32_t bits = 0;

	for (size_t i = 0; i < sizeof(part_bits) / sizeof(part_bits[0]); i++)
		if (given & (1u << i))
			bits |= part_bits[i];
	return bits;
}

static struct iobuf_spec inherit(const struct iobuf_spec *asked,
				 const struct iobuf_spec *defaults)
{
	struct iobuf_spec spec = *asked;
	uint32_t own = given_bits(asked->given);

	spec.options = (asked->options & own) | (defaults->options & ~own);
	if (!(asked->given & IOBUF_GIVEN_CAPACITY))
		spec.capacity = defaults->capacity;
	if (!(asked->given & IOBUF_GIVEN_ALIGNMENT))
		spec.alignment = defaults->alignment;
	if (!(asked->given & IOBUF_GIVEN_PHYSICAL_MASK))
		spec.physical_mask = defaults->physical_mask;
	if (!(asked->given & IOBUF_GIVEN_TASK))
		spec.task = defaults->task;
	if (!(asked->given & IOBUF_GIVEN_LIFE))
		spec.life = defaults->life;
	if (!(asked->given & IOBUF_GIVEN_TAG))
		memcpy(spec.tag, defaults->tag, sizeof(spec.tag));
	return spec;
}

/* A field's value must be one of those that have a name. */
static bool options_are_known(uint32_t options)
{
	return !(options & ~IOBUF_OPTIONS_MASK) &&
	       (options & IOBUF_DIRECTION_MASK) <= IOBUF_DIRECTION_INOUT &&
	       (options & IOBUF_CACHE_MASK) <= IOBUF_CACHE_WRITECOMBINE &&
	       (options & IOBUF_SHARING_MASK) <= IOBUF_SHARED;
}

/* A mask's low zero bits, at least a page. */
static uint64_t alignment_of_mask(uint64_t mask)
{
	uint64_t lowest = mask & -mask;

	return lowest < iobuf_page_bytes() ? iobuf_page_bytes() : lowest;
}

/* Alignment and capacity: what sharing, cache modes and masks imply. */
static int adjust_geometry(struct iobuf_spec *spec, struct iobuf_reason *reason)
{
	const uint64_t page = iobuf_page_bytes();
	uint64_t end;

	if (spec->alignment == 0 || (spec->alignment & (spec->alignment - 1)))
		return iobuf_refuse(reason, EINVAL,
				    "alignment %llu is not a power of two",
				    (unsigned long long)spec->alignment);
	if (spec->physical_mask && spec->alignment <= 1)
		spec->alignment = alignment_of_mask(spec->physical_mask);
	if (((spec->options & (IOBUF_SHARED | IOBUF_CACHE_MASK)) ||
	     (spec->given & IOBUF_GIVEN_CACHE)) &&
	    spec->alignment < page)
		spec->alignment = page;
	if (__builtin_add_overflow(spec->capacity, spec->alignment, &end) ||
	    end > (uint64_t)INT64_MAX - page)
		return iobuf_refuse(reason, EOVERFLOW,
				    "capacity and alignment do not fit in 63 bits");
	if (spec->alignment >= page)
		spec->capacity = iobuf_round_up(spec->capacity, page);
	if ((spec->given & IOBUF_GIVEN_LENGTH) && spec->capacity &&
	    spec->length > spec->capacity)
		return iobuf_refuse(reason, EINVAL,
				    "length %llu is above the capacity",
				    (unsigned long long)spec->length);
	return 0;
}

/* Contiguous, masked and aligned memory is wired. */
static int adjust_wiring(struct iobuf_spec *spec, struct iobuf_reason *reason)
{
	if (spec->alignment > iobuf_page_bytes())
		spec->options |= IOBUF_CONTIGUOUS;
	if (!(spec->options & IOBUF_CONTIGUOUS) && !spec->physical_mask)
		return 0;
	if ((spec->options & IOBUF_PAGEABLE) &&
	    (spec->given & IOBUF_GIVEN_PAGING))
		return iobuf_refuse(reason, EINVAL,
				    "pageable memory cannot be contiguous, masked, "
				    "or aligned above a page");
	spec->options &= ~IOBUF_PAGEABLE;
	return 0;
}

static int check_paging(const struct iobuf_spec *spec,
			struct iobuf_reason *reason)
{
	if (!iobuf_is_wired(spec))
		return 0;
	if (spec->options & IOBUF_PURGEABLE)
		return iobuf_refuse(reason, EINVAL,
				    "purgeable needs pageable");
	if (spec->task != IOBUF_TASK_KERNEL)
		return iobuf_refuse(reason, EINVAL,
				    "a task's buffer must be pageable: only the "
				    "kernel side owns wired memory");
	return 0;
}

int iobuf_spec_resolve(const struct iobuf_spec *asked,
		       const struct iobuf_spec *defaults,
		       struct iobuf_spec *ret_spec,
		       struct iobuf_reason *ret_reason)
{
	struct iobuf_spec spec = inherit(asked, defaults);
	int r;

	/* Inheriting drops what belongs to no part. */
	if (!options_are_known(spec.options) ||
	    asked->options & ~IOBUF_OPTIONS_MASK)
		return iobuf_refuse(ret_reason, EINVAL,
				    "options 0x%x have a value without a meaning",
				    spec.options | asked->options);
	if ((r = adjust_geometry(&spec, ret_reason)) < 0 ||
	    (r = adjust_wiring(&spec, ret_reason)) < 0 ||
	    (r = check_paging(&spec, ret_reason)) < 0)
		return r;
	*ret_spec = spec;
	return 0;
}

int iobuf_spec_supported(const struct iobuf_spec *spec,
			 struct iobuf_reason *ret_reason)
{
	/* All that has a token is built. */
	(void)spec;
	(void)ret_reason;
	return 0;
}

bool iobuf_spec_equal(const struct iobuf_spec *a, const struct iobuf_spec *b)
{
	return a->options == b->options && a->task == b->task &&
	       a->life == b->life &&
	       a->capacity == b->capacity && a->alignment == b->alignment &&
	       a->physical_mask == b->physical_mask && !strcmp(a->tag, b->tag);
}
