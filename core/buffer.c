/* SPDX-License-Identifier: MIT */
/*
 * buffer.c - the life of a descriptor: created, sized, wired, released. Its
 * states and invariants stand beside struct iobuf in internal.h.
 */
#include "physical.h"

#include <assert.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/sysinfo.h>

#ifndef NDEBUG
void iobuf_check(const struct iobuf *buffer)
{
	const uint64_t length = iobuf_get_length(buffer);

	assert(atomic_load(&buffer->references) > 0);
	assert(!iobuf_is_fixed(buffer) || length <= buffer->spec.capacity);
	assert(!iobuf_is_fixed(buffer) || !buffer->mapping.base ||
	       buffer->mapping.size == iobuf_extent(buffer));
	assert(!buffer->wirings || buffer->mapping.base ||
	       iobuf_extent(buffer) == 0);
	assert(!buffer->owns_fd || buffer->fd >= 0);
}
#endif

static int new_buffer(const struct iobuf_spec *spec, int fd, uint64_t length,
		      struct iobuf **ret_buffer)
{
	struct iobuf *b = calloc(1, sizeof(*b));

	if (!b)
		return -ENOMEM;
	atomic_init(&b->references, 1);
	atomic_init(&b->length, length);
	atomic_init(&b->direction, spec->options & IOBUF_DIRECTION_MASK);
	pthread_mutex_init(&b->lock, NULL);
	b->spec = *spec;
	b->fd = fd;
	b->purgeable = IOBUF_PURGEABLE_NONVOLATILE;
	*ret_buffer = b;
	return 0;
}

int iobuf_attach(const struct iobuf_spec *spec, int fd, uint64_t length,
		 struct iobuf **ret_buffer)
{
	if (spec->capacity && length > spec->capacity)
		return -EINVAL;
	return new_buffer(spec, fd, length, ret_buffer);
}

static int stat_empty(int fd, struct stat *ret_st)
{
	if (fstat(fd, ret_st) < 0)
		return -errno;
	return ret_st->st_size || ret_st->st_blocks ? -EBUSY : 0;
}

static struct iobuf_physical physical_of(const struct iobuf_spec *spec)
{
	return (struct iobuf_physical){
		.contiguous = spec->options & IOBUF_CONTIGUOUS,
		.alignment = spec->alignment,
		.mask = spec->physical_mask,
	};
}

/* Between the build and the pin, compaction may have moved a page: look once
 * more. -ESTALE when it did. */
static int verify_in_place(const struct iobuf *b,
			   const struct iobuf_physical *want,
			   uint64_t *ret_longest)
{
	int pagemap = iobuf_frames_open();
	int r;

	if (pagemap < 0)
		return pagemap;
	r = iobuf_frames_verify(pagemap, &b->mapping, want, ret_longest);
	close(pagemap);
	return r == -ENOMEM ? -ESTALE : r;
}

/* Take a mapping and its locks and pins away. */
static void unmap(struct iobuf *b)
{
	iobuf_unpin(b->pin);
	b->pin = 0;
	iobuf_memory_unmap(&b->mapping); /* unlocks as well */
	b->wirings = 0;
}

static int obtain_physical_once(struct iobuf *b,
				const struct iobuf_physical *want,
				uint64_t *ret_longest)
{
	int r = iobuf_physical_build(b->fd, iobuf_extent(b), want, ret_longest);

	if (r < 0 || (r = iobuf_prepare(b)) < 0)
		return r;
	r = verify_in_place(b, want, ret_longest);
	if (r < 0) {
		unmap(b);
		if (ftruncate(b->fd, 0) < 0)
			return -errno;
	}
	return r;
}

static int obtain_physical(struct iobuf *b, uint64_t *ret_longest)
{
	enum { TRIES = 3 };
	const struct iobuf_physical want = physical_of(&b->spec);
	int r = -ESTALE;

	for (int i = 0; i < TRIES && r == -ESTALE; i++)
		r = obtain_physical_once(b, &want, ret_longest);
	return r == -ESTALE ? -ENOMEM : r;
}

/* Reserve the capacity and, unless pageable, wire it. */
static int obtain(struct iobuf *b, uint64_t *ret_longest)
{
	int r;

	if (iobuf_is_physical(&b->spec))
		return obtain_physical(b, ret_longest);
	if ((r = iobuf_memory_reserve(b->fd, 0, iobuf_extent(b))) < 0)
		return r;
	return iobuf_is_wired(&b->spec) ? iobuf_prepare(b) : 0;
}

static int check_creatable(const struct iobuf_spec *spec,
			   struct iobuf_reason *reason)
{
	if (spec->capacity == 0)
		return iobuf_refuse(reason, EINVAL, "no capacity");
	return iobuf_spec_supported(spec, reason);
}

/* Say what could not be had; and, where it is the lock limit that ordinary
 * processes have (getrlimit(2)), how to raise it. */
static int refuse_memory(struct iobuf_reason *ret_reason, int error,
			 const struct iobuf_spec *spec, uint64_t longest)
{
	const char *kind = iobuf_is_physical(spec) ? "contiguous or masked"
			   : iobuf_is_wired(spec)  ? "wired"
						   : "pageable";
	struct rlimit lock = { .rlim_cur = RLIM_INFINITY };
	bool may_be_limit = error == ENOMEM && iobuf_is_wired(spec) &&
			    getrlimit(RLIMIT_MEMLOCK, &lock) == 0 &&
			    lock.rlim_cur != RLIM_INFINITY;

	if (ret_reason)
		ret_reason->longest_run = longest;
	if (may_be_limit)
		return iobuf_refuse(ret_reason, error,
				    "%llu bytes of %s memory cannot be had (lock "
				    "limit without CAP_IPC_LOCK: %llu bytes, raised "
				    "by ulimit -l or LimitMEMLOCK=)",
				    (unsigned long long)spec->capacity, kind,
				    (unsigned long long)lock.rlim_cur);
	return iobuf_refuse(ret_reason, error,
			    "%llu bytes of %s memory cannot be had",
			    (unsigned long long)spec->capacity, kind);
}

static uint64_t first_length(const struct iobuf_spec *spec)
{
	return spec->given & IOBUF_GIVEN_LENGTH ? spec->length
						: spec->capacity;
}

static int create_over(const struct iobuf_spec *spec,
		       const struct iobuf_extras *extras, int fd,
		       struct iobuf **ret_buffer,
		       struct iobuf_reason *ret_reason)
{
	struct iobuf *b = NULL;
	struct stat before;
	uint64_t longest = 0;
	int r;

	if ((r = check_creatable(spec, ret_reason)) < 0 ||
	    (r = stat_empty(fd, &before)) < 0 ||
	    (r = new_buffer(spec, fd, first_length(spec), &b)) < 0)
		return r;
	b->extras = *extras;
	if ((r = obtain(b, &longest)) < 0) {
		iobuf_release(b);
		iobuf_memory_restore(fd, &before);
		return refuse_memory(ret_reason, -r, spec, longest);
	}
	iobuf_check(b);
	*ret_buffer = b;
	return 0;
}

int iobuf_create_in_file(const struct iobuf_spec *spec, int fd,
			 struct iobuf **ret_buffer,
			 struct iobuf_reason *ret_reason)
{
	return create_over(spec, &(struct iobuf_extras){ 0 }, fd, ret_buffer,
			   ret_reason);
}

/* A memfd has no limit of its own: asking it for more than there is would make
 * the kernel kill processes, one after the other. */
static int check_memory(uint64_t capacity, struct iobuf_reason *reason)
{
	struct sysinfo info;

	if (sysinfo(&info) == 0 &&
	    capacity / info.mem_unit > info.totalram + info.totalswap)
		return iobuf_refuse(reason, ENOMEM,
				    "%llu bytes are more than all memory",
				    (unsigned long long)capacity);
	return 0;
}

/* Physical runs are built of huge pages, which a memfd may not get. */
static int new_file(const struct iobuf_spec *spec)
{
	int fd;

	if (iobuf_is_physical(spec))
		return iobuf_physical_file();
	fd = memfd_create("iobuf", MFD_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* Memory of this process's own has no name that could go with another process,
 * and goes with its last reference as it is. */
static int check_own(const struct iobuf_spec *spec, struct iobuf_reason *reason)
{
	if (spec->task != IOBUF_TASK_KERNEL)
		return iobuf_refuse(reason, EOPNOTSUPP,
				    "memory of a process's own cannot be bound "
				    "to a task");
	if (spec->life != IOBUF_LIFE_UNLINK)
		return iobuf_refuse(reason, EOPNOTSUPP,
				    "memory without a name has no life=lastclose");
	return 0;
}

int iobuf_create_with(const struct iobuf_spec *spec,
		      const struct iobuf_extras *extras,
		      struct iobuf **ret_buffer,
		      struct iobuf_reason *ret_reason)
{
	struct iobuf_spec resolved;
	struct iobuf *b;
	int fd, r;

	if ((r = iobuf_spec_resolve(spec, &iobuf_spec_default, &resolved,
				    ret_reason)) < 0)
		return r;
	if ((r = check_creatable(&resolved, ret_reason)) < 0 ||
	    (r = check_own(&resolved, ret_reason)) < 0 ||
	    (r = check_memory(resolved.capacity, ret_reason)) < 0)
		return r;
	if ((fd = new_file(&resolved)) < 0)
		return fd;
	if ((r = create_over(&resolved, extras, fd, &b, ret_reason)) < 0) {
		close(fd);
		return r;
	}
	b->owns_fd = true;
	*ret_buffer = b;
	return 0;
}

int iobuf_create(const struct iobuf_spec *spec, struct iobuf **ret_buffer,
		 struct iobuf_reason *ret_reason)
{
	return iobuf_create_with(spec, &(struct iobuf_extras){ 0 }, ret_buffer,
				 ret_reason);
}

struct iobuf *iobuf_retain(struct iobuf *buffer)
{
	atomic_fetch_add_explicit(&buffer->references, 1, memory_order_relaxed);
	return buffer;
}

void iobuf_release(struct iobuf *buffer)
{
	if (!buffer || atomic_fetch_sub(&buffer->references, 1) > 1)
		return;
	unmap(buffer);
	if (buffer->owns_fd)
		close(buffer->fd);
	pthread_mutex_destroy(&buffer->lock);
	free(buffer);
}

int iobuf_set_fd(struct iobuf *buffer, int fd)
{
	IOBUF_LOCKED(buffer);

	if (buffer->owns_fd ||
	    (fd < 0 && !buffer->mapping.base && iobuf_extent(buffer) > 0))
		return -EINVAL;
	buffer->fd = fd < 0 ? -1 : fd;
	return 0;
}

int iobuf_fd(const struct iobuf *buffer)
{
	return buffer->fd;
}

const struct iobuf_spec *iobuf_get_spec(const struct iobuf *buffer)
{
	return &buffer->spec;
}

uint64_t iobuf_get_length(const struct iobuf *buffer)
{
	return atomic_load(&buffer->length);
}

uint64_t iobuf_get_capacity(const struct iobuf *buffer)
{
	return iobuf_is_fixed(buffer) ? buffer->spec.capacity
				      : iobuf_get_length(buffer);
}

uint32_t iobuf_get_direction(const struct iobuf *buffer)
{
	return atomic_load(&buffer->direction);
}

int iobuf_set_direction(struct iobuf *buffer, uint32_t direction)
{
	if (direction > IOBUF_DIRECTION_INOUT)
		return -EINVAL;
	atomic_store(&buffer->direction, direction);
	return 0;
}

int iobuf_set_length(struct iobuf *buffer, uint64_t length)
{
	IOBUF_LOCKED(buffer);

	if (!iobuf_is_fixed(buffer))
		return -EOPNOTSUPP;
	if (length > buffer->spec.capacity)
		return -EINVAL;
	atomic_store(&buffer->length, length);
	return 0;
}

int iobuf_map_locked(struct iobuf *buffer)
{
	if (buffer->mapping.base)
		return 0;
	if (buffer->fd < 0)
		return -EBADF;
	return buffer->extras.guarded
		       ? iobuf_memory_map_guarded(buffer->fd,
						  iobuf_extent(buffer),
						  &buffer->mapping)
		       : iobuf_memory_map(buffer->fd, iobuf_extent(buffer),
					  &buffer->mapping);
}

void *iobuf_get_bytes_no_copy(struct iobuf *buffer, uint64_t start,
			      uint64_t size)
{
	IOBUF_LOCKED(buffer);
	uint64_t length = iobuf_get_length(buffer);

	if (start >= length || size > length - start)
		return NULL;
	return iobuf_map_locked(buffer) < 0 ? NULL
					    : buffer->mapping.base + start;
}

static int wire_locked(struct iobuf *b)
{
	int r;

	if (iobuf_extent(b) == 0)
		return 0;
	if ((r = iobuf_map_locked(b)) < 0)
		return r;
	if (!iobuf_is_physical(&b->spec))
		return iobuf_memory_wire(&b->mapping, true);
	if ((r = iobuf_memory_wire(&b->mapping, false)) < 0)
		return r;
	/* Where io_uring is switched off there is no pin; the report tells. */
	if (iobuf_pin(&b->mapping, &b->pin) < 0)
		b->pin = 0;
	return 0;
}

int iobuf_prepare(struct iobuf *buffer)
{
	IOBUF_LOCKED(buffer);
	const bool mapped = buffer->mapping.base;
	int r = buffer->wirings ? 0 : wire_locked(buffer);

	if (r == 0)
		buffer->wirings++;
	else if (!mapped)
		iobuf_memory_unmap(&buffer->mapping);
	return r;
}

int iobuf_complete(struct iobuf *buffer)
{
	IOBUF_LOCKED(buffer);
	/* A wired buffer keeps the wiring that it was created with. */
	unsigned int kept = iobuf_is_wired(&buffer->spec) ? 1 : 0;

	if (buffer->wirings <= kept)
		return -EINVAL;
	if (--buffer->wirings == 0 && buffer->mapping.base)
		iobuf_memory_unwire(&buffer->mapping);
	return 0;
}

/* Make the mapping, if there has to be one, cover the extent again. */
static int fit_mapping(struct iobuf *b)
{
	const uint64_t extent = iobuf_extent(b);
	int r;

	if (extent == 0) {
		iobuf_memory_unmap(&b->mapping);
		return 0;
	}
	if (!b->mapping.base)
		return b->wirings ? wire_locked(b) : 0;
	if (extent == b->mapping.size)
		return 0;
	if ((r = iobuf_memory_remap(&b->mapping, extent)) < 0)
		return r;
	return b->wirings ? iobuf_memory_wire(&b->mapping, true) : 0;
}

int iobuf_resize_locked(struct iobuf *buffer, uint64_t length)
{
	const uint64_t old = iobuf_get_length(buffer);
	struct stat before;
	int r;

	if (iobuf_is_fixed(buffer))
		return -EINVAL;
	if (length > (uint64_t)INT64_MAX - iobuf_page_bytes())
		return -EFBIG;
	if (fstat(buffer->fd, &before) < 0)
		return -errno;
	if (iobuf_is_wired(&buffer->spec) && length > old)
		r = iobuf_memory_reserve(buffer->fd, old, length);
	else
		r = ftruncate(buffer->fd, (off_t)length) < 0 ? -errno : 0;
	if (r < 0)
		return r;
	atomic_store(&buffer->length, length);
	if ((r = fit_mapping(buffer)) < 0) {
		atomic_store(&buffer->length, old);
		iobuf_memory_restore(buffer->fd, &before);
		fit_mapping(buffer);
	}
	iobuf_check(buffer);
	return r;
}

int iobuf_resize(struct iobuf *buffer, uint64_t length)
{
	IOBUF_LOCKED(buffer);

	return iobuf_resize_locked(buffer, length);
}
