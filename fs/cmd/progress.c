/* SPDX-License-Identifier: MIT */
#include "progress.h"

#include "../clock.h"
#include "text.h"

#include <sys/ioctl.h>
#include <unistd.h>

enum { WIDTH_DEFAULT = 80, BAR_MIN = 10, NUMBERS_WIDTH = 44 };

/* Below the first nobody waits; more often than the second nobody can read. */
static const uint64_t patience_ns = 500000000, pause_ns = 100000000;

static int width_of_terminal(void)
{
	struct winsize size = { 0 };

	ioctl(STDERR_FILENO, TIOCGWINSZ, &size);
	return size.ws_col ? size.ws_col : WIDTH_DEFAULT;
}

void progress_begin(struct progress *p, uint64_t total, bool quiet)
{
	*p = (struct progress){
		.total = total,
		.begun_ns = bfs_now_ns(),
		.off = quiet || !isatty(STDERR_FILENO),
	};
}

static void print_bar(FILE *to, uint64_t done, uint64_t total, int columns)
{
	const int full = (int)((double)done / (double)total * columns);

	fputc('[', to);
	for (int i = 0; i < columns; i++)
		fputc(i < full ? '#' : '.', to);
	fputs("] ", to);
}

void progress_print(FILE *to, uint64_t done, uint64_t total, uint64_t ns,
		    int width)
{
	const double seconds = (double)ns / 1e9, rate = (double)done / seconds;
	const int columns = width - NUMBERS_WIDTH;
	char moved[BYTES_TEXT_MAX], all[BYTES_TEXT_MAX], speed[BYTES_TEXT_MAX];

	print_bytes(done, moved, sizeof(moved));
	print_bytes((uint64_t)rate, speed, sizeof(speed));
	/* What grows meanwhile has no end yet. */
	if (total == PROGRESS_UNKNOWN || total == 0 || done > total) {
		fprintf(to, "%s, %s/s", moved, speed);
		return;
	}
	print_bytes(total, all, sizeof(all));
	fprintf(to, "%3d%% ", (int)((double)done / (double)total * 100));
	if (columns >= BAR_MIN)
		print_bar(to, done, total, columns);
	fprintf(to, "%s of %s, %s/s", moved, all, speed);
	if (rate > 0) {
		const uint64_t left = (uint64_t)((double)(total - done) / rate);

		if (left < 360000)
			fprintf(to, ", %llu:%02llu left",
				(unsigned long long)left / 60,
				(unsigned long long)left % 60);
	}
}

void progress_update(struct progress *p, uint64_t done)
{
	const uint64_t now = bfs_now_ns();

	if (p->off || now - p->begun_ns < patience_ns ||
	    now - p->shown_ns < pause_ns)
		return;
	fputs("\r\033[K", stderr);
	progress_print(stderr, done, p->total, now - p->begun_ns,
		       width_of_terminal());
	fflush(stderr);
	p->shown = true;
	p->shown_ns = now;
}

void progress_end(struct progress *p)
{
	if (p->shown)
		fputs("\r\033[K", stderr);
	p->shown = false;
}
