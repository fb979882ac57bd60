/* SPDX-License-Identifier: MIT */
/*
 * progress.h - how far a long work is, in one line of the terminal that standard
 * error is. Nothing is shown where it is none, or of work that is soon over.
 */
#ifndef PROGRESS_H
#define PROGRESS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define PROGRESS_UNKNOWN UINT64_MAX

struct progress {
	uint64_t total; /* bytes, or PROGRESS_UNKNOWN */
	uint64_t begun_ns, shown_ns;
	bool off, shown;
};

void progress_begin(struct progress *p, uint64_t total, bool quiet);
void progress_update(struct progress *p, uint64_t done);
void progress_end(struct progress *p); /* the line is gone */

/* The line, for `width` columns. */
void progress_print(FILE *to, uint64_t done, uint64_t total, uint64_t ns,
		    int width);

#endif
