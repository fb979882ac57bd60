/* SPDX-License-Identifier: MIT */
/*
 * bench.c - run one group of measurements; scripts/bench runs all of them on
 * all filesystems, and makes medians and a table of what this prints.
 */
#include "bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct group {
	const char *name, *help;
	void (*run)(const struct bench *b);
	bool starts; /* the filesystem, which is not there yet */
} groups[] = {
	{ .name = "setup", .run = setup_group,
	  .help = "make the files that the other groups use" },
	{ .name = "mmap", .run = mmap_group,
	  .help = "touch a fresh mapping, then in a second process; read it" },
	{ .name = "io", .run = io_group,
	  .help = "pread and pwrite of 1 MiB and of 4 KiB" },
	{ .name = "open", .run = open_group, .help = "open and close" },
	{ .name = "stat", .run = stat_group,
	  .help = "stat names that the kernel does not and does know" },
	{ .name = "create", .run = create_group,
	  .help = "create, close and unlink" },
	{ .name = "readdir", .run = readdir_group,
	  .help = "list a directory of 10,000 names" },
	{ .name = "purge", .run = purge_group,
	  .help = "set a purgeable state; purge 1 GiB" },
	{ .name = "pressure", .run = pressure_group,
	  .help = "from memory pressure, made by others, to memory" },
	{ .name = "restart", .run = restart_group,
	  .help = "from the worker's death to the next one's answer" },
	{ .name = "start", .run = start_group, .starts = true,
	  .help = "mount on DIR by COMMAND; memory; unmount" },
};

static const size_t group_count = sizeof(groups) / sizeof(*groups);

static _Noreturn void usage(void)
{
	fputs("usage: bench [-d DIVIDE] [-m] [-s MIB] [-w] [-x SPEC] GROUP DIR "
	      "[COMMAND...]\n"
	      "  -d  make loops that many times shorter\n"
	      "  -m  DIR has links to the memory of memfd_create(2)\n"
	      "  -s  size of large files (512)\n"
	      "  -w  COMMAND returns when it has mounted\n"
	      "  -x  files have this user.iobuf\ngroups:\n",
	      stderr);
	for (size_t i = 0; i < group_count; i++)
		fprintf(stderr, "  %-8s %s\n", groups[i].name, groups[i].help);
	exit(2);
}

static const struct group *find_group(const char *name)
{
	for (size_t i = 0; i < group_count; i++)
		if (!strcmp(groups[i].name, name))
			return &groups[i];
	usage();
}

static void parse(struct bench *b, int argc, char **argv)
{
	int c;

	while ((c = getopt(argc, argv, "+d:ms:wx:")) != -1)
		switch (c) {
		case 'd': b->divide = (unsigned int)atoi(optarg); break;
		case 'm': b->memfd = true; break;
		case 's': b->size_bytes = (size_t)atoi(optarg) << 20; break;
		case 'w': b->returns = true; break;
		case 'x': b->spec = optarg; break;
		default: usage();
		}
	if (argc - optind < 2 || !b->divide || !b->size_bytes)
		usage();
	b->dir = argv[optind + 1];
	b->command = argv + optind + 2;
}

int main(int argc, char **argv)
{
	struct bench b = { .size_bytes = (size_t)512 << 20, .divide = 1 };
	const struct group *group;

	parse(&b, argc, argv);
	group = find_group(argv[optind]);
	if (group->starts && !*b.command)
		usage();
	if (!group->starts && chdir(b.dir) < 0)
		die(b.dir);
	group->run(&b);
	return EXIT_SUCCESS;
}
