/* SPDX-License-Identifier: MIT */
/*
 * mapper.c - maps a file, does as told on standard input, a command a line:
 *   put OFFSET TEXT    store TEXT there
 *   get OFFSET SIZE    print SIZE bytes from there
 *   frame OFFSET       print the page frame number behind OFFSET
 *   close              close the file, keep the mapping
 * and answers each with one line.
 * usage: mapper FILE SIZE
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static uint64_t frame_of(const void *address)
{
	const uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	uint64_t entry = 0;
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);

	if (fd < 0 ||
	    pread(fd, &entry, sizeof(entry),
		  (off_t)((uintptr_t)address / page * sizeof(entry))) !=
		    sizeof(entry))
		entry = 0;
	close(fd);
	return entry & ((UINT64_C(1) << 55) - 1);
}

static void obey(char *line, char *map, int *fd)
{
	const char *command = strtok(line, " ");
	const char *offset = strtok(NULL, " ");
	const char *rest = strtok(NULL, "");
	char *at = map + (offset ? strtoull(offset, NULL, 0) : 0);

	if (!strcmp(command, "put") && rest) {
		memcpy(at, rest, strlen(rest));
		puts("done");
	} else if (!strcmp(command, "get") && rest) {
		printf("%.*s\n", atoi(rest), at);
	} else if (!strcmp(command, "frame")) {
		*(volatile char *)at;
		printf("%llu\n", (unsigned long long)frame_of(at));
	} else if (!strcmp(command, "close")) {
		close(*fd);
		*fd = -1;
		puts("done");
	} else {
		puts("what?");
	}
}

int main(int argc, char **argv)
{
	char line[4096];
	void *map;
	int fd;

	if (argc != 3 || (fd = open(argv[1], O_RDWR | O_CLOEXEC)) < 0) {
		perror("mapper: open");
		return EXIT_FAILURE;
	}
	map = mmap(NULL, strtoull(argv[2], NULL, 0), PROT_READ | PROT_WRITE,
		   MAP_SHARED, fd, 0);
	if (map == MAP_FAILED) {
		printf("mapper: mmap: %s\n", strerror(errno));
		return EXIT_FAILURE;
	}
	setlinebuf(stdout);
	puts("ready");
	while (fgets(line, sizeof(line), stdin)) {
		line[strcspn(line, "\n")] = '\0';
		if (*line)
			obey(line, map, &fd);
	}
	return EXIT_SUCCESS;
}
