/* SPDX-License-Identifier: MIT */
/*
 * conformance.h - what a case has: a fresh directory that it runs in, users to
 * become, and words for what it sees.
 *
 * A case only observes: it never judges. Each observation is one line,
 * "CASE/WHAT: VALUE", and has to be the same whenever it is made on one
 * filesystem: no times, no inode numbers, but relations of them.
 */
#ifndef CONFORMANCE_H
#define CONFORMANCE_H

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

enum conformance_needs {
	NEEDS_NOTHING = 0,
	NEEDS_ROOT = 1,	 /* of the machine, not of a user namespace */
	NEEDS_USERS = 2, /* root that can become others */
	NEEDS_USER = 4,	 /* only as an ordinary user */
};

struct conformance_case {
	const char *name;
	void (*run)(void);
	unsigned int needs;
};

/* Tables that end with a row without a name. */
extern const struct conformance_case open_cases[], name_cases[], rename_cases[],
	attribute_cases[], time_cases[], permission_cases[], acl_cases[],
	data_cases[], allocation_cases[], mapping_cases[], lock_cases[],
	directory_cases[], xattr_cases[], event_cases[], special_cases[],
	race_cases[], control_cases[];

/* The case that observations are of, from now on. */
void observe_as(const char *name);
/* A result of a system call: "ok", a number above 0, or the name of errno. */
void see(const char *what, long result);
/* The same for one that opens: says "ok", and closes it. */
void see_fd(const char *what, int fd);
void see_yes(const char *what, bool yes);
__attribute__((format(printf, 2, 3))) void see_text(const char *what,
						    const char *format, ...);
/* Type and permission bits of a name, in octal. */
void see_mode(const char *what, const char *path);
void see_links(const char *what, const char *path);
/* What a file holds, as text: for short ones. */
void see_content(const char *what, const char *path);

/* A step without which the case makes no sense: else it ends, and says so. */
#define MUST(call) must((long)(call), #call)
long must(long result, const char *text);

/* Setting the stage; each is a MUST. */
void make_file(const char *path, const char *content, mode_t mode);
void make_dir(const char *path, mode_t mode);
/* A string of that many bytes, to be freed with the process. */
char *long_name(size_t length);

struct user {
	uid_t uid;
	gid_t gid;
	gid_t groups[4]; /* supplementary ones, ended by 0 */
};

extern const struct user alice, bob, carol, root_user;

/*
 * AS(alice) { ... }: the block runs in a process of that user's; the case goes
 * on when it has ended. Observations can be made in it, variables cannot be
 * set.
 */
#define AS(who)                                                                \
	for (bool child_ = begin_as(&(who)); child_; child_ = false, end_as())
bool begin_as(const struct user *who);
_Noreturn void end_as(void);
/* Become that user for the rest of this process. */
void become(const struct user *who);

/*
 * IN_CHILD(pid) { ... }: the block runs in a process of its own, and the case
 * goes on at once. wait_for() tells how it ended, as wait(2) does.
 */
#define IN_CHILD(pid) for ((pid) = begin_child(); (pid) == 0; (pid)++, end_as())
pid_t begin_child(void);
int wait_for(pid_t pid);

/* Which times an operation moves: look, do it, tell. */
struct watch {
	struct stat before;
};
struct watch watch_times(const char *path);
void see_moved(const char *what, const char *path, const struct watch *watch);

/* Does it kill who does it, and by what signal? 0: it does not. */
int signal_of(void (*deed)(void *), void *argument);

#endif
