/* SPDX-License-Identifier: MIT */
/*
 * pressure.c - one loop. What it takes to purge has been opened and touched
 * before: a thread that waits for memory is no help against having none.
 */
#include "pressure.h"

#include "clock.h"
#include "fs.h"
#include "log.h"
#include "purge.h"
#include "room.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

#define NS_PER_MS UINT64_C(1000000)
#define MIB (UINT64_C(1) << 20)

/* How fast memory may be used up. */
static const uint64_t bytes_per_ns = 8;

/* What the thread waits for. */
enum { VOLATILE, SYSTEM, GROUP, FDS };

static struct monitor {
	struct bfs_fs *fs;
	struct pollfd fds[FDS]; /* fd -1: not there */
	struct bfs_places places;
	uint64_t opened_ns;       /* when `places` was */
	uint64_t largest_reserve; /* seen, bytes */
} monitor;

uint64_t bfs_pressure_reserve(uint64_t asked, uint64_t total)
{
	uint64_t reserve = total / 16;

	if (asked != BFS_RESERVE_DEFAULT)
		return asked < total / 2 ? asked : total / 2;
	if (reserve < 32 * MIB)
		reserve = total / 4 < 32 * MIB ? total / 4 : 32 * MIB;
	return reserve < 256 * MIB ? reserve : 256 * MIB;
}

uint64_t bfs_pressure_pause_ns(const struct bfs_room *room)
{
	const uint64_t pause = room->left / 4 / bytes_per_ns;

	if (room->total == 0 || pause > BFS_NS_PER_S)
		return BFS_NS_PER_S;
	return pause < NS_PER_MS / 2 ? NS_PER_MS / 2 : pause;
}

static void purge(struct monitor *m, uint64_t bytes, const char *why)
{
	uint64_t given = bfs_purge(m->fs, bytes);

	bfs_log(LOG_DEBUG, "%s: purged %llu bytes of %llu", why,
		(unsigned long long)given, (unsigned long long)bytes);
}

/* Processes have waited for memory. */
static void relieve(struct monitor *m)
{
	uint64_t bytes = bfs_volatile_bytes(m->fs) / 8;

	if (bytes < m->largest_reserve)
		bytes = m->largest_reserve;
	purge(m, bytes ? bytes : 1, "memory pressure");
}

/* Keep the reserve of a place, and say when to look again. */
static void watch_place(struct monitor *m, struct bfs_place *place)
{
	struct bfs_room room;
	uint64_t reserve;

	if (m->fs->shared->config.reserve == 0 ||
	    bfs_place_look(place, &room) < 0)
		room = (struct bfs_room){ 0 }; /* or the group was removed */
	reserve = room.total ? bfs_pressure_reserve(
				       m->fs->shared->config.reserve, room.total)
			     : 0;
	if (reserve > m->largest_reserve)
		m->largest_reserve = reserve;
	if (room.left < reserve) {
		purge(m, reserve - room.left, place->name);
		room.left = reserve;
	}
	place->due_ns = bfs_now_ns() + bfs_pressure_pause_ns(&room);
}

/* Look at what is due. Returns the time until the next is. */
static struct timespec watch_places(struct monitor *m)
{
	uint64_t now = bfs_now_ns(), next = now + BFS_NS_PER_S - 1;

	for (unsigned int i = 0; i < m->places.count; i++) {
		struct bfs_place *place = &m->places.list[i];

		if (place->due_ns <= now)
			watch_place(m, place);
		if (place->due_ns < next)
			next = place->due_ns;
	}
	now = bfs_now_ns();
	return (struct timespec){ .tv_nsec = next > now ? (long)(next - now) : 0 };
}

/* The first buffer became volatile: perhaps we are in another group by now. */
static void wake(struct monitor *m)
{
	const uint64_t now = bfs_now_ns();

	if (now - m->opened_ns < BFS_NS_PER_S)
		return;
	m->opened_ns = now;
	bfs_places_open(&m->places, m->fs->root_fd);
}

/* Is there something to watch for? Else the next one to come rings. */
static bool is_awake(struct monitor *m)
{
	uint64_t count;

	if (bfs_has_volatile(m->fs))
		return true;
	if (read(bfs_purge_queue_fd(m->fs->purge), &count, sizeof(count)) < 0)
		return false;
	return bfs_has_volatile(m->fs);
}

static void serve_events(struct monitor *m)
{
	bool pressure = false;

	if (m->fds[VOLATILE].revents)
		wake(m);
	for (int i = SYSTEM; i <= GROUP; i++) {
		if (m->fds[i].revents & POLLERR) { /* the group is gone */
			close(m->fds[i].fd);
			m->fds[i].fd = -1;
		} else if (m->fds[i].revents & POLLPRI) {
			pressure = true;
		}
	}
	if (pressure && bfs_has_volatile(m->fs))
		relieve(m);
}

/*
 * Before everybody else where that is allowed: who uses memory up does so while
 * we wait for a CPU. It is a matter of microseconds unless there is much to be
 * purged.
 */
static void come_first(void)
{
	const struct sched_param lowest = { .sched_priority = 1 };

	if (pthread_setschedparam(pthread_self(), SCHED_RR, &lowest) != 0)
		setpriority(PRIO_PROCESS, (id_t)gettid(), -20);
}

/* So that the stack is there when it is wanted. */
static void touch_stack(void)
{
	volatile char stack[64 * 1024];

	for (size_t i = 0; i < sizeof(stack); i += 1024)
		stack[i] = 1;
}

/*
 * While awake it does not listen to the bell: a client that makes its buffer
 * volatile and nonvolatile over and over rings it once a pause at most.
 */
static void *run(void *argument)
{
	struct monitor *m = argument;
	struct pollfd *fds = m->fds;
	struct timespec pause;
	bool awake = false;

	touch_stack();
	come_first();
	for (;;) {
		awake = is_awake(m) || awake;
		m->fds[VOLATILE].fd = awake ? -1
					    : bfs_purge_queue_fd(m->fs->purge);
		if (awake)
			pause = watch_places(m);
		m->fds[VOLATILE].revents = 0;
		if (ppoll(fds, FDS, awake ? &pause : NULL, NULL) > 0)
			serve_events(m);
		awake = m->fds[VOLATILE].revents != 0;
	}
	return NULL;
}

int bfs_pressure_start(struct bfs_fs *fs,
		       const struct bfs_pressure_triggers *triggers)
{
	struct monitor *m = &monitor;
	pthread_t thread;
	int r;

	m->fs = fs;
	m->fds[VOLATILE].events = POLLIN;
	m->fds[SYSTEM].events = m->fds[GROUP].events = POLLPRI;
	m->fds[SYSTEM].fd = triggers->system;
	m->fds[GROUP].fd = triggers->group;
	bfs_places_open(&m->places, fs->root_fd);
	r = pthread_create(&thread, NULL, run, m);
	if (r)
		return -r;
	pthread_setname_np(thread, "pressure");
	pthread_detach(thread);
	return 0;
}
