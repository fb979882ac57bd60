/* SPDX-License-Identifier: MIT */
/*
 * internal.h - what the files of libiobuf share, and nobody else sees.
 */
#ifndef IOBUF_INTERNAL_H
#define IOBUF_INTERNAL_H

#include <iobuf/iobuf.h>

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* Functions that libiobuf.so exports are those of core/libiobuf.map. */

#ifndef MADV_POPULATE_READ /* Linux 5.14; older headers lack them */
#define MADV_POPULATE_READ 22
#define MADV_POPULATE_WRITE 23
#endif
#ifndef MADV_COLLAPSE /* Linux 6.1 */
#define MADV_COLLAPSE 25
#endif

static inline uint64_t iobuf_page_bytes(void)
{
	return (uint64_t)sysconf(_SC_PAGESIZE);
}

/* PMD size of x86-64 and of arm64 with 4 KiB pages. */
#define IOBUF_HUGE_BYTES (UINT64_C(2) << 20)

static inline uint64_t iobuf_round_up(uint64_t n, uint64_t power_of_two)
{
	return (n + power_of_two - 1) & ~(power_of_two - 1);
}

/* reason.c: fill in the words for a refusal, and return -error. */
int iobuf_refuse(struct iobuf_reason *ret_reason, int error, const char *format,
		 ...) __attribute__((format(printf, 3, 4)));

/* A mapping of a file; `base` NULL when there is none. */
struct iobuf_mapping {
	unsigned char *base;
	size_t size;  /* whole pages */
	bool writable;
	size_t guard; /* bytes without access before and after, outside `size`:
			 one page each or none. Unmapping frees them too, so
			 that no neighbour can slip in while it is mapped. */
};

/*
 * memory.c: a buffer's memory, by mmap, mlock, fallocate and madvise. (What
 * physical.h is about handles single pages, and calls some of them itself.)
 *
 * reserve: make the file `size` bytes long with every page from `from` on
 * allocated. On failure the file has its old size and allocation.
 */
int iobuf_memory_reserve(int fd, uint64_t from, uint64_t size);
/* Give every page of a file back; mappings of it read as zero from then on.
 * size: of the file, in whole pages. */
int iobuf_memory_discard(int fd, uint64_t size);
/* Put a file's size and times back to what they were. */
void iobuf_memory_restore(int fd, const struct stat *before);
int iobuf_memory_map(int fd, uint64_t size, struct iobuf_mapping *ret_mapping);
/* A window of a file. */
int iobuf_memory_map_at(int fd, uint64_t offset, uint64_t size,
			struct iobuf_mapping *ret_mapping);
/* All of it, with a guard page on each side. Not to be remapped. */
int iobuf_memory_map_guarded(int fd, uint64_t size,
			     struct iobuf_mapping *ret_mapping);
/* Map more of the same file; -ENOMEM leaves the mapping as it was. */
int iobuf_memory_remap(struct iobuf_mapping *mapping, uint64_t size);
void iobuf_memory_unmap(struct iobuf_mapping *mapping);
/* Fault pages in that may be written: they are allocated and clear then. -ENOSPC:
 * the filesystem is full; errors of madvise(2). */
int iobuf_memory_populate(void *base, uint64_t size);
/* Fault in and lock. may_move: pages may be replaced by huge ones. -ENOMEM when
 * the lock limit or memory is exhausted. */
int iobuf_memory_wire(const struct iobuf_mapping *mapping, bool may_move);
void iobuf_memory_unwire(const struct iobuf_mapping *mapping);
/* Which pages from `base` on are in memory: bit 0 of a byte for each. */
int iobuf_memory_residency(const void *base, size_t size,
			   unsigned char *ret_pages);
/* The same file, with a position of its own; -1 when that cannot be had. */
int iobuf_memory_reopen(int fd);
/* The first stretch of [from, end) that holds data: [*ret_from, *ret_to), empty
 * at `end` when none does; all of it when fd is -1. Moves the position. */
int iobuf_memory_next_data(int fd, uint64_t from, uint64_t end,
			   uint64_t *ret_from, uint64_t *ret_to);

/*
 * cache.c: cache lines, by what a CPU has for them. Rows go from the best to
 * the last, which every CPU has; NULL past it.
 */
struct iobuf_cache {
	const char *name;
	bool (*available)(void);
	bool keeps;  /* `store` leaves lines in the cache */
	bool evicts; /* `flush` leaves none there */
	/* memcpy(3) past the caches, and a fence. */
	void (*stream)(void *to, const void *from, size_t n);
	/* Write the lines that [p, p + n) touches back to memory. */
	void (*store)(const void *p, size_t n);
	/* The same, and evict them. */
	void (*flush)(const void *p, size_t n);
};

const struct iobuf_cache *iobuf_cache_row(size_t index);
/* The first that this CPU has. */
const struct iobuf_cache *iobuf_cache_chosen(void);
/* Copy into or out of a buffer of a cache mode, one of IOBUF_CACHE_*. */
void iobuf_cache_copy_in(const struct iobuf_cache *by, uint32_t mode, void *to,
			 const void *from, size_t n);
void iobuf_cache_copy_out(const struct iobuf_cache *by, uint32_t mode, void *to,
			  const void *from, size_t n);

/*
 * fault.c: call body(context), which may touch [at, at + size). 0; -EFAULT when
 * it met a page that was gone, with what it had done until then done. That
 * takes a program whose handler calls iobuf_handle_sigbus().
 */
int iobuf_catch_fault(const void *at, size_t size, void (*body)(void *),
		      void *context);

/* What constructors give a descriptor besides its specification. */
struct iobuf_extras {
	uint32_t kernel_tag, user_tag;
	bool guarded; /* guard pages around the mapping; fixed buffers only */
};

/*
 * The descriptor.
 *
 * Invariants (checked by iobuf_check() in debug builds):
 *  - fixed (spec.capacity > 0): length <= spec.capacity, and the mapping, when
 *    there is one, covers the whole capacity;
 *  - elastic: spec.capacity == 0 and length is the file's size;
 *  - wirings > 0 implies a mapping that is locked.
 */
struct iobuf {
	atomic_uint references;
	struct iobuf_spec spec;      /* constant after creation */
	struct iobuf_extras extras;  /* constant after creation */
	_Atomic uint64_t length;     /* read by anyone, moved under `lock` */
	_Atomic uint32_t direction;  /* one of IOBUF_DIRECTION_* */
	pthread_mutex_t lock;        /* protects what follows */
	int fd;                      /* -1: let go */
	bool owns_fd;
	struct iobuf_mapping mapping;
	unsigned int wirings;
	int pin; /* keeps the memory from moving; 0: none */
	uint32_t purgeable;   /* state */
	uint32_t purge_count; /* times that its contents went */
};

/* One physical run, or frames under a mask: such memory is never moved. */
static inline bool iobuf_is_physical(const struct iobuf_spec *spec)
{
	return (spec->options & IOBUF_CONTIGUOUS) || spec->physical_mask;
}

static inline bool iobuf_is_fixed(const struct iobuf *buffer)
{
	return buffer->spec.capacity > 0;
}

static inline bool iobuf_is_wired(const struct iobuf_spec *spec)
{
	return !(spec->options & IOBUF_PAGEABLE);
}

/* Bytes of the file that the descriptor stands for, in whole pages. */
static inline uint64_t iobuf_extent(const struct iobuf *buffer)
{
	uint64_t n = iobuf_is_fixed(buffer) ? buffer->spec.capacity
					    : iobuf_get_length(buffer);

	return iobuf_round_up(n, iobuf_page_bytes());
}

/* buffer.c: iobuf_create() with extras: every constructor ends here. */
int iobuf_create_with(const struct iobuf_spec *spec,
		      const struct iobuf_extras *extras,
		      struct iobuf **ret_buffer,
		      struct iobuf_reason *ret_reason);
/* buffer.c: map the whole extent if it is not mapped yet; `lock` held. */
int iobuf_map_locked(struct iobuf *buffer);
/* view.c: bytes of a buffer in memory, while `lock` is held. -EBADF without a
 * file or a mapping; errors of mmap(2). A zeroed view may be closed. */
struct iobuf_view {
	unsigned char *at;
	bool writable;
	struct iobuf_mapping own;
};
int iobuf_view_open(struct iobuf *buffer, uint64_t offset, uint64_t size,
		    struct iobuf_view *ret_view);
void iobuf_view_close(struct iobuf_view *view);
/* operation.c: iobuf_perform_operation() of a valid range; `lock` held. */
int iobuf_operate_locked(struct iobuf *buffer, enum iobuf_operation operation,
			 uint64_t offset, uint64_t size);
/* buffer.c: iobuf_resize() for who holds `lock`. */
int iobuf_resize_locked(struct iobuf *buffer, uint64_t length);

#ifdef NDEBUG
static inline void iobuf_check(const struct iobuf *buffer)
{
	(void)buffer;
}
#else
void iobuf_check(const struct iobuf *buffer);
#endif

/* Scope-bound locking: IOBUF_LOCKED(buffer); holds buffer->lock to the end. */
static inline void iobuf_unlock_cleanup(pthread_mutex_t **lock)
{
	pthread_mutex_unlock(*lock);
}

static inline pthread_mutex_t *iobuf_lock(struct iobuf *buffer)
{
	pthread_mutex_lock(&buffer->lock);
	return &buffer->lock;
}

#define IOBUF_LOCKED(buffer)                                                   \
	__attribute__((cleanup(iobuf_unlock_cleanup), unused))                 \
	pthread_mutex_t *iobuf_held_ = iobuf_lock(buffer)

#endif
