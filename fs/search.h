/* SPDX-License-Identifier: MIT */
/*
 * search.h - names that go by themselves and have to be looked for in the whole
 * pool: those whose path the kernel does not tell, because it is too long or on
 * another filesystem than a tmpfs. A thread of its own does that, with one walk
 * for all that wait: it can take long, and nobody else should.
 */
#ifndef BFS_SEARCH_H
#define BFS_SEARCH_H

#include "fs.h"

/*
 * Have every name of a file searched for and removed, and bfs_names_gone()
 * called then. Returns -EINPROGRESS; -ENOMEM, -EAGAIN when it cannot be begun.
 */
int bfs_search_names(struct bfs_fs *fs, uint64_t nodeid);

/* Wait until nothing is searched for. For tests. */
void bfs_search_wait(void);

#endif
