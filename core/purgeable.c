/* SPDX-License-Identifier: MIT */
/*
 * purgeable.c - the rules of purgeable states, their text, and the state of a
 * descriptor.
 */
#include "internal.h"

#include <stdio.h>
#include <string.h>

static const struct state_name {
	const char *name;
	uint32_t state;
} states[] = {
	{ "nonvolatile", IOBUF_PURGEABLE_NONVOLATILE },
	{ "volatile", IOBUF_PURGEABLE_VOLATILE },
	{ "empty", IOBUF_PURGEABLE_EMPTY },
};

/* What may follow "volatile", each kind once; the first of a kind goes without
 * saying. */
static const struct modifier {
	const char *name;
	uint32_t mask, bits;
} modifiers[] = {
#define GROUP(n) \
	{ "group=" #n, IOBUF_VOLATILE_GROUP_MASK, IOBUF_VOLATILE_GROUP(n) }
	GROUP(0), GROUP(1), GROUP(2), GROUP(3),
	GROUP(4), GROUP(5), GROUP(6), GROUP(7),
#undef GROUP
	{ "fifo", IOBUF_VOLATILE_ORDER_MASK, IOBUF_VOLATILE_FIFO },
	{ "lifo", IOBUF_VOLATILE_ORDER_MASK, IOBUF_VOLATILE_LIFO },
};

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

static bool is_control(uint32_t control)
{
	const uint32_t state = control & IOBUF_PURGEABLE_STATE_MASK;
	const uint32_t how = IOBUF_VOLATILE_ORDER_MASK |
			     IOBUF_VOLATILE_GROUP_MASK;

	if (state == IOBUF_PURGEABLE_VOLATILE)
		return !(control & ~(IOBUF_PURGEABLE_STATE_MASK | how));
	return control >= IOBUF_PURGEABLE_KEEP_CURRENT &&
	       control <= IOBUF_PURGEABLE_EMPTY;
}

int iobuf_purgeable_change(uint32_t state, uint32_t control, bool holds_memory,
			   struct iobuf_purgeable_change *ret_change)
{
	const bool was_empty = state == IOBUF_PURGEABLE_EMPTY;
	struct iobuf_purgeable_change change = { .state = control };

	if (!is_control(control))
		return -EINVAL;
	switch (control & IOBUF_PURGEABLE_STATE_MASK) {
	case IOBUF_PURGEABLE_KEEP_CURRENT:
		change.state = state;
		break;
	case IOBUF_PURGEABLE_NONVOLATILE:
		change.refill = was_empty;
		break;
	case IOBUF_PURGEABLE_VOLATILE:
		if (was_empty && !holds_memory)
			change.state = IOBUF_PURGEABLE_EMPTY;
		break;
	default:
		change.discard = true;
	}
	*ret_change = change;
	return 0;
}

static bool part_is(const char *text, size_t size, const char *name)
{
	return strlen(name) == size && !memcmp(text, name, size);
}

static const struct modifier *find_modifier(const char *text, size_t size)
{
	for (size_t i = 0; i < COUNT_OF(modifiers); i++)
		if (part_is(text, size, modifiers[i].name))
			return &modifiers[i];
	return NULL;
}

static size_t part_size(const char *text, size_t size)
{
	const char *colon = size ? memchr(text, ':', size) : NULL;

	return colon ? (size_t)(colon - text) : size;
}

/* ":group=3:lifo" and the like. */
static int parse_modifiers(const char *text, size_t size, uint32_t *state)
{
	uint32_t named = 0;

	while (size > 0) {
		const size_t n = part_size(text + 1, size - 1);
		const struct modifier *m = find_modifier(text + 1, n);

		if (!m || (named & m->mask))
			return -EINVAL;
		named |= m->mask;
		*state |= m->bits;
		text += n + 1;
		size -= n + 1;
	}
	return 0;
}

int iobuf_purgeable_parse(const char *text, size_t size, uint32_t *ret_state)
{
	const size_t n = part_size(text, size);
	uint32_t state = 0;

	for (size_t i = 0; i < COUNT_OF(states); i++)
		if (part_is(text, n, states[i].name))
			state = states[i].state;
	if (!state || (n < size && state != IOBUF_PURGEABLE_VOLATILE) ||
	    parse_modifiers(text + n, size - n, &state) < 0)
		return -EINVAL;
	*ret_state = state;
	return 0;
}

static const char *state_name(uint32_t state)
{
	for (size_t i = 0; i < COUNT_OF(states); i++)
		if (states[i].state == (state & IOBUF_PURGEABLE_STATE_MASK))
			return states[i].name;
	return NULL;
}

int iobuf_purgeable_print(uint32_t state, char *buf, size_t size)
{
	const char *name = state_name(state);
	char text[IOBUF_PURGEABLE_TEXT_MAX];
	int n;

	if (!name || !is_control(state))
		return -EINVAL;
	n = snprintf(text, sizeof(text), "%s", name);
	for (size_t i = 0; i < COUNT_OF(modifiers); i++)
		if (modifiers[i].bits && (state & modifiers[i].mask) ==
						 modifiers[i].bits)
			n += snprintf(text + n, sizeof(text) - (size_t)n, ":%s",
				      modifiers[i].name);
	if ((size_t)n >= size)
		return -ERANGE;
	memcpy(buf, text, (size_t)n + 1);
	return n;
}

/* Does the file hold any memory? */
static int holds_memory(const struct iobuf *b, bool *ret_holds)
{
	struct stat st;

	if (b->fd < 0)
		return -EBADF;
	if (fstat(b->fd, &st) < 0)
		return -errno;
	*ret_holds = st.st_blocks > 0;
	return 0;
}

int iobuf_discard(struct iobuf *buffer)
{
	IOBUF_LOCKED(buffer);

	if (buffer->wirings > 0 || iobuf_is_wired(&buffer->spec))
		return -EINVAL;
	if (buffer->fd < 0)
		return -EBADF;
	return iobuf_memory_discard(buffer->fd, iobuf_extent(buffer));
}

int iobuf_refill(struct iobuf *buffer)
{
	IOBUF_LOCKED(buffer);

	if (buffer->fd < 0)
		return -EBADF;
	return iobuf_is_fixed(buffer)
		       ? iobuf_memory_reserve(buffer->fd, 0,
					      iobuf_extent(buffer))
		       : 0;
}

/* Carry a change out; the state follows. `lock` held. */
static int apply(struct iobuf *b, const struct iobuf_purgeable_change *change,
		 bool holds)
{
	int r = 0;

	if (change->discard)
		r = iobuf_memory_discard(b->fd, iobuf_extent(b));
	else if (change->refill && iobuf_is_fixed(b))
		r = iobuf_memory_reserve(b->fd, 0, iobuf_extent(b));
	if (r < 0)
		return r;
	if (change->discard && (holds || b->purgeable != IOBUF_PURGEABLE_EMPTY))
		b->purge_count++;
	b->purgeable = change->state;
	return 0;
}

int iobuf_set_purgeable(struct iobuf *buffer, uint32_t control,
			uint32_t *ret_old)
{
	IOBUF_LOCKED(buffer);
	struct iobuf_purgeable_change change;
	const uint32_t old = buffer->purgeable;
	bool holds = false;
	int r;

	if (!(buffer->spec.options & IOBUF_PURGEABLE) || buffer->wirings > 0)
		return -EINVAL;
	if ((r = holds_memory(buffer, &holds)) < 0 ||
	    (r = iobuf_purgeable_change(old, control, holds, &change)) < 0 ||
	    (r = apply(buffer, &change, holds)) < 0)
		return r;
	if (ret_old)
		*ret_old = old;
	return 0;
}

int iobuf_purge(struct iobuf *buffer, uint64_t *ret_bytes)
{
	IOBUF_LOCKED(buffer);
	const struct iobuf_purgeable_change empty = {
		.state = IOBUF_PURGEABLE_EMPTY,
		.discard = true,
	};
	struct stat st;
	int r;

	if ((buffer->purgeable & IOBUF_PURGEABLE_STATE_MASK) !=
	    IOBUF_PURGEABLE_VOLATILE || buffer->wirings > 0)
		return -EBUSY;
	if (fstat(buffer->fd, &st) < 0)
		return -errno;
	if ((r = apply(buffer, &empty, true)) < 0)
		return r;
	if (ret_bytes)
		*ret_bytes = (uint64_t)st.st_blocks * 512;
	return 0;
}
