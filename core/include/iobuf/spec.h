/* SPDX-License-Identifier: MIT */
/*
 * spec.h - what an I/O buffer is asked to be.
 *
 * A specification names the memory that a buffer shall have: direction,
 * paging, contiguity, sharing, cache mode, capacity, alignment, physical mask,
 * owning task and tag. It is the argument list of Apple's
 * IOBufferMemoryDescriptor::inTaskWithOptions, and the option bits have
 * Apple's numeric values (IOKit/IOTypes.h, IOKit/IOBufferMemoryDescriptor.h).
 *
 * Every function here is pure: it takes no lock, allocates nothing, keeps
 * nothing, and may be called from any thread at any time.
 */
#ifndef IOBUF_SPEC_H
#define IOBUF_SPEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Direction of transfers, bits 0-2 (Apple: kIODirectionNone, ...). */
#define IOBUF_DIRECTION_MASK  0x00000007u
#define IOBUF_DIRECTION_NONE  0x00000000u
#define IOBUF_DIRECTION_IN    0x00000001u /* bytes may go INTO the buffer */
#define IOBUF_DIRECTION_OUT   0x00000002u /* bytes may come OUT of the buffer */
#define IOBUF_DIRECTION_INOUT 0x00000003u

#define IOBUF_CONTIGUOUS 0x00000010u /* kIOMemoryPhysicallyContiguous */
#define IOBUF_PAGEABLE   0x00000020u /* kIOMemoryPageable; absent means wired */
#define IOBUF_PURGEABLE  0x00000040u /* kIOMemoryPurgeable */

/*
 * Cache mode of transfers, bits 8-11 (Apple: kIOMapDefaultCache, ...): what
 * becomes of the cache lines of the buffer that a transfer touches. Mappings
 * are cached as all memory is: other page attributes take a driver.
 *   default, copyback  nothing special.
 *   writecombine       bytes go into the buffer by streaming stores, past the
 *                      caches, and a fence.
 *   writethru          lines that a transfer wrote are written back, and stay
 *                      cached where the CPU has clwb or dc cvac; else they are
 *                      evicted too.
 *   inhibit            lines are written back and evicted after a transfer, and
 *                      before one out of the buffer.
 * A CPU without such instructions (see iobuf_perform_operation()) has a fence
 * instead. In the last three, transfers of one descriptor take turns.
 */
#define IOBUF_CACHE_MASK         0x00000f00u
#define IOBUF_CACHE_DEFAULT      0x00000000u
#define IOBUF_CACHE_INHIBIT      0x00000100u
#define IOBUF_CACHE_WRITETHRU    0x00000200u
#define IOBUF_CACHE_COPYBACK     0x00000300u
#define IOBUF_CACHE_WRITECOMBINE 0x00000400u

/* Sharing, bits 16-19 (Apple: kIOMemoryUnshared, kIOMemoryKernelUserShared). */
#define IOBUF_SHARING_MASK 0x000f0000u
#define IOBUF_UNSHARED     0x00000000u
#define IOBUF_SHARED       0x00010000u

/* Every bit that has a meaning; any other bit in `options` is EINVAL. */
#define IOBUF_OPTIONS_MASK                                                     \
	(IOBUF_DIRECTION_MASK | IOBUF_CONTIGUOUS | IOBUF_PAGEABLE |            \
	 IOBUF_PURGEABLE | IOBUF_CACHE_MASK | IOBUF_SHARING_MASK)

/* Which parts of a specification were named, rather than inherited. */
enum iobuf_given {
	IOBUF_GIVEN_DIRECTION = 1u << 0,
	IOBUF_GIVEN_PAGING = 1u << 1,
	IOBUF_GIVEN_CONTIGUOUS = 1u << 2,
	IOBUF_GIVEN_PURGEABLE = 1u << 3,
	IOBUF_GIVEN_SHARING = 1u << 4,
	IOBUF_GIVEN_CACHE = 1u << 5,
	IOBUF_GIVEN_OPTIONS = (1u << 6) - 1, /* all of the above */
	IOBUF_GIVEN_CAPACITY = 1u << 6,
	IOBUF_GIVEN_ALIGNMENT = 1u << 7,
	IOBUF_GIVEN_PHYSICAL_MASK = 1u << 8,
	IOBUF_GIVEN_TASK = 1u << 9,
	IOBUF_GIVEN_TAG = 1u << 10,
	IOBUF_GIVEN_LENGTH = 1u << 11,
	IOBUF_GIVEN_LIFE = 1u << 12,
};

#define IOBUF_TASK_KERNEL 0    /* the allocating process itself */
#define IOBUF_TASK_SELF   (-1) /* the process that asks; the caller resolves it */

/* When the name of a buffer goes by itself; of filesystems, not of descriptors. */
enum iobuf_life {
	IOBUF_LIFE_UNLINK = 0,    /* never: unlink(2) takes it away */
	IOBUF_LIFE_LASTCLOSE = 1, /* when its last open file is closed */
};

#define IOBUF_TAG_MAX 63 /* bytes of a tag, without its NUL */

/* Bytes that hold any specification as text, with its NUL. */
#define IOBUF_SPEC_TEXT_MAX 512

struct iobuf_spec {
	uint32_t given;         /* enum iobuf_given */
	uint32_t options;       /* IOBUF_* bits */
	int32_t task;           /* IOBUF_TASK_* or a process id */
	uint32_t life;          /* enum iobuf_life */
	uint64_t capacity;      /* bytes; 0: none asked, the buffer is elastic */
	uint64_t alignment;     /* bytes, a power of two; 1: none asked */
	uint64_t physical_mask; /* bits a physical address may have; 0: any */
	uint64_t length;        /* bytes in use at first, where it is given; else
				   all of the capacity */
	char tag[IOBUF_TAG_MAX + 1];
};

/* Why a specification was refused, in words for a log or a terminal. */
struct iobuf_reason {
	char text[256];
	/* Where contiguous memory could not be had: bytes of the longest
	 * physical run that was seen. */
	uint64_t longest_run;
};

/* What a specification falls back to: pageable, inout, shared, elastic. */
extern const struct iobuf_spec iobuf_spec_default;

/*
 * Read a specification, e.g. "wired,inout,capacity=64M,align=2M".
 *
 * text        comma-separated tokens in any order, not NUL-terminated:
 *             in out inout none | pageable wired | contiguous | purgeable |
 *             shared unshared | cache=default|inhibit|writethru|copyback|
 *             writecombine | capacity=N[K|M|G] | align=N[K|M|G] | mask=0xN |
 *             task=kernel|self|PID | life=unlink|lastclose | tag=TEXT |
 *             length=N[K|M|G] | options=0xN, and Apple's constant names
 *             (kIOMemoryPageable, ...).
 *             options= is exact: a bit that is absent is off.
 * size        bytes of text.
 * ret_spec    receives what was named, with `given` telling which parts; the
 *             rest is that of iobuf_spec_default. Untouched on failure.
 * ret_reason  NULL, or receives the words for a failure.
 *
 * Returns 0; -EINVAL (empty text, unknown or malformed token, a part named
 * twice or contradicted, capacity 0, alignment not a power of two, a NUL);
 * -EOVERFLOW (a number over 64 bits).
 */
int iobuf_spec_parse(const char *text, size_t size, struct iobuf_spec *ret_spec,
		     struct iobuf_reason *ret_reason);

/*
 * Complete and check a specification by the rules of inTaskWithOptions.
 *
 * What `asked` does not name is taken from `defaults`; alignment, capacity and
 * wiring are then adjusted: `shared` or a cache mode raises an alignment below
 * a page to one page; an alignment of a page or more rounds the capacity up to
 * whole pages; an alignment above a page implies `contiguous`; a mask with no
 * alignment gives one (its low zero bits, at least a page); contiguous, masked
 * and aligned buffers are wired unless `pageable` was named.
 *
 * Returns 0 and the complete specification in *ret_spec (which may be `asked`
 * or `defaults` itself); -EINVAL (pageable named for physical memory, purgeable
 * without pageable, a task without pageable, an unknown option bit, alignment
 * not a power of two, a length above the capacity); -EOVERFLOW (capacity +
 * alignment does not fit in 63 bits, the range of off_t).
 */
int iobuf_spec_resolve(const struct iobuf_spec *asked,
		       const struct iobuf_spec *defaults,
		       struct iobuf_spec *ret_spec,
		       struct iobuf_reason *ret_reason);

/*
 * Tell whether this library can build what a resolved specification asks.
 * Returns 0, or -EOPNOTSUPP with the feature's name in *ret_reason. This version
 * builds all that has a token.
 */
int iobuf_spec_supported(const struct iobuf_spec *spec,
			 struct iobuf_reason *ret_reason);

/*
 * Write a resolved specification as text that iobuf_spec_parse() and, against
 * iobuf_spec_default, iobuf_spec_resolve() turn into the same one again. A
 * length is not of it: it is of the buffer, see iobuf_get_length().
 *
 * buf, size   where to; IOBUF_SPEC_TEXT_MAX bytes always suffice.
 * Returns the length without the NUL; -ERANGE when `size` is too small.
 */
int iobuf_spec_print(const struct iobuf_spec *spec, char *buf, size_t size);

/* The same for the option bits alone, e.g. "wired,inout,shared". */
int iobuf_options_print(uint32_t options, char *buf, size_t size);

/* True when both ask for the same memory (`given` and the length are not
 * compared). */
bool iobuf_spec_equal(const struct iobuf_spec *a, const struct iobuf_spec *b);

/*
 * Read a number of bytes: decimal or 0x hexadecimal, with an optional K, M or
 * G (powers of 1024). No sign, no blanks, nothing after it.
 * Returns 0; -EINVAL when malformed; -EOVERFLOW when over 64 bits.
 */
int iobuf_bytes_parse(const char *text, size_t size, uint64_t *ret_bytes);

/* The name of a direction ("in", "out", "inout", "none"). */
const char *iobuf_direction_name(uint32_t options);

/*
 * Walk the table of tokens, for help texts and completions. Returns the token
 * ("pageable", "capacity=N[K|M|G]") of row `index`, *ret_help says what it
 * means; NULL past the last row. The strings are static.
 */
const char *iobuf_token_help(size_t index, const char **ret_help);

#ifdef __cplusplus
}
#endif

#endif
