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
#include <sys/stat.h>
#include <unistd.h>

/* Functions that libiobuf.so exports are those of core/libiobuf.map. */

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
	size_t size; /* whole pages */
};

/*
 * memory.c: the only file that calls mmap, mlock, fallocate and madvise.
 *
 * reserve: make the file `size` bytes long with every page from `from` on
 * allocated. On failure the file has its old size and allocation.
 */
int iobuf_memory_reserve(int fd, uint64_t from, uint64_t size);
/* Put a file's size and times back to what they were. */
void iobuf_memory_restore(int fd, const struct stat *before);
int iobuf_memory_map(int fd, uint64_t size, struct iobuf_mapping *ret_mapping);
/* Map more of the same file; -ENOMEM leaves the mapping as it was. */
int iobuf_memory_remap(struct iobuf_mapping *mapping, uint64_t size);
void iobuf_memory_unmap(struct iobuf_mapping *mapping);
/* Fault in and lock. -ENOMEM when the lock limit or memory is exhausted. */
int iobuf_memory_wire(const struct iobuf_mapping *mapping);
void iobuf_memory_unwire(const struct iobuf_mapping *mapping);

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
	_Atomic uint64_t length;     /* read by anyone, moved under `lock` */
	_Atomic uint32_t direction;  /* one of IOBUF_DIRECTION_* */
	pthread_mutex_t lock;        /* protects what follows */
	int fd;                      /* -1: let go */
	bool owns_fd;
	struct iobuf_mapping mapping;
	unsigned int wirings;
};

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

/* buffer.c: map the whole extent if it is not mapped yet; `lock` held. */
int iobuf_map_locked(struct iobuf *buffer);
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
