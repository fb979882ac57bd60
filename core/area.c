/* SPDX-License-Identifier: MIT */
/*
 * area.c - files whose huge pages are taken, looked at and given back one by
 * one: the material of contiguous.c.
 */
#include "physical.h"

#include <fcntl.h>
#include <sys/mount.h>

/* The mount outlives its builds: a descriptor, for the life of the process. */
static int huge_tmpfs(void)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	static int mount = -1;
	int fs, r;

	pthread_mutex_lock(&lock);
	if (mount < 0 && (fs = fsopen("tmpfs", FSOPEN_CLOEXEC)) >= 0) {
		if (fsconfig(fs, FSCONFIG_SET_STRING, "huge", "within_size",
			     0) == 0 &&
		    fsconfig(fs, FSCONFIG_SET_STRING, "size", "100%", 0) == 0 &&
		    fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) == 0)
			mount = fsmount(fs, FSMOUNT_CLOEXEC, 0);
		close(fs);
	}
	r = mount < 0 ? -errno : mount;
	pthread_mutex_unlock(&lock);
	return r;
}

int iobuf_physical_file(void)
{
	int mount = huge_tmpfs();
	int fd;

	if (mount < 0)
		return mount;
	fd = openat(mount, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	return fd < 0 ? -errno : fd;
}

int iobuf_area_open(struct iobuf_area *area, uint64_t size)
{
	int r;

	if ((area->fd = iobuf_physical_file()) < 0)
		return area->fd;
	if (ftruncate(area->fd, (off_t)size) < 0)
		return -errno;
	r = iobuf_memory_map(area->fd, size, &area->mapping);
	if (r == 0)
		madvise(area->mapping.base, size, MADV_HUGEPAGE);
	return r;
}

void iobuf_area_close(struct iobuf_area *area)
{
	iobuf_memory_unmap(&area->mapping);
	if (area->fd >= 0)
		close(area->fd);
	area->fd = -1;
}

void iobuf_area_punch(const struct iobuf_area *area, size_t index)
{
	fallocate(area->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		  (off_t)(index * IOBUF_HUGE_BYTES), IOBUF_HUGE_BYTES);
}

/* Is one huge page mapped there? Tells its frame. */
static bool is_huge(int pagemap, const unsigned char *at,
		    uint64_t *ret_frame)
{
	uint64_t frames[IOBUF_PAGES_PER_HUGE];

	if (iobuf_frames_read(pagemap, at, IOBUF_PAGES_PER_HUGE, frames) < 0 ||
	    !frames[0] || frames[0] % IOBUF_PAGES_PER_HUGE)
		return false;
	for (size_t i = 1; i < IOBUF_PAGES_PER_HUGE; i++)
		if (frames[i] != frames[0] + i)
			return false;
	*ret_frame = frames[0];
	return true;
}

/*
 * Fault one huge page in and tell its frame. -ENOMEM: there was none, only
 * small pages or nothing; the place is empty again then.
 */
int iobuf_area_fault(int pagemap, const struct iobuf_area *area, size_t index,
		     uint64_t *ret_frame)
{
	unsigned char *at = area->mapping.base + index * IOBUF_HUGE_BYTES;
	int r = iobuf_memory_populate(at, IOBUF_HUGE_BYTES);

	if (r < 0)
		r = r == -ENOSPC ? r : -ENOMEM;
	else if (!is_huge(pagemap, at, ret_frame))
		r = -ENOMEM;
	if (r < 0)
		iobuf_area_punch(area, index);
	return r;
}

/*
 * The same for the scratch, whose bytes nobody will see: what is reserved and
 * then collapsed is mapped without being cleared, at a thirtieth of the cost. A
 * fault comes second, because it may compact memory to get a huge page.
 */
int iobuf_area_reserve(int pagemap, const struct iobuf_area *area, size_t index,
		       uint64_t *ret_frame)
{
	unsigned char *at = area->mapping.base + index * IOBUF_HUGE_BYTES;

	if (fallocate(area->fd, 0, (off_t)(index * IOBUF_HUGE_BYTES),
		      IOBUF_HUGE_BYTES) == 0 &&
	    madvise(at, IOBUF_HUGE_BYTES, MADV_COLLAPSE) == 0 &&
	    is_huge(pagemap, at, ret_frame))
		return 0;
	return iobuf_area_fault(pagemap, area, index, ret_frame);
}
