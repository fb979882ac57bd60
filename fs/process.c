/* SPDX-License-Identifier: MIT */
#include "process.h"

#include "fd.h"
#include "log.h"
#include "worker.h"

#include <iobuf/iobuf.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

/* Whoever wants the mount to end asks the holder; a terminal's ^C asks all. */
static void leave_signals_to_holder(void)
{
	static const int signals[] = { SIGINT, SIGTERM, SIGHUP, SIGPIPE,
				       SIGXFSZ };

	sigset_t end;

	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		signal(signals[i], SIG_IGN);
	sigemptyset(&end);
	sigaddset(&end, BFS_END_SIGNAL); /* a thread waits for it */
	pthread_sigmask(SIG_BLOCK, &end, NULL);
}

/* Clients can take pages away that the worker works on; libiobuf goes on then.
 * Any other fault ends it as it would have without this. */
static void on_sigbus(int number, siginfo_t *info, void *context)
{
	(void)context;
	if (iobuf_handle_sigbus(info))
		return;
	signal(number, SIG_DFL);
	raise(number);
}

static void survive_sigbus(void)
{
	struct sigaction action = {
		.sa_sigaction = on_sigbus,
		.sa_flags = SA_SIGINFO,
	};

	sigaction(SIGBUS, &action, NULL);
}

static int write_text(const char *path, const char *text)
{
	BFS_FD int fd = open(path, O_WRONLY | O_CLOEXEC);
	const ssize_t n = (ssize_t)strlen(text);

	return fd >= 0 && write(fd, text, (size_t)n) == n ? 0 : -EPERM;
}

/*
 * An ordinary user's worker has to read and write files whose modes forbid it
 * to the user: whoever opened such a file before may go on, and the kernel has
 * checked that. In a user namespace of its own it may, for the user's files
 * alone. Where there are none for ordinary users it goes on without.
 */
static void rule_own_files(void)
{
	const uid_t uid = geteuid();
	const gid_t gid = getegid();
	char uids[64], gids[64];

	if (uid == 0 || unshare(CLONE_NEWUSER) < 0)
		return;
	snprintf(uids, sizeof(uids), "%u %u 1", uid, uid);
	snprintf(gids, sizeof(gids), "%u %u 1", gid, gid);
	if (write_text("/proc/self/setgroups", "deny") < 0 ||
	    write_text("/proc/self/uid_map", uids) < 0 ||
	    write_text("/proc/self/gid_map", gids) < 0)
		bfs_log(LOG_WARNING, "files whose modes forbid it cannot be "
			"written, even where they are open");
}

static void lift_limit(int resource)
{
	struct rlimit limit;

	if (getrlimit(resource, &limit) < 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(resource, &limit);
}

static void lift_limits(void)
{
	const struct rlimit none = { RLIM_INFINITY, RLIM_INFINITY };

	umask(0);
	lift_limit(RLIMIT_NOFILE);
	/* File sizes are the clients' limit, not that of whoever mounted. */
	if (setrlimit(RLIMIT_FSIZE, &none) < 0)
		lift_limit(RLIMIT_FSIZE);
}

void bfs_process_begin(void)
{
	prctl(PR_SET_NAME, "bufferfs"); /* it was started by a descriptor */
	leave_signals_to_holder();
	survive_sigbus();
	lift_limits();
	rule_own_files();
}
