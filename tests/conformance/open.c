/* SPDX-License-Identifier: MIT */
/*
 * open.c - open(2): each flag, each error.
 */
#include "conformance.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/wait.h>

static void open_creates(void)
{
	int fd = open("f", O_RDWR | O_CREAT, 0666);

	see("O_CREAT of a new name", fd < 0 ? -1 : 0);
	see_mode("its mode", "f");
	see_fd("O_CREAT of a file", open("f", O_RDWR | O_CREAT, 0600));
	see_mode("its mode after that", "f");
	see_fd("O_CREAT with mode 0", open("none", O_RDWR | O_CREAT, 0));
	see_mode("the mode of that", "none");
	see_fd("O_CREAT with set-ID bits",
	       open("ids", O_RDWR | O_CREAT, 06755));
	see_mode("the mode of those", "ids");
	see_fd("O_CREAT, sticky", open("sticky", O_RDWR | O_CREAT, 01644));
	see_mode("the mode of that file", "sticky");
	umask(0);
	see_fd("O_CREAT with no umask", open("all", O_RDWR | O_CREAT, 0777));
	see_mode("with no umask", "all");
	umask(0777);
	see_fd("O_CREAT with all umask", open("nil", O_RDWR | O_CREAT, 0777));
	see_mode("with all umask", "nil");
}

static void open_exclusive(void)
{
	make_file("f", "", 0644);
	make_dir("d", 0755);
	MUST(symlink("nowhere", "dangling"));
	see_fd("of a file", open("f", O_RDWR | O_CREAT | O_EXCL, 0644));
	see_fd("of a directory", open("d", O_RDWR | O_CREAT | O_EXCL, 0644));
	see_fd("of a symlink to nothing",
	       open("dangling", O_RDWR | O_CREAT | O_EXCL, 0644));
	see_fd("of nothing", open("new", O_RDWR | O_CREAT | O_EXCL, 0644));
	see_fd("without O_EXCL, a symlink to nothing",
	       open("dangling", O_RDWR | O_CREAT, 0644));
	see_mode("what that made", "nowhere");
}

static void open_errors(void)
{
	make_file("f", "", 0644);
	make_dir("d", 0755);
	see_fd("nothing", open("nothing", O_RDONLY));
	see_fd("empty name", open("", O_RDONLY));
	see_fd("in nothing", open("nothing/f", O_RDWR | O_CREAT, 0644));
	see_fd("below a file", open("f/x", O_RDONLY));
	see_fd("create below a file", open("f/x", O_RDWR | O_CREAT, 0644));
	see_fd("file with a slash", open("f/", O_RDONLY));
	see_fd("create with a slash", open("g/", O_RDWR | O_CREAT, 0644));
	see_fd("directory for writing", open("d", O_WRONLY));
	see_fd("directory for both", open("d", O_RDWR));
	see_fd("directory O_CREAT", open("d", O_RDONLY | O_CREAT, 0644));
	see_fd("directory O_TRUNC", open("d", O_RDONLY | O_TRUNC));
	see_fd("directory for reading", open("d", O_RDONLY));
	see_fd("O_DIRECTORY of a file", open("f", O_RDONLY | O_DIRECTORY));
	see_fd("O_DIRECTORY of nothing", open("n", O_RDONLY | O_DIRECTORY));
	see_fd("O_DIRECTORY of a directory", open("d", O_RDONLY | O_DIRECTORY));
	see_fd("O_CREAT and O_DIRECTORY",
	       open("x", O_RDONLY | O_DIRECTORY | O_CREAT, 0644));
	see_fd("access mode 3", open("f", 3));
}

static void open_long_names(void)
{
	char *longest = long_name(255), *longer = long_name(256);
	char *path = malloc(PATH_MAX + 8);

	see_fd("create 255 bytes", open(longest, O_RDWR | O_CREAT, 0644));
	see_fd("open 255 bytes", open(longest, O_RDONLY));
	see_fd("create 256 bytes", open(longer, O_RDWR | O_CREAT, 0644));
	see_fd("open 256 bytes", open(longer, O_RDONLY));
	for (size_t i = 0; i < PATH_MAX; i += 2)
		memcpy(path + i, "./", 2);
	strcpy(path + PATH_MAX - 2, "f");
	see_fd("a path of PATH_MAX - 1", open(path, O_RDWR | O_CREAT, 0644));
	memcpy(path + PATH_MAX - 2, "./f", 4);
	see_fd("a longer path", open(path, O_RDWR | O_CREAT, 0644));
}

static void open_symlinks(void)
{
	make_file("f", "", 0644);
	make_dir("d", 0755);
	MUST(symlink("f", "to-file"));
	MUST(symlink("d", "to-directory"));
	MUST(symlink("self", "self"));
	MUST(symlink("loop2", "loop1"));
	MUST(symlink("loop1", "loop2"));
	see_fd("follows", open("to-file", O_RDWR));
	see_fd("O_NOFOLLOW", open("to-file", O_RDWR | O_NOFOLLOW));
	see_fd("O_NOFOLLOW, O_DIRECTORY",
	       open("to-directory", O_RDONLY | O_NOFOLLOW | O_DIRECTORY));
	see_fd("O_NOFOLLOW of a file", open("f", O_RDWR | O_NOFOLLOW));
	see_fd("O_NOFOLLOW of a middle part",
	       open("to-directory/g", O_RDWR | O_CREAT | O_NOFOLLOW, 0644));
	see_fd("itself", open("self", O_RDONLY));
	see_fd("each other", open("loop1", O_RDONLY));
	see_fd("create over a loop", open("loop1/x", O_RDWR | O_CREAT, 0644));
	see_fd("O_PATH | O_NOFOLLOW", open("self", O_PATH | O_NOFOLLOW));
}

static void open_many_symlinks(void)
{
	char name[32], target[32];

	make_file("l0", "", 0644);
	for (int i = 1; i <= 42; i++) {
		snprintf(name, sizeof(name), "l%d", i);
		snprintf(target, sizeof(target), "l%d", i - 1);
		MUST(symlink(target, name));
	}
	see_fd("40 of them", open("l40", O_RDONLY));
	see_fd("41 of them", open("l41", O_RDONLY));
}

static void open_truncates(void)
{
	struct watch watch;

	make_file("f", "content", 0644);
	see_fd("O_TRUNC", open("f", O_WRONLY | O_TRUNC));
	see_content("content", "f");
	watch = watch_times("f");
	see_fd("O_TRUNC of an empty file", open("f", O_RDWR | O_TRUNC));
	see_moved("times by that", "f", &watch);
	make_file("g", "content", 0644);
	watch = watch_times("g");
	see_fd("O_TRUNC of a file with bytes", open("g", O_RDWR | O_TRUNC));
	see_moved("times by that one", "g", &watch);
	make_file("h", "content", 0644);
	see_fd("O_CREAT, O_EXCL, O_TRUNC of a file",
	       open("h", O_RDWR | O_CREAT | O_EXCL | O_TRUNC, 0644));
	see_content("content after the refusal", "h");
	see_fd("O_RDONLY, O_TRUNC", open("h", O_RDONLY | O_TRUNC));
	see_content("content after that", "h");
}

static void open_appends(void)
{
	int a, b;

	make_file("f", "12", 0644);
	a = (int)MUST(open("f", O_RDWR | O_APPEND));
	b = (int)MUST(open("f", O_WRONLY | O_APPEND));
	see("write a", write(a, "a", 1));
	see("write b", write(b, "b", 1));
	see("write a after b", write(a, "c", 1));
	see("position of a", lseek(a, 0, SEEK_CUR));
	see("seek to 0", lseek(a, 0, SEEK_SET));
	see("write after seek", write(a, "d", 1));
	see("pwrite at 0 appends", pwrite(a, "e", 1, 0));
	see_content("content", "f");
	MUST(truncate("f", 1));
	see("write after truncate", write(a, "g", 1));
	see_content("content after truncate", "f");
	see("F_SETFL without O_APPEND", fcntl(a, F_SETFL, 0));
	see("pwrite at 0", pwrite(a, "z", 1, 0));
	see_content("content after F_SETFL", "f");
}

static void open_appends_from_processes(void)
{
	struct stat st;
	pid_t pids[4];
	bool torn = false;
	char line[16];
	int fd;

	make_file("f", "", 0644);
	for (int i = 0; i < 4; i++) {
		IN_CHILD(pids[i]) {
			fd = (int)MUST(open("f", O_WRONLY | O_APPEND));
			memset(line, 'a' + i, sizeof(line));
			for (int n = 0; n < 100; n++)
				MUST(write(fd, line, sizeof(line)));
		}
	}
	for (int i = 0; i < 4; i++)
		wait_for(pids[i]);
	MUST(stat("f", &st));
	see("size", st.st_size);
	fd = (int)MUST(open("f", O_RDONLY));
	while (read(fd, line, sizeof(line)) == sizeof(line))
		for (size_t i = 1; i < sizeof(line); i++)
			torn |= line[i] != line[0];
	see_yes("torn", torn);
}

static void open_nameless(void)
{
	struct stat st;
	char path[64];
	int fd = open(".", O_TMPFILE | O_RDWR, 0640);

	see("O_TMPFILE", fd < 0 ? -1 : 0);
	MUST(fstat(fd, &st));
	see_text("its mode", "%o", st.st_mode);
	see_text("its links", "%ju", (uintmax_t)st.st_nlink);
	see("write", write(fd, "hello", 5));
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	see("linkat by /proc",
	    linkat(AT_FDCWD, path, AT_FDCWD, "named", AT_SYMLINK_FOLLOW));
	see_content("content", "named");
	see_links("links", "named");
	see("a second linkat",
	    linkat(AT_FDCWD, path, AT_FDCWD, "again", AT_SYMLINK_FOLLOW));
	see_links("links then", "named");
	see("a linkat onto a name",
	    linkat(AT_FDCWD, path, AT_FDCWD, "again", AT_SYMLINK_FOLLOW));
	see_fd("O_TMPFILE for reading", open(".", O_TMPFILE | O_RDONLY, 0640));
	see_fd("O_TMPFILE in a file", open("named", O_TMPFILE | O_RDWR, 0640));
	see_fd("O_TMPFILE in nothing", open("none", O_TMPFILE | O_RDWR, 0640));
	fd = open(".", O_TMPFILE | O_RDWR | O_EXCL, 0640);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	see("O_TMPFILE, O_EXCL", fd < 0 ? -1 : 0);
	see("linkat of that",
	    linkat(AT_FDCWD, path, AT_FDCWD, "excl", AT_SYMLINK_FOLLOW));
}

static void open_nameless_by_empty_path(void)
{
	int fd = (int)MUST(open(".", O_TMPFILE | O_RDWR, 0600));

	see("linkat", linkat(fd, "", AT_FDCWD, "named", AT_EMPTY_PATH));
	see_links("links", "named");
}

static void open_path_only(void)
{
	struct stat st;
	char byte, path[64];
	int fd;

	make_file("f", "abc", 0);
	fd = open("f", O_PATH);
	see("O_PATH of a file of mode 0", fd < 0 ? -1 : 0);
	see("fstat", fstat(fd, &st));
	see("size", st.st_size);
	see("read", read(fd, &byte, 1));
	see("write", write(fd, "x", 1));
	see("fchmod", fchmod(fd, 0644));
	see("ftruncate", ftruncate(fd, 0));
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	see("chmod by /proc", chmod(path, 0644));
	see_mode("mode", "f");
	see_fd("reopen by /proc", open(path, O_RDWR));
	see("unlink", unlink("f"));
	see_fd("reopen an unlinked one by /proc", open(path, O_RDWR));
	see("fstat when unlinked", fstat(fd, &st));
	see("links when unlinked", (long)st.st_nlink);
}

static void open_direct(void)
{
	char *page = aligned_alloc(4096, 4096);
	int fd;

	memset(page, 'd', 4096);
	fd = open("f", O_RDWR | O_CREAT | O_DIRECT, 0644);
	see("O_DIRECT", fd < 0 ? -1 : 0);
	see("write a page", write(fd, page, 4096));
	see("read a page", pread(fd, page, 4096, 0));
	see("read past the end", pread(fd, page, 4096, 4096));
	see("F_SETFL O_DIRECT", fcntl(open("f", O_RDWR), F_SETFL, O_DIRECT));
}

static void open_denied(void)
{
	make_file("f", "abc", 0);
	see_fd("mode 0 for reading", open("f", O_RDONLY));
	MUST(chmod("f", 0400));
	see_fd("mode 0400 for reading", open("f", O_RDONLY));
	see_fd("mode 0400 for writing", open("f", O_WRONLY));
	see_fd("mode 0400 O_TRUNC", open("f", O_RDONLY | O_TRUNC));
	see("truncate of mode 0400", truncate("f", 0));
	MUST(chmod("f", 0200));
	see_fd("mode 0200 for reading", open("f", O_RDONLY));
	see_fd("mode 0200 for writing", open("f", O_WRONLY));
	see_fd("mode 0200 for both", open("f", O_RDWR));
	see_content("content, which only root sees", "f");
	make_dir("d", 0700);
	make_file("d/f", "", 0644);
	MUST(chmod("d", 0600));
	see_fd("in a directory without x", open("d/f", O_RDONLY));
	see_fd("create in a directory without x",
	       open("d/g", O_RDWR | O_CREAT, 0644));
	MUST(chmod("d", 0500));
	see_fd("in a directory without w", open("d/f", O_RDWR));
	see_fd("create in a directory without w",
	       open("d/g", O_RDWR | O_CREAT, 0644));
	see_fd("O_TMPFILE in a directory without w",
	       open("d", O_TMPFILE | O_RDWR, 0600));
	MUST(chmod("d", 0300));
	see_fd("list a directory without r", open("d", O_RDONLY));
	see_fd("O_NOATIME of one's own", open("d/f", O_RDONLY | O_NOATIME));
}

/* A descriptor keeps what its open was granted. */
static void open_outlives_its_mode(void)
{
	char bytes[8];
	int fd = (int)MUST(open("f", O_RDWR | O_CREAT | O_EXCL, 0));

	see("write to a new file of mode 0", write(fd, "abc", 3));
	see("read of it", pread(fd, bytes, 8, 0));
	see("ftruncate of it", ftruncate(fd, 2));
	see("fchmod of it", fchmod(fd, 0444));
	see("write when it is 0444", pwrite(fd, "xyz", 3, 0));
	see_content("content", "f");
	close(fd);
	see("unlink", unlink("f"));
	fd = (int)MUST(open("r", O_RDWR | O_CREAT | O_EXCL, 0444));
	see("write to a new file of mode 0444", write(fd, "abc", 3));
	see_content("content of that", "r");
}

static void open_fifo(void)
{
	int reader;

	MUST(mkfifo("p", 0644));
	see_fd("writer without reader", open("p", O_WRONLY | O_NONBLOCK));
	reader = open("p", O_RDONLY | O_NONBLOCK);
	see("reader", reader < 0 ? -1 : 0);
	see_fd("writer with reader", open("p", O_WRONLY | O_NONBLOCK));
	see_fd("both ways", open("p", O_RDWR | O_NONBLOCK));
	see("lseek", lseek(reader, 0, SEEK_SET));
	see_fd("O_TRUNC", open("p", O_RDWR | O_NONBLOCK | O_TRUNC));
}

static void open_socket(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX, .sun_path = "s" };
	int fd = (int)MUST(socket(AF_UNIX, SOCK_STREAM, 0));

	MUST(bind(fd, (struct sockaddr *)&address, sizeof(address)));
	see_fd("a socket", open("s", O_RDWR));
	see_fd("a socket by O_PATH", open("s", O_PATH));
	see("truncate", truncate("s", 0));
}

static void open_running_program(void)
{
	char *const arguments[] = { "program", "5", NULL };
	int fd = (int)MUST(open("program", O_WRONLY | O_CREAT, 0755));
	int in = (int)MUST(open("/bin/sleep", O_RDONLY));
	int pipe_fds[2];
	struct stat st;
	pid_t pid;
	char byte;

	MUST(fstat(in, &st));
	while (copy_file_range(in, NULL, fd, NULL, (size_t)st.st_size, 0) > 0)
		;
	if (lseek(fd, 0, SEEK_END) < st.st_size) { /* across filesystems */
		char buffer[4096];
		ssize_t n;

		lseek(in, 0, SEEK_SET);
		lseek(fd, 0, SEEK_SET);
		while ((n = read(in, buffer, sizeof(buffer))) > 0)
			MUST(write(fd, buffer, (size_t)n));
	}
	see("exec while open for writing", execv("program", arguments));
	close(fd);
	MUST(pipe2(pipe_fds, O_CLOEXEC));
	IN_CHILD(pid)
		MUST(execv("program", arguments));
	close(pipe_fds[1]); /* the child's is closed by its exec */
	see("wait for exec", read(pipe_fds[0], &byte, 1));
	see_fd("for writing while it runs", open("program", O_WRONLY));
	see_fd("O_TRUNC while it runs", open("program", O_WRONLY | O_TRUNC));
	see("truncate while it runs", truncate("program", 0));
	see_fd("for reading while it runs", open("program", O_RDONLY));
	see("unlink while it runs", unlink("program"));
	see("ended early", waitpid(pid, NULL, WNOHANG));
}

static void open_at(void)
{
	int dir, file;

	make_dir("d", 0755);
	make_file("d/f", "", 0644);
	dir = (int)MUST(open("d", O_PATH));
	file = (int)MUST(open("d/f", O_RDONLY));
	see_fd("relative", openat(dir, "f", O_RDONLY));
	see_fd("below a file", openat(file, "f", O_RDONLY));
	see_fd("bad descriptor", openat(-1, "f", O_RDONLY));
	see_fd("..", openat(dir, "../d/f", O_RDONLY));
	MUST(unlink("d/f"));
	MUST(rmdir("d"));
	see_fd("create in a removed directory",
	       openat(dir, "g", O_RDWR | O_CREAT, 0644));
	see_fd("O_TMPFILE in a removed directory",
	       openat(dir, ".", O_RDWR | O_TMPFILE, 0644));
}

const struct conformance_case open_cases[] = {
	{ "open-creates", open_creates, NEEDS_NOTHING },
	{ "open-exclusive", open_exclusive, NEEDS_NOTHING },
	{ "open-errors", open_errors, NEEDS_NOTHING },
	{ "open-long-names", open_long_names, NEEDS_NOTHING },
	{ "open-symlinks", open_symlinks, NEEDS_NOTHING },
	{ "open-many-symlinks", open_many_symlinks, NEEDS_NOTHING },
	{ "open-truncates", open_truncates, NEEDS_NOTHING },
	{ "open-appends", open_appends, NEEDS_NOTHING },
	{ "open-appends-from-processes", open_appends_from_processes,
	  NEEDS_NOTHING },
	{ "open-nameless", open_nameless, NEEDS_NOTHING },
	{ "open-nameless-by-empty-path", open_nameless_by_empty_path,
	  NEEDS_NOTHING },
	{ "open-path-only", open_path_only, NEEDS_NOTHING },
	{ "open-direct", open_direct, NEEDS_NOTHING },
	{ "open-denied", open_denied, NEEDS_NOTHING },
	{ "open-outlives-its-mode", open_outlives_its_mode, NEEDS_NOTHING },
	{ "open-fifo", open_fifo, NEEDS_NOTHING },
	{ "open-socket", open_socket, NEEDS_NOTHING },
	{ "open-running-program", open_running_program, NEEDS_NOTHING },
	{ "open-at", open_at, NEEDS_NOTHING },
	{ 0 },
};
