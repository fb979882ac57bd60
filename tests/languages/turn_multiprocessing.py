#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""turn_multiprocessing.py - one member of a ring of processes, by multiprocessing:
see turn.c.

Each round is had by another process of a pool. They are started afresh (`spawn`),
so that they inherit nothing: each maps the buffers by their names.
"""

import multiprocessing
import sys

from turn import LINE_BYTES, arguments, map_buffer, take_turns


def one_round(directory, name, turn, index, members):
    log = memoryview(map_buffer(f"{directory}/{name}"))[turn * LINE_BYTES:]
    page = map_buffer(f"{directory}/page")
    # A ring in which this is the only round, and as long as all up to it.
    take_turns(log, page, name, turn * members + index, 0, 1)
    return multiprocessing.current_process().pid


if __name__ == "__main__":
    directory, name, spec, index, members, rounds = arguments()
    map_buffer(f"{directory}/{name}", spec)
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        who = pool.starmap(one_round, [(directory, name, turn, index, members)
                                       for turn in range(rounds)], chunksize=1)
    sys.exit(0 if len(who) == rounds else 1)
