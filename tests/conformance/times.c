/* SPDX-License-Identifier: MIT */
/*
 * times.c - utimensat and its relatives.
 */
#include "conformance.h"

#include <stdio.h>
#include <sys/time.h>
#include <time.h>
#include <utime.h>

static int set_times(const char *path, struct timespec atime,
		     struct timespec mtime)
{
	return utimensat(AT_FDCWD, path, (struct timespec[]){ atime, mtime },
			 AT_SYMLINK_NOFOLLOW);
}

static void see_times(const char *what, const char *path)
{
	struct stat st;

	MUST(lstat(path, &st));
	see_text(what, "%jd.%09ld %jd.%09ld", (intmax_t)st.st_atim.tv_sec,
		 st.st_atim.tv_nsec, (intmax_t)st.st_mtim.tv_sec,
		 st.st_mtim.tv_nsec);
}

static void times_are_kept(void)
{
	static const struct timespec times[] = {
		{ 0, 0 },
		{ 1, 1 },
		{ 1000000000, 123456789 },
		{ -1, 0 },
		{ -1, 999999999 },
		{ -2208988800, 500000000 },
		{ 2147483647, 999999999 },
		{ 2147483648, 1 },
		{ 4294967296, 7 },
		{ 253402300799, 0 },
	};
	char what[48];

	make_file("f", "", 0644);
	make_dir("d", 0755);
	MUST(symlink("f", "l"));
	MUST(mkfifo("p", 0644));
	for (size_t i = 0; i < sizeof(times) / sizeof(*times); i++) {
		snprintf(what, sizeof(what), "%jd.%09ld",
			 (intmax_t)times[i].tv_sec, times[i].tv_nsec);
		see(what, set_times("f", times[i], times[0]));
		snprintf(what, sizeof(what), "%zu as atime", i);
		see_times(what, "f");
		MUST(set_times("f", times[0], times[i]));
		snprintf(what, sizeof(what), "%zu as mtime", i);
		see_times(what, "f");
	}
	see("directory", set_times("d", times[2], times[8]));
	see_times("directory is", "d");
	see("symlink", set_times("l", times[2], times[8]));
	see_times("symlink is", "l");
	see("fifo", set_times("p", times[2], times[8]));
	see_times("fifo is", "p");
}

static void times_now_and_omitted(void)
{
	const struct timespec omit = { .tv_nsec = UTIME_OMIT };
	const struct timespec now = { .tv_nsec = UTIME_NOW };
	const struct timespec past = { 1000, 7 };
	struct watch watch;
	struct stat st;

	make_file("f", "", 0644);
	see("both", set_times("f", past, past));
	see("omit mtime", set_times("f", (struct timespec){ 5, 5 }, omit));
	see_times("after that", "f");
	see("omit atime", set_times("f", omit, (struct timespec){ 6, 6 }));
	see_times("after that one", "f");
	watch = watch_times("f");
	see("omit both", set_times("f", omit, omit));
	see_moved("times by omit both", "f", &watch);
	watch = watch_times("f");
	see("set both", set_times("f", past, past));
	see_moved("times by set both", "f", &watch);
	watch = watch_times("f");
	see("atime now", set_times("f", now, omit));
	see_moved("times by atime now", "f", &watch);
	MUST(set_times("f", past, past));
	watch = watch_times("f");
	see("now both", set_times("f", now, now));
	see_moved("times by now both", "f", &watch);
	MUST(stat("f", &st));
	see_yes("they are equal",
		st.st_atim.tv_sec == st.st_mtim.tv_sec &&
			st.st_atim.tv_nsec == st.st_mtim.tv_nsec);
	see_yes("and near", st.st_mtim.tv_sec - time(NULL) < 100 &&
				    time(NULL) - st.st_mtim.tv_sec < 100);
	watch = watch_times("f");
	see("NULL", utimensat(AT_FDCWD, "f", NULL, 0));
	see_moved("times by NULL", "f", &watch);
	see("omit both of nothing",
	    utimensat(AT_FDCWD, "nothing", (struct timespec[]){ omit, omit },
		      0));
}

static void times_errors(void)
{
	const struct timespec ok = { 1, 1 }, bad = { 1, 1000000000 };

	make_file("f", "", 0644);
	MUST(symlink("loop", "loop"));
	see("too many nanoseconds", set_times("f", bad, ok));
	see("negative nanoseconds",
	    set_times("f", (struct timespec){ 1, -1 }, ok));
	see("nothing", set_times("nothing", ok, ok));
	see("below a file", set_times("f/x", ok, ok));
	see("in a loop", set_times("loop/x", ok, ok));
	see("through a loop",
	    utimensat(AT_FDCWD, "loop", (struct timespec[]){ ok, ok }, 0));
	see("bad flag",
	    utimensat(AT_FDCWD, "f", (struct timespec[]){ ok, ok }, 1));
	see("bad descriptor", futimens(-1, NULL));
	see("read-only descriptor", futimens((int)MUST(open("f", O_RDONLY)),
					     (struct timespec[]){ ok, ok }));
	see_times("after that", "f");
	see("utime", utime("f", &(struct utimbuf){ 11, 12 }));
	see_times("utime is", "f");
	see("utimes", utimes("f", (struct timeval[]){ { 1, 2 }, { 3, 4 } }));
	see_times("utimes is", "f");
}

static void times_by_users(void)
{
	const struct timespec ok = { 1, 1 };
	const struct timespec omit = { .tv_nsec = UTIME_OMIT };
	const struct timespec now = { .tv_nsec = UTIME_NOW };

	make_file("f", "", 0666);
	make_file("private", "", 0644);
	AS(carol) {
		see("set, of a writable one", set_times("f", ok, ok));
		see("now, of a writable one", set_times("f", now, now));
		see("NULL, of a writable one",
		    utimensat(AT_FDCWD, "f", NULL, 0));
		see("one now, of a writable one", set_times("f", now, omit));
		see("omit, of a writable one", set_times("f", omit, omit));
		see("set, of another's", set_times("private", ok, ok));
		see("now, of another's", set_times("private", now, now));
		see("NULL, of another's",
		    utimensat(AT_FDCWD, "private", NULL, 0));
		see("omit, of another's", set_times("private", omit, omit));
	}
	MUST(chown("private", 1001, 2001));
	MUST(chmod("private", 0));
	AS(alice) {
		see("set, by its owner", set_times("private", ok, ok));
		see("now, by its owner", set_times("private", now, now));
	}
}

/* The clock of the filesystem is the one of the system. */
static void times_are_of_the_clock(void)
{
	struct timespec before, after;
	struct stat st;

	clock_gettime(CLOCK_REALTIME_COARSE, &before);
	make_file("f", "", 0644);
	clock_gettime(CLOCK_REALTIME, &after);
	MUST(stat("f", &st));
	see_yes("not before", st.st_mtim.tv_sec > before.tv_sec ||
				      (st.st_mtim.tv_sec == before.tv_sec &&
				       st.st_mtim.tv_nsec >= before.tv_nsec));
	see_yes("not after", st.st_mtim.tv_sec < after.tv_sec ||
				     (st.st_mtim.tv_sec == after.tv_sec &&
				      st.st_mtim.tv_nsec <= after.tv_nsec));
}

static void times_of_reads(void)
{
	const struct timespec past = { 1000, 7 };
	struct watch watch;
	char got[8];
	int fd;

	make_file("f", "content", 0644);
	MUST(symlink("f", "l"));
	make_dir("d", 0755);
	MUST(set_times("f", past, past));
	watch = watch_times("f");
	fd = (int)MUST(open("f", O_RDONLY));
	MUST(read(fd, got, sizeof(got)));
	see_moved("read", "f", &watch);
	MUST(set_times("l", past, past));
	watch = watch_times("l");
	MUST(readlink("l", got, sizeof(got)));
	see_moved("readlink", "l", &watch);
	MUST(set_times("f", past, past));
	watch = watch_times("f");
	fd = (int)MUST(open("f", O_RDONLY | O_NOATIME));
	MUST(read(fd, got, sizeof(got)));
	see_moved("read by O_NOATIME", "f", &watch);
}

const struct conformance_case time_cases[] = {
	{ "times-are-kept", times_are_kept, NEEDS_NOTHING },
	{ "times-now-and-omitted", times_now_and_omitted, NEEDS_NOTHING },
	{ "times-errors", times_errors, NEEDS_NOTHING },
	{ "times-by-users", times_by_users, NEEDS_USERS },
	{ "times-are-of-the-clock", times_are_of_the_clock, NEEDS_NOTHING },
	{ "times-of-reads", times_of_reads, NEEDS_NOTHING },
	{ 0 },
};
