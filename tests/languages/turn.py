#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""turn.py - one member of a ring of processes, in Python by mmap: see turn.c.

The others in Python have their own way to the memory, and call take_turns() too.
"""

import mmap
import os
import struct
import sys
import time

NAME_AT, NAME_BYTES, LINE_BYTES = 64, 16, 32


def map_buffer(path, spec=None):
    """Map a buffer; with a specification it is made."""
    fd = os.open(path, os.O_RDWR | (os.O_CREAT | os.O_EXCL if spec else 0), 0o600)
    if spec:
        os.setxattr(fd, "user.iobuf", spec.encode())
    memory = mmap.mmap(fd, os.fstat(fd).st_size)
    os.close(fd)
    return memory


def line_of(mine, before):
    return b"%-15d%-16b\n" % (mine, bytes(before).rstrip(b"\0"))


def take_turns(log, page, name, index, members, rounds):
    for turn in range(rounds):
        mine = turn * members + index
        while struct.unpack_from("I", page)[0] != mine:
            time.sleep(0.0001)
        line = line_of(mine, page[NAME_AT:NAME_AT + NAME_BYTES])
        log[turn * LINE_BYTES:(turn + 1) * LINE_BYTES] = line
        page[NAME_AT:NAME_AT + NAME_BYTES] = name.encode().ljust(NAME_BYTES, b"\0")
        struct.pack_into("I", page, 0, mine + 1)


def arguments():
    """The directory, the name, the specification, and three numbers."""
    return [*sys.argv[1:4], *map(int, sys.argv[4:7])]


if __name__ == "__main__":
    directory, name, spec, *numbers = arguments()
    take_turns(map_buffer(f"{directory}/{name}", spec),
               map_buffer(f"{directory}/page"), name, *numbers)
