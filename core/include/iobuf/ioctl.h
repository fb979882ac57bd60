/* SPDX-License-Identifier: MIT */
/*
 * ioctl.h - ioctl(2) requests of files of bufferfs.
 */
#ifndef IOBUF_IOCTL_H
#define IOBUF_IOCTL_H

#include <iobuf/purgeable.h>

#include <sys/ioctl.h>

#define IOBUF_IOC_MAGIC 0xBF

/*
 * Set the purgeable state of a buffer, and learn which one it had, as one
 * atomic step: IOBUF_PURGEABLE_EMPTY tells that its contents are gone.
 *
 *	uint32_t state = IOBUF_PURGEABLE_NONVOLATILE;
 *	if (ioctl(fd, IOBUF_IOC_SET_PURGEABLE, &state) == 0 &&
 *	    state == IOBUF_PURGEABLE_EMPTY)
 *		... make the contents again
 *
 * The argument points at the new state (see purgeable.h) and receives the old
 * one, with the group and the order if that was volatile.
 * IOBUF_PURGEABLE_KEEP_CURRENT only tells. Any thread, any process that has
 * the file open.
 *
 * Returns 0; -1 with errno EINVAL (not a state, or not a purgeable buffer),
 * EBADF (not open for writing, and not KEEP_CURRENT), ENOSPC (a fixed buffer
 * that was empty cannot get its memory back: it stays empty), ENFILE, ENOMEM;
 * ENOTTY where there is no such request: for a directory, and for a file that
 * is not one of bufferfs. A failure changes neither the buffer nor the
 * argument.
 */
#define IOBUF_IOC_SET_PURGEABLE _IOWR(IOBUF_IOC_MAGIC, 1, uint32_t)

#endif
