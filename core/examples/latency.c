/* SPDX-License-Identifier: MIT */
/*
 * latency.c - how long a message takes to another process and back, through two
 * rings in a buffer.
 *
 *	cc latency.c -o latency
 *	./latency pong /mnt/bufferfs/pair spin &
 *	./latency ping /mnt/bufferfs/pair spin    # prints the median, in us
 *
 * Ping also takes a number of rounds, 20000 without.
 *
 * `spin` looks at the ring all the time, which takes a CPU for each side; `sleep`
 * sleeps and is woken. Either side may be latency.py instead.
 */
#include "buffer.h"

#include <iobuf/spsc_ring.h>

#define SPEC "wired,capacity=64K,tag=latency"

enum { SLOTS = 16, HALF = 32 << 10, ROUNDS_MAX = 20000, PEER_TIMEOUT_MS = 10000 };

struct message {
	uint64_t number; /* 0: there are no more */
	unsigned char payload[56];
};

/* What one side has: a ring to send on, one to receive from. */
struct pair {
	struct iobuf_spsc_ring out, in;
	int spins;
};

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void put(struct pair *pair, const struct message *message)
{
	int err = iobuf_spsc_ring_push(&pair->out, message);

	if (err < 0)
		die("push", -err); /* never full: one message is on its way */
	if (!pair->spins)
		iobuf_spsc_ring_wake(&pair->out);
}

static void get(struct pair *pair, struct message *ret_message)
{
	int err;

	while ((err = iobuf_spsc_ring_pop(&pair->in, ret_message)) == -EAGAIN) {
		if (pair->spins)
			continue;
		err = iobuf_spsc_ring_wait(&pair->in, PEER_TIMEOUT_MS);
		if (err < 0)
			break;
	}
	if (err < 0)
		die("pop", -err);
}

static void attach(struct iobuf_spsc_ring *ring, void *memory,
		   enum iobuf_spsc_side side)
{
	int err;

	while ((err = iobuf_spsc_ring_attach(ring, memory, HALF,
					     sizeof(struct message), side)) ==
	       -EAGAIN)
		usleep(1000); /* until ping has made it */
	if (err < 0)
		die("attach", -err);
}

static int compare(const void *a, const void *b)
{
	const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static void ping(struct pair *pair, unsigned int rounds)
{
	static uint64_t took[ROUNDS_MAX];
	struct message message = { 0 }, answer;

	for (uint64_t i = 0; i < rounds; i++) {
		const uint64_t began = now_ns();

		message.number = i + 1;
		put(pair, &message);
		get(pair, &answer);
		took[i] = now_ns() - began;
		if (answer.number != message.number)
			die("another answer", EPROTO);
	}
	message.number = 0;
	put(pair, &message);
	qsort(took, rounds, sizeof(took[0]), compare);
	printf("%.2f\n", (double)took[rounds / 2] / 1000);
}

static void pong(struct pair *pair)
{
	struct message message;

	for (;;) {
		get(pair, &message);
		if (message.number == 0)
			return;
		put(pair, &message);
	}
}

int main(int argc, char **argv)
{
	const int pings = argc >= 4 && strcmp(argv[1], "ping") == 0;
	unsigned int rounds = argc == 5 ? (unsigned int)atoi(argv[4]) : ROUNDS_MAX;
	unsigned char *memory;
	struct pair pair;
	size_t bytes;

	if (rounds == 0 || rounds > ROUNDS_MAX || argc > 5 ||
	    (!pings && (argc != 4 || strcmp(argv[1], "pong")))) {
		fprintf(stderr,
			"usage: %s ping|pong FILE spin|sleep [ROUNDS]\n",
			argv[0]);
		return 2;
	}
	memory = map_buffer(argv[2], SPEC, &bytes);
	for (int i = 0; pings && i < 2; i++)
		if (iobuf_spsc_ring_init(memory + i * HALF, HALF,
					 sizeof(struct message), SLOTS) < 0)
			die("init", EINVAL);
	attach(&pair.out, memory + (pings ? 0 : HALF), IOBUF_SPSC_PRODUCER);
	attach(&pair.in, memory + (pings ? HALF : 0), IOBUF_SPSC_CONSUMER);
	pair.spins = strcmp(argv[3], "spin") == 0;
	if (!pings) {
		pong(&pair);
		return 0;
	}
	ping(&pair, rounds);
	unlink(argv[2]);
	return 0;
}
