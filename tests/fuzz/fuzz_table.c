/* SPDX-License-Identifier: MIT */
/*
 * fuzz_table.c - a shared block that a worker left who ran wild: the next one goes
 * on with what makes sense, or begins anew from the pool; names and bytes are
 * there either way.
 *
 * What only the holder writes is damaged, too, looked at as a worker does that
 * begins, and then as it was.
 *
 * A store: where, at which place of that, and the bytes with their count before
 * them. The files have slots, so that what is written over is in use.
 */
#include "fuzz.h"

#include "file.h"
#include "journal.h"
#include "ops.h"
#include "tree.h"
#include "xattr.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILES = 6 };

static uint64_t files[FILES];
/* All that is in front of what a worker writes. */
static unsigned char holders[offsetof(struct bfs_shared, crashed)];

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	fuzz_fs_create();
	/* Ids that stray are looked for. */
	fuzz_fs.shared->agreed = true;
	fuzz_fs.shared->passthrough = true;
	fuzz_be_modest();
	return 0;
}

static void open_file(uint64_t nodeid)
{
	struct bfs_inode *inode = bfs_inode_lock(fuzz_fs.inodes, nodeid);

	PROMISE(inode);
	PROMISE(bfs_inode_add_open(fuzz_fs.inodes, inode, -1, true, 2) == 0);
	bfs_inode_unlock(fuzz_fs.inodes, inode);
}

static void make_files(void)
{
	static const char *const specs[FILES] = {
		"inout", "capacity=8K", "wired,capacity=8K",
		"purgeable,capacity=8K", "capacity=4K,life=lastclose", "tag=x",
	};
	const struct bfs_owner me = { geteuid(), getegid(), getpid() };
	enum bfs_changed changed;
	struct bfs_entry entry;
	char name[16];

	for (size_t i = 0; i < FILES; i++) {
		snprintf(name, sizeof(name), "%zu", i);
		PROMISE(bfs_create(&fuzz_fs, BFS_ROOT_NODEID, name, 0644, me,
				   &entry, NULL) == 0);
		files[i] = entry.nodeid;
		PROMISE(bfs_setxattr(&fuzz_fs, entry.nodeid, "user.iobuf", specs[i],
				     strlen(specs[i]), 0, getpid(), &changed) == 0);
		open_file(entry.nodeid);
	}
}

static void store(struct input *in)
{
	static const struct {
		size_t offset, size;
	} regions[] = {
#define REGION(field)                                                          \
	{ offsetof(struct bfs_shared, field),                                  \
	  sizeof(((struct bfs_shared *)0)->field) }
		REGION(slots_used),
		REGION(highest_backing_id),
		REGION(counted),
		REGION(attempts),
		REGION(journal),
		REGION(asides),
		REGION(counted_pool),
		{ offsetof(struct bfs_shared, slots),
		  (FILES + 4) * sizeof(struct bfs_slot) },
		{ offsetof(struct bfs_shared, slots),
		  (FILES + 4) * sizeof(struct bfs_slot) },
		REGION(crashed),
		REGION(config),
		REGION(init_size),
		REGION(init_reply_size),
		REGION(agreed),
		REGION(agreed_passthrough),
		REGION(passthrough),
		REGION(io_uring),
		REGION(magic),
#undef REGION
	};
	const size_t i = take_byte(in) % (sizeof(regions) / sizeof(regions[0]));
	const size_t at = (take_byte(in) * UINT32_C(256) + take_byte(in)) %
			  regions[i].size;
	size_t size = take_byte(in) % 65;
	const uint8_t *bytes;

	if (size > regions[i].size - at)
		size = regions[i].size - at;
	size = take_bytes(in, size, &bytes);
	if (size)
		memcpy((char *)fuzz_fs.shared + regions[i].offset + at, bytes,
		       size);
}

/* A slot that somebody else's inode is said to have. */
static void confuse(struct input *in)
{
	struct bfs_slot *slots = fuzz_fs.shared->slots;

	slots[take_byte(in) % FILES].nodeid = files[take_byte(in) % FILES];
}

#define IS_TEXT(array) (memchr(array, '\0', sizeof(array)) != NULL)

/* What only the holder writes cannot be had again: whoever finds it damaged does
 * not go on, and is to have believed nothing. */
static void map_again(void)
{
	struct bfs_shared *s;
	int r = bfs_shared_map(fuzz_shared_fd, &s);

	PROMISE(r == 0 || r == -EUCLEAN || r == -EINVAL);
	if (r < 0)
		return;
	PROMISE(IS_TEXT(s->config.mountpoint) && IS_TEXT(s->config.pool) &&
		IS_TEXT(s->config.options) && IS_TEXT(s->config.size) &&
		IS_TEXT(s->config.fsname));
	PROMISE(s->init_size <= sizeof(s->init_request));
	PROMISE(s->init_reply_size <= sizeof(s->init_reply));
	/* Each is one, or the sanitizer says so. */
	PROMISE(s->agreed + s->agreed_passthrough + s->passthrough +
			s->io_uring + s->config.own_pool + s->config.keep +
			s->config.adopted_pool + s->config.allow_other +
			s->config.io_uring + s->config.foreground +
			s->config.debug <= 11);
	munmap(s, sizeof(*s));
}

/* An id of two, and an open of one reaches the bytes of the other. */
static void look_at_slots(void)
{
	const struct bfs_shared *s = fuzz_fs.shared;
	const uint32_t n = s->slots_used < FILES + 4 ? s->slots_used : FILES + 4;

	PROMISE(s->slots_used <= BFS_SLOTS_MAX);
	for (uint32_t i = 0; i < n; i++) {
		if (!s->slots[i].nodeid)
			continue;
		PROMISE(!(s->slots[i].flags & ~(uint32_t)BFS_SLOT_FLAGS));
		PROMISE(s->slots[i].plain_opens <= s->slots[i].opens);
		PROMISE(s->slots[i].backing_id >= 0 &&
			s->slots[i].backing_id <= s->highest_backing_id);
		for (uint32_t j = 0; j < i; j++)
			PROMISE(!s->slots[j].nodeid || !s->slots[i].backing_id ||
				s->slots[i].backing_id != s->slots[j].backing_id);
	}
}

/* As an earlier worker left it. */
static bool is_noted(uint64_t unique, uint32_t operation)
{
	const struct bfs_journal_note *notes = fuzz_fs.shared->journal;

	for (size_t i = 0; i < BFS_JOURNAL_MAX; i++)
		if (notes[i].unique == unique && notes[i].operation == operation)
			return true;
	return false;
}

/* What requests ask for that come again. */
static void ask(struct input *in)
{
	uint64_t before[2];

	for (uint64_t unique = 0; unique < 8; unique++) {
		const uint32_t operation = take_byte(in) % 16;

		bfs_request_begin(&fuzz_fs, unique | UINT64_C(1) << 63);
		PROMISE(!bfs_journal_begun(fuzz_fs.journal, operation, before) ||
			is_noted(unique, operation));
		bfs_journal_begin(fuzz_fs.journal, BFS_JOURNAL_APPEND, 1, 2);
		bfs_request_end(&fuzz_fs);
	}
}

/* None more than there are. */
static void close_once(struct bfs_inode *inode)
{
	const uint64_t opens = inode->slot ? inode->slot->opens : 0;

	bfs_inode_drop_open(fuzz_fs.inodes, inode, true, 4);
	PROMISE(!inode->slot || inode->slot->opens == opens - !!opens);
}

static void use(const char *name)
{
	BFS_FILE struct bfs_file file = { 0 };
	struct bfs_entry entry;
	char state[4096];
	struct stat st;
	size_t n;

	PROMISE(bfs_lookup(&fuzz_fs, BFS_ROOT_NODEID, name, &entry) == 0);
	PROMISE(bfs_getattr(&fuzz_fs, entry.nodeid, &st) == 0);
	bfs_getxattr(&fuzz_fs, entry.nodeid, "user.iobuf.state", getpid(), state,
		     sizeof(state), &n);
	if (bfs_file_open(&fuzz_fs, entry.nodeid, O_RDWR, &file) < 0)
		return;
	close_once(file.inode);
	bfs_file_write(&file, 0, false, "bytes", 5, &n);
	bfs_file_truncate(&file, 10);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };
	char name[16];

	fuzz_fs_begin();
	memcpy(holders, fuzz_fs.shared, sizeof(holders));
	make_files();
	while (in.left > 8)
		if (take_byte(&in) % 8)
			store(&in);
		else
			confuse(&in);
	map_again();
	memcpy(fuzz_fs.shared, holders, sizeof(holders));
	fuzz_next_worker();
	look_at_slots();
	bfs_files_recover(&fuzz_fs);
	ask(&in);
	for (size_t i = 0; i < FILES; i++) {
		snprintf(name, sizeof(name), "%zu", i);
		use(name);
	}
	fuzz_fs_clear();
	return 0;
}
