/* SPDX-License-Identifier: MIT */
/*
 * table.c - one row is one option, one row is one sub-command. Whatever tells
 * of them is written from here.
 */
#include "cmd.h"

#include <string.h>

#define BIT(id) (UINT32_C(1) << (id))

static const struct option_row option_rows[OPTIONS] = {
	[OPTION_ALL] = { 'a', "all", .help = "names that begin with a dot, too" },
	[OPTION_COUNT] = { 'n', "count", "COUNT", "so many tables, then end",
			   KIND_WHOLE, .least = 1, .most = 1e9 },
	[OPTION_DELAY] = { 'd', "delay", "SECONDS", "time between two tables",
			   KIND_NUMBER, .least = 0.1, .most = 86400 },
	[OPTION_DIRECTION] = { 0, "direction", "WORD",
			       "which way transfers may go", KIND_WORD,
			       direction_words },
	[OPTION_FILL] = { 'f', "fill", "BYTE",
			  "write this byte, 0 to 255, to all of the range",
			  KIND_WHOLE, .least = 0, .most = 255 },
	[OPTION_HELP] = { 'h', "help", .help = "tell what it does, and how" },
	[OPTION_JSON] = { 'j', "json", .help = "print JSON" },
	[OPTION_LENGTH] = { 0, "length", "BYTES",
			    "bytes in use of a fixed buffer", KIND_BYTES },
	[OPTION_OFFSET] = { 'o', "offset", "BYTES", "where the range begins",
			    KIND_BYTES },
	[OPTION_PURGEABLE] = { 0, "purgeable", "STATE",
			       "the purgeable state of a purgeable buffer",
			       KIND_TEXT, state_words },
	[OPTION_QUIET] = { 'q', "quiet", .help = "show no progress" },
	[OPTION_REMOVE] = { 'r', "remove",
			    .help = "of a directory: no defaults any more" },
	[OPTION_ROOT] = { 0, "root", "DIR",
			  "look at the /proc and /sys that are copied there",
			  KIND_DIRECTORY },
	[OPTION_SIZE] = { 's', "size", "BYTES", "how many bytes", KIND_BYTES },
	[OPTION_SORT] = { 's', "sort", "COLUMN", "sort by a column", KIND_WORD,
			  top_columns },
	[OPTION_SPEC] = { 's', "spec", "SPEC",
			  "make DEST with this specification", KIND_LIST,
			  spec_words },
};

static const struct command commands[] = {
	{ "create", "make a buffer",
	  "Makes FILE, which must not be there yet, and gives it the "
	  "specification SPEC. When that is refused there is no FILE.",
	  "iobuf create ring wired,capacity=64M\n"
	  "iobuf create dma contiguous,capacity=4M,align=2M,tag=camera\n",
	  { { .name = "FILE", .kind = KIND_FILE }, { .name = "SPEC", .kind = KIND_LIST, .words = spec_words } },
	  .run = command_create },
	{ "info", "what was asked, and what was obtained",
	  "Prints the specification and the state of each FILE: of a buffer, or "
	  "of the mount, when FILE is its top directory.",
	  "iobuf info ring\niobuf info --json ring | jq '.[0].wired'\n",
	  { { "FILE", KIND_FILE, .many = true } }, BIT(OPTION_JSON),
	  command_info },
	{ "ls", "the buffers of a directory",
	  "Prints a line for each buffer of DIR, the current directory when "
	  "there is none. Numbers are bytes; on a terminal they are rounded.",
	  "iobuf ls -a\n",
	  { { "DIR", KIND_DIRECTORY, .optional = true } },
	  BIT(OPTION_ALL) | BIT(OPTION_JSON), command_ls },
	{ "set", "change what can be changed",
	  "With SPEC, gives an empty buffer, which gets its memory, or a "
	  "directory, for what is made in it from then on, a specification. "
	  "Direction, length and purgeable state can be set at any time. What is "
	  "set first stays when a later one is refused; the order is SPEC, "
	  "direction, length, state.",
	  "iobuf set frames/ wired,capacity=8M\n"
	  "iobuf set --length 4K --direction out ring\n",
	  { { .name = "FILE", .kind = KIND_FILE },
	    { "SPEC", KIND_LIST, spec_words, .optional = true } },
	  BIT(OPTION_DIRECTION) | BIT(OPTION_LENGTH) | BIT(OPTION_PURGEABLE) |
		  BIT(OPTION_REMOVE),
	  command_set },
	{ "purgeable", "set the purgeable state, tell the old one",
	  "One atomic step: sets STATE and prints the state that the buffer had "
	  "until then; \"empty\" tells that its contents are gone. Without "
	  "STATE, tells the present one. STATE is nonvolatile, "
	  "volatile[:group=0-7][:fifo|lifo] or empty.",
	  "iobuf purgeable cache volatile:group=2\n"
	  "[ \"$(iobuf purgeable cache nonvolatile)\" = empty ] && fill cache\n",
	  { { .name = "FILE", .kind = KIND_FILE },
	    { "STATE", KIND_TEXT, state_words, .optional = true } },
	  BIT(OPTION_JSON), command_purgeable },
	{ "map", "show or fill a range, through a mapping",
	  "Maps FILE as any client does, and prints its bytes in hexadecimal and "
	  "as text, or with --fill writes them. The range is all that is in use; "
	  "with --size it may reach to the end of the capacity. Rows that are "
	  "as the one before are one line with a star.",
	  "iobuf map -o 4K -s 64 ring\niobuf map --fill 0 ring\n",
	  { { .name = "FILE", .kind = KIND_FILE } },
	  BIT(OPTION_FILL) | BIT(OPTION_JSON) | BIT(OPTION_OFFSET) |
		  BIT(OPTION_SIZE),
	  command_map },
	{ "copy", "copy bytes into or out of a buffer",
	  "Copies the bytes of SOURCE to DEST, in the kernel where it can do "
	  "that. A DEST that exists is written over in place and gets the length "
	  "of SOURCE: whoever maps it sees the new bytes. One that does not is "
	  "made with the specification that --spec says, else with that of "
	  "SOURCE when it has one; it is removed when the copy fails. Either may "
	  "be a pipe. On a terminal, work that takes long shows how far it is.",
	  "iobuf copy --spec wired model.bin /mnt/bufferfs/weights\n"
	  "iobuf copy frame out.raw\n",
	  { { .name = "SOURCE", .kind = KIND_FILE },
	    { .name = "DEST", .kind = KIND_FILE } },
	  BIT(OPTION_QUIET) | BIT(OPTION_SPEC), command_copy },
	{ "top", "who has how much",
	  "Shows for the mount that DIR is on what each owner, tag and task has. "
	  "On a terminal it does so again and again, until q; else once. With "
	  "--json, each table is an object in a line of its own.",
	  "iobuf top -s wired\niobuf top --json -n 60 -d 1 >minute.jsonl\n",
	  { { "DIR", KIND_DIRECTORY, .optional = true } },
	  BIT(OPTION_COUNT) | BIT(OPTION_DELAY) | BIT(OPTION_SORT) |
		  BIT(OPTION_JSON),
	  command_top },
	{ "bench", "what each kind of buffer gives here",
	  "Makes buffers of each kind in DIR, in a directory that is removed "
	  "afterwards, and prints how long it takes to create one and to touch "
	  "each of its pages for the first time through a mapping, and how fast "
	  "write, read and memcpy through the mapping are. The last row is a "
	  "file of /dev/shm. --size is that of each buffer; by default 64M, or "
	  "less where there is less room.",
	  "iobuf bench /mnt/bufferfs\niobuf bench -s 256M --json\n",
	  { { "DIR", KIND_DIRECTORY, .optional = true } },
	  BIT(OPTION_JSON) | BIT(OPTION_SIZE), command_bench },
	{ "doctor", "what works on this machine, and how to change what does not",
	  "Looks at the kernel, the limits and every mount of bufferfs, or at "
	  "that on DIR alone, and prints a line for each thing that they need, "
	  "and below what does not work the line that changes it. Ends with 0 "
	  "when all is well, and 1 when something does not work; what has only "
	  "to be asked for (\"off\") does not count. It changes nothing. Run it "
	  "as the user who mounts.",
	  "iobuf doctor\nsudo iobuf doctor --json /mnt/bufferfs\n",
	  { { "DIR", KIND_DIRECTORY, .optional = true } },
	  BIT(OPTION_JSON) | BIT(OPTION_ROOT), command_doctor },
	{ "help", "tell what a sub-command does",
	  "Prints the usage of all, or the manual of one.", NULL,
	  { { "COMMAND", KIND_WORD, command_words, .optional = true } },
	  .run = command_help },
};

const struct option_row *option_row(enum option_id id)
{
	return &option_rows[id];
}

const struct command *command_at(size_t index)
{
	return index < sizeof(commands) / sizeof(commands[0]) ? &commands[index]
							      : NULL;
}

const struct command *command_find(const char *name)
{
	const struct command *c;

	for (size_t i = 0; (c = command_at(i)); i++)
		if (!strcmp(c->name, name))
			return c;
	return NULL;
}
