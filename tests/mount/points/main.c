/* SPDX-License-Identifier: MIT */
/*
 * death_points MOUNTPOINT DEATHS [SIGNAL [OPERATION]] - do each operation again
 * and again, with a worker that dies at the first point of it, at the second, and
 * so on, until there are no more. DEATHS: how many die in a row, each at that
 * point. What the client is told and what is there then has to be what it is
 * without a death. POINTS_STEP in the environment: only every so many points.
 */
#include "points.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

static const char *mountpoint;
static char pool[4096];

/* Between us and who does the work. */
static struct {
	const struct operation *operation;
	unsigned int trial;
	int result;
	bool has_expectation;
	char found[TEXT_MAX], expected[TEXT_MAX];
} *common;

static unsigned int deaths, wrong, step = 1;

static void read_state(char *ret_pool, pid_t *ret_holder, pid_t *ret_worker)
{
	static char state[65536];
	char *at;
	ssize_t n = getxattr(mountpoint, "user.iobuf.state", state,
			     sizeof(state) - 1);

	if (n < 0) {
		perror("user.iobuf.state");
		exit(EXIT_FAILURE);
	}
	state[n] = '\0';
	at = strstr(state, "\npool=");
	if (!at || sscanf(at, "\npool=%4095[^\n]", ret_pool) != 1 ||
	    !(at = strstr(state, "holder_pid=")) ||
	    sscanf(at, "holder_pid=%d\nworker_pid=%d", ret_holder, ret_worker) != 2)
		exit(EXIT_FAILURE);
}

static int open_directory(const char *in, const char *name)
{
	char path[4096 + 64];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", in, name);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0) {
		perror(path);
		_exit(EXIT_FAILURE);
	}
	return fd;
}

static const char *directory_name(void)
{
	static char name[32];

	snprintf(name, sizeof(name), "t%u", common->trial);
	return name;
}

/* The directory is where relative paths begin, too. */
static void enter(void)
{
	dir = open_directory(mountpoint, directory_name());
	if (fchdir(dir) < 0)
		_exit(EXIT_FAILURE);
}

static int prepare(void)
{
	char path[4096 + 64];

	snprintf(path, sizeof(path), "%s/%s", mountpoint, directory_name());
	if (mkdir(path, 0755) < 0) {
		perror(path);
		return EXIT_FAILURE;
	}
	enter();
	if (common->operation->prepare)
		common->operation->prepare();
	return EXIT_SUCCESS;
}

static int run(void)
{
	enter();
	common->result = common->operation->run();
	return EXIT_SUCCESS;
}

/* As the kernel knows it, and as it is. What comes of a close(2) is not there at
 * once. */
static int look(void)
{
	enum { LOOKS_MAX = 500, PAUSE_US = 10000 };
	char path[4096 + 64];
	int pool_dir;

	enter();
	pool_dir = open_directory(pool, directory_name());
	describe(pool_dir, common->found);
	for (int i = 0; common->has_expectation && i < LOOKS_MAX &&
			strcmp(common->found, common->expected); i++) {
		usleep(PAUSE_US);
		describe(pool_dir, common->found);
	}
	clear(dir);
	snprintf(path, sizeof(path), "%s/%s", mountpoint, directory_name());
	return rmdir(path) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

static void tell(const struct outcome *outcome, const char *what)
{
	wrong++;
	printf("%s, worker dead at %s: %s\n", common->operation->name,
	       outcome->where, what);
}

static bool has_ended_well(int status)
{
	return WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SUCCESS;
}

/* Prepare, run and look; false: nobody died, there is no such point. */
static bool try(unsigned int point, unsigned int how_many, int signal)
{
	const struct plan nobody = { 0 };
	struct outcome outcome, other;
	char what[128];

	common->trial++;
	common->has_expectation = how_many > 0;
	other = trace_client(prepare, nobody);
	outcome = trace_client(run, (struct plan){ point, how_many, signal });
	deaths += outcome.deaths;
	if (!has_ended_well(other.status) || !has_ended_well(outcome.status)) {
		tell(&outcome, "the client did not get so far");
	} else if (common->result != common->operation->expected) {
		snprintf(what, sizeof(what), "it is told %d, not %d",
			 common->result, common->operation->expected);
		tell(&outcome, what);
	}
	other = trace_client(look, nobody);
	if (!has_ended_well(other.status))
		tell(&outcome, "what it leaves cannot be removed");
	if (how_many == 0) {
		strcpy(common->expected, common->found);
	} else if (strcmp(common->found, common->expected)) {
		tell(&outcome, "it leaves something else");
		printf("expected %sfound %s", common->expected, common->found);
	}
	return outcome.deaths > 0;
}

static void try_all_points(const struct operation *operation,
			   unsigned int how_many, int signal)
{
	unsigned int point = (unsigned int)(operation - operations) % step;

	common->operation = operation;
	try(0, 0, 0);
	while (try(point, how_many, signal))
		point += step;
	printf("%s: %u points\n", operation->name, point);
}

int main(int argc, char **argv)
{
	const char *only = argc > 4 ? argv[4] : NULL;
	pid_t holder = 0, worker = 0;
	int how_many, number;

	if (argc < 3)
		return EXIT_FAILURE;
	mountpoint = argv[1];
	how_many = atoi(argv[2]);
	number = argc > 3 ? atoi(argv[3]) : SIGKILL;
	common = mmap(NULL, sizeof(*common), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (common == MAP_FAILED)
		return EXIT_FAILURE;
	if (getenv("POINTS_STEP") && atoi(getenv("POINTS_STEP")) > 0)
		step = (unsigned int)atoi(getenv("POINTS_STEP"));
	setvbuf(stdout, NULL, _IOLBF, 0);
	read_state(pool, &holder, &worker);
	trace_begin(holder, worker);
	for (size_t i = 0; i < operation_count; i++)
		if (!only || !strcmp(only, operations[i].name))
			try_all_points(&operations[i], (unsigned int)how_many,
				       number);
	printf("%u deaths, %u wrong\n", deaths, wrong);
	return wrong ? EXIT_FAILURE : EXIT_SUCCESS;
}
