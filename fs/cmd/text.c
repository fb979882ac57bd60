/* SPDX-License-Identifier: MIT */
#include "text.h"

#include "cmd.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <wchar.h>
#include <wctype.h>

/* Columns that one character takes; its bytes. 0 columns: it cannot be seen. */
static int measure(const char *text, size_t left, mbstate_t *state,
		   size_t *ret_bytes)
{
	wchar_t c = L'\0';
	size_t n = mbrtowc(&c, text, left, state);
	int columns;

	if (n == 0 || n > left) {
		memset(state, 0, sizeof(*state));
		*ret_bytes = 1;
		return 0;
	}
	*ret_bytes = n;
	columns = iswprint((wint_t)c) ? wcwidth(c) : 0;
	return columns > 0 ? columns : 0;
}

/* Returns the columns that are left. */
static int put(FILE *to, const char *text, int width)
{
	enum { ESCAPED = 4 }; /* \xNN */
	size_t left = strlen(text), n;
	mbstate_t state = { 0 };

	for (; left; text += n, left -= n) {
		const int columns = measure(text, left, &state, &n);
		const int wanted = columns ? columns : ESCAPED * (int)n;

		if (wanted > width)
			break;
		if (columns)
			fwrite(text, 1, n, to);
		for (size_t i = 0; !columns && i < n; i++)
			fprintf(to, "\\x%02x", (unsigned char)text[i]);
		width -= wanted;
	}
	return width;
}

void put_text(FILE *to, const char *text)
{
	put(to, text, INT_MAX);
}

void put_column(FILE *to, const char *text, int width)
{
	fprintf(to, "%*s", put(to, text, width), "");
}

void print_bytes(uint64_t bytes, char *to, size_t size)
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

static bool has_colours(FILE *to)
{
	const char *off = getenv("NO_COLOR"), *term = getenv("TERM");

	return isatty(fileno(to)) && !(off && *off) &&
	       !(term && !strcmp(term, "dumb"));
}

void put_colour(FILE *to, enum colour colour)
{
	static const char *const codes[] = {
		[PLAIN] = "0", [BOLD] = "1", [DIM] = "2", [RED] = "31",
		[GREEN] = "32", [YELLOW] = "33", [CYAN] = "36",
	};

	if (has_colours(to))
		fprintf(to, "\033[%sm", codes[colour]);
}

/* What to do about it. */
static const char *advice(int error)
{
	static const struct {
		int error;
		const char *words;
	} table[] = {
		{ EOPNOTSUPP, "not on a bufferfs mount, or not supported there: "
			      "\"bufferfs DIR\" mounts one" },
		{ ENOTTY, "not a file of a bufferfs mount" },
		{ ENODATA, "not a buffer: nothing is set of it" },
		{ EBUSY, "its options are fixed once it holds memory, or while "
			 "others have it open: make a new one, or wait" },
		{ ENOMEM, "over wired_max=, contiguous_max= or the lock limit, or "
			  "no such memory: the daemon's log names it, \"iobuf "
			  "doctor\" tells how to change it" },
		{ ENOSPC, "the pool is full: \"df\" tells how much it has, "
			  "\"iobuf top\" who has it" },
		{ EDQUOT, "over user_max= of the mount: remove a buffer, or have "
			  "it raised" },
		{ EFBIG, "more than the buffer's capacity" },
		{ ENODEV, "it is unshared: nobody may map it" },
		{ ENOTCONN, "the mount is dead: run \"bufferfs DIR\" on it "
			    "again" },
		{ EINVAL, "refused: the daemon's log says why" },
		{ ESRCH, "the process that it is bound to has ended" },
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		if (table[i].error == error)
			return table[i].words;
	return NULL;
}

int complain_that(const char *what, const char *words)
{
	fflush(stdout); /* in the order in which it happens */
	fputs("iobuf: ", stderr);
	put_text(stderr, what);
	fprintf(stderr, ": %s\n", words);
	return EXIT_FAILURE;
}

int complain(const char *what, int error)
{
	const char *words = advice(error);

	complain_that(what, strerror(error));
	if (words)
		fprintf(stderr, "iobuf: %s\n", words);
	return EXIT_FAILURE;
}
