/* SPDX-License-Identifier: MIT */
/*
 * state.h - the text of user.iobuf.state: one key=value a line.
 */
#ifndef BFS_STATE_H
#define BFS_STATE_H

#include "file.h"

/* Of a buffer: what it is and what it really got. Returns the length of the
 * text, or a negative errno; -ERANGE when `size` is too small. */
int bfs_state_print_file(struct bfs_file *file, char *buf, size_t size);

/*
 * Physical ranges of a wired buffer, "ADDRESS SIZE" a line, hexadecimal and in
 * bytes. -ENODATA for one that is not wired, whose pages may move at any time;
 * -ERANGE when they do not fit.
 */
int bfs_state_print_segments(struct bfs_file *file, char *buf, size_t size);

/* Of the mount: who serves it, where the pool is, how full, and who has how
 * much of it, as far as that is the reader's business: see account.h. */
int bfs_state_print_mount(const struct bfs_fs *fs, pid_t reader, char *buf,
			  size_t size);

#endif
