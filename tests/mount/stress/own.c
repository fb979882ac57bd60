/* SPDX-License-Identifier: MIT */
/*
 * own.c - operations on files that nobody else touches: none of them may fail,
 * and what they leave is compared with what they should.
 */
#include "stress.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

static int open_own(struct process *p, const struct own_file *f, int flags)
{
	int fd = openat(p->own, f->path, flags | O_CLOEXEC);

	CHECK(p, fd >= 0, "open %s", f->path);
	return fd;
}

/* A name that was never used, in one of the two own directories. */
static void new_name(struct process *p, char *path, size_t size)
{
	snprintf(path, size, "%sf%u", pick(p, 2) ? "sub/" : "", p->names++);
}

static void verify_fd(struct process *p, const struct own_file *f, int fd)
{
	static unsigned char seen[SIZE_MAX_BYTES + 1];
	struct stat st;
	size_t i = 0;
	ssize_t n;

	CHECK(p, fstat(fd, &st) == 0, "fstat %s", f->path);
	errno = 0;
	CHECK(p, (size_t)st.st_size == f->size, "%s has %lld bytes, not %zu",
	      f->path, (long long)st.st_size, f->size);
	n = pread(fd, seen, sizeof(seen), 0);
	CHECK(p, n >= 0, "read %s", f->path);
	errno = 0;
	CHECK(p, (size_t)n == f->size, "%s: read %zd bytes of %zu", f->path, n,
	      f->size);
	while (i < f->size && seen[i] == f->bytes[i])
		i++;
	CHECK(p, i == f->size,
	      "%s: byte %zu of %zu is 0x%02x, not 0x%02x (%s, version %u)",
	      f->path, i, f->size, seen[i], f->bytes[i],
	      f->fixed ? "fixed" : "elastic", f->version);
}

static void verify(struct process *p, struct own_file *f)
{
	int fd = open_own(p, f, O_RDONLY);

	verify_fd(p, f, fd);
	close(fd);
}

/* The model: bytes beyond the size are always zero. */
static void resize(struct own_file *f, size_t size)
{
	if (size < f->size)
		memset(f->bytes + size, 0, f->size - size);
	f->size = size;
}

static void stamp_model(struct process *p, struct own_file *f, size_t at,
			size_t size)
{
	fill(f->bytes + at, p->number, ++f->version, at, size);
	if (at + size > f->size)
		f->size = at + size;
}

/* Some range within the largest size, often of whole pages. */
static void pick_range(struct process *p, size_t below, size_t *ret_at,
		       size_t *ret_size)
{
	size_t at = pick(p, (uint32_t)below);
	size_t size = 1 + pick(p, 16384);

	if (pick(p, 2)) {
		at &= ~(size_t)4095;
		size = (size + 4095) & ~(size_t)4095;
	}
	*ret_at = at;
	*ret_size = at + size > below ? below - at : size;
}

static void make_buffer(struct process *p, struct own_file *f, int fd)
{
	static const char *const kinds[] = {
		"pageable,tag=stress", "wired", "cache=writecombine",
		"capacity=64K", "wired,capacity=64K",
		"wired,capacity=64K,cache=inhibit", "contiguous,capacity=64K",
	};
	const char *kind = kinds[pick(p, p->cached ? 6 : 7)];

	CHECK(p, fsetxattr(fd, "user.iobuf", kind, strlen(kind), 0) == 0,
	      "make %s %s", f->path, kind);
	f->fixed = p->buffers && strstr(kind, "capacity");
	if (f->fixed)
		f->size = SIZE_MAX_BYTES;
}

static void create(struct process *p, struct own_file *f)
{
	int fd;

	p->doing = "create";
	new_name(p, f->path, sizeof(f->path));
	memset(f->bytes, 0, SIZE_MAX_BYTES);
	f->size = 0;
	f->fixed = false;
	f->mode = pick(p, 2) ? 0644 : 0600;
	fd = openat(p->own, f->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC,
		    f->mode);
	CHECK(p, fd >= 0, "%s", f->path);
	if (pick(p, 2))
		make_buffer(p, f, fd);
	close(fd);
	CHECK(p, openat(p->own, f->path, O_RDWR | O_CREAT | O_EXCL, 0600) < 0 &&
	      errno == EEXIST, "%s again", f->path);
}

static void op_unlink(struct process *p, struct own_file *f)
{
	CHECK(p, unlinkat(p->own, f->path, 0) == 0, "%s", f->path);
	CHECK(p, openat(p->own, f->path, O_RDONLY) < 0 && errno == ENOENT,
	      "%s is still there", f->path);
	f->path[0] = 0;
}

static void op_write(struct process *p, struct own_file *f)
{
	int fd = open_own(p, f, pick(p, 2) ? O_WRONLY : O_RDWR);
	size_t at, size;

	pick_range(p, SIZE_MAX_BYTES, &at, &size);
	stamp_model(p, f, at, size);
	CHECK(p, pwrite(fd, f->bytes + at, size, (off_t)at) == (ssize_t)size,
	      "%zu bytes at %zu of %s", size, at, f->path);
	close(fd);
}

static void op_append(struct process *p, struct own_file *f)
{
	int fd = open_own(p, f, O_WRONLY | O_APPEND);
	size_t at = f->size, room = SIZE_MAX_BYTES - f->size;
	size_t size = room ? 1 + pick(p, room > 9000 ? 9000 : (uint32_t)room)
			   : 0;

	if (size) {
		stamp_model(p, f, at, size);
		CHECK(p, write(fd, f->bytes + at, size) == (ssize_t)size,
		      "%zu bytes to %s", size, f->path);
	}
	close(fd);
}

static void op_truncate(struct process *p, struct own_file *f)
{
	size_t size = pick(p, SIZE_MAX_BYTES + 1);
	int fd = open_own(p, f, O_RDWR);

	CHECK(p, ftruncate(fd, (off_t)size) == 0, "%s to %zu", f->path, size);
	resize(f, size);
	verify_fd(p, f, fd);
	close(fd);
}

static void op_truncating_open(struct process *p, struct own_file *f)
{
	close(open_own(p, f, O_WRONLY | O_TRUNC));
	resize(f, 0);
	verify(p, f);
}

static void op_map(struct process *p, struct own_file *f)
{
	int fd = open_own(p, f, O_RDWR);
	unsigned char *map;
	size_t at, size;

	if (f->size == 0) {
		close(fd);
		return;
	}
	map = mmap(NULL, f->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHECK(p, map != MAP_FAILED, "%s", f->path);
	errno = 0;
	CHECK(p, memcmp(map, f->bytes, f->size) == 0,
	      "a map of %s shows other bytes", f->path);
	pick_range(p, f->size, &at, &size);
	stamp_model(p, f, at, size);
	memcpy(map + at, f->bytes + at, size);
	verify_fd(p, f, fd);
	CHECK(p, msync(map, f->size, MS_SYNC) == 0, "msync");
	CHECK(p, munmap(map, f->size) == 0, "munmap");
	close(fd);
}

static void op_allocate(struct process *p, struct own_file *f)
{
	static const int modes[] = {
		0, FALLOC_FL_KEEP_SIZE,
		FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE,
	};
	int mode = modes[pick(p, 5)];
	int fd = open_own(p, f, O_RDWR);
	size_t at, size;
	int r;

	pick_range(p, SIZE_MAX_BYTES, &at, &size);
	r = fallocate(fd, mode, (off_t)at, (off_t)size);
	/* tmpfs has no ZERO_RANGE. */
	if (r < 0 && errno == EOPNOTSUPP && mode & FALLOC_FL_ZERO_RANGE &&
	    !p->buffers) {
		close(fd);
		return;
	}
	CHECK(p, r == 0, "mode %d, %zu at %zu of %s (%s of %zu)", mode, size,
	      at, f->path, f->fixed ? "fixed" : "elastic", f->size);
	if (mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE))
		memset(f->bytes + at, 0, size);
	else if (mode == 0 && at + size > f->size)
		f->size = at + size;
	verify_fd(p, f, fd);
	close(fd);
}

static void op_link(struct process *p, struct own_file *f)
{
	struct stat st, other;
	char path[64];

	new_name(p, path, sizeof(path));
	CHECK(p, linkat(p->own, f->path, p->own, path, 0) == 0, "%s", f->path);
	CHECK(p, fstatat(p->own, path, &st, 0) == 0 &&
	      fstatat(p->own, f->path, &other, 0) == 0, "stat %s", path);
	errno = 0;
	CHECK(p, st.st_ino == other.st_ino && st.st_nlink == 2 &&
	      other.st_nlink == 2, "%s and %s are not one file", f->path, path);
	/* Either name may be the one that stays. */
	if (pick(p, 2)) {
		CHECK(p, unlinkat(p->own, path, 0) == 0, "unlink %s", path);
	} else {
		CHECK(p, unlinkat(p->own, f->path, 0) == 0, "unlink %s",
		      f->path);
		strcpy(f->path, path);
	}
	CHECK(p, fstatat(p->own, f->path, &st, 0) == 0 && st.st_nlink == 1,
	      "%s has %d names", f->path, (int)st.st_nlink);
}

static void op_symlink(struct process *p, struct own_file *f)
{
	char path[64], target[64] = "";
	const char *to = strrchr(f->path, '/');
	struct own_file seen = *f;

	/* Beside the file. */
	snprintf(path, sizeof(path), "%sl%u", to ? "sub/" : "", p->names++);
	to = to ? to + 1 : f->path;
	CHECK(p, symlinkat(to, p->own, path) == 0, "%s", path);
	CHECK(p, readlinkat(p->own, path, target, sizeof(target) - 1) ==
	      (ssize_t)strlen(to) && strcmp(target, to) == 0, "readlink %s",
	      path);
	strcpy(seen.path, path);
	verify(p, &seen);
	CHECK(p, unlinkat(p->own, path, 0) == 0, "unlink %s", path);
}

static struct own_file *another(struct process *p, struct own_file *f)
{
	struct own_file *g = &p->files[pick(p, FILES)];

	return g != f && g->path[0] ? g : NULL;
}

static void op_rename(struct process *p, struct own_file *f)
{
	struct own_file *g = pick(p, 2) ? another(p, f) : NULL;
	char path[64];

	new_name(p, path, sizeof(path));
	if (g && pick(p, 2)) {
		CHECK(p, renameat2(p->own, f->path, p->own, g->path,
				   RENAME_NOREPLACE) < 0 && errno == EEXIST,
		      "%s onto %s: NOREPLACE", f->path, g->path);
		return;
	}
	if (g) {
		strcpy(path, g->path);
		g->path[0] = 0;
	}
	CHECK(p, renameat2(p->own, f->path, p->own, path,
			   g || pick(p, 2) ? 0 : RENAME_NOREPLACE) == 0,
	      "%s to %s", f->path, path);
	CHECK(p, faccessat(p->own, f->path, F_OK, 0) < 0 && errno == ENOENT,
	      "%s is still there", f->path);
	strcpy(f->path, path);
	verify(p, f);
}

static void op_exchange(struct process *p, struct own_file *f)
{
	struct own_file *g = another(p, f);
	char path[64];

	if (!g)
		return;
	CHECK(p, renameat2(p->own, f->path, p->own, g->path,
			   RENAME_EXCHANGE) == 0, "%s, %s", f->path, g->path);
	strcpy(path, f->path);
	strcpy(f->path, g->path);
	strcpy(g->path, path);
	verify(p, f);
	verify(p, g);
}

static void op_unlink_while_open(struct process *p, struct own_file *f)
{
	int fd = open_own(p, f, O_RDWR);
	struct stat st;
	size_t at, size;

	op_unlink(p, f);
	pick_range(p, SIZE_MAX_BYTES, &at, &size);
	stamp_model(p, f, at, size);
	CHECK(p, pwrite(fd, f->bytes + at, size, (off_t)at) == (ssize_t)size,
	      "write without a name");
	verify_fd(p, f, fd);
	CHECK(p, fstat(fd, &st) == 0 && st.st_nlink == 0,
	      "without a name, %d names", (int)st.st_nlink);
	CHECK(p, close(fd) == 0, "close");
}

static void op_directory(struct process *p, struct own_file *f)
{
	char path[64], inside[96];

	snprintf(path, sizeof(path), "d%u", p->names++);
	snprintf(inside, sizeof(inside), "%s/moved", path);
	CHECK(p, mkdirat(p->own, path, 0700) == 0, "mkdir %s", path);
	CHECK(p, renameat(p->own, f->path, p->own, inside) == 0, "into %s",
	      path);
	CHECK(p, unlinkat(p->own, path, AT_REMOVEDIR) < 0 &&
	      (errno == ENOTEMPTY || errno == EEXIST), "rmdir full %s", path);
	CHECK(p, renameat(p->own, inside, p->own, f->path) == 0, "out of %s",
	      path);
	CHECK(p, unlinkat(p->own, path, AT_REMOVEDIR) == 0, "rmdir %s", path);
}

/* Each name of the own directories is one of the files', and none is missing. */
static void list(struct process *p, const char *directory, int *count)
{
	int fd = openat(p->own, directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;

	CHECK(p, dir, "opendir %s", directory);
	while ((errno = 0, entry = readdir(dir))) {
		char path[300];
		int i = 0;

		if (entry->d_name[0] == '.' || strcmp(entry->d_name, "sub") == 0)
			continue;
		snprintf(path, sizeof(path), "%s%s",
			 strcmp(directory, ".") ? "sub/" : "", entry->d_name);
		while (i < FILES && strcmp(p->files[i].path, path) != 0)
			i++;
		CHECK(p, i < FILES, "%s should not be there", path);
		++*count;
	}
	CHECK(p, errno == 0, "readdir %s", directory);
	closedir(dir);
}

static void list_all(struct process *p)
{
	int seen = 0, expected = 0;

	list(p, ".", &seen);
	list(p, "sub", &seen);
	for (int i = 0; i < FILES; i++)
		expected += p->files[i].path[0] != 0;
	CHECK(p, seen == expected, "%d names, not %d", seen, expected);
}

static void op_list(struct process *p, struct own_file *f)
{
	(void)f;
	list_all(p);
}

static void op_xattr(struct process *p, struct own_file *f)
{
	char value[200], seen[200], names[1000];
	size_t size = 1 + pick(p, sizeof(value) - 1);
	int fd = open_own(p, f, O_RDONLY);
	ssize_t n;

	memset(value, 'a' + (int)pick(p, 26), size);
	CHECK(p, fsetxattr(fd, "user.note", value, size, 0) == 0, "set");
	n = fgetxattr(fd, "user.note", seen, sizeof(seen));
	CHECK(p, n == (ssize_t)size && memcmp(value, seen, size) == 0, "get");
	n = flistxattr(fd, names, sizeof(names));
	CHECK(p, n > 0 && memmem(names, (size_t)n, "user.note", 10), "list");
	CHECK(p, fremovexattr(fd, "user.note") == 0, "remove");
	CHECK(p, fgetxattr(fd, "user.note", seen, sizeof(seen)) < 0 &&
	      errno == ENODATA, "it is still there");
	close(fd);
}

static void op_mode(struct process *p, struct own_file *f)
{
	const struct timespec times[2] = { { 1000000000, 0 },
					   { 1000000000 + pick(p, 1000), 0 } };
	struct stat st;

	f->mode = 0600 | pick(p, 0100);
	CHECK(p, fchmodat(p->own, f->path, f->mode, 0) == 0, "chmod");
	CHECK(p, utimensat(p->own, f->path, times, 0) == 0, "utimens");
	CHECK(p, fstatat(p->own, f->path, &st, 0) == 0, "stat");
	errno = 0;
	CHECK(p, (st.st_mode & 07777) == f->mode &&
	      st.st_mtime == times[1].tv_sec,
	      "mode %o, not %o; mtime %lld, not %lld", st.st_mode & 07777,
	      f->mode, (long long)st.st_mtime, (long long)times[1].tv_sec);
}

static void op_copy(struct process *p, struct own_file *f)
{
	struct own_file *g = another(p, f);
	int from, to;
	size_t size;

	if (!g || f->size == 0)
		return;
	from = open_own(p, f, O_RDONLY);
	to = open_own(p, g, O_RDWR);
	size = 1 + pick(p, (uint32_t)f->size);
	for (off_t at = 0, put = 0; (size_t)at < size;) {
		ssize_t n = copy_file_range(from, &at, to, &put,
					    size - (size_t)at, 0);

		CHECK(p, n > 0, "%zu bytes of %s to %s: %zd", size, f->path,
		      g->path, n);
	}
	memcpy(g->bytes, f->bytes, size);
	if (size > g->size)
		g->size = size;
	verify_fd(p, g, to);
	close(from);
	close(to);
}

/* The file is made anew, without a name at first. */
static void op_tmpfile(struct process *p, struct own_file *f)
{
	int fd = openat(p->own, "sub", O_TMPFILE | O_RDWR | O_CLOEXEC, 0640);
	char link[64];

	CHECK(p, fd >= 0, "open");
	op_unlink(p, f);
	memset(f->bytes, 0, SIZE_MAX_BYTES);
	f->size = 0;
	f->fixed = false;
	stamp_model(p, f, 0, 1 + pick(p, 20000));
	CHECK(p, pwrite(fd, f->bytes, f->size, 0) == (ssize_t)f->size, "write");
	new_name(p, f->path, sizeof(f->path));
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	CHECK(p, linkat(AT_FDCWD, link, p->own, f->path, AT_SYMLINK_FOLLOW) == 0,
	      "link %s", f->path);
	close(fd);
	verify(p, f);
}

/* What holds memory keeps its options. */
static void op_late_options(struct process *p, struct own_file *f)
{
	char state[4096];
	ssize_t n;
	int fd;

	if (!p->buffers || f->size == 0)
		return;
	fd = open_own(p, f, O_RDONLY);
	CHECK(p, fsetxattr(fd, "user.iobuf", "wired,capacity=128K", 19, 0) < 0 &&
	      errno == EBUSY, "%s was changed", f->path);
	n = fgetxattr(fd, "user.iobuf.state", state, sizeof(state) - 1);
	CHECK(p, n > 0, "state");
	state[n] = 0;
	errno = 0;
	CHECK(p, !strstr(state, "kind=fixed") == !f->fixed, "%s is:\n%s",
	      f->path, state);
	close(fd);
}

static void op_verify(struct process *p, struct own_file *f)
{
	verify(p, f);
}

static const struct operation {
	const char *name;
	void (*run)(struct process *p, struct own_file *f);
} operations[] = {
	{ "unlink", op_unlink },
	{ "write", op_write },
	{ "write", op_write },
	{ "append", op_append },
	{ "verify", op_verify },
	{ "truncate", op_truncate },
	{ "truncating open", op_truncating_open },
	{ "map", op_map },
	{ "fallocate", op_allocate },
	{ "link", op_link },
	{ "symlink", op_symlink },
	{ "rename", op_rename },
	{ "exchange", op_exchange },
	{ "unlink while open", op_unlink_while_open },
	{ "directory", op_directory },
	{ "list", op_list },
	{ "xattr", op_xattr },
	{ "mode", op_mode },
	{ "copy_file_range", op_copy },
	{ "tmpfile", op_tmpfile },
	{ "late options", op_late_options },
};

void operate_on_own(struct process *p)
{
	const size_t count = sizeof(operations) / sizeof(operations[0]);
	const struct operation *operation = &operations[pick(p, count)];
	struct own_file *f = &p->files[pick(p, FILES)];

	if (!f->path[0]) {
		create(p, f);
		return;
	}
	p->doing = operation->name;
	operation->run(p, f);
}

void check_own(struct process *p)
{
	p->doing = "the last look";
	for (int i = 0; i < FILES; i++)
		if (p->files[i].path[0])
			verify(p, &p->files[i]);
	list_all(p);
}
