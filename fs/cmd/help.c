/* SPDX-License-Identifier: MIT */
/*
 * help.c - what the table says, for people.
 */
#include "cmd.h"

#include <iobuf/spec.h>

#include <stdlib.h>
#include <string.h>

enum { LINE_WIDTH = 78 };

void usage_print(FILE *to, const struct command *c)
{
	fprintf(to, "iobuf %s", c->name);
	for (enum option_id id = 0; id < OPTIONS; id++) {
		if (!(c->options >> id & 1))
			continue;
		fputs(" [", to);
		option_print(to, option_row(id), false);
		fputc(']', to);
	}
	for (size_t i = 0; i < 2 && c->operands[i].name; i++)
		fprintf(to, " %s%s%s%s", c->operands[i].optional ? "[" : "",
			c->operands[i].name, c->operands[i].many ? "..." : "",
			c->operands[i].optional ? "]" : "");
}

/* Words, as many in a line as fit. */
static void print_filled(FILE *to, const char *text)
{
	int column = 0;

	while (*text) {
		const int n = (int)strcspn(text, " \n");

		if (column && column + 1 + n > LINE_WIDTH) {
			fputc('\n', to);
			column = 0;
		}
		column += fprintf(to, "%s%.*s", column ? " " : "", n, text);
		text += n;
		text += strspn(text, " \n");
	}
	fputc('\n', to);
}

static void print_options(FILE *to, const struct command *c)
{
	char *text;
	size_t size;
	FILE *name;

	fputs("\noptions:\n", to);
	for (enum option_id id = 0; id < OPTIONS; id++) {
		const struct option_row *o = option_row(id);

		if (id != OPTION_HELP && !(c->options >> id & 1))
			continue;
		if (!(name = open_memstream(&text, &size)))
			return;
		fputs(o->letter ? "" : "    ", name);
		option_print(name, o, true);
		fclose(name);
		fprintf(to, "  %-24s %s\n", text, o->help);
		free(text);
	}
}

static void print_tokens(FILE *to)
{
	const char *token, *help;

	fputs("\nA SPEC is a comma-separated list of:\n", to);
	for (size_t i = 0; (token = iobuf_token_help(i, &help)); i++)
		fprintf(to, "  %-24s %s\n", token, help);
}

static bool has_spec(const struct command *c)
{
	return c->operands[1].kind == KIND_LIST ||
	       (c->options >> OPTION_SPEC & 1);
}

void help_print(FILE *to, const struct command *c)
{
	fputs("usage: ", to);
	usage_print(to, c);
	fputs("\n\n", to);
	print_filled(to, c->text);
	print_options(to, c);
	if (has_spec(c))
		print_tokens(to);
	if (c->examples)
		fprintf(to, "\nexamples:\n%s", c->examples);
}

void help_print_all(FILE *to)
{
	const struct command *c;

	fputs("usage: iobuf COMMAND [OPTION...] [ARGUMENT...]\n"
	      "       iobuf --version\n\n"
	      "I/O buffers of bufferfs: make them, look at them.\n\n", to);
	for (size_t i = 0; (c = command_at(i)); i++)
		fprintf(to, "  %-10s %s\n", c->name, c->help);
	fputs("\n\"iobuf help COMMAND\" tells more of one.\n", to);
	print_tokens(to);
}

int command_help(const struct arguments *a)
{
	if (a->count)
		help_print(stdout, command_find(a->operands[0]));
	else
		help_print_all(stdout);
	return EXIT_SUCCESS;
}
