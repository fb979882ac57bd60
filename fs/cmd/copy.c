/* SPDX-License-Identifier: MIT */
/*
 * copy.c - iobuf copy: bytes from file to file.
 *
 * A destination that is made is complete or gone. One that is there is somebody's
 * buffer, perhaps mapped: it is looked at first whether all can fit, and written
 * over in place.
 */
#include "cmd.h"
#include "progress.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { STEP_BYTES = 4 << 20, BUFFER_BYTES = 1 << 20 };

struct copy {
	const char *from, *to; /* paths, for words */
	int in, out;
	int made; /* an O_PATH descriptor; -1: it was there */
	struct stat in_stat;
	uint64_t total, done; /* of a pipe, PROGRESS_UNKNOWN */
	bool by_hand;         /* the kernel does not do it for these two */
	bool is_source;       /* whom the error is of */
	struct progress progress;
};

static volatile sig_atomic_t ended_by;

static void on_signal(int number)
{
	ended_by = number;
}

static void watch_signals(void)
{
	static const int signals[] = { SIGINT, SIGTERM, SIGHUP };
	struct sigaction action = { .sa_handler = on_signal }, former;

	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		if (sigaction(signals[i], NULL, &former) == 0 &&
		    former.sa_handler != SIG_IGN)
			sigaction(signals[i], &action, NULL);
	signal(SIGPIPE, SIG_IGN); /* EPIPE */
}

static int write_all(struct copy *c, const char *bytes, size_t size)
{
	while (size > 0) {
		const ssize_t n = write(c->out, bytes, size);

		if (n < 0)
			return -errno;
		bytes += n;
		size -= (size_t)n;
		c->done += (uint64_t)n;
	}
	return 0;
}

/* Returns the bytes that were moved; 0 at the end. */
static ssize_t step_by_hand(struct copy *c, size_t most)
{
	static char buffer[BUFFER_BYTES];
	const ssize_t n = read(c->in, buffer,
			       most < sizeof(buffer) ? most : sizeof(buffer));
	int r;

	c->is_source = n < 0;
	if (n < 0)
		return -errno;
	r = write_all(c, buffer, (size_t)n);
	return r < 0 ? r : n;
}

/* Errors that say "not between these two". */
static bool is_refusal(int error)
{
	return error == EXDEV || error == EINVAL || error == ENOSYS ||
	       error == EOPNOTSUPP || error == EBADF || error == EPERM ||
	       error == ETXTBSY;
}

static ssize_t step(struct copy *c, size_t most)
{
	ssize_t n;

	if (!c->by_hand) {
		n = copy_file_range(c->in, NULL, c->out, NULL, most, 0);
		if (n > 0)
			c->done += (uint64_t)n;
		/* Files of /proc seem to be empty. */
		if (n > 0 || (n == 0 && c->done > 0))
			return n;
		if (n < 0 && !is_refusal(errno))
			return -errno;
		c->by_hand = true;
	}
	return step_by_hand(c, most);
}

static int move_bytes(struct copy *c, uint64_t most)
{
	while (most > 0) {
		const ssize_t n = step(c, most < STEP_BYTES ? most : STEP_BYTES);

		if (ended_by)
			return -EINTR;
		if (n < 0)
			return (int)n;
		if (n == 0)
			return 0;
		most -= (uint64_t)n < most ? (uint64_t)n : most;
		progress_update(&c->progress, c->done);
	}
	return 0;
}

/* Into a file that is new: what is a hole stays one. */
static int move_data(struct copy *c)
{
	const off_t end = c->in_stat.st_size;
	off_t data = 0, hole;
	int r = 0;

	while (r == 0 && (data = lseek(c->in, data, SEEK_DATA)) >= 0 &&
	       data < end) {
		hole = lseek(c->in, data, SEEK_HOLE);
		if (hole < 0 || lseek(c->in, data, SEEK_SET) < 0 ||
		    lseek(c->out, data, SEEK_SET) < 0)
			return -errno;
		c->done = (uint64_t)data;
		r = move_bytes(c, (uint64_t)(hole - data));
		data = hole;
	}
	if (r == 0)
		c->done = (uint64_t)end;
	return r < 0 || data >= 0 || errno == ENXIO ? r : -errno;
}

static bool is_sparse(const struct stat *st)
{
	return S_ISREG(st->st_mode) && st->st_blocks * 512 < st->st_size;
}

/* What will not fit is known now. */
static int make_room(const struct copy *c)
{
	const off_t size = c->in_stat.st_size;

	if (c->made < 0 || c->total == PROGRESS_UNKNOWN || size == 0)
		return 0;
	if (is_sparse(&c->in_stat))
		return ftruncate(c->out, size) < 0 ? -errno : 0;
	if (fallocate(c->out, 0, 0, size) == 0 || errno == EOPNOTSUPP)
		return 0;
	return -errno;
}

/* The length is that of the source, of a fixed buffer as well. */
static int set_length(const struct copy *c)
{
	struct stat st;

	if (fstat(c->out, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size == c->done)
		return 0;
	return ftruncate(c->out, (off_t)c->done) < 0 ? -errno : 0;
}

static int move_all(struct copy *c)
{
	int r = make_room(c);

	if (r < 0)
		return r;
	if (c->made >= 0 && is_sparse(&c->in_stat))
		r = move_data(c);
	else
		r = move_bytes(c, UINT64_MAX);
	return r < 0 ? r : set_length(c);
}

/* What it is made with: what was asked, else what the source is. */
static int set_spec(const struct copy *c, const struct value *spec)
{
	const char *text = spec->text;
	int r;

	if (!text)
		text = attribute_get(path_of(c->in), "user.iobuf");
	if (!text)
		return 0;
	r = attribute_set(path_of(c->made), "user.iobuf", text);
	return r == -EOPNOTSUPP && !spec->text ? 0 : r;
}

static int make(struct copy *c, const struct value *spec)
{
	int r = file_make(c->to, (0666 & c->in_stat.st_mode) | 0200, &c->made);

	if (r < 0 || (r = set_spec(c, spec)) < 0)
		return r;
	c->out = open(path_of(c->made), O_WRONLY | O_CLOEXEC);
	return c->out < 0 ? -errno : 0;
}

static int refuse_size(const struct copy *c, uint64_t capacity)
{
	char words[128];

	snprintf(words, sizeof(words),
		 "its capacity is %llu bytes, not the %llu of the source: "
		 "nothing was changed", (unsigned long long)capacity,
		 (unsigned long long)c->total);
	return complain_that(c->to, words);
}

/* One that is there. */
static int take(struct copy *c, const struct value *spec)
{
	char capacity[32] = "";
	struct stat st;
	const char *state;
	uint64_t limit;

	if (spec->text)
		return complain_that(c->to, "it is there already, and --spec is "
				     "for one that is made");
	c->out = open(c->to, O_WRONLY | O_CLOEXEC | O_NOCTTY);
	if (c->out < 0 || fstat(c->out, &st) < 0)
		return complain(c->to, errno);
	if (st.st_dev == c->in_stat.st_dev && st.st_ino == c->in_stat.st_ino)
		return complain_that(c->to, "that is the same file");
	if ((state = attribute_get(c->to, "user.iobuf.state")))
		state_find(state, "capacity", capacity, sizeof(capacity));
	limit = strtoull(capacity, NULL, 10);
	if (limit && c->total != PROGRESS_UNKNOWN && c->total > limit)
		return refuse_size(c, limit);
	return EXIT_SUCCESS;
}

static int open_source(struct copy *c)
{
	c->in = open(c->from, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (c->in < 0 || fstat(c->in, &c->in_stat) < 0)
		return complain(c->from, errno);
	if (S_ISDIR(c->in_stat.st_mode))
		return complain(c->from, EISDIR);
	c->total = S_ISREG(c->in_stat.st_mode) ? (uint64_t)c->in_stat.st_size
					       : PROGRESS_UNKNOWN;
	return EXIT_SUCCESS;
}

/* As cp(1): into a directory, by the same name. */
static void find_name(struct copy *c, char path[PATH_MAX])
{
	const char *slash = strrchr(c->from, '/');
	struct stat st;

	if (stat(c->to, &st) == 0 && S_ISDIR(st.st_mode) &&
	    snprintf(path, PATH_MAX, "%s/%s", c->to,
		     slash ? slash + 1 : c->from) < PATH_MAX)
		c->to = path;
}

static int run(struct copy *c, const struct arguments *a)
{
	const struct value *spec = &a->values[OPTION_SPEC];
	int status = open_source(c), r;

	if (status != EXIT_SUCCESS)
		return status;
	r = make(c, spec);
	if (r == -EEXIST && c->made < 0)
		status = take(c, spec);
	else if (r < 0)
		status = complain(c->to, -r);
	if (status != EXIT_SUCCESS)
		return status;
	progress_begin(&c->progress, c->total, a->values[OPTION_QUIET].text);
	r = move_all(c);
	progress_end(&c->progress);
	/* Some filesystems tell only now. */
	if (close(c->out) < 0 && r == 0)
		r = -errno;
	c->out = -1;
	if (r == 0 || ended_by)
		return r == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
	return complain(c->is_source ? c->from : c->to, -r);
}

int command_copy(const struct arguments *a)
{
	struct copy c = { .from = a->operands[0], .to = a->operands[1],
			  .in = -1, .out = -1, .made = -1 };
	char path[PATH_MAX];
	int status;

	find_name(&c, path);
	watch_signals();
	status = run(&c, a);
	if (status != EXIT_SUCCESS && c.made >= 0)
		unlink(c.to);
	if (ended_by) {
		signal(ended_by, SIG_DFL);
		raise(ended_by);
	}
	return status;
}
