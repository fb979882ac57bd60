/* SPDX-License-Identifier: MIT */
/*
 * create.c - iobuf create, iobuf set, iobuf purgeable: what changes buffers.
 */
#include "cmd.h"
#include "json.h"

#include <iobuf/ioctl.h>
#include <iobuf/spec.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

int command_create(const struct arguments *a)
{
	const char *path = a->operands[0];
	int fd, r = file_make(path, 0666, &fd);

	if (r < 0)
		return complain(path, -r);
	r = attribute_set(path_of(fd), "user.iobuf", a->operands[1]);
	close(fd);
	/* All or nothing. */
	if (r < 0)
		unlink(path);
	if (r == -EBUSY)
		return complain_that(path, "its directory gives what is made in "
				     "it memory at once: make it elsewhere, and "
				     "move it there");
	return r < 0 ? complain(path, -r) : EXIT_SUCCESS;
}

/* One thing that is set, where it was asked for; 0 or a negative errno. */
static int set_value(const char *path, const char *name,
		     const struct value *value, bool as_number)
{
	char number[32];
	const char *text = value->text;

	if (!text)
		return 0;
	if (as_number) {
		snprintf(number, sizeof(number), "%llu",
			 (unsigned long long)value->bytes);
		text = number;
	}
	return attribute_set(path, name, text);
}

int command_set(const struct arguments *a)
{
	const char *path = a->operands[0];
	const struct value spec = { .text = a->count > 1 ? a->operands[1] : NULL },
			   *direction = &a->values[OPTION_DIRECTION],
			   *length = &a->values[OPTION_LENGTH],
			   *state = &a->values[OPTION_PURGEABLE];
	const bool remove = a->values[OPTION_REMOVE].text;
	int r = 0;

	if (!spec.text && !direction->text && !length->text && !state->text &&
	    !remove) {
		fputs("iobuf: nothing to set\n", stderr);
		return EXIT_USAGE;
	}
	if (remove && spec.text) {
		fputs("iobuf: SPEC and --remove contradict each other\n", stderr);
		return EXIT_USAGE;
	}
	if (remove && removexattr(path, "user.iobuf") < 0)
		return complain(path, errno);
	if ((r = set_value(path, "user.iobuf", &spec, false)) < 0 ||
	    (r = set_value(path, "user.iobuf.direction", direction, false)) < 0 ||
	    (r = set_value(path, "user.iobuf.length", length, true)) < 0 ||
	    (r = set_value(path, "user.iobuf.purgeable", state, false)) < 0)
		return complain(path, -r);
	return EXIT_SUCCESS;
}

static int print_state(const struct arguments *a, uint32_t state)
{
	struct json json = { .to = stdout };
	char text[IOBUF_PURGEABLE_TEXT_MAX];

	if (iobuf_purgeable_print(state, text, sizeof(text)) < 0)
		return complain(a->operands[0], EPROTO);
	if (!a->values[OPTION_JSON].text) {
		puts(text);
		return EXIT_SUCCESS;
	}
	json_open(&json, NULL, '{');
	json_text(&json, "path", a->operands[0]);
	json_text(&json, a->count > 1 ? "old_state" : "state", text);
	json_close(&json, '}');
	return EXIT_SUCCESS;
}

/* Without a state, only tell. */
int command_purgeable(const struct arguments *a)
{
	uint32_t state = IOBUF_PURGEABLE_KEEP_CURRENT;
	const bool set = a->count > 1;
	int fd, r;

	if (set && iobuf_purgeable_parse(a->operands[1], strlen(a->operands[1]),
					 &state) < 0) {
		fputs("iobuf: not a STATE\n", stderr);
		return EXIT_USAGE;
	}
	fd = open(a->operands[0],
		  (set ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return complain(a->operands[0], errno);
	r = ioctl(fd, IOBUF_IOC_SET_PURGEABLE, &state) < 0 ? errno : 0;
	close(fd);
	if (r == EINVAL)
		return complain_that(a->operands[0],
				     "it was not made \"purgeable\"");
	return r ? complain(a->operands[0], r) : print_state(a, state);
}
