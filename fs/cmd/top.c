/* SPDX-License-Identifier: MIT */
/*
 * top.c - iobuf top: the figures of a mount as a table, again and again.
 */
#include "cmd.h"
#include "figures.h"
#include "terminal.h"
#include "text.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SORT_DEFAULT = 2, NAME_WIDTH = 24 };

/* What is shown, and how. */
struct view {
	unsigned long count; /* of tables; 0: until somebody quits */
	unsigned int delay_ms, sort_by;
	bool json;
	char path[32]; /* of the mount's top */
};

/* The top directory of the filesystem that a directory is on. A descriptor. */
static int open_mount(const char *directory)
{
	int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct stat st, up;

	while (fd >= 0 && fstat(fd, &st) == 0) {
		int parent = openat(fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		if (parent < 0 || fstat(parent, &up) < 0 ||
		    up.st_dev != st.st_dev || up.st_ino == st.st_ino) {
			if (parent >= 0)
				close(parent);
			break;
		}
		close(fd);
		fd = parent;
	}
	return fd;
}

static void describe_owner(const char *name, char *to, size_t size)
{
	const struct passwd *user = getpwuid((uid_t)strtoul(name, NULL, 10));

	snprintf(to, size, "%s", user ? user->pw_name : name);
}

static void describe_task(const char *name, char *to, size_t size)
{
	char path[64], comm[32] = "";
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/comm", atoi(name));
	if ((file = fopen(path, "re"))) {
		if (!fgets(comm, sizeof(comm), file))
			comm[0] = '\0';
		comm[strcspn(comm, "\n")] = '\0';
		fclose(file);
	}
	snprintf(to, size, "%s %s", name, comm);
}

static void describe(const struct row *row, char *to, size_t size)
{
	int n = snprintf(to, size, "%s ", row->kind);

	if (!strcmp(row->kind, "owner"))
		describe_owner(row->name, to + n, size - (size_t)n);
	else if (!strcmp(row->kind, "task"))
		describe_task(row->name, to + n, size - (size_t)n);
	else
		snprintf(to + n, size - (size_t)n, "%s", row->name);
}

/* A table fits into 80 columns. */
static int width_of(size_t column)
{
	enum { WIDTH_MIN = 6 }; /* 1023M, 123456 */
	const int n = (int)strlen(figures[column].name);

	return n > WIDTH_MIN ? n : WIDTH_MIN;
}

static void print_value(FILE *to, size_t column, uint64_t value)
{
	char text[32] = "?";

	if (value != FIGURE_UNKNOWN && figures[column].bytes)
		print_bytes(value, text, sizeof(text));
	else if (value != FIGURE_UNKNOWN)
		snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
	fprintf(to, " %*s", width_of(column), text);
}

static void print_head(FILE *to, const struct figures *f)
{
	char used[32], size[32];

	print_bytes(f->used, used, sizeof(used));
	print_bytes(f->size, size, sizeof(size));
	put_text(to, f->mountpoint);
	fprintf(to, ": %s of %s used\n%*s", used, size, NAME_WIDTH, "");
	for (size_t i = 0; i < FIGURES; i++) {
		char heading[16];
		size_t n = 0;

		for (; figures[i].name[n]; n++)
			heading[n] = (char)(figures[i].name[n] - 'a' + 'A');
		heading[n] = '\0';
		fprintf(to, " %*s", width_of(i), heading);
	}
	fputc('\n', to);
}

static void print_row(FILE *to, const struct row *row)
{
	char name[128];

	describe(row, name, sizeof(name));
	put_column(to, name, NAME_WIDTH);
	for (size_t i = 0; i < FIGURES; i++)
		print_value(to, i, row->values[i]);
	fputc('\n', to);
}

/* lines: room on the screen; 0: any number. */
static void print_table(FILE *to, const struct figures *f, unsigned int lines)
{
	enum { LINES_AROUND = 4 };
	size_t shown = f->count;

	if (lines && shown + LINES_AROUND > lines)
		shown = lines > LINES_AROUND ? lines - LINES_AROUND : 1;
	print_head(to, f);
	for (size_t i = 0; i < shown; i++)
		print_row(to, &f->rows[i]);
	if (shown < f->count || f->omitted)
		fprintf(to, "and %llu more\n",
			(unsigned long long)(f->count - shown + f->omitted));
}

static void print_object(const struct figures *f)
{
	struct json json = { .to = stdout, .compact = true };

	json_open(&json, NULL, '{');
	json_text(&json, "mountpoint", f->mountpoint);
	json_number(&json, "size", f->size);
	json_number(&json, "used", f->used);
	json_number(&json, "omitted", f->omitted);
	json_open(&json, "accounts", '[');
	for (size_t i = 0; i < f->count; i++)
		figures_print_row(&json, &f->rows[i]);
	json_close(&json, ']');
	json_close(&json, '}');
}

static int show_on_terminal(const struct figures *f)
{
	char *text = NULL;
	size_t size = 0;
	FILE *to = open_memstream(&text, &size);

	if (!to)
		return -errno;
	print_table(to, f, terminal_rows());
	fclose(to);
	terminal_show(text, size);
	free(text);
	return 0;
}

static int show(const struct view *v, bool on_terminal)
{
	static struct figures f;
	int r = figures_read(v->path, &f);

	if (r < 0)
		return r;
	figures_sort(&f, v->sort_by);
	if (on_terminal)
		return show_on_terminal(&f);
	if (v->json)
		print_object(&f);
	else
		print_table(stdout, &f, 0);
	return fflush(stdout) ? -errno : 0;
}

static int run(const struct view *v)
{
	const bool on_terminal =
		terminal_is_there() && v->count != 1 && !v->json;
	bool quit = false;
	int r = 0;

	if (on_terminal)
		terminal_enter();
	for (unsigned long i = 0; r == 0 && !quit; i++) {
		if (i && on_terminal)
			quit = terminal_wait(v->delay_ms);
		else if (i)
			usleep(v->delay_ms * 1000);
		if (!quit)
			r = show(v, on_terminal);
		quit = quit || (v->count && i + 1 == v->count);
	}
	if (on_terminal)
		terminal_leave();
	return r;
}

int command_top(const struct arguments *a)
{
	const struct value *count = &a->values[OPTION_COUNT],
			   *delay = &a->values[OPTION_DELAY],
			   *sort = &a->values[OPTION_SORT];
	const char *directory = a->count ? a->operands[0] : ".";
	struct view v = {
		.count = count->text	       ? (unsigned long)count->number
			 : terminal_is_there() ? 0
					       : 1,
		.delay_ms = delay->text ? (unsigned int)(delay->number * 1000)
					: 2000,
		.sort_by = sort->text ? (unsigned int)sort->bytes : SORT_DEFAULT,
		.json = a->values[OPTION_JSON].text,
	};
	int fd, r;

	if ((fd = open_mount(directory)) < 0)
		return complain(directory, errno);
	snprintf(v.path, sizeof(v.path), "/proc/self/fd/%d", fd);
	r = run(&v);
	close(fd);
	/* Other filesystems have no such attribute. */
	return r < 0 ? complain(directory, r == -ENODATA ? EOPNOTSUPP : -r)
		     : EXIT_SUCCESS;
}
