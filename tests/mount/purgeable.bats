# Purgeable buffers: their states, and who gets the room of the volatile ones.
load helper

setup() { cd /; }
teardown() { unmount_fs; }

# full_of FILE SPEC SIZE STATE: a buffer that is filled and put into a state.
full_of() {
	spec "$1" "$2"
	head -c "$3" /dev/zero | tr '\0' x >"$1"
	setfattr -n user.iobuf.purgeable -v "$4" "$1"
}

purgeable() { # FILE: its state
	getfattr --only-values -n user.iobuf.purgeable "$1"
}

is_all() { # FILE CHARACTER: as an octal escape
	[ "$(tr -d "$2" <"$1" | wc -c)" = 0 ]
}

# with_ioctl CODE: python CODE with set(fd, state) that returns the old one.
with_ioctl() {
	python3 - "$MNT" <<END
import errno, fcntl, mmap, os, struct, sys
m = sys.argv[1] + "/"
KEEP, NONVOLATILE, VOLATILE, EMPTY = 1, 2, 3, 4
def set(fd, state, request=0xC004BF01):
    word = bytearray(struct.pack("I", state))
    try:
        fcntl.ioctl(fd, request, word)
    except OSError as e:
        return errno.errorcode[e.errno]
    return struct.unpack("I", word)[0]
def opened(name, flags=os.O_RDWR):
    return os.open(m + name, flags)
$1
END
}

@test "the state is set and read by xattr" {
	mount_fs -o reserve=0,pressure_stall=0
	cd "$MNT"
	spec f purgeable
	assert_equal "$(purgeable f)" nonvolatile
	for s in volatile volatile:group=3 volatile:lifo volatile:group=7:lifo \
		nonvolatile empty; do
		setfattr -n user.iobuf.purgeable -v nonvolatile f
		setfattr -n user.iobuf.purgeable -v "$s" f
		assert_equal "$(purgeable f)" "$s"
		assert_equal "$(state f purgeable)" "$s"
	done
	setfattr -n user.iobuf.purgeable -v nonvolatile f
	setfattr -n user.iobuf.purgeable -v volatile:group=0:fifo f
	assert_equal "$(purgeable f)" volatile
}

@test "what is not a state is EINVAL and changes nothing" {
	mount_fs -o reserve=0,pressure_stall=0
	cd "$MNT"
	full_of f purgeable 8K volatile:group=2
	for s in '' volatil volatile:group=8 empty:lifo volatile:fifo:lifo; do
		assert_equal "$(errno_of "os.setxattr(m + 'f', 'user.iobuf.purgeable', b'$s')")" EINVAL
		assert_equal "$(purgeable f)" volatile:group=2
	done
	run grep 'user.iobuf.purgeable refused: not nonvolatile' "$LOG"
	assert_success
	echo x >plain
	mkdir dir
	for f in plain dir; do
		assert_equal "$(errno_of "os.setxattr(m + '$f', 'user.iobuf.purgeable', b'volatile')")" EINVAL
		assert_equal "$(errno_of "os.getxattr(m + '$f', 'user.iobuf.purgeable')")" ENODATA
	done
}

@test "the ioctl sets the state and returns the old one" {
	mount_fs -o reserve=0,pressure_stall=0
	cd "$MNT"
	full_of f purgeable 8K nonvolatile
	run with_ioctl '
fd = opened("f")
print(set(fd, VOLATILE | 0x340), set(fd, KEEP), set(fd, EMPTY),
      set(fd, NONVOLATILE), set(fd, KEEP))'
	assert_output '2 835 835 4 2'
}

@test "the ioctl refuses: EINVAL, EBADF without write access, ENOTTY" {
	mount_fs -o reserve=0,pressure_stall=0
	cd "$MNT"
	full_of f purgeable 8K nonvolatile
	mkdir dir
	echo x >plain
	run with_ioctl '
fd, reader = opened("f"), opened("f", os.O_RDONLY)
print(set(fd, 0), set(fd, 5), set(fd, EMPTY | 0x100), set(reader, EMPTY),
      set(reader, KEEP), set(opened("plain"), VOLATILE),
      set(fd, VOLATILE, 0xC004BF02), set(fd, VOLATILE, 0xC008BF01),
      set(opened("dir", os.O_RDONLY), KEEP), set(fd, KEEP))'
	assert_output 'EINVAL EINVAL EINVAL EBADF 2 EINVAL ENOTTY ENOTTY ENOTTY 2'
	assert is_all f x
}

@test "iobuf purgeable sets the state and tells the old one" {
	mount_fs -o reserve=0,pressure_stall=0
	cd "$MNT"
	full_of f purgeable 8K nonvolatile
	run iobuf purgeable f volatile:group=3:lifo
	assert_success
	assert_output nonvolatile
	run iobuf purgeable f
	assert_output volatile:group=3:lifo
	run iobuf purgeable f empty
	assert_output volatile:group=3:lifo
	run iobuf purgeable f nonvolatile
	assert_output empty
	run iobuf purgeable f fleeting
	assert_failure 2
	echo x >plain
	run iobuf purgeable plain volatile
	assert_failure 1
}

@test "a program in C finds the request in iobuf/ioctl.h" {
	mount_fs -o reserve=0,pressure_stall=0
	cd "$MNT"
	spec f purgeable
	cat >"$BATS_TEST_TMPDIR/user.c" <<-'END'
		#include <iobuf/ioctl.h>
		#include <fcntl.h>
		int main(int argc, char **argv)
		{
			uint32_t state = IOBUF_PURGEABLE_VOLATILE;
			int fd = open(argv[argc - 1], O_RDWR);

			return ioctl(fd, IOBUF_IOC_SET_PURGEABLE, &state) ||
			       state != IOBUF_PURGEABLE_NONVOLATILE;
		}
	END
	"${CC:-cc}" -Wall -Wextra -Werror -I"$SOURCE/core/include" \
		-o "$BATS_TEST_TMPDIR/user" "$BATS_TEST_TMPDIR/user.c"
	"$BATS_TEST_TMPDIR/user" f
	assert_equal "$(purgeable f)" volatile
}

@test "set empty, a buffer gives its memory back and its mappings read zero" {
	mount_fs -o reserve=0,pressure_stall=0
	cd "$MNT"
	full_of f purgeable 4M nonvolatile
	full_of fixed purgeable,capacity=4M 4M nonvolatile
	run with_ioctl '
for name in "f", "fixed":
    fd = opened(name)
    a = mmap.mmap(fd, 4 << 20)
    b = mmap.mmap(opened(name), 4 << 20)
    before = os.fstat(fd).st_blocks
    set(fd, EMPTY)
    print(before * 512, os.stat(fd).st_blocks, os.stat(fd).st_size,
          a[:] == bytes(4 << 20), b[:] == bytes(4 << 20))
    a[5] = 7
    print(b[5], set(fd, NONVOLATILE), b[5])'
	assert_line --index 0 '4194304 0 4194304 True True'
	assert_line --index 1 '7 4 7'
	assert_line --index 2 '4194304 0 4194304 True True'
	assert_line --index 3 '7 4 7'
	assert_equal "$(state f purge_count)" 1
}

@test "a full pool purges just enough, in order, and then says ENOSPC" {
	mount_fs -o size=64M,reserve=0,pressure_stall=0
	cd "$MNT"
	full_of third purgeable 16M volatile:group=5
	full_of first purgeable 16M volatile
	full_of kept purgeable,capacity=8M 8M nonvolatile
	full_of second purgeable,capacity=16M 16M volatile:lifo
	# 8 MiB are free.
	fallocate -l 20M a
	assert_equal "$(purgeable first) $(purgeable second) $(purgeable third)" \
		'empty volatile:lifo volatile:group=5'
	spec b capacity=16M
	assert_equal "$(purgeable second) $(purgeable third)" \
		'empty volatile:group=5'
	touch c
	assert_equal "$(errno_of 'os.posix_fallocate(os.open(m + "c", os.O_RDWR), 0, 64 << 20)')" ENOSPC
	assert_equal "$(purgeable third) $(purgeable kept)" 'empty nonvolatile'
	assert is_all kept x
	assert is_all third '\0'
	assert_equal "$(state first purge_count)" 1
}

@test "a pool without inodes purges for who wants bytes all the same" {
	local pool=$BATS_TEST_TMPDIR/pool i=0
	mkdir "$pool"
	mount -t tmpfs -o size=16M,nr_inodes=100 test "$pool"
	mount_fs -o "pool=$pool,reserve=0,pressure_stall=0"
	cd "$MNT"
	full_of v purgeable 2M volatile
	touch a
	while touch "file$i"; do i=$((i + 1)); done 2>/dev/null
	assert_equal "$(df --output=iavail . | tail -n 1 | tr -d ' ')" 0
	fallocate -l 15M a
	assert_equal "$(purgeable v)" empty
	unmount_fs
	umount "$pool"
}

@test "whatever finds the pool full gets the room of a volatile buffer" {
	mount_fs -o size=32M,reserve=0,pressure_stall=0
	cd "$MNT"
	mkdir with_capacity
	setfattr -n user.iobuf -v capacity=12M with_capacity
	head -c 12M /dev/zero >source
	while read -r code; do
		rm -f taken* with_capacity/*
		rm -f cache
		full_of cache purgeable 16M volatile
		assert_equal "$(errno_of "$code")" 0
		assert_equal "$code: $(purgeable cache)" "$code: empty"
	done <<-'END'
		os.close(os.open(m + "with_capacity/f", os.O_RDWR | os.O_CREAT))
		os.mknod(m + "with_capacity/f")
		os.close(os.open(m + "with_capacity", os.O_RDWR | os.O_TMPFILE))
		f = os.open(m + "taken", os.O_RDWR | os.O_CREAT); [os.write(f, bytes(1 << 20)) for i in range(12)]
		f = os.open(m + "taken", os.O_RDWR | os.O_CREAT); os.posix_fallocate(f, 0, 12 << 20)
		f = os.open(m + "taken", os.O_RDWR | os.O_CREAT); os.setxattr(f, "user.iobuf", b"capacity=12M")
		f = os.open(m + "taken", os.O_RDWR | os.O_CREAT); os.setxattr(f, "user.iobuf", b"wired"); os.ftruncate(f, 12 << 20)
		f = os.open(m + "taken", os.O_RDWR | os.O_CREAT); s = os.open(m + "source", os.O_RDONLY); n = sum(os.copy_file_range(s, f, 12 << 20) for i in range(2)); assert n == 12 << 20
	END
}

@test "a fixed buffer has its memory back when it is nonvolatile, or is ENOSPC" {
	mount_fs -o size=32M,reserve=0,pressure_stall=0
	cd "$MNT"
	full_of f purgeable,capacity=16M 16M empty
	fallocate -l 24M other
	assert_equal "$(errno_of "os.setxattr(m + 'f', 'user.iobuf.purgeable', b'nonvolatile')")" ENOSPC
	assert_equal "$(purgeable f)" empty
	assert_equal "$(state f allocated)" 0
	rm other
	setfattr -n user.iobuf.purgeable -v nonvolatile f
	assert_equal "$(state f allocated)" 16777216
	assert is_all f '\0'
}

@test "one volatile buffer makes room for another to be nonvolatile" {
	mount_fs -o size=32M,reserve=0,pressure_stall=0
	cd "$MNT"
	full_of f purgeable,capacity=16M 16M empty
	full_of other purgeable 24M volatile
	setfattr -n user.iobuf.purgeable -v nonvolatile f
	assert_equal "$(purgeable f) $(purgeable other)" 'nonvolatile empty'
}

@test "made nonvolatile, a buffer has all of its contents or none" {
	mount_fs -o size=64M,reserve=0,pressure_stall=0
	cd "$MNT"
	spec cache purgeable,capacity=12M
	cat >"$BATS_TEST_TMPDIR/press.py" <<-'END'
		import os, sys
		m = sys.argv[1] + "/"
		f = os.open(m + "press", os.O_RDWR | os.O_CREAT)
		while True:
		    try:
		        os.posix_fallocate(f, 0, 56 << 20)
		    except OSError:
		        pass # the cache is nonvolatile
		    os.ftruncate(f, 0)
	END
	python3 "$BATS_TEST_TMPDIR/press.py" "$MNT" 3>&- &
	echo $! >"$BATS_TEST_TMPDIR/pid"
	run with_ioctl '
SIZE = 12 << 20
fd = opened("cache")
gone = kept = 0
while gone < 20 or kept < 1:
    text = bytes([65 + (gone + kept) % 26]) * SIZE
    os.pwrite(fd, text, 0)
    set(fd, VOLATILE)
    for i in range(1000 if kept else 1): set(fd, KEEP)
    old = set(fd, NONVOLATILE)
    while old == "ENOSPC":
        old = set(fd, NONVOLATILE)
    now = os.pread(fd, SIZE, 0)
    if old == EMPTY:
        gone += 1
        assert now == bytes(SIZE), "an empty buffer has contents"
    else:
        kept += 1
        assert old == VOLATILE and now == text, "a kept one has not all of them"
print("never half")'
	kill "$(cat "$BATS_TEST_TMPDIR/pid")"
	assert_output 'never half'
}

@test "states and their order outlive the worker" {
	mount_fs -o size=64M,reserve=0,pressure_stall=0
	cd "$MNT"
	full_of second purgeable 16M volatile
	full_of first purgeable 16M volatile
	setfattr -n user.iobuf.purgeable -v volatile second
	full_of gone purgeable 1M empty
	kill -9 "$(worker)"
	assert_equal "$(purgeable gone)" empty
	assert_equal "$(purgeable first)" volatile
	fallocate -l 40M a
	assert_equal "$(purgeable first) $(purgeable second)" 'empty volatile'
}

@test "states and their order outlive the daemon" {
	mount_fs -o size=64M,reserve=0,pressure_stall=0
	full_of "$MNT/second" purgeable 16M volatile
	full_of "$MNT/first" purgeable 16M volatile
	setfattr -n user.iobuf.purgeable -v volatile "$MNT/second"
	local worker
	worker=$(worker)
	kill -9 "$HOLDER"
	tail --pid="$HOLDER" -s 0.05 -f /dev/null
	tail --pid="$worker" -s 0.05 -f /dev/null
	mount_fs -o size=64M,reserve=0,pressure_stall=0
	cd "$MNT"
	assert_equal "$(purgeable first)" volatile
	# The pool is looked through while requests are served.
	eventually fallocate -l 40M a
	assert_equal "$(purgeable first) $(purgeable second)" 'empty volatile'
}

@test "a purge that its worker did not end is ended by the next" {
	mount_fs -o size=256M,reserve=0,pressure_stall=0
	cd "$MNT"
	for i in 1 2 3 4 5; do
		full_of "f$i" purgeable 32M volatile
		head -c 32M "f$i" >/dev/null
		setfattr -n user.iobuf.purgeable -v empty "f$i" 3>&- &
		kill -9 "$(worker)"
		wait $!
		assert_equal "$(purgeable "f$i")" empty
		assert is_all "f$i" '\0'
		setfattr -n user.iobuf.purgeable -v nonvolatile "f$i"
		assert is_all "f$i" '\0'
		rm "f$i"
	done
}

@test "on the cached path a purged buffer reads as zero as well" {
	mkdir -p "$MNT"
	unshare_works() { unshare -Urm true 2>/dev/null; }
	unshare_works || skip 'no user namespaces: no cached path here'
	# Root of a user namespace has no passthrough.
	unshare -Urm --propagation private sh -e -c '
		"$1" "$2"
		cd "$2"
		touch f
		setfattr -n user.iobuf -v purgeable f
		head -c 4M /dev/zero | tr "\0" x >f
		python3 - <<-END
			import mmap, os
			fd = os.open("f", os.O_RDWR)
			view = mmap.mmap(fd, 4 << 20)
			assert view[:] == b"x" * (4 << 20)
			view[5] = 7
			for s in b"volatile", b"empty", b"nonvolatile":
			    os.setxattr(fd, "user.iobuf.purgeable", s)
			assert view[:] == bytes(4 << 20)
			assert os.pread(fd, 4 << 20, 0) == bytes(4 << 20)
			view[5] = 8
			assert os.pread(fd, 6, 0) == b"\0\0\0\0\0\10"
		END
		cd /
		umount "$2"' sh "$BUILD/bin/bufferfs" "$MNT"
}
