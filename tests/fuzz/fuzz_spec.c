/* SPDX-License-Identifier: MIT */
/*
 * fuzz_spec.c - the parser of specifications, of purgeable states and of sizes.
 * What it takes, it writes again in a form that means the same; numbers mean what
 * the C library has them mean.
 */
#include "fuzz.h"

#include <iobuf/purgeable.h>
#include <iobuf/spec.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	fuzz_be_modest();
	return 0;
}

static void check_spec(const char *text, size_t size)
{
	const struct iobuf_spec *d = &iobuf_spec_default;
	struct iobuf_spec spec, again;
	char printed[IOBUF_SPEC_TEXT_MAX];
	int n;

	if (iobuf_spec_parse(text, size, &spec, NULL) < 0 ||
	    iobuf_spec_resolve(&spec, d, &spec, NULL) < 0)
		return;
	n = iobuf_spec_print(&spec, printed, sizeof(printed));
	PROMISE(n > 0 && strlen(printed) == (size_t)n);
	PROMISE(iobuf_spec_parse(printed, (size_t)n, &again, NULL) == 0);
	PROMISE(iobuf_spec_resolve(&again, d, &again, NULL) == 0);
	PROMISE(iobuf_spec_equal(&spec, &again));
}

static void check_state(const char *text, size_t size)
{
	char printed[IOBUF_PURGEABLE_TEXT_MAX];
	uint32_t state, again;
	int n;

	if (iobuf_purgeable_parse(text, size, &state) < 0)
		return;
	n = iobuf_purgeable_print(state, printed, sizeof(printed));
	PROMISE(n > 0);
	PROMISE(iobuf_purgeable_parse(printed, (size_t)n, &again) == 0);
	PROMISE(state == again);
}

static void check_bytes(const char *text, size_t size)
{
	char copy[64] = "", *unit;
	unsigned int shift;
	uint64_t bytes, n;

	if (iobuf_bytes_parse(text, size, &bytes) < 0 || size >= sizeof(copy))
		return;
	memcpy(copy, text, size);
	errno = 0;
	n = strtoull(copy, &unit, strncmp(copy, "0x", 2) ? 10 : 16);
	shift = *unit == 'K' ? 10 : *unit == 'M' ? 20 : *unit == 'G' ? 30 : 0;
	PROMISE(errno == 0 && unit != copy && unit + !!shift == copy + size);
	PROMISE(bytes == n << shift && bytes >> shift == n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* Exactly as large as it is: what is read past its end shows. */
	char *text = malloc(size + !size);

	PROMISE(text);
	if (size)
		memcpy(text, data, size);
	check_spec(text, size);
	check_state(text, size);
	check_bytes(text, size);
	free(text);
	return 0;
}
