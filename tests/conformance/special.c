/* SPDX-License-Identifier: MIT */
/*
 * special.c - programs, sockets, fifos, file handles, a mount that is
 * read-only.
 */
#include "conformance.h"

#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

static void copy_program(const char *from, const char *to, mode_t mode)
{
	int in = (int)MUST(open(from, O_RDONLY));
	int out = (int)MUST(open(to, O_WRONLY | O_CREAT | O_EXCL, 0700));

	while (MUST(sendfile(out, in, NULL, 1 << 20)) > 0)
		;
	MUST(fchmod(out, mode));
	close(out);
	close(in);
}

/* Runs it and tells what it printed, by its first word, or why it did not. */
static void see_run(const char *what, const char *path, char *const arguments[])
{
	int pipes[2], status;
	char got[64] = "";
	ssize_t n;
	pid_t pid;

	MUST(pipe(pipes));
	fflush(stdout);
	IN_CHILD(pid) {
		dup2(pipes[1], 1);
		close(pipes[0]);
		close(pipes[1]);
		execv(path, arguments);
		_exit(100 + errno);
	}
	close(pipes[1]);
	n = read(pipes[0], got, sizeof(got) - 1);
	close(pipes[0]);
	status = wait_for(pid);
	got[n > 0 ? strcspn(got, "\n") : 0] = '\0';
	if (WIFEXITED(status) && WEXITSTATUS(status) > 100)
		see_text(what, "not run: %s",
			 strerrorname_np(WEXITSTATUS(status) - 100));
	else
		see_text(what, "printed '%s', status %d", got, status);
}

static void programs_run(void)
{
	char *const echo[] = { "echo", "hello", NULL };
	char *const script[] = { "script", NULL };

	copy_program("/bin/echo", "echo", 0755);
	see_run("a program", "./echo", echo);
	see_run("again", "./echo", echo);
	MUST(chmod("echo", 0644));
	see_run("without x", "./echo", echo);
	MUST(chmod("echo", 0111));
	see_run("without r", "./echo", echo);
	make_file("script", "#!/bin/sh\necho by a script\n", 0755);
	see_run("a script", "./script", script);
	make_file("empty", "", 0755);
	see_run("an empty file", "./empty", script);
	make_file("text", "no program", 0755);
	see_run("a text", "./text", script);
	make_dir("d", 0755);
	see_run("a directory", "./d", script);
	see_run("nothing", "./nothing", script);
	see_run("below a file", "./text/x", script);
}

static void a_running_program_is_unlinked(void)
{
	char *const sleep_long[] = { "sleep", "30", NULL };
	struct stat st;
	char link[64];
	int pipes[2];
	pid_t pid;
	char byte;

	copy_program("/bin/sleep", "sleep", 0755);
	MUST(pipe2(pipes, O_CLOEXEC));
	IN_CHILD(pid)
		MUST(execv("./sleep", sleep_long));
	close(pipes[1]);
	MUST(read(pipes[0], &byte, 1));
	see("unlink", unlink("sleep"));
	snprintf(link, sizeof(link), "/proc/%d/exe", pid);
	see("stat of what it runs", stat(link, &st));
	see("links", (long)st.st_nlink);
	see("it runs", kill(pid, SIGKILL));
	see("and is killed", WTERMSIG(wait_for(pid)));
}

/* The mounts compared are nosuid: nobody gains anything. */
static void set_ids_are_honoured_by_the_mount(void)
{
	char *const id[] = { "id", "-u", NULL }, *const gid[] = { "id", "-g",
								  NULL };

	copy_program("/usr/bin/id", "id", 04755);
	AS(carol)
		see_run("set-user-ID of root", "./id", id);
	MUST(chmod("id", 02755));
	AS(carol)
		see_run("set-group-ID of root", "./id", gid);
	MUST(chown("id", 1001, 2001));
	MUST(chmod("id", 06755));
	see_run("of another, by root", "./id", id);
}

static void devices_are_not_opened(void)
{
	MUST(mknod("null", S_IFCHR | 0666, 0x103));
	see_fd("by root", open("null", O_RDWR));
	AS(carol)
		see_fd("by another", open("null", O_RDWR));
	see_fd("by O_PATH", open("null", O_PATH));
}

static struct sockaddr_un address_of(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	strncpy(address.sun_path, path, sizeof(address.sun_path) - 1);
	return address;
}

static int call(const char *path)
{
	const struct sockaddr_un address = address_of(path);
	int fd = (int)MUST(socket(AF_UNIX, SOCK_STREAM, 0));

	return connect(fd, (const struct sockaddr *)&address, sizeof(address)) <
			       0
		       ? -1
		       : fd;
}

static void sockets_connect(void)
{
	const struct sockaddr_un address = address_of("s");
	int listener = (int)MUST(socket(AF_UNIX, SOCK_STREAM, 0));
	char got[8] = "";
	pid_t pid;
	int fd;

	see("nothing", call("s"));
	see("bind",
	    bind(listener, (const struct sockaddr *)&address, sizeof(address)));
	see_mode("what that made", "s");
	see("bind another to it",
	    bind((int)MUST(socket(AF_UNIX, SOCK_STREAM, 0)),
		 (const struct sockaddr *)&address, sizeof(address)));
	see("nobody listens", call("s"));
	see("listen", listen(listener, 1));
	IN_CHILD(pid)
		MUST(write((int)MUST(call("s")), "hello", 5));
	fd = (int)MUST(accept(listener, NULL, NULL));
	see("read", read(fd, got, sizeof(got)));
	see_text("what it read", "%s", got);
	wait_for(pid);
	MUST(rename("s", "moved"));
	see_yes("renamed", call("moved") >= 0);
	MUST(unlink("moved"));
	see("unlinked", call("moved"));
	make_file("f", "", 0644);
	see("a file", call("f"));
}

static void sockets_need_rights(void)
{
	const struct sockaddr_un address = address_of("s");
	int listener = (int)MUST(socket(AF_UNIX, SOCK_STREAM, 0));

	MUST(bind(listener, (const struct sockaddr *)&address,
		  sizeof(address)));
	MUST(listen(listener, 5));
	MUST(chmod("s", 0600));
	AS(carol)
		see("of mode 0600", call("s"));
	MUST(chmod("s", 0666));
	AS(carol)
		see_yes("of mode 0666", call("s") >= 0);
}

static void fifos_transfer(void)
{
	char got[16] = "";
	pid_t pid;
	int fd;

	MUST(mkfifo("p", 0644));
	IN_CHILD(pid)
		MUST(write((int)MUST(open("p", O_WRONLY)), "by a fifo", 9));
	fd = (int)MUST(open("p", O_RDONLY));
	see("read", read(fd, got, sizeof(got)));
	see_text("what it read", "%s", got);
	wait_for(pid);
	see("end", read(fd, got, sizeof(got)));
	close(fd);
	MUST(link("p", "q"));
	IN_CHILD(pid)
		MUST(write((int)MUST(open("q", O_WRONLY)), "by another name",
			   15));
	fd = (int)MUST(open("p", O_RDONLY));
	memset(got, 0, sizeof(got));
	see("read by another name", read(fd, got, sizeof(got)));
	wait_for(pid);
}

static void fifo_times(void)
{
	struct watch watch;
	char got[4];
	int fd;

	MUST(mkfifo("p", 0644));
	fd = (int)MUST(open("p", O_RDWR));
	watch = watch_times("p");
	MUST(write(fd, "abc", 3));
	see_moved("write", "p", &watch);
	watch = watch_times("p");
	MUST(read(fd, got, 3));
	see_moved("read", "p", &watch);
}

struct handle {
	struct file_handle head;
	unsigned char bytes[MAX_HANDLE_SZ];
};

static int handle_of(const char *path, struct handle *handle, int flags)
{
	int mount;

	handle->head.handle_bytes = MAX_HANDLE_SZ;
	return name_to_handle_at(AT_FDCWD, path, &handle->head, &mount, flags);
}

/*
 * A filesystem may be told of the last close after close(2) has returned; until
 * then there is a file to open.
 */
static void see_stale(const char *what, int here, struct handle *handle)
{
	int fd = -1;

	for (int i = 0; i < 500; i++) {
		fd = open_by_handle_at(here, &handle->head, O_RDONLY);
		if (fd < 0 && errno == ESTALE)
			break;
		if (fd >= 0)
			close(fd);
		watch_times(".");
	}
	see(what, fd < 0 ? -1 : 0);
}

static void handles_open_files(void)
{
	int here = (int)MUST(open(".", O_RDONLY));
	struct handle file, directory, small = { 0 };
	struct stat a, b;
	char got[4] = "";
	int fd, mount;

	make_file("f", "abc", 0644);
	make_dir("d", 0755);
	make_file("d/g", "", 0644);
	see("no room",
	    name_to_handle_at(AT_FDCWD, "f", &small.head, &mount, 0));
	see("of nothing", handle_of("nothing", &file, 0));
	see("of a file", handle_of("f", &file, 0));
	see("of a directory", handle_of("d", &directory, 0));
	fd = open_by_handle_at(here, &file.head, O_RDONLY);
	see("open", fd < 0 ? -1 : 0);
	if (fd >= 0)
		see("read", read(fd, got, 3));
	close(fd);
	fd = open_by_handle_at(here, &directory.head, O_RDONLY);
	see("open the directory", fd < 0 ? -1 : 0);
	see_fd("open in it", openat(fd, "g", O_RDONLY));
	MUST(rename("f", "d/f"));
	fd = open_by_handle_at(here, &file.head, O_RDWR);
	see("open when renamed", fd < 0 ? -1 : 0);
	MUST(stat("d/f", &a));
	if (fd >= 0)
		MUST(fstat(fd, &b));
	see_yes("it is the same", fd >= 0 && a.st_ino == b.st_ino);
	close(fd);
	MUST(unlink("d/f"));
	see_stale("open when unlinked", here, &file);
}

static void handles_are_of_root(void)
{
	int here = (int)MUST(open(".", O_RDONLY));
	struct handle file;

	make_file("f", "abc", 0666);
	MUST(handle_of("f", &file, 0));
	AS(carol)
		see_fd("open by another",
		       open_by_handle_at(here, &file.head, O_RDONLY));
}

/* In a mount namespace of its own: the same tree, read-only. */
static void read_only_mount(void)
{
	make_dir("d", 0755);
	make_file("d/f", "abc", 0666);
	MUST(symlink("f", "d/l"));
	MUST(mkfifo("d/p", 0666));
	MUST(unshare(CLONE_NEWNS));
	MUST(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
	MUST(mount("d", "d", NULL, MS_BIND, NULL));
	MUST(mount(NULL, "d", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL));
	see_content("read", "d/f");
	see_fd("open for writing", open("d/f", O_RDWR));
	see_fd("O_TRUNC", open("d/f", O_RDONLY | O_TRUNC));
	see_fd("create", open("d/g", O_CREAT | O_RDWR, 0644));
	see_fd("O_CREAT of what is there",
	       open("d/f", O_CREAT | O_RDONLY, 0644));
	see_fd("tmpfile", open("d", O_TMPFILE | O_RDWR, 0644));
	see("mkdir", mkdir("d/d", 0755));
	see("mkdir of what is there", mkdir("d/f", 0755));
	see("unlink", unlink("d/f"));
	see("rmdir", rmdir("d/f"));
	see("rename", rename("d/f", "d/g"));
	see("link", link("d/f", "d/g"));
	see("symlink", symlink("f", "d/m"));
	see("mkfifo", mkfifo("d/q", 0644));
	see("chmod", chmod("d/f", 0600));
	see("chown", chown("d/f", 0, 0));
	see("utimensat", utimensat(AT_FDCWD, "d/f", NULL, 0));
	see("truncate", truncate("d/f", 0));
	see("access for writing", access("d/f", W_OK));
	see("access for reading", access("d/f", R_OK));
	see_fd("a fifo for writing", open("d/p", O_RDWR | O_NONBLOCK));
}

const struct conformance_case special_cases[] = {
	{ "programs-run", programs_run, NEEDS_NOTHING },
	{ "a-running-program-is-unlinked", a_running_program_is_unlinked,
	  NEEDS_NOTHING },
	{ "set-ids-are-honoured-by-the-mount",
	  set_ids_are_honoured_by_the_mount, NEEDS_USERS },
	{ "devices-are-not-opened", devices_are_not_opened, NEEDS_ROOT },
	{ "sockets-connect", sockets_connect, NEEDS_NOTHING },
	{ "sockets-need-rights", sockets_need_rights, NEEDS_USERS },
	{ "fifos-transfer", fifos_transfer, NEEDS_NOTHING },
	{ "fifo-times", fifo_times, NEEDS_NOTHING },
	{ "handles-open-files", handles_open_files, NEEDS_ROOT },
	{ "handles-are-of-root", handles_are_of_root, NEEDS_USERS },
	{ "read-only-mount", read_only_mount, NEEDS_ROOT },
	{ 0 },
};
