/* SPDX-License-Identifier: MIT */
/*
 * observe.c - the words of conformance.h.
 */
#include "conformance.h"

#include <grp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>

const struct user alice = { 1001, 2001, { 0 } };
const struct user bob = { 1002, 2002, { 2001 } };
const struct user carol = { 1003, 2003, { 0 } };
const struct user root_user = { 0, 0, { 0 } };

static const char *case_name = "";

void observe_as(const char *name)
{
	case_name = name;
}

void see_text(const char *what, const char *format, ...)
{
	char value[4096];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(value, sizeof(value), format, arguments);
	va_end(arguments);
	printf("%s/%s: %s\n", case_name, what, value);
}

static const char *errno_name(int number)
{
	const char *name = strerrorname_np(number);

	return name ? name : "unknown";
}

void see(const char *what, long result)
{
	const int number = errno;

	if (result > 0)
		see_text(what, "%ld", result);
	else
		see_text(what, "%s", result < 0 ? errno_name(number) : "ok");
}

void see_fd(const char *what, int fd)
{
	see(what, fd < 0 ? -1 : 0);
	if (fd >= 0)
		close(fd);
}

void see_yes(const char *what, bool yes)
{
	see_text(what, "%s", yes ? "yes" : "no");
}

void see_mode(const char *what, const char *path)
{
	struct stat st;

	if (lstat(path, &st) < 0)
		see(what, -1);
	else
		see_text(what, "%o", st.st_mode);
}

void see_links(const char *what, const char *path)
{
	struct stat st;

	if (lstat(path, &st) < 0)
		see(what, -1);
	else
		see_text(what, "%ju", (uintmax_t)st.st_nlink);
}

void see_content(const char *what, const char *path)
{
	char content[256];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, content, sizeof(content));

	if (n < 0)
		see(what, -1);
	else
		see_text(what, "'%.*s'", (int)n, content);
	if (fd >= 0)
		close(fd);
}

long must(long result, const char *text)
{
	if (result >= 0)
		return result;
	see(text, result);
	_exit(1);
}

void make_file(const char *path, const char *content, mode_t mode)
{
	int fd = (int)MUST(
		open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));

	if (*content)
		MUST(write(fd, content, strlen(content)));
	MUST(fchmod(fd, mode));
	close(fd);
}

void make_dir(const char *path, mode_t mode)
{
	MUST(mkdir(path, 0700));
	MUST(chmod(path, mode));
}

char *long_name(size_t length)
{
	char *name = malloc(length + 1);

	if (!name)
		abort();
	memset(name, 'n', length);
	name[length] = '\0';
	return name;
}

void become(const struct user *who)
{
	size_t count = 0;

	while (count < 4 && who->groups[count])
		count++;
	MUST(setgroups(count, who->groups));
	MUST(setresgid(who->gid, who->gid, who->gid));
	MUST(setresuid(who->uid, who->uid, who->uid));
	prctl(PR_SET_DUMPABLE, 1); /* /proc/self/fd is ours again */
}

pid_t begin_child(void)
{
	pid_t pid = (pid_t)MUST(fork());

	if (pid == 0)
		prctl(PR_SET_PDEATHSIG, SIGKILL);
	return pid;
}

int wait_for(pid_t pid)
{
	int status = 0;

	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return status;
}

bool begin_as(const struct user *who)
{
	pid_t pid = begin_child();
	int status;

	if (pid == 0) {
		become(who);
		return true;
	}
	status = wait_for(pid);
	if (WIFSIGNALED(status))
		see_text("a child", "died of signal %d", WTERMSIG(status));
	return false;
}

void end_as(void)
{
	_exit(0);
}

struct watch watch_times(const char *path)
{
	/* Longer than any kernel's clock of file times takes for a step. */
	const struct timespec step = { .tv_nsec = 12000000 };
	struct watch watch;

	MUST(lstat(path, &watch.before));
	nanosleep(&step, NULL);
	return watch;
}

static bool differs(struct timespec a, struct timespec b)
{
	return a.tv_sec != b.tv_sec || a.tv_nsec != b.tv_nsec;
}

void see_moved(const char *what, const char *path, const struct watch *watch)
{
	struct stat now;
	bool a, m, c;

	if (lstat(path, &now) < 0) {
		see(what, -1);
		return;
	}
	a = differs(watch->before.st_atim, now.st_atim);
	m = differs(watch->before.st_mtim, now.st_mtim);
	c = differs(watch->before.st_ctim, now.st_ctim);
	see_text(what, "moved%s%s%s%s", a ? " atime" : "", m ? " mtime" : "",
		 c ? " ctime" : "", a || m || c ? "" : " nothing");
}

int signal_of(void (*deed)(void *), void *argument)
{
	pid_t pid;
	int status;

	IN_CHILD(pid)
		deed(argument);
	status = wait_for(pid);
	return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}
