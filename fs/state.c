/* SPDX-License-Identifier: MIT */
#include "state.h"

#include "account.h"
#include "caller.h"
#include "purge.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/statvfs.h>
#include <unistd.h>

struct printer {
	char *buf;
	size_t size, used;
};

__attribute__((format(printf, 2, 3))) static void line(struct printer *p,
						       const char *format, ...)
{
	size_t room = p->used < p->size ? p->size - p->used : 0;
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(room ? p->buf + p->used : NULL, room, format, args);
	va_end(args);
	p->used += n > 0 ? (size_t)n : 0;
}

static int end(const struct printer *p)
{
	return p->used < p->size ? (int)p->used : -ERANGE;
}

static void line_bytes(struct printer *p, const char *key, uint64_t bytes)
{
	if (bytes == IOBUF_UNKNOWN)
		line(p, "%s=unknown\n", key);
	else
		line(p, "%s=%llu\n", key, (unsigned long long)bytes);
}

static const char *kind_of(const struct bfs_file *file, const struct stat *st)
{
	return file->record.spec.capacity    ? "fixed"
	       : bfs_file_is_empty(file, st) ? "empty"
					     : "elastic";
}

int bfs_state_print_file(struct bfs_file *file, char *buf, size_t size)
{
	struct printer p = { buf, size, 0 };
	const struct iobuf_spec *spec = &file->record.spec;
	const struct bfs_slot *slot = file->inode->slot;
	char options[IOBUF_SPEC_TEXT_MAX];
	struct bfs_datapath path;
	struct iobuf_report report;
	struct stat st;
	int r;

	if ((r = bfs_file_stat(file, &st)) < 0 ||
	    (r = bfs_file_report(file, &report)) < 0 ||
	    (r = bfs_file_datapath(file, 0, &path)) < 0 ||
	    (r = iobuf_options_print(spec->options, options,
				     sizeof(options))) < 0)
		return r;
	line(&p, "kind=%s\noptions=%s\n", kind_of(file, &st), options);
	line_bytes(&p, "capacity", spec->capacity);
	line_bytes(&p, "length", (uint64_t)st.st_size);
	line_bytes(&p, "alignment", spec->alignment);
	line_bytes(&p, "allocated", report.allocated);
	line_bytes(&p, "resident", report.resident);
	line_bytes(&p, "wired", report.wired);
	line_bytes(&p, "huge", report.huge);
	line_bytes(&p, "longest_run", report.allocated
					      ? report.longest_run
					      : file->record.longest_run);
	line(&p, "pinned=%s\n", report.pinned ? "yes" : "no");
	line(&p, "datapath=%s\nopens=%u\npurge_count=%u\n",
	     bfs_datapath_name(path), slot ? (unsigned int)slot->opens : 0,
	     file->record.purge_count);
	if (iobuf_purgeable_print(bfs_record_purgeable(&file->record), options,
				  sizeof(options)) > 0)
		line(&p, "purgeable=%s\n", options);
	if (spec->tag[0])
		line(&p, "tag=%s\n", spec->tag);
	if (spec->task != IOBUF_TASK_KERNEL)
		line(&p, "task=%d\n", spec->task);
	if (spec->life == IOBUF_LIFE_LASTCLOSE)
		line(&p, "life=lastclose\n");
	return end(&p);
}

int bfs_state_print_segments(struct bfs_file *file, char *buf, size_t size)
{
	struct printer p = { buf, size, 0 };
	struct iobuf *buffer = file->inode->wired;
	uint64_t address, length;

	if (!buffer)
		return -ENODATA;
	for (uint64_t at = 0; at < iobuf_get_capacity(buffer); at += length) {
		int r = iobuf_get_physical_segment(buffer, at, &address,
						   &length);

		if (r < 0)
			return r;
		line(&p, "0x%llx %llu\n", (unsigned long long)address,
		     (unsigned long long)length);
	}
	return end(&p);
}

/* The user who mounted sees all, and who has the say over the machine. */
static struct bfs_account_reader reader_of(pid_t pid)
{
	struct bfs_account_reader reader = { .uid = (uid_t)-1 };

	reader.sees_all = (bfs_load_caller_uid(pid, &reader.uid) &&
			   reader.uid == geteuid()) ||
			  bfs_has_sys_admin(pid);
	return reader;
}

int bfs_state_print_mount(const struct bfs_fs *fs, pid_t reader, char *buf,
			  size_t size)
{
	struct printer p = { buf, size, 0 };
	const struct bfs_shared *shared = fs->shared;
	char options[IOBUF_SPEC_TEXT_MAX];
	struct statvfs vfs;
	int r;

	if (fstatvfs(fs->root_fd, &vfs) < 0)
		return -errno;
	if ((r = iobuf_spec_print(&fs->defaults, options, sizeof(options))) < 0)
		return r;
	line(&p, "version=%s\nholder_pid=%d\nworker_pid=%d\n"
	     "workers_started=%u\nrequests=%u\nmountpoint=%s\npool=%s\n",
	     BFS_VERSION, shared->holder_pid, shared->worker_pid,
	     shared->workers_started,
	     /* but for the one that asks */
	     shared->working ? shared->working - 1 : 0,
	     shared->config.mountpoint,
	     shared->config.pool);
	line_bytes(&p, "size", (uint64_t)vfs.f_blocks * vfs.f_frsize);
	line_bytes(&p, "used",
		   (uint64_t)(vfs.f_blocks - vfs.f_bfree) * vfs.f_frsize);
	line_bytes(&p, "wired", fs->wired.used);
	line_bytes(&p, "contiguous", fs->contiguous.used);
	line(&p, "datapath=%s\ntransport=%s\ndefaults=%s\n",
	     shared->passthrough ? "passthrough" : "cached",
	     shared->io_uring ? "io_uring" : "dev_fuse", options);
	if ((r = end(&p)) < 0)
		return r;
	r = bfs_account_print(fs, reader_of(reader), buf + p.used,
			      size - p.used);
	return r < 0 ? r : (int)p.used + r;
}
