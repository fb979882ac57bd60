/* SPDX-License-Identifier: MIT */
#include "caller.h"

#include "fd.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Capabilities in a user namespace of one's own are not those meant. */
static bool shares_user_namespace(pid_t pid)
{
	struct stat ours, theirs;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/ns/user", pid);
	return stat("/proc/self/ns/user", &ours) == 0 &&
	       stat(path, &theirs) == 0 && ours.st_ino == theirs.st_ino &&
	       ours.st_dev == theirs.st_dev;
}

/* /proc/PID/status: "Key:" and values, a line each. What does not fit in it is
 * a right that the caller does not have. */
struct status {
	char text[16384];
};

static void load_status(pid_t pid, struct status *ret_status)
{
	char path[64];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	BFS_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, ret_status->text,
			       sizeof(ret_status->text) - 1);
	ret_status->text[n > 0 ? n : 0] = '\0';
}

/* The values of a key, given as "\nKey:"; "" without it. */
static const char *find_values(const struct status *status, const char *key)
{
	const char *line = strstr(status->text, key);

	return line ? line + strlen(key) : "";
}

static bool has_capability(const struct status *status, unsigned int capability)
{
	return strtoull(find_values(status, "\nCapEff:"), NULL, 16) >>
		       capability & 1;
}

static bool lists_group(const char *values, gid_t group)
{
	char *end;

	for (;; values = end) {
		unsigned long value;

		values += strspn(values, " \t");
		if (*values < '0' || *values > '9') /* the line ends */
			return false;
		value = strtoul(values, &end, 10);
		if (value == group)
			return true;
	}
}

bool bfs_has_sys_admin(pid_t pid)
{
	struct status status;

	if (pid <= 0 || !shares_user_namespace(pid))
		return false;
	load_status(pid, &status);
	return has_capability(&status, CAP_SYS_ADMIN);
}

/* Real, effective, saved, filesystem: the last one counts. -1: not there. */
static unsigned int last_id(const struct status *status, const char *key)
{
	const char *ids = find_values(status, key);

	for (int i = 0; i < 3; i++) {
		ids += strspn(ids, " \t");
		ids += strcspn(ids, " \t\n");
	}
	ids += strspn(ids, " \t");
	return *ids >= '0' && *ids <= '9' ? (unsigned int)strtoul(ids, NULL, 10)
					  : (unsigned int)-1;
}

bool bfs_load_caller_uid(pid_t pid, uid_t *ret_uid)
{
	struct status status;
	uid_t uid;

	if (pid <= 0)
		return false;
	load_status(pid, &status);
	if ((uid = last_id(&status, "\nUid:")) == (uid_t)-1)
		return false;
	*ret_uid = uid;
	return true;
}

bool bfs_may_own(pid_t pid, uid_t owner)
{
	struct status status;

	if (pid <= 0)
		return false;
	load_status(pid, &status);
	return (status.text[0] && last_id(&status, "\nUid:") == owner) ||
	       (shares_user_namespace(pid) &&
		has_capability(&status, CAP_FOWNER));
}

bool bfs_may_keep_set_group_id(pid_t pid, gid_t group)
{
	struct status status;

	if (pid <= 0)
		return false;
	load_status(pid, &status);
	if (shares_user_namespace(pid) && has_capability(&status, CAP_FSETID))
		return true;
	return last_id(&status, "\nGid:") == group ||
	       lists_group(find_values(&status, "\nGroups:"), group);
}

pid_t bfs_process_of(pid_t thread)
{
	struct status status;

	load_status(thread, &status);
	return (pid_t)strtol(find_values(&status, "\nTgid:"), NULL, 10);
}

bool bfs_shares_process_ids(pid_t pid)
{
	struct status status;
	const char *ids;

	load_status(pid, &status);
	/* Its id in our namespace, then in those below ours: just one is ours. */
	ids = find_values(&status, "\nNSpid:");
	ids += strspn(ids, " \t");
	ids += strspn(ids, "0123456789");
	return status.text[0] && (*ids == '\n' || *ids == '\0');
}

enum uid_of { REAL, EFFECTIVE, SAVED, UIDS };

/* Users that have no number in our user namespace all look alike. */
static bool is_same_user(const struct bfs_uid_map *map, unsigned long a,
			 unsigned long b)
{
	return a == b && a - map->inside < map->count;
}

static void find_uids(const struct status *status, unsigned long uids[UIDS])
{
	const char *values = find_values(status, "\nUid:");
	char *end;

	for (int i = 0; i < UIDS; i++, values = end)
		uids[i] = strtoul(values, &end, 10);
}

bool bfs_may_signal(pid_t pid, pid_t target)
{
	struct status caller, other;
	unsigned long by[UIDS], to[UIDS];
	struct bfs_uid_map map;

	load_status(pid, &caller);
	load_status(target, &other);
	if (!caller.text[0] || !other.text[0])
		return false;
	if (has_capability(&caller, CAP_KILL) && shares_user_namespace(pid))
		return true;
	if (!bfs_load_uid_map(&map))
		return false;
	find_uids(&caller, by);
	find_uids(&other, to);
	if (!is_same_user(&map, by[REAL], to[REAL]) &&
	    !is_same_user(&map, by[REAL], to[SAVED]) &&
	    !is_same_user(&map, by[EFFECTIVE], to[REAL]) &&
	    !is_same_user(&map, by[EFFECTIVE], to[SAVED]))
		return false;
	/* They all look like nobody, who may have a number. We may signal all
	 * that the users of our namespace may, and nobody outside. */
	return map.count == UINT32_MAX || kill(target, 0) == 0;
}

bool bfs_load_uid_map(struct bfs_uid_map *ret_map)
{
	char text[64] = "";
	BFS_FD int fd = open("/proc/self/uid_map", O_RDONLY | O_CLOEXEC);

	return fd >= 0 && read(fd, text, sizeof(text) - 1) > 0 &&
	       sscanf(text, "%u %u %u", &ret_map->inside, &ret_map->outside,
		      &ret_map->count) == 3;
}
