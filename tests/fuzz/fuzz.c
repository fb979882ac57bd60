/* SPDX-License-Identifier: MIT */
#include "fuzz.h"

#include "account.h"
#include "fd.h"
#include "journal.h"
#include "log.h"
#include "record.h"
#include "task.h"

#include <iobuf/iobuf.h>

#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

struct bfs_fs fuzz_fs;
int fuzz_shared_fd;
static char pool[] = "/dev/shm/bufferfs-fuzz-XXXXXX";
static pid_t owner;

void fuzz_fail(const char *promise, const char *file, int line)
{
	fprintf(stderr, "%s:%d: not so: %s\n", file, line, promise);
	abort();
}

void fuzz_be_modest(void)
{
	const struct rlimit limit = { 8 << 20, 8 << 20 };

	signal(SIGXFSZ, SIG_IGN); /* EFBIG instead */
	PROMISE(setrlimit(RLIMIT_FSIZE, &limit) == 0);
	bfs_log_open(false, false);
	bfs_log_to_syslog(); /* which nobody has to listen to */
}

static void clear_pool(void)
{
	char *const paths[] = { pool, NULL };
	FTS *tree = fts_open(paths, FTS_PHYSICAL | FTS_XDEV, NULL);
	FTSENT *entry;

	PROMISE(tree);
	while ((entry = fts_read(tree)))
		if (entry->fts_level > 0 && entry->fts_info != FTS_D)
			remove(entry->fts_accpath);
	fts_close(tree);
}

static void remove_pool(void)
{
	if (getpid() != owner)
		return;
	clear_pool();
	rmdir(pool);
}

static void nothing_changed(const struct bfs_fs *fs, uint64_t nodeid, bool bytes)
{
	(void)fs;
	(void)nodeid;
	(void)bytes;
}

/* As the worker does: a page of a buffer that cannot be had is an error. */
static void on_sigbus(int number, siginfo_t *info, void *context)
{
	(void)context;
	if (!iobuf_handle_sigbus(info))
		signal(number, SIG_DFL); /* the instruction runs again */
}

void fuzz_fs_create(void)
{
	const struct iobuf_spec *d = &iobuf_spec_default;
	const struct sigaction sigbus = { .sa_sigaction = on_sigbus,
					  .sa_flags = SA_SIGINFO };

	PROMISE(sigaction(SIGBUS, &sigbus, NULL) == 0);
	owner = getpid();
	PROMISE(mkdtemp(pool));
	atexit(remove_pool);
	fuzz_fs.fuse_fd = -1;
	fuzz_fs.notify.changed = nothing_changed;
	fuzz_fs.root_fd = open(pool, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	PROMISE(fuzz_fs.root_fd >= 0);
	fuzz_shared_fd = bfs_shared_create(&fuzz_fs.shared);
	PROMISE(fuzz_shared_fd >= 0);
	PROMISE(iobuf_spec_resolve(d, d, &fuzz_fs.defaults, NULL) == 0);
	strcpy(fuzz_fs.shared->config.pool, pool);
	bfs_record_use_trusted(false);
	PROMISE(bfs_account_cache_create(&fuzz_fs.accounts) == 0);
	fuzz_next_worker();
}

void fuzz_next_worker(void)
{
	struct bfs_shared *shared = fuzz_fs.shared;

	bfs_tasks_destroy(fuzz_fs.tasks); /* it has lists of inodes */
	bfs_inode_table_destroy(fuzz_fs.inodes);
	bfs_journal_destroy(fuzz_fs.journal);
	bfs_purge_queue_destroy(fuzz_fs.purge);
	bfs_nodes_destroy(fuzz_fs.nodes);
	fuzz_fs.tasks = NULL;
	fuzz_fs.inodes = NULL;
	fuzz_fs.journal = NULL;
	fuzz_fs.purge = NULL;
	fuzz_fs.nodes = NULL;
	bfs_shared_mend(shared);
	PROMISE(!bfs_shared_mend(shared));
	PROMISE(bfs_inode_table_create(shared, -1, &fuzz_fs.inodes) == 0);
	PROMISE(bfs_tasks_create(&fuzz_fs, &fuzz_fs.tasks) == 0);
	PROMISE(bfs_nodes_create(fuzz_fs.root_fd, &fuzz_fs.nodes) == 0);
	PROMISE(bfs_purge_queue_create(&fuzz_fs.purge) == 0);
	PROMISE(bfs_journal_create(shared, &fuzz_fs.journal) == 0);
}

enum { DESCRIPTORS_MAX = 256 };

/* Not by poll(2), to which O_PATH is no descriptor. */
static int look_at_descriptors(bool is_open[DESCRIPTORS_MAX])
{
	int count = 0;

	for (int i = 0; i < DESCRIPTORS_MAX; i++)
		count += is_open[i] = fcntl(i, F_GETFD) >= 0;
	return count;
}

/* Of this input: between two of them the fuzzer may start a symbolizer. */
static bool was_open[DESCRIPTORS_MAX];

void fuzz_fs_begin(void)
{
	look_at_descriptors(was_open);
}

/* What a worker opens once, for good: a ring for all pins, a mount to build in. */
static bool is_for_good(const char *what)
{
	return !strcmp(what, "anon_inode:[io_uring]") || !strcmp(what, "/");
}

/* A worker's own may have got other numbers; how many there are stays. */
static void check_descriptors(void)
{
	bool is_open[DESCRIPTORS_MAX];
	char link[32], to[256];
	int lost = look_at_descriptors(is_open);

	for (int i = 0; i < DESCRIPTORS_MAX; i++)
		lost -= was_open[i];
	for (int i = 0; lost && i < DESCRIPTORS_MAX; i++) {
		snprintf(link, sizeof(link), "/proc/self/fd/%d", i);
		memset(to, 0, sizeof(to));
		if (!is_open[i] || was_open[i] ||
		    readlink(link, to, sizeof(to) - 1) <= 0)
			continue;
		if (is_for_good(to))
			lost--;
		else
			fprintf(stderr, "descriptor %d is left: %s\n", i, to);
	}
	PROMISE(!lost);
}

void fuzz_fs_clear(void)
{
	struct bfs_shared *shared = fuzz_fs.shared;

	clear_pool();
	memset(shared->slots, 0, sizeof(shared->slots[0]) * shared->slots_used);
	memset(shared->counted, 0, sizeof(shared->counted));
	memset(shared->attempts, 0, sizeof(shared->attempts));
	memset(shared->journal, 0, sizeof(shared->journal));
	memset(shared->asides, 0, sizeof(shared->asides));
	shared->slots_used = 0;
	shared->highest_backing_id = 0;
	shared->config.adopted_pool = false;
	fuzz_next_worker();
	check_descriptors();
}
