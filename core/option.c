/* SPDX-License-Identifier: MIT */
/*
 * option.c - the table of tokens: how a specification is read and written.
 *
 * One row is one token. It carries its spellings, the part of a specification
 * it names, its bits or its parser, and its help; iobuf_spec_parse(),
 * iobuf_spec_print() and every help text walk the table.
 */
#include "internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* A stretch of the text being parsed. */
struct slice {
	const char *at;
	size_t size;
};

struct option {
	const char *name;     /* a name that ends in '=' takes a value */
	const char *apple;    /* Apple's constant, or NULL */
	const char *argument; /* how help writes the value */
	const char *help;
	uint32_t part;        /* enum iobuf_given: what the token names */
	uint32_t mask, bits;  /* options &= ~mask, |= bits */
	int (*parse)(struct slice value, struct iobuf_spec *spec,
		     struct iobuf_reason *ret_reason);
};

static bool slice_is(struct slice s, const char *text)
{
	return text && strlen(text) == s.size && !memcmp(s.at, text, s.size);
}

/* A token as a log line can show it: bounded, with nothing unprintable. */
struct shown {
	char text[48];
};

static struct shown show(struct slice s)
{
	struct shown out = { "" };
	size_t n = s.size < sizeof(out.text) - 4 ? s.size : sizeof(out.text) - 4;

	for (size_t i = 0; i < n; i++)
		out.text[i] = s.at[i] > ' ' && s.at[i] < 127 ? s.at[i] : '?';
	if (n < s.size)
		memcpy(out.text + n, "...", 4);
	return out;
}

static int digit_of(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return 255;
}

/* Digits only; leaves what follows them in *s, also of a number too large. */
static int take_number(struct slice *s, uint64_t *ret_number)
{
	int base = s->size > 2 && s->at[0] == '0' && s->at[1] == 'x' ? 16 : 10;
	size_t i = base == 16 ? 2 : 0, first = i;
	bool overflow = false;
	uint64_t n = 0;

	for (; i < s->size && digit_of(s->at[i]) < base; i++)
		if (__builtin_mul_overflow(n, (uint64_t)base, &n) ||
		    __builtin_add_overflow(n, (uint64_t)digit_of(s->at[i]), &n))
			overflow = true;
	if (i == first)
		return -EINVAL;
	*s = (struct slice){ s->at + i, s->size - i };
	if (overflow)
		return -EOVERFLOW;
	*ret_number = n;
	return 0;
}

int iobuf_bytes_parse(const char *text, size_t size, uint64_t *ret_bytes)
{
	static const struct {
		const char *suffix;
		unsigned int shift;
	} units[] = { { "", 0 }, { "K", 10 }, { "M", 20 }, { "G", 30 } };
	struct slice rest = { text, size };
	uint64_t n = 0;
	int r = take_number(&rest, &n);

	if (r == -EINVAL)
		return r;
	/* "99999999999999999999Q" is malformed before it is too large. */
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (!slice_is(rest, units[i].suffix))
			continue;
		if (r < 0 || n > UINT64_MAX >> units[i].shift)
			return -EOVERFLOW;
		*ret_bytes = n << units[i].shift;
		return 0;
	}
	return -EINVAL;
}

/* Numbers without a unit: masks, option bits, process ids. */
static int plain_number(struct slice value, uint64_t *ret_number)
{
	int r = take_number(&value, ret_number);

	return r != -EINVAL && value.size ? -EINVAL : r;
}

static int refuse_value(struct iobuf_reason *reason, int error,
			const char *name, struct slice value, const char *wants)
{
	return iobuf_refuse(reason, error, "%s'%s': %s", name, show(value).text,
			    error == EOVERFLOW ? "over 64 bits" : wants);
}

static int parse_capacity(struct slice value, struct iobuf_spec *spec,
			  struct iobuf_reason *reason)
{
	int r = iobuf_bytes_parse(value.at, value.size, &spec->capacity);

	if (r == 0 && spec->capacity == 0)
		r = -EINVAL;
	return r < 0 ? refuse_value(reason, -r, "capacity=", value,
				    "not a number of bytes above 0, N[K|M|G]")
		     : 0;
}

static int parse_alignment(struct slice value, struct iobuf_spec *spec,
			   struct iobuf_reason *reason)
{
	uint64_t n;
	int r = iobuf_bytes_parse(value.at, value.size, &n);

	if (r == 0 && (n == 0 || (n & (n - 1))))
		r = -EINVAL;
	if (r < 0)
		return refuse_value(reason, -r, "align=", value,
				    "not a power of two");
	spec->alignment = n;
	return 0;
}

static int parse_mask(struct slice value, struct iobuf_spec *spec,
		      struct iobuf_reason *reason)
{
	int r = plain_number(value, &spec->physical_mask);

	if (r == 0 && spec->physical_mask == 0)
		r = -EINVAL;
	return r < 0 ? refuse_value(reason, -r, "mask=", value,
				    "not a mask of address bits, 0xN")
		     : 0;
}

static int parse_length(struct slice value, struct iobuf_spec *spec,
			struct iobuf_reason *reason)
{
	int r = iobuf_bytes_parse(value.at, value.size, &spec->length);

	return r < 0 ? refuse_value(reason, -r, "length=", value,
				    "not a number of bytes, N[K|M|G]")
		     : 0;
}

static int parse_task(struct slice value, struct iobuf_spec *spec,
		      struct iobuf_reason *reason)
{
	uint64_t pid;
	int r = 0;

	if (slice_is(value, "kernel"))
		spec->task = IOBUF_TASK_KERNEL;
	else if (slice_is(value, "self"))
		spec->task = IOBUF_TASK_SELF;
	else if ((r = plain_number(value, &pid)) == 0 && pid > 0 &&
		 pid <= INT32_MAX)
		spec->task = (int32_t)pid;
	else
		return refuse_value(reason, r ? -r : EINVAL, "task=", value,
				    "not kernel, self, or a process id");
	return 0;
}

static int parse_life(struct slice value, struct iobuf_spec *spec,
		      struct iobuf_reason *reason)
{
	if (slice_is(value, "unlink"))
		spec->life = IOBUF_LIFE_UNLINK;
	else if (slice_is(value, "lastclose"))
		spec->life = IOBUF_LIFE_LASTCLOSE;
	else
		return refuse_value(reason, EINVAL, "life=", value,
				    "not unlink or lastclose");
	return 0;
}

static int parse_tag(struct slice value, struct iobuf_spec *spec,
		     struct iobuf_reason *reason)
{
	if (value.size == 0 || value.size > IOBUF_TAG_MAX)
		return refuse_value(reason, EINVAL, "tag=", value,
				    "not 1 to 63 bytes");
	for (size_t i = 0; i < value.size; i++)
		if ((unsigned char)value.at[i] < ' ' || value.at[i] == 127)
			return refuse_value(reason, EINVAL, "tag=", value,
					    "has a control character");
	memset(spec->tag, 0, sizeof(spec->tag));
	memcpy(spec->tag, value.at, value.size);
	return 0;
}

static int parse_options(struct slice value, struct iobuf_spec *spec,
			 struct iobuf_reason *reason)
{
	uint64_t bits;
	int r = plain_number(value, &bits);

	if (r < 0)
		return refuse_value(reason, -r, "options=", value,
				    "not option bits, 0xN");
	if (bits & ~(uint64_t)IOBUF_OPTIONS_MASK)
		return refuse_value(reason, EINVAL, "options=", value,
				    "has a bit without a meaning");
	spec->options = (uint32_t)bits;
	return 0;
}

#define DIRECTION(token, apple_name, value, words)                             \
	{ .name = token, .apple = apple_name, .help = words,                   \
	  .part = IOBUF_GIVEN_DIRECTION, .mask = IOBUF_DIRECTION_MASK,         \
	  .bits = value }
#define FLAG(token, apple_name, given, field, value, words)                    \
	{ .name = token, .apple = apple_name, .help = words, .part = given,    \
	  .mask = field, .bits = value }
#define CACHE(token, apple_name, value, words)                                 \
	{ .name = "cache=" token, .apple = apple_name, .help = words,          \
	  .part = IOBUF_GIVEN_CACHE, .mask = IOBUF_CACHE_MASK, .bits = value }
#define VALUE(token, given, function, shape, words)                            \
	{ .name = token, .argument = shape, .help = words, .part = given,      \
	  .parse = function }

/* In the order in which iobuf_spec_print() writes them. */
static const struct option options[] = {
	FLAG("pageable", "kIOMemoryPageable", IOBUF_GIVEN_PAGING,
	     IOBUF_PAGEABLE, IOBUF_PAGEABLE,
	     "may be paged out (the default)"),
	FLAG("wired", NULL, IOBUF_GIVEN_PAGING, IOBUF_PAGEABLE, 0,
	     "resident and locked before creation returns"),
	DIRECTION("none", "kIODirectionNone", IOBUF_DIRECTION_NONE,
		  "no transfers, mappings only"),
	DIRECTION("in", "kIODirectionIn", IOBUF_DIRECTION_IN,
		  "transfers go into the buffer (write)"),
	DIRECTION("out", "kIODirectionOut", IOBUF_DIRECTION_OUT,
		  "transfers come out of the buffer (read)"),
	DIRECTION("inout", "kIODirectionInOut", IOBUF_DIRECTION_INOUT,
		  "both (the default)"),
	FLAG("contiguous", "kIOMemoryPhysicallyContiguous",
	     IOBUF_GIVEN_CONTIGUOUS, IOBUF_CONTIGUOUS, IOBUF_CONTIGUOUS,
	     "one physical run over the whole capacity"),
	FLAG("purgeable", "kIOMemoryPurgeable", IOBUF_GIVEN_PURGEABLE,
	     IOBUF_PURGEABLE, IOBUF_PURGEABLE,
	     "contents may be given up under memory pressure"),
	FLAG("shared", "kIOMemoryKernelUserShared", IOBUF_GIVEN_SHARING,
	     IOBUF_SHARING_MASK, IOBUF_SHARED,
	     "other processes may map it (the default)"),
	FLAG("unshared", "kIOMemoryUnshared", IOBUF_GIVEN_SHARING,
	     IOBUF_SHARING_MASK, IOBUF_UNSHARED,
	     "nobody may map it: read and write only"),
	CACHE("default", "kIOMapDefaultCache", IOBUF_CACHE_DEFAULT,
	      "nothing special"),
	CACHE("inhibit", "kIOMapInhibitCache", IOBUF_CACHE_INHIBIT,
	      "transfers leave no line in the CPU caches"),
	CACHE("writethru", "kIOMapWriteThruCache", IOBUF_CACHE_WRITETHRU,
	      "transfers write lines back and keep them cached"),
	CACHE("copyback", "kIOMapCopybackCache", IOBUF_CACHE_COPYBACK,
	      "nothing special"),
	CACHE("writecombine", "kIOMapWriteCombineCache",
	      IOBUF_CACHE_WRITECOMBINE, "transfers use streaming stores"),
	VALUE("capacity=", IOBUF_GIVEN_CAPACITY, parse_capacity, "N[K|M|G]",
	      "bytes the buffer holds: makes it fixed"),
	VALUE("align=", IOBUF_GIVEN_ALIGNMENT, parse_alignment, "N[K|M|G]",
	      "alignment, a power of two; above a page, of physical memory"),
	VALUE("mask=", IOBUF_GIVEN_PHYSICAL_MASK, parse_mask, "0xN",
	      "bits that a physical address may have"),
	VALUE("task=", IOBUF_GIVEN_TASK, parse_task, "kernel|self|PID",
	      "the process whose death unlinks the buffer"),
	VALUE("life=", IOBUF_GIVEN_LIFE, parse_life, "unlink|lastclose",
	      "what takes its name away: unlink, or the last close"),
	VALUE("tag=", IOBUF_GIVEN_TAG, parse_tag, "TEXT",
	      "a label, up to 63 bytes"),
	VALUE("length=", IOBUF_GIVEN_LENGTH, parse_length, "N[K|M|G]",
	      "bytes in use at first; also keeps that many that are there"),
	VALUE("options=", IOBUF_GIVEN_OPTIONS, parse_options, "0xN",
	      "all option bits at once; an absent bit is off"),
};

enum { OPTION_COUNT = sizeof(options) / sizeof(options[0]) };

const char *iobuf_token_help(size_t index, const char **ret_help)
{
	static _Thread_local char token[64];

	if (index >= OPTION_COUNT)
		return NULL;
	snprintf(token, sizeof(token), "%s%s", options[index].name,
		 options[index].argument ? options[index].argument : "");
	*ret_help = options[index].help;
	return token;
}

/* Find the row of a token; a value, if it takes one, goes to *ret_value. */
static const struct option *find_option(struct slice token,
					struct slice *ret_value)
{
	for (size_t i = 0; i < OPTION_COUNT; i++) {
		const struct option *o = &options[i];
		size_t n = strlen(o->name);

		if (slice_is(token, o->name) || slice_is(token, o->apple))
			return o->parse ? NULL : o;
		if (o->parse && token.size > n &&
		    !memcmp(token.at, o->name, n)) {
			*ret_value = (struct slice){ token.at + n,
						     token.size - n };
			return o;
		}
	}
	return NULL;
}

static int parse_token(struct slice token, struct iobuf_spec *spec,
		       struct iobuf_reason *reason)
{
	struct slice value = { 0 };
	const struct option *o = find_option(token, &value);

	if (!o)
		return iobuf_refuse(reason, EINVAL, "unknown token '%s'",
				    show(token).text);
	if (spec->given & o->part)
		return iobuf_refuse(reason, EINVAL,
				    "'%s' repeats or contradicts an earlier token",
				    show(token).text);
	spec->given |= o->part;
	spec->options = (spec->options & ~o->mask) | o->bits;
	return o->parse ? o->parse(value, spec, reason) : 0;
}

int iobuf_spec_parse(const char *text, size_t size, struct iobuf_spec *ret_spec,
		     struct iobuf_reason *ret_reason)
{
	struct iobuf_spec spec = iobuf_spec_default;
	struct slice rest = { text, size };

	for (;;) {
		const char *comma =
			rest.size ? memchr(rest.at, ',', rest.size) : NULL;
		struct slice token = { rest.at, comma ? (size_t)(comma - rest.at)
						      : rest.size };
		int r = parse_token(token, &spec, ret_reason);

		if (r < 0)
			return r;
		if (!comma)
			break;
		rest = (struct slice){ comma + 1, rest.size - token.size - 1 };
	}
	*ret_spec = spec;
	return 0;
}

/* Append to buf; keeps counting past its end, as snprintf(3) does. */
struct printer {
	char *buf;
	size_t size, used;
};

__attribute__((format(printf, 2, 3))) static void
print(struct printer *p, const char *format, ...)
{
	va_list args;
	size_t room = p->used < p->size ? p->size - p->used : 0;
	int n;

	va_start(args, format);
	n = vsnprintf(room ? p->buf + p->used : NULL, room, format, args);
	va_end(args);
	p->used += n > 0 ? (size_t)n : 0;
}

static int printed(const struct printer *p)
{
	return p->used < p->size ? (int)p->used : -ERANGE;
}

static void print_options(struct printer *p, uint32_t bits)
{
	/* Parts whose zero value goes without saying. */
	const uint32_t quiet = IOBUF_GIVEN_CACHE;

	for (size_t i = 0; i < OPTION_COUNT; i++) {
		const struct option *o = &options[i];

		if (!o->mask || (bits & o->mask) != o->bits ||
		    (!o->bits && (o->part & quiet)))
			continue;
		print(p, "%s%s", p->used ? "," : "", o->name);
	}
}

int iobuf_options_print(uint32_t bits, char *buf, size_t size)
{
	struct printer p = { buf, size, 0 };

	print_options(&p, bits);
	return printed(&p);
}

int iobuf_spec_print(const struct iobuf_spec *spec, char *buf, size_t size)
{
	struct printer p = { buf, size, 0 };

	print_options(&p, spec->options);
	if (spec->capacity)
		print(&p, ",capacity=%llu", (unsigned long long)spec->capacity);
	print(&p, ",align=%llu", (unsigned long long)spec->alignment);
	if (spec->physical_mask)
		print(&p, ",mask=0x%llx",
		      (unsigned long long)spec->physical_mask);
	if (spec->task == IOBUF_TASK_SELF)
		print(&p, ",task=self");
	else if (spec->task != IOBUF_TASK_KERNEL)
		print(&p, ",task=%d", spec->task);
	if (spec->life == IOBUF_LIFE_LASTCLOSE)
		print(&p, ",life=lastclose");
	if (spec->tag[0])
		print(&p, ",tag=%s", spec->tag);
	return printed(&p);
}

const char *iobuf_direction_name(uint32_t bits)
{
	for (size_t i = 0; i < OPTION_COUNT; i++)
		if (options[i].part == IOBUF_GIVEN_DIRECTION &&
		    options[i].bits == (bits & IOBUF_DIRECTION_MASK))
			return options[i].name;
	return "none";
}
