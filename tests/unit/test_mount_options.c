/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "mount_options.h"

#include <iobuf/spec.h>

#include <getopt.h>

static struct bfs_mount_options options;

/* Parse a command line of up to 7 words after the program's name. */
static int parse(const char *const *words)
{
	char text[8][4096], *argv[9] = { text[0] };
	int argc = 1;

	strcpy(text[0], "bufferfs");
	for (; words[argc - 1]; argc++) {
		assert_true(argc < 8);
		snprintf(text[argc], sizeof(text[argc]), "%s",
			 words[argc - 1]);
		argv[argc] = text[argc];
	}
	optind = 0; /* glibc: start anew */
	return bfs_mount_options_parse(argc, argv, &options);
}

#define PARSE(...) parse((const char *const[]){ __VA_ARGS__, NULL })

static int parse_o(const char *list)
{
	return PARSE("-o", list, "/tmp");
}

/* A refusal writes its words to stderr: look at them, show them to nobody. */
static char words[512];

static int quietly(int (*call)(const char *), const char *argument)
{
	int real = dup(STDERR_FILENO), fd = new_memfd(), r;
	ssize_t n;

	fflush(stderr);
	dup2(fd, STDERR_FILENO);
	r = call(argument);
	fflush(stderr);
	dup2(real, STDERR_FILENO);
	n = pread(fd, words, sizeof(words) - 1, 0);
	words[n < 0 ? 0 : n] = '\0';
	close(real);
	close(fd);
	return r;
}

/* -EINVAL, with words, and the output untouched. */
static void refused(int (*call)(const char *), const char *argument)
{
	struct bfs_mount_options before;
	int r;

	memset(&before, 0xa5, sizeof(before));
	options = before;
	r = quietly(call, argument);
	if (r != -EINVAL)
		fail_msg("'%s': %d", argument, r);
	if (!words[0])
		fail_msg("'%s' was refused without words", argument);
	assert_memory_equal(&options, &before, sizeof(options));
}

static void refused_o(const char *list)
{
	refused(parse_o, list);
}

static void without_options_a_mount_is_nosuid_and_nodev(void **state)
{
	(void)state;
	assert_int_equal(PARSE("/tmp"), 0);
	assert_int_equal(options.flags, MS_NOSUID | MS_NODEV);
	assert_string_equal(options.config.mountpoint, "/tmp");
	assert_string_equal(options.config.pool, "");
	assert_string_equal(options.config.size, "");
	assert_string_equal(options.config.options, "");
	assert_false(options.config.allow_other);
	assert_false(options.config.foreground);
	assert_false(options.config.debug);
	assert_false(options.help || options.version);
}

static void each_flag_sets_and_clears_its_bits(void **state)
{
	static const struct {
		const char *list;
		unsigned long flags;
	} rows[] = {
		{ "defaults", MS_NOSUID | MS_NODEV },
		{ "rw", MS_NOSUID | MS_NODEV },
		{ "ro", MS_NOSUID | MS_NODEV | MS_RDONLY },
		{ "ro,rw", MS_NOSUID | MS_NODEV },
		{ "suid", MS_NODEV },
		{ "suid,nosuid", MS_NOSUID | MS_NODEV },
		{ "dev", MS_NOSUID },
		{ "dev,nodev", MS_NOSUID | MS_NODEV },
		{ "noexec", MS_NOSUID | MS_NODEV | MS_NOEXEC },
		{ "noexec,exec", MS_NOSUID | MS_NODEV },
		{ "noatime", MS_NOSUID | MS_NODEV | MS_NOATIME },
		{ "noatime,atime", MS_NOSUID | MS_NODEV },
		{ "noatime,relatime", MS_NOSUID | MS_NODEV | MS_RELATIME },
		{ "nodiratime", MS_NOSUID | MS_NODEV | MS_NODIRATIME },
		{ "relatime,strictatime",
		  MS_NOSUID | MS_NODEV | MS_STRICTATIME },
		{ "sync,dirsync", MS_NOSUID | MS_NODEV | MS_SYNCHRONOUS |
					  MS_DIRSYNC },
		{ "sync,async,lazytime", MS_NOSUID | MS_NODEV | MS_LAZYTIME },
		{ "default_permissions,users,comment=a b",
		  MS_NOSUID | MS_NODEV },
		{ "auto", MS_NOSUID | MS_NODEV },
		{ "noauto", MS_NOSUID | MS_NODEV },
		{ "nofail", MS_NOSUID | MS_NODEV },
		{ "_netdev", MS_NOSUID | MS_NODEV },
		{ "x-systemd.automount", MS_NOSUID | MS_NODEV },
		{ "ro,,noexec,", MS_NOSUID | MS_NODEV | MS_RDONLY | MS_NOEXEC },
		{ "ro,suid,dev,noexec,noatime",
		  MS_RDONLY | MS_NOEXEC | MS_NOATIME },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		assert_int_equal(parse_o(rows[i].list), 0);
		if (options.flags != rows[i].flags)
			fail_msg("'%s': 0x%lx", rows[i].list, options.flags);
	}
}

static void each_limit_takes_a_number_of_bytes(void **state)
{
	static const struct {
		const char *name;
		const uint64_t *value;
	} limits[] = {
		{ "wired_max", &options.config.wired_max },
		{ "contiguous_max", &options.config.contiguous_max },
		{ "user_max", &options.config.user_max },
	};
	static const char *const bad[] = { "", "0", "-1", "5%", "1.5G", "lots" };
	char list[64];

	(void)state;
	for (size_t i = 0; i < COUNT_OF(limits); i++) {
		assert_int_equal(PARSE("/tmp"), 0);
		assert_int_equal(*limits[i].value, 0); /* none */
		snprintf(list, sizeof(list), "%s=3M", limits[i].name);
		assert_int_equal(parse_o(list), 0);
		assert_int_equal(*limits[i].value, 3 << 20);
		for (size_t j = 0; j < COUNT_OF(bad); j++) {
			snprintf(list, sizeof(list), "%s=%s", limits[i].name,
				 bad[j]);
			refused_o(list);
		}
	}
}

static void allow_other_lets_every_user_in(void **state)
{
	(void)state;
	assert_int_equal(parse_o("allow_other"), 0);
	assert_true(options.config.allow_other);
}

static void debug_is_d_and_means_the_foreground(void **state)
{
	(void)state;
	assert_int_equal(parse_o("debug"), 0);
	assert_true(options.config.debug && options.config.foreground);
	assert_int_equal(PARSE("-d", "/tmp"), 0);
	assert_true(options.config.debug && options.config.foreground);
	assert_int_equal(PARSE("-f", "/tmp"), 0);
	assert_true(!options.config.debug && options.config.foreground);
}

static void a_pool_is_an_existing_path_made_absolute(void **state)
{
	(void)state;
	assert_int_equal(parse_o("pool=/dev/../dev/shm/."), 0);
	assert_string_equal(options.config.pool, "/dev/shm");
	refused_o("pool=/no/such/directory");
	assert_non_null(strstr(words, "pool="));
	refused_o("pool=");
	refused_o("pool");
}

static void a_pool_that_is_mounted_read_only_is_only_read(void **state)
{
	(void)state;
	assert_int_equal(parse_o("ro,pool=/dev/shm"), 0);
	assert_true(options.config.reads_pool);
	assert_int_equal(parse_o("pool=/dev/shm,ro,rw"), 0);
	assert_false(options.config.reads_pool);
	assert_int_equal(parse_o("ro"), 0);
	assert_false(options.config.reads_pool);
}

static void sizes_are_bytes_or_a_percentage(void **state)
{
	static const char *const good[] = { "1", "4096", "64K", "512M", "2G",
					    "0x100000", "50%", "1%", "100%" };
	char list[64];

	(void)state;
	for (size_t i = 0; i < COUNT_OF(good); i++) {
		snprintf(list, sizeof(list), "size=%s", good[i]);
		assert_int_equal(parse_o(list), 0);
		assert_string_equal(options.config.size, good[i]);
	}
}

static void bad_sizes_are_einval(void **state)
{
	static const char *const bad[] = {
		"size=",     "size",	    "size=0",
		"size=0%",   "size=%",	    "size=-1",
		"size=1T",   "size=lots",   "size=50%%",
		"size=50 %", "size=50K%",   "size=1.5G",
		"size=18446744073709551616",
		"size=00000000000000000000000000000000000000000001",
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(bad); i++)
		refused_o(bad[i]);
}

static void the_monitors_numbers_have_defaults(void **state)
{
	(void)state;
	assert_int_equal(PARSE("/tmp"), 0);
	assert_int_equal(options.config.reserve, BFS_RESERVE_DEFAULT);
	assert_int_equal(options.config.pressure_stall_ms, 100);
	assert_int_equal(options.config.pressure_window_ms, 2000);
	assert_int_equal(parse_o("reserve=0,pressure_stall=0"), 0);
	assert_int_equal(options.config.reserve, 0);
	assert_int_equal(options.config.pressure_stall_ms, 0);
	assert_int_equal(parse_o("reserve=3M,pressure_stall=10000,"
				 "pressure_window=10000"), 0);
	assert_int_equal(options.config.reserve, 3 << 20);
	assert_int_equal(options.config.pressure_stall_ms, 10000);
	assert_int_equal(options.config.pressure_window_ms, 10000);
}

static void bad_numbers_for_the_monitor_are_einval(void **state)
{
	static const char *const bad[] = {
		"reserve", "reserve=", "reserve=-1", "reserve=5%",
		"reserve=18446744073709551615", "reserve=1x",
		"pressure_stall=", "pressure_stall=-1", "pressure_stall=1s",
		"pressure_stall=10001", "pressure_stall=2001",
		"pressure_stall=99999999999999999999", "pressure_stall=1.5",
		"pressure_window=", "pressure_window=499",
		"pressure_window=10001", "pressure_window=2K",
		"pressure_window=0", "pressure_stall=600,pressure_window=500",
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(bad); i++)
		refused_o(bad[i]);
}

static void options_takes_the_rest_with_its_commas(void **state)
{
	(void)state;
	assert_int_equal(parse_o("ro,options=wired,capacity=1M,tag=x"), 0);
	assert_string_equal(options.config.options, "wired,capacity=1M,tag=x");
	assert_true(options.flags & MS_RDONLY);
	/* What follows belongs to the specification, and is none of it. */
	refused_o("options=wired,ro");
	assert_non_null(strstr(words, "'ro'"));
}

static void quoted_options_may_be_followed_by_others(void **state)
{
	(void)state;
	assert_int_equal(parse_o("options=\"wired,capacity=1M\",ro,size=8M"), 0);
	assert_string_equal(options.config.options, "wired,capacity=1M");
	assert_string_equal(options.config.size, "8M");
	assert_true(options.flags & MS_RDONLY);
	assert_int_equal(parse_o("ro,options=\"wired\""), 0);
	assert_string_equal(options.config.options, "wired");
	assert_int_equal(parse_o("options=\"wired\",options=pageable,in"), 0);
	assert_string_equal(options.config.options, "pageable,in");
	refused_o("options=\"wired");
	refused_o("options=\"wired\"ro");
	refused_o("options=\"\"");
	refused_o("options=\"wired\",bogus");
}

static void bad_specifications_are_einval(void **state)
{
	static const char *const bad[] = {
		"options=",	       "options",
		"options=bogus",       "options=wired,pageable",
		"options=capacity=0",  "options=wired,purgeable",
		"options=wired,task=1", "options=capacity=99999999999999999999",
		"options=task=1", /* not built yet */
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(bad); i++)
		refused_o(bad[i]);
}

static void a_pool_has_its_own_size(void **state)
{
	(void)state;
	refused_o("pool=/dev/shm,size=1M");
	refused_o("size=50%,pool=/dev/shm");
}

static void unknown_options_are_einval(void **state)
{
	static const char *const bad[] = { "bogus", "ro,bogus", "roo", "RO",
					   "allow_other=1", "debug2", " ro" };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(bad); i++)
		refused_o(bad[i]);
}

static void o_may_be_given_more_than_once(void **state)
{
	(void)state;
	assert_int_equal(PARSE("-o", "ro", "-o", "size=1M", "/tmp"), 0);
	assert_true(options.flags & MS_RDONLY);
	assert_string_equal(options.config.size, "1M");
}

static void options_may_follow_the_mount_point(void **state)
{
	(void)state;
	/* As mount(8) calls its helpers: SOURCE MOUNTPOINT -o OPTIONS. */
	assert_int_equal(PARSE("none", "/tmp", "-o", "rw,size=50%"), 0);
	assert_string_equal(options.config.mountpoint, "/tmp");
	assert_string_equal(options.config.size, "50%");
}

static void of_two_operands_the_second_is_the_mount_point(void **state)
{
	(void)state;
	assert_int_equal(PARSE("/no/such/source", "/dev/shm"), 0);
	assert_string_equal(options.config.mountpoint, "/dev/shm");
}

static void the_mount_point_becomes_absolute(void **state)
{
	char before[PATH_MAX];

	(void)state;
	assert_non_null(getcwd(before, sizeof(before)));
	assert_int_equal(chdir("/dev"), 0);
	assert_int_equal(PARSE("shm"), 0);
	assert_int_equal(chdir(before), 0);
	assert_string_equal(options.config.mountpoint, "/dev/shm");
}

static int parse_without_operand(const char *unused)
{
	(void)unused;
	return PARSE("-o", "ro");
}

static int parse_three_operands(const char *unused)
{
	(void)unused;
	return PARSE("/a", "/tmp", "/tmp");
}

static int parse_word(const char *word)
{
	return PARSE(word);
}

static int parse_word_and_mount_point(const char *word)
{
	return PARSE(word, "/tmp");
}

static void one_or_two_operands_are_wanted(void **state)
{
	(void)state;
	refused(parse_without_operand, "nothing");
	assert_non_null(strstr(words, "no mount point"));
	refused(parse_three_operands, "three");
	refused(parse_word, "/no/such/mount/point");
}

static void unknown_switches_are_einval(void **state)
{
	(void)state;
	refused(parse_word_and_mount_point, "-x");
	refused(parse_word_and_mount_point, "--bogus");
	refused(parse_word, "-o");
}

static void help_and_version_want_no_mount_point(void **state)
{
	(void)state;
	assert_int_equal(PARSE("--help"), 0);
	assert_true(options.help && !options.version);
	assert_int_equal(PARSE("-h"), 0);
	assert_true(options.help);
	assert_int_equal(PARSE("--version"), 0);
	assert_true(options.version && !options.help);
	assert_int_equal(PARSE("-V"), 0);
	assert_true(options.version);
}

static void help_lists_the_options_and_every_token(void **state)
{
	static const char *const names[] = { "allow_other", "pool=", "size=",
					     "options=", "debug" };
	char text[16384] = "";
	FILE *to = fmemopen(text, sizeof(text), "w");
	const char *token, *help;

	(void)state;
	assert_non_null(to);
	bfs_mount_options_help(to);
	fclose(to);
	for (size_t i = 0; i < COUNT_OF(names); i++)
		assert_non_null(strstr(text, names[i]));
	for (size_t i = 0; (token = iobuf_token_help(i, &help)); i++) {
		assert_non_null(strstr(text, token));
		assert_non_null(strstr(text, help));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_options_a_mount_is_nosuid_and_nodev),
		cmocka_unit_test(each_flag_sets_and_clears_its_bits),
		cmocka_unit_test(each_limit_takes_a_number_of_bytes),
		cmocka_unit_test(allow_other_lets_every_user_in),
		cmocka_unit_test(debug_is_d_and_means_the_foreground),
		cmocka_unit_test(a_pool_is_an_existing_path_made_absolute),
		cmocka_unit_test(a_pool_that_is_mounted_read_only_is_only_read),
		cmocka_unit_test(sizes_are_bytes_or_a_percentage),
		cmocka_unit_test(bad_sizes_are_einval),
		cmocka_unit_test(the_monitors_numbers_have_defaults),
		cmocka_unit_test(bad_numbers_for_the_monitor_are_einval),
		cmocka_unit_test(options_takes_the_rest_with_its_commas),
		cmocka_unit_test(quoted_options_may_be_followed_by_others),
		cmocka_unit_test(bad_specifications_are_einval),
		cmocka_unit_test(a_pool_has_its_own_size),
		cmocka_unit_test(unknown_options_are_einval),
		cmocka_unit_test(o_may_be_given_more_than_once),
		cmocka_unit_test(options_may_follow_the_mount_point),
		cmocka_unit_test(of_two_operands_the_second_is_the_mount_point),
		cmocka_unit_test(the_mount_point_becomes_absolute),
		cmocka_unit_test(one_or_two_operands_are_wanted),
		cmocka_unit_test(unknown_switches_are_einval),
		cmocka_unit_test(help_and_version_want_no_mount_point),
		cmocka_unit_test(help_lists_the_options_and_every_token),
	};

	return RUN_TESTS("mount_options", tests);
}
