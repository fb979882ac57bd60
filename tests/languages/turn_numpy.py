#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""turn_numpy.py - one member of a ring of processes, by arrays of numpy: see turn.c.

The arrays are the buffers: numpy copies nothing.
"""

import time

import numpy

from turn import LINE_BYTES, NAME_AT, NAME_BYTES, arguments, line_of, map_buffer


def take_turns(log, page, name, index, members, rounds):
    lines = numpy.frombuffer(log, f"S{LINE_BYTES}")
    counter = numpy.frombuffer(page, numpy.uint32, count=1)
    before = numpy.frombuffer(page, f"S{NAME_BYTES}", count=1, offset=NAME_AT)
    for turn in range(rounds):
        mine = turn * members + index
        while counter[0] != mine:
            time.sleep(0.0001)
        lines[turn] = line_of(mine, before[0])
        before[0] = name
        counter[0] = mine + 1


if __name__ == "__main__":
    directory, name, spec, *numbers = arguments()
    take_turns(map_buffer(f"{directory}/{name}", spec),
               map_buffer(f"{directory}/page"), name, *numbers)
