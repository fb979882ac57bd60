/* SPDX-License-Identifier: MIT */
/* kept.c - what is left in the memory that outlives workers, and in the kernel. */
#include "deaths.h"

#include "shared.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define BACKING_CLOSE _IOW(229, 2, uint32_t)

/* The number of the holder's descriptor whose link begins like that; or -1. */
static int descriptor_of(pid_t holder, const char *target)
{
	char path[64], link[512];
	const struct dirent *e;
	int found = -1;
	DIR *stream;

	snprintf(path, sizeof(path), "/proc/%d/fd", holder);
	if (!(stream = opendir(path)))
		return -1;
	while (found < 0 && (e = readdir(stream))) {
		ssize_t n = readlinkat(dirfd(stream), e->d_name, link,
				       sizeof(link) - 1);

		if (n > 0 && !strncmp(link, target, strlen(target)))
			found = atoi(e->d_name);
	}
	closedir(stream);
	return found;
}

/* The very open file that the holder has. */
static int take_descriptor(pid_t holder, const char *target)
{
	int pidfd = (int)syscall(SYS_pidfd_open, holder, 0);
	int fd = descriptor_of(holder, target);

	if (pidfd < 0 || fd < 0)
		return -1;
	fd = (int)syscall(SYS_pidfd_getfd, pidfd, fd, 0);
	close(pidfd);
	return fd;
}

const struct bfs_shared *shared_block(pid_t holder)
{
	int fd = take_descriptor(holder, "/memfd:bufferfs-shared");
	void *block;

	if (fd < 0)
		return NULL;
	block = mmap(NULL, sizeof(struct bfs_shared), PROT_READ, MAP_SHARED, fd,
		     0);
	close(fd);
	return block == MAP_FAILED ? NULL : block;
}

static unsigned int count_slots(const struct bfs_shared *block)
{
	unsigned int count = 0;

	for (uint32_t i = 0; i < block->slots_used; i++)
		count += block->slots[i].nodeid != 0 ||
			 block->slots[i].backing_id != 0;
	return count;
}

static unsigned int count_asides(const struct bfs_shared *block)
{
	unsigned int count = 0;

	for (unsigned int i = 0; i < BFS_ASIDES_MAX; i++)
		count += block->asides[i].nodeid != 0;
	return count;
}

/* Backing files that the kernel has, though there is no open file. */
static unsigned int close_backings(const struct bfs_shared *block)
{
	int fd = take_descriptor(block->holder_pid, "/dev/fuse");
	unsigned int count = 0;

	for (uint32_t id = 1; id < (uint32_t)block->highest_backing_id + 64; id++)
		count += ioctl(fd, BACKING_CLOSE, &id) == 0;
	close(fd);
	return count;
}

/* Of what is left: whose it may have been. */
static void show_slots(const struct bfs_shared *block)
{
	for (uint32_t i = 0; i < block->slots_used; i++)
		if (block->slots[i].nodeid || block->slots[i].backing_id)
			fprintf(stderr, "slot %u: nodeid %llu, %u opens (%u plain), "
				"request %u, backing %d, flags %#x\n", i,
				(unsigned long long)block->slots[i].nodeid,
				(unsigned int)block->slots[i].opens,
				(unsigned int)block->slots[i].plain_opens,
				(unsigned int)block->slots[i].request,
				block->slots[i].backing_id,
				block->slots[i].flags);
}

static void tell_kept(const char *what, unsigned int count)
{
	char text[64];

	snprintf(text, sizeof(text), "%u %s kept", count, what);
	if (count > 0)
		tell(text, __LINE__, 0);
}

/*
 * The kernel tells the worker of a close(2) some time. Notes of requests are no
 * leak: those of answered ones stay until their places are needed.
 */
void check_nothing_kept(const struct bfs_shared *block)
{
	enum { PAUSE_US = 10 * 1000, PAUSES_MAX = 3000 };

	for (int i = 0; i < PAUSES_MAX && count_slots(block) > 0; i++)
		usleep(PAUSE_US);
	show_slots(block);
	tell_kept("slots are", count_slots(block));
	tell_kept("contents set aside are", count_asides(block));
	tell_kept("backing files are", close_backings(block));
}
