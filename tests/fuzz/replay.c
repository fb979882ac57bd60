/* SPDX-License-Identifier: MIT */
/*
 * replay.c - run a target over the inputs of a directory, without libFuzzer: as a
 * test, with any compiler.
 */
#include "fuzz.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static void run(int dir, const char *name)
{
	int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
	struct stat st;
	uint8_t *data;

	PROMISE(fd >= 0 && fstat(fd, &st) == 0);
	if (S_ISREG(st.st_mode)) {
		PROMISE((data = malloc((size_t)st.st_size + 1)));
		PROMISE(read(fd, data, (size_t)st.st_size) == st.st_size);
		LLVMFuzzerTestOneInput(data, (size_t)st.st_size);
		free(data);
	}
	close(fd);
}

int main(int argc, char **argv)
{
	const struct dirent *e;
	unsigned int count = 0;
	DIR *dir;

	if (argc != 2 || !(dir = opendir(argv[1]))) {
		fprintf(stderr, "usage: %s DIRECTORY\n", argv[0]);
		return 2;
	}
	LLVMFuzzerInitialize(&argc, &argv);
	while ((e = readdir(dir)))
		if (e->d_name[0] != '.') {
			run(dirfd(dir), e->d_name);
			count++;
		}
	closedir(dir);
	printf("%u inputs\n", count);
	return count ? 0 : 1;
}
