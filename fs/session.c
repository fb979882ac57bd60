/* SPDX-License-Identifier: MIT */
/*
 * session.c - what is agreed with the kernel: once, by the first worker; those
 * that come later say the same to their libfuse.
 */
#include "session.h"

#include "ops.h"

#include "caller.h"
#include "fd.h"
#include "log.h"
#include "uring.h"
#include "walk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * Passthrough takes CAP_SYS_ADMIN in the initial user namespace; asked for
 * without it, the kernel agrees and then refuses every backing file.
 */
bool bfs_may_pass_through(void)
{
	struct bfs_uid_map map;

	return bfs_load_uid_map(&map) && map.inside == 0 && map.outside == 0 &&
	       map.count == UINT32_MAX && bfs_has_sys_admin(getpid());
}

#ifdef FUSE_CAP_OVER_IO_URING
static const bool libfuse_has_uring = true;
#else
static const bool libfuse_has_uring = false; /* before 3.18 */
#endif

/* What a dead worker took from a ring is lost: a worker that takes over serves
 * /dev/fuse alone. */
static bool may_use_uring(const struct bfs_fs *fs)
{
	return fs->shared->config.io_uring && !fs->shared->agreed;
}

static void agree_on_transport(struct bfs_fs *fs, struct fuse_conn_info *conn)
{
	bool agreed = false;

#ifdef FUSE_CAP_OVER_IO_URING
	if (may_use_uring(fs))
		agreed = fuse_set_feature_flag(conn, FUSE_CAP_OVER_IO_URING);
	else
		fuse_unset_feature_flag(conn, FUSE_CAP_OVER_IO_URING);
#endif
	(void)conn;
	if (!fs->shared->agreed)
		fs->shared->io_uring = agreed;
}

static void agree(void *userdata, struct fuse_conn_info *conn)
{
	struct bfs_fs *fs = userdata;
	struct bfs_shared *shared = fs->shared;
	bool passthrough = shared->agreed ? shared->agreed_passthrough
					  : bfs_may_pass_through();

	fuse_set_feature_flag(conn, FUSE_CAP_PARALLEL_DIROPS);
	fuse_set_feature_flag(conn, FUSE_CAP_HANDLE_KILLPRIV_V2);
	fuse_set_feature_flag(conn, FUSE_CAP_NO_OPENDIR_SUPPORT);
	/* The umask comes with each request: see BFS_CALLER_UMASK(). */
	if (fs->own_umasks)
		fuse_set_feature_flag(conn, FUSE_CAP_DONT_MASK);
	if (fs->access_lists)
		fuse_set_feature_flag(conn, FUSE_CAP_POSIX_ACL);
	/* A handle that somebody makes up must not reach beyond the pool. */
	if (shared->config.own_pool)
		fuse_set_feature_flag(conn, FUSE_CAP_EXPORT_SUPPORT);
	/* Only who shares the pool has to look whether its page cache is true. */
	if (shared->config.own_pool)
		fuse_unset_feature_flag(conn, FUSE_CAP_AUTO_INVAL_DATA);
	else
		fuse_set_feature_flag(conn, FUSE_CAP_AUTO_INVAL_DATA);
	agree_on_transport(fs, conn);
	if (conn->max_write > BFS_WRITE_MAX)
		conn->max_write = BFS_WRITE_MAX;
	passthrough = passthrough &&
		      fuse_set_feature_flag(conn, FUSE_CAP_PASSTHROUGH);
	if (passthrough)
		conn->max_backing_stack_depth = 0;
	if (!shared->agreed)
		shared->agreed_passthrough = shared->passthrough = passthrough;
}

static int open_first(void *context, const struct bfs_walk_entry *entry)
{
	int *fd = context;

	if (S_ISREG(entry->st.st_mode))
		*fd = openat(entry->dir_fd, entry->name,
			     O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	return *fd >= 0;
}

/* Any file of the pool. Who may not change it has been given one, or takes one that
 * is there; by the pool's path it could be in our own mount, which does not answer
 * yet. */
static int open_sample(const struct bfs_fs *fs, int sample_fd)
{
	int fd = sample_fd >= 0
			 ? fcntl(sample_fd, F_DUPFD_CLOEXEC, 0)
			 : openat(fs->root_fd, ".",
				  O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	if (fd < 0 && fs->shared->config.reads_pool)
		bfs_walk(fs->root_fd, open_first, &fd);
	return fd;
}

/* Does the kernel keep what it agreed to, for a file of this pool? */
void bfs_session_try_passthrough(const struct bfs_fs *fs, int sample_fd)
{
	BFS_FD int fd = open_sample(fs, sample_fd);

	if (fs->shared->passthrough &&
	    (fd < 0 || !bfs_backing_works(fs->fuse_fd, fd)))
		fs->shared->passthrough = false;
	if (!fs->shared->passthrough)
		bfs_log(LOG_WARNING,
			"no passthrough (it takes CAP_SYS_ADMIN, Linux 6.9 and "
			"a pool that can be a backing file): data goes the "
			"cached path");
}

__attribute__((format(printf, 2, 0))) static void
log_from_libfuse(enum fuse_log_level level, const char *format, va_list args)
{
	char line[1024];
	size_t n;

	vsnprintf(line, sizeof(line), format, args);
	n = strlen(line);
	if (n && line[n - 1] == '\n')
		line[n - 1] = '\0';
	bfs_log((int)level, "%s", line);
}

static unsigned int count_threads(void)
{
	struct stat st;

	return stat("/proc/self/task", &st) < 0 ? 1 : (unsigned int)st.st_nlink - 2;
}

static void process_init(const struct bfs_fs *fs)
{
	fuse_session_process_buf(fs->session, &(struct fuse_buf){
		.mem = fs->shared->init_request,
		.size = fs->shared->init_size,
	});
}

/*
 * libfuse starts a thread for each ring, and tells nobody but the log when it
 * could not; requests go to /dev/fuse in that case. FORGET and INTERRUPT do in
 * any.
 */
static int answer_init_by_libfuse(const struct bfs_fs *fs)
{
	const unsigned int before = count_threads();
	bool offered;

	process_init(fs);
	offered = fs->shared->io_uring;
	fs->shared->io_uring = offered && count_threads() > before;
	if (fs->shared->io_uring)
		bfs_log(LOG_NOTICE, "requests go by io_uring: "
			"the mount ends with its worker");
	else
		bfs_log(LOG_WARNING, "requests go by /dev/fuse, not io_uring: %s",
			bfs_uring_obstacle(libfuse_has_uring, offered));
	return 0;
}

/* The kernel has one answer to FUSE_INIT: the first worker's. Another one speaks
 * as that says, or not at all. */
static int use_init_reply(const struct bfs_fs *fs, const unsigned char *reply,
			  ssize_t size)
{
	struct bfs_shared *shared = fs->shared;

	if (size <= 0 || size > BFS_INIT_REPLY_MAX)
		return -EPROTO;
	if (!shared->agreed) {
		memcpy(shared->init_reply, reply, (size_t)size);
		shared->init_reply_size = (uint32_t)size;
		return write(fs->fuse_fd, reply, (size_t)size) == size ? 0
								      : -EPROTO;
	}
	if (shared->init_reply_size == 0 || /* libfuse has sent it */
	    (size == shared->init_reply_size &&
	     !memcmp(reply, shared->init_reply, (size_t)size)))
		return 0;
	bfs_log(LOG_ERR, "it answers FUSE_INIT otherwise than the first worker, "
		"and the kernel takes one answer");
	return fs->is_successor ? -EPROTO : 0;
}

/* libfuse answers into a pipe, which then becomes /dev/fuse. */
static int answer_init(const struct bfs_fs *fs, int reply_fd, int session_fd)
{
	unsigned char reply[BFS_INIT_REPLY_MAX + 1];
	int r;

	process_init(fs);
	if (fuse_session_exited(fs->session))
		return -EPROTO;
	r = use_init_reply(fs, reply, read(reply_fd, reply, sizeof(reply)));
	if (r == 0 && dup3(fs->fuse_fd, session_fd, O_CLOEXEC) < 0)
		r = -errno;
	return r;
}

int bfs_session_open(struct bfs_fs *fs)
{
	static struct fuse_lowlevel_ops ops = { .init = agree };
	char *argv[4] = { (char *)"bufferfs" };
	struct fuse_args args = { 1, argv, 0 };
	const bool by_libfuse = may_use_uring(fs);
	BFS_FD int reply_fd = -1;
	char path[32];
	int pipe_fds[2], fd = fs->fuse_fd;

	fuse_set_log_func(log_from_libfuse);
	if (!by_libfuse) {
		if (pipe2(pipe_fds, O_CLOEXEC | O_NONBLOCK) < 0)
			return -errno;
		reply_fd = pipe_fds[0];
		fd = pipe_fds[1]; /* the session's for good */
	}
	if (fs->shared->config.debug)
		argv[args.argc++] = (char *)"-d";
	if (by_libfuse && libfuse_has_uring)
		argv[args.argc++] = (char *)"-oio_uring";
	bfs_ops_name(&ops);
	bfs_ops_open(&ops);
	bfs_ops_io(&ops);
	bfs_ops_dir(&ops);
	bfs_ops_xattr(&ops);
	fs->session = fuse_session_new(&args, &ops, sizeof(ops), fs);
	fuse_opt_free_args(&args);
	snprintf(path, sizeof(path), "/dev/fd/%d", fd);
	if (!fs->session || fuse_session_mount(fs->session, path) < 0)
		return -EIO;
	return by_libfuse ? answer_init_by_libfuse(fs) : answer_init(fs, reply_fd, fd);
}
