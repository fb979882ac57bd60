/* SPDX-License-Identifier: MIT */
/*
 * turn.c - one member of a ring of processes, in C.
 *
 * usage: turn DIR NAME SPEC INDEX MEMBERS ROUNDS
 *
 * What the member of each language here does, in its own ways:
 *  - It makes the buffer DIR/NAME with the specification, and maps it: its log.
 *  - It maps the buffer DIR/page, which is there: the page that all share. Its first
 *    word is a counter, in the machine's byte order, and says whose turn it is: that
 *    of the member whose INDEX is the counter modulo MEMBERS. The 16 bytes at 64 are
 *    the name of the member that had the turn before, padded by zeros.
 *  - It waits for its turn; notes the counter and that name in its log, as a line of
 *    32 bytes; writes its own name there; and only then adds one to the counter. It
 *    has ROUNDS turns, and then ends.
 * Nothing is timed. Whoever runs it ends it when it takes too long.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

enum { NAME_AT = 64, NAME_BYTES = 16, LINE_BYTES = 32 };

/* Map a buffer; with a specification it is made. */
static char *map(const char *dir, const char *name, const char *spec)
{
	char path[4096];
	struct stat st;
	void *memory;
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_RDWR | (spec ? O_CREAT | O_EXCL : 0), 0600);
	if (fd < 0 ||
	    (spec && fsetxattr(fd, "user.iobuf", spec, strlen(spec), 0) < 0) ||
	    fstat(fd, &st) < 0 ||
	    (memory = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE,
			   MAP_SHARED, fd, 0)) == MAP_FAILED) {
		perror(path);
		exit(EXIT_FAILURE);
	}
	close(fd);
	return memory;
}

int main(int argc, char **argv)
{
	const struct timespec moment = { .tv_nsec = 100000 };
	unsigned int index, members, rounds;
	char *log, *page, line[LINE_BYTES + 1];
	_Atomic unsigned int *counter;

	if (argc != 7)
		return 2;
	index = (unsigned int)atoi(argv[4]);
	members = (unsigned int)atoi(argv[5]);
	rounds = (unsigned int)atoi(argv[6]);
	log = map(argv[1], argv[2], argv[3]);
	page = map(argv[1], "page", NULL);
	counter = (_Atomic unsigned int *)page;
	for (unsigned int turn = 0; turn < rounds; turn++) {
		const unsigned int mine = turn * members + index;

		while (atomic_load(counter) != mine)
			nanosleep(&moment, NULL);
		snprintf(line, sizeof(line), "%-15u%-16.16s\n", mine,
			 page + NAME_AT);
		memcpy(log + turn * LINE_BYTES, line, LINE_BYTES);
		strncpy(page + NAME_AT, argv[2], NAME_BYTES);
		atomic_store(counter, mine + 1);
	}
	return EXIT_SUCCESS;
}
