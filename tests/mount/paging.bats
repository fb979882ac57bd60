# Paging for real: memory that is short, and swap to go to. Pageable buffers
# leave and come back intact; wired ones never leave.
load helper
load memory

setup() {
	cd /
	swap_on 512
}

teardown() {
	unmount_fs
	remove_group
	swap_off
}

# 96 MiB for the daemon and its clients: pages are charged to the group of who
# has them made, the client that writes or the daemon that reserves.
mount_in_group() {
	make_group $((96 << 20))
	AS=$BATS_FILE_TMPDIR/in_group
	mount_fs -o size=256M,reserve=0,pressure_stall=0
	AS=
	cd "$MNT"
}

fill() { # FILE MIB: random bytes, by a process of the group
	in_group sh -c "head -c $2M /dev/urandom | dd of='$1' conv=notrunc bs=1M" \
		2>/dev/null
}

# KiB in use of the swap.
swap_used() { awk '$1 == "/dev/zram0" { print $4 }' /proc/swaps; }
swapped() { [ "$(swap_used)" -ge "$1" ]; }

resident_below() { [ "$(state "$1" resident)" -lt "$2" ]; } # FILE BYTES

# squeeze MIB FILE BYTES: processes of the group take so much memory until FILE
# has less than BYTES in memory. The kernel chooses what leaves, and may choose
# such a process first. What of the swap is in use when it has ended is not its
# own.
squeeze_once() {
	in_group python3 -c "b = b'x' * ($1 << 20)"
	resident_below "$2" "$3" && swapped $((4 << 10))
}
squeeze() { eventually squeeze_once "$@"; }

# leaves_and_returns FILE: its pages go to swap, and come back as they were.
leaves_and_returns() {
	local sum
	sum=$(in_group sha256sum "$1")
	squeeze 80 "$1" $((40 << 20))
	# They have left memory, not the buffer.
	assert_equal "$(state "$1" allocated)" $((48 << 20))
	assert_equal "$(in_group sha256sum "$1")" "$sum"
	assert_equal "$(in_group sha256sum "$1")" "$sum"
}

@test "an elastic pageable buffer's pages go to swap and come back intact" {
	mount_in_group
	touch elastic
	fill elastic 48
	assert_equal "$(state elastic resident)" $((48 << 20))
	leaves_and_returns elastic
}

@test "a fixed pageable buffer's pages go to swap and come back intact" {
	mount_in_group
	spec fixed capacity=48M
	fill fixed 48
	assert_equal "$(state fixed resident)" $((48 << 20))
	leaves_and_returns fixed
}

@test "what a mapping holds comes back intact too" {
	mount_in_group
	spec fixed capacity=48M
	in_group python3 - <<'END'
import hashlib, mmap, os, time

def resident():
    state = os.getxattr("fixed", "user.iobuf.state").decode()
    return int(dict(l.split("=", 1) for l in state.splitlines())["resident"])

m = mmap.mmap(os.open("fixed", os.O_RDWR), 48 << 20)
for i in range(48 << 8):
    m[i << 12:(i + 1) << 12] = hashlib.sha256(b"%d" % i).digest() * 128
before = hashlib.sha256(m).digest()
assert resident() == 48 << 20
# What is touched all the time stays, and what is not has to go.
more = bytearray(72 << 20)
end = time.monotonic() + 60
while resident() >= 40 << 20 and time.monotonic() < end:
    for i in range(0, len(more), 4096):
        more[i] ^= 1
assert resident() < 40 << 20
del more
assert hashlib.sha256(m).digest() == before
END
}

@test "a wired buffer never leaves, while a pageable one beside it does" {
	mount_in_group
	spec wired wired,capacity=24M
	fill wired 24
	spec pageable capacity=40M
	fill pageable 40
	sum=$(in_group sha256sum wired pageable)
	for round in 1 2 3; do
		squeeze 56 pageable $((34 << 20))
		assert_equal "$(state wired resident)" $((24 << 20))
		assert_equal "$(state wired wired)" $((24 << 20))
	done
	assert_equal "$(state wired resident)" $((24 << 20))
	assert_equal "$(in_group sha256sum wired pageable)" "$sum"
	assert_equal "$(state wired resident)" $((24 << 20))
}

@test "a buffer that was paged out is still whole after a worker's death" {
	mount_in_group
	touch elastic
	fill elastic 48
	sum=$(in_group sha256sum elastic)
	squeeze 80 elastic $((40 << 20))
	kill -9 "$(worker)"
	eventually state_is . workers_started 2
	assert_equal "$(in_group sha256sum elastic)" "$sum"
}

@test "volatile buffers are purged, not paged out, where room is watched" {
	make_group $((96 << 20))
	AS=$BATS_FILE_TMPDIR/in_group
	mount_fs -o size=256M,reserve=24M,pressure_stall=0
	AS=
	cd "$MNT"
	spec one purgeable,capacity=48M
	fill one 48
	setfattr -n user.iobuf.purgeable -v volatile one
	in_group python3 -c 'b = b"x" * (60 << 20)'
	assert_equal "$(state one purgeable)" empty
	assert_equal "$(state one allocated)" 0
	! swapped $((24 << 10))
}
