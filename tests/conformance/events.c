/* SPDX-License-Identifier: MIT */
/*
 * events.c - what inotify tells of each operation.
 */
#include "conformance.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/mman.h>

static const struct {
	uint32_t bit;
	const char *name;
} events[] = {
	{ IN_ACCESS, "access" },
	{ IN_ATTRIB, "attrib" },
	{ IN_CLOSE_WRITE, "close-write" },
	{ IN_CLOSE_NOWRITE, "close-nowrite" },
	{ IN_CREATE, "create" },
	{ IN_DELETE, "delete" },
	{ IN_DELETE_SELF, "delete-self" },
	{ IN_MODIFY, "modify" },
	{ IN_MOVE_SELF, "move-self" },
	{ IN_MOVED_FROM, "moved-from" },
	{ IN_MOVED_TO, "moved-to" },
	{ IN_OPEN, "open" },
	{ IN_IGNORED, "ignored" },
	{ IN_ISDIR, "(directory)" },
};

static int watch_of(const char *path)
{
	int fd = (int)MUST(inotify_init1(IN_NONBLOCK | IN_CLOEXEC));

	MUST(inotify_add_watch(fd, path, IN_ALL_EVENTS));
	return fd;
}

static void add_event(char *text, const struct inotify_event *event)
{
	for (size_t i = 0; i < sizeof(events) / sizeof(*events); i++)
		if (event->mask & events[i].bit)
			strcat(strcat(text, " "), events[i].name);
	if (event->len)
		strcat(strcat(text, " "), event->name);
	strcat(text, ";");
}

/* Those that are there now, as text; is this one among them? */
static bool take_events(int fd, char *text, uint32_t bit)
{
	_Alignas(struct inotify_event) char bytes[8192];
	ssize_t n = read(fd, bytes, sizeof(bytes));
	bool found = false;

	for (char *at = bytes; n > 0 && at < bytes + n;) {
		struct inotify_event *event =
			(struct inotify_event *)(void *)at;

		add_event(text, event);
		found |= event->mask & bit;
		at += sizeof(*event) + event->len;
	}
	return found;
}

static void see_events(const char *what, int fd)
{
	char text[4000] = "";

	take_events(fd, text, 0);
	see_text(what, "%s", *text ? text + 1 : "nothing");
}

/* To the last of a file, which is late when somebody else looks at the file. */
static void see_last_events(const char *what, int fd)
{
	char text[4000] = "";

	for (int i = 0; i < 300 && !take_events(fd, text, IN_IGNORED); i++)
		watch_times(".");
	see_text(what, "%s", *text ? text + 1 : "nothing");
}

static void events_of_names(void)
{
	int fd, nameless;

	make_dir("d", 0755);
	make_dir("e", 0755);
	nameless = (int)MUST(open("d", O_TMPFILE | O_RDWR, 0644));
	fd = watch_of("d");
	close((int)MUST(open("d/f", O_CREAT | O_RDWR, 0644)));
	see_events("create", fd);
	MUST(mkdir("d/d", 0755));
	see_events("mkdir", fd);
	MUST(symlink("f", "d/l"));
	see_events("symlink", fd);
	MUST(mkfifo("d/p", 0644));
	see_events("mkfifo", fd);
	MUST(link("d/f", "d/g"));
	see_events("link", fd);
	MUST(rename("d/g", "d/h"));
	see_events("rename", fd);
	MUST(rename("d/h", "e/h"));
	see_events("rename away", fd);
	MUST(rename("e/h", "d/i"));
	see_events("rename in", fd);
	MUST(rename("d/p", "d/l"));
	see_events("rename over", fd);
	MUST(renameat2(AT_FDCWD, "d/d", AT_FDCWD, "d/l", RENAME_EXCHANGE));
	see_events("exchange", fd);
	MUST(unlink("d/i"));
	see_events("unlink", fd);
	MUST(rmdir("d/l"));
	see_events("rmdir", fd);
	open("d/nothing", O_RDONLY);
	unlink("d/nothing");
	see_events("what fails", fd);
	MUST(linkat(nameless, "", AT_FDCWD, "d/t", AT_EMPTY_PATH));
	see_events("linkat of a nameless one", fd);
}

static void events_of_a_file(void)
{
	char byte;
	int fd, file;

	make_file("f", "abc", 0644);
	fd = watch_of("f");
	file = (int)MUST(open("f", O_RDWR));
	see_events("open", fd);
	MUST(read(file, &byte, 1));
	see_events("read", fd);
	MUST(write(file, "x", 1));
	see_events("write", fd);
	MUST(ftruncate(file, 1));
	see_events("ftruncate", fd);
	MUST(truncate("f", 2));
	see_events("truncate", fd);
	MUST(fallocate(file, 0, 0, 100));
	see_events("fallocate", fd);
	MUST(chmod("f", 0600));
	see_events("chmod", fd);
	MUST(chown("f", geteuid(), getegid()));
	see_events("chown", fd);
	MUST(utimensat(AT_FDCWD, "f", NULL, 0));
	see_events("utimensat", fd);
	MUST(fsync(file));
	see_events("fsync", fd);
	close(file);
	see_events("close", fd);
	MUST(link("f", "g"));
	see_events("link", fd);
	MUST(rename("g", "h"));
	see_events("rename", fd);
	MUST(unlink("h"));
	see_events("unlink of a link", fd);
	close((int)MUST(open("f", O_RDONLY)));
	see_events("open and close for reading", fd);
	close((int)MUST(open("f", O_WRONLY | O_TRUNC)));
	see_events("O_TRUNC", fd);
}

static void events_of_the_end(void)
{
	int fd, file;

	make_file("f", "abc", 0644);
	fd = watch_of("f");
	MUST(unlink("f"));
	see_last_events("unlink", fd);
	make_file("f", "abc", 0644);
	file = (int)MUST(open("f", O_RDWR));
	fd = watch_of("f");
	MUST(unlink("f"));
	see_events("unlink of an open one", fd);
	close(file);
	see_last_events("close of it", fd);
	make_file("f", "abc", 0644);
	make_file("g", "abc", 0644);
	fd = watch_of("g");
	MUST(rename("f", "g"));
	see_last_events("rename over", fd);
	make_dir("d", 0755);
	fd = watch_of("d");
	MUST(rmdir("d"));
	see_last_events("rmdir", fd);
}

static void events_of_another_process(void)
{
	struct pollfd polled = { .events = POLLIN };
	pid_t pid;

	make_dir("d", 0755);
	polled.fd = watch_of("d");
	IN_CHILD(pid)
		make_file("d/f", "abc", 0644);
	wait_for(pid);
	see("poll", poll(&polled, 1, 5000));
	see_events("create by a child", polled.fd);
}

static void watch_errors(void)
{
	int fd = (int)MUST(inotify_init1(IN_NONBLOCK));

	make_file("f", "", 0644);
	see("nothing", inotify_add_watch(fd, "nothing", IN_ALL_EVENTS));
	see("IN_ONLYDIR of a file",
	    inotify_add_watch(fd, "f", IN_CREATE | IN_ONLYDIR));
	see("no events", inotify_add_watch(fd, "f", 0));
	see_yes("a file", inotify_add_watch(fd, "f", IN_ALL_EVENTS) > 0);
	see("IN_MASK_CREATE again",
	    inotify_add_watch(fd, "f", IN_ALL_EVENTS | IN_MASK_CREATE));
}

const struct conformance_case event_cases[] = {
	{ "events-of-names", events_of_names, NEEDS_NOTHING },
	{ "events-of-a-file", events_of_a_file, NEEDS_NOTHING },
	{ "events-of-the-end", events_of_the_end, NEEDS_NOTHING },
	{ "events-of-another-process", events_of_another_process,
	  NEEDS_NOTHING },
	{ "watch-errors", watch_errors, NEEDS_NOTHING },
	{ 0 },
};
