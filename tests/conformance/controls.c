/* SPDX-License-Identifier: MIT */
/*
 * controls.c - ioctls, odd transfers, and a filesystem that is full.
 */
#include "conformance.h"

#include <linux/fs.h>
#include <linux/fiemap.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <termios.h>

static void ioctls(void)
{
	int fd = (int)MUST(open("f", O_CREAT | O_RDWR, 0644));
	int dir = (int)MUST(open(".", O_RDONLY));
	struct fiemap map = { .fm_length = FIEMAP_MAX_OFFSET };
	int number = 0;
	long flags = 0;

	MUST(write(fd, "0123456789", 10));
	MUST(lseek(fd, 4, SEEK_SET));
	see("FIONREAD", ioctl(fd, FIONREAD, &number));
	see("bytes left", number);
	see("FIGETBSZ", ioctl(fd, FIGETBSZ, &number));
	see("block size", number);
	see("FIBMAP", ioctl(fd, FIBMAP, &number));
	see("FS_IOC_FIEMAP", ioctl(fd, FS_IOC_FIEMAP, &map));
	see("TCGETS", ioctl(fd, TCGETS, &(struct termios){ 0 }));
	see("TCGETS of a directory",
	    ioctl(dir, TCGETS, &(struct termios){ 0 }));
	see("unknown", ioctl(fd, _IO('x', 99)));
	see("FIONBIO", ioctl(fd, FIONBIO, &(int){ 0 }));
	see("FICLONE of itself", ioctl(fd, FICLONE, fd));
	see("FICLONE",
	    ioctl((int)MUST(open("g", O_CREAT | O_RDWR, 0644)), FICLONE, fd));
	see("FITRIM", ioctl(dir, FITRIM, &(struct fstrim_range){ 0 }));
	see("FIFREEZE", geteuid() ? ioctl(dir, FIFREEZE) : 0);
	see("FS_IOC_GETFLAGS", ioctl(fd, FS_IOC_GETFLAGS, &flags));
	see("FS_IOC_GETFLAGS of a directory",
	    ioctl(dir, FS_IOC_GETFLAGS, &flags));
}

static void flags_of_files(void)
{
	int fd = (int)MUST(open("f", O_CREAT | O_RDWR, 0644));
	unsigned int flags = FS_NODUMP_FL;
	struct fsxattr attributes;

	see("set nodump", ioctl(fd, FS_IOC_SETFLAGS, &flags));
	flags = 0;
	see("get", ioctl(fd, FS_IOC_GETFLAGS, &flags));
	see("nodump is", flags & FS_NODUMP_FL);
	see("FS_IOC_FSGETXATTR", ioctl(fd, FS_IOC_FSGETXATTR, &attributes));
	flags = FS_COMPR_FL;
	see("set compressed", ioctl(fd, FS_IOC_SETFLAGS, &flags));
}

static void immutable_files(void)
{
	int fd = (int)MUST(open("f", O_CREAT | O_RDWR, 0644));
	unsigned int flags = FS_IMMUTABLE_FL;

	see("set immutable", ioctl(fd, FS_IOC_SETFLAGS, &flags));
	see_fd("open for writing", open("f", O_RDWR));
	see("chmod", chmod("f", 0600));
	see("link", link("f", "g"));
	see("unlink", unlink("g"));
	flags = 0;
	ioctl(fd, FS_IOC_SETFLAGS, &flags);
}

static void odd_direct_transfers(void)
{
	int fd = (int)MUST(open("f", O_CREAT | O_RDWR | O_DIRECT, 0644));
	char *page = aligned_alloc(4096, 8192), got[64] = "";

	memset(page, 'd', 8192);
	see("write of 100", pwrite(fd, page, 100, 0));
	see("write at 50", pwrite(fd, page, 100, 50));
	see("write from an odd address", pwrite(fd, page + 1, 4096, 4096));
	see("read of 10", pread(fd, got, 10, 3));
	see_text("what it read", "%s", got);
	see("size", lseek(fd, 0, SEEK_END));
	see("read over the end", pread(fd, page, 8192, 4096));
}

static void transfers_without_waiting(void)
{
	char bytes[64];
	struct iovec vector = { bytes, sizeof(bytes) };
	int fd;

	make_file("f", "0123456789", 0644);
	fd = (int)MUST(open("f", O_RDWR));
	MUST(pread(fd, bytes, 10, 0));
	see("RWF_NOWAIT read", preadv2(fd, &vector, 1, 0, RWF_NOWAIT));
	vector.iov_len = 5;
	see("RWF_NOWAIT write", pwritev2(fd, &vector, 1, 0, RWF_NOWAIT));
	see_fd("O_NONBLOCK", open("f", O_RDWR | O_NONBLOCK));
}

static void transfers_of_bad_memory(void)
{
	char *pages = mmap(NULL, 8192, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int fd = (int)MUST(open("f", O_CREAT | O_RDWR, 0644));

	memset(pages, 'p', 8192);
	MUST(mprotect(pages + 4096, 4096, PROT_NONE));
	see("write of half good memory", pwrite(fd, pages, 8192, 0));
	see("size", lseek(fd, 0, SEEK_END));
	MUST(ftruncate(fd, 8192));
	see("read into half good memory", pread(fd, pages, 8192, 0));
	see("write of bad memory", pwrite(fd, pages + 4096, 4096, 0));
	see("read into bad memory", pread(fd, pages + 4096, 4096, 0));
	see("writev of good and bad",
	    pwritev(fd,
		    (struct iovec[]){ { pages, 100 }, { pages + 4096, 100 } },
		    2, 0));
}

/* The last close may be told to a filesystem after close(2) has returned. */
static void wait_for_room(void)
{
	struct statvfs vfs;

	do {
		watch_times(".");
		MUST(statvfs(".", &vfs));
	} while (vfs.f_bavail == 0);
}

/* The runner gives both filesystems the same small size. */
static void a_full_filesystem(void)
{
	int fd = (int)MUST(open("fill", O_CREAT | O_RDWR, 0644)), more;
	char *bytes = calloc(1, 1 << 20);
	struct statvfs vfs;
	ssize_t n = 0;

	MUST(statvfs(".", &vfs));
	if (vfs.f_blocks * vfs.f_frsize > (size_t)1 << 30)
		return; /* too large to be filled */
	see("fallocate more than there is",
	    fallocate(fd, 0, 0, (off_t)(vfs.f_blocks * vfs.f_frsize) + 4096));
	MUST(fstatvfs(fd, &vfs));
	see_yes("nothing is left of that", vfs.f_bfree > 0);
	while ((n = write(fd, bytes, 1 << 20)) == 1 << 20)
		;
	see_yes("a last write is short or fails", n < 1 << 20);
	while ((n = write(fd, bytes, 4096)) > 0)
		;
	see("write", n);
	see("write within", pwrite(fd, bytes, 4096, 0));
	see("ftruncate to more",
	    ftruncate(fd, lseek(fd, 0, SEEK_END) + (1 << 20)));
	MUST(statvfs(".", &vfs));
	see("blocks left", (long)vfs.f_bavail);
	more = open("more", O_CREAT | O_RDWR, 0644);
	see("create", more < 0 ? -1 : 0);
	see("write to it", write(more, bytes, 1));
	see("fallocate of it", fallocate(more, 0, 0, 4096));
	see("mkdir", mkdir("d", 0755));
	see("rename", rename("more", "more2"));
	see("symlink", symlink("x", "l"));
	see("unlink", unlink("fill"));
	close(fd);
	wait_for_room();
	see("write then", write(more, bytes, 1));
}

const struct conformance_case control_cases[] = {
	{ "ioctls", ioctls, NEEDS_NOTHING },
	{ "flags-of-files", flags_of_files, NEEDS_NOTHING },
	{ "immutable-files", immutable_files, NEEDS_NOTHING },
	{ "odd-direct-transfers", odd_direct_transfers, NEEDS_NOTHING },
	{ "transfers-without-waiting", transfers_without_waiting,
	  NEEDS_NOTHING },
	{ "transfers-of-bad-memory", transfers_of_bad_memory, NEEDS_NOTHING },
	{ "a-full-filesystem", a_full_filesystem, NEEDS_NOTHING },
	{ 0 },
};
