/* SPDX-License-Identifier: MIT */
/*
 * fs.h - what every operation of the worker knows. Constant after start-up;
 * the parts have locks of their own.
 */
#ifndef BFS_FS_H
#define BFS_FS_H

#include "inode.h"
#include "node.h"
#include "purge_queue.h"
#include "shared.h"

#include <iobuf/spec.h>

struct bfs_account_cache;
struct bfs_headroom;
struct bfs_journal;
struct bfs_owners;
struct fuse_session;
struct bfs_fs;

/*
 * What the kernel has to be told when a file changes without being asked for
 * it. Not to be called with a lock held: they may wait for requests. NULL:
 * there is no kernel.
 */
struct bfs_notify {
	/* Attributes of the file changed; with `bytes`, its contents too. */
	void (*changed)(const struct bfs_fs *fs, uint64_t nodeid, bool bytes);
	/* The entry `name` of a directory is gone. */
	void (*unlinked)(const struct bfs_fs *fs, uint64_t parent,
			 uint64_t nodeid, const char *name);
	/* Does it remember the file? Then it will tell when it forgets it. */
	bool (*knows)(const struct bfs_fs *fs, uint64_t nodeid);
};

/* Memory that is bounded by a mount option. */
struct bfs_limit {
	const char *name;      /* of the mount option */
	uint64_t max;          /* bytes; 0: no limit */
	_Atomic uint64_t used; /* bytes */
};

struct bfs_fs {
	struct bfs_shared *shared;
	struct bfs_nodes *nodes;
	struct bfs_inode_table *inodes;
	struct bfs_purge_queue *purge; /* volatile buffers */
	struct bfs_tasks *tasks;
	struct bfs_journal *journal;   /* NULL: nothing is noted */
	struct fuse_session *session;
	struct bfs_notify notify;
	struct iobuf_spec defaults; /* of the mount, complete */
	int root_fd;                /* of the pool */
	int fuse_fd;
	struct bfs_limit wired, contiguous;
	struct bfs_headroom *headroom; /* NULL: all that is asked for is there */
	struct bfs_owners *owners; /* user_max=; NULL: no limit */
	struct bfs_account_cache *accounts; /* NULL: nothing is remembered */
	bool is_successor; /* started while another worker serves */
	bool own_umasks;   /* threads may have them: see BFS_CALLER_UMASK() */
	bool access_lists; /* the pool keeps them and the kernel enforces them */
	double timeout_s; /* how long the kernel may believe what it was told */
};

#endif
