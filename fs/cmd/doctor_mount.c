/* SPDX-License-Identifier: MIT */
/*
 * doctor_mount.c - the mounts of bufferfs, and whether they answer. A mount may
 * answer never: it is asked by a process that can be given up.
 */
#include "cmd.h"
#include "doctor.h"
#include "text.h"

#include <ctype.h>
#include <errno.h>
#include <mntent.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PATIENCE_MS = 5000 };

static void answer(int fd, const char *directory)
{
	const char *state = attribute_get(directory, "user.iobuf.state");
	const int error = state ? 0 : errno;

	/* What is asked for is at the beginning of the state. */
	if (write(fd, &error, sizeof(error)) == sizeof(error) && state)
		(void)!write(fd, state, strnlen(state, FILE_MAX - 1));
	_exit(EXIT_SUCCESS);
}

/* All that comes, or ETIMEDOUT. */
static int listen_to(int fd, int *error, char state[FILE_MAX])
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	size_t have = 0;
	ssize_t n;

	if (poll(&p, 1, PATIENCE_MS) <= 0)
		return ETIMEDOUT;
	if (read(fd, error, sizeof(*error)) != sizeof(*error))
		return EIO;
	while (have < FILE_MAX - 1 &&
	       (n = read(fd, state + have, FILE_MAX - 1 - have)) > 0)
		have += (size_t)n;
	state[have] = '\0';
	return *error;
}

static int ask(const char *directory, char state[FILE_MAX])
{
	int fds[2], error = 0;
	pid_t pid;

	if (pipe(fds) < 0 || (pid = fork()) < 0)
		return errno;
	if (pid == 0)
		answer(fds[1], directory);
	close(fds[1]);
	error = listen_to(fds[0], &error, state);
	close(fds[0]);
	kill(pid, SIGKILL);
	/* One that cannot be killed now is init's in a moment. */
	if (error != ETIMEDOUT)
		waitpid(pid, NULL, 0);
	return error;
}

static uint64_t number(const char *state, const char *key)
{
	char text[32];

	state_find(state, key, text, sizeof(text));
	return strtoull(text, NULL, 10);
}

static void load(struct mount *m)
{
	char state[FILE_MAX] = "";

	m->error = ask(m->directory, state);
	state_find(state, "version", m->version, sizeof(m->version));
	state_find(state, "datapath", m->datapath, sizeof(m->datapath));
	m->size = number(state, "size");
	m->used = number(state, "used");
	m->requests = (unsigned int)number(state, "requests");
}

/* Does the mount at `point` have `directory`? Paths, which need nobody to answer. */
static bool has(const char *point, const char *directory)
{
	const size_t n = strlen(point);

	return !strncmp(directory, point, n) &&
	       (directory[n] == '/' || directory[n] == '\0');
}

/* Mounts of bufferfs that have `path`; all, when it is empty. */
static void find_mounts(struct doctor *d, const char *path)
{
	FILE *mounts = doctor_open(d, "/proc/self/mounts");
	const struct mntent *m;

	while (mounts && d->mount_count < MOUNTS_MAX && (m = getmntent(mounts))) {
		struct mount *mount = &d->mounts[d->mount_count];

		if (strcmp(m->mnt_type, "fuse.bufferfs") ||
		    (*path && !has(m->mnt_dir, path)))
			continue;
		snprintf(mount->directory, sizeof(mount->directory), "%s",
			 m->mnt_dir);
		/* Those of another machine are not here. */
		if (*d->root)
			continue;
		load(mount);
		d->mount_count++;
	}
	if (mounts)
		endmntent(mounts);
}

/* To resolve a path is to ask a mount that may never answer: only what is on none
 * by its words alone is. */
void doctor_find_mounts(struct doctor *d)
{
	char path[PATH_MAX] = "", here[PATH_MAX];

	if (!d->directory) {
		find_mounts(d, "");
		return;
	}
	if (*d->directory == '/')
		snprintf(path, sizeof(path), "%s", d->directory);
	else if (!strcmp(d->directory, ".") && getcwd(here, sizeof(here)))
		snprintf(path, sizeof(path), "%s", here);
	if (*path)
		find_mounts(d, path);
	if (d->mount_count == 0 && realpath(d->directory, path))
		find_mounts(d, path);
}

/* As a shell takes it: put_text() writes what cannot be seen as \xNN, and that is
 * what it means between $' and '. */
static const char *quoted(const char *path)
{
	static char text[PATH_MAX + 8];
	size_t n = 0;

	for (const char *c = path;; c++) {
		if (!*c)
			return path;
		if (!isalnum((unsigned char)*c) && !strchr("/._-+@%:,", *c))
			break;
	}
	n = (size_t)snprintf(text, sizeof(text), "$'");
	for (; *path && n < sizeof(text) - 4; path++) {
		if (*path == '\'' || *path == '\\')
			text[n++] = '\\';
		text[n++] = *path;
	}
	text[n++] = '\'';
	text[n] = '\0';
	return text;
}

static void look_at_dead(const struct mount *m, struct finding *f)
{
	if (m->error == ETIMEDOUT) {
		finding_say(f, "%.400s does not answer", m->directory);
		finding_no(f, "bufferfs --reload %s", quoted(m->directory));
	} else if (m->error == ENOTCONN || m->error == ECONNABORTED) {
		finding_say(f, "%.400s is dead; the pool is still there",
			    m->directory);
		finding_no(f, "bufferfs %s", quoted(m->directory));
	} else {
		finding_say(f, "%.400s: %s", m->directory, strerror(m->error));
		finding_no(f, m->error == EACCES
				      ? "bufferfs -o allow_other DIR # or ask as "
					"the user who mounted"
				      : "bufferfs DIR");
	}
}

void look_at_mount(const struct mount *m, struct finding *f)
{
	char used[BYTES_TEXT_MAX], size[BYTES_TEXT_MAX];

	if (m->error) {
		look_at_dead(m, f);
		return;
	}
	print_bytes(m->used, used, sizeof(used));
	print_bytes(m->size, size, sizeof(size));
	finding_say(f, "%.300s: %s, %s of %s used, %u requests at work",
		    m->directory, m->datapath, used, size, m->requests);
	if (strcmp(m->datapath, "passthrough")) {
		const char *directory = quoted(m->directory);

		finding_no(f,
			   "umount %s && sudo bufferfs -o allow_other %s "
			   "# what is in it goes: copy it first",
			   directory, directory);
	} else if (strcmp(m->version, BFS_VERSION)) {
		finding_say(f, "%.300s is served by version %s, this is %s",
			    m->directory, m->version, BFS_VERSION);
		f->verdict = VERDICT_OFF;
		snprintf(f->change, sizeof(f->change), "bufferfs --reload %s",
			 quoted(m->directory));
	}
}
