/* SPDX-License-Identifier: MIT */
/*
 * doctor.c - iobuf doctor: one row of `checks` is one thing that is looked at.
 */
#include "doctor.h"

#include "cmd.h"
#include "json.h"
#include "text.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static const struct check {
	const char *name;
	look_at *look;
} checks[] = {
	{ "kernel", look_at_kernel },
	{ "fuse", look_at_fuse },
	{ "libfuse", look_at_libfuse },
	{ "passthrough", look_at_passthrough },
	{ "huge pages", look_at_huge_pages },
	{ "lock limit", look_at_locks },
	{ "page frames", look_at_frames },
	{ "pins", look_at_pins },
	{ "open files", look_at_files },
	{ "pressure", look_at_pressure },
	{ "memory group", look_at_group },
	{ "io_uring", look_at_uring },
};

void finding_say(struct finding *f, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(f->words, sizeof(f->words), format, args);
	va_end(args);
}

void finding_no(struct finding *f, const char *change, ...)
{
	va_list args;

	f->verdict = VERDICT_NO;
	va_start(args, change);
	vsnprintf(f->change, sizeof(f->change), change, args);
	va_end(args);
}

FILE *doctor_open(const struct doctor *d, const char *path)
{
	char full[PATH_MAX];

	if (snprintf(full, sizeof(full), "%s%s", d->root, path) >=
	    (int)sizeof(full))
		return NULL;
	return fopen(full, "re");
}

bool doctor_read(const struct doctor *d, const char *path, char text[FILE_MAX])
{
	FILE *file = doctor_open(d, path);
	size_t n;
	bool well;

	if (!file)
		return false;
	n = fread(text, 1, FILE_MAX - 1, file);
	well = !ferror(file);
	fclose(file);
	text[n] = '\0';
	return well;
}

const char *doctor_field(const char *text, const char *key)
{
	const size_t n = strlen(key);

	for (; text; text = strchr(text, '\n')) {
		text += *text == '\n';
		if (!strncmp(text, key, n))
			return text + n;
	}
	return NULL;
}

bool doctor_can(const struct doctor *d, unsigned int capability)
{
	return d->capabilities >> capability & 1;
}

static void load_rights(struct doctor *d)
{
	char text[FILE_MAX];
	const char *mask = NULL;
	unsigned int inside, outside, count;

	if (doctor_read(d, "/proc/self/status", text))
		mask = doctor_field(text, "CapEff:");
	d->capabilities = mask ? strtoull(mask, NULL, 16) : 0;
	d->initial_namespace =
		doctor_read(d, "/proc/self/uid_map", text) &&
		sscanf(text, "%u %u %u", &inside, &outside, &count) == 3 &&
		inside == 0 && outside == 0 && count == UINT32_MAX;
}

struct report {
	struct json *json; /* NULL: for people */
	bool well;
};

static const struct {
	const char *name;
	enum colour colour;
} verdicts[] = {
	[VERDICT_OK] = { "ok", GREEN },
	[VERDICT_OFF] = { "off", DIM },
	[VERDICT_NO] = { "no", RED },
};

static void print_object(struct json *json, const char *name,
			 const struct finding *f)
{
	json_open(json, NULL, '{');
	json_text(json, "name", name);
	json_text(json, "verdict", verdicts[f->verdict].name);
	json_text(json, "found", f->words);
	if (*f->change)
		json_text(json, "change", f->change);
	else
		json_null(json, "change");
	json_close(json, '}');
}

static void print_lines(const char *name, const struct finding *f)
{
	put_colour(stdout, verdicts[f->verdict].colour);
	printf("%-4s", verdicts[f->verdict].name);
	put_colour(stdout, PLAIN);
	printf(" %-13s ", name);
	put_text(stdout, f->words);
	putchar('\n');
	if (!*f->change)
		return;
	printf("%19s", "");
	put_colour(stdout, BOLD);
	put_text(stdout, f->change);
	put_colour(stdout, PLAIN);
	putchar('\n');
}

static void report(struct report *r, const char *name, const struct finding *f)
{
	r->well = r->well && f->verdict != VERDICT_NO;
	if (r->json)
		print_object(r->json, name, f);
	else
		print_lines(name, f);
}

static void report_mounts(struct report *r, const struct doctor *d)
{
	struct finding f;

	for (size_t i = 0; i < d->mount_count; i++) {
		f = (struct finding){ 0 };
		look_at_mount(&d->mounts[i], &f);
		report(r, "mount", &f);
	}
	if (d->mount_count)
		return;
	f = (struct finding){ .verdict = VERDICT_OFF };
	finding_say(&f, "%s%s", d->directory ? d->directory : "there is none",
		    d->directory ? " is on no mount of bufferfs" : "");
	if (d->directory)
		finding_no(&f, "bufferfs DIR");
	report(r, "mount", &f);
}

static void report_all(struct report *r, const struct doctor *d)
{
	for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]); i++) {
		struct finding f = { 0 };

		checks[i].look(d, &f);
		report(r, checks[i].name, &f);
	}
	report_mounts(r, d);
}

int command_doctor(const struct arguments *a)
{
	static struct doctor d;
	struct json json = { .to = stdout };
	struct report r = { .well = true };

	d.root = a->values[OPTION_ROOT].text ? a->values[OPTION_ROOT].text : "";
	d.directory = a->count ? a->operands[0] : NULL;
	load_rights(&d);
	doctor_find_mounts(&d);
	if (a->values[OPTION_JSON].text) {
		r.json = &json;
		json_open(&json, NULL, '{');
		json_open(&json, "checks", '[');
	}
	report_all(&r, &d);
	if (r.json) {
		json_close(&json, ']');
		json_bool(&json, "well", r.well);
		json_close(&json, '}');
	}
	return r.well ? EXIT_SUCCESS : EXIT_FAILURE;
}
