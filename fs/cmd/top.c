/* SPDX-License-Identifier: MIT */
/*
 * top.c - iobuf top: the figures of user.iobuf.state of a mount's root, as a
 * table. One row of `columns` is one of them.
 */
#include "cmd.h"
#include "terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/limits.h>
#include <locale.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>
#include <wchar.h>
#include <wctype.h>

#define UNKNOWN UINT64_MAX

static const struct column {
	const char *name; /* in the state; its heading in capitals */
	bool bytes;
} columns[] = {
	{ "buffers", false },
	{ "asked", true },
	{ "resident", true },
	{ "wired", true },
	{ "huge", true },
	{ "volatile", true },
	{ "purged", false },
};

enum {
	COLUMNS = sizeof(columns) / sizeof(columns[0]),
	COLUMN_DEFAULT = 2,
	NAME_WIDTH = 24,
};

static const char *const kinds[] = { "total", "owner.", "tag.", "task." };

enum { KINDS = sizeof(kinds) / sizeof(kinds[0]) };

struct row {
	unsigned int kind;
	const char *name; /* of the state's text */
	uint64_t values[COLUMNS];
};

struct options {
	unsigned long count; /* of tables; 0: until somebody quits */
	unsigned int delay_ms, sort_by;
	const char *directory;
};

/* A state, taken apart. */
struct figures {
	char text[XATTR_SIZE_MAX + 1];
	struct row rows[XATTR_SIZE_MAX / 64]; /* no line is shorter */
	size_t count;
	const char *mountpoint, *omitted;
	uint64_t size, used;
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

static bool parse_values(const char *text, uint64_t values[COLUMNS])
{
	for (size_t i = 0; i < COLUMNS; i++) {
		const size_t n = strlen(columns[i].name);
		char *end;

		text += strspn(text, " ");
		if (strncmp(text, columns[i].name, n) || text[n] != ':')
			return false;
		text += n + 1;
		values[i] = strtoull(text, &end, 10);
		if (end == text)
			values[i] = UNKNOWN;
		text += strcspn(text, " ");
	}
	return true;
}

/* A line of the state; a tag may have any character but a control. */
static void parse_line(struct figures *f, char *line)
{
	char *equals = strrchr(line, '=');
	struct row row = { 0 };

	if (!strncmp(line, "mountpoint=", 11))
		f->mountpoint = line + 11;
	else if (!strncmp(line, "omitted=", 8))
		f->omitted = line + 8;
	else if (!strncmp(line, "size=", 5))
		f->size = strtoull(line + 5, NULL, 10);
	else if (!strncmp(line, "used=", 5))
		f->used = strtoull(line + 5, NULL, 10);
	if (!equals || !parse_values(equals + 1, row.values))
		return;
	*equals = '\0';
	for (row.kind = 0; row.kind < KINDS; row.kind++) {
		const size_t n = strlen(kinds[row.kind]);

		if (strncmp(line, kinds[row.kind], n))
			continue;
		row.name = line + n;
		f->rows[f->count++] = row;
		return;
	}
}

static int read_figures(int fd, struct figures *ret_figures)
{
	struct figures *f = ret_figures;
	ssize_t n = fgetxattr(fd, "user.iobuf.state", f->text, XATTR_SIZE_MAX);
	char *rest = NULL;

	if (n < 0)
		return -errno;
	f->text[n] = '\0';
	f->count = 0;
	f->mountpoint = f->omitted = NULL;
	f->size = f->used = 0;
	for (char *line = strtok_r(f->text, "\n", &rest); line;
	     line = strtok_r(NULL, "\n", &rest))
		parse_line(f, line);
	return f->mountpoint && f->count ? 0 : -ENODATA;
}

static int compare_rows(const void *x, const void *y, void *column)
{
	const struct row *a = x, *b = y;
	const unsigned int by = *(const unsigned int *)column;

	if (a->kind != b->kind)
		return a->kind < b->kind ? -1 : 1;
	if (a->values[by] != b->values[by])
		return a->values[by] > b->values[by] ? -1 : 1;
	return strcmp(a->name, b->name);
}

/* Others choose tags and names of processes: nothing of them but what can be
 * seen goes to a terminal. */
static void print_name(FILE *to, const char *text, int width)
{
	mbstate_t state = { 0 };
	size_t left = strlen(text);
	int columns_of;

	while (left && width > 0) {
		wchar_t c = L'?';
		size_t n = mbrtowc(&c, text, left, &state);

		if (n == 0 || n > left) {
			memset(&state, 0, sizeof(state));
			n = 1;
			c = L'?';
		}
		columns_of = iswprint((wint_t)c) ? wcwidth(c) : -1;
		if (columns_of > width)
			break;
		if (columns_of > 0)
			fwrite(text, 1, n, to);
		else
			fputc('?', to);
		width -= columns_of > 0 ? columns_of : 1;
		text += n;
		left -= n;
	}
	fprintf(to, "%*s", width, "");
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
	const char *kind = kinds[row->kind];
	int n = snprintf(to, size, "%.*s ", (int)strcspn(kind, "."), kind);

	if (!strcmp(kind, "owner."))
		describe_owner(row->name, to + n, size - (size_t)n);
	else if (!strcmp(kind, "task."))
		describe_task(row->name, to + n, size - (size_t)n);
	else
		snprintf(to + n, size - (size_t)n, "%s", row->name);
}

/* 4.0K, 12M, 1.5G */
static void print_bytes(uint64_t bytes, char *to, size_t size)
{
	static const char units[] = "BKMGTPE";
	double n = (double)bytes;
	size_t unit = 0;

	for (; n >= 1024 && units[unit + 1]; unit++)
		n /= 1024;
	if (unit == 0)
		snprintf(to, size, "%llu", (unsigned long long)bytes);
	else
		snprintf(to, size, "%.*f%c", n < 9.95 ? 1 : 0, n, units[unit]);
}

/* A table fits into 80 columns. */
static int width_of(size_t column)
{
	enum { WIDTH_MIN = 6 }; /* 1023M, 123456 */
	const int n = (int)strlen(columns[column].name);

	return n > WIDTH_MIN ? n : WIDTH_MIN;
}

static void print_value(FILE *to, size_t column, uint64_t value)
{
	char text[32] = "?";

	if (value != UNKNOWN && columns[column].bytes)
		print_bytes(value, text, sizeof(text));
	else if (value != UNKNOWN)
		snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
	fprintf(to, " %*s", width_of(column), text);
}

static void print_head(FILE *to, const struct figures *f)
{
	char used[32], size[32];

	print_bytes(f->used, used, sizeof(used));
	print_bytes(f->size, size, sizeof(size));
	print_name(to, f->mountpoint, (int)strlen(f->mountpoint));
	fprintf(to, ": %s of %s used\n%*s", used, size, NAME_WIDTH, "");
	for (size_t i = 0; i < COLUMNS; i++) {
		char heading[16];
		size_t n = 0;

		for (; columns[i].name[n]; n++)
			heading[n] = (char)(columns[i].name[n] - 'a' + 'A');
		heading[n] = '\0';
		fprintf(to, " %*s", width_of(i), heading);
	}
	fputc('\n', to);
}

static void print_row(FILE *to, const struct row *row)
{
	char name[128];

	describe(row, name, sizeof(name));
	print_name(to, name, NAME_WIDTH);
	for (size_t i = 0; i < COLUMNS; i++)
		print_value(to, i, row->values[i]);
	fputc('\n', to);
}

/* lines: room on the screen; 0: any number. */
static void print_table(FILE *to, struct figures *f, unsigned int sort_by,
			unsigned int lines)
{
	enum { LINES_AROUND = 4 };
	size_t shown = f->count;

	if (lines && shown + LINES_AROUND > lines)
		shown = lines > LINES_AROUND ? lines - LINES_AROUND : 1;
	qsort_r(f->rows, f->count, sizeof(f->rows[0]), compare_rows, &sort_by);
	print_head(to, f);
	for (size_t i = 0; i < shown; i++)
		print_row(to, &f->rows[i]);
	if (shown < f->count || f->omitted)
		fprintf(to, "and %llu more\n",
			f->count - shown +
				strtoull(f->omitted ? f->omitted : "0", NULL, 10));
}

static int show(int fd, const struct options *o, bool on_terminal)
{
	static struct figures f;
	char *text = NULL;
	size_t size = 0;
	FILE *to;
	int r = read_figures(fd, &f);

	if (r < 0)
		return r;
	if (!on_terminal) {
		print_table(stdout, &f, o->sort_by, 0);
		return fflush(stdout) ? -errno : 0;
	}
	if (!(to = open_memstream(&text, &size)))
		return -errno;
	print_table(to, &f, o->sort_by, terminal_rows());
	fclose(to);
	terminal_show(text, size);
	free(text);
	return 0;
}

static int run(int fd, const struct options *o)
{
	const bool on_terminal = terminal_is_there() && o->count != 1;
	bool quit = false;
	int r = 0;

	if (on_terminal)
		terminal_enter();
	for (unsigned long i = 0; r == 0 && !quit; i++) {
		if (i && on_terminal)
			quit = terminal_wait(o->delay_ms);
		else if (i)
			usleep(o->delay_ms * 1000);
		if (!quit)
			r = show(fd, o, on_terminal);
		quit = quit || (o->count && i + 1 == o->count);
	}
	if (on_terminal)
		terminal_leave();
	return r;
}

static bool parse_column(const char *text, unsigned int *ret_column)
{
	for (unsigned int i = 0; i < COLUMNS; i++)
		if (!strcmp(text, columns[i].name)) {
			*ret_column = i;
			return true;
		}
	fprintf(stderr, "iobuf: no column %s\n", text);
	return false;
}

static bool parse_number(const char *text, double least, double most,
			 double *ret_number)
{
	char *end;
	const double n = strtod(text, &end);

	if (end == text || *end || !(n >= least && n <= most)) {
		fprintf(stderr, "iobuf: not a number from %g to %g: %s\n",
			least, most, text);
		return false;
	}
	*ret_number = n;
	return true;
}

static bool parse_option(int c, struct options *o)
{
	const double longest = 86400, most = 1e9;
	double n = 0;

	switch (c) {
	case 'n':
		if (!parse_number(optarg, 1, most, &n))
			return false;
		o->count = (unsigned long)n;
		return true;
	case 'd':
		if (!parse_number(optarg, 0.1, longest, &n))
			return false;
		o->delay_ms = (unsigned int)(n * 1000);
		return true;
	case 's':
		return parse_column(optarg, &o->sort_by);
	default:
		return false;
	}
}

int command_top(int argc, char **argv)
{
	struct options o = {
		.count = terminal_is_there() ? 0 : 1,
		.delay_ms = 2000,
		.sort_by = COLUMN_DEFAULT,
		.directory = ".",
	};
	int c, fd, r;

	/* getopt(3) takes the first word for the program's name. */
	while ((c = getopt(argc + 1, argv - 1, "+n:d:s:")) >= 0)
		if (!parse_option(c, &o))
			return EXIT_USAGE;
	argc -= optind - 1;
	argv += optind - 1;
	if (argc > 1)
		return EXIT_USAGE;
	if (argc)
		o.directory = argv[0];
	setlocale(LC_CTYPE, "");
	if ((fd = open_mount(o.directory)) < 0)
		return complain(o.directory, errno);
	r = run(fd, &o);
	close(fd);
	if (r == -ENODATA || r == -EOPNOTSUPP) {
		fprintf(stderr, "iobuf: %s: not on a bufferfs mount\n",
			o.directory);
		return EXIT_FAILURE;
	}
	return r < 0 ? complain(o.directory, -r) : EXIT_SUCCESS;
}
