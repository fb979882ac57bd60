/* SPDX-License-Identifier: MIT */
/*
 * test_faults.c - a failed call leaves nothing: no memory, no descriptor, no
 * mapping, no changed file.
 *
 * The linker (--wrap, see CMakeLists.txt) puts the wrappers below between
 * libiobuf and the system. For each way to obtain memory the first call fails,
 * then the second, and so on until none is left to fail, each with every errno
 * that the kernel could have answered. The wrappers count heap blocks and
 * mapped bytes, too; /proc is asked for the rest.
 */
#include "buffers.h"

#include <malloc.h>
#include <sys/uio.h>

enum {
	SIZE = 3 * MIB,  /* more than a huge page: its mapping gets aligned */
	START = MIB - 5, /* what an elastic buffer starts from: MIB in pages */
};

static struct {
	bool counting;
	int left;            /* calls until the one that fails; 0: none does */
	unsigned int choice; /* which of its errnos */
	int error;           /* it failed with this; 0: not yet */
	const char *call;    /* its wrapper */
	long blocks, heap_bytes, mapped_bytes;
} probe;

/* Wrappers that have made a call fail. */
static const char *tried[32];

static void note_tried(const char *call)
{
	size_t i = 0;

	while (tried[i] && strcmp(tried[i], call))
		i++;
	assert_true(i < COUNT_OF(tried));
	tried[i] = call;
}

static bool was_tried(const char *call)
{
	for (size_t i = 0; i < COUNT_OF(tried) && tried[i]; i++)
		if (!strcmp(tried[i] + strlen("__wrap_"), call))
			return true;
	return false;
}

/* True, with errno set, for the call whose turn it is. */
static bool fault(const char *call, const int *errors, unsigned int count)
{
	if (!probe.counting || probe.left == 0 || --probe.left > 0)
		return false;
	probe.error = errors[probe.choice % count];
	probe.call = call;
	note_tried(call);
	errno = probe.error;
	return true;
}

#define FAULT(...)                                                             \
	fault(__func__, (const int[]){ __VA_ARGS__ },                          \
	      sizeof((const int[]){ __VA_ARGS__ }) / sizeof(int))

enum { CHOICES = 3 }; /* the most errnos that a wrapper below lists */

#define WRAP(type, name, ...)                                                  \
	type __real_##name(__VA_ARGS__);                                       \
	type __wrap_##name(__VA_ARGS__);                                       \
	type __wrap_##name(__VA_ARGS__)

static void *count_block(void *block)
{
	if (probe.counting && block) {
		probe.blocks++;
		probe.heap_bytes += (long)malloc_usable_size(block);
	}
	return block;
}

WRAP(void *, malloc, size_t size)
{
	return FAULT(ENOMEM) ? NULL : count_block(__real_malloc(size));
}

WRAP(void *, calloc, size_t count, size_t size)
{
	return FAULT(ENOMEM) ? NULL : count_block(__real_calloc(count, size));
}

static void discount_block(void *block)
{
	if (probe.counting && block) {
		probe.blocks--;
		probe.heap_bytes -= (long)malloc_usable_size(block);
	}
}

WRAP(void *, realloc, void *block, size_t size)
{
	void *larger;

	if (FAULT(ENOMEM))
		return NULL;
	discount_block(block);
	larger = __real_realloc(block, size);
	assert_non_null(larger); /* what was discounted is gone */
	return count_block(larger);
}

WRAP(void, free, void *block)
{
	discount_block(block);
	__real_free(block);
}

static void count_mapped(uint64_t more, uint64_t less)
{
	if (probe.counting)
		probe.mapped_bytes += (long)more - (long)less;
}

static uint64_t whole_pages(uint64_t size)
{
	return (size + page_bytes() - 1) / page_bytes() * page_bytes();
}

WRAP(void *, mmap64, void *at, size_t size, int protection, int flags, int fd,
     off_t offset)
{
	void *p = FAULT(ENOMEM, EAGAIN)
			  ? MAP_FAILED
			  : __real_mmap64(at, size, protection, flags, fd,
					  offset);

	if (p != MAP_FAILED && !(flags & MAP_FIXED))
		count_mapped(whole_pages(size), 0);
	return p;
}

WRAP(int, munmap, void *at, size_t size)
{
	int r = __real_munmap(at, size);

	if (r == 0)
		count_mapped(0, whole_pages(size));
	return r;
}

WRAP(void *, mremap, void *at, size_t old_size, size_t size, int flags, ...)
{
	void *p, *to = NULL;
	va_list args;

	va_start(args, flags);
	if (flags & MREMAP_FIXED)
		to = va_arg(args, void *);
	va_end(args);
	p = FAULT(ENOMEM, EAGAIN)
		    ? MAP_FAILED
		    : __real_mremap(at, old_size, size, flags, to);
	/* At a fixed address, it replaces what was counted there. */
	if (p != MAP_FAILED)
		count_mapped(flags & MREMAP_FIXED ? 0 : whole_pages(size),
			     whole_pages(old_size));
	return p;
}

WRAP(int, fallocate64, int fd, int mode, off_t offset, off_t size)
{
	return FAULT(ENOSPC, EINTR, ENOMEM)
		       ? -1
		       : __real_fallocate64(fd, mode, offset, size);
}

WRAP(int, ftruncate64, int fd, off_t size)
{
	return FAULT(EFBIG, ENOMEM, EINTR) ? -1 : __real_ftruncate64(fd, size);
}

WRAP(int, memfd_create, const char *name, unsigned int flags)
{
	return FAULT(EMFILE, ENFILE, ENOMEM) ? -1
					     : __real_memfd_create(name, flags);
}

WRAP(int, fstat64, int fd, struct stat *st)
{
	return FAULT(ENOMEM, EIO) ? -1 : __real_fstat64(fd, st);
}

WRAP(int, madvise, void *at, size_t size, int advice)
{
	return FAULT(EINVAL, EAGAIN, ENOMEM)
		       ? -1
		       : __real_madvise(at, size, advice);
}

WRAP(ssize_t, pread64, int fd, void *bytes, size_t size, off_t offset)
{
	return FAULT(EIO, ENOMEM) ? -1
				  : __real_pread64(fd, bytes, size, offset);
}

WRAP(ssize_t, pwrite64, int fd, const void *bytes, size_t size, off_t offset)
{
	return FAULT(ENOSPC, ENOMEM, EIO)
		       ? -1
		       : __real_pwrite64(fd, bytes, size, offset);
}

WRAP(int, open64, const char *path, int flags, ...)
{
	unsigned int mode = 0;
	va_list args;

	va_start(args, flags);
	if (flags & (O_CREAT | O_TMPFILE))
		mode = va_arg(args, unsigned int);
	va_end(args);
	return FAULT(EMFILE, ENOMEM, EACCES) ? -1
					     : __real_open64(path, flags, mode);
}

WRAP(int, openat64, int dir, const char *path, int flags, ...)
{
	unsigned int mode = 0;
	va_list args;

	va_start(args, flags);
	if (flags & (O_CREAT | O_TMPFILE))
		mode = va_arg(args, unsigned int);
	va_end(args);
	return FAULT(EMFILE, ENOMEM, ENOSPC)
		       ? -1
		       : __real_openat64(dir, path, flags, mode);
}

WRAP(ssize_t, process_vm_readv, pid_t pid, const struct iovec *local,
     unsigned long local_count, const struct iovec *remote,
     unsigned long remote_count, unsigned long flags)
{
	return FAULT(EFAULT, ESRCH, EPERM)
		       ? -1
		       : __real_process_vm_readv(pid, local, local_count,
						 remote, remote_count, flags);
}

/* Arguments of a system call that libiobuf makes by number. */
static size_t arguments_of(long number)
{
	switch (number) {
	case SYS_mlock:
	case SYS_munlock:
	case SYS_io_uring_setup:
		return 2;
	case SYS_io_uring_register:
		return 4;
	default:
		fail_msg("system call %ld has no row here", number);
		return 0;
	}
}

WRAP(long, syscall, long number, ...)
{
	long a[6] = { 0 };
	va_list args;

	va_start(args, number);
	for (size_t i = 0; i < arguments_of(number); i++)
		a[i] = va_arg(args, long);
	va_end(args);
	if (FAULT(ENOMEM, EAGAIN, EPERM)) {
		/* mlock(2) notices that late: the range is locked by then. */
		if (number == SYS_mlock && probe.error == EAGAIN)
			__real_syscall(number, a[0], a[1]);
		errno = probe.error;
		return -1;
	}
	return __real_syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

/* One attempt: what was there before, and what the call made of it. */
struct scene {
	int fd;              /* the caller's file; -1: none */
	struct iobuf *given; /* a buffer to be changed; NULL: one is created */
	struct iobuf *made;
	size_t n;
	struct stat st;
	uint64_t length;
};

struct kind {
	const char *name;
	const char *spec;
	void (*set_up)(struct scene *scene, const char *spec);
	int (*act)(struct scene *scene, const char *spec);
	uint64_t wired; /* bytes that a success adds to VmLck */
	bool optional;  /* may fail by itself: a physical run is not always to
			   be had, above all under RUN_TESTS()'s file limit */
};

static void with_a_file(struct scene *s, const char *text)
{
	(void)text;
	s->fd = new_memfd();
}

static void with_an_empty_buffer(struct scene *s, const char *text)
{
	struct iobuf_spec spec = resolved(text);

	s->fd = new_memfd();
	assert_int_equal(iobuf_attach(&spec, s->fd, 0, &s->given), 0);
	assert_int_equal(iobuf_prepare(s->given), 0);
}

static void with_a_grown_buffer(struct scene *s, const char *text)
{
	with_an_empty_buffer(s, text);
	assert_int_equal(iobuf_resize(s->given, START), 0);
	assert_int_equal(iobuf_write_bytes(s->given, 0, "kept", 4, &s->n), 0);
}

static void with_a_pageable_buffer(struct scene *s, const char *text)
{
	struct iobuf_spec spec = resolved(text);

	assert_int_equal(iobuf_create(&spec, &s->given, NULL), 0);
	s->fd = dup(iobuf_fd(s->given));
}

static void with_a_mapped_buffer(struct scene *s, const char *text)
{
	with_a_pageable_buffer(s, text);
	assert_non_null(iobuf_get_bytes_no_copy(s->given, 0, 1));
}

static int act_create(struct scene *s, const char *text)
{
	struct iobuf_spec spec = resolved(text);

	return iobuf_create(&spec, &s->made, NULL);
}

static int act_create_in_file(struct scene *s, const char *text)
{
	struct iobuf_spec spec = resolved(text);

	return iobuf_create_in_file(&spec, s->fd, &s->made, NULL);
}

static int act_resize(struct scene *s, const char *text)
{
	(void)text;
	return iobuf_resize(s->given, SIZE);
}

static int act_write(struct scene *s, const char *text)
{
	(void)text;
	return iobuf_write_bytes(s->given, SIZE - 1, "x", 1, &s->n);
}

static int act_append(struct scene *s, const char *text)
{
	static const char bytes[SIZE];

	(void)text;
	return iobuf_append_bytes(s->given, bytes,
				  SIZE - iobuf_get_length(s->given), &s->n);
}

static int act_prepare(struct scene *s, const char *text)
{
	(void)text;
	return iobuf_prepare(s->given);
}

static unsigned char input[SIZE];

static int act_with_bytes(struct scene *s, const char *text)
{
	(void)text;
	return iobuf_with_bytes(input, sizeof(input), IOBUF_DIRECTION_OUT,
				false, &s->made);
}

static int act_with_copy(struct scene *s, const char *text)
{
	(void)text;
	return iobuf_with_copy(0, IOBUF_PAGEABLE, 0, (uintptr_t)input,
			       sizeof(input), &s->made);
}

static int act_with_wired_copy(struct scene *s, const char *text)
{
	(void)text;
	return iobuf_with_copy(0, 0, 0, (uintptr_t)input, sizeof(input),
			       &s->made);
}

static int act_with_guards(struct scene *s, const char *text)
{
	(void)text;
	return iobuf_in_task_with_guard_pages(0, 0, SIZE, &s->made);
}

static const struct kind kinds[] = {
	{ .name = "pageable memory",
	  .spec = "pageable,capacity=3M",
	  .act = act_create },
	{ .name = "wired memory",
	  .spec = "wired,capacity=3M",
	  .act = act_create,
	  .wired = SIZE },
	{ .name = "pageable memory in a file",
	  .spec = "pageable,capacity=3M",
	  .set_up = with_a_file,
	  .act = act_create_in_file },
	{ .name = "wired memory in a file",
	  .spec = "wired,capacity=3M",
	  .set_up = with_a_file,
	  .act = act_create_in_file,
	  .wired = SIZE },
	{ .name = "the first bytes of a wired buffer",
	  .spec = "wired",
	  .set_up = with_an_empty_buffer,
	  .act = act_resize,
	  .wired = SIZE },
	{ .name = "more of a wired buffer",
	  .spec = "wired",
	  .set_up = with_a_grown_buffer,
	  .act = act_resize,
	  .wired = SIZE - MIB },
	{ .name = "the first write to a wired buffer",
	  .spec = "wired",
	  .set_up = with_an_empty_buffer,
	  .act = act_write,
	  .wired = SIZE },
	{ .name = "a write past a wired buffer",
	  .spec = "wired",
	  .set_up = with_a_grown_buffer,
	  .act = act_write,
	  .wired = SIZE - MIB },
	{ .name = "bytes added to a wired buffer",
	  .spec = "wired",
	  .set_up = with_a_grown_buffer,
	  .act = act_append,
	  .wired = SIZE - MIB },
	{ .name = "bytes added to a prepared buffer",
	  .spec = "pageable",
	  .set_up = with_a_grown_buffer,
	  .act = act_append,
	  .wired = SIZE - MIB },
	{ .name = "prepared memory",
	  .spec = "pageable,capacity=3M",
	  .set_up = with_a_pageable_buffer,
	  .act = act_prepare,
	  .wired = SIZE },
	{ .name = "prepared memory that is mapped",
	  .spec = "pageable,capacity=3M",
	  .set_up = with_a_mapped_buffer,
	  .act = act_prepare,
	  .wired = SIZE },
	{ .name = "bytes",
	  .act = act_with_bytes,
	  .wired = SIZE },
	{ .name = "a copy",
	  .act = act_with_copy },
	{ .name = "a wired copy",
	  .act = act_with_wired_copy,
	  .wired = SIZE },
	{ .name = "guarded memory",
	  .act = act_with_guards,
	  .wired = SIZE },
	{ .name = "contiguous memory",
	  .spec = "contiguous,capacity=64K",
	  .act = act_create,
	  .wired = 65536,
	  .optional = true },
	{ .name = "masked memory",
	  .spec = "mask=0xffffffffffff,capacity=64K",
	  .act = act_create,
	  .wired = 65536,
	  .optional = true },
};

/* What the process has, as the wrappers and the kernel see it. */
struct footprint {
	long blocks, mapped;
	unsigned int fds;
	uint64_t locked;
};

static struct footprint footprint(void)
{
	return (struct footprint){ probe.blocks, probe.mapped_bytes, open_fds(),
				   locked_bytes() };
}

static void set_up(struct scene *s, const struct kind *kind)
{
	/* Long ago: a change would not hide within the clock's tick. */
	const struct timespec long_ago[2] = { { .tv_sec = 1 },
					      { .tv_sec = 2 } };

	*s = (struct scene){ .fd = -1 };
	if (kind->set_up)
		kind->set_up(s, kind->spec);
	if (s->fd >= 0) {
		assert_int_equal(futimens(s->fd, long_ago), 0);
		s->st = stat_of(s->fd);
	}
	s->length = s->given ? iobuf_get_length(s->given) : 0;
	s->n = 77;
}

static void tear_down(struct scene *s)
{
	iobuf_release(s->made);
	iobuf_release(s->given);
	if (s->fd >= 0)
		close(s->fd);
}

static int attempt(struct scene *s, const struct kind *kind, int nth,
		   unsigned int choice)
{
	int r;

	probe.left = nth;
	probe.choice = choice;
	probe.error = 0;
	r = kind->act(s, kind->spec);
	probe.left = 0;
	return r;
}

#define EXPECT(condition)                                                      \
	do {                                                                   \
		if (!(condition))                                              \
			fail_msg("%s, %s fails with %s: %s", kind->name,       \
				 probe.call ? probe.call : "nothing",          \
				 strerrorname_np(probe.error), #condition);    \
	} while (0)

static void expect_file_unchanged(const struct kind *kind,
				  const struct scene *s)
{
	struct stat st = stat_of(s->fd);

	EXPECT(st.st_size == s->st.st_size);
	EXPECT(st.st_blocks == s->st.st_blocks);
	EXPECT(st.st_mtim.tv_sec == s->st.st_mtim.tv_sec);
	EXPECT(st.st_mtim.tv_nsec == s->st.st_mtim.tv_nsec);
}

static void expect_nothing_left(const struct kind *kind,
				const struct scene *s, struct footprint before)
{
	struct footprint now = footprint();

	EXPECT(now.blocks == before.blocks);
	EXPECT(now.mapped == before.mapped);
	EXPECT(now.fds == before.fds);
	EXPECT(now.locked == before.locked);
	EXPECT(!s->made && s->n == 77);
	if (s->fd >= 0)
		expect_file_unchanged(kind, s);
	if (s->given && s->length) {
		EXPECT(iobuf_get_length(s->given) == s->length);
		EXPECT(iobuf_get_bytes_no_copy(s->given, 0, s->length));
	}
}

/* What a fault did not stop is whole. */
static void expect_success(const struct kind *kind, const struct scene *s,
			   struct footprint before)
{
	struct iobuf *b = s->made ? s->made : s->given;
	struct iobuf_report report = { 0 };

	EXPECT(locked_bytes() == before.locked + kind->wired);
	EXPECT(b && iobuf_get_length(b) >= kind->wired);
	EXPECT(iobuf_get_report(b, &report) == 0);
	EXPECT(report.allocated >= iobuf_get_length(b));
	EXPECT(iobuf_get_bytes_no_copy(b, 0, iobuf_get_length(b)));
}

/* Let the n-th call fail. Returns whether there was one. */
static bool try_fault(const struct kind *kind, int nth, unsigned int choice)
{
	struct footprint before;
	struct scene s;
	bool fired;
	int r;

	probe.counting = true;
	set_up(&s, kind);
	before = footprint();
	r = attempt(&s, kind, nth, choice);
	fired = probe.error;
	/* The errno that it was, or want of memory, which several mean. */
	EXPECT(r == 0 || r == -probe.error || r == -ENOMEM ||
	       (r == -EFBIG && kind->optional));
	EXPECT(r == 0 || fired || kind->optional);
	if (r < 0) {
		expect_nothing_left(kind, &s, before);
		/* And what failed once works the next time. */
		r = attempt(&s, kind, 0, 0);
		EXPECT(r == 0 || kind->optional);
	}
	if (r == 0)
		expect_success(kind, &s, before);
	tear_down(&s);
	probe.counting = false;
	return fired;
}

static bool can_be_built(const struct kind *kind)
{
	struct scene s;
	int r;

	if (!kind->optional)
		return true;
	set_up(&s, kind);
	r = attempt(&s, kind, 0, 0);
	tear_down(&s);
	if (r < 0)
		print_message("%s: %s, not tried\n", kind->name,
			      strerrorname_np(-r));
	return r == 0;
}

static void every_failure_leaves_nothing(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(kinds); i++) {
		const struct kind *kind = &kinds[i];
		int nth = 0;

		if (!can_be_built(kind))
			continue;
		for (unsigned int choice = 0; choice < CHOICES; choice++)
			for (nth = 1; try_fault(kind, nth, choice);)
				nth++;
		assert_true(nth > 2); /* the wrappers are in between */
	}
}

static void every_fault_was_tried(void **state)
{
	static const char *const calls[] = {
		"calloc",      "mmap64",       "mremap",  "fallocate64",
		"ftruncate64", "memfd_create", "fstat64", "madvise",
		"pwrite64",    "syscall",      "process_vm_readv",
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(calls); i++)
		if (!was_tried(calls[i]))
			fail_msg("%s never failed", calls[i]);
}

/* Whatever it stands for: what is large is memory of the buffer itself. */
static void a_descriptor_costs_under_512_bytes_of_heap(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(kinds); i++) {
		const struct kind *kind = &kinds[i];
		struct scene s;
		long before;

		if (!can_be_built(kind))
			continue;
		probe.counting = true;
		before = probe.heap_bytes;
		set_up(&s, kind);
		if (attempt(&s, kind, 0, 0) < 0 && kind->optional)
			print_message("%s: not measured\n", kind->name);
		else
			assert_in_range(probe.heap_bytes - before, 1, 511);
		tear_down(&s);
		assert_int_equal(probe.heap_bytes, before);
		probe.counting = false;
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_failure_leaves_nothing),
		cmocka_unit_test(every_fault_was_tried),
		cmocka_unit_test(a_descriptor_costs_under_512_bytes_of_heap),
	};

	return RUN_TESTS("faults", tests);
}
