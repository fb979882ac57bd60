/* SPDX-License-Identifier: MIT */
/*
 * buffers.h - how the tests of libiobuf come by buffers, from the text of a
 * specification.
 */
#ifndef UNIT_BUFFERS_H
#define UNIT_BUFFERS_H

#include "unit.h"

#include <iobuf/iobuf.h>

#define MIB (UINT64_C(1) << 20)

static inline struct iobuf_spec resolved(const char *text)
{
	struct iobuf_spec spec;

	assert_int_equal(iobuf_spec_parse(text, strlen(text), &spec, NULL), 0);
	assert_int_equal(iobuf_spec_resolve(&spec, &iobuf_spec_default, &spec,
					    NULL),
			 0);
	return spec;
}

/* In memory of its own. */
static inline struct iobuf *created(const char *text)
{
	struct iobuf_spec spec = resolved(text);
	struct iobuf_reason reason = { 0 };
	struct iobuf *b = NULL;
	int r = iobuf_create(&spec, &b, &reason);

	if (r < 0)
		fail_msg("'%s': %d, %s", text, r, reason.text);
	return b;
}

static inline struct iobuf *attached(const char *text, int fd, uint64_t length)
{
	struct iobuf_spec spec = resolved(text);
	struct iobuf *b = NULL;

	assert_int_equal(iobuf_attach(&spec, fd, length, &b), 0);
	return b;
}

/* An elastic buffer over a new memfd, which the caller closes. */
static inline struct iobuf *elastic(const char *text, uint64_t length,
				    int *ret_fd)
{
	*ret_fd = new_memfd();
	assert_int_equal(ftruncate(*ret_fd, (off_t)length), 0);
	return attached(text, *ret_fd, length);
}

#endif
