#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A camera whose viewer sees the newest picture, through a triple buffer.

    ./latest.py camera /mnt/bufferfs/camera 300 &    # 300 pictures, 100 a second
    ./latest.py viewer /mnt/bufferfs/camera          # until the last one

Either side may be latest.c instead, and either may come first. iobuf.py lies in
core/python, or where PYTHONPATH says. With numpy a picture is an array, in place:
numpy.frombuffer(frame, numpy.uint8, offset=8).reshape(480, 640).
"""

import os
import struct
import sys
import time

import iobuf

SPEC = "wired,capacity=1M,tag=camera"
HEAD = struct.Struct("II")  # the picture's number; whether it is the last one
PIXELS = 640 * 480
FRAME_BYTES = HEAD.size + PIXELS
PEER_TIMEOUT = 10


def run_camera(memory, pictures):
    iobuf.TripleBuffer.init(memory, FRAME_BYTES)
    camera = iobuf.TripleBuffer(memory, iobuf.PRODUCER, FRAME_BYTES)
    for i in range(1, pictures + 1):
        frame = camera.begin()
        HEAD.pack_into(frame, 0, i, i == pictures)
        frame[HEAD.size:] = bytes([i & 255]) * PIXELS
        camera.publish()
        camera.wake()
        time.sleep(0.01)


def attach(memory):
    while True:
        try:
            return iobuf.TripleBuffer(memory, iobuf.CONSUMER, FRAME_BYTES)
        except BlockingIOError:
            time.sleep(0.001)  # until the camera has made it


def run_viewer(memory):
    viewer = attach(memory)
    before = 0
    while viewer.wait(PEER_TIMEOUT):
        frame, sequence = viewer.acquire()
        number, is_last = HEAD.unpack_from(frame)
        is_whole = frame[HEAD.size:] == bytes([number & 255]) * PIXELS
        print("picture %d, %s, %d skipped" % (
            number, "whole" if is_whole else "torn", sequence - before - 1))
        if is_last:
            return
        before = sequence
    sys.exit("viewer: the camera shows nothing")


def main():
    if sys.argv[1:2] == ["camera"] and len(sys.argv) == 4:
        run_camera(iobuf.create(sys.argv[2], SPEC), int(sys.argv[3]))
    elif sys.argv[1:2] == ["viewer"] and len(sys.argv) == 3:
        run_viewer(iobuf.create(sys.argv[2], SPEC))
        os.unlink(sys.argv[2])
    else:
        sys.exit("usage: latest.py camera FILE PICTURES | viewer FILE")


main()
