/* SPDX-License-Identifier: MIT */
/*
 * iobuf.h - I/O buffers for Linux.
 *
 * A struct iobuf is a descriptor of memory made for input and output: wired or
 * pageable, fixed in size or elastic, backed by huge pages where they fit,
 * shared through a file descriptor, and able to report what it really got. It
 * follows Apple's IOBufferMemoryDescriptor
 * (https://developer.apple.com/documentation/kernel/iobuffermemorydescriptor).
 *
 * Conventions of every function here:
 *  - `int` results are 0 or a negative errno; outputs named ret_* stay
 *    untouched on failure, and a failed call changes nothing.
 *  - Sizes, lengths and offsets are bytes.
 *  - A descriptor may be used by several threads at once. Transfers that
 *    overlap are not ordered against each other, as with memcpy(3). The last
 *    iobuf_release() must not race with another call on that descriptor.
 *  - Nothing is logged and no signal handler is installed.
 */
#ifndef IOBUF_H
#define IOBUF_H

#include <iobuf/spec.h>

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct iobuf;

/* A quantity that could not be found out (see struct iobuf_report). */
#define IOBUF_UNKNOWN UINT64_MAX

/* What a descriptor really has; see iobuf_get_report(). All in bytes. */
struct iobuf_report {
	uint64_t allocated;   /* taken from the backing store, swapped or not */
	uint64_t resident;    /* in memory now; a page that is reserved and was
				 never touched is not */
	uint64_t wired;       /* resident and locked by this descriptor */
	uint64_t huge;        /* in huge pages; IOBUF_UNKNOWN before Linux 6.7 */
	uint64_t longest_run; /* longest run of physically adjacent bytes;
				 IOBUF_UNKNOWN without CAP_SYS_ADMIN, which
				 /proc/PID/pagemap wants for frame numbers */
};

/*
 * Create a buffer in memory of its own (a memfd).
 *
 * spec        what is asked; completed with iobuf_spec_resolve() against
 *             iobuf_spec_default. It must have a capacity.
 * ret_buffer  receives the descriptor with one reference, for the caller.
 * ret_reason  NULL, or receives the words for a refusal.
 *
 * On return every byte of the capacity is reserved and reads as zero; a wired
 * buffer is resident and locked (mlock(2)) as well. The length is the
 * capacity.
 *
 * Returns 0; what iobuf_spec_resolve() and iobuf_spec_supported() return;
 * -EINVAL without a capacity; -ENOMEM when the memory cannot be had, or the
 * lock limit (RLIMIT_MEMLOCK, getrlimit(2)) is reached; -EMFILE, -ENFILE.
 * May block while memory is made free.
 */
int iobuf_create(const struct iobuf_spec *spec, struct iobuf **ret_buffer,
		 struct iobuf_reason *ret_reason);

/*
 * Create a buffer in an empty file of the caller (tmpfs, memfd).
 *
 * spec        a resolved specification with a capacity.
 * fd          the file, open for reading and writing. It is borrowed, not
 *             closed, and must stay open until iobuf_release() or
 *             iobuf_set_fd().
 *
 * As iobuf_create(); the file's size becomes the capacity in whole pages. On
 * failure the file is empty again. Besides: -ENOSPC when the file's filesystem
 * is full; -EBUSY when the file is not empty.
 */
int iobuf_create_in_file(const struct iobuf_spec *spec, int fd,
			 struct iobuf **ret_buffer,
			 struct iobuf_reason *ret_reason);

/*
 * Describe a file that holds a buffer already: nothing is allocated, mapped,
 * or wired. A specification without capacity gives an elastic buffer of
 * `length` bytes.
 *
 * fd      as in iobuf_create_in_file(); a descriptor open for reading only
 *         serves calls that do not write.
 * length  bytes in use, at most the capacity.
 *
 * Returns 0; -EINVAL when length exceeds the capacity; -ENOMEM.
 */
int iobuf_attach(const struct iobuf_spec *spec, int fd, uint64_t length,
		 struct iobuf **ret_buffer);

/* Take one more reference. Returns its argument. */
struct iobuf *iobuf_retain(struct iobuf *buffer);

/*
 * Give back a reference. The last one unwires and unmaps the memory and frees
 * the descriptor; memory of iobuf_create() goes when no other process maps it.
 * NULL is allowed and does nothing.
 */
void iobuf_release(struct iobuf *buffer);

/*
 * Lend the descriptor a file, the one it was made over, or take a lent one back
 * with -1: from then on only the mapping is used. Not to be called while other
 * threads use the descriptor, nor for a buffer of iobuf_create().
 * Returns 0; -EINVAL when that leaves neither a file nor a mapping (see
 * iobuf_prepare()).
 */
int iobuf_set_fd(struct iobuf *buffer, int fd);

/* The descriptor's file, or -1. It is borrowed: dup(2) it to pass it on. */
int iobuf_fd(const struct iobuf *buffer);

/* What the buffer was asked to be, completed. Valid until the last release. */
const struct iobuf_spec *iobuf_get_spec(const struct iobuf *buffer);

/* Bytes the buffer can hold; of an elastic buffer, its length. */
uint64_t iobuf_get_capacity(const struct iobuf *buffer);

/* Bytes in use (Apple: getLength). */
uint64_t iobuf_get_length(const struct iobuf *buffer);

/*
 * Change the length of a fixed buffer within [0, capacity], touching no bytes
 * (Apple: setLength). Returns 0; -EINVAL beyond the capacity; -EOPNOTSUPP for
 * an elastic buffer, whose length is its file's size.
 */
int iobuf_set_length(struct iobuf *buffer, uint64_t length);

/*
 * Change the size of a fixed buffer as ftruncate(2) does: as
 * iobuf_set_length(), but bytes between the old and a larger new length read
 * as zero. Returns 0; -EFBIG beyond the capacity; errors of pwrite(2).
 */
int iobuf_truncate(struct iobuf *buffer, uint64_t length);

/*
 * Give an elastic buffer a new size. What a wired one grows by is reserved and
 * wired before this returns. Needs the file. Returns 0; -EINVAL for a fixed
 * buffer; -ENOSPC, -ENOMEM, -EFBIG as iobuf_create_in_file(), and then the
 * size is the old one.
 */
int iobuf_resize(struct iobuf *buffer, uint64_t length);

/* One of IOBUF_DIRECTION_*. */
uint32_t iobuf_get_direction(const struct iobuf *buffer);

/*
 * Change the direction; binds transfers that begin afterwards (Apple:
 * setDirection). Returns 0; -EINVAL unless `direction` is one of the four.
 */
int iobuf_set_direction(struct iobuf *buffer, uint32_t direction);

/*
 * Transfer bytes OUT of the buffer (Apple: readBytes).
 *
 * offset, size  what to transfer; clamped to the length.
 * ret_size      receives the bytes transferred: 0 at or past the length.
 *
 * Returns 0; -EPERM unless the direction has `out`; errors of pread(2).
 */
int iobuf_read_bytes(struct iobuf *buffer, uint64_t offset, void *bytes,
		     size_t size, size_t *ret_size);

/*
 * Transfer bytes INTO the buffer (Apple: writeBytes), clamped to the capacity.
 * A write past the length moves the length to its end; the gap between, if
 * any, reads as zero.
 *
 * ret_size  receives the bytes transferred, which may be fewer than `size`.
 *
 * Returns 0; -EPERM unless the direction has `in`; -EFBIG when nothing fits,
 * which is when size > 0 and offset >= capacity of a fixed buffer; -ENOSPC,
 * -ENOMEM when an elastic buffer cannot grow; errors of pwrite(2).
 */
int iobuf_write_bytes(struct iobuf *buffer, uint64_t offset, const void *bytes,
		      size_t size, size_t *ret_size);

/*
 * Add bytes at the length, clamped at the capacity (Apple: appendBytes). Not a
 * transfer: the direction does not matter.
 * ret_size  NULL, or receives the bytes added. Returns 0; errors of pwrite(2).
 */
int iobuf_append_bytes(struct iobuf *buffer, const void *bytes, size_t size,
		       size_t *ret_size);

/*
 * The address of bytes [start, start + size), or NULL unless start < length
 * and start + size <= length (Apple: getBytesNoCopy); NULL too when the memory
 * cannot be mapped. The address stays valid until the last release; that of an
 * elastic buffer only until it grows.
 */
void *iobuf_get_bytes_no_copy(struct iobuf *buffer, uint64_t start,
			      uint64_t size);

/*
 * Wire the memory: map it, make it resident, lock it (Apple: prepare). Calls
 * nest; each needs an iobuf_complete().
 * Returns 0; -ENOMEM when memory or the lock limit does not allow it.
 */
int iobuf_prepare(struct iobuf *buffer);

/*
 * Undo one iobuf_prepare(). Returns 0; -EINVAL when there is none to undo. The
 * wiring of a wired buffer stays until its last release.
 */
int iobuf_complete(struct iobuf *buffer);

/*
 * Find out what was obtained. Looks at the memory without changing it: nothing
 * is allocated and nothing paged in. Needs the file or the mapping.
 * Returns 0; -ENOMEM; errors of fstat(2).
 */
int iobuf_get_report(struct iobuf *buffer, struct iobuf_report *ret_report);

#ifdef __cplusplus
}
#endif

#endif
