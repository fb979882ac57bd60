/* SPDX-License-Identifier: MIT */
/*
 * cmd.h - what the files of iobuf(1) share.
 */
#ifndef CMD_H
#define CMD_H

/* How a command ends that was called with the wrong arguments. */
enum { EXIT_USAGE = 2 };

/* "iobuf: WHAT: " and the words for an errno; returns EXIT_FAILURE. */
int complain(const char *what, int error);

/* top.c: what the owners, tags and tasks of a mount have, as it changes. */
int command_top(int argc, char **argv);

#endif
