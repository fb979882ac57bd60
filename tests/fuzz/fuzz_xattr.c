/* SPDX-License-Identifier: MIT */
/*
 * fuzz_xattr.c - every name and value of an xattr, on files and directories of all
 * kinds, and records in the pool that somebody made up.
 *
 * A call: what to do, on which file, by which name, with what flags, and a value
 * with its length before it; of one that reads, the room for the value alone.
 */
#include "fuzz.h"

#include "file.h"
#include "record.h"
#include "tree.h"
#include "xattr.h"

#include <iobuf/purgeable.h>

#include <fcntl.h>
#include <linux/limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

enum { FILES = 4, NAMES_MAX = 64 };

static const char *names[NAMES_MAX] = { "user.x", "user.iobuf.", "user.iobufx",
					"trusted.x", "security.x", "system.x",
					"user.iobuf.record" };
static size_t name_count = 7;
static uint64_t files[FILES];
static bool is_forged; /* what we wrote is not what is there */

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	const char *name, *help;

	(void)argc;
	(void)argv;
	for (size_t i = 0; name_count < NAMES_MAX &&
			   (name = bfs_xattr_help(i, &help)); i++) {
		/* The next one overwrites it. */
		PROMISE((names[name_count] = strdup(name)));
		name_count++;
	}
	fuzz_fs_create();
	fuzz_be_modest();
	return 0;
}

static void make_files(void)
{
	const struct bfs_owner me = { geteuid(), getegid(), getpid() };
	struct bfs_entry entry;
	char name[16];

	for (size_t i = 0; i < FILES; i++) {
		snprintf(name, sizeof(name), "%zu", i);
		PROMISE((i ? bfs_create(&fuzz_fs, BFS_ROOT_NODEID, name, 0644, me,
					&entry, NULL)
			   : bfs_mkdir(&fuzz_fs, BFS_ROOT_NODEID, name, 0755, me,
				       &entry)) == 0);
		files[i] = entry.nodeid;
	}
}

/* What is read can be set again, and ends where it has to. */
static void look_at(const char *name, const char *value, size_t size)
{
	struct iobuf_spec spec;
	uint32_t state;

	if (!strcmp(name, "user.iobuf.tag"))
		PROMISE(size <= IOBUF_TAG_MAX);
	if (!strcmp(name, "user.iobuf.purgeable"))
		PROMISE(iobuf_purgeable_parse(value, size, &state) == 0);
	if (!strcmp(name, "user.iobuf") && !is_forged)
		PROMISE(iobuf_spec_parse(value, size, &spec, NULL) == 0);
}

/* What a directory has not: it is of a buffer. */
static bool is_of_buffers(const char *name)
{
	return !strcmp(name, "user.iobuf.length") ||
	       !strcmp(name, "user.iobuf.purgeable") ||
	       !strcmp(name, "user.iobuf.segments") ||
	       !strcmp(name, "user.iobuf.state");
}

static void set(uint64_t nodeid, const char *name, const uint8_t *value,
		size_t size, int flags)
{
	char *copy = malloc(size + !size);
	enum bfs_changed changed;
	int r;

	PROMISE(copy);
	if (size)
		memcpy(copy, value, size);
	r = bfs_setxattr(&fuzz_fs, nodeid, name, copy, size, flags, getpid(),
			 &changed);
	PROMISE(r < 0 || nodeid != files[0] || !is_of_buffers(name));
	free(copy);
}

static void get(uint64_t nodeid, const char *name, size_t size)
{
	/* As large as it is said to be: what is written past its end shows. */
	char *value = malloc(size + !size);
	size_t n = 0;

	PROMISE(value);
	if (bfs_getxattr(&fuzz_fs, nodeid, name, getpid(), value, size, &n) == 0) {
		PROMISE(n <= XATTR_SIZE_MAX && (!size || n <= size));
		PROMISE(nodeid != files[0] || !is_of_buffers(name));
		if (size)
			look_at(name, value, n);
	}
	n = 0;
	if (bfs_listxattr(&fuzz_fs, nodeid, getpid(), value, size, &n) == 0)
		PROMISE(n <= XATTR_SIZE_MAX && (!size || n <= size));
	free(value);
}

/* In the pool, past us: what a file is is read when it is needed. */
static void forge(const char *file, const uint8_t *value, size_t size)
{
	char path[PATH_MAX + 16];

	snprintf(path, sizeof(path), "%s/%s", fuzz_fs.shared->config.pool, file);
	setxattr(path, bfs_record_xattr(), value, size, 0);
	is_forged = true;
}

/* Whatever somebody made up: what is loaded are values that have a meaning. */
static void check_record(const struct bfs_record *r)
{
	PROMISE(!(r->flags & ~(uint32_t)BFS_RECORD_FLAGS));
	PROMISE(!r->spec.capacity || r->length <= r->spec.capacity);
	PROMISE(r->spec.life <= IOBUF_LIFE_LASTCLOSE);
	PROMISE(r->inherited.life <= IOBUF_LIFE_LASTCLOSE);
	PROMISE(r->spec.task >= IOBUF_TASK_SELF);
	PROMISE(r->spec.alignment && !(r->spec.alignment & (r->spec.alignment - 1)));
}

static void work(uint64_t nodeid)
{
	const struct bfs_owner me = { geteuid(), getegid(), getpid() };
	BFS_FILE struct bfs_file file = { 0 };
	struct bfs_entry entry;
	struct stat st;
	size_t n;

	bfs_getattr(&fuzz_fs, nodeid, &st);
	/* In a directory; it hands down what it has. */
	bfs_create(&fuzz_fs, nodeid, "in it", 0644, me, &entry, NULL);
	if (bfs_file_open(&fuzz_fs, nodeid, O_RDWR, &file) < 0)
		return;
	check_record(&file.record);
	bfs_file_write(&file, 100, false, "bytes", 5, &n);
	bfs_file_truncate(&file, 50);
}

static void call(struct input *in)
{
	static const char *const paths[FILES] = { "0", "1", "2", "3" };
	const uint8_t what = take_byte(in), which = take_byte(in) % FILES;
	const char *name = names[take_byte(in) % name_count];
	const int flags = take_byte(in) % 4;
	const size_t room = take_byte(in) * (what & 64 ? 256u : 1u);
	const uint8_t *value;
	const size_t size = what % 5 == 1 && !(what & 128)
				    ? 0
				    : take_bytes(in, room, &value);
	char own[XATTR_NAME_MAX + 1] = "user.iobuf.";

	if (what & 128) { /* a name of its own */
		size_t n = size < 200 ? size : 200;

		if (n)
			memcpy(own + 11, value, n);
		name = own;
	}
	switch (what % 5) {
	case 0:
		set(files[which], name, value, size, flags);
		break;
	case 1:
		get(files[which], name, room);
		break;
	case 2:
		bfs_removexattr(&fuzz_fs, files[which], name, getpid());
		break;
	case 3:
		forge(paths[which], value, size);
		break;
	case 4:
		work(files[which]);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };

	fuzz_fs_begin();
	is_forged = false;
	make_files();
	while (in.left)
		call(&in);
	fuzz_fs_clear();
	return 0;
}
