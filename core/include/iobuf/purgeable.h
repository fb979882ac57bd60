/* SPDX-License-Identifier: MIT */
/*
 * purgeable.h - states of a purgeable buffer.
 *
 * The contents of a purgeable buffer can be given up when memory is short. Its
 * owner says when: it makes the buffer volatile while it can do without them,
 * and nonvolatile before it uses them again; the state that it had until then
 * tells whether they are still there.
 *
 *              set nonvolatile            set volatile
 *      empty <-----------------> nonvolatile <--------> volatile
 *        ^   set empty             |                       |
 *        +-------------------------+                       |
 *        +------------ purged, or set empty ---------------+
 *
 * Empty means that the contents are gone: the buffer holds no memory and reads
 * as zero. It can be written to, and that makes no difference to its state;
 * but what was written can go at any time until it is nonvolatile, and so can
 * that of a volatile one. Set volatile, an empty buffer that holds no memory
 * stays empty; one that was written to, or read through a mapping, holds some
 * and becomes volatile. So it is the old state of each change that tells.
 *
 * Buffers are purged by group, 0 first; within a group those of FIFO order, the
 * one that has been volatile for longest first, and then those of LIFO order,
 * the latest first. To be made volatile again is to be made volatile now.
 *
 * The rules are those of XNU's vm_object_purgable_control(), the numbers those
 * of Apple's IOKit/IOTypes.h (kIOMemoryPurgeable...). Every function here is
 * pure, and may be called from any thread at any time.
 */
#ifndef IOBUF_PURGEABLE_H
#define IOBUF_PURGEABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A state is one of these, and for volatile a group and an order as well. */
#define IOBUF_PURGEABLE_STATE_MASK   0x0000000fu
#define IOBUF_PURGEABLE_KEEP_CURRENT 1u /* to be set only: changes nothing */
#define IOBUF_PURGEABLE_NONVOLATILE  2u /* kIOMemoryPurgeableNonVolatile */
#define IOBUF_PURGEABLE_VOLATILE     3u /* kIOMemoryPurgeableVolatile */
#define IOBUF_PURGEABLE_EMPTY        4u /* kIOMemoryPurgeableEmpty */

#define IOBUF_VOLATILE_ORDER_MASK 0x00000040u
#define IOBUF_VOLATILE_FIFO       0x00000000u /* ...VolatileBehaviorFifo */
#define IOBUF_VOLATILE_LIFO       0x00000040u /* ...VolatileBehaviorLifo */

#define IOBUF_VOLATILE_GROUP_MASK  0x00000700u
#define IOBUF_VOLATILE_GROUP_SHIFT 8
#define IOBUF_VOLATILE_GROUP(n)    ((uint32_t)(n) << IOBUF_VOLATILE_GROUP_SHIFT)

/* Bytes that hold any state as text, with its NUL. */
#define IOBUF_PURGEABLE_TEXT_MAX 32

/* What a change of state does, see iobuf_purgeable_change(). */
struct iobuf_purgeable_change {
	uint32_t state; /* the new one */
	bool discard;   /* all memory is given back */
	bool refill;    /* a fixed buffer has to have its memory reserved again
			   first, and stays empty when there is none */
};

/*
 * Tell what becomes of a buffer's state, and what is to be done.
 *
 * state         the present one; KEEP_CURRENT is not one
 * control       what is set
 * holds_memory  does the buffer hold any
 *
 * Returns 0; -EINVAL for a control that is not a state (0, unknown bits, a
 * group or an order of anything but volatile).
 */
int iobuf_purgeable_change(uint32_t state, uint32_t control, bool holds_memory,
			   struct iobuf_purgeable_change *ret_change);

/*
 * Read a state: nonvolatile, volatile[:group=0-7][:fifo|lifo], or empty.
 * text, size  as read from a client, not NUL-terminated.
 * Returns 0; -EINVAL for anything else.
 */
int iobuf_purgeable_parse(const char *text, size_t size, uint32_t *ret_state);

/*
 * Write a state as iobuf_purgeable_parse() reads it; group 0 and fifo go
 * without saying. IOBUF_PURGEABLE_TEXT_MAX bytes always suffice. Returns the
 * length without the NUL; -ERANGE when `size` is too small; -EINVAL for what is
 * not a state.
 */
int iobuf_purgeable_print(uint32_t state, char *buf, size_t size);

#ifdef __cplusplus
}
#endif

#endif
