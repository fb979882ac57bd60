/* SPDX-License-Identifier: MIT */
#include "bench.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

_Noreturn void die(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, strerror(errno));
	exit(EXIT_FAILURE);
}

uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

void print_ns(const char *key, uint64_t start_ns, uint64_t operations)
{
	uint64_t ns = now_ns() - start_ns;

	printf("%s %.2f\n", key, (double)ns / (double)operations);
}

/* xorshift64 */
uint64_t random_next(void)
{
	static uint64_t state = UINT64_C(0x9E3779B97F4A7C15);

	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

/* Names that were used since the last time survive the first pass. */
void drop_name_caches(void)
{
	int fd = open("/proc/sys/vm/drop_caches", O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		die("open drop_caches");
	for (int pass = 0; pass < 2; pass++)
		if (write(fd, "2", 1) < 0)
			die("write drop_caches");
	close(fd);
}

pid_t process_of(const char *mountpoint, const char *field)
{
	char state[(64 << 10) + 1];
	const char *at;
	ssize_t n = getxattr(mountpoint, "user.iobuf.state", state,
			     sizeof(state) - 1);

	if (n < 0)
		return 0;
	state[n] = '\0';
	at = strstr(state, field);
	return at ? atoi(at + strlen(field)) : 0;
}
