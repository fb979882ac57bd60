/* SPDX-License-Identifier: MIT */
/*
 * text.h - text for people. Others choose names, tags and paths: nothing of
 * them but what can be seen goes to a terminal; the rest becomes \xNN.
 */
#ifndef TEXT_H
#define TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

void put_text(FILE *to, const char *text);

/* As many columns of it as fit, and spaces up to `width`. */
void put_column(FILE *to, const char *text, int width);

enum { BYTES_TEXT_MAX = 24 };

/* 512, 4.0K, 12M, 1.5G */
void print_bytes(uint64_t bytes, char *to, size_t size);

enum colour { PLAIN, BOLD, DIM, RED, GREEN, YELLOW, CYAN };

/* Begin a colour, or end one (PLAIN); nothing where there are none, as when it
 * goes to no terminal or NO_COLOR is set. */
void put_colour(FILE *to, enum colour colour);

#endif
