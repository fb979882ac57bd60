/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "room.h"

#include <sys/statvfs.h>

static FILE *text_file(const char *text)
{
	FILE *file = fmemopen((void *)text, strlen(text), "r");

	assert_non_null(file);
	return file;
}

static struct bfs_group_path found;

static int find(const char *cgroups, const char *mounts, const char *controller)
{
	FILE *c = text_file(cgroups), *m = text_file(mounts);
	int r = bfs_group_find(c, m, controller, &found);

	fclose(c);
	fclose(m);
	return r;
}

/* 0 and the directory and mount point that are expected; or the error. */
static void finds(const char *cgroups, const char *mounts,
		  const char *controller, const char *dir, const char *point)
{
	assert_int_equal(find(cgroups, mounts, controller), 0);
	assert_string_equal(found.dir, dir);
	assert_int_equal(found.mount_length, strlen(point));
	assert_memory_equal(found.dir, point, strlen(point));
}

static const char v1_groups[] = "12:cpu,cpuacct:/elsewhere\n"
				"5:hugetlb,memory:/a/b\n"
				"1:name=systemd:/memory\n"
				"0::/two\n";
static const char v1_mounts[] =
	"23 1 8:1 / / rw - ext4 /dev/sda1 rw\n"
	"34 31 0:31 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n"
	"35 31 0:32 / /sys/fs/cgroup/memory rw,relatime shared:9 master:2 - "
	"cgroup cgroup rw,hugetlb,memory\n"
	"41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";

static void a_version_1_group_is_where_its_controller_is_mounted(void **state)
{
	(void)state;
	finds(v1_groups, v1_mounts, "memory", "/sys/fs/cgroup/memory/a/b",
	      "/sys/fs/cgroup/memory");
}

static void a_version_2_group_is_where_cgroup2_is_mounted(void **state)
{
	(void)state;
	finds(v1_groups, v1_mounts, "", "/sys/fs/cgroup/unified/two",
	      "/sys/fs/cgroup/unified");
}

static void the_root_group_is_the_mount_point(void **state)
{
	(void)state;
	finds("0::/\n", v1_mounts, "", "/sys/fs/cgroup/unified",
	      "/sys/fs/cgroup/unified");
}

/* As in a container: what is mounted is a part of the hierarchy. */
static void a_mounts_root_is_no_part_of_the_path(void **state)
{
	(void)state;
	finds("0::/box/one/in\n",
	      "41 31 0:38 /box/one /cg rw - cgroup2 cgroup2 rw\n", "",
	      "/cg/in", "/cg");
	finds("0::/box/one\n",
	      "41 31 0:38 /box/one /cg rw - cgroup2 cgroup2 rw\n", "", "/cg",
	      "/cg");
}

static void of_two_mounts_the_one_with_the_group_counts(void **state)
{
	(void)state;
	finds("0::/box/two\n",
	      "40 31 0:38 /box/one /cg1 rw - cgroup2 cgroup2 rw\n"
	      "41 31 0:38 /box/tw /cg3 rw - cgroup2 cgroup2 rw\n"
	      "42 31 0:38 /box /cg2 rw - cgroup2 cgroup2 rw\n",
	      "", "/cg2/two", "/cg2");
}

static void blanks_in_a_mount_point_are_read_as_blanks(void **state)
{
	(void)state;
	finds("0::/x\n", "41 31 0:38 / /my\\040cg rw - cgroup2 cgroup2 rw\n",
	      "", "/my cg/x", "/my cg");
}

static void a_group_out_of_sight_is_enoent(void **state)
{
	static const struct {
		const char *cgroups, *mounts, *controller;
	} rows[] = {
		{ "0::/../x\n", v1_mounts, "" },
		{ "0::/..\n", v1_mounts, "" },
		{ "0::/x\n", "41 31 0:38 /y /cg rw - cgroup2 cgroup2 rw\n", "" },
		{ "0::/x\n", "23 1 8:1 / / rw - ext4 /dev/sda1 rw\n", "" },
		{ "0::/x\n", v1_mounts, "memory" },
		{ "5:memory:/x\n", v1_mounts, "" },
		{ "5:memory2:/x\n", v1_mounts, "memory" },
		{ "5:memory:/x\n",
		  "1 2 0:3 / /cg rw - cgroup cgroup rw,memory2\n", "memory" },
		{ "nonsense", "nonsense", "memory" },
		{ "0::/x\n", "1 2 - cgroup2\n - cgroup2 - \n1 2 0:3 / - cgroup2",
		  "" },
		{ ":", "-", "" },
	};
	const struct bfs_group_path before = { .dir = "untouched" };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		found = before;
		if (find(rows[i].cgroups, rows[i].mounts, rows[i].controller) !=
		    -ENOENT)
			fail_msg("row %zu: %s", i, found.dir);
		assert_memory_equal(&found, &before, sizeof(found));
	}
}

static void a_path_that_is_too_long_is_enoent(void **state)
{
	char cgroups[5000], name[4093];

	(void)state;
	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	snprintf(cgroups, sizeof(cgroups), "0::/%s\n", name);
	assert_int_equal(find(cgroups, v1_mounts, ""), -ENOENT);
}

static void a_field_is_a_whole_word_at_the_start_of_a_line(void **state)
{
	static const char text[] = "MemTotal:       24683520 kB\n"
				   "total_inactive_file 7\n"
				   "inactive_file 4096\n"
				   "bad \nempty:\n"
				   "last 9";
	uint64_t value = 1;

	(void)state;
	assert_true(bfs_room_field(text, "inactive_file", &value));
	assert_int_equal(value, 4096);
	assert_true(bfs_room_field(text, "MemTotal", &value));
	assert_int_equal(value, 24683520ull * 1024);
	assert_true(bfs_room_field(text, "last", &value));
	assert_int_equal(value, 9);
	assert_false(bfs_room_field(text, "Mem", &value));
	assert_false(bfs_room_field(text, "active_file", &value));
	assert_false(bfs_room_field(text, "empty", &value));
	assert_false(bfs_room_field("", "x", &value));
	assert_int_equal(value, 9);
}

/* A directory of made-up control groups. */
static char dir[] = "/tmp/bfs-room-XXXXXX";

static void put(const char *name, const char *text)
{
	char path[128];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	file = fopen(path, "we");
	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

static void make_groups(void)
{
	char path[128];

	strcpy(dir + strlen(dir) - 6, "XXXXXX");
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/in", dir);
	assert_int_equal(mkdir(path, 0700), 0);
}

static void remove_groups(void)
{
	char command[64];

	snprintf(command, sizeof(command), "rm -r %s", dir);
	assert_int_equal(system(command), 0);
}

static void look(const struct bfs_places *places, unsigned int i,
		 uint64_t total, uint64_t left)
{
	struct bfs_room room = { 1, 1, 0 };

	assert_true(i < places->count);
	assert_int_equal(bfs_place_look(&places->list[i], &room), 0);
	assert_int_equal(room.total, total);
	assert_int_equal(room.left, left);
}

static void open_groups(struct bfs_places *places, const char *controller)
{
	struct bfs_group_path path = { .mount_length =
					       (unsigned int)strlen(dir) };

	snprintf(path.dir, sizeof(path.dir), "%s/in", dir);
	bfs_places_add_groups(places, controller, &path);
}

static void page_cache_of_a_version_1_group_is_room(void **state)
{
	struct bfs_places places = { 0 };

	(void)state;
	make_groups();
	put("in/memory.limit_in_bytes", "1000000\n");
	put("in/memory.usage_in_bytes", "900000\n");
	put("in/memory.stat", "inactive_file 1\nactive_file 1\n"
	    "total_inactive_file 200000\ntotal_active_file 50000\n");
	open_groups(&places, "memory");
	assert_int_equal(places.count, 1);
	look(&places, 0, 1000000, 350000);
	bfs_places_close(&places);
	remove_groups();
}

static void each_level_up_to_the_mount_point_is_looked_at(void **state)
{
	struct bfs_places places = { 0 };

	(void)state;
	make_groups();
	put("in/memory.limit_in_bytes", "9223372036854771712\n");
	put("in/memory.usage_in_bytes", "4096\n");
	put("in/memory.stat", "");
	put("memory.limit_in_bytes", "8192\n");
	put("memory.usage_in_bytes", "4096\n");
	put("memory.stat", "");
	open_groups(&places, "memory");
	assert_int_equal(places.count, 2);
	look(&places, 0, 0, 0);
	look(&places, 1, 8192, 4096);
	/* A limit that comes later counts from then on. */
	put("in/memory.limit_in_bytes", "5000\n");
	look(&places, 0, 5000, 904);
	bfs_places_close(&places);
	remove_groups();
}

static void the_lower_of_a_version_2_groups_limits_counts(void **state)
{
	struct bfs_places places = { 0 };

	(void)state;
	make_groups();
	put("in/memory.max", "max\n");
	put("in/memory.high", "max\n");
	put("in/memory.current", "4096\n");
	put("in/memory.stat", "anon 9\ninactive_file 1024\nactive_file 1024\n");
	open_groups(&places, "");
	assert_int_equal(places.count, 1); /* the root has no limits */
	look(&places, 0, 0, 0);
	put("in/memory.max", "8192\n");
	look(&places, 0, 8192, 6144);
	put("in/memory.high", "4096\n");
	look(&places, 0, 4096, 2048);
	bfs_places_close(&places);
	remove_groups();
}

static void a_group_over_its_limit_has_no_room(void **state)
{
	struct bfs_places places = { 0 };

	(void)state;
	make_groups();
	put("in/memory.max", "4096\n");
	put("in/memory.current", "8192\n");
	put("in/memory.stat", "inactive_file 1024\n");
	open_groups(&places, "");
	look(&places, 0, 4096, 0);
	/* What is told at different times need not fit together. */
	put("in/memory.stat", "inactive_file 10000\n");
	look(&places, 0, 4096, 4096);
	bfs_places_close(&places);
	remove_groups();
}

static void a_group_that_says_nothing_is_eproto(void **state)
{
	struct bfs_places places = { 0 };
	struct bfs_room room = { 1, 2, 0 };

	(void)state;
	make_groups();
	put("in/memory.max", "");
	put("in/memory.current", "8192\n");
	put("in/memory.stat", "");
	open_groups(&places, "");
	assert_int_equal(bfs_place_look(&places.list[0], &room), -EPROTO);
	assert_int_equal(room.left, 2);
	bfs_places_close(&places);
	remove_groups();
}

static void levels_are_bounded_and_no_descriptor_is_lost(void **state)
{
	struct bfs_places places = { 0 };
	struct bfs_group_path path = { .mount_length = 1 };
	const unsigned int before = open_fds();
	char command[256];

	(void)state;
	make_groups();
	snprintf(command, sizeof(command),
		 "cd %s && for i in $(seq 30); do mkdir d && cd d && "
		 "for f in max current stat; do echo 1 >memory.$f; done; done",
		 dir);
	assert_int_equal(system(command), 0);
	strcpy(path.dir, dir);
	path.mount_length = (unsigned int)strlen(dir);
	for (int i = 0; i < 30; i++)
		strcat(path.dir, "/d");
	bfs_places_add_groups(&places, "", &path);
	assert_int_equal(places.count, COUNT_OF(places.list));
	bfs_places_close(&places);
	assert_int_equal(open_fds(), before);
	remove_groups();
}

static void the_pool_and_the_machine_are_places(void **state)
{
	struct bfs_places places = { 0 };
	const unsigned int before = open_fds();
	int root = open("/dev/shm", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct statvfs vfs;
	struct bfs_room room;

	(void)state;
	bfs_places_open(&places, root);
	bfs_places_open(&places, root);
	assert_true(places.count >= 2);
	assert_int_equal(bfs_place_look(&places.list[0], &room), 0);
	assert_int_equal(fstatvfs(root, &vfs), 0);
	assert_int_equal(room.total, vfs.f_blocks * vfs.f_frsize);
	assert_true(room.left <= room.total);
	assert_int_equal(bfs_place_look(&places.list[1], &room), 0);
	assert_true(room.total > 0 && room.left > 0 && room.left <= room.total);
	bfs_places_close(&places);
	assert_true(fstatvfs(root, &vfs) == 0);
	close(root);
	assert_int_equal(open_fds(), before);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			a_version_1_group_is_where_its_controller_is_mounted),
		cmocka_unit_test(a_version_2_group_is_where_cgroup2_is_mounted),
		cmocka_unit_test(the_root_group_is_the_mount_point),
		cmocka_unit_test(a_mounts_root_is_no_part_of_the_path),
		cmocka_unit_test(of_two_mounts_the_one_with_the_group_counts),
		cmocka_unit_test(blanks_in_a_mount_point_are_read_as_blanks),
		cmocka_unit_test(a_group_out_of_sight_is_enoent),
		cmocka_unit_test(a_path_that_is_too_long_is_enoent),
		cmocka_unit_test(a_field_is_a_whole_word_at_the_start_of_a_line),
		cmocka_unit_test(page_cache_of_a_version_1_group_is_room),
		cmocka_unit_test(each_level_up_to_the_mount_point_is_looked_at),
		cmocka_unit_test(the_lower_of_a_version_2_groups_limits_counts),
		cmocka_unit_test(a_group_over_its_limit_has_no_room),
		cmocka_unit_test(a_group_that_says_nothing_is_eproto),
		cmocka_unit_test(levels_are_bounded_and_no_descriptor_is_lost),
		cmocka_unit_test(the_pool_and_the_machine_are_places),
	};

	return RUN_TESTS("room", tests);
}
