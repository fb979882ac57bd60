/* SPDX-License-Identifier: MIT */
/*
 * buffer.h - what the examples share: a buffer with a specification, mapped.
 */
#ifndef EXAMPLES_BUFFER_H
#define EXAMPLES_BUFFER_H

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

static inline void die(const char *what, int err)
{
	fprintf(stderr, "%s: %s\n", what, strerror(err));
	exit(EXIT_FAILURE);
}

/*
 * The mapping of the buffer of that name. It is made if it is not there; a
 * specification that a buffer has already is no error, so that it does not matter
 * who comes first. (On another filesystem this fails: it has no such xattr.)
 */
static inline void *map_buffer(const char *path, const char *spec,
			       size_t *ret_bytes)
{
	struct stat st;
	void *memory;
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	if (fd < 0)
		die(path, errno);
	if (fsetxattr(fd, "user.iobuf", spec, strlen(spec), 0) < 0)
		die(spec, errno);
	if (fstat(fd, &st) < 0)
		die(path, errno);
	memory = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE,
		      MAP_SHARED, fd, 0);
	if (memory == MAP_FAILED)
		die(path, errno);
	close(fd); /* the mapping keeps it open */
	*ret_bytes = (size_t)st.st_size;
	return memory;
}

#endif
