/* SPDX-License-Identifier: MIT */
/*
 * session.h - the session with the kernel. All of it once, by the worker's first
 * thread.
 */
#ifndef BFS_SESSION_H
#define BFS_SESSION_H

#include "fs.h"

/* What one request may have, as it is agreed: bytes to write, and all of it. */
enum {
	BFS_WRITE_MAX = 1 << 20,
	BFS_REQUEST_MAX = BFS_WRITE_MAX + (4 << 10),
};

/* May we have backing files? The kernel agrees to them without asking that. */
bool bfs_may_pass_through(void);

/*
 * Make fs->session, and have FUSE_INIT answered if nobody did. A successor
 * (fs->is_successor) touches nothing that another worker uses; -EPROTO when it
 * would not agree to what was agreed, which the log tells.
 */
int bfs_session_open(struct bfs_fs *fs);

/* Does the kernel keep what it agreed to, for a file of this pool? */
void bfs_session_try_passthrough(const struct bfs_fs *fs, int sample_fd);

#endif
