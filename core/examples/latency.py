#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""How long a message takes to another process and back, through two rings.

    ./latency.py pong /mnt/bufferfs/pair spin &
    ./latency.py ping /mnt/bufferfs/pair spin    # prints the median, in us

Ping also takes a number of rounds, 20000 without. `spin` looks at the ring all the
time, which takes a CPU for each side; `sleep` sleeps and is woken. Either side may be
latency.c instead. iobuf.py lies in core/python, or where PYTHONPATH says.
"""

import os
import statistics
import struct
import sys
import time

import iobuf

SPEC = "wired,capacity=64K,tag=latency"
SLOTS, HALF, ROUNDS, PEER_TIMEOUT = 16, 32 << 10, 20000, 10
MESSAGE = struct.Struct("Q56s")  # the number; 0: there are no more


class Pair:
    """What one side has: a ring to send on, one to receive from."""

    def __init__(self, out, into, spins):
        self.out = attach(out, iobuf.PRODUCER)
        self.into = attach(into, iobuf.CONSUMER)
        self.spins = spins

    def put(self, element):
        assert self.out.push(element)  # never full: one message is on its way
        if not self.spins:
            self.out.wake()

    def get(self):
        while not (element := self.into.pop()):
            if not self.spins and not self.into.wait(PEER_TIMEOUT):
                sys.exit("pop: nothing comes")
        return element


def attach(memory, side):
    while True:
        try:
            return iobuf.SpscRing(memory, side, MESSAGE.size)
        except BlockingIOError:
            time.sleep(0.001)  # until ping has made it


def ping(pair, rounds):
    took = []
    for i in range(1, rounds + 1):
        message = MESSAGE.pack(i, b"")
        began = time.perf_counter_ns()
        pair.put(message)
        answer = pair.get()
        took.append(time.perf_counter_ns() - began)
        assert answer == message
    pair.put(MESSAGE.pack(0, b""))
    print("%.2f" % (statistics.median(took) / 1000))


def pong(pair):
    while MESSAGE.unpack(message := pair.get())[0]:
        pair.put(message)


def main():
    if len(sys.argv) not in (4, 5) or sys.argv[1] not in ("ping", "pong"):
        sys.exit("usage: latency.py ping|pong FILE spin|sleep [ROUNDS]")
    pings = sys.argv[1] == "ping"
    memory = memoryview(iobuf.create(sys.argv[2], SPEC))
    there, back = memory[:HALF], memory[HALF:]
    if pings:
        for half in (there, back):
            iobuf.SpscRing.init(half, MESSAGE.size, SLOTS)
    pair = Pair(*((there, back) if pings else (back, there)),
                sys.argv[3] == "spin")
    if pings:
        ping(pair, int(sys.argv[4]) if len(sys.argv) == 5 else ROUNDS)
        os.unlink(sys.argv[2])
    else:
        pong(pair)


main()
