/* SPDX-License-Identifier: MIT */
/*
 * worker.c - prepare, take over, serve.
 */
#include "ops.h"

#include "account.h"
#include "caller.h"
#include "fd.h"
#include "headroom.h"
#include "journal.h"
#include "limit.h"
#include "log.h"
#include "notify.h"
#include "pressure.h"
#include "process.h"
#include "serve.h"
#include "session.h"
#include "task.h"
#include "worker.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

static struct bfs_fs fs;

/* Ask for the requests that the last worker left unanswered. */
static void ask_again(void)
{
	enum { FUSE_NOTIFY_RESEND_CODE = 7 };
	struct {
		uint32_t len;
		int32_t error;
		uint64_t unique;
	} notify = { sizeof(notify), FUSE_NOTIFY_RESEND_CODE, 0 };

	if (write(fs.fuse_fd, &notify, sizeof(notify)) < 0)
		bfs_log(LOG_ERR, "requests in flight are lost: %s",
			strerror(errno));
}

/* Network filesystems have nothing for root alone: the record is a user's
 * attribute there, and who may write the pool's files may write it, too. */
static bool keeps_trusted(void)
{
	return fgetxattr(fs.root_fd, "trusted.iobuf.record", NULL, 0) >= 0 ||
	       errno != EOPNOTSUPP;
}

/* Does the pool's filesystem keep access lists? */
static bool keeps_access_lists(void)
{
	return fgetxattr(fs.root_fd, "system.posix_acl_access", NULL, 0) >= 0 ||
	       errno == ENODATA;
}

static int load_defaults(void)
{
	const char *text = fs.shared->config.options;
	struct iobuf_spec asked = iobuf_spec_default;
	int r = *text ? iobuf_spec_parse(text, strlen(text), &asked, NULL) : 0;

	return r < 0 ? r
		     : iobuf_spec_resolve(&asked, &iobuf_spec_default,
					  &fs.defaults, NULL);
}

/* Get as far as can be without touching what the worker uses that serves. */
static int prepare(void)
{
	const struct bfs_config *config = &fs.shared->config;
	int r;

	fs.wired = (struct bfs_limit){ "wired_max", config->wired_max, 0 };
	fs.contiguous = (struct bfs_limit){ "contiguous_max",
					    config->contiguous_max, 0 };
	/* An own pool changes through this mount alone. */
	fs.timeout_s = config->own_pool ? 86400.0 : 1.0;
	bfs_process_begin();
	bfs_record_use_trusted(bfs_may_pass_through() && keeps_trusted());
	fs.own_umasks = unshare(CLONE_FS) == 0;
	fs.access_lists = fs.own_umasks && keeps_access_lists();
	if ((r = load_defaults()) < 0 ||
	    (r = bfs_nodes_create(fs.root_fd, &fs.nodes)) < 0 ||
	    (r = bfs_purge_queue_create(&fs.purge)) < 0 ||
	    (r = bfs_tasks_create(&fs, &fs.tasks)) < 0 ||
	    (r = bfs_account_cache_create(&fs.accounts)) < 0 ||
	    (r = bfs_headroom_create(fs.root_fd, &fs.headroom)) < 0 ||
	    (config->user_max &&
	     (r = bfs_owners_create(config->user_max, &fs.owners)) < 0))
		return r;
	return bfs_session_open(&fs);
}

/* From now on this is the worker: there is no other. */
static int take_over(const struct bfs_worker_fds *fds)
{
	const bool first = !fs.shared->agreed;
	int r;

	fs.shared->workers_started++;
	fs.shared->worker_pid = getpid(); /* before anybody can ask */
	fs.shared->working = 0;
	if (bfs_shared_mend(fs.shared))
		bfs_log(LOG_CRIT, "the last worker left a damaged table: what is "
			"not in it is taken from the pool");
	if ((r = bfs_inode_table_create(fs.shared, fs.fuse_fd, &fs.inodes)) < 0 ||
	    (r = bfs_journal_create(fs.shared, &fs.journal)) < 0)
		return r;
	bfs_notify_start(&fs);
	if (first)
		bfs_session_try_passthrough(&fs, fds->sample);
	if (fds->sample >= 0)
		close(fds->sample);
	fs.shared->agreed = true;
	bfs_files_recover(&fs);
	if ((r = bfs_tasks_start(fs.tasks)) < 0)
		return r;
	bfs_files_rewire(&fs);
	if (!first)
		ask_again();
	return 0;
}

/* Tell the holder, who then ends the worker that serves. Waits for that. */
static int wait_for_turn(struct bfs_worker_fds *fds)
{
	char byte = BFS_SUCCESSOR_READY;

	if (write(fds->control, &byte, 1) != 1 ||
	    read(fds->control, &byte, 1) != 1)
		return -EPIPE;
	/* What was said until now was for who asked for a reload. */
	dup2(fds->stderr_fd, STDERR_FILENO);
	close(fds->stderr_fd);
	return 0;
}

static int start(struct bfs_worker_fds *fds)
{
	int r;

	fs.fuse_fd = fds->fuse;
	fs.root_fd = fds->root;
	fs.is_successor = fds->control >= 0;
	if ((r = bfs_shared_map(fds->shared, &fs.shared)) < 0) {
		bfs_log(LOG_ERR, "its shared memory is not that of the holder: %s",
			r == -EUCLEAN ? "damaged" : "another version");
		return r;
	}
	bfs_log_open(fs.shared->config.foreground, fs.shared->config.debug);
	if (!fs.is_successor && fs.shared->agreed)
		bfs_log_to_syslog();
	if ((r = prepare()) < 0 ||
	    (fs.is_successor && (r = wait_for_turn(fds)) < 0))
		return r;
	return take_over(fds);
}

/* From now on nobody reads stderr, and somebody may wait for its end. */
static void leave_terminal(void)
{
	BFS_FD int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	bfs_log_to_syslog();
	if (null >= 0)
		dup2(null, STDERR_FILENO);
}

/* Whoever started us goes on. */
static void announce(const struct bfs_worker_fds *fds)
{
	const char byte = BFS_SUCCESSOR_SERVES;

	kill(getppid(), BFS_READY_SIGNAL);
	if (fs.is_successor && write(fds->control, &byte, 1) != 1)
		bfs_log(LOG_WARNING, "the holder does not listen");
	if (fs.is_successor)
		close(fds->control);
}

static int read_arguments(int argc, char **argv, struct bfs_worker_fds *ret_fds)
{
	if (argc != 8 && argc != 10)
		return -EINVAL;
	*ret_fds = (struct bfs_worker_fds){
		.fuse = atoi(argv[2]),
		.shared = atoi(argv[3]),
		.root = atoi(argv[4]),
		.pressure = { atoi(argv[5]), atoi(argv[6]) },
		.sample = atoi(argv[7]),
		.control = argc == 10 ? atoi(argv[8]) : -1,
		.stderr_fd = argc == 10 ? atoi(argv[9]) : -1,
	};
	return 0;
}

int bfs_work(int argc, char **argv)
{
	struct bfs_worker_fds fds;
	int r = read_arguments(argc, argv, &fds);

	if (r < 0 || (r = start(&fds)) < 0) {
		bfs_log(LOG_ERR, "the worker cannot start: %s", strerror(-r));
		return EXIT_FAILURE;
	}
	if ((r = bfs_pressure_start(&fs, &fds.pressure)) < 0)
		bfs_log(LOG_WARNING, "nobody watches for memory pressure: %s",
			strerror(-r));
	if (!fs.shared->config.foreground)
		leave_terminal();
	announce(&fds);
	return bfs_serve(&fs);
}
