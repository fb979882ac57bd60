/* SPDX-License-Identifier: MIT */
/*
 * mount_options.c - one row of the table is one -o option: its name, what it
 * does, and its help.
 */
#include "mount_options.h"

#include <iobuf/spec.h>

#include <assert.h>
#include <errno.h>
#include <getopt.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>

struct mount_option {
	const char *name; /* a name that ends in '=' takes a value */
	const char *help; /* NULL: accepted as mount(8) has it, not listed */
	/* What it does, by one of: a parser, or where in struct bfs_config the
	 * bool is that it sets, or the bytes that its value tells. */
	int (*parse)(const char *value, struct bfs_mount_options *options);
	size_t flag_at, limit_at;
	unsigned long set, clear; /* MS_* */
};

#define CONFIG_AT(field) offsetof(struct bfs_config, field)
static_assert(CONFIG_AT(mountpoint) == 0, "0 is none of these fields");

static int refuse(const char *what, const char *value, const char *why)
{
	fprintf(stderr, "bufferfs: %s%s: %s\n", what, value, why);
	return -EINVAL;
}

static int copy(char *to, size_t size, const char *what, const char *value)
{
	if (strlen(value) >= size)
		return refuse(what, value, "too long");
	strcpy(to, value);
	return 0;
}

static int parse_pool(const char *value, struct bfs_mount_options *options)
{
	if (!realpath(value, options->config.pool))
		return refuse("pool=", value, strerror(errno));
	return 0;
}

/* As tmpfs has it: bytes with K, M, G, or a percentage of memory, digits and
 * nothing else. */
static int parse_size(const char *value, struct bfs_mount_options *options)
{
	size_t n = strlen(value);
	uint64_t bytes;
	bool percent = n > 1 && strspn(value, "0123456789") == n - 1 &&
		       value[n - 1] == '%';

	if (iobuf_bytes_parse(value, percent ? n - 1 : n, &bytes) < 0 ||
	    bytes == 0)
		return refuse("size=", value, "not N[K|M|G] or N%");
	return copy(options->config.size, sizeof(options->config.size), "size=",
		    value);
}

static int parse_limit(const char *what, const char *value, uint64_t *ret_limit)
{
	if (iobuf_bytes_parse(value, strlen(value), ret_limit) < 0 ||
	    *ret_limit == 0)
		return refuse(what, value, "not N[K|M|G]");
	return 0;
}

static int parse_reserve(const char *value, struct bfs_mount_options *options)
{
	uint64_t bytes;

	if (iobuf_bytes_parse(value, strlen(value), &bytes) < 0 ||
	    bytes == BFS_RESERVE_DEFAULT)
		return refuse("reserve=", value, "not N[K|M|G]");
	options->config.reserve = bytes;
	return 0;
}

/* Digits and nothing else. */
static int parse_number(const char *what, const char *value, uint32_t min,
			uint32_t max, const char *unit, uint32_t *ret_number)
{
	const size_t n = strlen(value);
	unsigned long number;
	char range[64];

	if (n > 0 && n < 6 && strspn(value, "0123456789") == n) {
		number = strtoul(value, NULL, 10);
		if (number >= min && number <= max) {
			*ret_number = (uint32_t)number;
			return 0;
		}
	}
	snprintf(range, sizeof(range), "not %s from %u to %u", unit, min, max);
	return refuse(what, value, range);
}

/* The bounds are the kernel's. */
static int parse_pressure_stall(const char *value,
				struct bfs_mount_options *options)
{
	return parse_number("pressure_stall=", value, 0, 10000, "milliseconds",
			    &options->config.pressure_stall_ms);
}

static int parse_pressure_window(const char *value,
				 struct bfs_mount_options *options)
{
	return parse_number("pressure_window=", value, 500, 10000,
			    "milliseconds", &options->config.pressure_window_ms);
}

static int parse_spec(const char *value, struct bfs_mount_options *options)
{
	struct iobuf_spec spec;
	struct iobuf_reason reason = { 0 };

	if (iobuf_spec_parse(value, strlen(value), &spec, &reason) < 0 ||
	    iobuf_spec_resolve(&spec, &iobuf_spec_default, &spec, &reason) < 0 ||
	    iobuf_spec_supported(&spec, &reason) < 0)
		return refuse("options=", value, reason.text);
	if (spec.task > IOBUF_TASK_KERNEL)
		return refuse("options=", value, "a process is of one file or "
			      "directory: task=self is of each");
	if (spec.given & IOBUF_GIVEN_LENGTH)
		return refuse("options=", value, "length= is of one buffer");
	return copy(options->config.options, sizeof(options->config.options),
		    "options=", value);
}

static int parse_fsname(const char *value, struct bfs_mount_options *options)
{
	if (!*value || strpbrk(value, "\\\n"))
		return refuse("fsname=", value, "not a name");
	return copy(options->config.fsname, sizeof(options->config.fsname),
		    "fsname=", value);
}

static int parse_debug(const char *value, struct bfs_mount_options *options)
{
	(void)value;
	options->config.debug = true;
	options->config.foreground = true;
	return 0;
}

static int parse_watchdog(const char *value, struct bfs_mount_options *options)
{
	return parse_number("watchdog=", value, 0, 86400, "seconds",
			    &options->config.watchdog_s);
}

#define MOUNT_FLAG(word, bits_set, bits_clear)                                 \
	{ .name = word, .set = bits_set, .clear = bits_clear }

#ifndef MS_NOSYMFOLLOW /* Linux 5.10; older headers lack it */
#define MS_NOSYMFOLLOW 256
#endif

/* clang-format off */
static const struct mount_option table[] = {
	{ .name = "allow_other", .flag_at = CONFIG_AT(allow_other),
	  .help = "let every user in, under the files' modes" },
	{ .name = "pool=", .parse = parse_pool,
	  .help = "DIR: serve this directory, never delete it; ro: beside others" },
	{ .name = "keep", .flag_at = CONFIG_AT(keep),
	  .help = "keep a pool of the mount's own at unmount, for the next one" },
	{ .name = "size=", .parse = parse_size,
	  .help = "N[K|M|G] or N%: size of the pool (default: half of memory)" },
	{ .name = "wired_max=", .limit_at = CONFIG_AT(wired_max),
	  .help = "N[K|M|G]: how much may be wired, in total" },
	{ .name = "contiguous_max=", .limit_at = CONFIG_AT(contiguous_max),
	  .help = "N[K|M|G]: how much of it may be contiguous or masked" },
	{ .name = "user_max=", .limit_at = CONFIG_AT(user_max),
	  .help = "N[K|M|G]: how much one user may have fixed or wired" },
	{ .name = "reserve=", .parse = parse_reserve,
	  .help = "N[K|M|G]: room that volatile buffers are purged for; 0: none" },
	{ .name = "pressure_stall=", .parse = parse_pressure_stall,
	  .help = "MS: purge when processes waited so long for memory; 0: never" },
	{ .name = "pressure_window=", .parse = parse_pressure_window,
	  .help = "MS: within so long, 500 to 10000 (default: 2000)" },
	{ .name = "watchdog=", .parse = parse_watchdog,
	  .help = "S: replace a worker that hangs for so long (30); 0: never" },
	{ .name = "io_uring", .flag_at = CONFIG_AT(io_uring),
	  .help = "requests by io_uring: faster, but no worker takes over" },
	{ .name = "options=", .parse = parse_spec,
	  .help = "SPEC: of buffers made without one; comes last, or in double quotes" },
	{ .name = "debug", .parse = parse_debug, .help = "same as -d" },
	{ .name = "fsname=", .parse = parse_fsname,
	  .help = "NAME: source of the mount, as mount(8) shows it" },
	/* What others have to ask for is so here. */
	MOUNT_FLAG("default_permissions", 0, 0),
	MOUNT_FLAG("defaults", 0, 0),
	MOUNT_FLAG("rw", 0, MS_RDONLY),
	MOUNT_FLAG("ro", MS_RDONLY, 0),
	MOUNT_FLAG("suid", 0, MS_NOSUID),
	MOUNT_FLAG("nosuid", MS_NOSUID, 0),
	MOUNT_FLAG("dev", 0, MS_NODEV),
	MOUNT_FLAG("nodev", MS_NODEV, 0),
	MOUNT_FLAG("exec", 0, MS_NOEXEC),
	MOUNT_FLAG("noexec", MS_NOEXEC, 0),
	MOUNT_FLAG("atime", 0, MS_NOATIME),
	MOUNT_FLAG("noatime", MS_NOATIME, 0),
	MOUNT_FLAG("diratime", 0, MS_NODIRATIME),
	MOUNT_FLAG("nodiratime", MS_NODIRATIME, 0),
	MOUNT_FLAG("relatime", MS_RELATIME, MS_NOATIME | MS_STRICTATIME),
	MOUNT_FLAG("norelatime", 0, MS_RELATIME),
	MOUNT_FLAG("strictatime", MS_STRICTATIME, MS_NOATIME | MS_RELATIME),
	MOUNT_FLAG("nostrictatime", 0, MS_STRICTATIME),
	MOUNT_FLAG("lazytime", MS_LAZYTIME, 0),
	MOUNT_FLAG("nolazytime", 0, MS_LAZYTIME),
	MOUNT_FLAG("sync", MS_SYNCHRONOUS, 0),
	MOUNT_FLAG("async", 0, MS_SYNCHRONOUS),
	MOUNT_FLAG("dirsync", MS_DIRSYNC, 0),
	MOUNT_FLAG("symfollow", 0, MS_NOSYMFOLLOW),
	MOUNT_FLAG("nosymfollow", MS_NOSYMFOLLOW, 0),
	/* Of fstab(5): what mount(8) has dealt with. */
	MOUNT_FLAG("user", 0, 0),
	MOUNT_FLAG("nouser", 0, 0),
	MOUNT_FLAG("users", 0, 0),
	MOUNT_FLAG("owner", 0, 0),
	MOUNT_FLAG("group", 0, 0),
	MOUNT_FLAG("auto", 0, 0),
	MOUNT_FLAG("noauto", 0, 0),
	MOUNT_FLAG("nofail", 0, 0),
	MOUNT_FLAG("_netdev", 0, 0),
};
/* clang-format on */

static const struct mount_option *find(const char *word)
{
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		size_t n = strlen(table[i].name);

		if (table[i].name[n - 1] == '=' ? !strncmp(word, table[i].name, n)
						: !strcmp(word, table[i].name))
			return &table[i];
	}
	return NULL;
}

static int parse_word(const char *word, struct bfs_mount_options *options)
{
	const struct mount_option *o = find(word);
	char *config = (char *)&options->config;
	const char *value;

	/* Comments of fstab(5). */
	if (!strncmp(word, "x-", 2) || !strncmp(word, "comment=", 8))
		return 0;
	if (!o)
		return refuse("unknown option ", word, "see bufferfs --help");
	value = word + strlen(o->name);
	options->flags = (options->flags | o->set) & ~o->clear;
	if (o->flag_at)
		*(bool *)(config + o->flag_at) = true;
	if (o->limit_at)
		return parse_limit(o->name, value,
				   (uint64_t *)(config + o->limit_at));
	return o->parse ? o->parse(value, options) : 0;
}

/*
 * End the first word of a list; where the next one begins, NULL if there is none.
 * A specification has commas of its own: options= takes what is left, or, as
 * mount(8) has it, what is in double quotes.
 */
static char *split(char *word)
{
	static const char bare[] = "options=", quoted[] = "options=\"";
	char *value, *end;

	if (strncmp(word, bare, strlen(bare))) {
		if ((end = strchr(word, ',')))
			*end++ = '\0';
		return end;
	}
	if (strncmp(word, quoted, strlen(quoted)))
		return NULL;
	value = word + strlen(quoted);
	end = strchr(value, '"');
	if (!end || (end[1] && end[1] != ','))
		return NULL;
	memmove(value - 1, value, (size_t)(end - value));
	end[-1] = '\0';
	return end[1] ? end + 2 : NULL;
}

static int parse_list(char *list, struct bfs_mount_options *options)
{
	char *next;
	int r = 0;

	for (char *word = list; word && r == 0; word = next) {
		next = split(word);
		r = *word ? parse_word(word, options) : 0;
	}
	return r;
}

static int check(const struct bfs_mount_options *options)
{
	if (options->config.pool[0] && options->config.size[0])
		return refuse("size=", options->config.size,
			      "the size of a pool= is its filesystem's");
	if (options->config.pressure_stall_ms >
	    options->config.pressure_window_ms)
		return refuse("pressure_stall=", "",
			      "longer than pressure_window=");
	return 0;
}

static int parse_operands(int argc, char **argv,
			  struct bfs_mount_options *options)
{
	/* mount(8) calls its helpers with a source before the mount point. */
	if (argc < 1 || argc > 2)
		return refuse("", argc ? "too many operands" : "no mount point",
			      "see bufferfs --help");
	if (!realpath(argv[argc - 1], options->config.mountpoint)) {
		/* A mount whose daemon died cannot be looked at. */
		if (errno == ENOTCONN && argv[argc - 1][0] == '/')
			return copy(options->config.mountpoint, PATH_MAX,
				    "", argv[argc - 1]);
		return refuse("", argv[argc - 1], strerror(errno));
	}
	return 0;
}

static int parse_command_line(int argc, char **argv,
			      struct bfs_mount_options *options)
{
	static const struct option words[] = {
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
		{ "reload", no_argument, NULL, 'r' },
		{ 0 },
	};
	int c, r = 0;

	while (r == 0 && (c = getopt_long(argc, argv, "fdo:hV", words, NULL)) >= 0)
		switch (c) {
		case 'f':
			options->config.foreground = true;
			break;
		case 'd':
			r = parse_debug("", options);
			break;
		case 'o':
			r = parse_list(optarg, options);
			break;
		case 'r':
			options->reload = true;
			break;
		case 'h':
			options->help = true;
			return 0;
		case 'V':
			options->version = true;
			return 0;
		default:
			r = -EINVAL;
		}
	if (r == 0)
		r = parse_operands(argc - optind, argv + optind, options);
	return r < 0 ? r : check(options);
}

int bfs_mount_options_parse(int argc, char **argv,
			    struct bfs_mount_options *ret_options)
{
	struct bfs_mount_options options = {
		.config = { .fsname = "bufferfs",
			    .reserve = BFS_RESERVE_DEFAULT,
			    .pressure_stall_ms = 100,
			    .pressure_window_ms = 2000,
			    .watchdog_s = 30 },
		.flags = MS_NOSUID | MS_NODEV,
	};
	int r = parse_command_line(argc, argv, &options);

	if (r < 0)
		return r;
	options.config.atime_flags =
		options.flags & (MS_NOATIME | MS_NODIRATIME | MS_STRICTATIME);
	options.config.reads_pool = options.config.pool[0] &&
				    (options.flags & MS_RDONLY);
	*ret_options = options;
	return 0;
}

/* What parse_command_line() reads, for who reads about it. */
static const struct {
	const char *name, *help;
} command_options[] = {
	{ "-f", "stay in the foreground, log to stderr" },
	{ "-d", "the same, and log every request" },
	{ "--reload", "serve the mount that is there by the binary on disk" },
	{ "--help", "list all options" },
	{ "--version", "tell the version" },
};

const char *bfs_command_option(size_t index, const char **ret_help)
{
	if (index >= sizeof(command_options) / sizeof(command_options[0]))
		return NULL;
	*ret_help = command_options[index].help;
	return command_options[index].name;
}

const char *bfs_mount_option(size_t index, const char **ret_help)
{
	if (index >= sizeof(table) / sizeof(table[0]))
		return NULL;
	*ret_help = table[index].help;
	return table[index].name;
}

void bfs_mount_options_help(FILE *to)
{
	const char *name, *help;

	fputs("usage: bufferfs [-f] [-d] [-o OPTION,...] MOUNTPOINT\n"
	      "       bufferfs --reload MOUNTPOINT\n"
	      "Mount a filesystem whose files are I/O buffers.\n\n", to);
	for (size_t i = 0; (name = bfs_command_option(i, &help)); i++)
		fprintf(to, "  %-14s %s\n", name, help);
	fputs("\nmount options (besides ro, suid, dev, noexec, noatime):\n", to);
	for (size_t i = 0; (name = bfs_mount_option(i, &help)); i++)
		if (help)
			fprintf(to, "  -o %-16s %s\n", name, help);
	fputs("\nspecification (SPEC, and the xattr user.iobuf):\n", to);
	for (size_t i = 0; (name = iobuf_token_help(i, &help)); i++)
		fprintf(to, "  %-24s %s\n", name, help);
}
