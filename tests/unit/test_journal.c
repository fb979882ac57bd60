/* SPDX-License-Identifier: MIT */
/*
 * Every operation that must not run twice, by a worker that dies before and
 * after each of its steps, and at any instruction: the next one, which gets the
 * request again, answers as if it had been the first, and nothing is there twice
 * or lost.
 */
#include "requests.h"

#include "journal.h"

#include <limits.h>
#include <sys/ptrace.h>

enum { DEAD = 3, KEPT_MAX = 8192 };

/* Steps are counted in the process that is to die at one. */
static bool counts_steps;
static unsigned int steps_left;

static void step(void)
{
	if (counts_steps && steps_left-- == 0)
		_exit(DEAD);
}

#define STEP(type, name, parameters, arguments)                                \
	type __real_##name parameters;                                         \
	type __wrap_##name parameters;                                         \
	type __wrap_##name parameters                                          \
	{                                                                      \
		type r;                                                        \
									       \
		step();                                                        \
		r = __real_##name arguments;                                   \
		step();                                                        \
		return r;                                                      \
	}

STEP(int, linkat, (int a, const char *b, int c, const char *d, int e),
     (a, b, c, d, e))
STEP(int, mkdirat, (int a, const char *b, mode_t c), (a, b, c))
STEP(int, mknodat, (int a, const char *b, mode_t c, dev_t d), (a, b, c, d))
STEP(int, symlinkat, (const char *a, int b, const char *c), (a, b, c))
STEP(int, unlinkat, (int a, const char *b, int c), (a, b, c))
STEP(int, renameat2, (int a, const char *b, int c, const char *d,
		      unsigned int e), (a, b, c, d, e))
STEP(int, fchownat, (int a, const char *b, uid_t c, gid_t d, int e),
     (a, b, c, d, e))
STEP(int, setxattr, (const char *a, const char *b, const void *c, size_t d,
		     int e), (a, b, c, d, e))
STEP(int, fsetxattr, (int a, const char *b, const void *c, size_t d, int e),
     (a, b, c, d, e))
STEP(int, removexattr, (const char *a, const char *b), (a, b))
STEP(int, fremovexattr, (int a, const char *b), (a, b))
STEP(int, iobuf_write_bytes, (struct iobuf *a, uint64_t b, const void *c,
			      uint64_t d, uint64_t *e), (a, b, c, d, e))

void __real_bfs_journal_begin(struct bfs_journal *journal,
			      enum bfs_journal_operation operation,
			      uint64_t before, uint64_t before_too);
void __wrap_bfs_journal_begin(struct bfs_journal *journal,
			      enum bfs_journal_operation operation,
			      uint64_t before, uint64_t before_too);
void __wrap_bfs_journal_begin(struct bfs_journal *journal,
			      enum bfs_journal_operation operation,
			      uint64_t before, uint64_t before_too)
{
	step();
	__real_bfs_journal_begin(journal, operation, before, before_too);
	step();
}

/* As on a filesystem that has no files without a name. */
static bool lacks_tmpfile;

int __real_openat64(int dir, const char *name, int flags, ...);
int __wrap_openat64(int dir, const char *name, int flags, ...);
int __wrap_openat64(int dir, const char *name, int flags, ...)
{
	const bool nameless = (flags & O_TMPFILE) == O_TMPFILE;
	const bool makes = flags & O_CREAT;
	mode_t mode = 0;
	va_list arguments;
	int r;

	if (lacks_tmpfile && nameless) {
		errno = EOPNOTSUPP;
		return -1;
	}
	va_start(arguments, flags);
	if (makes || nameless)
		mode = va_arg(arguments, mode_t);
	va_end(arguments);
	if (makes)
		step();
	r = __real_openat64(dir, name, flags, mode);
	if (makes)
		step();
	return r;
}

static int compare_names(const void *x, const void *y)
{
	return *(const char *)x - *(const char *)y;
}

/* Names of one letter, in order. */
static void list_names(char ret_names[8])
{
	DIR *dir = opendir(pool.path);
	const struct dirent *e;
	size_t n = 0;

	assert_non_null(dir);
	while ((e = readdir(dir)) && n < 7)
		if (e->d_name[0] != '.')
			ret_names[n++] = e->d_name[0];
	closedir(dir);
	ret_names[n] = '\0';
	qsort(ret_names, n, 1, compare_names);
}

/* A table of inodes has no end: see files.h. */
static struct bfs_inode_table *kept[KEPT_MAX];
static size_t kept_count;

static void keep_workers(void)
{
	for (size_t i = 0; i < worker_count && kept_count < KEPT_MAX; i++)
		kept[kept_count++] = workers[i];
	worker_count = 0;
}

static void take_over(void)
{
	bfs_journal_destroy(fs.journal);
	bfs_purge_queue_destroy(fs.purge);
	assert_int_equal(bfs_purge_queue_create(&fs.purge), 0);
	assert_int_equal(new_worker(), 0);
	assert_int_equal(bfs_journal_create(fs.shared, &fs.journal), 0);
	bfs_files_recover(&fs);
}

static void begin_trial(const struct request *request)
{
	assert_int_equal(make_fs(NULL), 0);
	assert_int_equal(bfs_journal_create(fs.shared, &fs.journal), 0);
	file_a = file_b = 0;
	request->prepare();
}

static void end_trial(void)
{
	bfs_journal_destroy(fs.journal);
	drop_fs(NULL);
	keep_workers();
}

/* The request comes again, and to whoever comes after a second death too. */
static void check_again(const struct request *request, const char *death,
			long at)
{
	char names[8];
	int r;

	take_over();
	bfs_journal_request(fs.journal, UNIQUE, true);
	r = request->run();
	list_names(names);
	if (r != request->result || strcmp(names, request->names) ||
	    !request->is_right())
		fail_msg("%s, death %s %ld: returns %d, leaves \"%s\"%s",
			 request->name, death, at, r, names,
			 request->is_right() ? "" : ", not right");
	bfs_journal_end(fs.journal);
	for (size_t i = 0; i < BFS_JOURNAL_MAX; i++)
		assert_int_equal(fs.shared->journal[i].unique, 0);
}

/* A worker that gets the request, and dies at a step. False: it has no more;
 * it died right before the answer. */
static bool die_at_step(const struct request *request, bool again,
			unsigned int at)
{
	int status;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		counts_steps = true;
		steps_left = at;
		bfs_journal_request(fs.journal, UNIQUE, again);
		request->run();
		_exit(EXIT_SUCCESS);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status) == DEAD;
}

static void die_at_each_step(const struct request *request)
{
	unsigned int at = 0;
	bool died;

	do {
		begin_trial(request);
		died = die_at_step(request, false, at);
		check_again(request, "at step", at++);
		end_trial();
	} while (died);
}

static void test_death_before_and_after_each_step(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(requests); i++)
		die_at_each_step(&requests[i]);
}

static int without_tmpfile(void **state)
{
	(void)state;
	lacks_tmpfile = true;
	return 0;
}

static int with_tmpfile(void **state)
{
	(void)state;
	lacks_tmpfile = false;
	return 0;
}

static void test_death_over_a_file_that_has_its_name_from_the_start(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(requests); i++)
		if (requests[i].run == run_create ||
		    requests[i].run == run_mknod)
			die_at_each_step(&requests[i]);
}

static void test_second_death_over_the_same_request(void **state)
{
	bool died, died_again;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(requests); i++) {
		unsigned int at = 0, again;

		do {
			again = 0;
			do {
				begin_trial(&requests[i]);
				died = die_at_step(&requests[i], false, at);
				take_over();
				died_again = die_at_step(&requests[i], true,
							 again++);
				check_again(&requests[i], "again after step",
					    at);
				end_trial();
			} while (died_again);
			at++;
		} while (died);
	}
}

/* -1: not allowed here. Else how many instructions there were, at most `most`
 * of which were run. */
static long die_at_instruction(const struct request *request, long most)
{
	long steps = 0;
	int status;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
			_exit(UNIT_SKIPPED);
		raise(SIGSTOP);
		bfs_journal_request(fs.journal, UNIQUE, false);
		request->run();
		_exit(EXIT_SUCCESS);
	}
	while (waitpid(pid, &status, 0) == pid && WIFSTOPPED(status) &&
	       steps < most &&
	       ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL) == 0)
		steps++;
	if (WIFSTOPPED(status)) {
		kill(pid, SIGKILL);
		waitpid(pid, &status, 0);
	}
	return WIFEXITED(status) && WEXITSTATUS(status) == UNIT_SKIPPED ? -1
									: steps;
}

static void test_death_at_any_instruction(void **state)
{
	enum { TRIALS = 3 };
	unsigned int seed = (unsigned int)getpid();
	long total, at;

	(void)state;
	print_message("seed %u\n", seed);
	srandom(seed);
	for (size_t i = 0; i < COUNT_OF(requests); i++) {
		begin_trial(&requests[i]);
		total = die_at_instruction(&requests[i], LONG_MAX);
		end_trial();
		if (total < 0)
			SKIP("ptrace(2) is not allowed");
		for (int n = 0; n < TRIALS; n++) {
			at = random() % (total + 1);
			begin_trial(&requests[i]);
			die_at_instruction(&requests[i], at);
			check_again(&requests[i], "at instruction", at);
			end_trial();
		}
	}
}

/* What somebody else did between death and resumption, where another may write
 * to the pool. */
static void begin_in_pool(const struct request *request)
{
	begin_trial(request);
	die_at_step(request, false, 100);
	take_over();
	bfs_journal_request(fs.journal, UNIQUE, true);
}

static const struct request *find_request(const char *name)
{
	for (size_t i = 0; i < COUNT_OF(requests); i++)
		if (!strcmp(requests[i].name, name))
			return &requests[i];
	return NULL;
}

static void end_in_pool(void)
{
	bfs_journal_end(fs.journal);
	end_trial();
}

static void test_name_that_was_made_again_is_not_removed(void **state)
{
	(void)state;
	begin_in_pool(find_request("unlink"));
	file_b = created("a");
	assert_int_not_equal(file_a, file_b);
	assert_int_equal(run_unlink(), 0);
	assert_int_equal(nodeid_of("a"), file_b);
	end_in_pool();
}

static void test_name_that_was_made_again_is_not_renamed(void **state)
{
	uint64_t again;

	(void)state;
	begin_in_pool(find_request("rename over another"));
	again = created("a");
	assert_int_equal(run_rename(), 0);
	assert_int_equal(nodeid_of("a"), again);
	assert_int_equal(nodeid_of("b"), file_a);
	end_in_pool();
}

static void test_name_of_somebody_else_is_not_what_was_made(void **state)
{
	(void)state;
	begin_in_pool(find_request("create"));
	assert_int_equal(unlinkat(pool.fd, "a", 0), 0);
	assert_int_equal(mknodat(pool.fd, "a", S_IFREG | 0600, 0), 0);
	file_b = nodeid_of("a");
	assert_int_equal(run_create(), -EEXIST);
	assert_int_equal(nodeid_of("a"), file_b);
	end_in_pool();
}

/* The contents went between death and resumption. */
static void purge_and_ask_again(const char *name, unsigned int at, uint32_t old)
{
	const struct request *request = find_request(name);

	begin_trial(request);
	die_at_step(request, false, at);
	take_over();
	bfs_purge(&fs, UINT64_MAX);
	bfs_journal_request(fs.journal, UNIQUE, true);
	assert_int_equal(request->run(), old);
	assert_true(request->is_right() || is_empty());
	end_in_pool();
}

static void test_purged_contents_are_told_to_be_gone(void **state)
{
	(void)state;
	/* Noted, not done: it was volatile, and is purged. */
	purge_and_ask_again("nonvolatile", 1, IOBUF_PURGEABLE_EMPTY);
	/* Done: nothing can purge it any more. */
	purge_and_ask_again("nonvolatile", 100, IOBUF_PURGEABLE_VOLATILE |
							IOBUF_VOLATILE_GROUP(3));
	/* It was not when it became volatile. */
	purge_and_ask_again("volatile", 100, IOBUF_PURGEABLE_NONVOLATILE);
}

static void test_note_of_another_operation_counts_for_nothing(void **state)
{
	uint64_t before[2] = { 7, 8 };

	(void)state;
	bfs_journal_create(fs.shared, &fs.journal);
	bfs_journal_request(fs.journal, UNIQUE, false);
	bfs_journal_begin(fs.journal, BFS_JOURNAL_CREATE, 1, 2);
	bfs_journal_begin(fs.journal, BFS_JOURNAL_UNLINK, 3, 4);
	assert_false(bfs_journal_begun(fs.journal, BFS_JOURNAL_CREATE, before));
	bfs_journal_destroy(fs.journal);
	bfs_journal_create(fs.shared, &fs.journal);
	bfs_journal_request(fs.journal, UNIQUE, true);
	assert_false(bfs_journal_begun(fs.journal, BFS_JOURNAL_UNLINK, before));
	assert_int_equal(before[0], 7);
	assert_true(bfs_journal_begun(fs.journal, BFS_JOURNAL_CREATE, before));
	assert_int_equal(before[0], 1);
	assert_int_equal(before[1], 2);
	bfs_journal_end(fs.journal);
	assert_false(bfs_journal_begun(fs.journal, BFS_JOURNAL_CREATE, before));
	bfs_journal_destroy(fs.journal);
}

/* Of a dead worker, none of which comes again. */
static void test_full_journal_makes_room_for_new_requests(void **state)
{
	uint64_t before[2];

	(void)state;
	for (uint32_t i = 0; i < BFS_JOURNAL_MAX; i++)
		fs.shared->journal[i].unique = 2 * i + 2;
	bfs_journal_create(fs.shared, &fs.journal);
	bfs_journal_request(fs.journal, 1000000, false);
	bfs_journal_begin(fs.journal, BFS_JOURNAL_MKDIR, 0, 0);
	bfs_journal_destroy(fs.journal);
	bfs_journal_create(fs.shared, &fs.journal);
	bfs_journal_request(fs.journal, 1000000, true);
	assert_true(bfs_journal_begun(fs.journal, BFS_JOURNAL_MKDIR, before));
	bfs_journal_end(fs.journal);
	bfs_journal_destroy(fs.journal);
}

/* Nor does any that is still to come lose its note to another. */
static void test_full_journal_gives_up_its_oldest_note(void **state)
{
	const uint64_t newest = 2 * BFS_JOURNAL_MAX;
	uint64_t before[2];

	(void)state;
	for (uint32_t i = 0; i < BFS_JOURNAL_MAX; i++)
		fs.shared->journal[i] = (struct bfs_journal_note){
			newest - 2 * i, BFS_JOURNAL_MKDIR, { 0 }
		};
	bfs_journal_create(fs.shared, &fs.journal);
	bfs_journal_request(fs.journal, newest + 2, false);
	bfs_journal_begin(fs.journal, BFS_JOURNAL_MKDIR, 0, 0);
	bfs_journal_end(fs.journal);
	bfs_journal_request(fs.journal, newest, true);
	assert_true(bfs_journal_begun(fs.journal, BFS_JOURNAL_MKDIR, before));
	bfs_journal_end(fs.journal);
	bfs_journal_request(fs.journal, 2, true);
	assert_false(bfs_journal_begun(fs.journal, BFS_JOURNAL_MKDIR, before));
	bfs_journal_end(fs.journal);
	bfs_journal_destroy(fs.journal);
}

/* Whatever is there, requests are served. */
static void test_corrupt_journal_harms_nobody(void **state)
{
	unsigned char *bytes;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(requests); i++) {
		begin_trial(&requests[i]);
		bytes = (unsigned char *)fs.shared->journal;
		for (size_t n = 0; n < sizeof(fs.shared->journal); n++)
			bytes[n] = (unsigned char)random();
		for (uint32_t n = 0; n < BFS_JOURNAL_MAX; n++)
			fs.shared->journal[n].operation %= 16;
		fs.shared->journal[random() % BFS_JOURNAL_MAX].unique = UNIQUE;
		take_over();
		bfs_journal_request(fs.journal, UNIQUE, true);
		requests[i].run();
		bfs_journal_end(fs.journal);
		/* And one that comes first as if nothing were there. */
		bfs_journal_request(fs.journal, UNIQUE + 2, false);
		set(created("z"), "user.test", "1");
		assert_int_equal(bfs_unlink(&fs, BFS_ROOT_NODEID, "z", 0), 0);
		bfs_journal_end(fs.journal);
		end_trial();
	}
}

static void test_nothing_is_noted_without_a_request(void **state)
{
	(void)state;
	bfs_journal_create(fs.shared, &fs.journal);
	assert_false(bfs_journal_is_on(fs.journal));
	created("a");
	assert_int_equal(run_unlink(), 0);
	for (size_t i = 0; i < BFS_JOURNAL_MAX; i++)
		assert_int_equal(fs.shared->journal[i].unique, 0);
	bfs_journal_destroy(fs.journal);
}

static int needs_pool(void **state)
{
	int r = limit_file_sizes(state);
	struct scratch s = scratch_make();

	if (setxattr(s.path, "user.unit", "x", 1, 0) < 0)
		exit(UNIT_SKIPPED);
	scratch_remove(&s);
	return r;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_death_before_and_after_each_step),
		cmocka_unit_test_setup_teardown(
			test_death_over_a_file_that_has_its_name_from_the_start,
			without_tmpfile, with_tmpfile),
		cmocka_unit_test(test_second_death_over_the_same_request),
		cmocka_unit_test(test_death_at_any_instruction),
		cmocka_unit_test(test_name_that_was_made_again_is_not_removed),
		cmocka_unit_test(test_name_that_was_made_again_is_not_renamed),
		cmocka_unit_test(test_name_of_somebody_else_is_not_what_was_made),
		cmocka_unit_test(test_purged_contents_are_told_to_be_gone),
		cmocka_unit_test(test_corrupt_journal_harms_nobody),
		over_pool(test_note_of_another_operation_counts_for_nothing),
		over_pool(test_full_journal_makes_room_for_new_requests),
		over_pool(test_full_journal_gives_up_its_oldest_note),
		over_pool(test_nothing_is_noted_without_a_request),
	};

	return cmocka_run_group_tests_name("journal", tests, needs_pool, NULL);
}
