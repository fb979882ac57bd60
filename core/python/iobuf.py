# SPDX-License-Identifier: MIT
"""Buffers of bufferfs in Python, and what two processes exchange through one.

    import iobuf
    memory = iobuf.create("/mnt/bufferfs/queue", "wired,capacity=1M")
    iobuf.SpscRing.init(memory, slot_bytes=64, slots=1024)
    ring = iobuf.SpscRing(memory, iobuf.PRODUCER)
    ring.push(b"hello")

SpscRing is the ring of <iobuf/spsc_ring.h>, TripleBuffer the latest frame of
<iobuf/triple_buffer.h>: the same layout and the same promises, which are described
there, so that either side may be in C, C++ or Python. Any writable memory will do
that both sides map: also a memfd, or multiprocessing.shared_memory.

An object is one side, and is for one thread at a time. Views that it gave
(memoryview; numpy.frombuffer() takes them) are of the memory itself, with no copy.
close() it before the mapping is closed.

Python has no atomic operations. On x86 it needs none but a fence, which a lock has
in it; other machines need libatomic (the package libatomic1), or the classes raise
NotImplementedError.
"""

import ctypes
import errno
import mmap
import os
import platform
import struct
import threading
import time

PRODUCER = "producer"
CONSUMER = "consumer"


class ProtocolError(OSError):
    """What is in the memory cannot be: it is something else, or the peer is broken."""

    def __init__(self, what):
        super().__init__(errno.EPROTO, what)


# ---- buffers -------------------------------------------------------------------


def create(path, spec, mode=0o600):
    """The mapping of a buffer with a specification that has a capacity: one that is
    made, or one that is there and has the same. So each of several processes may
    call it, without knowing who comes first.

    Raises OSError with the errno that README.md explains: EBUSY for another buffer.
    """
    flags = os.O_RDWR | os.O_CLOEXEC
    try:
        fd = os.open(path, flags | os.O_CREAT | os.O_EXCL, mode)
        made = True
    except FileExistsError:
        fd = os.open(path, flags)
        made = False
    try:
        os.setxattr(fd, "user.iobuf", spec.encode())
        return _map(fd)
    except BaseException:
        if made:
            os.unlink(path)
        raise
    finally:
        os.close(fd)


def map_file(path):
    """A buffer that exists, up to its length, mapped shared for reading and writing."""
    fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        return _map(fd)
    finally:
        os.close(fd)


def state(path):
    """What a buffer really has, as a dict of strings: kind, wired, datapath, ..."""
    text = os.getxattr(path, "user.iobuf.state").decode()
    return dict(line.split("=", 1) for line in text.splitlines())


def _map(fd):
    return mmap.mmap(fd, os.fstat(fd).st_size)


# ---- fences and futexes --------------------------------------------------------

_MACHINE = platform.machine()
_IS_X86 = _MACHINE in ("x86_64", "i386", "i486", "i586", "i686")
_SEQ_CST = 5  # memory_order_seq_cst

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long
_SYS_FUTEX = {
    "x86_64": 202, "aarch64": 98, "riscv64": 98, "loongarch64": 98,
    "ppc64le": 221, "s390x": 238,
}.get(_MACHINE)
_FUTEX_WAKE, _FUTEX_WAIT_BITSET, _MATCH_ANY = 1, 9, 0xFFFFFFFF


def _full_fence():
    """A function that orders all accesses before it against all after it."""
    if not _IS_X86:
        try:
            fence = ctypes.CDLL("libatomic.so.1").atomic_thread_fence
        except OSError:
            raise NotImplementedError("takes libatomic (libatomic1)") from None
        return lambda: fence(_SEQ_CST)
    lock = threading.Lock()  # of its own: it is always free

    def fence():
        lock.acquire(False)  # a locked instruction is a full fence
        lock.release()

    return fence


def _futex(address, operation, value, deadline, bits):
    if _SYS_FUTEX is None or struct.calcsize("P") != 8:
        raise OSError(errno.ENOSYS, "sleeping is not known here: poll")
    result = _libc.syscall(
        ctypes.c_long(_SYS_FUTEX), ctypes.c_void_p(address),
        ctypes.c_int(operation), ctypes.c_uint32(value), deadline, None,
        ctypes.c_uint32(bits))
    return 0 if result >= 0 else ctypes.get_errno()


class _Words:
    """32-bit words of shared memory, each written by one side.

    A store is seen after all that was done before it, and a load before all that is
    done after it (release, acquire). An item of a view is moved as a whole. On x86
    the processor keeps that order itself.
    """

    def __init__(self, memory, count):
        self._words = memory[:4 * count].cast("I")
        self._first = ctypes.c_uint32.from_buffer(memory)
        self._address = ctypes.addressof(self._first)
        self.fence = _full_fence()

    if _IS_X86:
        def load(self, i):
            return self._words[i]

        def store(self, i, value):
            self._words[i] = value
    else:
        def load(self, i):
            value = self._words[i]
            self.fence()
            return value

        def store(self, i, value):
            self.fence()
            self._words[i] = value

    def sleep(self, i, value, deadline):
        """Until it is woken, is not `value`, or time.monotonic() is the deadline;
        False then."""
        at = None
        if deadline is not None:
            deadline = max(deadline, 0)
            at = struct.pack("qq", int(deadline), int(deadline % 1 * 1e9))
        return _futex(self._address + 4 * i, _FUTEX_WAIT_BITSET, value, at,
                      _MATCH_ANY) != errno.ETIMEDOUT

    def wake(self, i):
        _futex(self._address + 4 * i, _FUTEX_WAKE, 0x7FFFFFFF, None, 0)

    def close(self):
        self._words.release()
        self._first = None


class _Side:
    """What both classes have in common: views of the memory, and their end."""

    def _open(self, memory, header_bytes, magic):
        """Views of memory in which something of that kind was made."""
        self._memory = _bytes_of(memory)
        self._words = None
        if len(self._memory) < header_bytes:
            raise ValueError("the memory is too small")
        self._words = _Words(self._memory, header_bytes // 4)
        found = self._words.load(0)
        if found == 0:
            raise BlockingIOError(errno.EAGAIN, "nothing was made here yet")
        if found != magic:
            raise ProtocolError("something else was made here")

    def close(self):
        """Let go of the memory. Views that were given are released by who has them."""
        if self._words:
            self._words.close()
        self._memory.release()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _only(self, side):
        if self.side != side:
            raise OSError(errno.EBADF, "only the %s does that" % side)


def _bytes_of(memory):
    view = memoryview(memory).cast("B")
    if view.readonly:
        raise ValueError("the memory is not writable")
    return view


def _make(memory, needed, magic, words):
    """A header of these {index: value}, the magic last."""
    view = _bytes_of(memory)
    try:
        if needed == 0 or needed > len(view):
            raise ValueError("no such sizes, or they do not fit")
        header = _Words(view, 384 // 4)
        header.store(0, 0)
        for i, value in words.items():
            header.store(i, value)
        header.store(0, magic)
        header.close()
    finally:
        view.release()


# ---- a ring --------------------------------------------------------------------

_HEAD, _PRODUCER_WAITS, _TAIL, _CONSUMER_WAITS = 32, 33, 64, 65
_MODULO = 0xFFFFFFFF


class SpscRing(_Side):
    """Elements of one size, from one producer to one consumer, in order, each once."""

    MAGIC = 0x31525349
    HEADER = 384
    SLOTS_MAX = 1 << 30

    @classmethod
    def bytes_needed(cls, slot_bytes, slots):
        """How many bytes of memory it takes; 0: there is none like that."""
        if (not 0 < slot_bytes <= _MODULO or not 0 < slots <= cls.SLOTS_MAX
                or slots & (slots - 1)):
            return 0
        return cls.HEADER + (slot_bytes + 7) // 8 * 8 * slots

    @classmethod
    def init(cls, memory, slot_bytes, slots):
        """Make an empty ring; `slots` is a power of two. Once, before anybody has
        attached it. Raises ValueError when it does not fit."""
        _make(memory, cls.bytes_needed(slot_bytes, slots), cls.MAGIC,
              {1: slot_bytes, 2: slots, _HEAD: 0, _PRODUCER_WAITS: 0,
               _TAIL: 0, _CONSUMER_WAITS: 0})

    def __init__(self, memory, side, slot_bytes=0):
        """Become one side, PRODUCER or CONSUMER, of the ring in the memory.

        slot_bytes: what elements are expected to have; 0: any (`self.slot_bytes`).
        Raises BlockingIOError where no ring was made yet, ProtocolError where
        something else was, or elements of another size, ValueError.
        """
        if side not in (PRODUCER, CONSUMER):
            raise ValueError("a side is PRODUCER or CONSUMER")
        self.side = side
        try:
            self._open(memory, self.HEADER, self.MAGIC)
            self._attach(slot_bytes)
        except BaseException:
            self.close()
            raise

    def _attach(self, slot_bytes):
        words = self._words
        # Looked at once: a peer may change them between two looks.
        self.slot_bytes, self.slots = words.load(1), words.load(2)
        needed = self.bytes_needed(self.slot_bytes, self.slots)
        if needed == 0 or needed > len(self._memory):
            raise ProtocolError("this ring does not fit into the memory")
        if slot_bytes not in (0, self.slot_bytes):
            raise ProtocolError("elements are %d bytes" % self.slot_bytes)
        self._stride = (needed - self.HEADER) // self.slots
        if self.side == PRODUCER:
            self._own_at, self._peer_at = _HEAD, _TAIL
            self._own_waits, self._peer_waits = _PRODUCER_WAITS, _CONSUMER_WAITS
        else:
            self._own_at, self._peer_at = _TAIL, _HEAD
            self._own_waits, self._peer_waits = _CONSUMER_WAITS, _PRODUCER_WAITS
        self._own = words.load(self._own_at)
        self.ready()
        words.store(self._own_waits, 0)

    def ready(self):
        """How many slots this side has now: elements to take, or room. Raises
        ProtocolError when the peer's index cannot be."""
        peer = self._words.load(self._peer_at)
        producer = self.side == PRODUCER
        used = (self._own - peer if producer else peer - self._own) & _MODULO
        if used > self.slots:
            raise ProtocolError("the peer's index cannot be")
        self._peer = peer
        return self.slots - used if producer else used

    def _next(self):
        if self.ready() == 0:
            return None
        at = self.HEADER + (self._own & (self.slots - 1)) * self._stride
        return self._memory[at:at + self.slot_bytes]

    def _hand_over(self):
        self._own = (self._own + 1) & _MODULO
        self._words.store(self._own_at, self._own)

    def reserve(self):
        """The producer's view to write the next element to; None: it is full."""
        self._only(PRODUCER)
        return self._next()

    def commit(self):
        """Hand over the element that reserve() gave."""
        self._hand_over()

    def peek(self):
        """The consumer's view of the next element; None: it is empty. Copy it before
        it is checked, where the peer is not trusted."""
        self._only(CONSUMER)
        slot = self._next()
        return slot and slot.toreadonly()

    def release(self):
        """Give back the element that peek() gave."""
        self._hand_over()

    def push(self, element):
        """Copy an element of up to slot_bytes in, padded by zeros; False: full."""
        element = bytes(element).ljust(self.slot_bytes, b"\0")
        slot = self.reserve()
        if slot is None:
            return False
        slot[:] = element  # ValueError: it is too long
        self.commit()
        return True

    def pop(self):
        """A copy of the next element, as bytes; None: it is empty."""
        slot = self.peek()
        if slot is None:
            return None
        element = bytes(slot)
        self.release()
        return element

    def wait(self, timeout=None):
        """Sleep until this side has a slot; False: not within `timeout` seconds. The
        peer has to call wake()."""
        deadline = None if timeout is None else time.monotonic() + timeout
        words = self._words
        in_time = True
        while self.ready() == 0:
            if not in_time:
                return False
            # The kernel looks at the index after this: one of the two sees.
            words.store(self._own_waits, 1)
            in_time = words.sleep(self._peer_at, self._peer, deadline)
            words.store(self._own_waits, 0)
        return True

    def wake(self):
        """Wake the peer if it sleeps, after commit(), release(), push() or pop()."""
        self._words.fence()
        if self._words.load(self._peer_waits):
            self._words.wake(self._own_at)


# ---- the latest frame ----------------------------------------------------------

_LATEST, _READING, _READER_WAITS = 32, 64, 65
_NONE = 3


class TripleBuffer(_Side):
    """The latest frame of one producer for one consumer; none of them waits."""

    MAGIC = 0x31425449
    HEADER = 4096
    TRIES = 1000

    @classmethod
    def bytes_needed(cls, frame_bytes):
        """How many bytes of memory it takes; 0: there is none like that."""
        if not 0 < frame_bytes < 1 << 60:
            return 0
        return cls.HEADER + 3 * ((frame_bytes + 4095) // 4096 * 4096)

    @classmethod
    def init(cls, memory, frame_bytes):
        """Make one without a frame. Once, before anybody has attached it. Raises
        ValueError when it does not fit."""
        low, high = struct.unpack("II", struct.pack("Q", frame_bytes))
        _make(memory, cls.bytes_needed(frame_bytes), cls.MAGIC,
              {2: low, 3: high, _LATEST: _NONE, _READING: _NONE,
               _READER_WAITS: 0})

    def __init__(self, memory, side, frame_bytes=0):
        """Become one side, PRODUCER or CONSUMER, of what is in the memory.

        frame_bytes: what frames are expected to have; 0: any (`self.frame_bytes`).
        Raises BlockingIOError where none was made yet, ProtocolError where
        something else was, or frames of another size, ValueError.
        """
        if side not in (PRODUCER, CONSUMER):
            raise ValueError("a side is PRODUCER or CONSUMER")
        self.side = side
        try:
            self._open(memory, self.HEADER, self.MAGIC)
            self._attach(frame_bytes)
        except BaseException:
            self.close()
            raise

    def _attach(self, frame_bytes):
        words = self._words
        # Looked at once: a peer may change it between two looks.
        self.frame_bytes, = struct.unpack("Q", struct.pack(
            "II", words.load(2), words.load(3)))
        needed = self.bytes_needed(self.frame_bytes)
        if needed == 0 or needed > len(self._memory):
            raise ProtocolError("these frames do not fit into the memory")
        if frame_bytes not in (0, self.frame_bytes):
            raise ProtocolError("frames are %d bytes" % self.frame_bytes)
        self._stride = (needed - self.HEADER) // 3
        self._frame = _NONE
        self._word = words.load(_LATEST)
        if self._word & 3 == _NONE and self._word != _NONE:
            raise ProtocolError("the frame of the peer cannot be")
        if self.side == CONSUMER:
            self._word = _NONE
            words.store(_READING, _NONE)
            words.store(_READER_WAITS, 0)

    def _view(self, frame):
        at = self.HEADER + frame * self._stride
        return self._memory[at:at + self.frame_bytes]

    def begin(self):
        """The producer's view to write the next frame to, until publish()."""
        self._only(PRODUCER)
        self._words.fence()  # between `latest` of publish() and this
        taken = (self._word & 3, self._words.load(_READING))
        self._frame = next(i for i in range(3) if i not in taken)
        return self._view(self._frame)

    def publish(self):
        """Make the frame that begin() gave the latest one."""
        count = ((self._word >> 2) + 1) & 0x3FFFFFFF
        self._word = count << 2 | self._frame
        self._words.store(_LATEST, self._word)

    def acquire(self):
        """The consumer's view of the latest frame, and how many were published up to
        it (modulo 2^30); None: there is no newer one than it got before. It stays
        until the next acquire() that gives another, or release().

        Raises BlockingIOError when frames come faster than it can look, and
        ProtocolError: it holds none then.
        """
        self._only(CONSUMER)
        words = self._words
        word = words.load(_LATEST)
        if word in (self._word, _NONE):
            return None
        for _ in range(self.TRIES):
            frame = word & 3
            if frame == _NONE:
                raise ProtocolError("the frame of the peer cannot be")
            words.store(_READING, frame)
            words.fence()
            now = words.load(_LATEST)
            if now == word:
                self._word = word
                return self._view(frame).toreadonly(), word >> 2
            word = now
        raise BlockingIOError(errno.EBUSY, "frames come too fast")

    def release(self):
        """The consumer holds no frame from now on."""
        self._words.store(_READING, _NONE)

    def wait(self, timeout=None):
        """Sleep until there is a newer frame than the consumer got last; False: not
        within `timeout` seconds. The producer has to call wake()."""
        self._only(CONSUMER)
        deadline = None if timeout is None else time.monotonic() + timeout
        words = self._words
        in_time = True
        while words.load(_LATEST) == self._word:
            if not in_time:
                return False
            # The kernel looks at `latest` after this: one of the two sees.
            words.store(_READER_WAITS, 1)
            in_time = words.sleep(_LATEST, self._word, deadline)
            words.store(_READER_WAITS, 0)
        return True

    def wake(self):
        """Wake a consumer that sleeps, after publish()."""
        self._words.fence()
        if self._words.load(_READER_WAITS):
            self._words.wake(_LATEST)
