/* SPDX-License-Identifier: MIT */
/*
 * file.h - a pool file as a buffer: how it comes to hold memory, what it is
 * transferred, what it reports. Knows records and descriptors, not FUSE.
 *
 * A struct bfs_file is a pool file that is open, with its inode locked and its
 * record loaded: what one operation works on. Every function that takes one
 * leaves the file as it was when it fails.
 */
#ifndef BFS_FILE_H
#define BFS_FILE_H

#include "datapath.h"
#include "fs.h"
#include "record.h"

#include <iobuf/iobuf.h>

#include <sys/stat.h>

/* What a change of a buffer makes the kernel know wrong. */
enum bfs_changed {
	BFS_CHANGED_NOTHING,
	BFS_CHANGED_ATTRIBUTES,
	BFS_CHANGED_BYTES, /* and attributes */
};

struct bfs_file {
	struct bfs_fs *fs;
	struct bfs_inode *inode; /* locked */
	int fd;
	pid_t caller; /* who asks, for task=; 0: nobody that is known */
	struct bfs_record record;
};

/*
 * Open, lock, load. `flags` of open(2): O_RDWR for what changes bytes, O_PATH
 * will do for the record. 0; -ESTALE, -ENOMEM, errors of open(2).
 */
int bfs_file_open(struct bfs_fs *fs, uint64_t nodeid, int flags,
		  struct bfs_file *ret_file);

/* The same around a descriptor that is open already; takes it over. */
int bfs_file_open_fd(struct bfs_fs *fs, uint64_t nodeid, int *fd,
		     struct bfs_file *ret_file);

/* Unlock and close. A zeroed struct is allowed. */
void bfs_file_close(struct bfs_file *file);

/* BFS_FILE struct bfs_file f = { 0 }; closed at the end of the scope. */
#define BFS_FILE __attribute__((cleanup(bfs_file_close)))

/* The attributes a client sees: st_size of a fixed buffer is its length. */
void bfs_record_apply(const struct bfs_record *record, struct stat *st);
int bfs_file_stat(const struct bfs_file *file, struct stat *ret_st);

/* Holds no memory: creation options may be set. `st` is the pool file's. */
bool bfs_file_is_empty(const struct bfs_file *file, const struct stat *st);

/* Which way an open goes; `flags` of open(2), O_TRUNC is still to be done.
 * Errors of fstat(2). */
int bfs_file_datapath(const struct bfs_file *file, int flags,
		      struct bfs_datapath *ret_path);

/*
 * Make the buffer what `asked` says, completed from `defaults`. With a
 * capacity that allocates. `flags`: of the record (enum bfs_record_flags).
 * 0, also when it is that already; -EBUSY when it holds memory, or when an
 * open file could write past it; -EINVAL, -EOVERFLOW, -EOPNOTSUPP with the
 * words in *ret_reason; -ENOSPC, -ENOMEM; as of bfs_task_find() for a task.
 */
int bfs_file_configure(struct bfs_file *file, const struct iobuf_spec *asked,
		       const struct iobuf_spec *defaults, uint32_t flags,
		       struct iobuf_reason *ret_reason);

/* Forget what was asked for: -EBUSY when it holds memory, -ENODATA when
 * nothing was. */
int bfs_file_unconfigure(struct bfs_file *file);

/* Give a new, empty file what its directory, or else the mount, hands down. */
int bfs_file_inherit(struct bfs_file *file, const struct bfs_record *directory);

/* What files made in a directory fall back to. */
const struct iobuf_spec *bfs_directory_defaults(const struct bfs_fs *fs,
						const struct bfs_record *record);

/* ftruncate(2). -EFBIG past a capacity. */
int bfs_file_truncate(struct bfs_file *file, uint64_t size);

/*
 * fallocate(2): reserve, punch and zero. Punching a hole into a fixed or wired
 * buffer zeroes it and keeps the pages. -EFBIG past a capacity; -EOPNOTSUPP for
 * any other mode; -ENOSPC, -ENOMEM.
 */
int bfs_file_allocate(struct bfs_file *file, int mode, uint64_t offset,
		      uint64_t size);

/* write(2) through the daemon: see iobuf_write_bytes(). `append`: at the
 * length, wherever the kernel thinks that is. */
int bfs_file_write(struct bfs_file *file, uint64_t offset, bool append,
		   const void *bytes, size_t size, size_t *ret_size);

/*
 * copy_file_range(2): up to `size` bytes of one file to another, or within one
 * where the ranges do not overlap. Fewer are no failure. -EPERM against a
 * direction; errors of bfs_file_read() and bfs_file_write().
 */
int bfs_file_copy(struct bfs_fs *fs, uint64_t from, uint64_t from_offset,
		  uint64_t to, uint64_t to_offset, size_t size,
		  size_t *ret_size);

/* read(2) through the daemon; without the inode's lock, but for a wired buffer
 * in a cache mode. */
int bfs_file_read(struct bfs_fs *fs, uint64_t nodeid, uint64_t offset,
		  void *bytes, size_t size, size_t *ret_size);

/* fsync(2): have the CPU caches write back what they hold of a buffer in a
 * cache mode; any other needs nothing. As iobuf_perform_operation(). */
int bfs_file_sync(struct bfs_fs *fs, uint64_t nodeid);

/*
 * SEEK_DATA and SEEK_HOLE of lseek(2). A fixed buffer is data up to its length.
 * -ENXIO past the end; -EINVAL for another `whence`.
 */
int bfs_file_seek(struct bfs_fs *fs, uint64_t nodeid, off_t offset, int whence,
		  uint64_t *ret_offset);

/* setLength and setDirection: -EINVAL, -EOPNOTSUPP as of iobuf_set_length(). */
int bfs_file_set_length(struct bfs_file *file, uint64_t length);
int bfs_file_set_direction(struct bfs_file *file, uint32_t direction,
			   struct iobuf_reason *ret_reason);

/* fchownat(2), and what the buffer has of user_max= goes with it. -EDQUOT when
 * the new owner has no room; nothing has changed then. */
int bfs_file_chown(struct bfs_file *file, uid_t uid, gid_t gid);

int bfs_file_report(struct bfs_file *file, struct iobuf_report *ret_report);

/* After a file was opened, or became another kind: will its last close take its
 * names? */
void bfs_file_note_life(struct bfs_file *file);

/* Let the memory of a locked, unlinked file go: nobody can come back to it. */
void bfs_file_abandon(struct bfs_file *file);

/* The kernel has no more use for the inode: abandon it if it is unlinked. */
void bfs_file_forget(struct bfs_fs *fs, uint64_t nodeid);

/*
 * After a worker's death: undo allocations that it left half done, count again
 * what limits counted, and start wiring again what was wired. An adopted pool is searched for wired buffers.
 */
void bfs_files_recover(struct bfs_fs *fs);
void bfs_files_rewire(struct bfs_fs *fs);

#endif
