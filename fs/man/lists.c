/* SPDX-License-Identifier: MIT */
/*
 * lists.c - copy a manual page, with lists of options made from the tables that
 * the program itself reads: a line `.\" list NAME` becomes that list.
 *
 * usage: man_lists PAGE.in PAGE
 */
#include "mount_options.h"
#include "xattr.h"

#include <iobuf/spec.h>

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Text that roff reads as it stands: no line begins as a request does, a hyphen
 * is the one of ASCII. */
static void print_text(const char *text)
{
	if (*text == '.' || *text == '\'')
		fputs("\\&", stdout);
	for (; *text; text++)
		switch (*text) {
		case '\\':
			fputs("\\e", stdout);
			break;
		case '-':
			fputs("\\-", stdout);
			break;
		default:
			putchar(*text);
		}
}

/* The head of an item: NAME, and the ARGUMENT of one that ends in '='. */
static void print_item(const char *macro, const char *name,
		       const char *argument, size_t argument_size)
{
	printf(".It %s ", macro);
	print_text(name);
	if (argument_size)
		printf(" Ns Ar \"%.*s\"", (int)argument_size, argument);
	putchar('\n');
}

static void print_help(const char *help)
{
	print_text(help);
	fputs(".\n", stdout);
}

static void print_command_options(void)
{
	const char *name, *help;

	for (size_t i = 0; (name = bfs_command_option(i, &help)); i++) {
		/* Fl has a hyphen of its own. */
		print_item("Fl", name + 1, NULL, 0);
		print_help(help);
	}
}

/* Help of an option that takes a value begins with its shape: "N[K|M|G]: ...". */
static void print_mount_options(void)
{
	const char *name, *help;

	for (size_t i = 0; (name = bfs_mount_option(i, &help)); i++) {
		const char *text = help;
		size_t shape = 0;

		if (!help)
			continue;
		if (name[strlen(name) - 1] == '=' &&
		    (text = strstr(help, ": "))) {
			shape = (size_t)(text - help);
			text += 2;
		}
		print_item("Cm", name, help, shape);
		print_help(text ? text : help);
	}
}

/* Those that every filesystem has, as one sentence's list. */
static void print_mount_flags(void)
{
	const char *name, *help, *last = NULL;

	for (size_t i = 0; (name = bfs_mount_option(i, &help)); i++) {
		if (help)
			continue;
		if (last)
			printf(".Cm %s ,\n", last);
		last = name;
	}
	if (last)
		printf("and\n.Cm %s .\n", last);
}

static void print_tokens(void)
{
	const char *token, *help;

	for (size_t i = 0; (token = iobuf_token_help(i, &help)); i++) {
		const char *value = strchr(token, '=');
		char name[64];

		/* cache=inhibit is a word; the value of capacity=N[K|M|G] a shape. */
		if (!value || value[1] < '0' ||
		    (value[1] >= 'a' && !strchr(value, '|'))) {
			print_item("Cm", token, NULL, 0);
		} else {
			snprintf(name, sizeof(name), "%.*s",
				 (int)(value + 1 - token), token);
			print_item("Cm", name, value + 1, strlen(value + 1));
		}
		print_help(help);
	}
}

static void print_attributes(void)
{
	const char *name, *help;

	for (size_t i = 0; (name = bfs_xattr_help(i, &help)); i++) {
		printf(".It Cm %s%s\n",
		       *name == '.' || !*name ? BFS_XATTR_NAME : "", name);
		print_help(help);
	}
}

static const struct {
	const char *name;
	void (*print)(void);
} lists[] = {
	{ "command-options", print_command_options },
	{ "mount-options", print_mount_options },
	{ "mount-flags", print_mount_flags },
	{ "tokens", print_tokens },
	{ "attributes", print_attributes },
};

static bool print_list(const char *name)
{
	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
		if (!strcmp(lists[i].name, name)) {
			lists[i].print();
			return true;
		}
	return false;
}

int main(int argc, char **argv)
{
	static const char mark[] = ".\\\" list ";
	char line[1024];

	if (argc != 3 || !freopen(argv[1], "r", stdin) ||
	    !freopen(argv[2], "w", stdout)) {
		fputs("usage: man_lists PAGE.in PAGE\n", stderr);
		return EXIT_FAILURE;
	}
	while (fgets(line, sizeof(line), stdin)) {
		if (strncmp(line, mark, strlen(mark))) {
			fputs(line, stdout);
			continue;
		}
		line[strcspn(line, "\n")] = '\0';
		if (!print_list(line + strlen(mark))) {
			fprintf(stderr, "man_lists: no list '%s'\n",
				line + strlen(mark));
			return EXIT_FAILURE;
		}
	}
	return ferror(stdout) || fflush(stdout) ? EXIT_FAILURE : EXIT_SUCCESS;
}
