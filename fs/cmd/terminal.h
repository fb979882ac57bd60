/* SPDX-License-Identifier: MIT */
/*
 * terminal.h - a terminal that shows one thing again and again until somebody
 * has seen enough. Plain termios(3) and ANSI sequences.
 */
#ifndef TERMINAL_H
#define TERMINAL_H

#include <stdbool.h>
#include <stddef.h>

/* Standard output is one; its size in characters, 0 where it does not tell. */
bool terminal_is_there(void);
void terminal_size(unsigned int *ret_rows, unsigned int *ret_columns);

/* Keys arrive one by one and are not shown; the screen is empty, the cursor
 * hidden. leave: as it was before. Signals that end or stop the program leave
 * too. */
void terminal_enter(void);
void terminal_leave(void);

/* Show lines of text in place of what was shown before. */
void terminal_show(const char *text, size_t size);

/* Wait; true when it is to end: q, or a signal that says so. Ends early when
 * the terminal's size changes. */
bool terminal_wait(unsigned int ms);

#endif
