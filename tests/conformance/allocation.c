/* SPDX-License-Identifier: MIT */
/*
 * allocation.c - fallocate, holes, st_blocks, a full filesystem.
 */
#include "conformance.h"

#include <linux/falloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { PAGE = 4096 };

static void see_size(const char *what, int fd)
{
	struct stat st;

	MUST(fstat(fd, &st));
	see_text(what, "size %jd, blocks %jd", (intmax_t)st.st_size,
		 (intmax_t)st.st_blocks);
}

static int filled_file(const char *name, size_t pages)
{
	int fd = (int)MUST(open(name, O_RDWR | O_CREAT, 0644));
	char page[PAGE];

	memset(page, 'x', sizeof(page));
	for (size_t i = 0; i < pages; i++)
		MUST(write(fd, page, sizeof(page)));
	return fd;
}

static void allocates(void)
{
	int fd = (int)MUST(open("f", O_RDWR | O_CREAT, 0644));
	char got[16];

	see("mode 0", fallocate(fd, 0, 0, 4 * PAGE));
	see_size("after mode 0", fd);
	see("read", pread(fd, got, sizeof(got), 0));
	see_yes("zeros", !memcmp(got, (char[16]){ 0 }, 16));
	see("keep size",
	    fallocate(fd, FALLOC_FL_KEEP_SIZE, 4 * PAGE, 4 * PAGE));
	see_size("after keep size", fd);
	see("odd range", fallocate(fd, 0, 5 * PAGE + 1, 10));
	see_size("after odd range", fd);
	MUST(pwrite(fd, "abc", 3, 0));
	see("over bytes", fallocate(fd, 0, 0, PAGE));
	see_content("bytes are kept", "f");
	see("posix_fallocate", posix_fallocate(fd, 0, 10 * PAGE));
	see_size("after posix_fallocate", fd);
}

static void allocate_errors(void)
{
	int fd = filled_file("f", 1), dir = (int)MUST(open(".", O_RDONLY));
	int pipes[2];

	MUST(pipe(pipes));
	see("length 0", fallocate(fd, 0, 0, 0));
	see("length below 0", fallocate(fd, 0, 0, -1));
	see("offset below 0", fallocate(fd, 0, -1, PAGE));
	see("too far", fallocate(fd, 0, INT64_MAX - 1, 2 * PAGE));
	see("read-only", fallocate((int)MUST(open("f", O_RDONLY)), 0, 0, PAGE));
	see("bad descriptor", fallocate(-1, 0, 0, PAGE));
	see("directory", fallocate(dir, 0, 0, PAGE));
	see("pipe", fallocate(pipes[1], 0, 0, PAGE));
	see("unknown mode", fallocate(fd, 1 << 20, 0, PAGE));
	see("punch without keep size",
	    fallocate(fd, FALLOC_FL_PUNCH_HOLE, 0, PAGE));
	see("punch and zero",
	    fallocate(fd,
		      FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE |
			      FALLOC_FL_KEEP_SIZE,
		      0, PAGE));
	see("collapse", fallocate(fd, FALLOC_FL_COLLAPSE_RANGE, 0, PAGE));
	see("insert", fallocate(fd, FALLOC_FL_INSERT_RANGE, 0, PAGE));
	see("more than there is", fallocate(fd, 0, 0, (off_t)1 << 50));
	see_size("after all these", fd);
}

static void punches(void)
{
	int fd = filled_file("f", 8);
	char got[3 * PAGE], zeros[3 * PAGE] = { 0 };
	struct watch watch = watch_times("f");

	see("punch", fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			       2 * PAGE, 2 * PAGE));
	see_moved("times", "f", &watch);
	see_size("after punch", fd);
	MUST(pread(fd, got, sizeof(got), 2 * PAGE));
	see_yes("it is zeros", !memcmp(got, zeros, 2 * PAGE));
	see_yes("and no more", got[2 * PAGE] == 'x');
	see("odd range",
	    fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		      5 * PAGE - 10, PAGE + 20));
	MUST(pread(fd, got, sizeof(got), 4 * PAGE));
	see_yes("odd range is zeros",
		got[PAGE - 11] == 'x' && got[PAGE - 10] == 0 &&
			got[2 * PAGE + 9] == 0 && got[2 * PAGE + 10] == 'x');
	see_size("after the odd range", fd);
	see("past the end",
	    fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 7 * PAGE,
		      100 * PAGE));
	see_size("after past the end", fd);
	see("all", fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
			     8 * PAGE));
	see_size("after all", fd);
}

/* A mapping sees the hole, and can fill it. */
static void punch_under_a_mapping(void)
{
	int fd = filled_file("f", 4);
	char *map =
		mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	see_yes("before", map[PAGE] == 'x');
	see("punch", fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			       PAGE, PAGE));
	see_yes("the hole", map[PAGE] == 0 && map[2 * PAGE - 1] == 0);
	see_yes("around it", map[PAGE - 1] == 'x' && map[2 * PAGE] == 'x');
	map[PAGE + 5] = 'm';
	MUST(msync(map, 4 * PAGE, MS_SYNC));
	MUST(pread(fd, map + 3 * PAGE, 6, PAGE));
	see_yes("a store into it is read", map[3 * PAGE + 5] == 'm');
}

static void zeroes_ranges(void)
{
	int fd = filled_file("f", 4);
	char got[PAGE + 2];

	see("zero range", fallocate(fd, FALLOC_FL_ZERO_RANGE, PAGE, PAGE));
	MUST(pread(fd, got, sizeof(got), PAGE - 1));
	see_yes("it is zeros", got[0] == 'x' && got[1] == 0 && got[PAGE] == 0 &&
				       got[PAGE + 1] == 'x');
	see_size("size", fd);
	see("past the end, keep size",
	    fallocate(fd, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, 3 * PAGE,
		      2 * PAGE));
	see_size("size after that", fd);
	see("past the end",
	    fallocate(fd, FALLOC_FL_ZERO_RANGE, 3 * PAGE, 2 * PAGE));
	see_size("size after that one", fd);
}

static void see_map(const char *what, int fd)
{
	char text[256] = "";
	off_t at = 0, end = lseek(fd, 0, SEEK_END);

	while (at < end) {
		off_t data = lseek(fd, at, SEEK_DATA);
		off_t hole = data < 0 ? -1 : lseek(fd, data, SEEK_HOLE);

		if (data < 0)
			break;
		snprintf(text + strlen(text), sizeof(text) - strlen(text),
			 " %jd-%jd", (intmax_t)data, (intmax_t)hole);
		at = hole;
	}
	see_text(what, "data%s, size %jd", text, (intmax_t)end);
}

/*
 * Each page is written while it is the file's last, at an even place: so that
 * no filesystem has a reason to take more than a page for it.
 */
static void finds_holes(void)
{
	int fd = (int)MUST(open("f", O_RDWR | O_CREAT, 0644));
	int hole = (int)MUST(open("g", O_RDWR | O_CREAT, 0644));

	see("SEEK_DATA in an empty file", lseek(fd, 0, SEEK_DATA));
	see("SEEK_HOLE in an empty file", lseek(fd, 0, SEEK_HOLE));
	MUST(ftruncate(hole, 8 * PAGE));
	see_map("a hole", hole);
	see("SEEK_DATA in a hole", lseek(hole, 0, SEEK_DATA));
	see("SEEK_HOLE in a hole", lseek(hole, 10, SEEK_HOLE));
	MUST(pwrite(fd, "x", 1, 2 * PAGE + 5));
	MUST(pwrite(fd, "x", 1, 6 * PAGE));
	MUST(pwrite(fd, "x", 1, 8 * PAGE + 50));
	MUST(ftruncate(fd, 9 * PAGE + 100));
	see_map("three pages", fd);
	see("SEEK_DATA within data", lseek(fd, 2 * PAGE + 7, SEEK_DATA));
	see("SEEK_HOLE within data", lseek(fd, 2 * PAGE + 7, SEEK_HOLE));
	see("SEEK_DATA in between", lseek(fd, 3 * PAGE + 7, SEEK_DATA));
	see("SEEK_DATA after the last", lseek(fd, 9 * PAGE, SEEK_DATA));
	see("SEEK_HOLE near the end", lseek(fd, 9 * PAGE + 99, SEEK_HOLE));
	see("SEEK_HOLE at the end", lseek(fd, 9 * PAGE + 100, SEEK_HOLE));
	see("SEEK_DATA at the end", lseek(fd, 9 * PAGE + 100, SEEK_DATA));
	see("SEEK_HOLE past the end", lseek(fd, 10 * PAGE, SEEK_HOLE));
	see("SEEK_DATA below 0", lseek(fd, -1, SEEK_DATA));
	MUST(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
		       4 * PAGE));
	see_map("punched", fd);
	see("position moves", lseek(fd, 0, SEEK_CUR));
}

static void counts_blocks(void)
{
	int fd = (int)MUST(open("f", O_RDWR | O_CREAT, 0644));
	char *map;

	see_size("new", fd);
	MUST(pwrite(fd, "x", 1, 0));
	see_size("a byte", fd);
	MUST(pwrite(fd, "x", 1, 100 * PAGE));
	see_size("a byte far away", fd);
	MUST(ftruncate(fd, 50 * PAGE));
	see_size("cut", fd);
	MUST(ftruncate(fd, 60 * PAGE));
	see_size("grown", fd);
	MUST(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
		       PAGE));
	see_size("punched", fd);
	/* The last, at an even place: see finds_holes(). */
	MUST(ftruncate(fd, 61 * PAGE));
	map = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
		   60 * PAGE);
	map[0] = 'm';
	MUST(msync(map, PAGE, MS_SYNC));
	MUST(munmap(map, PAGE));
	MUST(fsync(fd));
	see_size("a store by a mapping", fd);
	MUST(ftruncate(fd, 0));
	see_size("emptied", fd);
}

static void blocks_of_other_kinds(void)
{
	struct stat st;
	char *longer = long_name(3000);

	MUST(mkdir("d", 0755));
	MUST(symlink("short", "short"));
	MUST(symlink(longer, "long"));
	MUST(stat("d", &st));
	see("directory, size", st.st_size);
	make_file("d/f", "", 0644);
	MUST(mkdir("d/d", 0755));
	MUST(stat("d", &st));
	see("directory with two names, size", st.st_size);
	MUST(lstat("short", &st));
	see_text("short symlink", "%jd %jd", (intmax_t)st.st_size,
		 (intmax_t)st.st_blocks);
	MUST(lstat("long", &st));
	see_text("long symlink", "%jd %jd", (intmax_t)st.st_size,
		 (intmax_t)st.st_blocks);
}

const struct conformance_case allocation_cases[] = {
	{ "allocates", allocates, NEEDS_NOTHING },
	{ "allocate-errors", allocate_errors, NEEDS_NOTHING },
	{ "punches", punches, NEEDS_NOTHING },
	{ "punch-under-a-mapping", punch_under_a_mapping, NEEDS_NOTHING },
	{ "zeroes-ranges", zeroes_ranges, NEEDS_NOTHING },
	{ "finds-holes", finds_holes, NEEDS_NOTHING },
	{ "counts-blocks", counts_blocks, NEEDS_NOTHING },
	{ "blocks-of-other-kinds", blocks_of_other_kinds, NEEDS_NOTHING },
	{ 0 },
};
