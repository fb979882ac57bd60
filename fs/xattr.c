/* SPDX-License-Identifier: MIT */
/*
 * xattr.c - one row of the table is one user.iobuf attribute: its name, how it
 * is read, how it is changed, and its help. Adding an attribute is adding a
 * row.
 */
#include "xattr.h"

#include "caller.h"
#include "fd.h"
#include "file.h"
#include "log.h"
#include "purge.h"
#include "state.h"
#include "task.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>

#define PREFIX BFS_XATTR_NAME

/* What a row's functions work on. */
struct target {
	struct bfs_fs *fs;
	struct bfs_file file; /* locked, record loaded */
	pid_t caller;
	bool is_directory;
	enum bfs_changed changed;
	struct iobuf_reason reason; /* why a value was refused */
};

struct row {
	const char *name; /* after PREFIX */
	const char *help;
	/* Writes the value; its length or a negative errno. */
	int (*get)(struct target *t, char *buf, size_t size);
	/* NULL: read-only. */
	int (*set)(struct target *t, const struct row *row, const char *value,
		   size_t size);
	/* For set_field: the token that the value completes. */
	const char *token;
};

static int print_number(char *buf, size_t size, uint64_t n)
{
	return snprintf(buf, size, "%llu", (unsigned long long)n);
}

/* Numbers and texts that may be absent. */
static int print_if(bool present, char *buf, size_t size, uint64_t n)
{
	return present ? print_number(buf, size, n) : -ENODATA;
}

/*
 * What a copy is to be: all but the process, and of a file the life, that take
 * this name away. A copy would be gone as soon as it is written, or together
 * with a later process that has got the same id. And how many bytes are in use,
 * so that who copies both can restore it: see restore.c.
 */
static int get_spec(struct target *t, char *buf, size_t size)
{
	struct iobuf_spec spec = t->file.record.spec;
	struct stat st;
	int n, m;

	if (!(t->file.record.flags & BFS_RECORD_EXPLICIT))
		return -ENODATA;
	if (spec.task > IOBUF_TASK_KERNEL)
		spec.task = IOBUF_TASK_KERNEL;
	if (!t->is_directory)
		spec.life = IOBUF_LIFE_UNLINK;
	n = iobuf_spec_print(&spec, buf, size);
	if (n < 0 || t->is_directory)
		return n;
	if ((m = bfs_file_stat(&t->file, &st)) < 0)
		return m;
	m = snprintf(buf + n, size - (size_t)n, ",length=%lld",
		     (long long)st.st_size);
	return (size_t)m < size - (size_t)n ? n + m : -ERANGE;
}

/* The specification in force; a directory without one shows the mount's. */
static const struct iobuf_spec *spec_of(const struct target *t)
{
	return t->is_directory ? bfs_directory_defaults(t->fs, &t->file.record)
			       : &t->file.record.spec;
}

static int get_options(struct target *t, char *buf, size_t size)
{
	return iobuf_options_print(spec_of(t)->options, buf, size);
}

static int get_capacity(struct target *t, char *buf, size_t size)
{
	const uint64_t n = spec_of(t)->capacity;

	return print_if(n > 0, buf, size, n);
}

static int get_alignment(struct target *t, char *buf, size_t size)
{
	return print_number(buf, size, spec_of(t)->alignment);
}

static int get_mask(struct target *t, char *buf, size_t size)
{
	const uint64_t mask = spec_of(t)->physical_mask;

	return mask ? snprintf(buf, size, "0x%llx", (unsigned long long)mask)
		    : -ENODATA;
}

static int get_task(struct target *t, char *buf, size_t size)
{
	const int32_t task = spec_of(t)->task;

	return task == IOBUF_TASK_KERNEL ? snprintf(buf, size, "kernel")
	       : task == IOBUF_TASK_SELF ? snprintf(buf, size, "self")
					 : snprintf(buf, size, "%d", task);
}

static int get_tag(struct target *t, char *buf, size_t size)
{
	const char *tag = spec_of(t)->tag;

	return *tag ? snprintf(buf, size, "%s", tag) : -ENODATA;
}

static int get_direction(struct target *t, char *buf, size_t size)
{
	return snprintf(buf, size, "%s",
			iobuf_direction_name(spec_of(t)->options));
}

static int get_length(struct target *t, char *buf, size_t size)
{
	struct stat st;
	int r = t->is_directory ? -ENODATA : bfs_file_stat(&t->file, &st);

	return r < 0 ? r : print_number(buf, size, (uint64_t)st.st_size);
}

static int get_purgeable(struct target *t, char *buf, size_t size)
{
	const uint32_t state = t->is_directory
				       ? 0
				       : bfs_record_purgeable(&t->file.record);

	return state ? iobuf_purgeable_print(state, buf, size) : -ENODATA;
}

static int get_state(struct target *t, char *buf, size_t size)
{
	return t->is_directory ? -ENODATA
			       : bfs_state_print_file(&t->file, buf, size);
}

static int get_segments(struct target *t, char *buf, size_t size)
{
	if (t->is_directory)
		return -ENODATA;
	if (!bfs_has_sys_admin(t->caller))
		return -EPERM;
	return bfs_state_print_segments(&t->file, buf, size);
}

static int configure_directory(struct target *t, const struct iobuf_spec *asked,
			       const struct iobuf_spec *defaults)
{
	struct bfs_record record = t->file.record;
	int r = asked->given & IOBUF_GIVEN_LENGTH
			? -EINVAL /* of a buffer, not of what is made here */
			: iobuf_spec_resolve(asked, defaults, &record.spec,
					     &t->reason);

	if (r < 0 || (r = iobuf_spec_supported(&record.spec, &t->reason)) < 0)
		return r;
	/* `self` will be whoever makes a file; another is who is meant now. */
	if ((asked->given & IOBUF_GIVEN_TASK) &&
	    record.spec.task > IOBUF_TASK_KERNEL &&
	    (r = bfs_task_find(t->caller, record.spec.task, &record.spec.task,
			       &record.task_start, &t->reason)) < 0)
		return r;
	record.flags = BFS_RECORD_EXPLICIT;
	record.length = record.spec.capacity;
	record.inherited = t->fs->defaults;
	return bfs_record_store(t->file.fd, &record);
}

static int configure(struct target *t, const struct iobuf_spec *asked,
		     const struct iobuf_spec *defaults)
{
	return t->is_directory
		       ? configure_directory(t, asked, defaults)
		       : bfs_file_configure(&t->file, asked, defaults,
					    BFS_RECORD_EXPLICIT, &t->reason);
}

/*
 * What a text that was read from a buffer falls back to. It says all that there
 * is, so that nothing is inherited; but what takes the name of this file away
 * stays, where that was not inherited either.
 */
static struct iobuf_spec copied_defaults(const struct bfs_record *record)
{
	struct iobuf_spec spec = iobuf_spec_default;

	if (!(record->flags & BFS_RECORD_INHERITED)) {
		spec.task = record->spec.task;
		spec.life = record->spec.life;
	}
	return spec;
}

static int set_spec(struct target *t, const struct row *row, const char *value,
		    size_t size)
{
	const struct iobuf_spec copied = copied_defaults(&t->file.record);
	struct iobuf_spec asked;
	int r = iobuf_spec_parse(value, size, &asked, &t->reason);

	(void)row;
	if (r < 0)
		return r;
	if (t->is_directory)
		return configure(t, &asked, &t->fs->defaults);
	/* A length is of a text that was read from a buffer. */
	return configure(t, &asked,
			 asked.given & IOBUF_GIVEN_LENGTH
				 ? &copied
				 : &t->file.record.inherited);
}

static int set_options(struct target *t, const struct row *row,
		       const char *value, size_t size)
{
	struct iobuf_spec asked;
	int r = iobuf_spec_parse(value, size, &asked, &t->reason);

	(void)row;
	if (r == 0 && (asked.given & ~(uint32_t)IOBUF_GIVEN_OPTIONS))
		r = -EINVAL;
	return r < 0 ? r : configure(t, &asked, spec_of(t));
}

/* One token of a specification, the rest as it is. */
static int set_field(struct target *t, const struct row *row, const char *value,
		     size_t size)
{
	char token[IOBUF_SPEC_TEXT_MAX];
	struct iobuf_spec asked;
	size_t n = strlen(row->token);
	int r;

	if (size >= sizeof(token) - n || (size && memchr(value, ',', size)))
		return -EINVAL;
	memcpy(token, row->token, n);
	memcpy(token + n, value, size);
	r = iobuf_spec_parse(token, n + size, &asked, &t->reason);
	return r < 0 ? r : configure(t, &asked, spec_of(t));
}

/* "0x10023" as well as "wired,inout". */
static int set_options_or_bits(struct target *t, const struct row *row,
			       const char *value, size_t size)
{
	return size && *value >= '0' && *value <= '9'
		       ? set_field(t, row, value, size)
		       : set_options(t, row, value, size);
}

static int set_direction(struct target *t, const struct row *row,
			 const char *value, size_t size)
{
	struct iobuf_spec asked;
	int r = iobuf_spec_parse(value, size, &asked, &t->reason);

	(void)row;
	if (r == 0 && asked.given != IOBUF_GIVEN_DIRECTION)
		r = -EINVAL;
	if (r < 0)
		return r;
	return t->is_directory
		       ? configure_directory(t, &asked, spec_of(t))
		       : bfs_file_set_direction(&t->file,
						asked.options &
							IOBUF_DIRECTION_MASK,
						&t->reason);
}

static int set_length(struct target *t, const struct row *row,
		      const char *value, size_t size)
{
	uint64_t length;
	int r = iobuf_bytes_parse(value, size, &length);

	(void)row;
	if (r == 0 && t->is_directory)
		r = -EINVAL;
	return r < 0 ? r : bfs_file_set_length(&t->file, length);
}

static int set_purgeable(struct target *t, const struct row *row,
			 const char *value, size_t size)
{
	uint32_t state, old;
	int r = iobuf_purgeable_parse(value, size, &state);

	(void)row;
	if (r < 0)
		snprintf(t->reason.text, sizeof(t->reason.text),
			 "not nonvolatile, volatile[:group=0-7][:fifo|lifo] or "
			 "empty");
	else if (t->is_directory ||
		 !(t->file.record.spec.options & IOBUF_PURGEABLE))
		snprintf(t->reason.text, sizeof(t->reason.text),
			 "not a purgeable buffer");
	if (t->reason.text[0])
		return -EINVAL;
	return bfs_file_set_purgeable(&t->file, state, &old, &t->changed);
}

static const struct row table[] = {
	{ "", "the whole specification, in one atomic call", get_spec,
	  set_spec, NULL },
	{ ".options", "option words, or Apple's bits as 0xN", get_options,
	  set_options_or_bits, "options=" },
	{ ".capacity", "bytes; setting it allocates", get_capacity, set_field,
	  "capacity=" },
	{ ".alignment", "bytes, a power of two", get_alignment, set_field,
	  "align=" },
	{ ".physical_mask", "bits a physical address may have", get_mask,
	  set_field, "mask=" },
	{ ".task", "the process that the buffer is bound to", get_task,
	  set_field, "task=" },
	{ ".tag", "a label", get_tag, set_field, "tag=" },
	{ ".direction", "in, out, inout, none; may change at any time",
	  get_direction, set_direction, NULL },
	{ ".length", "bytes in use; may change within the capacity",
	  get_length, set_length, NULL },
	{ ".purgeable",
	  "nonvolatile, volatile[:group=0-7][:fifo|lifo] or empty",
	  get_purgeable, set_purgeable, NULL },
	{ ".state", "what was obtained, key=value lines (read-only)", get_state,
	  NULL, NULL },
	{ ".segments", "physical ranges (read-only, CAP_SYS_ADMIN)",
	  get_segments, NULL, NULL },
};

const char *bfs_xattr_help(size_t index, const char **ret_help)
{
	static _Thread_local char name[64];

	if (index >= sizeof(table) / sizeof(table[0]))
		return NULL;
	snprintf(name, sizeof(name), PREFIX "%s", table[index].name);
	*ret_help = table[index].help;
	return name;
}

bool bfs_xattr_is_ours(const char *name)
{
	size_t n = strlen(PREFIX);

	return !strncmp(name, PREFIX, n) && (name[n] == '\0' || name[n] == '.');
}

static const struct row *find_row(const char *name)
{
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		if (!strcmp(name + strlen(PREFIX), table[i].name))
			return &table[i];
	return NULL;
}

static void close_target(struct target *t)
{
	bfs_file_close(&t->file);
}

static int open_target(struct bfs_fs *fs, uint64_t nodeid, struct target *t)
{
	struct stat st;
	/* Changing a buffer takes a descriptor to write by, which only a
	 * regular file has. */
	int r = bfs_file_open(fs, nodeid, O_RDWR | O_NOFOLLOW, &t->file);

	if (r == -EACCES || r == -EISDIR || r == -EROFS || r == -ETXTBSY)
		r = bfs_file_open(fs, nodeid, O_RDONLY, &t->file);
	if (r < 0)
		return r;
	if (fstat(t->file.fd, &st) < 0)
		return -errno;
	t->fs = fs;
	t->file.caller = t->caller;
	t->is_directory = S_ISDIR(st.st_mode);
	return 0;
}

#define TARGET __attribute__((cleanup(close_target)))

static int get_of_file(struct bfs_fs *fs, uint64_t nodeid,
		       const struct row *row, pid_t caller, char *text,
		       size_t size)
{
	TARGET struct target t = { .caller = caller };
	int r = open_target(fs, nodeid, &t);

	return r < 0 ? r : row->get(&t, text, size);
}

/* Who asks for a size reads next: what is found out anew can be longer then. */
static size_t room_for(const struct row *row, size_t n)
{
	const size_t room = row->set ? n : n + n / 4 + 256;

	return room < XATTR_SIZE_MAX ? room : XATTR_SIZE_MAX;
}

int bfs_xattr_get(struct bfs_fs *fs, uint64_t nodeid, const char *name,
		  pid_t caller, char *ret_value, size_t size, size_t *ret_size)
{
	static __thread char text[XATTR_SIZE_MAX];
	const struct row *row = find_row(name);
	int n;

	/* A name without a row is a bad name only where it is set. */
	if (!row)
		return -ENODATA;
	/* Of all the buffers: not with one's lock. */
	n = row->get == get_state && nodeid == BFS_ROOT_NODEID
		    ? bfs_state_print_mount(fs, caller, text, sizeof(text))
		    : get_of_file(fs, nodeid, row, caller, text, sizeof(text));
	if (n < 0)
		return n;
	*ret_size = (size_t)n;
	if (size == 0) {
		*ret_size = room_for(row, (size_t)n);
		return 0;
	}
	if ((size_t)n > size)
		return -ERANGE;
	memcpy(ret_value, text, (size_t)n);
	return 0;
}

int bfs_xattr_set(struct bfs_fs *fs, uint64_t nodeid, const char *name,
		  const char *value, size_t size, int flags, pid_t caller,
		  enum bfs_changed *ret_changed)
{
	TARGET struct target t = {
		.caller = caller,
		.changed = BFS_CHANGED_ATTRIBUTES,
	};
	const struct row *row = find_row(name);
	char text[64];
	int r;

	if (!row)
		return -EINVAL;
	if (!row->set)
		return -EPERM;
	if ((r = open_target(fs, nodeid, &t)) < 0)
		return r;
	if (flags) {
		r = row->get(&t, text, 0);
		if (flags == XATTR_CREATE && r != -ENODATA)
			return -EEXIST;
		if (flags == XATTR_REPLACE && r == -ENODATA)
			return -ENODATA;
	}
	r = row->set(&t, row, value, size);
	if (r < 0 && !(r == -ENOSPC && bfs_has_volatile(fs)))
		bfs_log_refusal("%s refused: %s%s%s", name, t.reason.text,
				t.reason.text[0] ? ": " : "", strerror(-r));
	*ret_changed = t.changed;
	return r;
}

int bfs_xattr_remove(struct bfs_fs *fs, uint64_t nodeid, const char *name,
		     pid_t caller)
{
	TARGET struct target t = { .caller = caller };
	const struct row *row = find_row(name);
	int r;

	if (!row)
		return -ENODATA;
	if (row->set != set_spec) /* a part cannot be taken away */
		return row->set ? -EINVAL : -EPERM;
	if ((r = open_target(fs, nodeid, &t)) < 0)
		return r;
	if (!t.is_directory)
		return bfs_file_unconfigure(&t.file);
	return t.file.record.present ? bfs_record_remove(t.file.fd) : -ENODATA;
}
