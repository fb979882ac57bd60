# Sharing: the same physical pages in every process that maps a buffer.
load helper

setup_file() { mount_fs -o allow_other; }
teardown_file() { unmount_fs; }
setup() { cd "$MNT" || exit; }
teardown() {
	[ -z "${MAPPER_PID:-}" ] || kill "$MAPPER_PID" 2>/dev/null || true
}

# Start the C program on a file; talk to it with `ask`.
start_mapper() { # FILE SIZE
	coproc MAPPER { exec "$BUILD/bin/mapper" "$1" "$2" 3>&-; }
	local line
	read -r line <&"${MAPPER[0]}"
	assert_equal "$line" ready
}

ask() {
	echo "$*" >&"${MAPPER[1]}"
	read -r REPLY <&"${MAPPER[0]}"
}

# Its mapping goes with it.
stop_mapper() {
	local pid=$MAPPER_PID
	exec {MAPPER[1]}>&-
	wait "$pid" || true
}

python_frame() { # FILE OFFSET: maps it too; the frame that it sees there
	python3 - "$1" "$2" <<'END'
import ctypes, mmap, struct, sys
f = open(sys.argv[1], 'r+b')
m = mmap.mmap(f.fileno(), 0)
offset = int(sys.argv[2])
m[offset]
address = ctypes.addressof(ctypes.c_char.from_buffer(m)) + offset
with open('/proc/self/pagemap', 'rb') as p:
    p.seek(address // 4096 * 8)
    print(struct.unpack('Q', p.read(8))[0] & ((1 << 55) - 1))
END
}

for_each_kind() { # FUNCTION
	spec elastic 'pageable'
	truncate -s 4M elastic
	spec fixed 'capacity=4M'
	spec wired 'wired,capacity=4M'
	for f in elastic fixed wired; do "$1" $f; done
}

same_frames() {
	start_mapper "$1" 4194304
	ask put 8192 "from C"
	ask frame 8192
	assert_not_equal "$REPLY" 0
	assert_equal "$(python_frame "$1" 8192)" "$REPLY"
	ask frame 4190208
	assert_equal "$(python_frame "$1" 4190208)" "$REPLY"
	assert_equal "$(dd if="$1" bs=1 skip=8192 count=6 status=none)" 'from C'
	stop_mapper
}

@test "a C and a Python program share the same physical pages" {
	for_each_kind same_frames
}

@test "write(2) is seen through a mapping at once, and stores by read(2)" {
	spec both 'capacity=1M'
	start_mapper both 1048576
	printf 'written' | dd of=both bs=1 seek=5000 conv=notrunc status=none
	ask get 5000 7
	assert_equal "$REPLY" written
	ask put 5000 stored!
	assert_equal "$(dd if=both bs=1 skip=5000 count=7 status=none)" 'stored!'
}

@test "a mapping works over the whole capacity, whatever the length" {
	spec whole 'capacity=1M'
	truncate -s 10 whole
	start_mapper whole 1048576
	ask put 900000 beyond
	ask get 900000 6
	assert_equal "$REPLY" beyond
	assert_equal "$(stat -c %s whole)" 10
}

@test "a mapping outlives close and unlink, and another open sees its bytes" {
	spec kept 'wired,capacity=1M'
	start_mapper kept 1048576
	ask close
	ask put 0 still
	assert_equal "$(head -c 5 kept)" still
	rm kept
	ask get 0 5
	assert_equal "$REPLY" still
}

@test "the memory of an unlinked buffer is given back with its last mapping" {
	before=$(state . used)
	spec freed 'wired,capacity=16M'
	start_mapper freed 16777216
	rm freed
	assert [ "$(state . used)" -ge $((before + 16777216)) ]
	ask get 0 1
	stop_mapper
	used_at_most() { [ "$(state . used)" -le "$1" ]; }
	eventually used_at_most "$before"
}

# bytes_of_others FILE: map it, have the kernel make huge pages of it, as anybody
# may who can map it, and count what is not zero.
bytes_of_others() {
	python3 - "$1" <<'END'
import ctypes, mmap, os, sys
HUGE, COLLAPSE = 2 << 20, 25
fd = os.open(sys.argv[1], os.O_RDWR)
size = os.fstat(fd).st_size
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t] + 3 * [ctypes.c_int] + [ctypes.c_long]
libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
at = libc.mmap(None, size + HUGE, 0, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, -1, 0)
at = (at + HUGE - 1) & ~(HUGE - 1)
assert libc.mmap(at, size, mmap.PROT_READ, mmap.MAP_SHARED | 0x10, fd, 0) == at
libc.madvise(at, size, COLLAPSE)
print(size - ctypes.string_at(at, size).count(0))
END
}

@test "huge pages that are asked for show no byte of whoever had them before" {
	head -c 64M /dev/zero | tr '\0' x >victim
	rm victim
	mkdir clear
	cd clear || return
	touch fixed elastic refilled
	setfattr -n user.iobuf -v capacity=16M fixed
	truncate -s 16M elastic
	fallocate -l 16M elastic
	setfattr -n user.iobuf -v purgeable,capacity=16M refilled
	setfattr -n user.iobuf.purgeable -v empty refilled
	setfattr -n user.iobuf.purgeable -v nonvolatile refilled
	for file in fixed elastic refilled; do
		assert_equal "$file: $(bytes_of_others $file)" "$file: 0"
		rm $file
	done
}
