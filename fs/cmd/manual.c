/* SPDX-License-Identifier: MIT */
/*
 * manual.c - iobuf(1), in mdoc(7), from the table.
 */
#include "cmd.h"

#include <iobuf/spec.h>

#include <string.h>

/* Text of the page: a line must not begin with a request, a backslash begins
 * one, and a sentence begins a line. */
static void put(FILE *to, const char *text)
{
	char before = '\n';

	for (; *text; before = *text++) {
		if (before == '\n' && (*text == '.' || *text == '\''))
			fputs("\\&", to);
		if (*text == '\\')
			fputs("\\e", to);
		else if (*text == '-')
			fputs("\\-", to);
		else
			fputc(*text == ' ' && before == '.' ? '\n' : *text, to);
	}
}

/* An argument of a macro. */
static void put_argument(FILE *to, const char *text)
{
	fprintf(to, " \"%s\"", text);
}

static void print_flag(FILE *to, const char *macro, const struct option_row *o)
{
	fprintf(to, ".%s", macro);
	if (o->letter)
		fprintf(to, " Fl %c ,", o->letter);
	fprintf(to, " Fl \\-%s", o->name);
	if (o->argument)
		fprintf(to, " Ns = Ns Ar %s", o->argument);
	fputc('\n', to);
}

static void print_synopsis(FILE *to, const struct command *c)
{
	fprintf(to, ".Nm\n.Cm %s\n", c->name);
	for (enum option_id id = 0; id < OPTIONS; id++)
		if (c->options >> id & 1) {
			const struct option_row *o = option_row(id);

			fprintf(to, ".Op Fl \\-%s", o->name);
			if (o->argument)
				fprintf(to, " Ns = Ns Ar %s", o->argument);
			fputc('\n', to);
		}
	for (size_t i = 0; i < 2 && c->operands[i].name; i++)
		fprintf(to, ".%s %s%s\n", c->operands[i].optional ? "Op Ar" : "Ar",
			c->operands[i].name, c->operands[i].many ? " ..." : "");
}

static void print_words(FILE *to, words_of *words)
{
	const char *word, *help;

	fputs("One of\n", to);
	for (size_t i = 0; (word = words(i, &help)); i++)
		fprintf(to, ".Cm %s ,\n", word);
	fputs("and no other.\n", to);
}

static void print_options(FILE *to, const struct command *c)
{
	if (!c->options)
		return;
	fputs(".Bl -tag -width Ds -compact\n", to);
	for (enum option_id id = 0; id < OPTIONS; id++) {
		const struct option_row *o = option_row(id);

		if (!(c->options >> id & 1))
			continue;
		print_flag(to, "It", o);
		put(to, o->help);
		fputs(".\n", to);
		if (o->kind == KIND_WORD)
			print_words(to, o->words);
	}
	fputs(".El\n", to);
}

static void print_command(FILE *to, const struct command *c)
{
	fprintf(to, ".Ss iobuf %s\n", c->name);
	put(to, c->text);
	fputc('\n', to);
	print_options(to, c);
}

static void print_tokens(FILE *to)
{
	const char *token, *help;

	fputs(".Sh SPECIFICATIONS\n"
	      "A\n.Ar SPEC\nis a list, with commas between its words and in any "
	      "order, of\n"
	      ".Bl -tag -width \"cache=writecombine\" -compact\n", to);
	for (size_t i = 0; (token = iobuf_token_help(i, &help)); i++) {
		fputs(".It", to);
		put_argument(to, token);
		fputc('\n', to);
		put(to, help);
		fputc('\n', to);
	}
	fputs(".El\n.Pp\nWhat it leaves out comes from the directory, else from "
	      "the mount.\n", to);
}

static void print_examples(FILE *to)
{
	const struct command *c;

	fputs(".Sh EXAMPLES\n.Bd -literal\n", to);
	for (size_t i = 0; (c = command_at(i)); i++)
		if (c->examples)
			put(to, c->examples);
	fputs(".Ed\n", to);
}

static const char head[] =
	".\\\" Written by iobuf --man from the table of its sub-commands.\n"
	".Dd November 26, 2026\n.Dt IOBUF 1\n.Os\n"
	".Sh NAME\n.Nm iobuf\n.Nd make I/O buffers of bufferfs, and look at them\n"
	".Sh SYNOPSIS\n";

static const char general[] =
	".Sh DESCRIPTION\n"
	"Files of a bufferfs mount are I/O buffers.\n"
	".Nm\n"
	"makes them, tells what was obtained, and moves bytes.\n"
	"It does what any program can do that sets and reads their extended\n"
	"attributes.\n.Pp\n"
	"Each sub-command knows\n.Fl h , Fl \\-help .\n"
	"Options may come before or after the arguments; what follows\n"
	".Fl \\-\nis arguments only.\n";

static const char tail[] =
	".Sh ENVIRONMENT\n"
	".Bl -tag -width NO_COLOR\n"
	".It Ev NO_COLOR\nwhen it is set and not empty, nothing has a colour.\n"
	"Nothing has where the output goes to no terminal.\n.El\n"
	".Sh EXIT STATUS\n"
	".Bl -tag -width Ds -compact\n"
	".It 0\nAll was done.\n"
	".It 1\nSomething was not; standard error says what, and what to do.\n"
	".It 2\nThe command line was wrong; nothing was done.\n.El\n";

static const char notes[] =
	".Sh NOTES\n"
	"Names and tags are shown with everything that cannot be seen as\n"
	"\\ex and two digits.\n"
	"JSON has them as they are; bytes that are not UTF-8 become U+FFFD, and\n"
	"a second value, with\n.Dq _hex\nadded to its key, has them all.\n"
	".Sh SEE ALSO\n.Xr getfattr 1 ,\n.Xr iobuf 3 ,\n.Xr bufferfs 8\n";

void manual_print(FILE *to)
{
	const struct command *c;

	fputs(head, to);
	for (size_t i = 0; (c = command_at(i)); i++)
		print_synopsis(to, c);
	fputs(general, to);
	for (size_t i = 0; (c = command_at(i)); i++)
		print_command(to, c);
	print_tokens(to);
	fputs(tail, to);
	print_examples(to);
	fputs(notes, to);
}
