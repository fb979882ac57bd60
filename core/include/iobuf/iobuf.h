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

#include <iobuf/purgeable.h>
#include <iobuf/spec.h>

#include <signal.h>
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
	uint64_t pinned;      /* wired, and kept from moving (contiguous and
				 masked buffers, where io_uring is allowed) */
	uint64_t longest_run; /* longest run of physically adjacent bytes;
				 IOBUF_UNKNOWN without CAP_SYS_ADMIN, which
				 /proc/PID/pagemap wants for frame numbers */
	uint64_t purge_count; /* not bytes: times that the contents went */
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
 * -EOPNOTSUPP for a task other than IOBUF_TASK_KERNEL, and for a life up to the
 * last close: they are of names, which this memory has not;
 * -EINVAL without a capacity; -EPERM for contiguous or masked memory without
 * CAP_SYS_ADMIN, which reading page frame numbers takes; -EINTR (see
 * iobuf_set_interrupt_check()); -ENOMEM when the memory cannot be had, or the
 * lock limit (RLIMIT_MEMLOCK, getrlimit(2)) is reached; -EMFILE, -ENFILE.
 * May block while memory is made free; -EINTR when a signal ends that.
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
 * A task and a life are of the file's name: they are left to the caller, who
 * has to look for the task's end and for the last close.
 *
 * As iobuf_create() otherwise; the file's size becomes the capacity in whole pages. On
 * failure the file is empty again. Besides: -ENOSPC when the file's filesystem
 * is full; -EBUSY when the file is not empty.
 */
int iobuf_create_in_file(const struct iobuf_spec *spec, int fd,
			 struct iobuf **ret_buffer,
			 struct iobuf_reason *ret_reason);

/*
 * Apple's constructors. Each builds a specification and is otherwise
 * iobuf_create(): memory of its own, reserved (unless pageable, wired and
 * locked) and zero on return, of which the caller gets one reference in
 * *ret_buffer. They may be called from any thread. Common arguments:
 *
 * task       IOBUF_TASK_KERNEL (0): the memory belongs to this process. A
 *            process id names an owner, whose memory must be pageable (-EINVAL);
 *            where it is, that is -EOPNOTSUPP all the same: this process's memory
 *            cannot be another's. A file can, see iobuf_create_in_file().
 * options    IOBUF_* bits, exact: an absent bit is off, so that 0 is wired,
 *            unshared, and without a direction.
 * capacity   bytes, 1 or more. The length starts equal to it.
 * alignment  bytes, a power of two; 1 asks for none. Sharing or a cache mode
 *            raises it to a page; a page or more rounds the capacity up to
 *            whole pages; more than a page implies IOBUF_CONTIGUOUS.
 *
 * All return 0; -EINVAL for capacity 0 and for what iobuf_spec_resolve()
 * refuses; -EOVERFLOW, -EOPNOTSUPP, -EPERM, -ENOMEM, -EMFILE, -ENFILE and
 * -EINTR as iobuf_create(); and what is said of each. A failure leaves no
 * memory, mapping or descriptor behind.
 */

/* (Apple: inTaskWithOptions) */
int iobuf_in_task_with_options(int32_t task, uint32_t options,
			       uint64_t capacity, uint64_t alignment,
			       struct iobuf **ret_buffer);

/*
 * The same, with two numbers for the owner's accounting, which nothing here
 * interprets; of other buffers they are 0. The text tag of a specification is
 * another thing. (Apple: inTaskWithOptions with kernTag and userTag)
 */
int iobuf_in_task_with_options_and_tags(int32_t task, uint32_t options,
					uint64_t capacity, uint64_t alignment,
					uint32_t kernel_tag, uint32_t user_tag,
					struct iobuf **ret_buffer);

/* The tags that the buffer was made with. They never change. */
uint32_t iobuf_get_kernel_tag(const struct iobuf *buffer);
uint32_t iobuf_get_user_tag(const struct iobuf *buffer);

/* iobuf_in_task_with_options() of this process. (Apple: withOptions) */
int iobuf_with_options(uint32_t options, uint64_t capacity, uint64_t alignment,
		       struct iobuf **ret_buffer);

/*
 * Wired, unshared memory of this process. (Apple: withCapacity)
 *
 * capacity    not rounded.
 * direction   one of IOBUF_DIRECTION_*; -EINVAL for anything else.
 * contiguous  whether it shall be one physical run.
 */
int iobuf_with_capacity(uint64_t capacity, uint32_t direction, bool contiguous,
			struct iobuf **ret_buffer);

/*
 * iobuf_with_capacity() that holds a copy of `size` bytes: its length and its
 * capacity are `size`. The direction does not bind this copy. -EFAULT when
 * `bytes` cannot be read. (Apple: withBytes)
 */
int iobuf_with_bytes(const void *bytes, size_t size, uint32_t direction,
		     bool contiguous, struct iobuf **ret_buffer);

/*
 * iobuf_in_task_with_options() with alignment 1 that holds a copy of another
 * process's memory. (Apple: withCopy)
 *
 * source   the process id to read from; 0: this process.
 * address  where in it.
 * size     bytes; the length of the buffer. Its capacity is the same, or whole
 *          pages where the options round it up.
 *
 * The copy is made by process_vm_readv(2) with the caller's rights, and is not
 * atomic: the source runs on. -EPERM when those rights do not let the caller
 * trace the source; -ESRCH when there is no such process; -EFAULT when not all
 * of the memory can be read.
 */
int iobuf_with_copy(int32_t task, uint32_t options, int32_t source,
		    uint64_t address, uint64_t size, struct iobuf **ret_buffer);

/*
 * iobuf_in_task_with_options() whose every page lies at a physical address with
 * no bits but those of `mask` (0: any address). The alignment comes from the
 * mask: its low zero bits, at least a page. Such memory is wired: -EINVAL with
 * IOBUF_PAGEABLE; -ENOMEM when no such pages can be had.
 * (Apple: inTaskWithPhysicalMask)
 */
int iobuf_in_task_with_physical_mask(int32_t task, uint32_t options,
				     uint64_t capacity, uint64_t mask,
				     struct iobuf **ret_buffer);

/*
 * iobuf_in_task_with_options() with a page without access before and after its
 * mapping in this process, so that to run over either end is a SIGSEGV, not a
 * neighbour's bytes. The capacity rounds up to whole pages. -EINVAL with
 * IOBUF_PAGEABLE or IOBUF_CONTIGUOUS, as Apple's, and therefore with a task
 * other than IOBUF_TASK_KERNEL. Other processes' mappings have no such pages.
 * (Apple: inTaskWithGuardPages)
 */
int iobuf_in_task_with_guard_pages(int32_t task, uint32_t options,
				   uint64_t capacity,
				   struct iobuf **ret_buffer);

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

/*
 * Let the creations of the calling thread be interrupted: `check` is asked
 * between the steps of those that can take long (contiguous and masked memory):
 * 0 lets it go on, a negative errno ends it with -EINTR. While it waits for
 * another thread's creation, which go one by one, that errno itself is what it
 * fails with, so that a server can refuse to let too many of them wait. NULL:
 * never.
 */
void iobuf_set_interrupt_check(int (*check)(void *context), void *context);

/*
 * Bound what the searches of the calling thread for contiguous and masked memory
 * take on the way: `check` is asked before each step, which takes that many bytes
 * until the search ends: 0 lets it go on, a negative errno has it do with what it
 * has, or fail with -ENOMEM. All but 1 GiB of MemAvailable of proc_meminfo(5) is
 * the bound in any case; who lives in a memory control group knows of another.
 * NULL: none.
 */
void iobuf_set_memory_check(int (*check)(void *context, uint64_t bytes),
			    void *context);

/*
 * Walk the physical memory of a buffer (Apple: getPhysicalSegment).
 *
 * offset       where to begin, below the capacity.
 * ret_address  receives the physical address of the byte there.
 * ret_size     receives the bytes that follow it in one run, at least 1.
 *
 * The buffer has to be prepared; the answer can change at any time unless the
 * memory is pinned as well. Returns 0; -EINVAL at or past the capacity; -EPERM
 * without CAP_SYS_ADMIN; -ENXIO where nothing is mapped in; -EBADF with neither
 * file nor mapping.
 */
int iobuf_get_physical_segment(struct iobuf *buffer, uint64_t offset,
			       uint64_t *ret_address, uint64_t *ret_size);

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
 * as zero, and so do those between a smaller one and the end of its page.
 * Returns 0; -EFBIG beyond the capacity; errors of pwrite(2).
 */
int iobuf_truncate(struct iobuf *buffer, uint64_t length);

/*
 * Make bytes [offset, offset + size) read as zero, within the capacity; neither
 * the length nor what is wired or contiguous changes. Not a transfer: the
 * direction does not matter. Needs the file, or a mapping that can be written.
 * Returns 0; -EINVAL beyond the capacity; errors of pwrite(2), and then some of
 * the bytes may be zero.
 */
int iobuf_zero_bytes(struct iobuf *buffer, uint64_t offset, uint64_t size);

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
 * Returns 0; -EPERM unless the direction has `out`; errors of pread(2); in a
 * cache mode, those of mmap(2) too; -EIO as in iobuf_handle_sigbus().
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
 * -ENOMEM when an elastic buffer cannot grow; errors of pwrite(2); in a cache
 * mode, those of mmap(2) too; -EIO as in iobuf_handle_sigbus().
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
 * Set the purgeable state of a buffer that was made with IOBUF_PURGEABLE, and
 * learn which one it had, as one atomic step (Apple: setPurgeable). The rules
 * and the numbers are in purgeable.h. A buffer begins nonvolatile. Needs the
 * file.
 *
 * control  one of IOBUF_PURGEABLE_*; with VOLATILE, a group and an order too.
 * ret_old  NULL, or receives the old state; EMPTY: the contents are gone.
 *
 * Nothing is purged behind the caller's back: of the volatile buffers of a
 * process, that process purges which it likes, by iobuf_purge(). (bufferfs does
 * that for its files.)
 *
 * Returns 0; -EINVAL for a control that is not a state, a buffer that is not
 * purgeable, or one that is prepared; -ENOSPC, -ENOMEM when a fixed buffer that
 * was empty cannot have its memory back: it stays empty; -EBADF without a file.
 */
int iobuf_set_purgeable(struct iobuf *buffer, uint32_t control,
			uint32_t *ret_old);

/*
 * Purge a volatile buffer: it is empty then. All of its memory is given back
 * and every mapping of it, in any process, reads as zero and stays usable.
 * Whoever touches it gets new memory, where there is any; else a SIGBUS.
 *
 * ret_bytes  NULL, or receives the bytes that were given back.
 *
 * Returns 0; -EBUSY when it is not volatile, or prepared; errors of
 * fallocate(2).
 */
int iobuf_purge(struct iobuf *buffer, uint64_t *ret_bytes);

/*
 * The two halves of it, for who keeps the state elsewhere (as a filesystem
 * does, for files that no descriptor stands for): give all memory of the
 * buffer's file back, whatever its state; and have that of a fixed buffer
 * reserved again. Returns 0; -EINVAL for a wired or prepared buffer; -EBADF
 * without a file; -ENOSPC, -ENOMEM, errors of fallocate(2).
 */
int iobuf_discard(struct iobuf *buffer);
int iobuf_refill(struct iobuf *buffer);

/*
 * Have every page of a range of a file allocated, as fallocate(2) does, and cleared:
 * what fallocate(2) allocates of a tmpfs(5) is cleared when it is used first, and
 * MADV_COLLAPSE of Linux 6.1 and later shows whoever maps it the bytes that were in
 * a huge page before. On other filesystems it is fallocate(2).
 *
 * fd            a file that may be read and written.
 * offset, size  bytes, within the file's length. 0 bytes are 0 pages.
 *
 * Any thread. Returns 0; -ENOSPC, -ENOMEM: pages that could be had are left in
 * the file; -EBADF, -EACCES; errors of fallocate(2).
 */
int iobuf_allocate_range(int fd, uint64_t offset, uint64_t size);

/*
 * Find out what was obtained. Looks at the memory without changing it: nothing
 * is allocated and nothing paged in. Needs the file or the mapping.
 * Returns 0; -ENOMEM; errors of fstat(2).
 */
int iobuf_get_report(struct iobuf *buffer, struct iobuf_report *ret_report);

/* What a file has, as far as that can be told cheaply. All in bytes. */
struct iobuf_usage {
	uint64_t allocated; /* taken from its filesystem, swapped or not */
	uint64_t resident;  /* in memory now, with pages that are reserved and
			       were never touched */
	uint64_t huge;      /* in huge pages; IOBUF_UNKNOWN before Linux 6.7 */
};

/*
 * Find out what a file has, without a descriptor of it: for who looks at very
 * many. A few system calls for a small file; for one of huge pages, three and a
 * page fault each. fd: open for reading.
 *
 * Nothing is paged in. A page that is taken away between being found and being
 * looked at, by who truncates the file or punches a hole, may be allocated
 * again: exclude that, or bear it.
 *
 * Returns 0; errors of fstat(2), open(2) and mmap(2).
 */
int iobuf_get_file_usage(int fd, struct iobuf_usage *ret_usage);

/* What iobuf_perform_operation() does; Apple's numbers. */
enum iobuf_operation {
	IOBUF_OPERATION_FLUSH = 1, /* write back and evict
				      (kIOMemoryIncoherentIOFlush) */
	IOBUF_OPERATION_STORE = 2, /* write back; lines stay cached where the
				      CPU can (kIOMemoryIncoherentIOStore) */
};

/*
 * Have the CPU caches, of all CPUs, write what they hold of bytes
 * [offset, offset + size) back to memory (Apple: performOperation). For devices
 * and memory that do not see the caches, and to measure from cold ones. Works
 * in every cache mode, and on whole cache lines.
 *
 * It touches no byte, and no page that is not in memory. By what this CPU has:
 * clwb, clflushopt or clflush on x86-64, dc cvac and dc civac on arm64. A store
 * without clwb evicts as well. Elsewhere it is a full memory fence and leaves
 * lines where they are.
 *
 * Returns 0; -EINVAL for another operation, and when the range reaches past the
 * capacity (of an elastic buffer, its length); -EBADF when it needs a file that
 * the descriptor has not; errors of mmap(2) and mincore(2).
 */
int iobuf_perform_operation(struct iobuf *buffer,
			    enum iobuf_operation operation, uint64_t offset,
			    uint64_t size);

/*
 * Transfers and shared files. A process that maps the same file can take pages
 * out of it (MADV_REMOVE, ftruncate(2)); when none can be had to replace them,
 * to touch the mapping raises SIGBUS. Transfers touch it in a cache mode other
 * than default and copyback, and when the descriptor has no file;
 * iobuf_perform_operation() does. No handler is installed here: a program
 * that shares files with processes that it does not trust installs one by
 * sigaction(2) with SA_SIGINFO, any other flags and any mask, and calls this
 * first.
 *
 * info  what the handler was given.
 *
 * It does not return when the fault was in such a call of this thread: that
 * call goes on, and answers as pread(2) and pwrite(2) on the file do, which is
 * -ENOSPC for want of pages; without a file a transfer is -EIO. Otherwise it
 * returns false: the fault is not of this library.
 * May be called in a signal handler only, with a signal that this thread got.
 */
#ifdef SA_SIGINFO /* strict ISO C has neither this nor siginfo_t */
bool iobuf_handle_sigbus(const siginfo_t *info);
#endif

#ifdef __cplusplus
}
#endif

#endif
