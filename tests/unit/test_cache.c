/* SPDX-License-Identifier: MIT */
/*
 * Cache modes: the right bytes in every one of them, by every way to work on
 * cache lines that this CPU has; pages that are taken away meanwhile; and that
 * a line which is said to be evicted takes longer to read.
 */
#include "unit.h"

#include "../../core/internal.h"

#include <time.h>

static const uint32_t modes[] = {
	IOBUF_CACHE_DEFAULT,  IOBUF_CACHE_INHIBIT,	IOBUF_CACHE_WRITETHRU,
	IOBUF_CACHE_COPYBACK, IOBUF_CACHE_WRITECOMBINE,
};

static const char *const mode_names[] = { "default", "inhibit", "writethru",
					  "copyback", "writecombine" };

static struct iobuf_spec spec_of(const char *kind, const char *mode)
{
	struct iobuf_spec spec;
	char text[128];

	snprintf(text, sizeof(text), "%s,cache=%s", kind, mode);
	assert_int_equal(iobuf_spec_parse(text, strlen(text), &spec, NULL), 0);
	assert_int_equal(iobuf_spec_resolve(&spec, &iobuf_spec_default, &spec,
					    NULL),
			 0);
	return spec;
}

static struct iobuf *created(const char *kind, const char *mode)
{
	struct iobuf_spec spec = spec_of(kind, mode);
	struct iobuf *b = NULL;

	assert_int_equal(iobuf_create(&spec, &b, NULL), 0);
	return b;
}

/* Over a file that the test keeps. */
static struct iobuf *attached(const char *kind, const char *mode, int fd)
{
	struct iobuf_spec spec = spec_of(kind, mode);
	struct iobuf *b = NULL;

	assert_int_equal(iobuf_attach(&spec, fd, (uint64_t)stat_of(fd).st_size,
				      &b),
			 0);
	return b;
}

static void written(struct iobuf *b, uint64_t offset, const void *bytes,
		    size_t size)
{
	size_t n = SIZE_MAX;

	assert_int_equal(iobuf_write_bytes(b, offset, bytes, size, &n), 0);
	assert_int_equal(n, size);
}

static uint32_t random_below(uint32_t limit)
{
	static uint64_t x = UINT64_C(0x9E3779B97F4A7C15);

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return (uint32_t)(x >> 32) % limit;
}

static void fill_randomly(unsigned char *p, size_t size)
{
	for (size_t i = 0; i < size; i++)
		p[i] = (unsigned char)random_below(256);
}

/* --- the instructions ---------------------------------------------------- */

static const struct iobuf_cache *available_row(size_t *index)
{
	const struct iobuf_cache *row;

	while ((row = iobuf_cache_row(*index)) && !row->available())
		++*index;
	return row;
}

static void the_first_row_that_the_cpu_has_is_chosen(void **state)
{
	size_t i = 0, last = 0;

	(void)state;
	assert_ptr_equal(iobuf_cache_chosen(), available_row(&i));
	assert_ptr_equal(iobuf_cache_chosen(), available_row(&i));
	while (iobuf_cache_row(last + 1))
		last++;
	assert_string_equal(iobuf_cache_row(last)->name, "portable");
	assert_true(iobuf_cache_row(last)->available());
	print_message("this CPU has %s\n", iobuf_cache_chosen()->name);
}

enum { ROOM = 3 * 4096, MARGIN = 128 };

/* A copy of `size` bytes, and nothing on either side of it. */
static void check_copy(const struct iobuf_cache *by, uint32_t mode, bool in,
		       size_t to_skip, size_t from_skip, size_t size)
{
	static _Alignas(4096) unsigned char to[ROOM], from[ROOM];
	unsigned char *at = to + MARGIN + to_skip;

	memset(to, 0xa5, sizeof(to));
	(in ? iobuf_cache_copy_in : iobuf_cache_copy_out)(by, mode, at,
							  from + from_skip,
							  size);
	if (memcmp(at, from + from_skip, size) ||
	    !all_bytes_are(to, (size_t)(at - to), 0xa5) ||
	    !all_bytes_are(at + size, sizeof(to) - (size_t)(at + size - to),
			   0xa5))
		fail_msg("%s, mode 0x%x, %s: %zu bytes from %zu to %zu",
			 by->name, mode, in ? "in" : "out", size, from_skip,
			 to_skip);
	fill_randomly(from, 8);
}

static void check_copies(const struct iobuf_cache *by, uint32_t mode, bool in)
{
	static const size_t skips[] = { 0, 1, 8, 15, 16, 33, 63 };
	static const size_t sizes[] = { 0,  1,  7,  8,	 15,  16,   17,	  31,
					63, 64, 65, 127, 129, 4095, 4096, 8193 };

	for (size_t to = 0; to < COUNT_OF(skips); to++)
		for (size_t from = 0; from < COUNT_OF(skips); from++)
			for (size_t i = 0; i < COUNT_OF(sizes); i++)
				check_copy(by, mode, in, skips[to], skips[from],
					   sizes[i]);
}

static void every_row_copies_right_at_every_size_and_alignment(void **state)
{
	const struct iobuf_cache *row;

	(void)state;
	for (size_t i = 0; (row = available_row(&i)); i++)
		for (size_t m = 0; m < COUNT_OF(modes); m++) {
			check_copies(row, modes[m], true);
			check_copies(row, modes[m], false);
		}
}

static void to_store_or_flush_changes_no_byte(void **state)
{
	static _Alignas(4096) unsigned char p[8192], copy[8192];
	const struct iobuf_cache *row;

	(void)state;
	fill_randomly(p, sizeof(p));
	memcpy(copy, p, sizeof(p));
	for (size_t i = 0; (row = available_row(&i)); i++) {
		row->store(p + 3, 5000);
		row->flush(p + 61, 7000);
		row->store(p, 0);
		row->flush(p, 0);
		assert_memory_equal(p, copy, sizeof(p));
	}
}

/* A row that writes down what is asked of it, with the bytes as they are then:
 * 's'tore, 'f'lush, 'w' for streaming; upper case: the copy was made. */
static char asked[8];
static unsigned char recorded_to[10];

static void record(char what)
{
	bool copied = recorded_to[0] == 7;

	asked[strlen(asked)] = (char)(copied ? what - 'a' + 'A' : what);
}

static void record_stream(void *to, const void *from, size_t n)
{
	record('w');
	memcpy(to, from, n);
}

static void record_store(const void *p, size_t n)
{
	assert_ptr_equal(p, recorded_to);
	assert_int_equal(n, sizeof(recorded_to));
	record('s');
}

/* Of the buffer's lines, which a copy out of it reads. */
static const void *flushed_at;

static void record_flush(const void *p, size_t n)
{
	assert_ptr_equal(p, flushed_at);
	assert_int_equal(n, sizeof(recorded_to));
	record('f');
}

static void each_mode_asks_for_what_it_promises(void **state)
{
	static const char *const in[] = { "", "F", "S", "", "w" };
	static const char *const out[] = { "", "fF", "", "", "" };
	static const unsigned char from[sizeof(recorded_to)] = { 7 };
	static const struct iobuf_cache row = {
		.stream = record_stream,
		.store = record_store,
		.flush = record_flush,
	};

	(void)state;
	for (size_t m = 0; m < COUNT_OF(modes); m++) {
		memset(asked, 0, sizeof(asked));
		recorded_to[0] = 0;
		flushed_at = recorded_to;
		iobuf_cache_copy_in(&row, modes[m], recorded_to, from,
				    sizeof(from));
		assert_string_equal(asked, in[m]);
		assert_int_equal(recorded_to[0], 7);

		memset(asked, 0, sizeof(asked));
		recorded_to[0] = 0;
		flushed_at = from;
		iobuf_cache_copy_out(&row, modes[m], recorded_to, from,
				     sizeof(from));
		assert_string_equal(asked, out[m]);
		assert_int_equal(recorded_to[0], 7);
	}
}

/* --- transfers ----------------------------------------------------------- */

enum { MODEL = 64 * 1024 };

/* Transfers at random, against an array that they are made in too. */
static void check_against_array(struct iobuf *b)
{
	static unsigned char model[MODEL], bytes[MODEL];
	uint32_t length = (uint32_t)iobuf_get_length(b);

	memset(model, 0, sizeof(model));
	for (int i = 0; i < 300; i++) {
		uint32_t at = random_below(MODEL), n = random_below(12000);
		size_t done = 0;

		n = n < MODEL - at ? n : MODEL - at;
		fill_randomly(bytes, n);
		if (i % 3) {
			written(b, at, bytes, n);
			memcpy(model + at, bytes, n);
			length = n && at + n > length ? at + n : length;
		}
		assert_int_equal(iobuf_get_length(b), length);
		assert_int_equal(iobuf_read_bytes(b, 0, bytes, MODEL, &done), 0);
		assert_int_equal(done, length);
		assert_memory_equal(bytes, model, length);
	}
}

static void every_mode_keeps_the_bytes_of_a_fixed_buffer(void **state)
{
	static const char *const kinds[] = { "pageable,capacity=64K",
					     "wired,capacity=64K",
					     "unshared,wired,capacity=64K" };

	(void)state;
	for (size_t m = 0; m < COUNT_OF(modes); m++)
		for (size_t k = 0; k < COUNT_OF(kinds); k++) {
			struct iobuf *b = created(kinds[k], mode_names[m]);

			assert_int_equal(iobuf_set_length(b, 100), 0);
			check_against_array(b);
			iobuf_release(b);
		}
}

static void every_mode_keeps_the_bytes_of_an_elastic_buffer(void **state)
{
	static const char *const kinds[] = { "pageable", "wired" };

	(void)state;
	for (size_t m = 0; m < COUNT_OF(modes); m++)
		for (size_t k = 0; k < COUNT_OF(kinds); k++) {
			int fd = new_memfd();
			struct iobuf *b = attached(kinds[k], mode_names[m], fd);

			check_against_array(b);
			assert_int_equal(stat_of(fd).st_size,
					 iobuf_get_length(b));
			iobuf_release(b);
			close(fd);
		}
}

static void other_mappings_see_every_transfer(void **state)
{
	(void)state;
	for (size_t m = 0; m < COUNT_OF(modes); m++) {
		int fd = new_memfd();
		struct iobuf_spec spec = spec_of("capacity=8K", mode_names[m]);
		struct iobuf *b = NULL;
		unsigned char *p;
		char back[5];
		size_t n;

		assert_int_equal(iobuf_create_in_file(&spec, fd, &b, NULL), 0);
		p = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		written(b, 4094, "hello", 5);
		assert_memory_equal(p + 4094, "hello", 5);
		memcpy(p + 4094, "world", 5);
		assert_int_equal(iobuf_read_bytes(b, 4094, back, 5, &n), 0);
		assert_memory_equal(back, "world", 5);
		munmap(p, 8192);
		iobuf_release(b);
		close(fd);
	}
}

static void a_write_in_every_mode_is_one_to_the_times_of_the_file(void **state)
{
	(void)state;
	for (size_t m = 0; m < COUNT_OF(modes); m++) {
		const struct timespec old[2] = { { .tv_sec = 1 }, { .tv_sec = 1 } };
		int fd = new_memfd();
		struct iobuf *b;

		assert_int_equal(ftruncate(fd, 4096), 0);
		b = attached("pageable,capacity=4K", mode_names[m], fd);
		/* The first store faults, which the kernel takes for one. */
		for (int i = 0; i < 2; i++) {
			assert_int_equal(futimens(fd, old), 0);
			written(b, 10, "x", 1);
			assert_true(stat_of(fd).st_mtim.tv_sec > 1);
		}
		iobuf_release(b);
		close(fd);
	}
}

/* Not a SIGSEGV. */
static void a_write_to_memory_that_is_read_only_is_ebadf(void **state)
{
	(void)state;
	for (size_t m = 0; m < COUNT_OF(modes); m++) {
		int fd = new_memfd(), read_only;
		char path[64];
		struct iobuf *b;
		size_t n = 77;

		assert_int_equal(ftruncate(fd, 4096), 0);
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		read_only = open(path, O_RDONLY | O_CLOEXEC);
		b = attached("pageable,capacity=4K", mode_names[m], read_only);
		assert_int_equal(iobuf_write_bytes(b, 0, "x", 1, &n), -EBADF);
		assert_int_equal(iobuf_prepare(b), 0);
		assert_int_equal(iobuf_write_bytes(b, 0, "x", 1, &n), -EBADF);
		assert_int_equal(iobuf_set_fd(b, -1), 0);
		assert_int_equal(iobuf_write_bytes(b, 0, "x", 1, &n), -EBADF);
		assert_int_equal(n, 77);
		/* With a file that can be written, so can the buffer. */
		assert_int_equal(iobuf_set_fd(b, fd), 0);
		written(b, 0, "x", 1);
		iobuf_release(b);
		close(read_only);
		close(fd);
	}
}

/* --- operations ---------------------------------------------------------- */

static void an_operation_past_the_capacity_or_unknown_is_einval(void **state)
{
	struct iobuf *b = created("capacity=8K", "default");

	(void)state;
	assert_int_equal(iobuf_set_length(b, 10), 0);
	for (int o = IOBUF_OPERATION_FLUSH; o <= IOBUF_OPERATION_STORE; o++) {
		assert_int_equal(iobuf_perform_operation(b, o, 0, 8192), 0);
		assert_int_equal(iobuf_perform_operation(b, o, 8192, 0), 0);
		assert_int_equal(iobuf_perform_operation(b, o, 0, 8193),
				 -EINVAL);
		assert_int_equal(iobuf_perform_operation(b, o, 8193, 0),
				 -EINVAL);
		assert_int_equal(iobuf_perform_operation(b, o, 1, UINT64_MAX),
				 -EINVAL);
	}
	assert_int_equal(iobuf_perform_operation(b, 0, 0, 1), -EINVAL);
	assert_int_equal(iobuf_perform_operation(b, 3, 0, 1), -EINVAL);
	iobuf_release(b);
}

static void the_operations_have_apples_numbers(void **state)
{
	(void)state;
	assert_int_equal(IOBUF_OPERATION_FLUSH, 1);
	assert_int_equal(IOBUF_OPERATION_STORE, 2);
}

static void an_operation_takes_no_memory(void **state)
{
	const uint64_t size = UINT64_C(1) << 30;
	int fd = new_memfd();
	struct iobuf *b;
	blkcnt_t blocks;

	(void)state;
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	b = attached("pageable", "inhibit", fd);
	written(b, size / 2 - 1, "ab", 2);
	blocks = stat_of(fd).st_blocks;
	for (int o = IOBUF_OPERATION_FLUSH; o <= IOBUF_OPERATION_STORE; o++) {
		assert_int_equal(iobuf_perform_operation(b, o, 0, size), 0);
		assert_int_equal(iobuf_perform_operation(b, o, 5, 4096), 0);
	}
	assert_int_equal(stat_of(fd).st_blocks, blocks);
	assert_int_equal(lseek(fd, 0, SEEK_CUR), 0);
	assert_int_equal(mapped_bytes("unit"), 0);
	iobuf_release(b);
	close(fd);
}

static void an_operation_without_a_file_takes_no_memory(void **state)
{
	struct iobuf_spec spec = spec_of("capacity=16K", "default");
	int fd = new_memfd();
	struct iobuf *b = NULL;
	blkcnt_t blocks;

	(void)state;
	assert_int_equal(iobuf_create_in_file(&spec, fd, &b, NULL), 0);
	memset(iobuf_get_bytes_no_copy(b, 0, 16384), 1, 16384);
	assert_int_equal(iobuf_set_fd(b, -1), 0);
	assert_int_equal(fallocate(fd,
				   FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				   4096, 8192),
			 0);
	blocks = stat_of(fd).st_blocks;
	assert_int_equal(iobuf_perform_operation(b, IOBUF_OPERATION_FLUSH, 1,
						 16383),
			 0);
	assert_int_equal(stat_of(fd).st_blocks, blocks);
	iobuf_release(b);
	close(fd);
}

/* --- pages that are taken away ------------------------------------------- */

/* As a program would: it ends by a fault that is not the library's. */
static void on_sigbus(int number, siginfo_t *info, void *context)
{
	(void)number;
	(void)context;
	if (iobuf_handle_sigbus(info))
		return;
	_exit(42);
}

static void install_handler(int flags)
{
	struct sigaction action = { .sa_sigaction = on_sigbus,
				    .sa_flags = SA_SIGINFO | flags };

	sigfillset(&action.sa_mask);
	CHILD_CHECK(sigaction(SIGBUS, &action, NULL) == 0);
}

static bool no_signal_is_blocked(void)
{
	sigset_t set;

	sigprocmask(SIG_BLOCK, NULL, &set);
	for (int number = 1; number < 32; number++)
		if (sigismember(&set, number) == 1)
			return false;
	return true;
}

static void transfer_to_a_truncated_file(void)
{
	static char bytes[100];

	install_handler(0);
	for (size_t m = 0; m < COUNT_OF(modes); m++) {
		struct iobuf_spec spec = spec_of("capacity=8K", mode_names[m]);
		int fd = new_memfd();
		struct iobuf *b = NULL;
		size_t n = 77;

		CHILD_CHECK(iobuf_create_in_file(&spec, fd, &b, NULL) == 0);
		CHILD_CHECK(iobuf_get_bytes_no_copy(b, 0, 1));
		CHILD_CHECK(iobuf_set_fd(b, -1) == 0);
		CHILD_CHECK(ftruncate(fd, 4096) == 0);
		CHILD_CHECK(iobuf_write_bytes(b, 4090, bytes, 100, &n) == -EIO);
		CHILD_CHECK(iobuf_read_bytes(b, 4090, bytes, 100, &n) == -EIO);
		CHILD_CHECK(n == 77);
		CHILD_CHECK(no_signal_is_blocked());
		CHILD_CHECK(iobuf_write_bytes(b, 4000, bytes, 96, &n) == 0);
		CHILD_CHECK(iobuf_perform_operation(b, IOBUF_OPERATION_FLUSH, 0,
						    8192) == 0);
		/* With the file, as pread(2) and pwrite(2). */
		CHILD_CHECK(iobuf_set_fd(b, fd) == 0);
		CHILD_CHECK(iobuf_read_bytes(b, 4090, bytes, 100, &n) == 0);
		CHILD_CHECK(n == 6);
		CHILD_CHECK(iobuf_write_bytes(b, 4090, bytes, 100, &n) == 0);
		CHILD_CHECK(n == 100 && stat_of(fd).st_size == 4190);
		iobuf_release(b);
		close(fd);
	}
}

static void a_transfer_survives_a_file_truncated_under_it(void **state)
{
	(void)state;
	run_in_child(transfer_to_a_truncated_file);
}

/* A buffer of 8 pages in a full tmpfs that has lost the pages 2 and 3. */
static struct iobuf *punched(const char *kind, const char *mode, int *ret_fd)
{
	struct iobuf_spec spec = spec_of(kind, mode);
	struct iobuf *b = NULL;
	int filler = new_shm_file();
	char page[4096] = "x";

	*ret_fd = new_shm_file();
	CHILD_CHECK(iobuf_create_in_file(&spec, *ret_fd, &b, NULL) == 0);
	for (uint64_t at = 0; at < 8; at++)
		written(b, at * 4096, page, 4096);
	CHILD_CHECK(fallocate(*ret_fd,
			      FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 8192,
			      8192) == 0);
	while (write(filler, page, 4096) == 4096)
		;
	/* Left open: it stays full for as long as the child lives. */
	return b;
}

static void transfer_to_a_punched_file(const char *kind, const char *mode)
{
	int fd;
	struct iobuf *b = punched(kind, mode, &fd);
	char bytes[16384];
	size_t n = 77;

	CHILD_CHECK(iobuf_write_bytes(b, 8192, bytes, 4096, &n) == -ENOSPC);
	CHILD_CHECK(n == 77);
	/* A read needs no page, and what fits is written. */
	CHILD_CHECK(iobuf_read_bytes(b, 8190, bytes, 4100, &n) == 0);
	CHILD_CHECK(n == 4100 && all_bytes_are(bytes, n, 0));
	CHILD_CHECK(iobuf_write_bytes(b, 4096, bytes, 8192, &n) == 0);
	CHILD_CHECK(n == 4096);
	CHILD_CHECK(iobuf_perform_operation(b, IOBUF_OPERATION_STORE, 0,
					    8 * 4096) == 0);
	iobuf_release(b);
	close(fd);
}

static const char *child_kind, *child_mode;

static void in_a_full_tmpfs(void)
{
	enter_small_tmpfs("256k");
	install_handler(SA_NODEFER);
	transfer_to_a_punched_file(child_kind, child_mode);
}

static void a_transfer_to_punched_memory_fails_as_write_does(void **state)
{
	static const char *const kinds[] = { "pageable,capacity=32K",
					     "wired,capacity=32K" };

	(void)state;
	for (size_t m = 0; m < COUNT_OF(modes); m++)
		for (size_t k = 0; k < COUNT_OF(kinds); k++) {
			child_kind = kinds[k];
			child_mode = mode_names[m];
			if (run_in_child(in_a_full_tmpfs) == UNIT_SKIPPED)
				SKIP("may not mount");
		}
}

static void fault_outside(void)
{
	int fd = new_memfd();
	volatile char *p = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);

	install_handler(0);
	(void)*p;
}

/* The bytes of the caller are no memory of the library. */
static void fault_in_the_callers_bytes(void)
{
	struct iobuf *b = created("capacity=4K", "inhibit");
	int fd = new_memfd();
	size_t n;

	install_handler(0);
	iobuf_write_bytes(b, 0, mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0),
			  64, &n);
}

static void sent_by_a_process(void)
{
	install_handler(0);
	raise(SIGBUS);
}

static void a_fault_that_is_not_the_librarys_is_left_to_the_program(void **state)
{
	static void (*const bodies[])(void) = {
		fault_outside, fault_in_the_callers_bytes, sent_by_a_process
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(bodies); i++) {
		int status = -1;
		pid_t pid = fork();

		if (pid == 0) {
			bodies[i]();
			_exit(0);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFEXITED(status));
		assert_int_equal(WEXITSTATUS(status), 42);
	}
}

/* --- evicted lines, by the time that they take ---------------------------- */

/*
 * A chain of lines in random order, each naming the next, so that one read has
 * to wait for another and nothing can be fetched ahead. Lines are fetched in
 * pairs: one of each is used. The last pair of a page keeps its translation
 * warm and is in no chain.
 */
enum { PAIR = 128, PAIRS = 4096 / PAIR - 1, PAGES = 16, ROUNDS = 101,
       NODES = PAIRS * PAGES, BYTES = PAGES * 4096 };

static void make_chain(unsigned char *bytes)
{
	uint32_t order[NODES];

	memset(bytes, 0, BYTES);
	for (uint32_t i = 0; i < NODES; i++)
		order[i] = i / PAIRS * 4096 + i % PAIRS * PAIR;
	for (uint32_t i = NODES - 1; i > 1; i--) {
		uint32_t other = 1 + random_below(i), kept = order[i];

		order[i] = order[other];
		order[other] = kept;
	}
	for (uint32_t i = 0; i < NODES; i++)
		memcpy(bytes + order[i], &order[(i + 1) % NODES], 4);
}

static double chase_ns(const volatile unsigned char *p)
{
	struct timespec start, end;
	uint32_t at = 0;

	for (size_t page = 0; page < PAGES; page++)
		(void)p[page * 4096 + PAIRS * PAIR];
	clock_gettime(CLOCK_MONOTONIC, &start);
	for (int i = 0; i < NODES; i++)
		at = *(const volatile uint32_t *)(p + at);
	clock_gettime(CLOCK_MONOTONIC, &end);
	assert_int_equal(at, 0);
	return ((double)(end.tv_sec - start.tv_sec) * 1e9 +
		(double)(end.tv_nsec - start.tv_nsec)) /
	       NODES;
}

static int compare_doubles(const void *a, const void *b)
{
	const double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* Median time to read a line after bytes were transferred in and, when that is
 * not 0, an operation was performed. */
static double median_ns(const char *mode, int operation, bool read_back)
{
	static unsigned char chain[BYTES];
	struct iobuf *b = created("wired,capacity=64K", mode);
	const unsigned char *p = iobuf_get_bytes_no_copy(b, 0, BYTES);
	double ns[ROUNDS];
	size_t n;

	make_chain(chain);
	for (int i = 0; i < ROUNDS; i++) {
		written(b, 0, chain, BYTES);
		if (read_back)
			iobuf_read_bytes(b, 0, chain, BYTES, &n);
		if (operation)
			iobuf_perform_operation(b, operation, 0, BYTES);
		ns[i] = chase_ns(p);
	}
	iobuf_release(b);
	qsort(ns, ROUNDS, sizeof(ns[0]), compare_doubles);
	print_message("%-12s %s%s: %6.1f ns\n", mode,
		      operation == IOBUF_OPERATION_FLUSH   ? "flushed"
		      : operation == IOBUF_OPERATION_STORE ? "stored"
							   : "written",
		      read_back ? ", read" : "", ns[ROUNDS / 2]);
	return ns[ROUNDS / 2];
}

/* The same after a flush of so many bytes from `skip` past each line's start. */
static double median_ns_of_lines(const struct iobuf_cache *by, int skip,
				 size_t size)
{
	static _Alignas(4096) unsigned char chain[BYTES];
	double ns[ROUNDS];

	make_chain(chain);
	for (int i = 0; i < ROUNDS; i++) {
		chase_ns(chain);
		for (int pair = 1; pair < BYTES / PAIR; pair++)
			by->flush(chain + pair * PAIR + skip, size);
		ns[i] = chase_ns(chain);
	}
	qsort(ns, ROUNDS, sizeof(ns[0]), compare_doubles);
	print_message("%-12s %zu bytes from %2d: %6.1f ns\n", by->name, size,
		      skip, ns[ROUNDS / 2]);
	return ns[ROUNDS / 2];
}

static void stay_on_one_cpu(void)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(sched_getcpu(), &set);
	sched_setaffinity(0, sizeof(set), &set);
}

/* Memory is tens of times slower than a cache: a few times is a wide margin for
 * the noise of a shared machine, and no cache is that much slower than itself. */
static void evicted_lines_take_longer_to_read(void **state)
{
	const bool evicts = iobuf_cache_chosen()->evicts;
	double cached;

	(void)state;
	if (!evicts)
		SKIP("this CPU has nothing to evict lines with");
	stay_on_one_cpu();
	cached = median_ns("default", 0, false);
	assert_true(median_ns("default", IOBUF_OPERATION_FLUSH, false) >
		    3 * cached);
	assert_true(median_ns("inhibit", 0, false) > 3 * cached);
	assert_true(median_ns("inhibit", 0, true) > 3 * cached);
	assert_true(median_ns("writecombine", 0, false) > 3 * cached);
	assert_true(median_ns("copyback", 0, false) < 3 * cached);
	/* Whether clwb keeps a line is up to the CPU: shown, not checked. */
	median_ns("writethru", 0, false);
	median_ns("default", IOBUF_OPERATION_STORE, false);
}

/* And a line that is not in the range at all stays. */
static void a_flush_evicts_every_line_that_it_touches(void **state)
{
	const struct iobuf_cache *row;

	(void)state;
	stay_on_one_cpu();
	for (size_t i = 0; (row = available_row(&i)); i++) {
		double cached = median_ns_of_lines(row, 0, 0);

		if (!row->evicts)
			continue;
		assert_true(median_ns_of_lines(row, 0, 64) > 3 * cached);
		assert_true(median_ns_of_lines(row, 63, 1) > 3 * cached);
		assert_true(median_ns_of_lines(row, -1, 2) > 3 * cached);
		assert_true(median_ns_of_lines(row, -1, 1) < 3 * cached);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_first_row_that_the_cpu_has_is_chosen),
		cmocka_unit_test(
			every_row_copies_right_at_every_size_and_alignment),
		cmocka_unit_test(to_store_or_flush_changes_no_byte),
		cmocka_unit_test(each_mode_asks_for_what_it_promises),
		cmocka_unit_test(every_mode_keeps_the_bytes_of_a_fixed_buffer),
		cmocka_unit_test(
			every_mode_keeps_the_bytes_of_an_elastic_buffer),
		cmocka_unit_test(other_mappings_see_every_transfer),
		cmocka_unit_test(
			a_write_in_every_mode_is_one_to_the_times_of_the_file),
		cmocka_unit_test(a_write_to_memory_that_is_read_only_is_ebadf),
		cmocka_unit_test(
			an_operation_past_the_capacity_or_unknown_is_einval),
		cmocka_unit_test(the_operations_have_apples_numbers),
		cmocka_unit_test(an_operation_takes_no_memory),
		cmocka_unit_test(an_operation_without_a_file_takes_no_memory),
		cmocka_unit_test(a_transfer_survives_a_file_truncated_under_it),
		cmocka_unit_test(
			a_transfer_to_punched_memory_fails_as_write_does),
		cmocka_unit_test(
			a_fault_that_is_not_the_librarys_is_left_to_the_program),
		cmocka_unit_test(evicted_lines_take_longer_to_read),
		cmocka_unit_test(a_flush_evicts_every_line_that_it_touches),
	};

	return RUN_TESTS("cache", tests);
}
