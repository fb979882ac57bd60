/* SPDX-License-Identifier: MIT */
/*
 * latest.c - a camera whose viewer sees the newest picture, through a triple buffer.
 *
 *	cc latest.c -o latest
 *	./latest camera /mnt/bufferfs/camera 300 &    # 300 pictures, 100 a second
 *	./latest viewer /mnt/bufferfs/camera          # until the last one
 *
 * Either side may be latest.py instead, and either may come first.
 */
#include "buffer.h"

#include <iobuf/triple_buffer.h>

#define SPEC "wired,capacity=1M,tag=camera"

enum { WIDTH = 640, HEIGHT = 480, PEER_TIMEOUT_MS = 10000 };

struct picture {
	uint32_t number;
	uint32_t is_last;
	unsigned char pixels[WIDTH * HEIGHT];
};

static void run_camera(void *memory, size_t bytes, unsigned int pictures)
{
	struct iobuf_triple_buffer camera;
	void *frame = NULL;
	int err;

	err = iobuf_triple_buffer_init(memory, bytes, sizeof(struct picture));
	if (err == 0)
		err = iobuf_triple_buffer_attach(&camera, memory, bytes,
						 sizeof(struct picture),
						 IOBUF_TRIPLE_BUFFER_PRODUCER);
	for (unsigned int i = 1; err == 0 && i <= pictures; i++) {
		struct picture *picture;

		err = iobuf_triple_buffer_begin(&camera, &frame);
		if (err < 0)
			break;
		picture = frame;
		picture->number = i;
		picture->is_last = i == pictures;
		memset(picture->pixels, (int)i, sizeof(picture->pixels));
		iobuf_triple_buffer_publish(&camera);
		iobuf_triple_buffer_wake(&camera);
		usleep(10000);
	}
	if (err < 0)
		die("camera", -err);
}

/* Is each pixel what a picture of that number has? */
static int is_whole(const struct picture *picture)
{
	for (size_t i = 0; i < sizeof(picture->pixels); i++)
		if (picture->pixels[i] != (unsigned char)picture->number)
			return 0;
	return 1;
}

static void run_viewer(void *memory, size_t bytes)
{
	struct iobuf_triple_buffer viewer;
	uint32_t sequence = 0, before = 0;
	const void *frame = NULL;
	int err;

	while ((err = iobuf_triple_buffer_attach(
			&viewer, memory, bytes, sizeof(struct picture),
			IOBUF_TRIPLE_BUFFER_CONSUMER)) == -EAGAIN)
		usleep(1000); /* until the camera has made it */
	while (err == 0 || err == -EBUSY) {
		const struct picture *picture;

		err = iobuf_triple_buffer_wait(&viewer, PEER_TIMEOUT_MS);
		if (err < 0)
			break;
		err = iobuf_triple_buffer_acquire(&viewer, &frame, &sequence);
		if (err < 0)
			continue;
		picture = frame;
		printf("picture %u, %s, %u skipped\n", picture->number,
		       is_whole(picture) ? "whole" : "torn",
		       sequence - before - 1);
		if (picture->is_last)
			return;
		before = sequence;
	}
	die("viewer", -err);
}

int main(int argc, char **argv)
{
	const int is_camera = argc == 4 && strcmp(argv[1], "camera") == 0;
	void *memory;
	size_t bytes;

	if (!is_camera && (argc != 3 || strcmp(argv[1], "viewer"))) {
		fprintf(stderr, "usage: %s camera FILE PICTURES | viewer FILE\n",
			argv[0]);
		return 2;
	}
	memory = map_buffer(argv[2], SPEC, &bytes);
	if (is_camera) {
		run_camera(memory, bytes, (unsigned int)atoi(argv[3]));
	} else {
		run_viewer(memory, bytes);
		unlink(argv[2]);
	}
	return 0;
}
