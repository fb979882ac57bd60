/* SPDX-License-Identifier: MIT */
/*
 * room.c - one function for each kind of place, and one table row for each
 * version of control groups.
 *
 * Memory that the kernel takes back by itself before it fails, page cache of
 * other files, is room. What is on swap is not: a buffer that nobody misses is
 * given up before anybody's memory is paged out.
 */
#include "room.h"

#include "fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

/* More than any memory: how version 1 says that there is no limit. */
#define NO_LIMIT (UINT64_C(1) << 60)

enum { USAGE, STAT, LIMIT, LIMIT_TOO, FILES };

static const struct bfs_group_kind {
	const char *controller;
	const char *files[FILES];
	const char *reclaimable[2]; /* keys of STAT */
} group_kinds[] = {
	{ .controller = "memory", /* version 1 */
	  .files = { [USAGE] = "memory.usage_in_bytes",
		     [STAT] = "memory.stat",
		     [LIMIT] = "memory.limit_in_bytes" },
	  .reclaimable = { "total_inactive_file", "total_active_file" } },
	{ .controller = "", /* version 2 */
	  .files = { [USAGE] = "memory.current",
		     [STAT] = "memory.stat",
		     [LIMIT] = "memory.max",
		     [LIMIT_TOO] = "memory.high" },
	  .reclaimable = { "inactive_file", "active_file" } },
};

bool bfs_room_field(const char *text, const char *key, uint64_t *ret_bytes)
{
	const size_t n = strlen(key);
	const char *line = text, *end;
	char *after;
	uint64_t value;

	for (; line; line = (end = strchr(line, '\n')) ? end + 1 : NULL) {
		if (strncmp(line, key, n))
			continue;
		line += n;
		line += *line == ':';
		if (*line != ' ' && *line != '\t')
			continue;
		value = strtoull(line, &after, 10);
		if (after == line)
			return false;
		*ret_bytes = strncmp(after, " kB", 3) ? value : value * 1024;
		return true;
	}
	return false;
}

/* The whole of a small file of the kernel's, as text. */
static int read_text(int fd, char text[static BFS_ROOM_TEXT_MAX])
{
	ssize_t n = pread(fd, text, BFS_ROOM_TEXT_MAX - 1, 0);

	if (n < 0)
		return -errno;
	text[n] = '\0';
	return 0;
}

/* "max", or bytes. */
static int read_bytes(int fd, uint64_t *ret_bytes)
{
	char text[BFS_ROOM_TEXT_MAX], *end;
	int r = read_text(fd, text);

	if (r < 0)
		return r;
	if (!strncmp(text, "max", 3)) {
		*ret_bytes = UINT64_MAX;
		return 0;
	}
	*ret_bytes = strtoull(text, &end, 10);
	return end == text ? -EPROTO : 0;
}

static int look_at_pool(const struct bfs_place *place, struct bfs_room *ret_room)
{
	struct statvfs vfs;

	if (fstatvfs(place->fds[0], &vfs) < 0)
		return -errno;
	*ret_room = (struct bfs_room){
		.total = (uint64_t)vfs.f_blocks * vfs.f_frsize,
		.left = (uint64_t)vfs.f_bavail * vfs.f_frsize,
	};
	return 0;
}

static int look_at_machine(const struct bfs_place *place,
			   struct bfs_room *ret_room)
{
	char text[BFS_ROOM_TEXT_MAX];
	struct bfs_room room;
	int r = read_text(place->fds[0], text);

	if (r < 0)
		return r;
	if (!bfs_room_field(text, "MemTotal", &room.total) ||
	    !bfs_room_field(text, "MemAvailable", &room.left) ||
	    !bfs_room_field(text, "SwapFree", &room.swap))
		return -EPROTO;
	*ret_room = room;
	return 0;
}

static int read_limit(const struct bfs_place *place, uint64_t *ret_limit)
{
	uint64_t limit = UINT64_MAX, one;
	int r;

	for (int i = LIMIT; i < FILES; i++) {
		if (place->fds[i] < 0)
			continue;
		if ((r = read_bytes(place->fds[i], &one)) < 0)
			return r;
		if (one < limit)
			limit = one;
	}
	*ret_limit = limit;
	return 0;
}

static int look_at_group(const struct bfs_place *place, struct bfs_room *ret_room)
{
	char text[BFS_ROOM_TEXT_MAX];
	uint64_t limit, usage, reclaimable;
	int r;

	if ((r = read_limit(place, &limit)) < 0)
		return r;
	if (limit >= NO_LIMIT) {
		*ret_room = (struct bfs_room){ 0 };
		return 0;
	}
	if ((r = read_bytes(place->fds[USAGE], &usage)) < 0 ||
	    (r = read_text(place->fds[STAT], text)) < 0)
		return r;
	for (int i = 0; i < 2; i++)
		if (bfs_room_field(text, place->kind->reclaimable[i],
				   &reclaimable))
			usage -= reclaimable < usage ? reclaimable : usage;
	*ret_room = (struct bfs_room){
		.total = limit,
		.left = usage < limit ? limit - usage : 0,
	};
	return 0;
}

int bfs_place_look(const struct bfs_place *place, struct bfs_room *ret_room)
{
	return place->look(place, ret_room);
}

/* Is `word` one of a list with commas? */
static bool has_word(const char *list, const char *word)
{
	const size_t n = strlen(word);

	for (; list; list = (list = strchr(list, ',')) ? list + 1 : NULL)
		if (!strncmp(list, word, n) &&
		    (list[n] == '\0' || list[n] == ','))
			return true;
	return false;
}

/* From "7:cpu,memory:/a/b" the path, when the controllers are ours. */
static bool parse_cgroup(char *line, const char *controller, char *path,
			 size_t size)
{
	char *controllers = strchr(line, ':'), *at;

	if (!controllers || !(at = strchr(++controllers, ':')))
		return false;
	*at++ = '\0';
	at[strcspn(at, "\n")] = '\0';
	if (!(*controller ? has_word(controllers, controller) : !*controllers) ||
	    strlen(at) >= size)
		return false;
	strcpy(path, at);
	return true;
}

/* \040 and its like, as the kernel writes blanks into paths. */
static void unescape(char *text)
{
	char *to = text;

	for (; *text; text++) {
		if (*text == '\\' && strspn(text + 1, "01234567") >= 3) {
			*to++ = (char)((text[1] - '0') << 6 |
				       (text[2] - '0') << 3 | (text[3] - '0'));
			text += 3;
		} else {
			*to++ = *text;
		}
	}
	*to = '\0';
}

/* From a line of mountinfo: what is mounted, where, if it is the hierarchy. */
static bool parse_mount(char *line, const char *controller, char **ret_root,
			char **ret_point)
{
	char *rest = strstr(line, " - "), *words[5], *type, *save;

	if (!rest)
		return false;
	*rest = '\0';
	for (int i = 0; i < 5; i++)
		if (!(words[i] = strtok_r(i ? NULL : line, " ", &save)))
			return false;
	if (!(type = strtok_r(rest + 3, " \n", &save)) ||
	    strcmp(type, *controller ? "cgroup" : "cgroup2"))
		return false;
	strtok_r(NULL, " \n", &save); /* the source */
	rest = strtok_r(NULL, " \n", &save);
	if (*controller && (!rest || !has_word(rest, controller)))
		return false;
	unescape(*ret_root = words[3]);
	unescape(*ret_point = words[4]);
	return true;
}

/* What of `path` is below `root`; NULL when it is elsewhere. */
static const char *below(const char *path, const char *root)
{
	const size_t n = strlen(root);

	if (!strcmp(root, "/"))
		return strcmp(path, "/") ? path : "";
	return !strncmp(path, root, n) && (path[n] == '/' || path[n] == '\0')
		       ? path + n
		       : NULL;
}

int bfs_group_find(FILE *cgroups, FILE *mounts, const char *controller,
		   struct bfs_group_path *ret_path)
{
	char line[2 * sizeof(ret_path->dir)], path[sizeof(ret_path->dir)];
	char *root, *point;
	const char *rest;
	bool found = false;

	while (!found && fgets(line, sizeof(line), cgroups))
		found = parse_cgroup(line, controller, path, sizeof(path));
	/* "/../x": outside of what this process may see. */
	if (!found || !strncmp(path, "/..", 3))
		return -ENOENT;
	while (fgets(line, sizeof(line), mounts)) {
		if (!parse_mount(line, controller, &root, &point) ||
		    !(rest = below(path, root)) ||
		    strlen(point) + strlen(rest) >= sizeof(ret_path->dir))
			continue;
		ret_path->mount_length = (unsigned int)strlen(point);
		strcpy(ret_path->dir, point);
		strcat(ret_path->dir, rest);
		return 0;
	}
	return -ENOENT;
}

static void close_stream(FILE **stream)
{
	if (*stream)
		fclose(*stream);
}

int bfs_group_find_own(const char *controller, struct bfs_group_path *ret_path)
{
	__attribute__((cleanup(close_stream))) FILE *cgroups =
		fopen("/proc/self/cgroup", "re");
	__attribute__((cleanup(close_stream))) FILE *mounts =
		fopen("/proc/self/mountinfo", "re");

	return cgroups && mounts
		       ? bfs_group_find(cgroups, mounts, controller, ret_path)
		       : -ENOENT;
}

static void close_place(struct bfs_place *place)
{
	/* The pool's descriptor is borrowed. */
	for (int i = 0; i < FILES && place->look != look_at_pool; i++)
		bfs_fd_cleanup(&place->fds[i]);
}

static struct bfs_place *add_place(struct bfs_places *places, const char *name)
{
	struct bfs_place *place = &places->list[places->count++];

	*place = (struct bfs_place){ .name = name, .fds = { -1, -1, -1, -1 } };
	return place;
}

/* The directory of one group; left out when it has no limits to tell. */
static void add_group(struct bfs_places *places,
		      const struct bfs_group_kind *kind, const char *dir)
{
	struct bfs_place *place = add_place(places, "the control group");
	char path[sizeof(((struct bfs_group_path *)0)->dir) + 64];

	place->look = look_at_group;
	place->kind = kind;
	for (int i = 0; i < FILES; i++) {
		if (!kind->files[i])
			continue;
		snprintf(path, sizeof(path), "%s/%s", dir, kind->files[i]);
		place->fds[i] = open(path, O_RDONLY | O_CLOEXEC);
	}
	if (place->fds[USAGE] < 0 || place->fds[STAT] < 0 ||
	    place->fds[LIMIT] < 0) {
		close_place(place);
		places->count--;
	}
}

void bfs_places_add_groups(struct bfs_places *places, const char *controller,
			   const struct bfs_group_path *path)
{
	const size_t max = sizeof(places->list) / sizeof(places->list[0]);
	const struct bfs_group_kind *kind = group_kinds;
	struct bfs_group_path at = *path;

	while (strcmp(kind->controller, controller))
		kind++;
	while (places->count < max) {
		char *slash = strrchr(at.dir, '/');

		add_group(places, kind, at.dir);
		if (strlen(at.dir) <= at.mount_length || !slash)
			break;
		*slash = '\0';
	}
}

void bfs_places_open(struct bfs_places *places, int root_fd)
{
	struct bfs_group_path path;
	struct bfs_place *place;
	int fd = open("/proc/meminfo", O_RDONLY | O_CLOEXEC);

	bfs_places_close(places);
	if (root_fd >= 0) {
		place = add_place(places, "the pool");
		place->look = look_at_pool;
		place->fds[0] = root_fd;
	}
	if (fd >= 0) {
		place = add_place(places, "the machine");
		place->look = look_at_machine;
		place->fds[0] = fd;
	}
	for (size_t i = 0; i < sizeof(group_kinds) / sizeof(*group_kinds); i++) {
		const char *controller = group_kinds[i].controller;

		if (bfs_group_find_own(controller, &path) == 0)
			bfs_places_add_groups(places, controller, &path);
	}
}

void bfs_places_close(struct bfs_places *places)
{
	while (places->count > 0)
		close_place(&places->list[--places->count]);
}
