/* SPDX-License-Identifier: MIT */
/*
 * doctor.h - what bufferfs needs of a machine, one function each.
 *
 * All that can be read is read below `root`, so that another machine's files can
 * be looked at; what has to be tried is tried of this machine alone.
 */
#ifndef DOCTOR_H
#define DOCTOR_H

#include <linux/limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

enum verdict {
	VERDICT_OK,
	VERDICT_OFF, /* has to be asked for: well, too */
	VERDICT_NO,
};

struct finding {
	enum verdict verdict;
	char words[512];
	char change[PATH_MAX + 256]; /* the line that changes it; "": none */
};

enum { MOUNTS_MAX = 32, FILE_MAX = 16384 };

struct mount {
	char directory[PATH_MAX];
	int error;            /* of asking it; ETIMEDOUT */
	char version[32], datapath[32];
	uint64_t size, used;
	unsigned int requests;
};

struct doctor {
	const char *root;      /* "": this machine */
	const char *directory; /* NULL: all mounts */
	uint64_t capabilities;
	bool initial_namespace; /* of users */
	struct mount mounts[MOUNTS_MAX];
	size_t mount_count;
};

__attribute__((format(printf, 2, 3))) void
finding_say(struct finding *f, const char *format, ...);
/* It does not work; what changes it. */
__attribute__((format(printf, 2, 3))) void
finding_no(struct finding *f, const char *change, ...);

/* Below the root; NULL where it cannot be had. */
FILE *doctor_open(const struct doctor *d, const char *path);
/* The text of a file: true, and up to FILE_MAX bytes. */
bool doctor_read(const struct doctor *d, const char *path, char text[FILE_MAX]);
/* The text after a key in lines "key...", NULL: none. */
const char *doctor_field(const char *text, const char *key);

bool doctor_can(const struct doctor *d, unsigned int capability);
/* Can it pass through: CAP_SYS_ADMIN, of the whole machine? */
bool doctor_is_root(const struct doctor *d);

typedef void look_at(const struct doctor *d, struct finding *f);

/* doctor_kernel.c */
look_at look_at_kernel, look_at_fuse, look_at_libfuse, look_at_passthrough,
	look_at_huge_pages, look_at_pressure, look_at_pins, look_at_uring;
/* doctor_limits.c */
look_at look_at_locks, look_at_frames, look_at_files, look_at_group;

/* doctor_mount.c: who serves, or does not. */
void doctor_find_mounts(struct doctor *d);
void look_at_mount(const struct mount *m, struct finding *f);

#endif
