#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""test_iobuf.py - what core/python/iobuf.py promises without a mount.

That it speaks the same as the headers in C is proven by examples.bats.
"""

import errno
import importlib.util
import mmap
import random
import struct
import threading
import unittest
from unittest import mock

import iobuf

BYTES = 1 << 16
WAIT = 60  # for what is bound to come; only a bug waits


def word(memory, at, value=None):
    if value is not None:
        struct.pack_into("I", memory, at, value)
    return struct.unpack_from("I", memory, at)[0]


class Ring(unittest.TestCase):
    module = iobuf

    def setUp(self):
        self.memory = mmap.mmap(-1, BYTES)
        self.module.SpscRing.init(self.memory, 12, 4)
        self.producer = self.attach(self.module.PRODUCER)
        self.consumer = self.attach(self.module.CONSUMER)

    def attach(self, side, slot_bytes=12):
        return self.module.SpscRing(self.memory, side, slot_bytes)

    def test_elements_come_in_order_and_once(self):
        for i in range(20):
            self.assertTrue(self.producer.push(b"%d" % i))
            self.assertTrue(self.producer.push(b"%d more" % i))
            self.assertEqual(self.consumer.pop(), (b"%d" % i).ljust(12, b"\0"))
            self.assertEqual(self.consumer.pop().rstrip(b"\0"), b"%d more" % i)
            self.assertIsNone(self.consumer.pop())

    def test_a_full_ring_takes_no_more(self):
        for i in range(4):
            self.assertTrue(self.producer.push(b"%d" % i))
        self.assertFalse(self.producer.push(b"5"))
        self.assertEqual(self.consumer.ready(), 4)
        self.consumer.pop()
        self.assertTrue(self.producer.push(b"5"))

    def test_an_element_that_is_too_long_is_refused_and_not_seen(self):
        with self.assertRaises(ValueError):
            self.producer.push(b"thirteen byte")
        self.assertIsNone(self.consumer.pop())

    def test_the_layout_is_that_of_the_header(self):
        self.producer.push(b"first")
        self.producer.push(b"second")
        self.consumer.pop()
        self.assertEqual([word(self.memory, at) for at in (0, 4, 8, 128, 256)],
                         [0x31525349, 12, 4, 2, 1])
        self.assertEqual(self.memory[384:389], b"first")
        self.assertEqual(self.memory[400:406], b"second")

    def test_indices_wrap_around(self):
        word(self.memory, 128, 0xFFFFFFFE)
        word(self.memory, 256, 0xFFFFFFFE)
        producer = self.attach(self.module.PRODUCER)
        consumer = self.attach(self.module.CONSUMER)
        for i in range(4):
            self.assertTrue(producer.push(b"%d" % i))
        self.assertFalse(producer.push(b"4"))
        self.assertEqual([consumer.pop()[:1] for _ in range(4)],
                         [b"0", b"1", b"2", b"3"])
        self.assertEqual(word(self.memory, 256), 2)

    def test_others_go_on_where_a_side_died(self):
        self.producer.push(b"one")
        self.producer.reserve()[:3] = b"???"
        self.consumer.peek()
        self.attach(self.module.PRODUCER).push(b"two")
        consumer = self.attach(self.module.CONSUMER)
        self.assertEqual([consumer.pop()[:3] for _ in range(2)], [b"one", b"two"])

    def test_each_side_refuses_the_calls_of_the_other(self):
        for call in (self.consumer.reserve, self.producer.peek):
            with self.assertRaises(OSError) as raised:
                call()
            self.assertEqual(raised.exception.errno, errno.EBADF)

    def test_what_is_no_ring_is_refused(self):
        for slot_bytes, slots in ((0, 4), (8, 0), (8, 3), (8, 1 << 31), (1 << 15, 4)):
            with self.assertRaises(ValueError):
                self.module.SpscRing.init(self.memory, slot_bytes, slots)
        with self.assertRaises(self.module.ProtocolError):
            self.attach(self.module.CONSUMER, 8)
        good = self.memory[:384]
        for at, value in ((0, 7), (4, 0), (4, 1 << 31), (8, 3), (8, 1 << 20),
                          (128, 5), (256, 1)):
            word(self.memory, at, value)
            with self.assertRaises(self.module.ProtocolError):
                self.attach(self.module.CONSUMER)
            self.memory[:384] = good
        word(self.memory, 0, 0)
        with self.assertRaises(BlockingIOError):
            self.attach(self.module.CONSUMER)

    def test_a_peers_index_that_cannot_be_is_told(self):
        for head in (5, 0xFFFFFFFF):
            word(self.memory, 128, head)
            with self.assertRaises(self.module.ProtocolError):
                self.consumer.pop()

    def test_a_hostile_peer_is_told_or_harmless(self):
        chance = random.Random(1)
        for _ in range(5000):
            word(self.memory, 4 * chance.randrange(96), chance.getrandbits(32))
            word(self.memory, 128, (self.consumer._own + chance.randrange(8)) % 2**32)
            try:
                element = self.consumer.pop()
                self.assertIn(len(element or bytes(12)), (12,))
                self.producer.push(b"x")
            except self.module.ProtocolError:
                pass

    def test_memory_can_be_closed_after_both_sides(self):
        self.producer.close()
        self.consumer.close()
        self.memory.close()


class Latest(unittest.TestCase):
    module = iobuf

    def setUp(self):
        self.memory = mmap.mmap(-1, BYTES)
        self.module.TripleBuffer.init(self.memory, 5000)
        self.producer = self.attach(self.module.PRODUCER)
        self.consumer = self.attach(self.module.CONSUMER)

    def attach(self, side, frame_bytes=5000):
        return self.module.TripleBuffer(self.memory, side, frame_bytes)

    def publish(self, n):
        self.producer.begin()[:] = bytes([n]) * 5000
        self.producer.publish()

    def assert_latest(self, n, sequence):
        frame, count = self.consumer.acquire()
        self.assertEqual((frame, count), (bytes([n]) * 5000, sequence))
        return frame

    def test_the_consumer_gets_the_newest_frame_once(self):
        self.assertIsNone(self.consumer.acquire())
        self.publish(7)
        self.assert_latest(7, 1)
        self.assertIsNone(self.consumer.acquire())
        for n in range(20, 25):
            self.publish(n)
        self.assert_latest(24, 6)

    def test_a_frame_that_is_held_or_latest_is_not_written_to(self):
        self.publish(1)
        held = self.assert_latest(1, 1)
        for n in range(2, 30):
            self.publish(n)
            self.producer.begin()[:] = bytes(5000)
            self.assertEqual(held, bytes([1]) * 5000)
        self.assert_latest(29, 29)

    def test_the_layout_is_that_of_the_header(self):
        self.publish(9)
        self.publish(8)
        self.assert_latest(8, 2)
        latest = word(self.memory, 128)
        self.assertEqual(word(self.memory, 0), 0x31425449)
        self.assertEqual(struct.unpack_from("Q", self.memory, 8), (5000,))
        self.assertEqual(latest >> 2, 2)
        self.assertEqual(word(self.memory, 256), latest & 3)
        self.assertEqual(self.memory[4096 + (latest & 3) * 8192], 8)

    def test_others_go_on_where_a_side_died(self):
        self.publish(1)
        self.assert_latest(1, 1)
        self.publish(2)
        self.producer.begin()[:] = bytes(5000)
        self.producer = self.attach(self.module.PRODUCER)
        self.consumer = self.attach(self.module.CONSUMER)
        self.assert_latest(2, 2)
        self.publish(3)
        self.assert_latest(3, 3)

    def test_what_is_no_triple_buffer_is_refused(self):
        for frame_bytes in (0, 1 << 40):
            with self.assertRaises(ValueError):
                self.module.TripleBuffer.init(self.memory, frame_bytes)
        with self.assertRaises(self.module.ProtocolError):
            self.attach(self.module.CONSUMER, 8)
        good = self.memory[:4096]
        for at, value in ((0, 7), (8, 0), (12, 1), (128, 7)):
            word(self.memory, at, value)
            with self.assertRaises(self.module.ProtocolError):
                self.attach(self.module.CONSUMER, 0)
            self.memory[:4096] = good

    def test_a_hostile_peer_is_told_or_harmless(self):
        chance = random.Random(2)
        for _ in range(5000):
            word(self.memory, 4 * chance.randrange(1024), chance.getrandbits(32))
            word(self.memory, 256, chance.randrange(5))
            self.publish(3)
            if chance.randrange(2):
                word(self.memory, 128, chance.getrandbits(32))
            try:
                self.consumer.acquire()
            except self.module.ProtocolError:
                pass

    def test_memory_can_be_closed_after_both_sides(self):
        self.publish(1)
        self.producer.close()
        self.consumer.close()
        self.memory.close()


class Sleep(unittest.TestCase):
    def in_thread(self, work):
        thread = threading.Thread(target=work)
        thread.start()
        self.addCleanup(thread.join)

    def test_a_wait_ends_at_its_timeout(self):
        memory = mmap.mmap(-1, BYTES)
        iobuf.SpscRing.init(memory, 8, 4)
        self.assertFalse(iobuf.SpscRing(memory, iobuf.CONSUMER).wait(0.02))
        iobuf.TripleBuffer.init(memory, 8)
        self.assertFalse(iobuf.TripleBuffer(memory, iobuf.CONSUMER).wait(0.02))

    def test_threads_that_sleep_exchange_elements(self):
        memory = mmap.mmap(-1, BYTES)
        iobuf.SpscRing.init(memory, 8, 4)
        producer = iobuf.SpscRing(memory, iobuf.PRODUCER)
        consumer = iobuf.SpscRing(memory, iobuf.CONSUMER)

        def produce():
            for i in range(2000):
                while not producer.push(struct.pack("Q", i)):
                    producer.wait(WAIT)
                producer.wake()

        self.in_thread(produce)
        for i in range(2000):
            self.assertTrue(consumer.wait(WAIT))
            self.assertEqual(struct.unpack("Q", consumer.pop()), (i,))
            consumer.wake()

    def test_a_thread_that_sleeps_gets_the_latest_frame(self):
        memory = mmap.mmap(-1, BYTES)
        iobuf.TripleBuffer.init(memory, 8)
        producer = iobuf.TripleBuffer(memory, iobuf.PRODUCER)
        consumer = iobuf.TripleBuffer(memory, iobuf.CONSUMER)

        def produce():
            for i in range(1, 501):
                producer.begin()[:] = struct.pack("Q", i)
                producer.publish()
                producer.wake()

        self.in_thread(produce)
        sequence = 0
        while sequence < 500:
            self.assertTrue(consumer.wait(WAIT))
            frame, newer = consumer.acquire()
            self.assertGreater(newer, sequence)
            self.assertEqual(struct.unpack("Q", frame), (newer,))
            sequence = newer


def module_of(machine):
    """iobuf as it is on another machine; None where that takes what is not here."""
    spec = importlib.util.find_spec("iobuf")
    module = importlib.util.module_from_spec(spec)
    with mock.patch("platform.machine", lambda: machine):
        spec.loader.exec_module(module)
    try:
        module._full_fence()
    except NotImplementedError:
        return None
    return module


def of_other_machines(cases):
    """The same with fences, as on machines whose processors reorder."""
    module = module_of("another")
    return [unittest.skipIf(module is None, "takes libatomic1")(
        type("Fenced" + case.__name__, (case,), {"module": module}))
        for case in cases]


FencedRing, FencedLatest = of_other_machines((Ring, Latest))

if __name__ == "__main__":
    unittest.main()
