/* SPDX-License-Identifier: MIT */
/*
 * view.c - where some bytes of a buffer are in memory, for as long as they are
 * worked on: in the descriptor's mapping, or in one of their own. An elastic
 * buffer that is not mapped is seen in parts, because its file may be larger
 * than the addresses that a process has.
 */
#include "internal.h"

int iobuf_view_open(struct iobuf *buffer, uint64_t offset, uint64_t size,
		    struct iobuf_view *ret_view)
{
	const struct iobuf_mapping *all = &buffer->mapping;
	const uint64_t skipped = offset & (iobuf_page_bytes() - 1);
	struct iobuf_view view = { 0 };
	int r = iobuf_is_fixed(buffer) ? iobuf_map_locked(buffer) : 0;

	if (r < 0)
		return r;
	if (all->base && offset <= all->size && size <= all->size - offset) {
		view.at = all->base + offset;
		view.writable = all->writable;
		*ret_view = view;
		return 0;
	}
	if (buffer->fd < 0)
		return -EBADF;
	r = iobuf_memory_map_at(buffer->fd, offset - skipped,
				iobuf_round_up(skipped + size,
					       iobuf_page_bytes()),
				&view.own);
	if (r < 0)
		return r;
	view.at = view.own.base + skipped;
	view.writable = view.own.writable;
	*ret_view = view;
	return 0;
}

void iobuf_view_close(struct iobuf_view *view)
{
	iobuf_memory_unmap(&view->own);
}
