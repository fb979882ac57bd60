/* SPDX-License-Identifier: MIT */
#include "terminal.h"

#include "../clock.h"

#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#define HIDE_CURSOR "\033[?25l"
#define SHOW_CURSOR "\033[?25h"
#define NO_WRAP "\033[?7l"
#define WRAP "\033[?7h"
#define HOME "\033[H"
#define CLEAR_LINE "\033[K"
#define CLEAR_BELOW "\033[J"

static struct termios former;
static bool has_keyboard; /* standard input is a terminal, and `former` its */
static volatile sig_atomic_t ending, stopping;

static void put(const char *text, size_t size)
{
	while (size > 0) {
		ssize_t n = write(STDOUT_FILENO, text, size);

		if (n <= 0)
			return;
		text += n;
		size -= (size_t)n;
	}
}

static void put_text(const char *text)
{
	put(text, strlen(text));
}

bool terminal_is_there(void)
{
	return isatty(STDOUT_FILENO);
}

unsigned int terminal_rows(void)
{
	struct winsize size = { 0 };

	ioctl(STDOUT_FILENO, TIOCGWINSZ, &size);
	return size.ws_row;
}

static void on_signal(int number)
{
	if (number == SIGTSTP)
		stopping = 1;
	else if (number != SIGWINCH) /* that one only wakes */
		ending = 1;
}

static void watch_signals(void)
{
	static const int signals[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT,
				       SIGTSTP, SIGWINCH };
	struct sigaction action = { .sa_handler = on_signal };

	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		sigaction(signals[i], &action, NULL);
}

static void enter(void)
{
	struct termios quiet;

	if (has_keyboard) {
		quiet = former;
		quiet.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
		tcsetattr(STDIN_FILENO, TCSANOW, &quiet);
	}
	put_text(HIDE_CURSOR NO_WRAP HOME CLEAR_BELOW);
}

void terminal_enter(void)
{
	has_keyboard = tcgetattr(STDIN_FILENO, &former) == 0;
	watch_signals();
	enter();
}

void terminal_leave(void)
{
	put_text(WRAP SHOW_CURSOR);
	if (has_keyboard)
		tcsetattr(STDIN_FILENO, TCSANOW, &former);
}

void terminal_show(const char *text, size_t size)
{
	const char *end = text + size;

	put_text(HOME);
	while (text < end) {
		const char *newline = memchr(text, '\n', (size_t)(end - text));
		const char *stop = newline ? newline : end;

		put_text(CLEAR_LINE); /* first: a full line has no end to clear */
		put(text, (size_t)(stop - text));
		put_text("\n");
		text = stop + 1;
	}
	put_text(CLEAR_BELOW);
}

/* ^Z: others have the terminal meanwhile. */
static void stop(void)
{
	stopping = 0;
	terminal_leave();
	raise(SIGSTOP);
	enter();
}

static bool is_quit_key(void)
{
	char key;
	ssize_t n = read(STDIN_FILENO, &key, 1);

	return n == 0 || (n == 1 && (key == 'q' || key == 'Q'));
}

bool terminal_wait(unsigned int ms)
{
	struct pollfd keyboard = { .fd = has_keyboard ? STDIN_FILENO : -1,
				   .events = POLLIN };
	const int64_t end = bfs_now_ms() + ms;

	for (int64_t now = bfs_now_ms(); now < end && !ending;
	     now = bfs_now_ms()) {
		int n = poll(&keyboard, 1, (int)(end - now));

		if (stopping)
			stop();
		else if (n < 0 || (n > 0 && is_quit_key()))
			return ending || n > 0;
	}
	return ending;
}
