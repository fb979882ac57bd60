/* SPDX-License-Identifier: MIT */
/*
 * requests.h - every request that must not run twice, as a row: for the suite
 * that lets its worker die.
 */
#ifndef REQUESTS_H
#define REQUESTS_H

#include "files.h"

#include "purge.h"

enum { UNIQUE = 4242 };

static const struct bfs_owner stranger = { 1234, 1235, 0 };

/* What was there before. */
static uint64_t file_a, file_b;

static uint64_t nodeid_of(const char *name)
{
	struct bfs_entry entry;

	return bfs_lookup(&fs, BFS_ROOT_NODEID, name, &entry) < 0
		       ? 0
		       : entry.nodeid;
}

static void make_nothing(void)
{
}

static void make_a(void)
{
	file_a = created("a");
}

static void make_both(void)
{
	file_a = created("a");
	file_b = created("b");
}

static void make_two_names(void)
{
	struct bfs_entry entry;

	make_a();
	assert_int_equal(bfs_link(&fs, file_a, BFS_ROOT_NODEID, "b", &entry), 0);
}

static void make_directory(void)
{
	struct bfs_entry entry;

	assert_int_equal(bfs_mkdir(&fs, BFS_ROOT_NODEID, "a", 0755, OWNER,
				   &entry),
			 0);
	file_a = entry.nodeid;
}

static void make_full_directory(void)
{
	make_directory();
	created_in(file_a, "inside");
}

static void make_defaults(void)
{
	assert_int_equal(configure(BFS_ROOT_NODEID, "tag=handed"), 0);
}

static void make_fixed_defaults(void)
{
	assert_int_equal(configure(BFS_ROOT_NODEID, "capacity=8192,tag=handed"),
			 0);
}

static void make_attribute(void)
{
	make_a();
	assert_int_equal(set(file_a, "user.test", "old"), 0);
}

static void make_tagged(void)
{
	file_a = created_as("a", "tag=old");
}

static void make_fixed(void)
{
	size_t n;

	file_a = created_as("a", "capacity=8192");
	assert_int_equal(truncate_to(file_a, 0), 0);
	assert_int_equal(write_at(file_a, 0, "12345", 5, &n), 0);
}

static void make_purgeable(void)
{
	file_a = created_as("a", "purgeable,capacity=8192");
}

static void make_volatile(void)
{
	make_purgeable();
	assert_int_equal(set(file_a, "user.iobuf.purgeable", "volatile:group=3"), 0);
}

static int run_create(void)
{
	BFS_FILE struct bfs_file file = { 0 };
	struct bfs_entry entry;

	return bfs_create(&fs, BFS_ROOT_NODEID, "a", 0640, stranger, &entry,
			  &file);
}

/* As an open does it that is answered with a new file. */
static int run_tmpfile(void)
{
	BFS_FILE struct bfs_file file = { 0 };
	struct bfs_entry entry;
	int r = bfs_tmpfile(&fs, BFS_ROOT_NODEID, 0640, stranger, &entry, &file);

	return r < 0 ? r : bfs_inode_add_open(fs.inodes, file.inode, -1, false,
					      UNIQUE);
}

static int run_mkdir(void)
{
	struct bfs_entry entry;

	return bfs_mkdir(&fs, BFS_ROOT_NODEID, "a", 0750, stranger, &entry);
}

static int run_mkfifo(void)
{
	struct bfs_entry entry;

	return bfs_mknod(&fs, BFS_ROOT_NODEID, "a", S_IFIFO | 0640, 0, stranger,
			 &entry);
}

static int run_mknod(void)
{
	struct bfs_entry entry;

	return bfs_mknod(&fs, BFS_ROOT_NODEID, "a", S_IFREG | 0640, 0, stranger,
			 &entry);
}

static int run_symlink(void)
{
	struct bfs_entry entry;

	return bfs_symlink(&fs, "target", BFS_ROOT_NODEID, "a", stranger, &entry);
}

static int run_link(void)
{
	struct bfs_entry entry;

	return bfs_link(&fs, file_a, BFS_ROOT_NODEID, "b", &entry);
}

static int run_unlink(void)
{
	return bfs_unlink(&fs, BFS_ROOT_NODEID, "a", 0);
}

static int run_rmdir(void)
{
	return bfs_unlink(&fs, BFS_ROOT_NODEID, "a", AT_REMOVEDIR);
}

static int rename_by(unsigned int flags)
{
	return bfs_rename(&fs, BFS_ROOT_NODEID, "a", BFS_ROOT_NODEID, "b",
			  flags);
}

static int run_rename(void)
{
	return rename_by(0);
}

static int run_noreplace(void)
{
	return rename_by(RENAME_NOREPLACE);
}

static int run_exchange(void)
{
	return rename_by(RENAME_EXCHANGE);
}

static int set_new(const char *name, const char *value)
{
	enum bfs_changed changed;

	return bfs_setxattr(&fs, file_a, name, value, strlen(value), XATTR_CREATE,
			    0, &changed);
}

static int run_setxattr(void)
{
	return set_new("user.test", "new");
}

static int run_configure(void)
{
	return set_new("user.iobuf", "capacity=8192,tag=new");
}

static int run_removexattr(void)
{
	return bfs_removexattr(&fs, file_a, "user.test", 0);
}

static int run_unconfigure(void)
{
	return bfs_removexattr(&fs, file_a, "user.iobuf", 0);
}

static int run_append(void)
{
	BFS_FILE struct bfs_file file = { 0 };
	size_t n = 0;
	int r = bfs_file_open(&fs, file_a, O_RDWR, &file);

	if (r == 0)
		r = bfs_file_write(&file, 0, true, "abc", 3, &n);
	return r < 0 ? r : (int)n;
}

/* Returns the old state. */
static int purgeable_by(uint32_t control)
{
	BFS_FILE struct bfs_file file = { 0 };
	enum bfs_changed changed;
	uint32_t old = 0;
	int r = bfs_file_open(&fs, file_a, O_RDWR, &file);

	if (r == 0)
		r = bfs_file_set_purgeable(&file, control, &old, &changed);
	return r < 0 ? r : (int)old;
}

static int run_volatile(void)
{
	return purgeable_by(IOBUF_PURGEABLE_VOLATILE);
}

static int run_nonvolatile(void)
{
	return purgeable_by(IOBUF_PURGEABLE_NONVOLATILE);
}

static int run_empty(void)
{
	return purgeable_by(IOBUF_PURGEABLE_EMPTY);
}

static bool is_strangers(mode_t kind)
{
	struct stat st = attributes(nodeid_of("a"));

	return (st.st_mode & S_IFMT) == kind &&
	       (geteuid() || (st.st_uid == 1234 && st.st_gid == 1235));
}

static bool is_file(void)
{
	return is_strangers(S_IFREG) && attributes(nodeid_of("a")).st_nlink == 1;
}

static bool is_handed_file(void)
{
	struct stat pools;
	char text[256];

	return is_file() &&
	       get(nodeid_of("a"), "user.iobuf", text, sizeof(text)) == 0 &&
	       strstr(text, "tag=handed") && strstr(text, "capacity=8192") &&
	       fstatat(pool.fd, "a", &pools, 0) == 0 && pools.st_size == 8192;
}

static bool is_fifo(void)
{
	return is_strangers(S_IFIFO);
}

static bool is_link(void)
{
	return is_strangers(S_IFLNK);
}

static bool is_complete_directory(void)
{
	char text[256];

	return is_strangers(S_IFDIR) &&
	       get(nodeid_of("a"), "user.iobuf", text, sizeof(text)) == 0 &&
	       strstr(text, "tag=handed");
}

/* The dead worker's is not counted as open for ever. */
static bool is_one_slot(void)
{
	return slots_taken() == 1;
}

static bool has_not_changed(void)
{
	return nodeid_of("a") == file_a;
}

static bool is_same(void)
{
	return nodeid_of("a") == file_a && nodeid_of("b") == file_a &&
	       attributes(file_a).st_nlink == 2;
}

static bool is_at_b(void)
{
	return nodeid_of("b") == file_a && attributes(file_a).st_nlink == 1;
}

static bool have_not_changed(void)
{
	return nodeid_of("a") == file_a && nodeid_of("b") == file_b;
}

static bool have_changed_places(void)
{
	return nodeid_of("a") == file_b && nodeid_of("b") == file_a;
}

static bool has_value(const char *name, const char *value)
{
	char text[256];

	return get(file_a, name, text, sizeof(text)) == 0 && !strcmp(text, value);
}

static bool is_new(void)
{
	return has_value("user.test", "new");
}

static bool is_old(void)
{
	return has_value("user.test", "old");
}

static bool is_configured(void)
{
	return has_value("user.iobuf.tag", "new") &&
	       has_value("user.iobuf.capacity", "8192");
}

static bool is_appended_once(void)
{
	char bytes[16] = "";
	size_t n = 0;

	return bfs_file_read(&fs, file_a, 0, bytes, sizeof(bytes), &n) == 0 &&
	       n == 8 && !memcmp(bytes, "12345abc", 8);
}

static bool is_nonvolatile(void)
{
	return has_value("user.iobuf.purgeable", "nonvolatile");
}

static bool is_volatile(void)
{
	return has_value("user.iobuf.purgeable", "volatile");
}

static bool is_empty(void)
{
	return has_value("user.iobuf.purgeable", "empty");
}

static bool is_anything(void)
{
	return true;
}

/* One row, one request: what is there, what it returns, and what it leaves. */
static const struct request {
	const char *name;
	void (*prepare)(void);
	int (*run)(void);
	int result;
	const char *names; /* in the pool, afterwards */
	bool (*is_right)(void);
} requests[] = {
	{ "create", make_nothing, run_create, 0, "a", is_file },
	{ "create in a directory with defaults", make_fixed_defaults,
	  run_create, 0, "a", is_handed_file },
	{ "create again", make_a, run_create, -EEXIST, "a", has_not_changed },
	{ "tmpfile", make_nothing, run_tmpfile, 0, "", is_one_slot },
	{ "mkdir", make_defaults, run_mkdir, 0, "a", is_complete_directory },
	{ "mkdir again", make_directory, run_mkdir, -EEXIST, "a",
	  has_not_changed },
	{ "mkfifo", make_nothing, run_mkfifo, 0, "a", is_fifo },
	{ "mkfifo over a file", make_a, run_mkfifo, -EEXIST, "a",
	  has_not_changed },
	{ "mknod", make_nothing, run_mknod, 0, "a", is_file },
	{ "symlink", make_nothing, run_symlink, 0, "a", is_link },
	{ "symlink over a file", make_a, run_symlink, -EEXIST, "a",
	  has_not_changed },
	{ "link", make_a, run_link, 0, "ab", is_same },
	{ "link over a file", make_both, run_link, -EEXIST, "ab",
	  have_not_changed },
	{ "link again", make_two_names, run_link, -EEXIST, "ab", is_same },
	{ "unlink", make_a, run_unlink, 0, "", is_anything },
	{ "unlink one of two", make_two_names, run_unlink, 0, "b", is_at_b },
	{ "unlink nothing", make_nothing, run_unlink, -ENOENT, "", is_anything },
	{ "unlink a directory", make_directory, run_unlink, -EISDIR, "a",
	  has_not_changed },
	{ "rmdir", make_directory, run_rmdir, 0, "", is_anything },
	{ "rmdir, full", make_full_directory, run_rmdir, -ENOTEMPTY, "a",
	  has_not_changed },
	{ "rmdir nothing", make_nothing, run_rmdir, -ENOENT, "", is_anything },
	{ "rename", make_a, run_rename, 0, "b", is_at_b },
	{ "rename over another", make_both, run_rename, 0, "b", is_at_b },
	{ "rename nothing", make_nothing, run_rename, -ENOENT, "", is_anything },
	{ "rename, no replace", make_a, run_noreplace, 0, "b", is_at_b },
	{ "rename, no replace, over another", make_both, run_noreplace, -EEXIST,
	  "ab", have_not_changed },
	{ "exchange", make_both, run_exchange, 0, "ab", have_changed_places },
	{ "exchange with nothing", make_a, run_exchange, -ENOENT, "a",
	  has_not_changed },
	{ "setxattr", make_a, run_setxattr, 0, "a", is_new },
	{ "setxattr again", make_attribute, run_setxattr, -EEXIST, "a", is_old },
	{ "configure", make_a, run_configure, 0, "a", is_configured },
	{ "removexattr", make_attribute, run_removexattr, 0, "a",
	  has_not_changed },
	{ "removexattr of none", make_a, run_removexattr, -ENODATA, "a",
	  has_not_changed },
	{ "unconfigure", make_tagged, run_unconfigure, 0, "a", has_not_changed },
	{ "unconfigure again", make_a, run_unconfigure, -ENODATA, "a",
	  has_not_changed },
	{ "append", make_fixed, run_append, 3, "a", is_appended_once },
	{ "volatile", make_purgeable, run_volatile, IOBUF_PURGEABLE_NONVOLATILE,
	  "a", is_volatile },
	{ "nonvolatile", make_volatile, run_nonvolatile,
	  IOBUF_PURGEABLE_VOLATILE | IOBUF_VOLATILE_GROUP(3), "a",
	  is_nonvolatile },
	{ "empty", make_volatile, run_empty,
	  IOBUF_PURGEABLE_VOLATILE | IOBUF_VOLATILE_GROUP(3), "a", is_empty },
};

#endif
