/* SPDX-License-Identifier: MIT */
/*
 * fuzz_mount_options.c - a command line: a line of the input is an argument.
 */
#include "fuzz.h"

#include "mount_options.h"

#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ARGUMENTS_MAX = 32 };

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	fuzz_be_modest();
	opterr = 0;
	return 0;
}

static bool is_text(const char *text, size_t size)
{
	return memchr(text, '\0', size) != NULL;
}

/* It tells what is wrong on stderr, which is the fuzzer's. */
static int parse(int argc, char **argv, struct bfs_mount_options *ret_options)
{
	FILE *before = stderr;
	FILE *null = fopen("/dev/null", "we");
	int r;

	PROMISE(null);
	stderr = null;
	optind = 0; /* begin anew */
	r = bfs_mount_options_parse(argc, argv, ret_options);
	stderr = before;
	fclose(null);
	return r;
}

static void check(const struct bfs_mount_options *options)
{
	const struct bfs_config *c = &options->config;
	const bool mounts = !options->help && !options->version;

	PROMISE(is_text(c->mountpoint, sizeof(c->mountpoint)));
	PROMISE(is_text(c->pool, sizeof(c->pool)));
	PROMISE(is_text(c->options, sizeof(c->options)));
	PROMISE(is_text(c->size, sizeof(c->size)));
	PROMISE(is_text(c->fsname, sizeof(c->fsname)));
	PROMISE(!mounts || c->mountpoint[0] == '/');
	PROMISE(!mounts || c->pressure_stall_ms <= c->pressure_window_ms);
	PROMISE(c->pressure_stall_ms <= 10000);
	PROMISE(c->pressure_window_ms >= 500 && c->pressure_window_ms <= 10000);
	PROMISE(c->watchdog_s <= 86400);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1), *rest = text, *word;
	char *argv[ARGUMENTS_MAX + 2] = { (char *)"bufferfs" };
	struct bfs_mount_options options;
	int argc = 1;

	PROMISE(text);
	memcpy(text, data, size);
	text[size] = '\0';
	while (argc <= ARGUMENTS_MAX && (word = strsep(&rest, "\n")))
		argv[argc++] = word;
	if (parse(argc, argv, &options) == 0)
		check(&options);
	free(text);
	return 0;
}
