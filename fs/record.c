/* SPDX-License-Identifier: MIT */
#include "record.h"

#include "fd.h"

#include <iobuf/purgeable.h>

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/xattr.h>

/* On the file, in the machine's byte order: a pool does not travel. */
struct stored_spec {
	uint32_t options, life;
	int32_t task;
	uint32_t unused;
	uint64_t capacity, alignment, physical_mask;
	char tag[IOBUF_TAG_MAX + 1];
};

struct stored {
	uint32_t magic, flags;
	uint64_t length, longest_run;
	uint32_t purgeable, purge_count;
	uint64_t volatile_since, task_start;
	struct stored_spec spec, inherited;
};

#define STORED_MAGIC 0x33465542u /* "BUF3" */

static_assert(sizeof(struct stored) == 48 + 2 * (40 + 64),
	      "the stored form has no padding");

struct bfs_record bfs_record_plain(void)
{
	struct bfs_record record = { .inherited = iobuf_spec_default };

	/* The built-in defaults resolve: a test says so. */
	iobuf_spec_resolve(&iobuf_spec_default, &iobuf_spec_default,
			   &record.spec, NULL);
	return record;
}

static const char *xattr_name = "user.iobuf.record";

void bfs_record_use_trusted(bool trusted)
{
	xattr_name = trusted ? "trusted.iobuf.record" : "user.iobuf.record";
}

const char *bfs_record_xattr(void)
{
	return xattr_name;
}

static struct stored_spec pack(const struct iobuf_spec *spec)
{
	struct stored_spec s = {
		.options = spec->options,
		.life = spec->life,
		.task = spec->task,
		.capacity = spec->capacity,
		.alignment = spec->alignment,
		.physical_mask = spec->physical_mask,
	};

	memcpy(s.tag, spec->tag, sizeof(s.tag));
	return s;
}

static struct iobuf_spec unpack(const struct stored_spec *s)
{
	struct iobuf_spec spec = {
		.options = s->options,
		.life = s->life,
		.task = s->task,
		.capacity = s->capacity,
		.alignment = s->alignment,
		.physical_mask = s->physical_mask,
	};

	memcpy(spec.tag, s->tag, sizeof(spec.tag));
	spec.tag[IOBUF_TAG_MAX] = '\0';
	return spec;
}

/* What we store is complete, so completing it again changes nothing. */
static bool is_complete(const struct iobuf_spec *spec)
{
	struct iobuf_spec again;

	return iobuf_spec_resolve(spec, spec, &again, NULL) == 0 &&
	       iobuf_spec_equal(spec, &again);
}

/* Nothing in it is of another version, or of somebody who made it up. */
static bool makes_sense(const struct bfs_record *r)
{
	char text[IOBUF_PURGEABLE_TEXT_MAX];

	return !(r->flags & ~(uint32_t)BFS_RECORD_FLAGS) &&
	       r->spec.life <= IOBUF_LIFE_LASTCLOSE &&
	       r->inherited.life <= IOBUF_LIFE_LASTCLOSE &&
	       r->spec.task >= IOBUF_TASK_SELF &&
	       (!r->purgeable ||
		iobuf_purgeable_print(r->purgeable, text, sizeof(text)) > 0);
}

/* `size` and errno are what a getxattr(2) call gave. */
static int decode(const struct stored *s, ssize_t size,
		  struct bfs_record *ret_record)
{
	struct bfs_record record = { .present = true };

	if (size < 0 && (errno == ENODATA || errno == EOPNOTSUPP)) {
		*ret_record = bfs_record_plain();
		return 0;
	}
	if (size < 0)
		return errno == ERANGE ? -EIO : -errno;
	if (size != sizeof(*s) || s->magic != STORED_MAGIC ||
	    (s->spec.capacity && s->length > s->spec.capacity))
		return -EIO;
	record.flags = s->flags;
	record.length = s->length;
	record.longest_run = s->longest_run;
	record.purgeable = s->purgeable;
	record.purge_count = s->purge_count;
	record.volatile_since = s->volatile_since;
	record.task_start = s->task_start;
	record.spec = unpack(&s->spec);
	record.inherited = unpack(&s->inherited);
	if (!is_complete(&record.spec) || !makes_sense(&record))
		return -EIO;
	*ret_record = record;
	return 0;
}

/* By the link in /proc, which leads to the file, no further. */
int bfs_record_load_path_fd(int fd, struct bfs_record *ret_record)
{
	struct stored s;
	ssize_t n = getxattr(bfs_fd_path(fd).text, xattr_name, &s, sizeof(s));

	return decode(&s, n, ret_record);
}

int bfs_record_load_fd(int fd, struct bfs_record *ret_record)
{
	struct stored s;
	ssize_t n = fgetxattr(fd, xattr_name, &s, sizeof(s));

	return n < 0 && errno == EBADF ? bfs_record_load_path_fd(fd, ret_record)
				       : decode(&s, n, ret_record);
}

int bfs_record_store(int fd, const struct bfs_record *record)
{
	struct stored s = {
		.magic = STORED_MAGIC,
		.flags = record->flags,
		.length = record->length,
		.longest_run = record->longest_run,
		.purgeable = record->purgeable,
		.purge_count = record->purge_count,
		.volatile_since = record->volatile_since,
		.task_start = record->task_start,
		.spec = pack(&record->spec),
		.inherited = pack(&record->inherited),
	};

	if (fsetxattr(fd, xattr_name, &s, sizeof(s), 0) == 0)
		return 0;
	if (errno != EBADF) /* O_PATH */
		return -errno;
	return setxattr(bfs_fd_path(fd).text, xattr_name, &s, sizeof(s), 0) < 0
		       ? -errno
		       : 0;
}

int bfs_record_remove(int fd)
{
	if (removexattr(bfs_fd_path(fd).text, xattr_name) < 0 &&
	    errno != ENODATA)
		return -errno;
	return 0;
}
