/* SPDX-License-Identifier: MIT */
/*
 * options.c - command lines, by getopt_long(3) and the table.
 */
#include "cmd.h"
#include "text.h"

#include <iobuf/spec.h>

#include <getopt.h>
#include <stdlib.h>
#include <string.h>

/* What getopt(3) says that an option is: more than any letter. */
enum { LONG_FIRST = 256 };

/* How the options of a sub-command are told to getopt(3). */
struct tables {
	char letters[2 * OPTIONS + 3];
	struct option names[OPTIONS + 1];
	enum option_id ids[OPTIONS];
	int count;
};

static bool takes(const struct command *c, enum option_id id)
{
	return id == OPTION_HELP || (c->options >> id & 1);
}

static void make_tables(const struct command *c, struct tables *t)
{
	char *letter = t->letters;

	*letter++ = ':'; /* we say what is wrong */
	for (enum option_id id = 0; id < OPTIONS; id++) {
		const struct option_row *o = option_row(id);

		if (!takes(c, id))
			continue;
		if (o->letter) {
			*letter++ = o->letter;
			if (o->argument)
				*letter++ = ':';
		}
		t->names[t->count] = (struct option){
			.name = o->name,
			.has_arg = o->argument ? required_argument : no_argument,
			.val = LONG_FIRST + (int)id,
		};
		t->ids[t->count++] = id;
	}
	*letter = '\0';
}

static const struct option_row *find(const struct tables *t, int found,
				     enum option_id *ret_id)
{
	for (int i = 0; i < t->count; i++) {
		const struct option_row *o = option_row(t->ids[i]);

		*ret_id = t->ids[i];
		if (found == LONG_FIRST + (int)t->ids[i] ||
		    (found < LONG_FIRST && found == o->letter))
			return o;
	}
	return NULL;
}

static bool find_word(words_of *words, const char *text, uint64_t *ret_index)
{
	const char *word, *help;

	for (size_t i = 0; (word = words(i, &help)); i++)
		if (!strcmp(word, text)) {
			*ret_index = i;
			return true;
		}
	return false;
}

static int refuse(const char *name, const char *text, const char *why)
{
	fprintf(stderr, "iobuf: %s: ", name);
	put_text(stderr, text);
	fprintf(stderr, " is %s\n", why);
	return EXIT_USAGE;
}

static int refuse_word(const char *name, words_of *words, const char *text)
{
	const char *word, *help;

	fprintf(stderr, "iobuf: no %s ", name);
	put_text(stderr, text);
	fputs("; there are", stderr);
	for (size_t i = 0; (word = words(i, &help)); i++)
		fprintf(stderr, "%s %s", i ? "," : "", word);
	fputc('\n', stderr);
	return EXIT_USAGE;
}

static int parse_number(const struct option_row *o, const char *text,
			double *ret_number)
{
	const bool whole = o->kind == KIND_WHOLE;
	char *end, why[64];
	const double n = strtod(text, &end);

	if (end == text || *end || !(n >= o->least && n <= o->most) ||
	    (whole && n != (double)(uint64_t)n)) {
		snprintf(why, sizeof(why), "not a %snumber from %.10g to %.10g",
			 whole ? "whole " : "", o->least, o->most);
		return refuse(o->name, text, why);
	}
	*ret_number = n;
	return 0;
}

static int parse_value(const struct option_row *o, const char *text,
		       struct value *v)
{
	v->text = text;
	switch (o->kind) {
	case KIND_WORD:
		return find_word(o->words, text, &v->bytes)
			       ? 0
			       : refuse_word(o->argument, o->words, text);
	case KIND_BYTES:
		return iobuf_bytes_parse(text, strlen(text), &v->bytes) == 0
			       ? 0
			       : refuse(o->name, text,
					"not a number of bytes, N[K|M|G]");
	case KIND_NUMBER:
	case KIND_WHOLE:
		return parse_number(o, text, &v->number);
	case KIND_LIST:
		return spec_check(text) < 0 ? EXIT_USAGE : 0;
	default:
		return 0;
	}
}

/* Not one too few, not one too many, and a word where there has to be one. */
static int check_operands(const struct command *c, const struct arguments *a)
{
	const size_t most = sizeof(c->operands) / sizeof(c->operands[0]);
	int i = 0;
	uint64_t index;

	for (size_t k = 0; k < most && c->operands[k].name; k++) {
		const struct operand *o = &c->operands[k];

		if (i >= a->count && !o->optional) {
			fprintf(stderr, "iobuf: %s is missing\n", o->name);
			return EXIT_USAGE;
		}
		if (i < a->count && o->kind == KIND_WORD &&
		    !find_word(o->words, a->operands[i], &index))
			return refuse_word(o->name, o->words, a->operands[i]);
		if (i < a->count && o->kind == KIND_LIST &&
		    spec_check(a->operands[i]) < 0)
			return EXIT_USAGE;
		i = o->many ? a->count : i + (i < a->count);
	}
	if (i == a->count)
		return 0;
	return refuse(c->name, a->operands[i], "one argument too many");
}

static int refuse_option(int found, char **argv)
{
	const char *name = argv[optind - 1];
	char letter[] = { '-', (char)optopt, '\0' };

	/* A letter may be one of several in a word that is not yet over. */
	if (optopt > 0 && optopt < LONG_FIRST)
		name = letter;
	return refuse("option", name,
		      found == ':' ? "without its value" : "unknown");
}

int options_parse(const struct command *c, int argc, char **argv,
		  struct arguments *ret_arguments)
{
	struct arguments a = { 0 };
	struct tables tables = { 0 };
	int found, r;

	make_tables(c, &tables);
	while ((found = getopt_long(argc, argv, tables.letters, tables.names,
				    NULL)) >= 0) {
		enum option_id id;
		const struct option_row *o = find(&tables, found, &id);

		if (!o)
			return refuse_option(found, argv);
		r = parse_value(o, o->argument ? optarg : "", &a.values[id]);
		if (r)
			return r;
	}
	a.operands = argv + optind;
	a.count = argc - optind;
	r = a.values[OPTION_HELP].text ? 0 : check_operands(c, &a);
	if (r == 0)
		*ret_arguments = a;
	return r;
}

void option_print(FILE *to, const struct option_row *o, bool letter)
{
	if (letter && o->letter)
		fprintf(to, "-%c, ", o->letter);
	fprintf(to, "--%s%s%s", o->name, o->argument ? "=" : "",
		o->argument ? o->argument : "");
}
