/* SPDX-License-Identifier: MIT */
/*
 * hold_directory.c - read a directory into memory that never comes: who does
 * that has the directory's lock until he is killed. Prints a line when he is
 * about to have it. Exits with 77 where there is no userfaultfd(2).
 */
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	enum { SIZE = 1 << 16, SKIP = 77 };
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register range = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	int directory = open(argv[argc - 1], O_RDONLY | O_DIRECTORY);
	int faults = (int)syscall(SYS_userfaultfd, O_CLOEXEC);
	void *memory = mmap(NULL, SIZE, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (faults < 0)
		return SKIP;
	range.range.start = (unsigned long)memory;
	range.range.len = SIZE;
	if (directory < 0 || memory == MAP_FAILED ||
	    ioctl(faults, UFFDIO_API, &api) < 0 ||
	    ioctl(faults, UFFDIO_REGISTER, &range) < 0) {
		perror("hold_directory");
		return 1;
	}
	puts("reading");
	fflush(stdout);
	syscall(SYS_getdents64, directory, memory, SIZE);
	return 1;
}
