/* SPDX-License-Identifier: MIT */
/*
 * node.h - from the kernel's nodeids to the pool's files and back.
 *
 * With CAP_DAC_READ_SEARCH, on a filesystem with 64-bit file handles (tmpfs
 * mounted with inode32, ext4), a nodeid IS the file handle: there is no table,
 * a new worker knows every nodeid of its predecessor, and an idle file costs
 * no descriptor; the table keeps only nameless files that are still in use.
 * Elsewhere a nodeid is the inode number, and a table keeps for each one that
 * the kernel has looked up the directory and the name that it was found by, and
 * an O_PATH descriptor while there are some to spare.
 *
 * Every function may be called from any thread.
 */
#ifndef BFS_NODE_H
#define BFS_NODE_H

#include <stdint.h>

struct bfs_nodes;

#define BFS_ROOT_NODEID UINT64_C(1)

/* root_fd is borrowed and has to stay open. 0; -ENOMEM; errors of fstat(2). */
int bfs_nodes_create(int root_fd, struct bfs_nodes **ret_nodes);
void bfs_nodes_destroy(struct bfs_nodes *nodes);

/*
 * Open the file of a nodeid with `flags` of open(2) (O_CLOEXEC is added).
 * Returns a descriptor, for the caller to close; -ESTALE when the file is no
 * more; errors of open(2).
 */
int bfs_node_open(struct bfs_nodes *nodes, uint64_t nodeid, int flags);

/*
 * The nodeid of the entry `name` of the directory dir_fd, or with "" of dir_fd
 * itself. Counts as one lookup for bfs_node_forget().
 * 0; -ENOENT; -EXDEV when the entry is on another filesystem than the pool;
 * -EOVERFLOW when its handle does not fit.
 */
int bfs_node_lookup(struct bfs_nodes *nodes, int dir_fd, const char *name,
		    uint64_t *ret_nodeid);

/* It is the entry `name` of the directory dir_fd now: by that it is found again
 * when its descriptor was closed. A courtesy: without, the pool is searched. */
void bfs_node_named(struct bfs_nodes *nodes, uint64_t nodeid, int dir_fd,
		    const char *name);

/* After a rename: what is `name` of dir_fd now was called something else. */
void bfs_node_moved(struct bfs_nodes *nodes, int dir_fd, const char *name);

/* The same without a lookup: nobody will forget it. And of an open file. */
int bfs_node_at(struct bfs_nodes *nodes, int dir_fd, const char *name,
		uint64_t *ret_nodeid);
int bfs_node_of(struct bfs_nodes *nodes, int fd, uint64_t *ret_nodeid);

/*
 * Keep a file that has lost its last name (fd: O_PATH, taken over) until the
 * kernel forgets it: working directories and O_PATH descriptors refer to it,
 * and nothing here would. Does nothing for a file that has a name, nor when
 * too many are kept already.
 */
void bfs_node_hold(struct bfs_nodes *nodes, int *fd);

/* Call `visit` for those that are kept so, and where there is a table, for what
 * else it knows no name of; without a lock, so that some may be gone by then. */
void bfs_node_each_nameless(struct bfs_nodes *nodes,
			    void (*visit)(void *context, uint64_t nodeid),
			    void *context);

/* The kernel gives back `count` lookups. */
void bfs_node_forget(struct bfs_nodes *nodes, uint64_t nodeid, uint64_t count);

#endif
