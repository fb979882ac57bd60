/* SPDX-License-Identifier: MIT */
/* The monitor's thread and its numbers; purging is made up. */
#include "unit.h"

#include "fs.h"
#include "pressure.h"
#include "purge.h"
#include "room.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/eventfd.h>

#define MIB (UINT64_C(1) << 20)

uint64_t __wrap_bfs_purge(struct bfs_fs *fs, uint64_t bytes);
bool __wrap_bfs_has_volatile(const struct bfs_fs *fs);
uint64_t __wrap_bfs_volatile_bytes(const struct bfs_fs *fs);

/* One volatile buffer: a file, of which as much goes as is asked for. */
static atomic_int volatile_file = -1;
static _Atomic uint64_t volatile_bytes;
static int purged_fds[2]; /* a pipe: the bytes that were asked for */

uint64_t __wrap_bfs_purge(struct bfs_fs *fs, uint64_t bytes)
{
	uint64_t left = volatile_bytes;

	(void)fs;
	left -= bytes < left ? bytes : left;
	if (ftruncate(volatile_file, (off_t)left) < 0)
		abort();
	volatile_bytes = left;
	if (write(purged_fds[1], &bytes, sizeof(bytes)) != sizeof(bytes))
		abort();
	return bytes;
}

bool __wrap_bfs_has_volatile(const struct bfs_fs *fs)
{
	(void)fs;
	return volatile_bytes > 0;
}

uint64_t __wrap_bfs_volatile_bytes(const struct bfs_fs *fs)
{
	(void)fs;
	return volatile_bytes;
}

static struct bfs_fs fs;

/* The thread, once for all tests; on a pool of 64 MiB that nobody else sees. */
static bool start(void)
{
	static struct bfs_shared shared = {
		.config = { .reserve = 16 * MIB },
	};
	static const struct bfs_pressure_triggers none = { -1, -1 };

	if (fs.shared)
		return true;
	if (unshare(CLONE_NEWNS) < 0 ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("pool", "/mnt", "tmpfs", 0, "size=64M") < 0)
		return false;
	fs.shared = &shared;
	fs.root_fd = open("/mnt", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(bfs_purge_queue_create(&fs.purge), 0);
	volatile_file = openat(fs.root_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC,
			       0600);
	assert_true(volatile_file >= 0);
	assert_int_equal(pipe(purged_fds), 0);
	assert_int_equal(bfs_pressure_start(&fs, &none), 0);
	return true;
}

static void become_volatile(uint64_t bytes)
{
	assert_int_equal(posix_fallocate(volatile_file, 0, (off_t)bytes), 0);
	volatile_bytes = bytes;
	eventfd_write(bfs_purge_queue_fd(fs.purge), 1);
}

static uint64_t next_purge(void)
{
	uint64_t bytes;

	assert_int_equal(read(purged_fds[0], &bytes, sizeof(bytes)),
			 sizeof(bytes));
	return bytes;
}

static void what_is_missing_of_the_pools_reserve_is_purged(void **state)
{
	(void)state;
	if (!start())
		SKIP("mounting is not allowed");
	become_volatile(58 * MIB);
	assert_int_equal(next_purge(), 10 * MIB);
	assert_int_equal(volatile_bytes, 48 * MIB);
}

static void who_fills_the_pool_past_the_daemon_finds_room(void **state)
{
	static const char bytes[1 << 16];
	int fd;

	(void)state;
	if (!start())
		SKIP("mounting is not allowed");
	fd = openat(fs.root_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	for (uint64_t at = 0; at < 40 * MIB; at += sizeof(bytes))
		assert_int_equal(write(fd, bytes, sizeof(bytes)),
				 sizeof(bytes));
	close(fd);
	while (volatile_bytes > 24 * MIB)
		next_purge();
}

static void reserves_are_bounded_both_ways(void **state)
{
	static const struct {
		uint64_t asked, total, reserve;
	} rows[] = {
		{ BFS_RESERVE_DEFAULT, 64 * MIB, 16 * MIB },
		{ BFS_RESERVE_DEFAULT, 256 * MIB, 32 * MIB },
		{ BFS_RESERVE_DEFAULT, 1024 * MIB, 64 * MIB },
		{ BFS_RESERVE_DEFAULT, 64 * 1024 * MIB, 256 * MIB },
		{ BFS_RESERVE_DEFAULT, 4096, 1024 },
		{ 0, 64 * MIB, 0 },
		{ 4 * MIB, 64 * MIB, 4 * MIB },
		{ 63 * MIB, 64 * MIB, 32 * MIB },
		{ UINT64_MAX - 1, 64 * MIB, 32 * MIB },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++)
		assert_int_equal(bfs_pressure_reserve(rows[i].asked,
						      rows[i].total),
				 rows[i].reserve);
}

static void pauses_end_before_the_room_can_be_used_up(void **state)
{
	static const struct {
		struct bfs_room room;
		uint64_t ns;
	} rows[] = {
		{ { 100, 0, 0 }, 500000 },
		{ { 1000000000, 16000000, 0 }, 500000 },
		{ { 1000000000, 320000000, 0 }, 10000000 },
		{ { UINT64_MAX, UINT64_MAX, 0 }, 1000000000 },
		{ { 0, 0, 0 }, 1000000000 }, /* without a limit */
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++)
		assert_int_equal(bfs_pressure_pause_ns(&rows[i].room),
				 rows[i].ns);
}

static void pressure_that_cannot_be_had_is_an_errno(void **state)
{
	const unsigned int before = open_fds();
	uint32_t window = 2000;
	int fd;

	(void)state;
	assert_int_equal(bfs_pressure_trigger_open("/no/such/file", 100, &window),
			 -ENOENT);
	/* A stall longer than the window is none that the kernel takes. */
	fd = bfs_pressure_trigger_open("/proc/pressure/memory", 3000, &window);
	assert_true(fd < 0);
	assert_int_equal(window, 2000);
	assert_int_equal(open_fds(), before);
}

static void a_window_is_made_longer_where_that_takes_no_privilege(void **state)
{
	uint32_t window = 500;
	int fd = bfs_pressure_trigger_open("/proc/pressure/memory", 100, &window);

	(void)state;
	if (fd < 0)
		SKIP("the kernel tells nothing of memory pressure");
	assert_true(window == 500 || window == 2000);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reserves_are_bounded_both_ways),
		cmocka_unit_test(pauses_end_before_the_room_can_be_used_up),
		cmocka_unit_test(pressure_that_cannot_be_had_is_an_errno),
		cmocka_unit_test(
			a_window_is_made_longer_where_that_takes_no_privilege),
		cmocka_unit_test(what_is_missing_of_the_pools_reserve_is_purged),
		cmocka_unit_test(who_fills_the_pool_past_the_daemon_finds_room),
	};

	return RUN_TESTS("pressure", tests);
}
