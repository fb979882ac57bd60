/* SPDX-License-Identifier: MIT */
/*
 * main.c - run every case in a directory, each in a process and a directory of
 * its own, so that one that fails, hangs or dies takes no other with it.
 *
 * usage: conformance DIRECTORY [CASE]
 */
#include "conformance.h"

#include <err.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>

enum { CASE_SECONDS_MAX = 20 };

static const struct conformance_case *const tables[] = {
	open_cases,	  name_cases,	 rename_cases,	   data_cases,
	attribute_cases,  time_cases,	 permission_cases, acl_cases,
	allocation_cases, mapping_cases, lock_cases,	   directory_cases,
	xattr_cases,	  event_cases,	 special_cases,	   race_cases,
	control_cases,
};

/* Root of the machine, or of a user namespace that has only a few ids? */
static bool is_machine_root(void)
{
	unsigned int inside, outside, count;
	FILE *map = fopen("/proc/self/uid_map", "re");
	bool all = map &&
		   fscanf(map, "%u %u %u", &inside, &outside, &count) == 3 &&
		   inside == 0 && outside == 0 && count == UINT32_MAX;

	if (map)
		fclose(map);
	return all && geteuid() == 0;
}

static void prepare_process(const struct user *who)
{
	const struct rlimit no_core = { 0, 0 };

	setpgid(0, 0);
	setrlimit(RLIMIT_CORE, &no_core);
	umask(022);
	if (who)
		become(who);
	alarm(CASE_SECONDS_MAX);
}

static void enter_directory(const char *name, const struct user *who)
{
	if (mkdir(name, 0755) < 0 ||
	    (who && chown(name, who->uid, who->gid) < 0) || chdir(name) < 0)
		err(1, "%s", name);
}

/* Runs it as this user, or as who started the program; names[] of the directory
 * and of the observations are the same. */
static void run_case(const struct conformance_case *c, const struct user *who)
{
	char name[256];
	int status;
	pid_t pid;

	snprintf(name, sizeof(name), "%s%s", who ? "as-user-" : "", c->name);
	if ((pid = fork()) < 0)
		err(1, "fork");
	if (pid == 0) {
		observe_as(name);
		enter_directory(name, who);
		prepare_process(who);
		c->run();
		_exit(0);
	}
	status = wait_for(pid);
	kill(-pid, SIGKILL); /* whoever it left behind */
	if (WIFSIGNALED(status))
		printf("%s: died of signal %d\n", name, WTERMSIG(status));
}

static void run_table(const struct conformance_case *c, const char *only)
{
	const bool is_root = geteuid() == 0, is_machine = is_machine_root();

	for (; c->name; c++) {
		if (only && strcmp(only, c->name) != 0)
			continue;
		if ((c->needs & (NEEDS_ROOT | NEEDS_USERS)) && !is_machine)
			continue;
		if (!(c->needs & NEEDS_USER) || !is_root)
			run_case(c, NULL);
		if (!(c->needs & (NEEDS_ROOT | NEEDS_USERS)) && is_machine)
			run_case(c, &alice);
	}
}

int main(int argc, char **argv)
{
	if (argc < 2 || argc > 3)
		errx(2, "usage: conformance DIRECTORY [CASE]");
	if (chdir(argv[1]) < 0)
		err(1, "%s", argv[1]);
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (size_t i = 0; i < sizeof(tables) / sizeof(*tables); i++)
		run_table(tables[i], argv[2]);
	return 0;
}
