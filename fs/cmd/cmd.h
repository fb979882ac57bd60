/* SPDX-License-Identifier: MIT */
/*
 * cmd.h - what the files of iobuf(1) share: its table of sub-commands and
 * options, and what the sub-commands are made of.
 *
 * Usage, help, the manual page and the completions of the shells are written
 * from the table: see table.c. A sub-command is a row there, and a function in
 * a file of its own.
 */
#ifndef CMD_H
#define CMD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

/* How a command ends that was called with the wrong arguments. */
enum { EXIT_USAGE = 2 };

/* The words that an argument can be, and what each means. NULL: no more. The
 * strings are valid until the next call. */
typedef const char *words_of(size_t index, const char **ret_help);

enum kind {
	KIND_FLAG, /* no value */
	KIND_FILE,
	KIND_DIRECTORY,
	KIND_WORD,   /* one of the words */
	KIND_TEXT,   /* any; the words are some of it */
	KIND_LIST,   /* a specification: words with commas between them */
	KIND_BYTES,  /* N[K|M|G] */
	KIND_NUMBER, /* from `least` to `most` */
	KIND_WHOLE,  /* the same, without a fraction */
};

enum option_id {
	OPTION_ALL,
	OPTION_COUNT,
	OPTION_DELAY,
	OPTION_DIRECTION,
	OPTION_FILL,
	OPTION_HELP,
	OPTION_JSON,
	OPTION_LENGTH,
	OPTION_OFFSET,
	OPTION_PURGEABLE,
	OPTION_QUIET,
	OPTION_REMOVE,
	OPTION_ROOT,
	OPTION_SIZE,
	OPTION_SORT,
	OPTION_SPEC,
	OPTIONS,
};

struct option_row {
	char letter; /* 0: none */
	const char *name, *argument, *help;
	enum kind kind;
	words_of *words;
	double least, most;
};

struct operand {
	const char *name; /* NULL: no more */
	enum kind kind;
	words_of *words;
	bool optional, many;
};

/* What an option was given. */
struct value {
	const char *text; /* NULL: it was not given */
	uint64_t bytes;   /* of KIND_BYTES; the index of a KIND_WORD */
	double number;    /* of KIND_NUMBER, KIND_WHOLE */
};

struct arguments {
	char **operands;
	int count;
	struct value values[OPTIONS];
};

struct command {
	const char *name, *help;
	const char *text;     /* paragraphs of the manual, a blank line between */
	const char *examples; /* lines */
	struct operand operands[2];
	uint32_t options; /* bits 1 << enum option_id */
	int (*run)(const struct arguments *a);
};

/* table.c; NULL: no more, or none that is called so. */
const struct option_row *option_row(enum option_id id);
const struct command *command_at(size_t index);
const struct command *command_find(const char *name);

/* options.c: take a command line apart, argv[0] being the sub-command. 0, or
 * EXIT_USAGE and words on standard error. Operands are moved to argv's end. */
int options_parse(const struct command *c, int argc, char **argv,
		  struct arguments *ret_arguments);
/* "--offset=BYTES"; with its letter: "-o, --offset=BYTES". */
void option_print(FILE *to, const struct option_row *o, bool letter);

/* help.c */
void usage_print(FILE *to, const struct command *c);
void help_print(FILE *to, const struct command *c);
void help_print_all(FILE *to);

/* What is installed beside the command: manual.c, completion.c. */
void manual_print(FILE *to);
int completion_print(FILE *to, const char *shell);

/*
 * words.c: the words of specifications ("wired", "cache=inhibit", "capacity=",
 * of the library's table), of directions, states and sub-commands.
 */
words_of spec_words, direction_words, state_words, command_words;
words_of top_columns; /* top.c */

/* "iobuf: WHAT: " and the words for an errno, and what to do about it, on
 * standard error; returns EXIT_FAILURE. */
int complain(const char *what, int error);
int complain_that(const char *what, const char *words);

/* A specification that is refused without asking the filesystem, in words; 0 or
 * -EINVAL, -EOVERFLOW. */
int spec_check(const char *text);

/* attribute.c. An attribute of a path as a string, in memory that the next call
 * uses again. NULL and errno: ENODATA when it has none, EOPNOTSUPP where there
 * are none. What is open is not asked: opening and closing can have effects. */
char *attribute_get(const char *path, const char *name);
/* 0 or a negative errno. */
int attribute_set(const char *path, const char *name, const char *value);
/* Make a file that is not there yet. 0 and an O_PATH descriptor, or a negative
 * errno: EEXIST. */
int file_make(const char *path, mode_t mode, int *ret_fd);
/* What attributes of a descriptor go by, and by what it can be opened again, in
 * memory that the next call uses again. */
const char *path_of(int fd);
/* The value of a key of user.iobuf.state; "" when it is not there. */
void state_find(const char *state, const char *key, char *to, size_t size);

int command_create(const struct arguments *a);
int command_info(const struct arguments *a);
int command_ls(const struct arguments *a);
int command_set(const struct arguments *a);
int command_purgeable(const struct arguments *a);
int command_map(const struct arguments *a);
int command_copy(const struct arguments *a);
int command_top(const struct arguments *a);
int command_bench(const struct arguments *a);
int command_doctor(const struct arguments *a);
int command_help(const struct arguments *a);

#endif
