/* SPDX-License-Identifier: MIT */
/*
 * json.h - JSON, value by value. A key is NULL within an array. Text may have
 * any byte: what is not UTF-8 becomes U+FFFD there, and a second value with
 * "_hex" added to its key has the bytes.
 */
#ifndef JSON_H
#define JSON_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct json {
	FILE *to;
	bool compact; /* one line */
	int depth;
	bool more; /* a comma comes before the next value */
};

void json_open(struct json *j, const char *key, char bracket);
void json_close(struct json *j, char bracket); /* the last one: a newline */
void json_text(struct json *j, const char *key, const char *text);
void json_number(struct json *j, const char *key, uint64_t number);
void json_real(struct json *j, const char *key, double number);
void json_bool(struct json *j, const char *key, bool value);
void json_null(struct json *j, const char *key);

/* What the state of a buffer says: digits are a number, yes and no a truth
 * value, "unknown" is null, all else text. */
void json_guess(struct json *j, const char *key, const char *text);

#endif
