/* SPDX-License-Identifier: MIT */
/*
 * datapath.h - how reads, writes and mappings of an open file reach its
 * buffer. A pure decision, in one function.
 */
#ifndef BFS_DATAPATH_H
#define BFS_DATAPATH_H

#include <stdbool.h>
#include <stdint.h>

struct bfs_datapath {
	bool passthrough; /* FOPEN_PASSTHROUGH: mmap maps the pool file */
	bool direct_io;   /* FOPEN_DIRECT_IO: read and write ask the daemon */
};

/*
 * Which open flags a buffer gets.
 *
 * has_passthrough  the mount has the privilege and the kernel for it
 * options          IOBUF_* bits of the buffer's specification
 * fixed            it has a capacity
 * empty            it holds no memory yet: options may still be set
 * write_only       the open is O_WRONLY
 * clears_set_id    the open may write, and the file has set-ID bits or file
 *                  capabilities, which a write has to clear: the kernel's own
 *                  passthrough writes run with the daemon's rights and do not
 *
 *   unshared                              direct_io
 *   passthrough, elastic, pageable,
 *     inout, default cache,
 *     not empty, or O_WRONLY,
 *     nothing for a write to clear        passthrough
 *   passthrough, any other                passthrough | direct_io
 *   no passthrough, shared                (the cached path)
 */
struct bfs_datapath bfs_datapath_choose(bool has_passthrough, uint32_t options,
					bool fixed, bool empty, bool write_only,
					bool clears_set_id);

/* True for a path by which the kernel writes without asking the daemon. */
static inline bool bfs_datapath_is_plain(struct bfs_datapath path)
{
	return path.passthrough && !path.direct_io;
}

/* "passthrough", "cached" or "direct", for user.iobuf.state. */
const char *bfs_datapath_name(struct bfs_datapath path);

/* A buffer whose transfers need nothing of the daemon. */
bool bfs_options_are_plain(uint32_t options);

#endif
