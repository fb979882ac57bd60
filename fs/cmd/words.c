/* SPDX-License-Identifier: MIT */
/*
 * words.c - what arguments can be. Those of specifications are cut out of the
 * library's table of tokens.
 */
#include "cmd.h"

#include <iobuf/spec.h>

#include <ctype.h>
#include <errno.h>
#include <string.h>

/*
 * The `index`-th word of one token. "capacity=N[K|M|G]" has one, "capacity=";
 * "task=kernel|self|PID" has task=kernel, task=self, and task= for any other.
 * What is in capitals or a number stands for something.
 */
static bool word_of_token(const char *token, size_t index, char *to, size_t size)
{
	const size_t name = strcspn(token, "=") + (strchr(token, '=') != NULL);
	const char *value = token + name;
	size_t n;

	for (; index > 0 && *value; index--) {
		value += strcspn(value, "|");
		value += *value == '|';
		if (!islower((unsigned char)*value) &&
		    !isupper((unsigned char)*value))
			return false;
	}
	if (index > 0)
		return false;
	n = islower((unsigned char)*value) ? strcspn(value, "|") : 0;
	snprintf(to, size, "%.*s%.*s", (int)name, token, (int)n, value);
	return true;
}

const char *spec_words(size_t index, const char **ret_help)
{
	static char word[64];
	const char *token;

	for (size_t i = 0; (token = iobuf_token_help(i, ret_help)); i++) {
		/* "N[K|M|G]": its parts are no words. */
		const bool shape = strchr(token, '[') != NULL;

		for (size_t k = 0; (k == 0 || !shape) &&
				   word_of_token(token, k, word, sizeof(word));
		     k++)
			if (index-- == 0)
				return word;
	}
	return NULL;
}

/* A row of a table of words alone. */
static const char *at(const char *const words[][2], size_t count, size_t index,
		      const char **ret_help)
{
	if (index >= count)
		return NULL;
	*ret_help = words[index][1];
	return words[index][0];
}

const char *direction_words(size_t index, const char **ret_help)
{
	static const char *const words[][2] = {
		{ "none", "no transfers" },
		{ "in", "into the buffer: write" },
		{ "out", "out of the buffer: read" },
		{ "inout", "both" },
	};

	return at(words, sizeof(words) / sizeof(words[0]), index, ret_help);
}

const char *state_words(size_t index, const char **ret_help)
{
	static const char *const words[][2] = {
		{ "nonvolatile", "in use: its contents stay" },
		{ "volatile", "its contents may go" },
		{ "empty", "its contents go now" },
	};

	return at(words, sizeof(words) / sizeof(words[0]), index, ret_help);
}

const char *command_words(size_t index, const char **ret_help)
{
	const struct command *c = command_at(index);

	if (!c)
		return NULL;
	*ret_help = c->help;
	return c->name;
}

int spec_check(const char *text)
{
	struct iobuf_reason reason = { 0 };
	struct iobuf_spec spec;
	int r = iobuf_spec_parse(text, strlen(text), &spec, &reason);

	if (r < 0)
		fprintf(stderr, "iobuf: %s; \"iobuf help create\" has the words\n",
			reason.text);
	return r;
}
