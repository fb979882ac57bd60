/* SPDX-License-Identifier: MIT */
/*
 * ring.c - lines of text from one process to another, through a ring in a buffer.
 *
 *	cc ring.c -o ring
 *	./ring send /mnt/bufferfs/lines < /etc/services &
 *	./ring receive /mnt/bufferfs/lines
 *
 * Either side may be ring.py instead, and either may come first.
 */
#include "buffer.h"

#include <iobuf/spsc_ring.h>

#define SPEC "wired,capacity=64K,tag=lines"

enum { SLOTS = 256, PEER_TIMEOUT_MS = 10000 };

struct line {
	uint32_t bytes; /* of text; 0: there are no more lines */
	char text[124];
};

static void send_line(struct iobuf_spsc_ring *ring, const struct line *line)
{
	int err;

	while ((err = iobuf_spsc_ring_push(ring, line)) == -EAGAIN)
		if ((err = iobuf_spsc_ring_wait(ring, PEER_TIMEOUT_MS)) < 0)
			break;
	if (err < 0)
		die("send", -err);
	iobuf_spsc_ring_wake(ring);
}

static void send_lines(void *memory, size_t bytes)
{
	struct iobuf_spsc_ring ring;
	struct line line = { 0 };
	int err;

	err = iobuf_spsc_ring_init(memory, bytes, sizeof(line), SLOTS);
	if (err == 0)
		err = iobuf_spsc_ring_attach(&ring, memory, bytes, sizeof(line),
					     IOBUF_SPSC_PRODUCER);
	if (err < 0)
		die("attach", -err);
	while (fgets(line.text, sizeof(line.text), stdin)) {
		line.bytes = (uint32_t)strlen(line.text);
		send_line(&ring, &line);
	}
	line.bytes = 0;
	send_line(&ring, &line);
}

static void receive_lines(void *memory, size_t bytes)
{
	struct iobuf_spsc_ring ring;
	struct line line;
	int err;

	while ((err = iobuf_spsc_ring_attach(&ring, memory, bytes, sizeof(line),
					     IOBUF_SPSC_CONSUMER)) == -EAGAIN)
		usleep(1000); /* until the sender has made it */
	if (err < 0)
		die("attach", -err);
	while ((err = iobuf_spsc_ring_wait(&ring, PEER_TIMEOUT_MS)) == 0) {
		while ((err = iobuf_spsc_ring_pop(&ring, &line)) == 0) {
			if (line.bytes == 0)
				return;
			/* The copy is ours: what it says is checked on it. */
			if (line.bytes > sizeof(line.text))
				die("receive", EPROTO);
			fwrite(line.text, 1, line.bytes, stdout);
		}
		if (err != -EAGAIN)
			break;
		iobuf_spsc_ring_wake(&ring); /* there is room again */
	}
	die("receive", -err);
}

int main(int argc, char **argv)
{
	void *memory;
	size_t bytes;

	if (argc != 3 || (strcmp(argv[1], "send") && strcmp(argv[1], "receive"))) {
		fprintf(stderr, "usage: %s send|receive FILE\n", argv[0]);
		return 2;
	}
	memory = map_buffer(argv[2], SPEC, &bytes);
	if (strcmp(argv[1], "send") == 0) {
		send_lines(memory, bytes);
	} else {
		receive_lines(memory, bytes);
		unlink(argv[2]);
	}
	return 0;
}
