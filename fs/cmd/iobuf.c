/* SPDX-License-Identifier: MIT */
/*
 * iobuf.c - iobuf(1): make and look at buffers from the shell. Everything goes
 * through the files and their xattrs, so that it does what any program can.
 */
#include "cmd.h"
#include "text.h"

#include <errno.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>

/* Output that got lost is a failure, too. */
static int finish(int status)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return status;
	return status ? status
		      : complain_that("standard output", strerror(errno));
}

static int run(const struct command *c, int argc, char **argv)
{
	struct arguments a;
	int status = options_parse(c, argc, argv, &a);

	if (status == 0 && a.values[OPTION_HELP].text) {
		help_print(stdout, c);
		return EXIT_SUCCESS;
	}
	if (status == 0)
		status = c->run(&a);
	if (status == EXIT_USAGE) {
		fputs("usage: ", stderr);
		usage_print(stderr, c);
		fputc('\n', stderr);
	}
	return status;
}

/* For whom packages it: not listed. */
static int make_file(const char *what, const char *shell)
{
	if (strcmp(what, "--man"))
		return completion_print(stdout, shell);
	manual_print(stdout);
	return EXIT_SUCCESS;
}

static int refuse(const char *name)
{
	if (name) {
		fputs("iobuf: no command ", stderr);
		put_text(stderr, name);
		fputs("; \"iobuf help\" lists them\n", stderr);
	} else {
		help_print_all(stderr);
	}
	return EXIT_USAGE;
}

int main(int argc, char **argv)
{
	const char *name = argc > 1 ? argv[1] : NULL;
	const struct command *c = name ? command_find(name) : NULL;

	setlocale(LC_CTYPE, "");
	if (c)
		return finish(run(c, argc - 1, argv + 1));
	if (!name)
		return refuse(NULL);
	if (!strcmp(name, "--help") || !strcmp(name, "-h")) {
		help_print_all(stdout);
		return finish(EXIT_SUCCESS);
	}
	if (!strcmp(name, "--version")) {
		puts("iobuf " BFS_VERSION);
		return finish(EXIT_SUCCESS);
	}
	if (!strcmp(name, "--man") || (!strcmp(name, "--completion") && argc == 3))
		return finish(make_file(name, argc > 2 ? argv[2] : NULL));
	return refuse(name);
}
