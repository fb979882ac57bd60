/* SPDX-License-Identifier: MIT */
/*
 * shared.h - the block of memory that outlives a worker.
 *
 * The holder makes it (a memfd) and every worker inherits it. It holds what
 * cannot be rebuilt from the pool: the mount's configuration, the kernel's
 * FUSE_INIT request, what the first worker agreed with the kernel, a slot for
 * each inode that is open or wired, and what requests at work have begun.
 *
 * One worker at a time writes it. A worker can be killed between any two
 * stores, so a slot is taken by storing its nodeid last and given back by
 * clearing its nodeid first; see inode.c.
 */
#ifndef BFS_SHARED_H
#define BFS_SHARED_H

#include <limits.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define BFS_SHARED_MAGIC 0x42554653u /* "BUFS" */
#define BFS_SHARED_VERSION 8u

/* As the place needs it that has to have it: see pressure.h. */
#define BFS_RESERVE_DEFAULT UINT64_MAX

enum {
	BFS_INIT_REQUEST_MAX = 1024,
	BFS_INIT_REPLY_MAX = 256,
	BFS_OPTIONS_MAX = 512,
	BFS_SLOTS_MAX = 1 << 20, /* inodes open or wired at once */
	BFS_COUNTED_MAX = 4096,  /* requests remembered, see ops.h */
	BFS_JOURNAL_MAX = 1024,  /* requests at work, see journal.h */
	BFS_BACKING_ID_MAX = INT32_MAX - 64, /* what strays has room above it */
	BFS_ASIDES_MAX = 256,    /* buffers built anew at once, see aside.c */
};

/* Written by the holder before the first worker starts; constant then. */
struct bfs_config {
	char mountpoint[PATH_MAX];
	char pool[PATH_MAX];           /* directory whose tree is served */
	char options[BFS_OPTIONS_MAX]; /* -o options=, or "" */
	char size[32];                 /* -o size= as given, or "" */
	char fsname[128];              /* source of the mount */
	uint64_t atime_flags;          /* MS_NOATIME and its like: reads past
					  the daemon are the pool's */
	uint64_t wired_max;            /* bytes; 0: no limit */
	uint64_t contiguous_max;       /* bytes; 0: no limit */
	uint64_t user_max;             /* bytes of each owner; 0: no limit */
	uint64_t reserve;              /* bytes; 0: none; BFS_RESERVE_DEFAULT */
	uint32_t pressure_stall_ms;    /* 0: pressure is not asked for */
	uint32_t pressure_window_ms;
	uint32_t watchdog_s;           /* 0: none */
	bool own_pool;                 /* we made it: nobody else writes it */
	bool adopted_pool;             /* it may hold buffers from before */
	bool reads_pool;               /* others change it, we look on */
	bool keep;                     /* an own pool, when we end */
	bool allow_other;
	bool io_uring;                 /* asked for */
	bool foreground;
	bool debug;
};

enum bfs_slot_flags {
	BFS_SLOT_WIRED = 1u << 0,      /* the worker keeps it locked */
	BFS_SLOT_ALLOCATING = 1u << 1, /* being allocated: undo after a crash */
	BFS_SLOT_FILLING = 1u << 2,    /* its first contents are to come, against
					  its direction: until the last close */
	BFS_SLOT_NEW = 1u << 3,        /* made by who has it open, or nobody:
					  until the last close */
	BFS_SLOT_VOLATILE = 1u << 4,   /* may be purged */
	BFS_SLOT_BOUND = 1u << 5,      /* to a process: its end takes the name */
	BFS_SLOT_LASTCLOSE = 1u << 6,  /* open, and the last close takes the
					  name */
	BFS_SLOT_CHARGED = 1u << 7,    /* counted as its owner's */
	BFS_SLOT_CONVERTING = 1u << 8, /* with its contents: undo after a crash
					  what its record says of that */
	BFS_SLOT_FLAGS = (1u << 9) - 1, /* all of them */
};

struct bfs_slot {
	_Atomic uint64_t nodeid; /* 0: free */
	/* Counts and the request that changed them last are one store: a
	 * worker that dies leaves no doubt whether a request was counted. */
	union {
		_Atomic uint64_t counts;
		struct {
			uint64_t opens : 22;       /* files of the kernel */
			uint64_t plain_opens : 22; /* of these, writable
						      without the daemon */
			uint64_t request : 20;     /* see bfs_request_tag() */
		};
	};
	int32_t backing_id; /* 0: none registered */
	uint32_t flags;     /* enum bfs_slot_flags */
};

/* What tells requests apart that were in flight together. The kernel counts
 * them in steps of two. */
static inline uint64_t bfs_request_tag(uint64_t unique)
{
	return unique / 2 & ((1u << 20) - 1);
}

/* The request with that tag which is nearest to `unique`, rather an older one. */
static inline uint64_t bfs_request_of_tag(uint64_t tag, uint64_t unique)
{
	const uint64_t tags = 1u << 20;
	const uint64_t behind = (unique / 2 - tag) % tags;

	return behind < tags - BFS_COUNTED_MAX && behind <= unique / 2
		       ? unique - behind * 2
		       : unique + (tags - behind) * 2;
}

/* A request that workers died over. */
struct bfs_attempts {
	_Atomic uint64_t unique;
	_Atomic uint32_t weight; /* of their deaths: see attempt.h */
	_Atomic bool waits;      /* it only sleeps: see there, too */
};

/* What a request found before it ran. */
struct bfs_journal_note {
	_Atomic uint64_t unique; /* 0: nobody's, or not complete */
	uint32_t operation;      /* enum bfs_journal_operation */
	uint64_t before[2];
};

/* Contents of a buffer that is built anew. */
struct bfs_aside {
	_Atomic uint64_t nodeid; /* the buffer; 0: free */
	uint64_t file;           /* nodeid of that with its contents, or 0 */
};

struct bfs_shared {
	uint32_t magic, version;
	struct bfs_config config;
	int32_t holder_pid;
	_Atomic int32_t worker_pid;
	uint32_t workers_started;
	_Atomic uint32_t working;   /* requests that the worker has read and not
				       answered */
	_Atomic uint64_t progress;  /* see watchdog.h */
	_Atomic uint64_t newest_request; /* that was begun, or one of those that
					    were at the same time */
	uint32_t init_size;
	uint32_t init_reply_size;   /* 0: libfuse has sent it */
	unsigned char init_request[BFS_INIT_REQUEST_MAX];
	unsigned char init_reply[BFS_INIT_REPLY_MAX];
	bool agreed;                /* the kernel has an answer to FUSE_INIT */
	bool agreed_passthrough;    /* by that answer */
	bool passthrough;           /* and takes backing files */
	bool io_uring;              /* and sends requests by it */
	bool crashed;               /* the worker before: nobody killed it */
	bool counted_pool;          /* an adopted one: slots tell what counts as
				       its owners' */
	int32_t highest_backing_id; /* ever registered */
	_Atomic uint64_t counted[BFS_COUNTED_MAX];
	struct bfs_attempts attempts[BFS_COUNTED_MAX];
	struct bfs_journal_note journal[BFS_JOURNAL_MAX];
	struct bfs_aside asides[BFS_ASIDES_MAX];
	uint32_t slots_used;        /* slots[i] is free for i >= slots_used */
	struct bfs_slot slots[BFS_SLOTS_MAX];
};

/* Make the block: an fd with close-on-exec, or a negative errno. */
int bfs_shared_create(struct bfs_shared **ret_shared);

/*
 * What a worker left has to make sense: one that ran wild can have written
 * anything into it. Forget what does not, of which the pool is all there is then,
 * as when it is adopted. What was open stays open, but nobody knows of it any
 * more: the kernel takes no other open of it past the daemon until it is closed
 * (EIO). True: there was something.
 */
bool bfs_shared_mend(struct bfs_shared *shared);

/* Map a block that was inherited. -EINVAL when it is not one of ours, -EUCLEAN when
 * what cannot be had again is damaged. */
int bfs_shared_map(int fd, struct bfs_shared **ret_shared);

#endif
