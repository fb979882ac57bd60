/* SPDX-License-Identifier: MIT */
#include "account.h"

#include "file_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

/* A hash table of rows, open addressing; a row without buffers is free. */
struct bfs_accounts {
	struct bfs_account_row *rows;
	size_t size, used; /* size: a power of two */
	uint64_t seed;     /* clients choose tags: not to make them collide */
};

static uint64_t hash_of(const struct bfs_accounts *a,
			const struct bfs_account_key *key)
{
	uint64_t h = a->seed;

	for (const char *p = key->tag; *p; p++)
		h = (h ^ (unsigned char)*p) * UINT64_C(0x100000001b3);
	h ^= (uint64_t)key->uid << 32 | (uint32_t)key->task;
	h ^= (uint64_t)key->kind << 1 | key->everyone;
	h *= UINT64_C(0x9E3779B97F4A7C15);
	return h ^ h >> 32;
}

static bool is_same_key(const struct bfs_account_key *a,
			const struct bfs_account_key *b)
{
	return a->kind == b->kind && a->everyone == b->everyone &&
	       a->uid == b->uid && a->task == b->task && !strcmp(a->tag, b->tag);
}

static struct bfs_account_row *find_row(const struct bfs_accounts *a,
					const struct bfs_account_key *key)
{
	size_t i = hash_of(a, key) & (a->size - 1);

	while (a->rows[i].sum.buffers && !is_same_key(&a->rows[i].key, key))
		i = (i + 1) & (a->size - 1);
	return &a->rows[i];
}

static int grow(struct bfs_accounts *a)
{
	struct bfs_accounts larger = { .size = a->size ? a->size * 2 : 64,
				       .used = a->used,
				       .seed = a->seed };

	if (!(larger.rows = calloc(larger.size, sizeof(*larger.rows))))
		return -ENOMEM;
	for (size_t i = 0; i < a->size; i++)
		if (a->rows[i].sum.buffers)
			*find_row(&larger, &a->rows[i].key) = a->rows[i];
	free(a->rows);
	*a = larger;
	return 0;
}

int bfs_accounts_create(struct bfs_accounts **ret_accounts)
{
	struct bfs_accounts *a = calloc(1, sizeof(*a));

	if (!a)
		return -ENOMEM;
	if (getrandom(&a->seed, sizeof(a->seed), GRND_NONBLOCK) < 0)
		a->seed = (uintptr_t)a;
	if (grow(a) < 0) {
		free(a);
		return -ENOMEM;
	}
	*ret_accounts = a;
	return 0;
}

void bfs_accounts_free(struct bfs_accounts *accounts)
{
	if (!accounts)
		return;
	free(accounts->rows);
	free(accounts);
}

/* Clients choose what they ask for: 2^63 bytes each, very often. */
static uint64_t add_up(uint64_t a, uint64_t b)
{
	uint64_t sum;

	return __builtin_add_overflow(a, b, &sum) ? UINT64_MAX : sum;
}

static int add_to(struct bfs_accounts *a, struct bfs_account_key key,
		  const struct bfs_account *b)
{
	struct bfs_account_row *row = find_row(a, &key);
	struct bfs_account *sum;

	if (row->sum.buffers == 0) {
		if (a->used * 2 >= a->size) {
			if (grow(a) < 0)
				return -ENOMEM;
			row = find_row(a, &key);
		}
		row->key = key;
		a->used++;
	}
	sum = &row->sum;
	sum->buffers += b->buffers;
	sum->asked = add_up(sum->asked, b->asked);
	sum->resident += b->resident;
	sum->wired += b->wired;
	sum->huge = add_up(sum->huge, b->huge); /* unknown stays unknown */
	sum->volatile_bytes += b->volatile_bytes;
	sum->purged += b->purged;
	return 0;
}

int bfs_accounts_add(struct bfs_accounts *accounts, uid_t owner,
		     const struct iobuf_spec *spec,
		     const struct bfs_account *buffer)
{
	struct bfs_account_key key = { .kind = BFS_ACCOUNT_TOTAL,
				       .everyone = true };
	int r = add_to(accounts, key, buffer);

	key = (struct bfs_account_key){ .kind = BFS_ACCOUNT_OWNER, .uid = owner };
	if (r == 0)
		r = add_to(accounts, key, buffer);
	for (int everyone = 0; everyone < 2 && r == 0; everyone++) {
		key = (struct bfs_account_key){
			.kind = BFS_ACCOUNT_TAG,
			.everyone = everyone,
			.uid = everyone ? 0 : owner,
		};
		memcpy(key.tag, spec->tag, sizeof(key.tag));
		if (key.tag[0])
			r = add_to(accounts, key, buffer);
		key.kind = BFS_ACCOUNT_TASK;
		memset(key.tag, 0, sizeof(key.tag));
		key.task = spec->task;
		if (r == 0 && spec->task != IOBUF_TASK_KERNEL)
			r = add_to(accounts, key, buffer);
	}
	return r;
}

static bool is_visible(const struct bfs_account_key *key,
		       struct bfs_account_reader reader)
{
	switch (key->kind) {
	case BFS_ACCOUNT_TOTAL:
		return false; /* printed by itself */
	case BFS_ACCOUNT_OWNER:
		return reader.sees_all || key->uid == reader.uid;
	default:
		return reader.sees_all ? key->everyone
				       : !key->everyone &&
						 key->uid == reader.uid;
	}
}

/* Owners first: nobody's tags push another's row out. */
static int compare_rows(const void *x, const void *y)
{
	const struct bfs_account_row *a = *(const struct bfs_account_row *const *)x;
	const struct bfs_account_row *b = *(const struct bfs_account_row *const *)y;
	const bool a_owns = a->key.kind == BFS_ACCOUNT_OWNER;
	const bool b_owns = b->key.kind == BFS_ACCOUNT_OWNER;

	if (a_owns != b_owns)
		return a_owns ? -1 : 1;
	if (a->sum.asked != b->sum.asked)
		return a->sum.asked > b->sum.asked ? -1 : 1;
	if (a->key.kind != b->key.kind)
		return a->key.kind < b->key.kind ? -1 : 1;
	if (a->key.uid != b->key.uid)
		return a->key.uid < b->key.uid ? -1 : 1;
	if (a->key.task != b->key.task)
		return a->key.task < b->key.task ? -1 : 1;
	return strcmp(a->key.tag, b->key.tag);
}

enum { LINE_MAX_BYTES = 320 };

static int print_key(const struct bfs_account_key *key, char *buf, size_t size)
{
	switch (key->kind) {
	case BFS_ACCOUNT_OWNER:
		return snprintf(buf, size, "owner.%u", key->uid);
	case BFS_ACCOUNT_TAG:
		return snprintf(buf, size, "tag.%s", key->tag);
	case BFS_ACCOUNT_TASK:
		return snprintf(buf, size, "task.%d", key->task);
	default:
		return snprintf(buf, size, "total");
	}
}

static size_t print_row(const struct bfs_account_row *row,
			char buf[LINE_MAX_BYTES])
{
	const struct bfs_account *s = &row->sum;
	char huge[24] = "unknown";
	int n = print_key(&row->key, buf, LINE_MAX_BYTES);

	if (s->huge != IOBUF_UNKNOWN)
		snprintf(huge, sizeof(huge), "%llu", (unsigned long long)s->huge);
	n += snprintf(buf + n, LINE_MAX_BYTES - (size_t)n,
		      "=buffers:%llu asked:%llu resident:%llu wired:%llu "
		      "huge:%s volatile:%llu purged:%llu\n",
		      (unsigned long long)s->buffers,
		      (unsigned long long)s->asked,
		      (unsigned long long)s->resident,
		      (unsigned long long)s->wired, huge,
		      (unsigned long long)s->volatile_bytes,
		      (unsigned long long)s->purged);
	return (size_t)n;
}

/* Rows as long as there is room, and room for the number of the rest. */
static int print_rows(const struct bfs_account_row *const *rows, size_t count,
		      char *buf, size_t size)
{
	enum { OMITTED_BYTES = 32 };
	char text[LINE_MAX_BYTES];
	size_t used = 0, i, n;

	for (i = 0; i < count; i++, used += n) {
		n = print_row(rows[i], text);
		if (used + n + OMITTED_BYTES > size)
			break;
		memcpy(buf + used, text, n);
	}
	if (i == 0 && count)
		return -ERANGE;
	if (i < count)
		used += (size_t)snprintf(buf + used, size - used,
					 "omitted=%zu\n", count - i);
	return (int)used;
}

int bfs_accounts_print(const struct bfs_accounts *accounts,
		       struct bfs_account_reader reader, char *buf, size_t size)
{
	const struct bfs_account_key total = { .kind = BFS_ACCOUNT_TOTAL,
					       .everyone = true };
	const struct bfs_account_row nothing = { .key = total };
	const struct bfs_account_row **rows =
		malloc((accounts->used + 1) * sizeof(*rows));
	size_t count = 1;
	int n;

	if (!rows)
		return -ENOMEM;
	rows[0] = find_row(accounts, &total);
	if (rows[0]->sum.buffers == 0)
		rows[0] = &nothing;
	for (size_t i = 0; i < accounts->size; i++)
		if (accounts->rows[i].sum.buffers &&
		    is_visible(&accounts->rows[i].key, reader))
			rows[count++] = &accounts->rows[i];
	qsort(rows + 1, count - 1, sizeof(*rows), compare_rows);
	n = print_rows(rows, count, buf, size);
	free(rows);
	return n;
}
