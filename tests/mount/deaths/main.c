/* SPDX-License-Identifier: MIT */
/*
 * deaths MOUNTPOINT DEATHS SEED [ERROR] - creators, renamers, mappers, readers and
 * configurers, and DEATHS kills of the worker. ERROR is what the mount's limit
 * gives to who asks for memory: ENOSPC, ENOMEM or EDQUOT. With DEATHS 0 nobody is
 * killed by us, and SIGTERM ends it.
 */
#include "deaths.h"

#include "shared.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

enum { TOLD_MAX = 20 };

struct common *all;
int dir = -1, shared = -1;
unsigned int self, turn;

void tell(const char *what, int line, int got)
{
	if (atomic_fetch_add(&all->wrong, 1) < TOLD_MAX)
		fprintf(stderr, "process %u, turn %u, line %d: %s: %s\n", self,
			turn, line, what, got ? strerror(got) : "no error");
}

bool has_done(bool success, const char *what, int line)
{
	int error = errno;

	atomic_fetch_add(&all->calls, 1);
	if (!success && error == all->allowed)
		atomic_fetch_add(&all->refused, 1);
	else if (!success)
		tell(what, line, error);
	return success;
}

void fill(void *to, size_t size, unsigned int seed)
{
	uint32_t *words = to;

	for (size_t i = 0; i < size / sizeof(*words); i++)
		words[i] = (seed * 8 + self + 1) * 2654435761u + (uint32_t)i;
}

bool is_filled(const void *bytes, size_t size, unsigned int seed)
{
	const uint32_t *words = bytes;

	for (size_t i = 0; i < size / sizeof(*words); i++)
		if (words[i] !=
		    (seed * 8 + self + 1) * 2654435761u + (uint32_t)i)
			return false;
	return true;
}

static void check_empty(void)
{
	DIR *stream;
	const struct dirent *e;
	int fd;

	WANT(fd = openat(dir, ".", O_RDONLY | O_DIRECTORY));
	if (fd < 0 || !(stream = fdopendir(fd)))
		return;
	while ((e = readdir(stream)))
		if (e->d_name[0] != '.') {
			tell(e->d_name, __LINE__, 0);
			unlinkat(dir, e->d_name, 0);
		}
	closedir(stream);
}

/* One of each kind, in turn; processes begin with different ones. */
static void play(int root, unsigned int number)
{
	char name[32];

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	self = number;
	turn = number * 3;
	snprintf(name, sizeof(name), "own%u", number);
	WANT(mkdirat(root, name, 0755));
	WANT(dir = openat(root, name, O_RDONLY | O_DIRECTORY));
	WANT(shared = openat(root, "shared", O_RDONLY | O_DIRECTORY));
	WANT(fchdir(dir));
	for (; !all->done; turn++) {
		names_plays[turn % names_plays_count]();
		check_empty();
		map_play();
		buffers_plays[turn % buffers_plays_count]();
		check_empty();
		read_others();
	}
	map_end();
	close(dir);
	WANT(unlinkat(root, name, AT_REMOVEDIR));
}

/* A process of the mount's state; waits until somebody serves. */
static pid_t process_of(int root, const char *key)
{
	char state[65536], *at;
	ssize_t n = fgetxattr(root, "user.iobuf.state", state, sizeof(state) - 1);

	if (n < 0) {
		perror("deaths: user.iobuf.state");
		return -1;
	}
	state[n] = '\0';
	at = strstr(state, key);
	return at ? atoi(at + strlen(key)) : -1;
}

/* At any moment of its life. */
static bool kill_workers(int root, unsigned long deaths)
{
	for (unsigned long i = 0; i < deaths; i++) {
		const struct timespec while_it_lives = {
			.tv_nsec = random() % (20 * 1000 * 1000),
		};
		pid_t worker = process_of(root, "worker_pid=");

		nanosleep(&while_it_lives, NULL);
		if (worker <= 0 || (kill(worker, SIGKILL) < 0 && errno != ESRCH))
			return false;
		while (process_of(root, "worker_pid=") == worker)
			;
	}
	return true;
}

static bool wait_for_sigterm(const sigset_t *signals)
{
	int number;

	return sigwait(signals, &number) == 0;
}

static int error_of(const char *name)
{
	static const struct {
		const char *name;
		int number;
	} errors[] = {
		{ "ENOSPC", ENOSPC }, { "ENOMEM", ENOMEM }, { "EDQUOT", EDQUOT },
	};

	for (size_t i = 0; name && i < sizeof(errors) / sizeof(errors[0]); i++)
		if (!strcmp(name, errors[i].name))
			return errors[i].number;
	return 0;
}

static void start_all(int root)
{
	for (unsigned int i = 0; i < PROCESSES; i++)
		if (fork() == 0) {
			play(root, i);
			_exit(EXIT_SUCCESS);
		}
}

/* A process that did not get to its end is an error, too. */
static void wait_for_all(void)
{
	int status;

	while (wait(&status) > 0)
		IS(status == 0);
}

int main(int argc, char **argv)
{
	int root = argc >= 4 ? open(argv[1], O_RDONLY | O_DIRECTORY) : -1;
	unsigned long deaths = root >= 0 ? strtoul(argv[2], NULL, 10) : 0;
	const struct bfs_shared *block = NULL;
	sigset_t signals;
	bool killed;

	all = mmap(NULL, sizeof(*all), PROT_READ | PROT_WRITE,
		   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (root < 0 || all == MAP_FAILED ||
	    (mkdirat(root, "shared", 0755) < 0 && errno != EEXIST) ||
	    !(block = shared_block(process_of(root, "holder_pid=")))) {
		perror("deaths");
		return EXIT_FAILURE;
	}
	all->allowed = error_of(argv[4]);
	srandom((unsigned int)atoi(argv[3]));
	start_all(root);
	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	killed = deaths ? kill_workers(root, deaths) : wait_for_sigterm(&signals);
	all->done = true;
	wait_for_all();
	WANT(unlinkat(root, "shared", AT_REMOVEDIR));
	close(root);
	check_nothing_kept(block);
	printf("%lu deaths, %lu calls, %lu refused, %u wrong\n", deaths,
	       atomic_load(&all->calls), atomic_load(&all->refused),
	       atomic_load(&all->wrong));
	return killed && all->wrong == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
