/* SPDX-License-Identifier: MIT */
/*
 * list.c - iobuf ls: the buffers of a directory. One row of `columns` is one.
 */
#include "cmd.h"
#include "json.h"
#include "terminal.h"
#include "text.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct column {
	const char *key; /* of the state; its heading in capitals */
	const char *heading;
	int width; /* below 0: to the left */
	bool bytes;
} columns[] = {
	{ "kind", "KIND", -8, false },
	{ "capacity", "CAPACITY", 12, true },
	{ "length", "LENGTH", 12, true },
	{ "wired", "WIRED", 12, true },
	{ "huge", "HUGE", 12, true },
	{ "datapath", "DATAPATH", -11, false },
};

enum {
	COLUMNS = sizeof(columns) / sizeof(columns[0]),
	WIDTH_ROUNDED = 9, /* of bytes, on a terminal */
};

static int width_of(const struct column *c)
{
	return c->bytes && terminal_is_there() ? WIDTH_ROUNDED : c->width;
}

static void print_head(void)
{
	put_colour(stdout, BOLD);
	for (size_t i = 0; i < COLUMNS; i++)
		printf("%*s ", width_of(&columns[i]), columns[i].heading);
	fputs("NAME", stdout);
	put_colour(stdout, PLAIN);
	fputc('\n', stdout);
}

static void print_value(const struct column *c, const char *value)
{
	char rounded[BYTES_TEXT_MAX];

	if (c->bytes && terminal_is_there() && strcmp(value, "unknown")) {
		print_bytes(strtoull(value, NULL, 10), rounded, sizeof(rounded));
		value = rounded;
	}
	printf("%*s ", width_of(c), value);
}

static enum colour colour_of(const char *state)
{
	char kind[32];

	state_find(state, "kind", kind, sizeof(kind));
	return !strcmp(kind, "fixed") ? CYAN : !strcmp(kind, "empty") ? DIM : PLAIN;
}

static void print_row(const char *name, const char *state)
{
	const enum colour colour = colour_of(state);
	char value[64];

	for (size_t i = 0; i < COLUMNS; i++) {
		state_find(state, columns[i].key, value, sizeof(value));
		print_value(&columns[i], value);
	}
	if (colour != PLAIN)
		put_colour(stdout, colour);
	put_text(stdout, name);
	if (colour != PLAIN)
		put_colour(stdout, PLAIN);
	fputc('\n', stdout);
}

static void print_object(struct json *json, const char *name, const char *state)
{
	char value[64];

	json_open(json, NULL, '{');
	json_text(json, "name", name);
	for (size_t i = 0; i < COLUMNS; i++) {
		state_find(state, columns[i].key, value, sizeof(value));
		json_guess(json, columns[i].key, value);
	}
	json_close(json, '}');
}

/* A directory, a fifo, a symbolic link: not a buffer. */
static const char *state_of(const char *name)
{
	struct stat st;

	if (lstat(name, &st) < 0 || !S_ISREG(st.st_mode))
		return NULL;
	return attribute_get(name, "user.iobuf.state");
}

static int not_hidden(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

/* Names are short when one is in their directory. */
static int read_names(const char *directory, bool all, struct dirent ***ret_names)
{
	if (chdir(directory) < 0)
		return -errno;
	const int n = scandir(".", ret_names, all ? NULL : not_hidden, alphasort);

	return n < 0 ? -errno : n;
}

/* A directory of bufferfs has options, its own or those of the mount. */
static int check(void)
{
	return attribute_get(".", "user.iobuf.options") ? 0
	       : errno == ENODATA			? -EOPNOTSUPP
							: -errno;
}

int command_ls(const struct arguments *a)
{
	const char *directory = a->count ? a->operands[0] : ".", *state;
	struct json json = { .to = stdout };
	const bool as_json = a->values[OPTION_JSON].text;
	struct dirent **names;
	const int n = read_names(directory, a->values[OPTION_ALL].text, &names);
	const int r = n < 0 ? n : check();

	if (r < 0)
		return complain(directory, -r);
	if (as_json)
		json_open(&json, NULL, '[');
	else
		print_head();
	for (int i = 0; i < n; i++) {
		state = state_of(names[i]->d_name);
		if (state && as_json)
			print_object(&json, names[i]->d_name, state);
		else if (state)
			print_row(names[i]->d_name, state);
		free(names[i]);
	}
	free(names);
	if (as_json)
		json_close(&json, ']');
	return EXIT_SUCCESS;
}
