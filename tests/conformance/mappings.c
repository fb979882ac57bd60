/* SPDX-License-Identifier: MIT */
/*
 * mappings.c - mmap, msync and what goes through the pages.
 */
#include "conformance.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>

enum { PAGE = 4096 };

static int sized_file(const char *name, off_t size)
{
	int fd = (int)MUST(open(name, O_RDWR | O_CREAT, 0644));

	MUST(ftruncate(fd, size));
	return fd;
}

static char *map_file(int fd, size_t size, int prot, int flags)
{
	char *map = mmap(NULL, size, prot, flags, fd, 0);

	MUST(map == MAP_FAILED ? -1 : 0);
	return map;
}

static void see_map(const char *what, void *map)
{
	see(what, map == MAP_FAILED ? -1 : 0);
}

static void maps_are_shared(void)
{
	int fd = sized_file("f", 3 * PAGE);
	char *a = map_file(fd, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
	char *b = map_file((int)MUST(open("f", O_RDWR)), 3 * PAGE,
			   PROT_READ | PROT_WRITE, MAP_SHARED);
	char got[8] = "";
	pid_t pid;

	strcpy(a, "mapped");
	see_text("by the other mapping", "%s", b);
	MUST(pread(fd, got, 7, 0));
	see_text("by read", "%s", got);
	MUST(pwrite(fd, "written", 8, PAGE - 4));
	see_text("a write by the mapping", "%s", b + PAGE - 4);
	IN_CHILD(pid)
		strcpy(a + 2 * PAGE, "by a child");
	wait_for(pid);
	see_text("a child's store", "%s", b + 2 * PAGE);
	IN_CHILD(pid) {
		char *c = map_file((int)MUST(open("f", O_RDWR)), 3 * PAGE,
				   PROT_READ | PROT_WRITE, MAP_SHARED);

		strcpy(c + 100, "by its own");
	}
	wait_for(pid);
	see_text("a child's own mapping", "%s", a + 100);
}

static void maps_are_private(void)
{
	int fd = sized_file("f", PAGE);
	char *private = map_file(fd, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	char *read_only = map_file((int)MUST(open("f", O_RDONLY)), PAGE,
				   PROT_READ | PROT_WRITE, MAP_PRIVATE);

	strcpy(private, "private");
	see_content("the file", "f");
	MUST(ftruncate(fd, 0));
	MUST(pwrite(fd, "file", 4, 0));
	see_content("the file then", "f");
	see_text("another private mapping", "%s", read_only);
	read_only[0] = 'F';
	see_text("stored into", "%s", read_only);
	see_content("the file at last", "f");
}

static void map_errors(void)
{
	int fd = sized_file("f", PAGE), dir = (int)MUST(open(".", O_RDONLY));
	int read_only = (int)MUST(open("f", O_RDONLY));
	int write_only = (int)MUST(open("f", O_WRONLY));

	see_map("shared",
		mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
	see_map("shared of read-only for writing",
		mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, read_only,
		     0));
	see_map("shared of read-only for reading",
		mmap(NULL, PAGE, PROT_READ, MAP_SHARED, read_only, 0));
	see("mprotect of that",
	    mprotect(mmap(NULL, PAGE, PROT_READ, MAP_SHARED, read_only, 0),
		     PAGE, PROT_READ | PROT_WRITE));
	see_map("private of read-only for writing",
		mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, read_only,
		     0));
	see_map("write-only for writing",
		mmap(NULL, PAGE, PROT_WRITE, MAP_SHARED, write_only, 0));
	see_map("write-only, private",
		mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, write_only, 0));
	see_map("by O_PATH", mmap(NULL, PAGE, PROT_READ, MAP_SHARED,
				  (int)MUST(open("f", O_PATH)), 0));
	see_map("directory", mmap(NULL, PAGE, PROT_READ, MAP_SHARED, dir, 0));
	see_map("length 0", mmap(NULL, 0, PROT_READ, MAP_SHARED, fd, 0));
	see_map("odd offset", mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 1));
	see_map("neither shared nor private",
		mmap(NULL, PAGE, PROT_READ, 0, fd, 0));
	see_map("for execution",
		mmap(NULL, PAGE, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0));
	see_map("populated",
		mmap(NULL, PAGE, PROT_READ, MAP_SHARED | MAP_POPULATE, fd, 0));
	see_map("locked",
		mmap(NULL, PAGE, PROT_READ, MAP_SHARED | MAP_LOCKED, fd, 0));
	see_map("validated",
		mmap(NULL, PAGE, PROT_READ, MAP_SHARED_VALIDATE, fd, 0));
	see_map("synchronous", mmap(NULL, PAGE, PROT_READ,
				    MAP_SHARED_VALIDATE | MAP_SYNC, fd, 0));
	see_map("past the end",
		mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 100 * PAGE));
}

static void msync_errors(void)
{
	int fd = sized_file("f", 2 * PAGE);
	char *map = map_file(fd, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);

	see("MS_SYNC", msync(map, 2 * PAGE, MS_SYNC));
	see("MS_ASYNC", msync(map, 2 * PAGE, MS_ASYNC));
	see("MS_INVALIDATE", msync(map, 2 * PAGE, MS_SYNC | MS_INVALIDATE));
	see("both", msync(map, PAGE, MS_SYNC | MS_ASYNC));
	see("unknown flag", msync(map, PAGE, 64));
	see("odd address", msync(map + 1, PAGE, MS_SYNC));
	MUST(mlock(map, PAGE));
	see("MS_INVALIDATE of locked", msync(map, PAGE, MS_INVALIDATE));
	MUST(munmap(map + PAGE, PAGE));
	see("not mapped", msync(map, 2 * PAGE, MS_SYNC));
}

static void touch(void *address)
{
	*(volatile char *)address = 'x';
}

static void past_the_end_is_sigbus(void)
{
	int fd = sized_file("f", PAGE + 10);
	char *map = map_file(fd, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);

	see("in the file", signal_of(touch, map + PAGE));
	see("in its last page", signal_of(touch, map + PAGE + 2000));
	see_yes("past the end", signal_of(touch, map + 2 * PAGE) == SIGBUS);
	MUST(ftruncate(fd, 3 * PAGE));
	see("after it has grown", signal_of(touch, map + 2 * PAGE));
	MUST(ftruncate(fd, PAGE));
	see_yes("after it was cut", signal_of(touch, map + PAGE) == SIGBUS);
	see_yes("of nothing",
		signal_of(touch, map_file(sized_file("g", 0), PAGE,
					  PROT_READ | PROT_WRITE,
					  MAP_SHARED)) == SIGBUS);
}

/* What is stored past the end, in the last page, never becomes the file's. */
static void past_the_end_is_zeros_again(void)
{
	int fd = sized_file("f", 100);
	char *map = map_file(fd, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
	char got[300] = "";

	see_yes("zeros at first", map[100] == 0 && map[PAGE - 1] == 0);
	map[150] = 'x';
	MUST(msync(map, PAGE, MS_SYNC));
	MUST(ftruncate(fd, 300));
	see("read when grown", pread(fd, got, sizeof(got), 0));
	see_yes("zero when grown", got[150] == 0);
	see_yes("zero in the mapping", map[150] == 0);
	map[200] = 'y';
	MUST(ftruncate(fd, 100));
	MUST(ftruncate(fd, 300));
	see_yes("zero when cut and grown", map[200] == 0);
	map[299] = 'z';
	map[500] = 'z';
	MUST(pwrite(fd, "w", 1, 600));
	MUST(pread(fd, got, 300, 301));
	see_yes("zero before a write past the end", got[199] == 0);
}

static void maps_outlive_their_names(void)
{
	int fd = sized_file("f", PAGE);
	char *map = map_file(fd, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
	pid_t pid;

	strcpy(map, "kept");
	MUST(unlink("f"));
	see_text("after unlink", "%s", map);
	close(fd);
	see_text("after close", "%s", map);
	strcpy(map + 10, "stored");
	IN_CHILD(pid)
		see_text("in a child", "%s %s", map, map + 10);
	wait_for(pid);
	make_file("f", "another", 0644);
	see_text("when there is another of the name", "%s", map);
	see_content("the other", "f");
}

/* Who reads /proc/PID/maps finds the file by its numbers and its name. */
static void maps_are_listed(void)
{
	int fd = sized_file("f", PAGE);
	char *map = map_file(fd, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
	FILE *maps = fopen("/proc/self/maps", "re");
	char line[4500], path[4096], link[64];
	unsigned long start = 0, end;
	uintmax_t inode = 0;
	struct stat st;
	ssize_t n;

	MUST(fstat(fd, &st));
	MUST(maps ? 0 : -1);
	while (fgets(line, sizeof(line), maps) && start != (unsigned long)map)
		sscanf(line, "%lx-%lx %*s %*s %*s %ju %4095s", &start, &end,
		       &inode, path);
	fclose(maps);
	see_yes("inode", inode == (uintmax_t)st.st_ino);
	see_text("last of its path", "%s", strrchr(path, '/'));
	snprintf(link, sizeof(link), "/proc/self/map_files/%lx-%lx", start,
		 end);
	n = readlink(link, line, sizeof(line) - 1);
	line[n > 0 ? n : 0] = '\0';
	see_yes("map_files has the path", n > 0 && !strcmp(line, path));
}

static void maps_after_close(void)
{
	int fd = sized_file("f", PAGE);
	char *map = map_file(fd, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);

	close(fd);
	strcpy(map, "stored");
	fd = (int)MUST(open("f", O_RDWR));
	MUST(ftruncate(fd, 6));
	see_content("by another open", "f");
	MUST(pwrite(fd, "S", 1, 0));
	see_text("a write of it", "%s", map);
	see_fd("O_TRUNC under the mapping", open("f", O_RDWR | O_TRUNC));
	see_yes("is SIGBUS", signal_of(touch, map) == SIGBUS);
}

static void mapped_stores_are_in_the_attributes(void)
{
	int fd = sized_file("f", 4 * PAGE);
	char *map = map_file(fd, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
	struct watch watch = watch_times("f");
	struct stat st;

	map[0] = 'x';
	MUST(msync(map, 4 * PAGE, MS_SYNC));
	see_moved("a store and msync", "f", &watch);
	watch = watch_times("f");
	map[PAGE] = 'x';
	MUST(munmap(map, 4 * PAGE));
	MUST(fsync(fd));
	see_moved("a store, munmap and fsync", "f", &watch);
	MUST(stat("f", &st));
	see_yes("blocks of two pages at least", st.st_blocks >= 16);
}

static void maps_are_targets_and_sources(void)
{
	int fd = sized_file("f", 2 * PAGE), other = sized_file("g", 2 * PAGE);
	char *map = map_file(fd, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);

	strcpy(map, "from the mapping");
	see("write from a mapping of another", pwrite(other, map, 16, 0));
	see("write from a mapping of its own", pwrite(fd, map, 17, PAGE));
	see_text("what it wrote", "%s", map + PAGE);
	see("read into a mapping of another", pread(other, map + 100, 16, 0));
	see_text("what it read", "%s", map + 100);
	see("read into a mapping of its own", pread(fd, map + 200, 16, 0));
	see_text("what that read", "%s", map + 200);
	see("read into an untouched page",
	    pread(other,
		  map_file(sized_file("h", PAGE), PAGE, PROT_READ | PROT_WRITE,
			   MAP_SHARED),
		  PAGE, 0));
}

static void advice_on_maps(void)
{
	int fd = sized_file("f", 4 * PAGE);
	char *map = map_file(fd, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);

	memset(map, 'x', 4 * PAGE);
	see("MADV_DONTNEED", madvise(map, PAGE, MADV_DONTNEED));
	see_yes("a shared file keeps its bytes", map[0] == 'x');
	see("MADV_WILLNEED", madvise(map, PAGE, MADV_WILLNEED));
	see("MADV_DONTFORK", madvise(map, PAGE, MADV_DONTFORK));
	see("mremap", mremap(map, 4 * PAGE, 2 * PAGE, 0) == map ? 0 : -1);
	see("mlock", mlock(map, PAGE));
	see("munlock", munlock(map, PAGE));
	see("mincore", mincore(map, PAGE, (unsigned char[1]){ 0 }));
	see("mprotect", mprotect(map, PAGE, PROT_NONE));
	see("process_vm_readv of a protected one",
	    process_vm_readv(getpid(), &(struct iovec){ (char[1]){ 0 }, 1 }, 1,
			     &(struct iovec){ map, 1 }, 1, 0));
}

static void removed_by_advice(void)
{
	int fd = sized_file("f", 4 * PAGE);
	char *map = map_file(fd, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
	char got = 0;

	memset(map, 'x', 4 * PAGE);
	see("MADV_REMOVE", madvise(map + PAGE, PAGE, MADV_REMOVE));
	see_yes("zeros", map[PAGE] == 0 && map[2 * PAGE - 1] == 0);
	see_yes("around", map[PAGE - 1] == 'x' && map[2 * PAGE] == 'x');
	MUST(pread(fd, &got, 1, PAGE));
	see_yes("zeros by read", got == 0);
}

const struct conformance_case mapping_cases[] = {
	{ "maps-are-shared", maps_are_shared, NEEDS_NOTHING },
	{ "maps-are-private", maps_are_private, NEEDS_NOTHING },
	{ "map-errors", map_errors, NEEDS_NOTHING },
	{ "msync-errors", msync_errors, NEEDS_NOTHING },
	{ "past-the-end-is-sigbus", past_the_end_is_sigbus, NEEDS_NOTHING },
	{ "past-the-end-is-zeros-again", past_the_end_is_zeros_again,
	  NEEDS_NOTHING },
	{ "maps-outlive-their-names", maps_outlive_their_names, NEEDS_NOTHING },
	{ "maps-are-listed", maps_are_listed, NEEDS_NOTHING },
	{ "maps-after-close", maps_after_close, NEEDS_NOTHING },
	{ "mapped-stores-are-in-the-attributes",
	  mapped_stores_are_in_the_attributes, NEEDS_NOTHING },
	{ "maps-are-targets-and-sources", maps_are_targets_and_sources,
	  NEEDS_NOTHING },
	{ "advice-on-maps", advice_on_maps, NEEDS_NOTHING },
	{ "removed-by-advice", removed_by_advice, NEEDS_NOTHING },
	{ 0 },
};
