/* SPDX-License-Identifier: MIT */
/*
 * mount_options.h - the command line of bufferfs(8), as one table.
 */
#ifndef BFS_MOUNT_OPTIONS_H
#define BFS_MOUNT_OPTIONS_H

#include "shared.h"

#include <stdio.h>

struct bfs_mount_options {
	struct bfs_config config; /* pool "" unless -o pool= */
	unsigned long flags;      /* MS_* of mount(2) */
	bool help, version, reload;
};

/*
 * Read the command line: [-f] [-d] [-o OPTION,...] [SOURCE] MOUNTPOINT, or
 * --reload MOUNTPOINT. The
 * mount point becomes absolute; -o options= and -o size= are checked.
 * Returns 0; -EINVAL with the words on stderr.
 */
int bfs_mount_options_parse(int argc, char **argv,
			    struct bfs_mount_options *ret_options);

void bfs_mount_options_help(FILE *to);

/* Walk the tables of options before the mount point, and of -o options: name of
 * row `index` and its help, NULL past the last. An -o option without help (NULL)
 * is one that mount(8) has for every filesystem. */
const char *bfs_command_option(size_t index, const char **ret_help);
const char *bfs_mount_option(size_t index, const char **ret_help);

#endif
