/* SPDX-License-Identifier: MIT */
/*
 * figures.h - the figures of user.iobuf.state of a mount's top directory: who
 * has how much.
 */
#ifndef FIGURES_H
#define FIGURES_H

#include "json.h"

#include <linux/limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FIGURE_UNKNOWN UINT64_MAX

enum { FIGURES = 7 };

struct figure {
	const char *name; /* in the state; its heading in capitals */
	const char *help;
	bool bytes;
};

extern const struct figure figures[FIGURES];

struct row {
	const char *kind; /* "total", "owner", "tag", "task" */
	unsigned int order; /* of kinds */
	const char *name; /* of the state's text */
	uint64_t values[FIGURES];
};

/* A state, taken apart. */
struct figures {
	char text[XATTR_SIZE_MAX + 1];
	struct row rows[XATTR_SIZE_MAX / 64]; /* no line is shorter */
	size_t count;
	const char *mountpoint;
	uint64_t omitted, size, used;
};

/* 0 or a negative errno: ENODATA when the path is not a mount's top. */
int figures_read(const char *path, struct figures *ret_figures);

/* Rows of a kind together, and in each the largest of a figure first. */
void figures_sort(struct figures *f, unsigned int by);

/* A row as an object of an array. */
void figures_print_row(struct json *json, const struct row *row);

#endif
