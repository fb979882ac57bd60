/* SPDX-License-Identifier: MIT */
/*
 * tree.h - names, directories and attributes: the pool's own, seen through
 * nodeids. A name is one component; '/', "." and ".." are -EINVAL.
 *
 * What makes an entry gives it to its caller: owner, group (or the group of a
 * set-group-ID directory), and what the directory hands down. The calling
 * thread's umask takes bits of `mode` away where the directory has no default
 * access list, as for open(2).
 */
#ifndef BFS_TREE_H
#define BFS_TREE_H

#include "file.h"

#include <time.h>

struct bfs_entry {
	uint64_t nodeid;
	struct stat st;
	/* The name can go by itself, now or when it is bound, which an empty
	 * buffer can be at any time: nobody should believe in it for long. */
	bool fleeting;
};

/* Who makes an entry. */
struct bfs_owner {
	uid_t uid;
	gid_t gid;
	pid_t pid; /* the process that asks; 0 where there is none */
};

/* Errors, besides those named: of openat(2), fstat(2) and of the call that the
 * function is named after. */
int bfs_lookup(struct bfs_fs *fs, uint64_t parent, const char *name,
	       struct bfs_entry *ret_entry);
int bfs_getattr(struct bfs_fs *fs, uint64_t nodeid, struct stat *ret_st);

/* A file by its nodeid alone, and the directory that a directory is in; the
 * root is in itself. For whom has a handle and no name. */
int bfs_lookup_self(struct bfs_fs *fs, uint64_t nodeid,
		    struct bfs_entry *ret_entry);
int bfs_lookup_parent(struct bfs_fs *fs, uint64_t nodeid,
		      struct bfs_entry *ret_entry);

/* What statx(2) tells, the time of birth too, and what stat(2) does. */
int bfs_statx(struct bfs_fs *fs, uint64_t nodeid, unsigned int mask,
	      struct statx *ret_stx, struct stat *ret_st);

/* Who writes, and whether he may keep set-ID bits. */
struct bfs_writer {
	uid_t uid;
	pid_t pid;
	bool kill_suidgid;
};

/* The attributes of an O_PATH descriptor; errors of fstat(2) and getxattr(2). */
int bfs_stat_path_fd(int fd, struct stat *ret_st);

/* Which attributes to set, and to what. Times with tv_nsec UTIME_OMIT stay. */
struct bfs_attributes {
	bool set_mode, set_owner, set_size, set_times;
	bool touch_owner;  /* chown(2) to nobody else: clears set-ID bits */
	mode_t mode;
	struct bfs_owner owner; /* (uid_t)-1, (gid_t)-1: as it is */
	uint64_t size;
	struct timespec times[2];
	struct bfs_writer writer;
};

/* -EFBIG past a capacity, -EDQUOT for an owner over his limit, -EPERM for touch_owner by one who is not the owner;
 * nothing has changed then. */
int bfs_setattr(struct bfs_fs *fs, uint64_t nodeid,
		const struct bfs_attributes *attributes, struct stat *ret_st);

/*
 * Make a regular file with what its directory hands down. It appears under its
 * name complete or not at all. ret_file: NULL, or receives it open and locked.
 */
int bfs_create(struct bfs_fs *fs, uint64_t parent, const char *name,
	       mode_t mode, struct bfs_owner owner, struct bfs_entry *ret_entry,
	       struct bfs_file *ret_file);

/* The same without a name (O_TMPFILE); bfs_link() can give it one. */
int bfs_tmpfile(struct bfs_fs *fs, uint64_t parent, mode_t mode,
		struct bfs_owner owner, struct bfs_entry *ret_entry,
		struct bfs_file *ret_file);
int bfs_mkdir(struct bfs_fs *fs, uint64_t parent, const char *name, mode_t mode,
	      struct bfs_owner owner, struct bfs_entry *ret_entry);
int bfs_mknod(struct bfs_fs *fs, uint64_t parent, const char *name, mode_t mode,
	      dev_t device, struct bfs_owner owner, struct bfs_entry *ret_entry);
int bfs_symlink(struct bfs_fs *fs, const char *target, uint64_t parent,
		const char *name, struct bfs_owner owner,
		struct bfs_entry *ret_entry);
int bfs_link(struct bfs_fs *fs, uint64_t nodeid, uint64_t parent,
	     const char *name, struct bfs_entry *ret_entry);
/* Returns the length of the target. */
int bfs_readlink(struct bfs_fs *fs, uint64_t nodeid, char *buf, size_t size);

/* unlink.c. flags: AT_REMOVEDIR for rmdir(2). */
int bfs_unlink(struct bfs_fs *fs, uint64_t parent, const char *name, int flags);
int bfs_rename(struct bfs_fs *fs, uint64_t parent, const char *name,
	       uint64_t new_parent, const char *new_name, unsigned int flags);

/*
 * Remove every name of a file, without being asked by the kernel, which is told
 * of each. As after bfs_unlink(), who has the file open or mapped keeps it. A
 * name that is not of the pool stays. 0, also when there was none;
 * -EINPROGRESS: they have to be searched for (search.h), bfs_names_gone() will
 * be called; errors of unlinkat(2). No lock is to be held.
 */
int bfs_unlink_all(struct bfs_fs *fs, uint64_t nodeid);

/* The same for one entry of a directory, if it is that file still. */
int bfs_unlink_entry(struct bfs_fs *fs, int dir_fd, const char *name,
		     uint64_t nodeid, const struct stat *st);

/* All names of a file that had to go are gone: it is bound to nothing more. */
void bfs_names_gone(struct bfs_fs *fs, uint64_t nodeid);

/* The last open file of a buffer may have been closed: its names go, if its
 * life says so. No lock is to be held. */
void bfs_end_life(struct bfs_fs *fs, uint64_t nodeid);

/* The mount is gone, and the kernel tells no more of what it has closed: all of
 * it is. Waits until the names are gone that have to. */
void bfs_end_all_lives(struct bfs_fs *fs);

/* A directory, O_PATH, in which `name` is to be an entry: -EINVAL if that cannot
 * be. */
int bfs_open_directory(struct bfs_fs *fs, uint64_t nodeid, const char *name);

/* The entry `name` of an open directory (O_PATH will do). */
int bfs_entry_at(struct bfs_fs *fs, int dir_fd, const char *name,
		 struct bfs_entry *ret_entry);

/*
 * What a write takes away: file capabilities and the set-ID bits that the
 * writer may not keep. O_PATH will do. True when the mode changed, which the
 * kernel does not expect of a write.
 */
bool bfs_kill_privileges(int fd, const struct bfs_writer *writer);

#endif
