/* SPDX-License-Identifier: MIT */
/*
 * races.c - several processes at once: what is atomic, what they share.
 */
#include "conformance.h"

#include <dirent.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>

enum { PROCESSES = 4, ROUNDS = 200 };

/* How many of the processes a deed succeeds for, over all rounds. */
static long winners(bool (*deed)(int process, int round))
{
	pid_t pids[PROCESSES];
	long sum = 0;
	int *won = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
			MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	for (int p = 0; p < PROCESSES; p++)
		IN_CHILD(pids[p])
			for (int i = 0; i < ROUNDS; i++)
				won[p] += deed(p, i);
	for (int p = 0; p < PROCESSES; p++) {
		wait_for(pids[p]);
		sum += won[p];
	}
	return sum;
}

static const char *name_of(const char *prefix, int number)
{
	static char name[32];

	snprintf(name, sizeof(name), "%s%d", prefix, number);
	return name;
}

static bool creates(int process, int round)
{
	int fd = open(name_of("c", round), O_CREAT | O_EXCL | O_RDWR, 0644);

	(void)process;
	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

static bool makes_directory(int process, int round)
{
	(void)process;
	return mkdir(name_of("d", round), 0755) == 0;
}

static bool unlinks(int process, int round)
{
	(void)process;
	return unlink(name_of("c", round)) == 0;
}

static bool removes_directory(int process, int round)
{
	(void)process;
	return rmdir(name_of("d", round)) == 0;
}

static bool links(int process, int round)
{
	(void)process;
	return link("source", name_of("l", round)) == 0;
}

static bool renames(int process, int round)
{
	char to[32];

	snprintf(to, sizeof(to), "moved%d-%d", round, process);
	return rename(name_of("l", round), to) == 0;
}

static bool renames_without_replacing(int process, int round)
{
	char from[32];

	snprintf(from, sizeof(from), "own%d", process);
	close((int)MUST(open(from, O_CREAT | O_RDWR, 0644)));
	return renameat2(AT_FDCWD, from, AT_FDCWD, name_of("n", round),
			 RENAME_NOREPLACE) == 0;
}

static void one_of_them_wins(void)
{
	make_file("source", "", 0644);
	see("O_EXCL", winners(creates));
	see("mkdir", winners(makes_directory));
	see("unlink", winners(unlinks));
	see("rmdir", winners(removes_directory));
	see("link", winners(links));
	see_links("links", "source");
	see("rename", winners(renames));
	see_links("links after rename", "source");
	see("rename NOREPLACE", winners(renames_without_replacing));
}

static bool replaces(int process, int round)
{
	char name[32];

	(void)round;
	snprintf(name, sizeof(name), "new%d", process);
	make_file(name, "content", 0644);
	return rename(name, "f") == 0;
}

/* Who opens a name while it is replaced finds the old or the new file whole. */
static void a_replaced_name_is_always_there(void)
{
	long wrong = 0, opens = 0;
	pid_t pid;
	int fd;

	make_file("f", "content", 0644);
	IN_CHILD(pid)
		for (int i = 0; i < 500; i++)
			MUST(replaces(0, i) ? 0 : -1);
	while (waitpid(pid, NULL, WNOHANG) == 0) {
		char got[8] = "";

		fd = open("f", O_RDONLY);
		opens++;
		wrong += fd < 0 || read(fd, got, 8) != 7 ||
			 strcmp(got, "content");
		if (fd >= 0)
			close(fd);
	}
	see_yes("opened", opens > 0);
	see("wrong", wrong);
}

/* Entries that stay are seen once, whatever another process does meanwhile. */
static void entries_that_stay_are_seen_once(void)
{
	unsigned char times[500];
	long never = 0, more = 0;
	struct dirent *entry;
	pid_t pid;

	for (int i = 0; i < 500; i++)
		close((int)MUST(open(name_of("s", i), O_CREAT | O_RDWR, 0644)));
	IN_CHILD(pid)
		for (int i = 0;; i = (i + 1) % 300) {
			close(open(name_of("x", i), O_CREAT | O_RDWR, 0644));
			rename(name_of("x", i), "y");
			unlink(i % 2 ? "y" : name_of("x", i / 2));
		}
	for (int round = 0; round < 20; round++) {
		DIR *dir = opendir(".");

		MUST(dir ? 0 : -1);
		memset(times, 0, sizeof(times));
		while ((entry = readdir(dir)))
			if (*entry->d_name == 's')
				times[atoi(entry->d_name + 1)]++;
		closedir(dir);
		for (int i = 0; i < 500; i++) {
			never += times[i] == 0;
			more += times[i] > 1;
		}
	}
	kill(pid, SIGKILL);
	wait_for(pid);
	see("never", never);
	see("more than once", more);
}

static void positions_are_shared_by_children(void)
{
	int fd = (int)MUST(open("f", O_CREAT | O_RDWR, 0644));
	pid_t pid;

	MUST(write(fd, "0123456789", 10));
	IN_CHILD(pid)
		MUST(lseek(fd, 3, SEEK_SET));
	wait_for(pid);
	see("position", lseek(fd, 0, SEEK_CUR));
	IN_CHILD(pid)
		MUST(write(fd, "child", 5));
	wait_for(pid);
	see("write after a child's", write(fd, "!", 1));
	see_content("content", "f");
}

static int *shared_word(void)
{
	int fd = (int)MUST(open("f", O_CREAT | O_RDWR, 0644));
	int *word;

	MUST(ftruncate(fd, 4096));
	word = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	MUST(word == MAP_FAILED ? -1 : 0);
	close(fd);
	return word;
}

/* A futex is known by the file and the offset, not by who mapped it how. */
static void futexes_wake_across_mappings(void)
{
	int *word = shared_word();
	long woken = 0;
	pid_t pid;

	IN_CHILD(pid) {
		int *own = shared_word();

		while (__atomic_load_n(own, __ATOMIC_SEQ_CST) == 0)
			syscall(SYS_futex, own, FUTEX_WAIT, 0, NULL, NULL, 0);
		own[1] = 1;
	}
	watch_times("f");
	while (woken == 0)
		woken = MUST(
			syscall(SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0));
	__atomic_store_n(word, 1, __ATOMIC_SEQ_CST);
	syscall(SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0);
	wait_for(pid);
	see("woken", woken);
	see("and seen", word[1]);
}

static void mutexes_are_shared(void)
{
	pthread_mutex_t *mutex = (pthread_mutex_t *)shared_word();
	int *count = (int *)(mutex + 1);
	pthread_mutexattr_t attributes;
	pid_t pids[PROCESSES];

	pthread_mutexattr_init(&attributes);
	pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
	pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
	pthread_mutex_init(mutex, &attributes);
	for (int p = 0; p < PROCESSES; p++)
		IN_CHILD(pids[p]) {
			pthread_mutex_t *own = (pthread_mutex_t *)shared_word();
			int *owns = (int *)(own + 1);

			for (int i = 0; i < 2000; i++) {
				pthread_mutex_lock(own);
				*owns += 1;
				pthread_mutex_unlock(own);
			}
		}
	for (int p = 0; p < PROCESSES; p++)
		wait_for(pids[p]);
	see("count", *count);
	IN_CHILD(pids[0])
		pthread_mutex_lock(mutex);
	wait_for(pids[0]);
	errno = pthread_mutex_lock(mutex);
	see("when its owner has died", errno ? -1 : 0);
}

/* Each write is whole: readers see the bytes of one or of the other. */
static void writes_of_a_page_are_whole(void)
{
	int fd = (int)MUST(open("f", O_CREAT | O_RDWR, 0644));
	char page[4096];
	long torn = 0;
	pid_t pid;

	memset(page, 'a', sizeof(page));
	MUST(pwrite(fd, page, sizeof(page), 0));
	IN_CHILD(pid)
		for (int i = 0; i < 2000; i++) {
			memset(page, 'a' + i % 2, sizeof(page));
			MUST(pwrite(fd, page, sizeof(page), 0));
		}
	while (waitpid(pid, NULL, WNOHANG) == 0)
		torn += pread(fd, page, sizeof(page), 0) != sizeof(page);
	see("short reads", torn);
	see("size", lseek(fd, 0, SEEK_END));
}

const struct conformance_case race_cases[] = {
	{ "one-of-them-wins", one_of_them_wins, NEEDS_NOTHING },
	{ "a-replaced-name-is-always-there", a_replaced_name_is_always_there,
	  NEEDS_NOTHING },
	{ "entries-that-stay-are-seen-once", entries_that_stay_are_seen_once,
	  NEEDS_NOTHING },
	{ "positions-are-shared-by-children", positions_are_shared_by_children,
	  NEEDS_NOTHING },
	{ "futexes-wake-across-mappings", futexes_wake_across_mappings,
	  NEEDS_NOTHING },
	{ "mutexes-are-shared", mutexes_are_shared, NEEDS_NOTHING },
	{ "reads-are-never-short", writes_of_a_page_are_whole, NEEDS_NOTHING },
	{ 0 },
};
