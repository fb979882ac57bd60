/* SPDX-License-Identifier: MIT */
/*
 * doctor_limits.c - how much the daemon may have, if this user starts it.
 */
#include "doctor.h"
#include "text.h"

#include <room.h>

#include <linux/capability.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* "Max locked memory   8388608   8388608   bytes": the hard one. false: there
 * is none. */
static bool hard_limit(const struct doctor *d, const char *name,
		       uint64_t *ret_limit)
{
	char text[FILE_MAX], soft[32], hard[32];
	const char *field;

	if (!doctor_read(d, "/proc/self/limits", text) ||
	    !(field = doctor_field(text, name)) ||
	    sscanf(field, "%31s %31s", soft, hard) != 2 ||
	    !strcmp(hard, "unlimited"))
		return false;
	*ret_limit = strtoull(hard, NULL, 10);
	return true;
}

/* By number, which everybody has, as limits.conf(5) writes it. */
static void raise_limit(struct finding *f, const char *item, const char *value)
{
	finding_no(f, "echo ':%u - %s %s' >>/etc/security/limits.d/bufferfs.conf # "
		   "and log in again", getuid(), item, value);
}

void look_at_locks(const struct doctor *d, struct finding *f)
{
	enum { ENOUGH = 1 << 30 };
	char bytes[BYTES_TEXT_MAX];
	uint64_t limit;

	if (doctor_can(d, CAP_IPC_LOCK) ||
	    !hard_limit(d, "Max locked memory", &limit)) {
		finding_say(f, "none: what memory there is can be wired");
		return;
	}
	print_bytes(limit, bytes, sizeof(bytes));
	finding_say(f, "%s can be wired, in all buffers together", bytes);
	if (limit < ENOUGH)
		raise_limit(f, "memlock", "unlimited");
}

void look_at_frames(const struct doctor *d, struct finding *f)
{
	if (doctor_is_root(d)) {
		finding_say(f, "can be seen: contiguous and masked buffers are "
			    "verified");
		return;
	}
	finding_say(f, "cannot be seen without CAP_SYS_ADMIN: there are no "
		    "contiguous and no masked buffers");
	finding_no(f, "sudo bufferfs -o allow_other DIR");
}

void look_at_files(const struct doctor *d, struct finding *f)
{
	enum { ENOUGH = 4096 };
	uint64_t limit;

	if (!hard_limit(d, "Max open files", &limit)) {
		finding_say(f, "no limit");
		return;
	}
	finding_say(f, "%llu: each wired buffer takes one",
		    (unsigned long long)limit);
	if (limit < ENOUGH)
		raise_limit(f, "nofile", "65536");
}

/* Versions of control groups: what says how much, and how to say "no limit". */
static const struct group_kind {
	const char *controller, *limit, *usage, *none;
} group_kinds[] = {
	{ "memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "-1" },
	{ "", "memory.max", "memory.current", "max" },
};

struct group {
	const struct group_kind *kind;
	struct bfs_group_path path;
	uint64_t limit, usage;
};

static bool read_bytes(const struct doctor *d, const char *directory,
		       const char *name, uint64_t *ret_bytes)
{
	char path[PATH_MAX], text[FILE_MAX], *end;

	if (snprintf(path, sizeof(path), "%s/%s", directory, name) >=
		    (int)sizeof(path) ||
	    !doctor_read(d, path, text))
		return false;
	*ret_bytes = strtoull(text, &end, 10);
	return end != text;
}

/* The tightest of a group and those above it; its path becomes that one's. */
static bool find_limit(const struct doctor *d, struct group *g)
{
	const uint64_t no_limit = UINT64_C(1) << 60;
	char *dir = g->path.dir, *tightest = NULL;
	uint64_t limit;

	g->limit = no_limit;
	for (char *end = dir + strlen(dir);; *end = '\0') {
		if (read_bytes(d, dir, g->kind->limit, &limit) &&
		    limit < g->limit) {
			g->limit = limit;
			free(tightest);
			tightest = strdup(dir);
		}
		end = strrchr(dir, '/');
		if (!end || strlen(dir) <= g->path.mount_length)
			break;
	}
	if (!tightest)
		return false;
	snprintf(dir, sizeof(g->path.dir), "%s", tightest);
	free(tightest);
	if (!read_bytes(d, dir, g->kind->usage, &g->usage))
		g->usage = 0;
	return true;
}

static bool find_group(const struct doctor *d, const struct group_kind *kind,
		       struct group *ret_group)
{
	FILE *groups = doctor_open(d, "/proc/self/cgroup");
	FILE *mounts = doctor_open(d, "/proc/self/mountinfo");
	bool found;

	ret_group->kind = kind;
	found = groups && mounts &&
		bfs_group_find(groups, mounts, kind->controller,
			       &ret_group->path) == 0 &&
		find_limit(d, ret_group);
	if (groups)
		fclose(groups);
	if (mounts)
		fclose(mounts);
	return found;
}

/* How much a pool is going to have: those that there are, else half of memory. */
static uint64_t pool_size(const struct doctor *d)
{
	char text[FILE_MAX];
	const char *total;
	uint64_t largest = 0;

	for (size_t i = 0; i < d->mount_count; i++)
		if (d->mounts[i].size > largest)
			largest = d->mounts[i].size;
	if (largest)
		return largest;
	total = doctor_read(d, "/proc/meminfo", text)
			? doctor_field(text, "MemTotal:")
			: NULL;
	return total ? strtoull(total, NULL, 10) * 1024 / 2 : 0;
}

void look_at_group(const struct doctor *d, struct finding *f)
{
	char limit[BYTES_TEXT_MAX], used[BYTES_TEXT_MAX], pool[BYTES_TEXT_MAX];
	const uint64_t size = pool_size(d);
	static struct group g;

	for (size_t i = 0; i < sizeof(group_kinds) / sizeof(group_kinds[0]); i++) {
		if (!find_group(d, &group_kinds[i], &g))
			continue;
		print_bytes(g.limit, limit, sizeof(limit));
		print_bytes(g.usage, used, sizeof(used));
		print_bytes(size, pool, sizeof(pool));
		finding_say(f, "limited to %s, %s used", limit, used);
		if (size < g.limit)
			return;
		finding_say(f, "limited to %s, less than a pool of %s: who fills "
			    "it is killed", limit, pool);
		finding_no(f, "echo %s >%s/%s # or mount with -o size=%lluM",
			   g.kind->none, g.path.dir, g.kind->limit,
			   (unsigned long long)(g.limit / 2 >> 20));
		return;
	}
	finding_say(f, "no limit");
}
