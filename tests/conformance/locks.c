/* SPDX-License-Identifier: MIT */
/*
 * locks.c - flock, record locks, open file description locks, leases, seals.
 */
#include "conformance.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/wait.h>

static int file(void)
{
	return (int)MUST(open("f", O_RDWR | O_CREAT | O_CLOEXEC, 0644));
}

static int lock(int fd, int command, short type, off_t start, off_t length)
{
	struct flock lock = { .l_type = type,
			      .l_whence = SEEK_SET,
			      .l_start = start,
			      .l_len = length };

	return fcntl(fd, command, &lock);
}

static void see_lock(const char *what, int fd, int command, short type,
		     off_t start, off_t length, pid_t holder)
{
	struct flock lock = { .l_type = type,
			      .l_whence = SEEK_SET,
			      .l_start = start,
			      .l_len = length };

	if (fcntl(fd, command, &lock) < 0) {
		see(what, -1);
		return;
	}
	see_text(what, "%s, %jd + %jd, by %s",
		 lock.l_type == F_UNLCK	  ? "free"
		 : lock.l_type == F_RDLCK ? "for reading"
					  : "for writing",
		 lock.l_type == F_UNLCK ? 0 : (intmax_t)lock.l_start,
		 lock.l_type == F_UNLCK ? 0 : (intmax_t)lock.l_len,
		 lock.l_type == F_UNLCK ? "none"
		 : lock.l_pid == holder ? "its holder"
		 : lock.l_pid == -1	? "a description"
					: "somebody");
}

/* A process that has done something, and stays until it is killed. */
static pid_t holder_of(void (*deed)(int), int fd)
{
	int pipes[2];
	pid_t pid;
	char byte;

	MUST(pipe2(pipes, O_CLOEXEC));
	IN_CHILD(pid) {
		close(pipes[0]);
		deed(fd < 0 ? file() : fd);
		close(pipes[1]);
		pause();
	}
	close(pipes[1]);
	MUST(read(pipes[0], &byte, 1));
	close(pipes[0]);
	return pid;
}

static void end(pid_t pid)
{
	kill(pid, SIGKILL);
	wait_for(pid);
}

static void hold_flock(int fd)
{
	MUST(flock(fd, LOCK_EX));
}

static void hold_shared_flock(int fd)
{
	MUST(flock(fd, LOCK_SH));
}

static void hold_record(int fd)
{
	MUST(lock(fd, F_SETLK, F_WRLCK, 10, 20));
}

static void hold_record_for_reading(int fd)
{
	MUST(lock(fd, F_SETLK, F_RDLCK, 0, 0));
}

static void flocks_conflict(void)
{
	int a = file(), b = file();

	see("exclusive", flock(a, LOCK_EX | LOCK_NB));
	see("exclusive again", flock(a, LOCK_EX | LOCK_NB));
	see("exclusive by another open", flock(b, LOCK_EX | LOCK_NB));
	see("shared by another open", flock(b, LOCK_SH | LOCK_NB));
	see("to shared", flock(a, LOCK_SH | LOCK_NB));
	see("shared by another open then", flock(b, LOCK_SH | LOCK_NB));
	see("to exclusive", flock(a, LOCK_EX | LOCK_NB));
	see("unlock", flock(b, LOCK_UN));
	see("to exclusive then", flock(a, LOCK_EX | LOCK_NB));
	see("unlock what is not locked", flock(b, LOCK_UN));
	see("by a duplicate", flock(dup(a), LOCK_UN));
	see("so it is free", flock(b, LOCK_EX | LOCK_NB));
	close(b);
	see("free by close", flock(a, LOCK_EX | LOCK_NB));
	see("bad operation", flock(a, 77));
	see("bad descriptor", flock(-1, LOCK_EX));
	see("O_PATH", flock((int)MUST(open("f", O_PATH)), LOCK_EX));
	see("read-only",
	    flock((int)MUST(open("f", O_RDONLY)), LOCK_EX | LOCK_NB));
}

static void flocks_of_directories(void)
{
	int a = (int)MUST(open(".", O_RDONLY)),
	    b = (int)MUST(open(".", O_RDONLY));

	see("exclusive", flock(a, LOCK_EX | LOCK_NB));
	see("by another open", flock(b, LOCK_EX | LOCK_NB));
	see("unlock", flock(a, LOCK_UN));
	see("then", flock(b, LOCK_EX | LOCK_NB));
}

static void flocks_end_with_their_holder(void)
{
	int fd = file();
	pid_t pid = holder_of(hold_flock, -1), other;

	see("held", flock(fd, LOCK_EX | LOCK_NB));
	end(pid);
	see("when it was killed", flock(fd, LOCK_EX | LOCK_NB));
	see("unlock", flock(fd, LOCK_UN));
	pid = holder_of(hold_shared_flock, -1);
	see("held shared", flock(fd, LOCK_EX | LOCK_NB));
	see("shared", flock(fd, LOCK_SH | LOCK_NB));
	end(pid);
	/* Inherited: the description's, until the last of them is gone. */
	MUST(flock(fd, LOCK_EX));
	IN_CHILD(other)
		pause();
	close(fd);
	fd = file();
	see("inherited", flock(fd, LOCK_EX | LOCK_NB));
	end(other);
	see("no heir left", flock(fd, LOCK_EX | LOCK_NB));
}

static void on_alarm(int number)
{
	(void)number;
}

static void interrupt_soon(void)
{
	struct sigaction action = { .sa_handler = on_alarm };

	sigaction(SIGALRM, &action, NULL);
	ualarm(100000, 100000);
}

static void waits_are_interrupted(void)
{
	int fd = file();
	pid_t pid = holder_of(hold_flock, -1),
	      record = holder_of(hold_record, -1);

	interrupt_soon();
	see("flock", flock(fd, LOCK_EX));
	see("fcntl", lock(fd, F_SETLKW, F_WRLCK, 0, 0));
	see("open file description", lock(fd, F_OFD_SETLKW, F_WRLCK, 0, 0));
	ualarm(0, 0);
	end(pid);
	end(record);
	see("flock then", flock(fd, LOCK_EX));
	see("fcntl then", lock(fd, F_SETLKW, F_WRLCK, 0, 0));
}

static void waits_end_when_it_is_free(void)
{
	int fd = file();
	pid_t pid, holder;

	MUST(flock(fd, LOCK_EX));
	IN_CHILD(pid)
		see("flock in a child", flock(file(), LOCK_EX));
	watch_times("f");
	MUST(flock(fd, LOCK_UN));
	wait_for(pid);
	MUST(lock(fd, F_SETLK, F_WRLCK, 0, 0));
	IN_CHILD(pid)
		see("fcntl in a child", lock(file(), F_SETLKW, F_WRLCK, 0, 0));
	watch_times("f");
	MUST(lock(fd, F_SETLK, F_UNLCK, 0, 0));
	wait_for(pid);
	holder = holder_of(hold_flock, -1);
	IN_CHILD(pid)
		see("flock when its holder is killed", flock(file(), LOCK_EX));
	watch_times("f");
	end(holder);
	wait_for(pid);
}

static void waiters_can_be_killed(void)
{
	int fd = file();
	pid_t pid;

	MUST(flock(fd, LOCK_EX));
	IN_CHILD(pid)
		flock(file(), LOCK_EX);
	watch_times("f");
	kill(pid, SIGKILL);
	see("flock", WTERMSIG(wait_for(pid)));
	MUST(lock(fd, F_SETLK, F_WRLCK, 0, 0));
	IN_CHILD(pid)
		lock(file(), F_SETLKW, F_WRLCK, 0, 0);
	watch_times("f");
	kill(pid, SIGKILL);
	see("fcntl", WTERMSIG(wait_for(pid)));
	MUST(flock(fd, LOCK_UN));
	see("the lock is free", flock(file(), LOCK_EX | LOCK_NB));
}

static void records_conflict(void)
{
	int fd = file();
	pid_t pid = holder_of(hold_record, -1);

	see("over it", lock(fd, F_SETLK, F_WRLCK, 0, 0));
	see("at its first byte", lock(fd, F_SETLK, F_RDLCK, 10, 1));
	see("at its last byte", lock(fd, F_SETLK, F_WRLCK, 29, 1));
	see("before", lock(fd, F_SETLK, F_WRLCK, 0, 10));
	see("behind", lock(fd, F_SETLK, F_WRLCK, 30, 0));
	see_lock("who", fd, F_GETLK, F_WRLCK, 0, 0, pid);
	see_lock("who, for reading", fd, F_GETLK, F_RDLCK, 15, 1, pid);
	see_lock("who, before it", fd, F_GETLK, F_WRLCK, 0, 10, pid);
	end(pid);
	see("when it was killed", lock(fd, F_SETLK, F_WRLCK, 0, 0));
	see("unlock", lock(fd, F_SETLK, F_UNLCK, 0, 0));
	pid = holder_of(hold_record_for_reading, -1);
	see("for reading", lock(fd, F_SETLK, F_RDLCK, 5, 5));
	see("for writing", lock(fd, F_SETLK, F_WRLCK, 5, 5));
	see_lock("who, of all", fd, F_GETLK, F_WRLCK, 3, 1, pid);
	end(pid);
}

static void record_errors(void)
{
	int fd = file(), read_only = (int)MUST(open("f", O_RDONLY));
	int write_only = (int)MUST(open("f", O_WRONLY));

	see("bad type", lock(fd, F_SETLK, 77, 0, 0));
	see("below 0", lock(fd, F_SETLK, F_WRLCK, -1, 1));
	see("length below 0", lock(fd, F_SETLK, F_WRLCK, 10, -5));
	see("too far below 0", lock(fd, F_SETLK, F_WRLCK, 1, -5));
	see("largest", lock(fd, F_SETLK, F_WRLCK, INT64_MAX, 1));
	see("beyond", lock(fd, F_SETLK, F_WRLCK, INT64_MAX, 2));
	see("for writing on a read-only one",
	    lock(read_only, F_SETLK, F_WRLCK, 0, 1));
	see("for reading on a read-only one",
	    lock(read_only, F_SETLK, F_RDLCK, 0, 1));
	see("for reading on a write-only one",
	    lock(write_only, F_SETLK, F_RDLCK, 0, 1));
	see("bad descriptor", lock(-1, F_SETLK, F_WRLCK, 0, 1));
	see("O_PATH",
	    lock((int)MUST(open("f", O_PATH)), F_SETLK, F_WRLCK, 0, 1));
	see("lockf", lockf(fd, F_TLOCK, 10));
	see("lockf test", lockf(fd, F_TEST, 10));
}

/* Any close of the file by the process, and its locks are gone. */
static void records_end_by_any_close(void)
{
	int fd = file();
	pid_t pid;

	MUST(lock(fd, F_SETLK, F_WRLCK, 0, 0));
	IN_CHILD(pid)
		see("in a child", lock(file(), F_SETLK, F_WRLCK, 0, 0));
	wait_for(pid);
	close(file());
	IN_CHILD(pid)
		see("in a child after a close",
		    lock(file(), F_SETLK, F_WRLCK, 0, 0));
	wait_for(pid);
	see("again", lock(fd, F_SETLK, F_WRLCK, 0, 0));
}

static void records_split_and_join(void)
{
	int fd = file();
	pid_t pid;

	MUST(lock(fd, F_SETLK, F_WRLCK, 0, 100));
	MUST(lock(fd, F_SETLK, F_UNLCK, 40, 20));
	MUST(lock(fd, F_SETLK, F_RDLCK, 0, 10));
	IN_CHILD(pid) {
		see_lock("at 0", file(), F_GETLK, F_WRLCK, 0, 1, getppid());
		see_lock("at 10", file(), F_GETLK, F_WRLCK, 10, 1, getppid());
		see_lock("at 45", file(), F_GETLK, F_WRLCK, 45, 1, getppid());
		see_lock("at 70", file(), F_GETLK, F_WRLCK, 70, 1, getppid());
	}
	wait_for(pid);
}

static void descriptions_conflict(void)
{
	int a = file(), b = file();

	see("lock", lock(a, F_OFD_SETLK, F_WRLCK, 10, 10));
	see("again", lock(a, F_OFD_SETLK, F_WRLCK, 10, 10));
	see("by another open", lock(b, F_OFD_SETLK, F_WRLCK, 15, 1));
	see("by a record lock of the process",
	    lock(a, F_SETLK, F_WRLCK, 15, 1));
	see_lock("who", b, F_OFD_GETLK, F_WRLCK, 0, 0, 0);
	see("behind it", lock(b, F_OFD_SETLK, F_WRLCK, 20, 0));
	close(a);
	see("when it is closed", lock(b, F_OFD_SETLK, F_WRLCK, 0, 0));
}

static void deadlock_is_found(void)
{
	int fd = file(), pipes[2];
	pid_t pid;
	char byte;

	MUST(pipe(pipes));
	MUST(lock(fd, F_SETLK, F_WRLCK, 0, 1));
	IN_CHILD(pid) {
		int mine = file();

		MUST(lock(mine, F_SETLK, F_WRLCK, 1, 1));
		MUST(write(pipes[1], "", 1));
		lock(mine, F_SETLKW, F_WRLCK, 0, 1);
	}
	MUST(read(pipes[0], &byte, 1));
	watch_times("f"); /* it waits by now, or soon: one of us finds it */
	watch_times("f");
	see("the second waiter", lock(fd, F_SETLKW, F_WRLCK, 1, 1));
	end(pid);
}

static void leases_and_seals(void)
{
	int fd = file();

	see("F_GETLEASE", fcntl(fd, F_GETLEASE) == F_UNLCK ? 0 : -1);
	see("F_GET_SEALS", fcntl(fd, F_GET_SEALS));
	see("F_ADD_SEALS", fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK));
	see("F_SETPIPE_SZ", fcntl(fd, F_SETPIPE_SZ, 4096));
	see("F_GETFL access mode", fcntl(fd, F_GETFL) & O_ACCMODE);
	see("F_SETFL O_APPEND", fcntl(fd, F_SETFL, O_APPEND));
	see_yes("F_GETFL has it", fcntl(fd, F_GETFL) & O_APPEND);
	see("F_NOTIFY of a file", fcntl(fd, F_NOTIFY, DN_CREATE));
	see("F_NOTIFY of a directory",
	    fcntl((int)MUST(open(".", O_RDONLY)), F_NOTIFY, DN_CREATE));
	see("F_SET_RW_HINT",
	    fcntl(fd, F_SET_RW_HINT, &(uint64_t){ RWH_WRITE_LIFE_SHORT }));
}

static void leases_are_taken(void)
{
	make_file("f", "", 0644);
	see("read lease",
	    fcntl((int)MUST(open("f", O_RDONLY)), F_SETLEASE, F_RDLCK));
	make_file("g", "", 0644);
	see("write lease",
	    fcntl((int)MUST(open("g", O_RDWR)), F_SETLEASE, F_WRLCK));
}

const struct conformance_case lock_cases[] = {
	{ "flocks-conflict", flocks_conflict, NEEDS_NOTHING },
	{ "flocks-of-directories", flocks_of_directories, NEEDS_NOTHING },
	{ "flocks-end-with-their-holder", flocks_end_with_their_holder,
	  NEEDS_NOTHING },
	{ "waits-are-interrupted", waits_are_interrupted, NEEDS_NOTHING },
	{ "waits-end-when-it-is-free", waits_end_when_it_is_free,
	  NEEDS_NOTHING },
	{ "waiters-can-be-killed", waiters_can_be_killed, NEEDS_NOTHING },
	{ "records-conflict", records_conflict, NEEDS_NOTHING },
	{ "record-errors", record_errors, NEEDS_NOTHING },
	{ "records-end-by-any-close", records_end_by_any_close, NEEDS_NOTHING },
	{ "records-split-and-join", records_split_and_join, NEEDS_NOTHING },
	{ "descriptions-conflict", descriptions_conflict, NEEDS_NOTHING },
	{ "deadlock-is-found", deadlock_is_found, NEEDS_NOTHING },
	{ "leases-and-seals", leases_and_seals, NEEDS_NOTHING },
	{ "leases-are-taken", leases_are_taken, NEEDS_NOTHING },
	{ 0 },
};
