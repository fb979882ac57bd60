/* SPDX-License-Identifier: MIT */
/*
 * hostile DIRECTORY CLIENT [ARGUMENT...] - a client that a mount has to bear,
 * or the bystander that must not notice any of them.
 */
#include "hostile.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { TOLD_MAX = 20 };

static atomic_int told_count;

void tell(const char *what, int line)
{
	if (atomic_fetch_add(&told_count, 1) < TOLD_MAX)
		fprintf(stderr, "hostile: line %d: %s: %s\n", line, what,
			errno ? strerrorname_np(errno) : "no error");
}

int told(void)
{
	return atomic_load(&told_count) ? 1 : 0;
}

int make(const char *name, char byte, size_t size)
{
	const int fd = open(name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	char *bytes;
	ssize_t n;

	if (fd < 0)
		return -1;
	bytes = malloc(size + 1);
	memset(bytes, byte, size);
	n = write(fd, bytes, size);
	free(bytes);
	return close(fd) < 0 || n != (ssize_t)size ? -1 : 0;
}

pid_t in_process(int (*work)(int number), int number)
{
	const pid_t pid = fork();

	if (pid == 0) {
		told_count = 0;
		_exit(work(number));
	}
	return pid;
}

bool ended_well(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return false;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

bool is_asked_to_end(long within_ns)
{
	const struct timespec within = { 0, within_ns };
	sigset_t end;

	sigemptyset(&end);
	sigaddset(&end, SIGTERM);
	/* Blocked, so that it interrupts no call. */
	sigprocmask(SIG_BLOCK, &end, NULL);
	return sigtimedwait(&end, NULL, &within) == SIGTERM;
}

/* Where the pool is meant to be full, that much is no surprise. */
static bool may_be(bool full)
{
	return full && (errno == ENOSPC || errno == ENOMEM || errno == EDQUOT);
}

static void live_on(bool full)
{
	char bytes[16] = "";
	const int fd = open("mine", O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	if (fd < 0) {
		if (!may_be(full))
			tell("bystander: open", __LINE__);
		return;
	}
	if (write(fd, "bystander", 9) == 9) {
		IS(pread(fd, bytes, sizeof(bytes), 0) == 9);
		IS(memcmp(bytes, "bystander", 9) == 0);
	} else if (!may_be(full)) {
		tell("bystander: write", __LINE__);
	}
	MUST(close(fd));
	if (rename("mine", "renamed") == 0)
		MUST(unlink("renamed"));
	else if (!may_be(full) || unlink("mine") < 0)
		tell("bystander: rename", __LINE__);
}

/* Does what everybody does, again and again, until SIGTERM; prints how often. */
static int bystander(int argc, char **argv)
{
	const bool full = argc > 0 && strcmp(argv[0], "full") == 0;
	unsigned long rounds = 0;

	for (; !is_asked_to_end(2000000); rounds++)
		live_on(full);
	printf("%lu rounds\n", rounds);
	return told();
}

static const struct {
	const char *name;
	int (*run)(int argc, char **argv);
} clients[] = {
	{ "bystander", bystander },
	{ "rights", rights },
	{ "own_rights", own_rights },
	{ "keeps_open", keeps_open },
	{ "maps_and_forks", maps_and_forks },
	{ "threads", threads },
	{ "fills", fills },
	{ "appends", appends },
	{ "signals", signals },
	{ "killed", killed },
	{ "attributes", attributes },
	{ "names", names },
	{ "deep", deep },
	{ "links", links },
	{ "ranges", ranges },
	{ "changing", changing },
	{ "storms", storms },
	{ "swaps", swaps },
	{ "follows", follows },
	{ "inherits", inherits },
};

int main(int argc, char **argv)
{
	if (argc < 3 || chdir(argv[1]) < 0) {
		fprintf(stderr, "usage: hostile DIRECTORY CLIENT [ARGUMENT...]\n");
		return 2;
	}
	for (size_t i = 0; i < sizeof(clients) / sizeof(clients[0]); i++)
		if (strcmp(argv[2], clients[i].name) == 0)
			return clients[i].run(argc - 3, argv + 3);
	return 2;
}
