/* SPDX-License-Identifier: MIT */
#include "figures.h"

#include "cmd.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

const struct figure figures[FIGURES] = {
	{ "buffers", "how many", false },
	{ "asked", "capacity, or size of what is elastic", true },
	{ "resident", "memory that they have", true },
	{ "wired", "what of it is wired", true },
	{ "huge", "what of it is in huge pages", true },
	{ "volatile", "what of it may be purged", true },
	{ "purged", "how often contents went", false },
};

const char *top_columns(size_t index, const char **ret_help)
{
	if (index >= FIGURES)
		return NULL;
	*ret_help = figures[index].help;
	return figures[index].name;
}

static bool parse_values(const char *text, uint64_t values[FIGURES])
{
	for (size_t i = 0; i < FIGURES; i++) {
		const size_t n = strlen(figures[i].name);
		char *end;

		text += strspn(text, " ");
		if (strncmp(text, figures[i].name, n) || text[n] != ':')
			return false;
		text += n + 1;
		values[i] = strtoull(text, &end, 10);
		if (end == text)
			values[i] = FIGURE_UNKNOWN;
		text += strcspn(text, " ");
	}
	return true;
}

/* "total=", "owner.NAME=": one of them has a row. */
static bool parse_name(char *line, struct row *row)
{
	static const char *const kinds[] = { "total", "owner", "tag", "task" };

	for (unsigned int i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		const size_t n = strlen(kinds[i]);

		if (strncmp(line, kinds[i], n) ||
		    line[n] != (i ? '.' : '\0'))
			continue;
		row->kind = kinds[i];
		row->order = i;
		row->name = line + n + (i > 0);
		return true;
	}
	return false;
}

/* A line of the state; a tag may have any character but a control. */
static void parse_line(struct figures *f, char *line)
{
	char *equals = strrchr(line, '=');
	struct row row = { 0 };

	if (!strncmp(line, "mountpoint=", 11))
		f->mountpoint = line + 11;
	else if (!strncmp(line, "omitted=", 8))
		f->omitted = strtoull(line + 8, NULL, 10);
	else if (!strncmp(line, "size=", 5))
		f->size = strtoull(line + 5, NULL, 10);
	else if (!strncmp(line, "used=", 5))
		f->used = strtoull(line + 5, NULL, 10);
	if (!equals || !parse_values(equals + 1, row.values))
		return;
	*equals = '\0';
	if (parse_name(line, &row) &&
	    f->count < sizeof(f->rows) / sizeof(f->rows[0]))
		f->rows[f->count++] = row;
}

int figures_read(const char *path, struct figures *ret_figures)
{
	struct figures *f = ret_figures;
	const char *state = attribute_get(path, "user.iobuf.state");
	char *rest = NULL;

	if (!state)
		return -errno;
	snprintf(f->text, sizeof(f->text), "%s", state);
	f->count = 0;
	f->mountpoint = NULL;
	f->omitted = f->size = f->used = 0;
	for (char *line = strtok_r(f->text, "\n", &rest); line;
	     line = strtok_r(NULL, "\n", &rest))
		parse_line(f, line);
	return f->mountpoint && f->count ? 0 : -ENODATA;
}

static int compare_rows(const void *x, const void *y, void *column)
{
	const struct row *a = x, *b = y;
	const unsigned int by = *(const unsigned int *)column;

	if (a->order != b->order)
		return a->order < b->order ? -1 : 1;
	if (a->values[by] != b->values[by])
		return a->values[by] > b->values[by] ? -1 : 1;
	return strcmp(a->name, b->name);
}

void figures_sort(struct figures *f, unsigned int by)
{
	qsort_r(f->rows, f->count, sizeof(f->rows[0]), compare_rows, &by);
}

void figures_print_row(struct json *json, const struct row *row)
{
	json_open(json, NULL, '{');
	json_text(json, "kind", row->kind);
	if (*row->name)
		json_text(json, "name", row->name);
	for (size_t i = 0; i < FIGURES; i++)
		if (row->values[i] == FIGURE_UNKNOWN)
			json_null(json, figures[i].name);
		else
			json_number(json, figures[i].name, row->values[i]);
	json_close(json, '}');
}
