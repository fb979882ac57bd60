/* SPDX-License-Identifier: MIT */
/*
 * info.c - iobuf info: the specification and the state of files.
 */
#include "cmd.h"
#include "figures.h"
#include "json.h"
#include "terminal.h"
#include "text.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Keys whose values are what somebody chose: always text. */
static bool is_text(const char *key)
{
	static const char *const keys[] = { "tag", "mountpoint", "pool",
					    "version", "options", "defaults" };

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		if (!strcmp(keys[i], key))
			return true;
	return false;
}

/* What a key of ours is made of; those of accounts may have anything. */
static bool is_plain(const char *key)
{
	for (; *key; key++)
		if (!islower((unsigned char)*key) && *key != '_')
			return false;
	return true;
}

static void print_line(const char *key, const char *value)
{
	char bytes[BYTES_TEXT_MAX];

	fputs("  ", stdout);
	put_column(stdout, key, 15);
	fputc(' ', stdout);
	put_text(stdout, value);
	/* Large numbers of a state are bytes. */
	if (terminal_is_there() && strlen(value) > 4 &&
	    strspn(value, "0123456789") == strlen(value) && !strstr(key, "pid")) {
		print_bytes(strtoull(value, NULL, 10), bytes, sizeof(bytes));
		printf(" (%s)", bytes);
	}
	fputc('\n', stdout);
}

/* Account rows are "tag.TEXT=buffers:...": TEXT may have a '=' of its own. */
static char *split(char *line)
{
	char *equals = strchr(line, '=');

	if (!strncmp(line, "tag.", 4))
		equals = strrchr(line, '=');
	if (!equals)
		return line + strlen(line);
	*equals = '\0';
	return equals + 1;
}

static void print_pairs(struct json *json, char *state)
{
	char *rest = NULL;

	for (char *key = strtok_r(state, "\n", &rest); key;
	     key = strtok_r(NULL, "\n", &rest)) {
		const char *value = split(key);

		if (!json)
			print_line(key, value);
		else if (!is_plain(key) || !strcmp(key, "total"))
			continue; /* in "accounts" */
		else if (is_text(key))
			json_text(json, key, value);
		else
			json_guess(json, key, value);
	}
}

/* Only the top of a mount has any. */
static void print_accounts(struct json *json, const char *path)
{
	static struct figures f;

	if (figures_read(path, &f) < 0)
		return;
	json_open(json, "accounts", '[');
	for (size_t i = 0; i < f.count; i++)
		figures_print_row(json, &f.rows[i]);
	json_close(json, ']');
}

static int print_info(struct json *json, const char *path)
{
	char *value = attribute_get(path, "user.iobuf.state");

	if (!value)
		return complain(path, errno);
	if (json) {
		json_open(json, NULL, '{');
		json_text(json, "path", path);
	} else {
		put_colour(stdout, BOLD);
		put_text(stdout, path);
		put_colour(stdout, PLAIN);
		fputc('\n', stdout);
	}
	print_pairs(json, value);
	if (json)
		print_accounts(json, path);
	value = attribute_get(path, "user.iobuf");
	if (json && value)
		json_text(json, "specification", value);
	else if (value)
		print_line("specification", value);
	if (json)
		json_close(json, '}');
	return EXIT_SUCCESS;
}

int command_info(const struct arguments *a)
{
	struct json json = { .to = stdout };
	struct json *to = a->values[OPTION_JSON].text ? &json : NULL;
	int status = EXIT_SUCCESS;

	if (to)
		json_open(to, NULL, '[');
	for (int i = 0; i < a->count; i++)
		if (print_info(to, a->operands[i]) != EXIT_SUCCESS)
			status = EXIT_FAILURE;
	if (to)
		json_close(to, ']');
	return status;
}
