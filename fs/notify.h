/* SPDX-License-Identifier: MIT */
/*
 * notify.h - what the kernel is told without having asked (struct bfs_notify).
 */
#ifndef BFS_NOTIFY_H
#define BFS_NOTIFY_H

#include "fs.h"

/*
 * Fill in fs->notify, for fs->session.
 *
 * That a name is gone is told by threads that do nothing else, some time later:
 * the kernel takes the directory's lock for it, where no signal reaches, and a
 * client can hold that for as long as he likes. It is a courtesy, by which the
 * kernel lets go of the file at once. A name that can go by itself is not
 * believed in for long (struct bfs_entry), whether the kernel is told or not.
 */
void bfs_notify_start(struct bfs_fs *fs);

#endif
