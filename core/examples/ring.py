#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Lines of text from one process to another, through a ring in a buffer.

    ./ring.py send /mnt/bufferfs/lines < /etc/services &
    ./ring.py receive /mnt/bufferfs/lines

Either side may be ring.c instead, and either may come first. iobuf.py lies in
core/python, or where PYTHONPATH says.
"""

import os
import struct
import sys
import time

import iobuf

SPEC = "wired,capacity=64K,tag=lines"
SLOTS = 256
LINE = struct.Struct("I124s")  # how many bytes of text; 0: there are no more lines
PEER_TIMEOUT = 10


def send_line(ring, text):
    while not ring.push(LINE.pack(len(text), text)):
        if not ring.wait(PEER_TIMEOUT):
            sys.exit("send: the receiver takes nothing")
    ring.wake()


def send_lines(memory):
    iobuf.SpscRing.init(memory, LINE.size, SLOTS)
    ring = iobuf.SpscRing(memory, iobuf.PRODUCER, LINE.size)
    while text := sys.stdin.buffer.readline(123):
        send_line(ring, text)
    send_line(ring, b"")


def attach(memory):
    while True:
        try:
            return iobuf.SpscRing(memory, iobuf.CONSUMER, LINE.size)
        except BlockingIOError:
            time.sleep(0.001)  # until the sender has made it


def receive_lines(memory):
    ring = attach(memory)
    while ring.wait(PEER_TIMEOUT):
        while element := ring.pop():
            length, text = LINE.unpack(element)
            if length == 0:
                return
            sys.stdout.buffer.write(text[:length])
        ring.wake()  # there is room again
    sys.exit("receive: the sender sends nothing")


def main():
    if len(sys.argv) != 3 or sys.argv[1] not in ("send", "receive"):
        sys.exit("usage: ring.py send|receive FILE")
    memory = iobuf.create(sys.argv[2], SPEC)
    if sys.argv[1] == "send":
        send_lines(memory)
    else:
        receive_lines(memory)
        os.unlink(sys.argv[2])


main()
