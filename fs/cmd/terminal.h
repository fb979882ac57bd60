/* SPDX-License-Identifier: MIT */
/*
 * terminal.h - a terminal that shows one thing again and again until somebody
 * has seen enough. Plain termios(3) and ANSI sequences.
 */
#ifndef TERMINAL_H
#define TERMINAL_H

#include <stdbool.h>
#include <stddef.h>

/* Standard output is one; how many lines it has, 0 where it does not tell. */
bool terminal_is_there(void);
unsigned int terminal_rows(void);

/* Keys arrive one by one and are not shown; the screen is empty, the cursor
 * hidden. leave: as it was before. Signals that end or stop the program leave
 * too. */
void terminal_enter(void);
void terminal_leave(void);

/* Show lines of text in place of what was shown before; what does not fit into
 * a line of the terminal is cut off. */
void terminal_show(const char *text, size_t size);

/* Wait; true when it is to end: q, or a signal that says so. Ends early when
 * the terminal's size changes. */
bool terminal_wait(unsigned int ms);

#endif
