/* SPDX-License-Identifier: MIT */
/*
 * iobuf.c - iobuf(1): make and look at buffers from the shell. Everything goes
 * through the files' xattrs, so that it does what any program can.
 */
#include "cmd.h"

#include <iobuf/ioctl.h>
#include <iobuf/spec.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

enum { VALUE_MAX = XATTR_SIZE_MAX + 1 };

int complain(const char *what, int error)
{
	fprintf(stderr, "iobuf: %s: %s\n", what, strerror(error));
	return EXIT_FAILURE;
}

/* What is refused without asking the filesystem, in words. */
static int check_spec(const char *text)
{
	struct iobuf_reason reason = { 0 };
	struct iobuf_spec spec;
	int r = iobuf_spec_parse(text, strlen(text), &spec, &reason);

	if (r < 0)
		fprintf(stderr, "iobuf: %s\n", reason.text);
	return r;
}

static int command_create(int argc, char **argv)
{
	int fd, error = 0;

	if (argc != 2 || check_spec(argv[1]) < 0)
		return EXIT_USAGE;
	fd = open(argv[0], O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	if (fd < 0)
		return complain(argv[0], errno);
	if (fsetxattr(fd, "user.iobuf", argv[1], strlen(argv[1]), 0) < 0) {
		error = errno;
		/* All or nothing. */
		unlink(argv[0]);
	}
	close(fd);
	if (error == EOPNOTSUPP)
		fprintf(stderr, "iobuf: not on a bufferfs mount, or not "
				"supported there\n");
	return error ? complain(argv[0], error) : EXIT_SUCCESS;
}

static ssize_t get_value(const char *path, const char *name, char *value)
{
	ssize_t n = getxattr(path, name, value, VALUE_MAX - 1);

	if (n >= 0)
		value[n] = '\0';
	return n;
}

/* The value of a key of user.iobuf.state; "" when it is not there. */
static void find_key(const char *state, const char *key, char *to, size_t size)
{
	size_t n = strlen(key);

	*to = '\0';
	for (const char *line = state; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (!strncmp(line, key, n) && line[n] == '=') {
			snprintf(to, size, "%.*s",
				 (int)strcspn(line + n + 1, "\n"), line + n + 1);
			return;
		}
	}
}

/* "user.iobuf" and the state, a key a line, values in one column. */
static int print_info(const char *path)
{
	char value[VALUE_MAX];

	if (get_value(path, "user.iobuf.state", value) < 0)
		return complain(path, errno);
	printf("%s\n", path);
	for (char *line = strtok(value, "\n"); line; line = strtok(NULL, "\n")) {
		int key = (int)strcspn(line, "=");

		printf("  %-15.*s %s\n", key, line, line[key] ? line + key + 1 : "");
	}
	if (get_value(path, "user.iobuf", value) >= 0)
		printf("  %-15s %s\n", "specification", value);
	return EXIT_SUCCESS;
}

static int command_info(int argc, char **argv)
{
	int status = argc ? EXIT_SUCCESS : EXIT_USAGE;

	for (int i = 0; i < argc; i++)
		if (print_info(argv[i]) != EXIT_SUCCESS)
			status = EXIT_FAILURE;
	return status;
}

static void print_row(const char *directory, const char *name)
{
	char path[4096], state[VALUE_MAX], kind[32], capacity[32], length[32],
		wired[32], huge[32], datapath[32];

	if (snprintf(path, sizeof(path), "%s/%s", directory, name) >=
		    (int)sizeof(path) ||
	    get_value(path, "user.iobuf.state", state) < 0)
		return; /* a directory, a fifo: not a buffer */
	find_key(state, "kind", kind, sizeof(kind));
	find_key(state, "capacity", capacity, sizeof(capacity));
	find_key(state, "length", length, sizeof(length));
	find_key(state, "wired", wired, sizeof(wired));
	find_key(state, "huge", huge, sizeof(huge));
	find_key(state, "datapath", datapath, sizeof(datapath));
	printf("%-8s %12s %12s %12s %12s %-11s %s\n", kind, capacity, length,
	       wired, huge, datapath, name);
}

static int not_hidden(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

static int command_ls(int argc, char **argv)
{
	const char *directory = argc ? argv[0] : ".";
	struct dirent **entries;
	int n;

	if (argc > 1)
		return EXIT_USAGE;
	n = scandir(directory, &entries, not_hidden, alphasort);
	if (n < 0)
		return complain(directory, errno);
	printf("%-8s %12s %12s %12s %12s %-11s %s\n", "KIND", "CAPACITY",
	       "LENGTH", "WIRED", "HUGE", "DATAPATH", "NAME");
	for (int i = 0; i < n; i++) {
		print_row(directory, entries[i]->d_name);
		free(entries[i]);
	}
	free(entries);
	return EXIT_SUCCESS;
}

/* Without a state, only tell. */
static int command_purgeable(int argc, char **argv)
{
	uint32_t state = IOBUF_PURGEABLE_KEEP_CURRENT;
	char text[IOBUF_PURGEABLE_TEXT_MAX];
	int fd, r;

	if (argc < 1 || argc > 2)
		return EXIT_USAGE;
	if (argc == 2 &&
	    iobuf_purgeable_parse(argv[1], strlen(argv[1]), &state) < 0) {
		fprintf(stderr, "iobuf: '%s' is not a state\n", argv[1]);
		return EXIT_USAGE;
	}
	fd = open(argv[0], (argc == 2 ? O_RDWR : O_RDONLY) | O_CLOEXEC);
	if (fd < 0)
		return complain(argv[0], errno);
	r = ioctl(fd, IOBUF_IOC_SET_PURGEABLE, &state) < 0 ? errno : 0;
	close(fd);
	if (r || iobuf_purgeable_print(state, text, sizeof(text)) < 0)
		return complain(argv[0], r ? r : EPROTO);
	puts(text);
	return EXIT_SUCCESS;
}

static int command_help(int argc, char **argv);

static int command_version(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	puts("iobuf " BFS_VERSION);
	return EXIT_SUCCESS;
}

static const struct command {
	const char *name, *arguments, *help;
	int (*run)(int argc, char **argv);
} commands[] = {
	{ "create", "FILE SPEC", "make a buffer", command_create },
	{ "info", "FILE...", "what was asked and what was obtained",
	  command_info },
	{ "ls", "[DIR]", "the buffers of a directory", command_ls },
	{ "purgeable", "FILE [STATE]", "set the purgeable state, tell the old",
	  command_purgeable },
	{ "top", "[-n COUNT] [-d SECONDS] [-s COLUMN] [DIR]",
	  "who has how much", command_top },
	{ "help", "", "this text", command_help },
	{ "--help", NULL, NULL, command_help },
	{ "--version", NULL, NULL, command_version },
};

enum { COMMAND_COUNT = sizeof(commands) / sizeof(commands[0]) };

static int command_help(int argc, char **argv)
{
	const char *token, *help;

	(void)argc;
	(void)argv;
	for (size_t i = 0; i < COMMAND_COUNT; i++)
		if (commands[i].help)
			printf("%s iobuf %-9s %-12s %s\n",
			       i ? "      " : "usage:", commands[i].name,
			       commands[i].arguments, commands[i].help);
	puts("\nA SPEC is a comma-separated list of:");
	for (size_t i = 0; (token = iobuf_token_help(i, &help)); i++)
		printf("  %-24s %s\n", token, help);
	puts("\nA STATE is nonvolatile, volatile[:group=0-7][:fifo|lifo] or "
	     "empty.");
	return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	int status;

	for (size_t i = 0; argc > 1 && i < COMMAND_COUNT; i++) {
		if (strcmp(argv[1], commands[i].name))
			continue;
		status = commands[i].run(argc - 2, argv + 2);
		if (status == EXIT_USAGE)
			fprintf(stderr, "usage: iobuf %s %s\n", commands[i].name,
				commands[i].arguments ? commands[i].arguments
						      : "");
		return status;
	}
	fprintf(stderr,
		"usage: iobuf create|info|ls|purgeable|top|help ...\n");
	return EXIT_USAGE;
}
