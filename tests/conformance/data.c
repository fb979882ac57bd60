/* SPDX-License-Identifier: MIT */
/*
 * data.c - read, write and their relatives; truncate; limits; copies.
 */
#include "conformance.h"

#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/uio.h>

static void read_and_write(void)
{
	void *volatile nowhere = (void *)1;
	char got[32] = "";
	int fd = (int)MUST(open("f", O_RDWR | O_CREAT, 0644));

	see("write", write(fd, "0123456789", 10));
	see("position", lseek(fd, 0, SEEK_CUR));
	see("read at the end", read(fd, got, 10));
	see("pread", pread(fd, got, 4, 2));
	see_text("what it read", "%.4s", got);
	see("pread over the end", pread(fd, got, sizeof(got), 8));
	see("pread past the end", pread(fd, got, 1, 100));
	see("pread below 0", pread(fd, got, 1, -1));
	see("pwrite below 0", pwrite(fd, got, 1, -1));
	see("write nothing", write(fd, got, 0));
	see("pwrite nothing far away", pwrite(fd, got, 0, 1 << 20));
	see("size", lseek(fd, 0, SEEK_END));
	see("pwrite past the end", pwrite(fd, "x", 1, 20));
	see("pread of the gap", pread(fd, got, sizeof(got), 0));
	see_yes("the gap is zeros",
		!memcmp(got + 10, "\0\0\0\0\0\0\0\0\0\0x", 11));
	see("bad address to write", write(fd, nowhere, 1));
	see("bad address to read", pread(fd, nowhere, 1, 0));
	see("pwrite past the largest offset", pwrite(fd, "x", 1, LONG_MAX));
	see("read of a directory", read(open(".", O_RDONLY), got, 1));
	see("write to a read-only one", write(open("f", O_RDONLY), "x", 1));
	see("read of a write-only one", read(open("f", O_WRONLY), got, 1));
	see("bad descriptor", read(-1, got, 1));
}

static void vectors(void)
{
	char a[4] = "abc", b[4] = "def", got[8] = "";
	struct iovec out[] = { { a, 3 }, { b, 3 } };
	struct iovec in[] = { { got + 3, 3 }, { got, 3 } };
	struct iovec *many = calloc(IOV_MAX + 1, sizeof(*many));
	int fd = (int)MUST(open("f", O_RDWR | O_CREAT, 0644));

	see("writev", writev(fd, out, 2));
	see("preadv", preadv(fd, in, 2, 0));
	see_text("what it read", "%s", got);
	see("pwritev", pwritev(fd, out, 2, 6));
	see("pwritev2", pwritev2(fd, out, 2, 3, 0));
	see("pwritev2 at the position", pwritev2(fd, out, 2, -1, 0));
	see("pwritev2 RWF_APPEND", pwritev2(fd, out, 2, 0, RWF_APPEND));
	see("pwritev2 RWF_DSYNC", pwritev2(fd, out, 2, 0, RWF_DSYNC));
	see("size", lseek(fd, 0, SEEK_END));
	see("preadv2", preadv2(fd, in, 2, 0, 0));
	see("preadv2 RWF_HIPRI", preadv2(fd, in, 2, 0, RWF_HIPRI));
	see("unknown flag", preadv2(fd, in, 2, 0, 1 << 20));
	see("no vectors", writev(fd, out, 0));
	see("too many vectors", writev(fd, many, IOV_MAX + 1));
	see_content("content", "f");
}

static void large_transfers(void)
{
	enum { SIZE = 5 << 20 };
	unsigned char *bytes = malloc(SIZE), *got = calloc(1, SIZE);
	int fd = (int)MUST(open("f", O_RDWR | O_CREAT, 0644));

	for (size_t i = 0; i < SIZE; i++)
		bytes[i] = (unsigned char)(i * 31 >> 8 ^ i);
	see("write 5 MiB at an odd place", pwrite(fd, bytes, SIZE, 12345));
	see("read it", pread(fd, got, SIZE, 12345));
	see_yes("it is the same", !memcmp(bytes, got, SIZE));
	see("size", lseek(fd, 0, SEEK_END));
	see("read it again from another open",
	    pread(open("f", O_RDONLY), got, SIZE, 12345));
	see_yes("it is the same there", !memcmp(bytes, got, SIZE));
}

static void seeks(void)
{
	int fd;

	make_file("f", "0123456789", 0644);
	fd = (int)MUST(open("f", O_RDWR));
	see("SEEK_SET", lseek(fd, 4, SEEK_SET));
	see("SEEK_CUR", lseek(fd, 2, SEEK_CUR));
	see("SEEK_END", lseek(fd, -3, SEEK_END));
	see("past the end", lseek(fd, 1000, SEEK_SET));
	see("below 0", lseek(fd, -1, SEEK_SET));
	see("below 0 by CUR", lseek(fd, -1001, SEEK_CUR));
	see("unknown whence", lseek(fd, 0, 77));
	see("largest", lseek(fd, LONG_MAX, SEEK_SET) == LONG_MAX ? 0 : -1);
	see("beyond the largest", lseek(fd, 1, SEEK_CUR));
}

static void truncates(void)
{
	struct watch watch;
	struct stat st;
	char got[16];
	int fd, read_only;

	make_file("f", "0123456789", 0644);
	make_dir("d", 0755);
	MUST(mkfifo("p", 0644));
	fd = (int)MUST(open("f", O_RDWR));
	read_only = (int)MUST(open("f", O_RDONLY));
	watch = watch_times("f");
	see("truncate", truncate("f", 4));
	see_moved("times by truncate", "f", &watch);
	see_content("content", "f");
	see("grow", ftruncate(fd, 16));
	see("read", pread(fd, got, sizeof(got), 0));
	see_yes("grown bytes are zeros",
		!memcmp(got + 4, "\0\0\0\0\0\0\0\0\0\0\0\0", 12));
	watch = watch_times("f");
	see("to the same size", ftruncate(fd, 16));
	see_moved("times by the same size, ftruncate", "f", &watch);
	watch = watch_times("f");
	see("to the same size by name", truncate("f", 16));
	see_moved("times by the same size, truncate", "f", &watch);
	see("below 0", ftruncate(fd, -1));
	see("below 0 by name", truncate("f", -1));
	see("read-only descriptor", ftruncate(read_only, 0));
	see("directory", truncate("d", 0));
	see("fifo", truncate("p", 0));
	see("nothing", truncate("nothing", 0));
	see("below a file", truncate("f/x", 0));
	see("empty name", truncate("", 0));
	see("bad descriptor", ftruncate(-1, 0));
	see("largest", ftruncate(fd, LONG_MAX));
	MUST(fstat(fd, &st));
	see_yes("st_size is the largest", st.st_size == LONG_MAX);
	see("to 2^62", ftruncate(fd, (off_t)1 << 62));
	MUST(fstat(fd, &st));
	see_yes("st_size is 2^62", st.st_size == (off_t)1 << 62);
	see_yes("it takes few blocks", st.st_blocks <= 8);
	see("write at 2^61", pwrite(fd, "x", 1, (off_t)1 << 61));
	see("position does not move", lseek(fd, 0, SEEK_CUR));
}

/* What was cut off has to be gone, in the middle of a page too. */
static void truncate_shrink_then_grow(void)
{
	char got[300], zeros[300] = { 0 };
	int fd = (int)MUST(open("f", O_RDWR | O_CREAT, 0644));

	memset(got, 'x', sizeof(got));
	for (int i = 0; i < 40; i++)
		MUST(write(fd, got, sizeof(got)));
	MUST(ftruncate(fd, 5000));
	MUST(ftruncate(fd, 12000));
	see("read", pread(fd, got, sizeof(got), 5000));
	see_yes("zeros", !memcmp(got, zeros, sizeof(got)));
	see("read farther", pread(fd, got, sizeof(got), 9000));
	see_yes("zeros farther", !memcmp(got, zeros, sizeof(got)));
	MUST(ftruncate(fd, 100));
	see("write past", pwrite(fd, "y", 1, 399));
	see("read between", pread(fd, got, 299, 100));
	see_yes("zeros between", !memcmp(got, zeros, 299));
}

static void truncate_is_seen_by_others(void)
{
	struct stat st;
	int fd, other;
	pid_t pid;
	char byte;

	make_file("f", "0123456789", 0644);
	fd = (int)MUST(open("f", O_RDWR));
	other = (int)MUST(open("f", O_RDWR));
	MUST(fstat(other, &st));
	IN_CHILD(pid)
		MUST(truncate("f", 3));
	wait_for(pid);
	MUST(fstat(other, &st));
	see("size", st.st_size);
	see("read past it", pread(fd, &byte, 1, 3));
	MUST(pwrite(fd, "y", 1, 99));
	MUST(stat("f", &st));
	see("size by name after a write", st.st_size);
	MUST(ftruncate(other, 0));
	MUST(fstat(fd, &st));
	see("size by the first", st.st_size);
}

static void write_past_limit(void *argument)
{
	MUST(write(*(int *)argument, "x", 1));
}

static void truncate_past_limit(void *argument)
{
	MUST(ftruncate(*(int *)argument, 5000));
}

static void file_size_limit(void)
{
	const struct rlimit limit = { 4096, 4096 };
	char *bytes = calloc(1, 8192);
	int fd = (int)MUST(open("f", O_RDWR | O_CREAT, 0644));

	MUST(setrlimit(RLIMIT_FSIZE, &limit));
	see("write over it", write(fd, bytes, 8192));
	see("signal of a write past it", signal_of(write_past_limit, &fd));
	see("signal of a truncate past it",
	    signal_of(truncate_past_limit, &fd));
	signal(SIGXFSZ, SIG_IGN);
	see("write past it", write(fd, bytes, 1));
	see("ftruncate past it", ftruncate(fd, 4097));
	see("truncate past it", truncate("f", 4097));
	see("ftruncate to it", ftruncate(fd, 4096));
	see("fallocate past it", fallocate(fd, 0, 0, 8192));
	see("pwrite within it", pwrite(fd, bytes, 10, 0));
	see("size", lseek(fd, 0, SEEK_END));
}

static void times_of_data(void)
{
	struct watch watch;
	char got[4];
	int fd;

	make_file("f", "0123456789", 0644);
	fd = (int)MUST(open("f", O_RDWR));
	watch = watch_times("f");
	MUST(pwrite(fd, "x", 1, 0));
	see_moved("write", "f", &watch);
	watch = watch_times("f");
	MUST(pwrite(fd, "x", 1, 100));
	see_moved("write past the end", "f", &watch);
	watch = watch_times("f");
	MUST(pwrite(fd, "x", 0, 0));
	see_moved("write of nothing", "f", &watch);
	watch = watch_times("f");
	MUST(pread(fd, got, 4, 0));
	see_moved("first read", "f", &watch);
	watch = watch_times("f");
	MUST(pread(fd, got, 4, 0));
	see_moved("second read", "f", &watch);
	watch = watch_times("f");
	MUST(fsync(fd));
	see_moved("fsync", "f", &watch);
	watch = watch_times("f");
	close((int)MUST(open("f", O_RDWR)));
	see_moved("open and close", "f", &watch);
	watch = watch_times("f");
	MUST(fallocate(fd, 0, 0, 65536));
	see_moved("fallocate", "f", &watch);
}

static void syncs(void)
{
	int fd = (int)MUST(open("f", O_RDWR | O_CREAT, 0644));
	int dir = (int)MUST(open(".", O_RDONLY));
	int pipes[2];

	MUST(pipe(pipes));
	MUST(write(fd, "abc", 3));
	see("fsync", fsync(fd));
	see("fdatasync", fdatasync(fd));
	see("syncfs", syncfs(fd));
	see("sync_file_range",
	    sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE));
	see("sync_file_range of bad flags", sync_file_range(fd, 0, 0, 1 << 20));
	see("fsync of a directory", fsync(dir));
	see("fdatasync of a directory", fdatasync(dir));
	see("syncfs of a directory", syncfs(dir));
	see("fsync of a read-only one", fsync(open("f", O_RDONLY)));
	see("fsync of a pipe", fsync(pipes[0]));
	see("posix_fadvise", posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED));
	see("posix_fadvise of bad advice", posix_fadvise(fd, 0, 0, 99));
	see("readahead", readahead(fd, 0, 4096));
	see_fd("O_SYNC", open("f", O_RDWR | O_SYNC));
	see("write by O_DSYNC", write(open("f", O_RDWR | O_DSYNC), "x", 1));
}

static void copies_of_ranges(void)
{
	off_t from = 2, to = 5, odd = -1;
	int in, out, dir, read_only;

	make_file("f", "0123456789", 0644);
	make_file("g", "abcdefghij", 0644);
	in = (int)MUST(open("f", O_RDWR));
	out = (int)MUST(open("g", O_RDWR));
	dir = (int)MUST(open(".", O_RDONLY));
	read_only = (int)MUST(open("g", O_RDONLY));
	see("between offsets", copy_file_range(in, &from, out, &to, 4, 0));
	see_text("offsets", "%jd %jd", (intmax_t)from, (intmax_t)to);
	see_content("content", "g");
	see("position of the source", lseek(in, 0, SEEK_CUR));
	see("by positions", copy_file_range(in, NULL, out, NULL, 100, 0));
	see("position of the source then", lseek(in, 0, SEEK_CUR));
	see("at the end", copy_file_range(in, NULL, out, NULL, 100, 0));
	see_content("content then", "g");
	to = 20;
	from = 0;
	see("past the end", copy_file_range(in, &from, out, &to, 3, 0));
	see("size then", lseek(out, 0, SEEK_END));
	from = 0;
	to = 4;
	see("within one file", copy_file_range(in, &from, in, &to, 4, 0));
	see_content("content of that", "f");
	from = 0;
	to = 2;
	see("over itself", copy_file_range(in, &from, in, &to, 4, 0));
	see("flags", copy_file_range(in, NULL, out, NULL, 1, 1));
	see("below 0", copy_file_range(in, &odd, out, NULL, 1, 0));
	see("to a directory", copy_file_range(in, NULL, dir, NULL, 1, 0));
	see("from a directory", copy_file_range(dir, NULL, out, NULL, 1, 0));
	from = 0;
	see("to a read-only one",
	    copy_file_range(in, &from, read_only, NULL, 1, 0));
	see("to an appending one",
	    copy_file_range(in, &from, open("g", O_WRONLY | O_APPEND), NULL, 1,
			    0));
	see("from a write-only one",
	    copy_file_range(open("f", O_WRONLY), &from, out, NULL, 1, 0));
}

static void copy_of_large_range(void)
{
	enum { SIZE = 3 << 20 };
	unsigned char *bytes = malloc(SIZE), *got = calloc(1, SIZE);
	int in = (int)MUST(open("f", O_RDWR | O_CREAT, 0644));
	int out = (int)MUST(open("g", O_RDWR | O_CREAT, 0644));
	off_t from = 0;
	ssize_t n;

	for (size_t i = 0; i < SIZE; i++)
		bytes[i] = (unsigned char)(i * 17 >> 8 ^ i);
	MUST(write(in, bytes, SIZE));
	while ((n = copy_file_range(in, &from, out, NULL, SIZE, 0)) > 0)
		;
	see("last", n);
	see("read", pread(out, got, SIZE, 0));
	see_yes("it is the same", !memcmp(bytes, got, SIZE));
}

static void sends_and_splices(void)
{
	int in, out, pipes[2];
	off_t from = 2, to = 1;
	char got[16] = "";

	make_file("f", "0123456789", 0644);
	make_file("g", "", 0644);
	in = (int)MUST(open("f", O_RDWR));
	out = (int)MUST(open("g", O_RDWR));
	MUST(pipe(pipes));
	see("sendfile", sendfile(out, in, &from, 4));
	see("sendfile's offset", from);
	see("sendfile by position", sendfile(out, in, NULL, 100));
	see_content("what it wrote", "g");
	MUST(fcntl(pipes[0], F_SETFL, O_NONBLOCK));
	see("splice to a pipe",
	    splice(in, (off_t[]){ 3 }, pipes[1], NULL, 3, 0));
	see("read the pipe", read(pipes[0], got, sizeof(got)));
	see_text("what it read", "%s", got);
	MUST(write(pipes[1], "ABC", 3));
	see("splice from a pipe", splice(pipes[0], NULL, out, &to, 3, 0));
	see_content("what it wrote then", "g");
	see("splice of two files", splice(in, NULL, out, NULL, 1, 0));
	MUST(write(pipes[1], "tee", 3));
	see("splice to an appending one",
	    splice(pipes[0], NULL, open("g", O_WRONLY | O_APPEND), NULL, 3, 0));
	see("vmsplice and splice",
	    vmsplice(pipes[1], &(struct iovec){ "vm", 2 }, 1, 0));
	see("read what is left", read(pipes[0], got, sizeof(got)));
}

/* By the descriptor that made it, while it was empty. */
static void sends_a_new_file(void)
{
	int in = (int)MUST(open("f", O_RDWR | O_CREAT | O_EXCL, 0644));
	int out = (int)MUST(open("g", O_RDWR | O_CREAT, 0644));
	off_t from = 0;

	MUST(write(in, "0123456789", 10));
	see("sendfile", sendfile(out, in, &from, 10));
	see_content("what it wrote", "g");
	in = (int)MUST(open("f", O_RDONLY));
	see("sendfile by another open", sendfile(out, in, NULL, 10));
}

const struct conformance_case data_cases[] = {
	{ "read-and-write", read_and_write, NEEDS_NOTHING },
	{ "vectors", vectors, NEEDS_NOTHING },
	{ "large-transfers", large_transfers, NEEDS_NOTHING },
	{ "seeks", seeks, NEEDS_NOTHING },
	{ "truncates", truncates, NEEDS_NOTHING },
	{ "truncate-shrink-then-grow", truncate_shrink_then_grow,
	  NEEDS_NOTHING },
	{ "truncate-is-seen-by-others", truncate_is_seen_by_others,
	  NEEDS_NOTHING },
	{ "file-size-limit", file_size_limit, NEEDS_NOTHING },
	{ "times-of-data", times_of_data, NEEDS_NOTHING },
	{ "syncs", syncs, NEEDS_NOTHING },
	{ "copies-of-ranges", copies_of_ranges, NEEDS_NOTHING },
	{ "copy-of-large-range", copy_of_large_range, NEEDS_NOTHING },
	{ "sends-a-new-file", sends_a_new_file, NEEDS_NOTHING },
	{ "sends-and-splices", sends_and_splices, NEEDS_NOTHING },
	{ 0 },
};
