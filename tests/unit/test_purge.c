/* SPDX-License-Identifier: MIT */
/*
 * Purgeable files against a model of XNU's rules: thousands of random changes,
 * purges and deaths of workers, each compared.
 */
#include "files.h"

#include "file_internal.h"
#include "purge.h"

#include <sys/resource.h>

enum { FILES = 24, STEPS = 8000, FILE_BYTES = 8192, RESTARTS_MAX = 100 };

/* What a buffer has to be like. */
struct model {
	uint64_t nodeid;
	bool fixed;
	uint32_t state;
	bool pages; /* it holds memory */
	char byte;  /* which all of its bytes are */
	uint64_t age;
	uint32_t count;
};

static struct model models[FILES];
static uint64_t clock_now;
static unsigned int restarts;
static uint64_t seed;

static unsigned int chance(unsigned int n)
{
	seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
	return (unsigned int)(seed >> 33) % n;
}

static bool is_volatile(const struct model *m)
{
	return (m->state & IOBUF_PURGEABLE_STATE_MASK) ==
	       IOBUF_PURGEABLE_VOLATILE;
}

static void model_empty(struct model *m)
{
	if (m->pages || m->state != IOBUF_PURGEABLE_EMPTY)
		m->count++;
	m->state = IOBUF_PURGEABLE_EMPTY;
	m->pages = false;
	m->byte = 0;
}

/* vm_object_purgable_control() of XNU, SET_STATE, in so many words. */
static void model_set(struct model *m, uint32_t control)
{
	switch (control & IOBUF_PURGEABLE_STATE_MASK) {
	case IOBUF_PURGEABLE_NONVOLATILE:
		if (m->state == IOBUF_PURGEABLE_EMPTY && m->fixed)
			m->pages = true;
		m->state = control;
		break;
	case IOBUF_PURGEABLE_VOLATILE:
		if (m->state == IOBUF_PURGEABLE_EMPTY && !m->pages)
			break;
		m->state = control;
		m->age = ++clock_now;
		break;
	case IOBUF_PURGEABLE_EMPTY:
		model_empty(m);
		break;
	default:
		break;
	}
}

/* Does a have to go before b? */
static bool goes_before(const struct model *a, const struct model *b)
{
	const uint32_t group_a = a->state & IOBUF_VOLATILE_GROUP_MASK;
	const uint32_t group_b = b->state & IOBUF_VOLATILE_GROUP_MASK;
	const bool lifo_a = a->state & IOBUF_VOLATILE_LIFO;
	const bool lifo_b = b->state & IOBUF_VOLATILE_LIFO;

	if (group_a != group_b)
		return group_a < group_b;
	if (lifo_a != lifo_b)
		return lifo_b;
	return lifo_a ? a->age > b->age : a->age < b->age;
}

static struct model *next_victim(void)
{
	struct model *victim = NULL;

	for (size_t i = 0; i < FILES; i++)
		if (is_volatile(&models[i]) &&
		    (!victim || goes_before(&models[i], victim)))
			victim = &models[i];
	return victim;
}

static void step_set(struct model *m)
{
	static const uint32_t states[] = {
		IOBUF_PURGEABLE_KEEP_CURRENT, IOBUF_PURGEABLE_NONVOLATILE,
		IOBUF_PURGEABLE_VOLATILE,     IOBUF_PURGEABLE_VOLATILE,
		IOBUF_PURGEABLE_VOLATILE,     IOBUF_PURGEABLE_EMPTY,
		0, /* not a state */
	};
	BFS_FILE struct bfs_file file = { 0 };
	uint32_t control = states[chance(COUNT_OF(states))], old = 77;
	enum bfs_changed changed;
	int r;

	if (control == IOBUF_PURGEABLE_VOLATILE)
		control |= IOBUF_VOLATILE_GROUP(chance(8)) |
			   (chance(2) ? IOBUF_VOLATILE_LIFO : 0);
	assert_int_equal(bfs_file_open(&fs, m->nodeid, O_RDWR, &file), 0);
	r = bfs_file_set_purgeable(&file, control, &old, &changed);
	assert_int_equal(r, control ? 0 : -EINVAL);
	assert_int_equal(old, control ? m->state : 77);
	if (control)
		model_set(m, control);
	assert_int_equal(bfs_record_purgeable(&file.record), m->state);
	assert_int_equal(file.record.purge_count, m->count);
}

static void step_write(struct model *m)
{
	char bytes[FILE_BYTES];
	size_t n = 0;

	m->byte = (char)('a' + chance(26));
	m->pages = true;
	memset(bytes, m->byte, sizeof(bytes));
	assert_int_equal(write_at(m->nodeid, 0, bytes, sizeof(bytes), &n), 0);
	assert_int_equal(n, sizeof(bytes));
}

static void step_purge(void)
{
	const uint64_t want = 1 + chance(2 * FILE_BYTES);
	struct model *victim;
	uint64_t freed = 0;

	while (freed < want && (victim = next_victim())) {
		freed += victim->pages ? FILE_BYTES : 0;
		model_empty(victim);
	}
	assert_int_equal(bfs_purge(&fs, want), freed);
	assert_int_equal(bfs_has_volatile(&fs), next_victim() != NULL);
}

/* A worker that died after it had decided, with the pages still there. */
static void die_while_purging(struct model *m)
{
	BFS_FILE struct bfs_file file = { 0 };
	struct bfs_record record;

	assert_int_equal(bfs_file_open(&fs, m->nodeid, O_RDWR, &file), 0);
	record = file.record;
	record.purgeable = IOBUF_PURGEABLE_EMPTY;
	record.flags |= BFS_RECORD_PURGING;
	record.purge_count++;
	assert_int_equal(bfs_file_store(&file, &record), 0);
	m->pages = true; /* it counts in any case */
	model_empty(m);
}

/* The next worker: of this mount, or of one that finds nothing but the pool. */
static void step_restart(bool adopts)
{
	if (restarts++ >= RESTARTS_MAX)
		return;
	die_while_purging(&models[chance(FILES)]);
	bfs_purge_queue_destroy(fs.purge);
	assert_int_equal(bfs_purge_queue_create(&fs.purge), 0);
	if (adopts) {
		memset(fs.shared->slots, 0,
		       fs.shared->slots_used * sizeof(fs.shared->slots[0]));
		fs.shared->slots_used = 0;
	}
	assert_int_equal(new_worker(), 0);
	if (adopts)
		bfs_purge_adopt(&fs);
	else
		bfs_purge_recover(&fs);
}

static void check_contents(const struct model *m)
{
	char bytes[FILE_BYTES];
	const struct stat st = attributes(m->nodeid);
	size_t n = 0;

	assert_int_equal(st.st_blocks > 0, m->pages);
	assert_int_equal(bfs_file_read(&fs, m->nodeid, 0, bytes, sizeof(bytes),
				       &n),
			 0);
	assert_int_equal(n, sizeof(bytes));
	for (size_t i = 0; i < n; i++)
		if (bytes[i] != m->byte)
			fail_msg("byte %zu is %d, not %d", i, bytes[i], m->byte);
}

static void make_models(void)
{
	memset(models, 0, sizeof(models));
	clock_now = restarts = 0;
	for (size_t i = 0; i < FILES; i++) {
		struct model *m = &models[i];
		char name[16];

		snprintf(name, sizeof(name), "f%zu", i);
		m->fixed = i % 2;
		m->nodeid = created_as(name, m->fixed ? "purgeable,capacity=8K"
						      : "purgeable");
		m->state = IOBUF_PURGEABLE_NONVOLATILE;
		if (m->fixed)
			m->pages = true;
		else
			assert_int_equal(truncate_to(m->nodeid, FILE_BYTES), 0);
	}
}

static void step(void)
{
	struct model *m = &models[chance(FILES)];

	switch (chance(64)) {
	case 0 ... 39:
		step_set(m);
		break;
	case 40 ... 52:
		step_write(m);
		break;
	case 53 ... 61:
		step_purge();
		break;
	default:
		if (chance(4) == 0)
			step_restart(chance(3) == 0);
	}
	check_contents(m);
	check_contents(&models[chance(FILES)]);
}

static void random_changes_agree_with_a_model_of_xnu(void **state)
{
	const char *given = getenv("SEED");

	(void)state;
	NEEDS_POOL();
	seed = given ? strtoull(given, NULL, 0) : (uint64_t)getpid();
	print_message("SEED=%llu\n", (unsigned long long)seed);
	make_models();
	for (int i = 0; i < STEPS; i++)
		step();
	for (size_t i = 0; i < FILES; i++)
		check_contents(&models[i]);
}

static uint64_t volatile_file(const char *name, const char *how)
{
	uint64_t nodeid = created_as(name, "purgeable");
	size_t n;

	assert_int_equal(write_at(nodeid, 0, "contents", 8, &n), 0);
	assert_int_equal(set(nodeid, "user.iobuf.purgeable", how), 0);
	return nodeid;
}

static void assert_empty(uint64_t nodeid)
{
	assert_xattr(nodeid, "user.iobuf.purgeable", "empty");
}

static void groups_go_in_turn_and_fifo_before_lifo(void **state)
{
	uint64_t order[6];

	(void)state;
	NEEDS_POOL();
	order[5] = volatile_file("last", "volatile:group=7");
	order[3] = volatile_file("old lifo", "volatile:group=2:lifo");
	order[1] = volatile_file("old fifo", "volatile:group=2");
	order[2] = volatile_file("young fifo", "volatile:group=2:fifo");
	order[0] = volatile_file("first", "volatile:lifo");
	order[4] = volatile_file("third group", "volatile:group=3");
	/* Young again: it goes first of its kind. */
	assert_int_equal(set(order[3], "user.iobuf.purgeable",
			     "volatile:group=2:lifo"),
			 0);
	for (size_t i = 0; i < COUNT_OF(order); i++) {
		assert_int_equal(bfs_purge(&fs, 1), 4096);
		assert_empty(order[i]);
	}
	assert_int_equal(bfs_purge(&fs, 1), 0);
}

static void only_what_is_volatile_takes_a_slot(void **state)
{
	uint64_t nodeid;

	(void)state;
	NEEDS_POOL();
	nodeid = volatile_file("f", "volatile");
	assert_int_equal(slots_taken(), 1);
	assert_int_equal(set(nodeid, "user.iobuf.purgeable", "nonvolatile"), 0);
	assert_int_equal(slots_taken(), 0);
	assert_int_equal(set(nodeid, "user.iobuf.purgeable", "volatile"), 0);
	assert_int_equal(bfs_purge(&fs, UINT64_MAX), 4096);
	assert_int_equal(slots_taken(), 0);
}

static void a_buffer_that_is_unlinked_leaves_the_queue(void **state)
{
	uint64_t nodeid;

	(void)state;
	NEEDS_POOL();
	nodeid = volatile_file("f", "volatile");
	opened(nodeid, false);
	assert_int_equal(bfs_unlink(&fs, BFS_ROOT_NODEID, "f", 0), 0);
	assert_true(bfs_has_volatile(&fs));
	closed(nodeid, false);
	bfs_file_forget(&fs, nodeid);
	assert_false(bfs_has_volatile(&fs));
	assert_int_equal(bfs_volatile_bytes(&fs), 0);
	bfs_node_forget(fs.nodes, nodeid, 1);
}

static void another_specification_takes_the_state_away(void **state)
{
	uint64_t nodeid;

	(void)state;
	NEEDS_POOL();
	nodeid = created_as("f", "purgeable");
	assert_int_equal(set(nodeid, "user.iobuf.purgeable", "volatile"), 0);
	assert_int_equal(configure(nodeid, "pageable"), 0);
	assert_false(bfs_has_volatile(&fs));
	assert_int_equal(configure(nodeid, "purgeable"), 0);
	assert_xattr(nodeid, "user.iobuf.purgeable", "nonvolatile");
}

static void states_are_for_purgeable_files_only(void **state)
{
	char text[64];
	uint64_t plain;
	struct bfs_entry dir;

	(void)state;
	NEEDS_POOL();
	plain = created("plain");
	assert_int_equal(bfs_mkdir(&fs, BFS_ROOT_NODEID, "dir", 0755, OWNER,
				   &dir),
			 0);
	assert_int_equal(set(plain, "user.iobuf.purgeable", "volatile"),
			 -EINVAL);
	assert_int_equal(get(plain, "user.iobuf.purgeable", text, sizeof(text)),
			 -ENODATA);
	assert_int_equal(set(dir.nodeid, "user.iobuf.purgeable", "volatile"),
			 -EINVAL);
	assert_int_equal(get(dir.nodeid, "user.iobuf.purgeable", text,
			     sizeof(text)),
			 -ENODATA);
}

static void a_request_that_no_pool_could_fulfil_purges_nothing(void **state)
{
	(void)state;
	NEEDS_POOL();
	volatile_file("f", "volatile");
	bfs_want_room(UINT64_C(1) << 60);
	assert_false(bfs_make_room(&fs, -ENOSPC));
	assert_true(bfs_has_volatile(&fs));
}

static void the_first_volatile_buffer_rings_the_bell(void **state)
{
	uint64_t rung = 0, nodeid;
	int fd;

	(void)state;
	NEEDS_POOL();
	fd = bfs_purge_queue_fd(fs.purge);
	assert_int_equal(read(fd, &rung, sizeof(rung)), -1);
	nodeid = volatile_file("f", "volatile");
	assert_int_equal(read(fd, &rung, sizeof(rung)), sizeof(rung));
	volatile_file("g", "volatile");
	assert_int_equal(read(fd, &rung, sizeof(rung)), -1);
	assert_int_equal(set(nodeid, "user.iobuf.purgeable", "nonvolatile"), 0);
}

static void what_stays_volatile_rings_no_bell_and_counts_its_bytes(void **state)
{
	uint64_t rung = 0, nodeid;
	int fd;

	(void)state;
	NEEDS_POOL();
	fd = bfs_purge_queue_fd(fs.purge);
	nodeid = volatile_file("f", "volatile");
	assert_int_equal(read(fd, &rung, sizeof(rung)), sizeof(rung));
	assert_int_equal(bfs_volatile_bytes(&fs), 4096);
	assert_int_equal(set(nodeid, "user.iobuf.direction", "in"), 0);
	assert_int_equal(read(fd, &rung, sizeof(rung)), -1);
	assert_int_equal(bfs_volatile_bytes(&fs), 4096);
}

static void a_buffer_that_went_with_its_worker_leaves_no_slot(void **state)
{
	(void)state;
	NEEDS_POOL();
	volatile_file("f", "volatile");
	assert_int_equal(slots_taken(), 1);
	/* The kernel's FORGET was with the worker that died. */
	assert_int_equal(unlinkat(fs.root_fd, "f", 0), 0);
	bfs_purge_queue_destroy(fs.purge);
	assert_int_equal(bfs_purge_queue_create(&fs.purge), 0);
	assert_int_equal(new_worker(), 0);
	bfs_purge_recover(&fs);
	assert_int_equal(slots_taken(), 0);
}

static void want_of_descriptors_leaves_a_buffer_in_the_queue(void **state)
{
	struct rlimit former, none;

	(void)state;
	NEEDS_POOL();
	volatile_file("f", "volatile");
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &former), 0);
	none = (struct rlimit){ 0, former.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	assert_int_equal(bfs_purge(&fs, UINT64_MAX), 0);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &former), 0);
	assert_true(bfs_has_volatile(&fs));
	assert_int_equal(bfs_purge(&fs, UINT64_MAX), 4096);
	assert_false(bfs_has_volatile(&fs));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		over_pool(random_changes_agree_with_a_model_of_xnu),
		over_pool(groups_go_in_turn_and_fifo_before_lifo),
		over_pool(only_what_is_volatile_takes_a_slot),
		over_pool(a_buffer_that_is_unlinked_leaves_the_queue),
		over_pool(another_specification_takes_the_state_away),
		over_pool(states_are_for_purgeable_files_only),
		over_pool(a_request_that_no_pool_could_fulfil_purges_nothing),
		over_pool(the_first_volatile_buffer_rings_the_bell),
		over_pool(a_buffer_that_went_with_its_worker_leaves_no_slot),
		over_pool(want_of_descriptors_leaves_a_buffer_in_the_queue),
		over_pool(what_stays_volatile_rings_no_bell_and_counts_its_bytes),
	};

	return RUN_TESTS("purge", tests);
}
