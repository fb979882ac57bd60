/* SPDX-License-Identifier: MIT */
/*
 * contiguous.c - physical runs, made from user space on a tmpfs.
 *
 * The kernel hands out what was freed last on the same CPU. So: take more huge
 * folios than are wanted into a scratch file, look for a run among their
 * frames, and hand that run over folio by folio: punch it out of the scratch,
 * fault the next 2 MiB of the target, which gets the folio just freed. Below
 * 2 MiB one fallocate(2) of a power of two is a run already.
 *
 *   collect -> choose -> hand over -> trim
 *      ^---- not found, or broken by somebody else's allocation: collect more,
 *            then compact memory, then give up
 *
 * Nothing is believed: every frame is read back from pagemap.
 */
#include "physical.h"

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Zones that are tried last and first: the boundary is at 4 GiB on x86. */
#define LOW_ZONE_FRAMES (UINT64_C(1) << 20)

enum { SMALL_TRIES = 16 };

/* Memory that is left to everybody else. */
#define RESERVE_BYTES (UINT64_C(1) << 30)

/* A huge folio that the scratch holds. */
struct slot {
	uint64_t frame;
	size_t index; /* in the scratch, in huge pages */
};

struct build {
	const struct iobuf_physical *want;
	size_t count; /* huge pages of the target */
	int pagemap;
	struct iobuf_area target, scratch, parked;
	struct slot *slots; /* held by the scratch */
	size_t slot_count, slot_size;
	size_t next;         /* index of the scratch that was never used */
	struct slot *chosen; /* within slots; `count` of them, ascending */
	uint64_t longest;    /* bytes of the longest run seen */
};

static _Thread_local struct {
	int (*check)(void *context);
	void *context;
} interrupt;

void iobuf_set_interrupt_check(int (*check)(void *context), void *context)
{
	interrupt.check = check;
	interrupt.context = context;
}

static int interruption(void)
{
	return interrupt.check ? interrupt.check(interrupt.context) : 0;
}

static bool is_interrupted(void)
{
	return interruption() < 0;
}

static uint64_t meminfo(const char *key)
{
	char text[4096];
	int fd = open("/proc/meminfo", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	const char *line;

	if (fd >= 0)
		close(fd);
	if (n <= 0)
		return 0;
	text[n] = '\0';
	line = strstr(text, key);
	return line ? strtoull(line + strlen(key), NULL, 10) * 1024 : 0;
}

static bool memory_is_short(void)
{
	return meminfo("MemAvailable:") < RESERVE_BYTES;
}

static _Thread_local struct {
	int (*check)(void *context, uint64_t bytes);
	void *context;
} memory;

void iobuf_set_memory_check(int (*check)(void *context, uint64_t bytes),
			    void *context)
{
	memory.check = check;
	memory.context = context;
}

static bool may_take(uint64_t bytes)
{
	return !memory.check || memory.check(memory.context, bytes) == 0;
}

static int remember(struct build *b, uint64_t frame, size_t index)
{
	if (b->slot_count == b->slot_size) {
		size_t size = b->slot_size ? b->slot_size * 2 : 256;
		struct slot *larger = realloc(b->slots, size * sizeof(*larger));

		if (!larger)
			return -ENOMEM;
		b->slots = larger;
		b->slot_size = size;
	}
	b->slots[b->slot_count++] = (struct slot){ frame, index };
	return 0;
}

/* Let the scratch hold one folio more. */
static int take_one(struct build *b, uint64_t *ret_frame)
{
	int r;

	if (is_interrupted())
		return -EINTR;
	if ((b->next + 1) * IOBUF_HUGE_BYTES > b->scratch.mapping.size ||
	    (b->next % 32 == 0 && memory_is_short()) ||
	    !may_take(IOBUF_HUGE_BYTES))
		return -ENOMEM;
	r = iobuf_area_reserve(b->pagemap, &b->scratch, b->next, ret_frame);
	if (r == 0)
		r = remember(b, *ret_frame, b->next);
	b->next++;
	return r;
}

/* Until `count` are held. What cannot be had is not an error yet. */
static int collect(struct build *b, size_t count)
{
	uint64_t frame;
	int r = 0;

	while (b->slot_count < count && r == 0)
		r = take_one(b, &frame);
	return r == -EINTR ? r : 0;
}

static int by_frame(const void *a, const void *b)
{
	uint64_t x = ((const struct slot *)a)->frame;
	uint64_t y = ((const struct slot *)b)->frame;

	return (x > y) - (x < y);
}

static bool is_low(uint64_t frame)
{
	return frame < LOW_ZONE_FRAMES;
}

static bool starts_aligned(const struct build *b, uint64_t frame)
{
	return !(frame * iobuf_page_bytes() & (b->want->alignment - 1));
}

/* The highest run of `count` aligned folios within one zone. */
static bool choose_run(struct build *b)
{
	size_t run = 0;

	b->chosen = NULL;
	for (size_t i = 0; i < b->slot_count; i++) {
		const struct slot *s = &b->slots[i];
		bool follows = i && s->frame == s[-1].frame + IOBUF_PAGES_PER_HUGE &&
			       is_low(s->frame) == is_low(s[-1].frame);

		if (!iobuf_frame_fits(s->frame, b->want) ||
		    !iobuf_frame_fits(s->frame + IOBUF_PAGES_PER_HUGE - 1, b->want))
			run = 0;
		else
			run = follows ? run + 1 : 1;
		if (run * IOBUF_HUGE_BYTES > b->longest)
			b->longest = run * IOBUF_HUGE_BYTES;
		if (run >= b->count &&
		    starts_aligned(b, b->slots[i + 1 - b->count].frame))
			b->chosen = &b->slots[i + 1 - b->count];
	}
	return b->chosen;
}

/* Any folios that fit the mask; they are moved to the front. */
static bool choose_any(struct build *b)
{
	size_t n = 0;

	for (size_t i = 0; i < b->slot_count && n < b->count; i++) {
		struct slot s = b->slots[i];

		if (!iobuf_frame_fits(s.frame, b->want) ||
		    !iobuf_frame_fits(s.frame + IOBUF_PAGES_PER_HUGE - 1, b->want))
			continue;
		b->slots[i] = b->slots[n];
		b->slots[n++] = s;
	}
	b->chosen = n == b->count ? b->slots : NULL;
	return b->chosen;
}

static bool choose(struct build *b)
{
	qsort(b->slots, b->slot_count, sizeof(b->slots[0]), by_frame);
	return b->want->contiguous ? choose_run(b) : choose_any(b);
}

/* Give back what was not chosen, but for zones that the kernel tries before
 * the run's: their free folios would be handed out instead. */
static void release_rest(struct build *b)
{
	struct slot *end = b->chosen + b->count;
	bool low = is_low(b->chosen[0].frame);

	for (struct slot *s = b->slots; s < b->slots + b->slot_count; s++)
		if ((s < b->chosen || s >= end) &&
		    !(low && !is_low(s->frame)))
			iobuf_area_punch(&b->scratch, s->index);
}

static void close_pipe(int (*ends)[2])
{
	if ((*ends)[0] >= 0) {
		close((*ends)[0]);
		close((*ends)[1]);
	}
}

/* Put the folio that the scratch has at `index` into place `at` of the target,
 * where a wrong one is: that one is held by a pipe meanwhile. */
static int swap_in(struct build *b, size_t at, size_t index, uint64_t *ret_frame)
{
	__attribute__((cleanup(close_pipe))) int ends[2] = { -1, -1 };
	loff_t offset = (loff_t)(at * IOBUF_HUGE_BYTES);

	if (pipe2(ends, O_CLOEXEC) < 0)
		return -errno;
	if (splice(b->target.fd, &offset, ends[1], NULL, 1, 0) != 1)
		return -EAGAIN;
	iobuf_area_punch(&b->target, at);
	iobuf_area_punch(&b->scratch, index);
	return iobuf_area_fault(b->pagemap, &b->target, at, ret_frame);
}

/* Somebody else's free folio came first: take more until ours shows. */
static int hunt(struct build *b, size_t at, uint64_t wanted)
{
	const size_t limit = b->next + 512;
	uint64_t frame = 0, got = 0;
	int r = 0;

	while (r == 0 && b->next < limit) {
		if (is_interrupted())
			return -EINTR;
		if (!may_take(IOBUF_HUGE_BYTES))
			return -EAGAIN;
		r = iobuf_area_reserve(b->pagemap, &b->scratch, b->next++, &frame);
		if (r == 0 && frame == wanted)
			r = swap_in(b, at, b->next - 1, &got);
		if (r == 0 && got == wanted)
			return 0;
	}
	return r == -EINTR || r == -ENOSPC ? r : -EAGAIN;
}

/* -EAGAIN: the run is broken. -ENOMEM: with a huge page just freed the target
 * got none, because its filesystem gives none. */
static int hand_over(struct build *b)
{
	uint64_t frame;
	int r = 0;

	release_rest(b);
	for (size_t i = 0; i < b->count && r == 0; i++) {
		if (is_interrupted())
			return -EINTR;
		iobuf_area_punch(&b->scratch, b->chosen[i].index);
		r = iobuf_area_fault(b->pagemap, &b->target, i, &frame);
		if (r == -ENOMEM && i > 0)
			r = -EAGAIN;
		if (r == 0 && frame != b->chosen[i].frame)
			r = hunt(b, i, b->chosen[i].frame);
	}
	return r;
}

/* Empty target and scratch for another attempt. */
static int start_over(struct build *b)
{
	const uint64_t size = b->count * IOBUF_HUGE_BYTES;

	b->slot_count = b->next = 0;
	if (ftruncate(b->scratch.fd, 0) < 0 ||
	    ftruncate(b->scratch.fd, (off_t)b->scratch.mapping.size) < 0 ||
	    ftruncate(b->target.fd, 0) < 0 ||
	    ftruncate(b->target.fd, (off_t)size) < 0)
		return -errno;
	return 0;
}

static void compact_memory(void)
{
	int fd = open("/proc/sys/vm/compact_memory", O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	if (write(fd, "1", 1) < 0) /* then there is less to choose from */
		errno = 0;
	close(fd);
}

/* Take the memory that the mask excludes out of the way, uncleared and
 * unmapped, until a folio turns up that fits. */
static int park(struct build *b)
{
	const off_t chunk = (off_t)(64 * IOBUF_HUGE_BYTES);
	uint64_t frame = 0;
	off_t at = 0;
	int r = 0;

	if (!b->want->mask || b->parked.fd >= 0)
		return 0;
	if ((r = iobuf_area_open(&b->parked, b->scratch.mapping.size)) < 0)
		return r;
	while (r == 0 && !iobuf_frame_fits(frame, b->want)) {
		if (memory_is_short() || !may_take((uint64_t)chunk) ||
		    fallocate(b->parked.fd, 0, at, chunk) < 0)
			return 0; /* what is there has to do */
		at += chunk;
		r = take_one(b, &frame);
	}
	return r == -EINTR ? r : 0;
}

/* How much to collect at each attempt, in folios; and whether to compact. */
static int attempt(struct build *b, unsigned int number)
{
	const size_t n = b->count;
	const size_t amounts[] = { n + n / 4 + 4, 2 * n + 32, 2 * n + 256,
				   SIZE_MAX,      SIZE_MAX,   SIZE_MAX };
	int r;

	if (number >= sizeof(amounts) / sizeof(amounts[0]))
		return -ENOMEM;
	if (number && (r = start_over(b)) < 0)
		return r;
	if (number >= 4)
		compact_memory();
	if (number && (r = park(b)) < 0)
		return r;
	if ((r = collect(b, amounts[number])) < 0)
		return r;
	return choose(b) ? hand_over(b) : -EAGAIN;
}

/* One huge page is a run: take the first that comes. */
static int try_single(struct build *b)
{
	uint64_t frame;
	int r = iobuf_area_fault(b->pagemap, &b->target, 0, &frame);

	if (r == 0 && iobuf_frame_fits(frame, b->want) &&
	    iobuf_frame_fits(frame + IOBUF_PAGES_PER_HUGE - 1, b->want) &&
	    starts_aligned(b, frame))
		return 0;
	iobuf_area_punch(&b->target, 0);
	return r == -ENOSPC ? r : -EAGAIN;
}

static int build_huge(struct build *b)
{
	int r = b->count == 1 ? try_single(b) : -EAGAIN;

	for (unsigned int i = 0; r == -EAGAIN; i++)
		r = attempt(b, i);
	return r;
}

static void end_build(struct build *b)
{
	iobuf_memory_unmap(&b->target.mapping);
	iobuf_area_close(&b->scratch);
	iobuf_area_close(&b->parked);
	free(b->slots);
	if (b->pagemap >= 0)
		close(b->pagemap);
}

/* Whole huge pages, then the rest of the last one is cut off. */
static int build_from_huge(struct build *b, uint64_t size)
{
	const uint64_t whole = iobuf_round_up(size, IOBUF_HUGE_BYTES);
	int r;

	b->count = whole / IOBUF_HUGE_BYTES;
	if (whole > meminfo("MemTotal:"))
		return -ENOMEM;
	if (ftruncate(b->target.fd, (off_t)whole) < 0)
		return -errno;
	if ((r = iobuf_area_open(&b->scratch, meminfo("MemTotal:") &
						~(IOBUF_HUGE_BYTES - 1))) < 0 ||
	    (r = iobuf_memory_map(b->target.fd, whole, &b->target.mapping)) < 0)
		return r;
	madvise(b->target.mapping.base, whole, MADV_HUGEPAGE);
	r = build_huge(b);
	if (r == 0 && whole != size && ftruncate(b->target.fd, (off_t)size) < 0)
		r = -errno;
	return r;
}

static uint64_t power_of_two(uint64_t n)
{
	uint64_t p = iobuf_page_bytes();

	while (p < n)
		p *= 2;
	return p;
}

/* One fallocate of a power of two: naturally aligned and in one piece. */
static int try_small(struct build *b, uint64_t size, uint64_t power)
{
	struct iobuf_mapping *m = &b->target.mapping;
	uint64_t longest = 0;
	int r;

	if (ftruncate(b->target.fd, (off_t)power) < 0 ||
	    fallocate(b->target.fd, 0, 0, (off_t)power) < 0)
		return -errno;
	if (ftruncate(b->target.fd, (off_t)size) < 0)
		return -errno;
	if ((r = iobuf_memory_map(b->target.fd, size, m)) < 0)
		return r;
	r = madvise(m->base, size, MADV_POPULATE_WRITE) < 0
		    ? -ENOMEM
		    : iobuf_frames_verify(b->pagemap, m, b->want, &longest);
	if (longest > b->longest)
		b->longest = longest;
	iobuf_memory_unmap(m);
	return r;
}

static int build_small(struct build *b, uint64_t size, uint64_t power)
{
	int kept[SMALL_TRIES], count = 0, r = -ENOMEM;

	/* What did not do is kept aside, or the next try gets it again. */
	while (r == -ENOMEM && count < SMALL_TRIES && !is_interrupted()) {
		r = try_small(b, size, power);
		if (r == 0 || ftruncate(b->target.fd, 0) < 0)
			break;
		if ((kept[count] = iobuf_physical_file()) < 0)
			break;
		if (ftruncate(kept[count], (off_t)power) < 0 ||
		    fallocate(kept[count], 0, 0, (off_t)power) < 0)
			r = -ENOMEM;
		count++;
	}
	while (count > 0)
		close(kept[--count]);
	return is_interrupted() ? -EINTR : r;
}

static int build(struct build *b, uint64_t size)
{
	const uint64_t least = size > b->want->alignment ? size
							 : b->want->alignment;
	uint64_t power;
	int r = -ENOMEM;

	if ((b->pagemap = iobuf_frames_open()) < 0)
		return b->pagemap;
	if (least < IOBUF_HUGE_BYTES &&
	    (power = power_of_two(least)) < IOBUF_HUGE_BYTES)
		r = build_small(b, size, power);
	return r == -ENOMEM ? build_from_huge(b, size) : r;
}

/* The free lists that are last in, first out are those of one CPU. */
static bool bind_to_cpu(cpu_set_t *ret_before)
{
	cpu_set_t one;
	int cpu = sched_getcpu();

	if (cpu < 0 || sched_getaffinity(0, sizeof(*ret_before), ret_before) < 0)
		return false;
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	return sched_setaffinity(0, sizeof(one), &one) == 0;
}

/* Builds take turns; who waits for one can be interrupted too. */
static int take_turn(pthread_mutex_t *turn)
{
	enum { LOOK_NS = 50 * 1000 * 1000 };
	struct timespec until;
	int r = 0;

	while (r == 0 && pthread_mutex_trylock(turn) != 0) {
		if ((r = interruption()) < 0)
			break;
		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_nsec += LOOK_NS;
		until.tv_sec += until.tv_nsec / 1000000000;
		until.tv_nsec %= 1000000000;
		if (pthread_mutex_timedlock(turn, &until) == 0)
			break;
	}
	return r;
}

int iobuf_physical_build(int fd, uint64_t size, const struct iobuf_physical *want,
			 uint64_t *ret_longest)
{
	static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;
	struct build b = {
		.want = want,
		.pagemap = -1,
		.target.fd = fd,
		.scratch.fd = -1,
		.parked.fd = -1,
	};
	struct stat before;
	cpu_set_t cpus;
	bool bound;
	int r;

	if (fstat(fd, &before) < 0)
		return -errno;
	if ((r = take_turn(&turn)) < 0)
		return r;
	bound = bind_to_cpu(&cpus);
	r = build(&b, size);
	if (bound)
		sched_setaffinity(0, sizeof(cpus), &cpus);
	end_build(&b);
	pthread_mutex_unlock(&turn);
	if (r < 0)
		iobuf_memory_restore(fd, &before);
	*ret_longest = b.longest;
	return r;
}
