/* SPDX-License-Identifier: MIT */
/*
 * fuzz_spec.c - the parser of specifications, of purgeable states and of sizes.
 * What it takes, it writes again in a form that means the same.
 */
#include "fuzz.h"

#include <iobuf/purgeable.h>
#include <iobuf/spec.h>

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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* Exactly as large as it is: what is read past its end shows. */
	char *text = malloc(size + !size);
	uint64_t bytes;

	PROMISE(text);
	if (size)
		memcpy(text, data, size);
	check_spec(text, size);
	check_state(text, size);
	iobuf_bytes_parse(text, size, &bytes);
	free(text);
	return 0;
}
