/* SPDX-License-Identifier: MIT */
/*
 * record.h - what a pool file carries besides its bytes: the specification of
 * its buffer, in one xattr that is replaced as a whole.
 *
 * A file without a record is a plain buffer (bfs_record_plain()); a directory
 * without one hands down the mount's defaults.
 */
#ifndef BFS_RECORD_H
#define BFS_RECORD_H

#include <iobuf/spec.h>

enum bfs_record_flags {
	BFS_RECORD_EXPLICIT = 1u << 0, /* asked for: listxattr shows it */
	/* Being converted with its contents, which are `length` bytes: see
	 * restore.c. */
	BFS_RECORD_CONVERTING = 1u << 1,
	BFS_RECORD_INHERITED = 1u << 2, /* from its directory, as it is */
	BFS_RECORD_PURGING = 1u << 3,   /* empty, but pages may be left */
	BFS_RECORD_ASIDE = 1u << 4,     /* converted, and the bytes are elsewhere:
					   see aside.c */
	BFS_RECORD_FLAGS = (1u << 5) - 1, /* all of them */
};

struct bfs_record {
	bool present; /* the file has one */
	uint32_t flags;
	uint64_t longest_run;        /* that a refused allocation saw, bytes */
	uint64_t length;             /* of a fixed buffer: its st_size */
	uint32_t purgeable;          /* state, of iobuf/purgeable.h */
	uint32_t purge_count;        /* times that its contents went */
	uint64_t volatile_since;     /* when it came to be; in what order */
	uint64_t task_start;         /* of spec.task, clock ticks after boot:
					with it a process id is not mistaken
					for a later process's */
	struct iobuf_spec spec;      /* a capacity: allocated and fixed */
	struct iobuf_spec inherited; /* what a specification falls back to */
};

/* Pageable, inout, shared, elastic; never asked for. */
struct bfs_record bfs_record_plain(void);

/* The xattr's name: trusted.* needs CAP_SYS_ADMIN, user.* is for the rest. */
void bfs_record_use_trusted(bool trusted);
const char *bfs_record_xattr(void);

/*
 * Load the record of an open file or directory; O_PATH will do. Absent:
 * bfs_record_plain(). 0; -EIO for a record that is not one; errors of
 * getxattr(2).
 */
int bfs_record_load_fd(int fd, struct bfs_record *ret_record);

/* As that, and faster for O_PATH. */
int bfs_record_load_path_fd(int fd, struct bfs_record *ret_record);

/* Replace the record; or remove it. 0, errors of setxattr(2). */
int bfs_record_store(int fd, const struct bfs_record *record);
int bfs_record_remove(int fd);

#endif
