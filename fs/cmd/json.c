/* SPDX-License-Identifier: MIT */
#include "json.h"

#include <math.h>
#include <string.h>

/* Bytes of a well-formed UTF-8 character; 0: it is none. */
static size_t utf8_length(const unsigned char *s)
{
	static const struct {
		unsigned char mask, lead, second_min, second_max, length;
	} forms[] = {
		{ 0x80, 0x00, 0, 0, 1 },       { 0xff, 0xe0, 0xa0, 0xbf, 3 },
		{ 0xff, 0xed, 0x80, 0x9f, 3 }, { 0xf0, 0xe0, 0x80, 0xbf, 3 },
		{ 0xff, 0xf0, 0x90, 0xbf, 4 }, { 0xff, 0xf4, 0x80, 0x8f, 4 },
		{ 0xfc, 0xf0, 0x80, 0xbf, 4 }, { 0xfe, 0xc0, 1, 0, 0 },
		{ 0xe0, 0xc0, 0x80, 0xbf, 2 },
	};

	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
		if ((s[0] & forms[i].mask) != forms[i].lead)
			continue;
		if (forms[i].length > 1 && (s[1] < forms[i].second_min ||
					    s[1] > forms[i].second_max))
			return 0;
		for (size_t k = 2; k < forms[i].length; k++)
			if ((s[k] & 0xc0) != 0x80)
				return 0;
		return forms[i].length;
	}
	return 0;
}

static bool put_string(FILE *to, const char *text)
{
	const unsigned char *s = (const unsigned char *)text;
	bool exact = true;

	fputc('"', to);
	while (*s) {
		const size_t n = utf8_length(s);

		if (*s == '"' || *s == '\\')
			fprintf(to, "\\%c", *s);
		else if (*s < ' ' || *s == 127)
			fprintf(to, "\\u%04x", *s);
		/* Controls of one byte more, which terminals obey, too. */
		else if (n == 2 && *s == 0xc2 && s[1] < 0xa0)
			fprintf(to, "\\u%04x", s[1]);
		else if (n)
			fwrite(s, 1, n, to);
		else
			fputs("\\ufffd", to);
		exact = exact && n;
		s += n ? n : 1;
	}
	fputc('"', to);
	return exact;
}

static void begin(struct json *j, const char *key, const char *suffix)
{
	if (j->more)
		fputc(',', j->to);
	if (!j->compact && j->depth)
		fprintf(j->to, "\n%*s", 2 * j->depth, "");
	j->more = true;
	/* Keys are our own words, or have the characters of one. */
	if (key)
		fprintf(j->to, "\"%s%s\":%s", key, suffix,
			j->compact ? "" : " ");
}

void json_open(struct json *j, const char *key, char bracket)
{
	begin(j, key, "");
	fputc(bracket, j->to);
	j->depth++;
	j->more = false;
}

void json_close(struct json *j, char bracket)
{
	const bool empty = !j->more;

	j->depth--;
	if (!j->compact && !empty)
		fprintf(j->to, "\n%*s", 2 * j->depth, "");
	fputc(bracket, j->to);
	j->more = j->depth > 0;
	if (j->depth == 0)
		fputc('\n', j->to);
}

void json_text(struct json *j, const char *key, const char *text)
{
	begin(j, key, "");
	if (put_string(j->to, text) || !key)
		return;
	begin(j, key, "_hex");
	fputc('"', j->to);
	for (; *text; text++)
		fprintf(j->to, "%02x", (unsigned char)*text);
	fputc('"', j->to);
}

void json_number(struct json *j, const char *key, uint64_t number)
{
	begin(j, key, "");
	fprintf(j->to, "%llu", (unsigned long long)number);
}

void json_real(struct json *j, const char *key, double number)
{
	if (!isfinite(number)) {
		json_null(j, key);
		return;
	}
	begin(j, key, "");
	fprintf(j->to, "%.6g", number);
}

void json_bool(struct json *j, const char *key, bool value)
{
	begin(j, key, "");
	fputs(value ? "true" : "false", j->to);
}

void json_null(struct json *j, const char *key)
{
	begin(j, key, "");
	fputs("null", j->to);
}

void json_guess(struct json *j, const char *key, const char *text)
{
	const size_t n = strlen(text);

	if (!strcmp(text, "unknown"))
		json_null(j, key);
	else if (!strcmp(text, "yes") || !strcmp(text, "no"))
		json_bool(j, key, *text == 'y');
	else if (n && n < 20 && strspn(text, "0123456789") == n &&
		 (n == 1 || *text != '0'))
		fprintf((begin(j, key, ""), j->to), "%s", text);
	else
		json_text(j, key, text);
}
