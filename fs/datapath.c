/* SPDX-License-Identifier: MIT */
#include "datapath.h"

#include <iobuf/spec.h>

bool bfs_options_are_plain(uint32_t options)
{
	const uint32_t cache = options & IOBUF_CACHE_MASK;
	const uint32_t rest = options & ~(IOBUF_CACHE_MASK | IOBUF_PURGEABLE);

	return rest == (IOBUF_PAGEABLE | IOBUF_DIRECTION_INOUT | IOBUF_SHARED) &&
	       (cache == IOBUF_CACHE_DEFAULT || cache == IOBUF_CACHE_COPYBACK);
}

struct bfs_datapath bfs_datapath_choose(bool has_passthrough, uint32_t options,
					bool fixed, bool empty, bool write_only,
					bool clears_set_id)
{
	if ((options & IOBUF_SHARING_MASK) == IOBUF_UNSHARED)
		return (struct bfs_datapath){ .direct_io = true };
	if (!has_passthrough)
		return (struct bfs_datapath){ 0 };
	return (struct bfs_datapath){
		.passthrough = true,
		/* A still empty buffer may be given options while it is open,
		 * so its writes are watched; an O_WRONLY open is that of cp,
		 * cat or dd, and freezes the options instead. */
		.direct_io = fixed || !bfs_options_are_plain(options) ||
			     (empty && !write_only) || clears_set_id,
	};
}

const char *bfs_datapath_name(struct bfs_datapath path)
{
	return path.passthrough ? "passthrough"
	       : path.direct_io ? "direct"
				: "cached";
}
