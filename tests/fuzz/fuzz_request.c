/* SPDX-License-Identifier: MIT */
/*
 * fuzz_request.c - requests as the kernel sends them, through libfuse to the
 * operations and what is below them.
 *
 * A request: its opcode, of which file, flags, the fixed part, names, data. The
 * kernel's word is kept where libfuse or the operations live by it: sizes are
 * those of what follows, operations are on such files as they are for, names end,
 * have no slash and are not those of the directory itself, nodeids were answered
 * before, no more is forgotten than was looked up, and no device can be had.
 * Everything else is the input's. In some a worker dies after it has done the
 * request, and the next one is given it again.
 */
#include "fuzz.h"

#include "ops.h"

#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FIXED_MAX = 128, DATA_MAX = 8192, NODES_MAX = 64, REPLY_MAX = 512 };

/* FUSE_STATX of linux/fuse.h, Linux 6.6; older headers lack it. */
enum { REQUEST_STATX = 52 };

/* Requests that are not to be: of the connection as a whole, or what we lack. */
static const struct kind {
	uint32_t opcode;
	uint8_t fixed; /* bytes of its struct */
	uint8_t names;
	bool has_data;
} kinds[] = {
	{ FUSE_LOOKUP, 0, 1, false },
	{ FUSE_GETATTR, sizeof(struct fuse_getattr_in), 0, false },
	{ FUSE_SETATTR, sizeof(struct fuse_setattr_in), 0, false },
	{ FUSE_READLINK, 0, 0, false },
	{ FUSE_SYMLINK, 0, 2, false },
	{ FUSE_MKNOD, sizeof(struct fuse_mknod_in), 1, false },
	{ FUSE_MKDIR, sizeof(struct fuse_mkdir_in), 1, false },
	{ FUSE_UNLINK, 0, 1, false },
	{ FUSE_RMDIR, 0, 1, false },
	{ FUSE_RENAME, sizeof(struct fuse_rename_in), 2, false },
	{ FUSE_RENAME2, sizeof(struct fuse_rename2_in), 2, false },
	{ FUSE_LINK, sizeof(struct fuse_link_in), 1, false },
	{ FUSE_OPEN, sizeof(struct fuse_open_in), 0, false },
	{ FUSE_CREATE, sizeof(struct fuse_create_in), 1, false },
	{ FUSE_TMPFILE, sizeof(struct fuse_create_in), 1, false },
	{ FUSE_READ, sizeof(struct fuse_read_in), 0, false },
	{ FUSE_WRITE, sizeof(struct fuse_write_in), 0, true },
	{ FUSE_STATFS, 0, 0, false },
	{ FUSE_RELEASE, sizeof(struct fuse_release_in), 0, false },
	{ FUSE_FSYNC, sizeof(struct fuse_fsync_in), 0, false },
	{ FUSE_SETXATTR, FUSE_COMPAT_SETXATTR_IN_SIZE, 1, true },
	{ FUSE_GETXATTR, sizeof(struct fuse_getxattr_in), 1, false },
	{ FUSE_LISTXATTR, sizeof(struct fuse_getxattr_in), 0, false },
	{ FUSE_REMOVEXATTR, 0, 1, false },
	{ FUSE_OPENDIR, sizeof(struct fuse_open_in), 0, false },
	{ FUSE_READDIR, sizeof(struct fuse_read_in), 0, false },
	{ FUSE_READDIRPLUS, sizeof(struct fuse_read_in), 0, false },
	{ FUSE_RELEASEDIR, sizeof(struct fuse_release_in), 0, false },
	{ FUSE_FSYNCDIR, sizeof(struct fuse_fsync_in), 0, false },
	{ FUSE_ACCESS, sizeof(struct fuse_access_in), 0, false },
	{ FUSE_FORGET, sizeof(struct fuse_forget_in), 0, false },
	{ FUSE_INTERRUPT, sizeof(struct fuse_interrupt_in), 0, false },
	{ FUSE_IOCTL, sizeof(struct fuse_ioctl_in), 0, true },
	{ FUSE_FALLOCATE, sizeof(struct fuse_fallocate_in), 0, false },
	{ FUSE_LSEEK, sizeof(struct fuse_lseek_in), 0, false },
	{ FUSE_COPY_FILE_RANGE, sizeof(struct fuse_copy_file_range_in), 0, false },
	{ FUSE_BATCH_FORGET, sizeof(struct fuse_batch_forget_in), 0, true },
	{ FUSE_BMAP, sizeof(struct fuse_bmap_in), 0, false },
	{ FUSE_SYNCFS, 8, 0, false },
	{ REQUEST_STATX, 24, 0, false },
};

union fixed {
	unsigned char bytes[FIXED_MAX];
	struct fuse_read_in read;
	struct fuse_write_in write;
	struct fuse_setxattr_in setxattr;
	struct fuse_getxattr_in getxattr;
	struct fuse_mknod_in mknod;
	struct fuse_create_in create;
	struct fuse_rename_in rename; /* rename2 begins like it */
	struct fuse_link_in link;
	struct fuse_forget_in forget;
	struct fuse_batch_forget_in batch;
	struct fuse_ioctl_in ioctl;
	struct fuse_copy_file_range_in copy;
	struct fuse_interrupt_in interrupt;
};

/* What was answered. */
static struct {
	uint64_t nodeid;
	uint64_t lookups;
	uint32_t mode;
} nodes[NODES_MAX];
static size_t node_count;
static uint32_t current; /* opcode */
static uint64_t unique;
static int replies; /* a socket */

static void remember(uint64_t nodeid, uint32_t mode)
{
	for (size_t i = 0; i < node_count; i++)
		if (nodes[i].nodeid == nodeid) {
			nodes[i].lookups++;
			nodes[i].mode = mode;
			return;
		}
	if (nodeid && node_count < NODES_MAX) {
		nodes[node_count].nodeid = nodeid;
		nodes[node_count].mode = mode;
		nodes[node_count++].lookups = 1;
	}
}

static bool answers_entry(uint32_t opcode)
{
	return opcode == FUSE_LOOKUP || opcode == FUSE_MKNOD ||
	       opcode == FUSE_MKDIR || opcode == FUSE_SYMLINK ||
	       opcode == FUSE_LINK || opcode == FUSE_CREATE ||
	       opcode == FUSE_TMPFILE;
}

static void look_at(const unsigned char *reply, size_t size, size_t all)
{
	struct fuse_out_header header;
	struct fuse_entry_out entry;

	PROMISE(size >= sizeof(header));
	memcpy(&header, reply, sizeof(header));
	PROMISE(header.len == all);
	PROMISE(header.error <= 0 && header.error > -1000);
	if (!header.error && answers_entry(current) &&
	    size >= sizeof(header) + sizeof(entry)) {
		memcpy(&entry, reply + sizeof(header), sizeof(entry));
		remember(entry.nodeid, entry.attr.mode);
	}
}

static void hear(void)
{
	unsigned char reply[REPLY_MAX];
	ssize_t all;

	while ((all = recv(replies, reply, sizeof(reply),
			   MSG_DONTWAIT | MSG_TRUNC)) > 0)
		look_at(reply, (size_t)all < REPLY_MAX ? (size_t)all : REPLY_MAX,
			(size_t)all);
}

static void process(void *request, size_t size)
{
	struct fuse_buf buf = { .mem = request, .size = size };

	fuse_session_process_buf(fuzz_fs.session, &buf);
	hear();
}

static void agree(void)
{
	struct {
		struct fuse_in_header header;
		struct fuse_init_in init;
	} request = {
		.header = { .len = sizeof(request), .opcode = FUSE_INIT, .unique = 2 },
		.init = { .major = 7, .minor = 38, .max_readahead = 1 << 17,
			  .flags = FUSE_ASYNC_READ | FUSE_BIG_WRITES |
				   FUSE_DO_READDIRPLUS | FUSE_HANDLE_KILLPRIV },
	};

	current = FUSE_INIT;
	process(&request, sizeof(request));
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	static struct fuse_lowlevel_ops ops;
	char *words[] = { (char *)"fuzz", NULL };
	struct fuse_args args = { 1, words, 0 };
	const int room = 1 << 20;
	char path[32];
	int sockets[2];

	(void)argc;
	(void)argv;
	fuzz_fs_create();
	fuzz_be_modest();
	bfs_ops_name(&ops);
	bfs_ops_open(&ops);
	bfs_ops_io(&ops);
	bfs_ops_dir(&ops);
	bfs_ops_xattr(&ops);
	fuzz_fs.session = fuse_session_new(&args, &ops, sizeof(ops), &fuzz_fs);
	fuse_opt_free_args(&args);
	PROMISE(fuzz_fs.session);
	/* In place of /dev/fuse: a reply is a packet. */
	PROMISE(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) == 0);
	replies = sockets[0];
	setsockopt(sockets[1], SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
	snprintf(path, sizeof(path), "/dev/fd/%d", sockets[1]);
	PROMISE(fuse_session_mount(fuzz_fs.session, path) == 0);
	agree();
	return 0;
}

static uint64_t choose_node(struct input *in)
{
	const uint8_t i = take_byte(in);

	return node_count && i % 4 ? nodes[i % node_count].nodeid
				   : FUSE_ROOT_ID;
}

/* A name, as the kernel lets them through; a link's target can be anything. */
static size_t put_name(struct input *in, unsigned char *to, bool is_target)
{
	const uint8_t *bytes;
	const uint8_t first = take_byte(in);
	size_t n;

	if (first < 128) { /* few names: so that they meet */
		to[0] = 'a' + first % 6;
		to[1] = '\0';
		return 2;
	}
	n = take_bytes(in, first == 255 ? 255 : first % 32 + 1u, &bytes);
	for (size_t i = 0; i < n; i++)
		to[i] = !bytes[i] || (bytes[i] == '/' && !is_target) ? '_'
								     : bytes[i];
	to[n] = '\0';
	if (!is_target && (!n || !strcmp((char *)to, ".") ||
			   !strcmp((char *)to, "..")))
		strcpy((char *)to, "x");
	return strlen((char *)to) + 1;
}

static size_t put_xattr_name(struct input *in, unsigned char *to)
{
	static const char *const names[] = {
		"user.x", "user.iobuf", "user.iobuf.purgeable", "trusted.x",
		"user.iobuf.state", "user.iobuf.capacity", "user.iobuf.tag",
		"user.iobuf.record", "system.posix_acl_access",
		"system.posix_acl_default", "security.capability",
		"user.iobuf.options", "user.iobuf.length", "user.iobuf.store",
	};
	const char *name = names[take_byte(in) %
				 (sizeof(names) / sizeof(names[0]))];

	strcpy((char *)to, name);
	return strlen(name) + 1;
}

static bool is_about_xattrs(uint32_t opcode)
{
	return opcode == FUSE_SETXATTR || opcode == FUSE_GETXATTR ||
	       opcode == FUSE_REMOVEXATTR;
}

static size_t put_names(const struct kind *kind, struct input *in,
			unsigned char *to)
{
	size_t n = 0;

	if (is_about_xattrs(kind->opcode))
		return put_xattr_name(in, to);
	for (uint8_t i = 0; i < kind->names; i++)
		n += put_name(in, to + n, kind->opcode == FUSE_SYMLINK && i == 1);
	return n;
}

static uint64_t forgotten(uint64_t nodeid, uint64_t wanted)
{
	for (size_t i = 0; i < node_count; i++)
		if (nodes[i].nodeid == nodeid) {
			if (wanted > nodes[i].lookups)
				wanted = nodes[i].lookups;
			nodes[i].lookups -= wanted;
			return wanted;
		}
	return 0;
}

static bool is_of(uint64_t nodeid, uint32_t type)
{
	if (nodeid == FUSE_ROOT_ID)
		return type == S_IFDIR;
	for (size_t i = 0; i < node_count; i++)
		if (nodes[i].nodeid == nodeid)
			return (nodes[i].mode & S_IFMT) == type;
	return false;
}

/* Of what it is not for, nothing is asked. */
static bool is_for(uint32_t opcode, uint64_t nodeid)
{
	switch (opcode) {
	case FUSE_OPEN:
	case FUSE_READ:
	case FUSE_WRITE:
	case FUSE_RELEASE:
	case FUSE_FSYNC:
	case FUSE_FALLOCATE:
	case FUSE_LSEEK:
	case FUSE_COPY_FILE_RANGE:
		return is_of(nodeid, S_IFREG);
	case FUSE_SETATTR:
	case FUSE_SETXATTR:
	case FUSE_GETXATTR:
	case FUSE_REMOVEXATTR:
	case FUSE_IOCTL:
		return is_of(nodeid, S_IFREG) || is_of(nodeid, S_IFDIR);
	case FUSE_READLINK:
		return is_of(nodeid, S_IFLNK);
	case FUSE_GETATTR:
	case REQUEST_STATX:
	case FUSE_STATFS:
	case FUSE_LISTXATTR:
	case FUSE_FORGET:
	case FUSE_BATCH_FORGET:
	case FUSE_INTERRUPT:
	case FUSE_ACCESS:
	case FUSE_LINK:
		return true;
	default:
		return is_of(nodeid, S_IFDIR);
	}
}

static uint64_t choose_file(struct input *in)
{
	const uint64_t nodeid = choose_node(in);

	return is_of(nodeid, S_IFREG) ? nodeid : 0;
}

static void bound(uint32_t *size, uint32_t most)
{
	*size %= most + 1;
}

static void keep_word(const struct kind *kind, struct input *in, uint64_t nodeid,
		      union fixed *fixed, uint32_t data_size)
{
	switch (kind->opcode) {
	case FUSE_READ:
	case FUSE_READDIR:
	case FUSE_READDIRPLUS:
		bound(&fixed->read.size, 1 << 17);
		break;
	case FUSE_WRITE:
		fixed->write.size = data_size;
		break;
	case FUSE_SETXATTR:
		fixed->setxattr.size = data_size;
		fixed->setxattr.flags %= 4;
		break;
	case FUSE_GETXATTR:
	case FUSE_LISTXATTR:
		bound(&fixed->getxattr.size, 1 << 16);
		break;
	case FUSE_CREATE:
	case FUSE_TMPFILE:
		fixed->create.mode = S_IFREG | (fixed->create.mode & 07777);
		break;
	case FUSE_MKNOD:
		fixed->mknod.rdev = 0;
		break;
	case FUSE_RENAME:
	case FUSE_RENAME2:
		fixed->rename.newdir = choose_node(in);
		break;
	case FUSE_LINK:
		fixed->link.oldnodeid = choose_node(in);
		break;
	case FUSE_FORGET:
		fixed->forget.nlookup = forgotten(nodeid, fixed->forget.nlookup);
		break;
	case FUSE_IOCTL:
		fixed->ioctl.in_size = data_size;
		bound(&fixed->ioctl.out_size, 1 << 12);
		break;
	case FUSE_COPY_FILE_RANGE:
		fixed->copy.nodeid_out = choose_file(in);
		break;
	case FUSE_INTERRUPT: /* of one that is over, or to come */
		fixed->interrupt.unique = unique - 8 + fixed->interrupt.unique % 16 * 2;
		break;
	}
}

/* As many as there is data for, each of a file that was answered. */
static size_t put_forgets(struct input *in, union fixed *fixed,
			  unsigned char *at, size_t size)
{
	const size_t count = size / sizeof(struct fuse_forget_one);
	struct fuse_forget_one one;

	for (size_t i = 0; i < count; i++) {
		memcpy(&one, at + i * sizeof(one), sizeof(one));
		one.nodeid = choose_node(in);
		one.nlookup = forgotten(one.nodeid, one.nlookup);
		memcpy(at + i * sizeof(one), &one, sizeof(one));
	}
	fixed->batch.count = (uint32_t)count;
	return count * sizeof(one);
}

/* The request, again. */
static void die_over(unsigned char *request, size_t size)
{
	struct fuse_in_header *header = (void *)request;

	fuzz_next_worker();
	bfs_files_recover(&fuzz_fs);
	header->unique |= UINT64_C(1) << 63;
	if (bfs_request_begin(&fuzz_fs, header->unique))
		process(request, size);
	bfs_request_end(&fuzz_fs);
}

static void serve(unsigned char *request, size_t size, bool dies)
{
	const struct fuse_in_header *header = (void *)request;
	unsigned char *copy = malloc(size);

	PROMISE(copy);
	memcpy(copy, request, size);
	current = header->opcode;
	PROMISE(bfs_request_begin(&fuzz_fs, header->unique));
	process(request, size);
	if (dies && header->opcode != FUSE_FORGET &&
	    header->opcode != FUSE_BATCH_FORGET)
		die_over(copy, size);
	else
		bfs_request_end(&fuzz_fs);
	free(copy);
}

static void ask(struct input *in)
{
	const struct kind *kind =
		&kinds[take_byte(in) % (sizeof(kinds) / sizeof(kinds[0]))];
	const uint64_t nodeid = choose_node(in);
	const uint8_t flags = take_byte(in);
	unsigned char *request = calloc(1, sizeof(struct fuse_in_header) +
						   FIXED_MAX + 1024 + DATA_MAX);
	struct fuse_in_header *header = (void *)request;
	union fixed *fixed = (void *)(header + 1);
	unsigned char *at = fixed->bytes + kind->fixed;
	const uint8_t *bytes;
	size_t n;

	PROMISE(request);
	if (!is_for(kind->opcode, nodeid)) {
		free(request);
		return;
	}
	n = take_bytes(in, flags & 1 ? kind->fixed : kind->fixed / 4, &bytes);
	if (n)
		memcpy(fixed->bytes, bytes, n);
	at += put_names(kind, in, at);
	n = 0;
	if (kind->has_data &&
	    (n = take_bytes(in, take_byte(in) * (flags & 2 ? 32u : 1u), &bytes)))
		memcpy(at, bytes, n);
	if (kind->opcode == FUSE_BATCH_FORGET)
		n = put_forgets(in, fixed, at, n);
	keep_word(kind, in, nodeid, fixed, (uint32_t)n);
	at += n;
	unique += 2;
	*header = (struct fuse_in_header){
		.len = (uint32_t)(at - request),
		.opcode = kind->opcode,
		.unique = unique,
		.nodeid = nodeid,
		.uid = flags & 4 ? 1000 : 0,
		.gid = flags & 4 ? 1000 : 0,
		.pid = (uint32_t)getpid(),
	};
	/* As long as it is: what is read past its end shows. */
	if ((at = realloc(request, header->len)))
		request = at;
	serve(request, ((struct fuse_in_header *)request)->len, flags >= 0xf0);
	free(request);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	enum { REQUESTS_MAX = 64 };
	struct input in = { data, size };

	fuzz_fs_begin();
	node_count = 0;
	for (int i = 0; i < REQUESTS_MAX && in.left; i++)
		ask(&in);
	fuzz_fs_clear();
	return 0;
}
