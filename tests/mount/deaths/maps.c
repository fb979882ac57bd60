/* SPDX-License-Identifier: MIT */
/*
 * maps.c - mappers and readers. Each process has a buffer that it maps as long as
 * it lives, and stores to; it knows all that must be there. The others open and
 * map it anew each time: what they see is of one moment.
 */
#include "deaths.h"

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#define MAP ".map"

enum { PAGES = 8, PAGE = 4096, WORDS = PAGE / 8 };

struct page {
	_Atomic uint64_t turn;    /* odd: being written */
	uint64_t words[WORDS - 2];
	_Atomic uint64_t sum;     /* of the words */
};

/* Of every kind, by the process's number; NULL: elastic. */
static const char *const specs[PROCESSES] = {
	NULL, "capacity=32K", "wired,capacity=32K", "contiguous,capacity=32K",
	"purgeable,capacity=32K", "wired,cache=writecombine,capacity=32K",
};

static struct {
	int fd;
	struct page *pages; /* NULL: none yet */
	uint64_t turns[PAGES];
} map;

static uint64_t word_of(unsigned int owner, uint64_t at_turn, unsigned int page,
			unsigned int i)
{
	return (at_turn * PAGES + page) * UINT64_C(0x9E3779B97F4A7C15) + owner +
	       i;
}

static uint64_t sum_of(const uint64_t *words)
{
	uint64_t sum = UINT64_C(0xcbf29ce484222325);

	for (unsigned int i = 0; i < WORDS - 2; i++)
		sum = (sum ^ words[i]) * UINT64_C(0x100000001b3);
	return sum;
}

static bool is_right(const struct page *p, unsigned int owner, unsigned int page)
{
	if (p->turn == 0)
		return true; /* nothing yet */
	for (unsigned int i = 0; i < WORDS - 2; i++)
		if (p->words[i] != word_of(owner, p->turn, page, i))
			return false;
	return p->sum == sum_of(p->words);
}

static void write_page(struct page *p, unsigned int page, uint64_t new_turn)
{
	p->turn = new_turn - 1;
	for (unsigned int i = 0; i < WORDS - 2; i++)
		p->words[i] = word_of(self, new_turn, page, i);
	p->sum = sum_of(p->words);
	p->turn = new_turn;
}

static bool allocate(int fd)
{
	const char *spec = specs[self % PROCESSES];

	return spec ? DONE(fsetxattr(fd, "user.iobuf", spec, strlen(spec), 0))
		    : DONE(fallocate(fd, 0, 0, PAGES * PAGE));
}

static void begin(void)
{
	int fd;

	WANT(fd = openat(dir, MAP, O_CREAT | O_EXCL | O_RDWR, 0644));
	if (fd < 0)
		return;
	if (allocate(fd)) {
		map.fd = fd;
		map.pages = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE,
				 MAP_SHARED, fd, 0);
		if (map.pages != MAP_FAILED) {
			memset(map.turns, 0, sizeof(map.turns));
			return;
		}
		tell("mmap", __LINE__, errno);
		map.pages = NULL;
	}
	WANT(unlinkat(dir, MAP, 0));
	close(fd);
}

/* Through the mapping all is there; by read, too. */
static void check_own(void)
{
	struct page copy;

	for (unsigned int i = 0; i < PAGES; i++) {
		IS(map.pages[i].turn == map.turns[i]);
		IS(is_right(&map.pages[i], self, i));
	}
	WANT(pread(map.fd, &copy, PAGE, (off_t)(turn % PAGES) * PAGE));
	IS(copy.turn == map.turns[turn % PAGES]);
	IS(is_right(&copy, self, turn % PAGES));
}

void map_play(void)
{
	static struct page copy;
	const unsigned int stored = turn % PAGES, written = (turn + 1) % PAGES;

	if (!map.pages)
		begin();
	if (!map.pages)
		return;
	check_own();
	write_page(&map.pages[stored], stored, map.turns[stored] += 2);
	/* A reader may look at any moment of the write. */
	map.turns[written] += 2;
	map.pages[written].turn = map.turns[written] - 1;
	write_page(&copy, written, map.turns[written]);
	WANT(pwrite(map.fd, (const char *)&copy + 8, PAGE - 8,
		    (off_t)written * PAGE + 8));
	map.pages[written].turn = map.turns[written];
	check_own();
	if (turn % 64 == 63)
		map_end(); /* another */
}

void map_end(void)
{
	if (!map.pages)
		return;
	check_own();
	munmap(map.pages, PAGES * PAGE);
	close(map.fd);
	map.pages = NULL;
	WANT(unlinkat(dir, MAP, 0));
}

/* What is read between two looks at the same even turn is right. */
static void read_page(int fd, const struct page *p, unsigned int owner,
		      unsigned int i)
{
	struct page copy;
	uint64_t before = p->turn;

	if (before % 2)
		return;
	memcpy(&copy, p, PAGE);
	atomic_thread_fence(memory_order_acquire);
	if (p->turn == before)
		IS(is_right(&copy, owner, i));
	before = p->turn;
	WANT(pread(fd, &copy, PAGE, (off_t)i * PAGE));
	atomic_thread_fence(memory_order_acquire);
	if (before % 2 == 0 && p->turn == before)
		IS(copy.turn == before && is_right(&copy, owner, i));
}

void read_others(void)
{
	const unsigned int owner = (self + 1 + turn % (PROCESSES - 1)) % PROCESSES;
	struct page *pages;
	struct stat st = { 0 };
	char path[32];
	int fd;

	snprintf(path, sizeof(path), "../own%u/" MAP, owner);
	fd = openat(dir, path, O_RDONLY);
	if (fd < 0) {
		if (errno != ENOENT) /* not there yet, or no more */
			tell("a buffer cannot be opened", __LINE__, errno);
		return;
	}
	WANT(fstat(fd, &st));
	pages = st.st_size == PAGES * PAGE
			? mmap(NULL, PAGES * PAGE, PROT_READ, MAP_SHARED, fd, 0)
			: MAP_FAILED;
	for (unsigned int i = 0; pages != MAP_FAILED && i < PAGES; i++)
		read_page(fd, &pages[i], owner, i);
	if (pages != MAP_FAILED)
		munmap(pages, PAGES * PAGE);
	close(fd);
}
