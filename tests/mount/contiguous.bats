# Physical memory: one run, alignment, masks. Every claim is checked against
# the frame numbers that a client sees.
load helper

setup_file() { mount_fs -o allow_other; }
teardown_file() { unmount_fs; }

setup() {
	cd "$MNT" || exit
	rm -f ./*
	eventually state_is . contiguous 0
}

# frames FILE: check that the pages of a client's mapping are one run; prints
# the physical address of the first.
frames() {
	python3 - "$1" <<'END'
import ctypes, mmap, os, struct, sys
fd = os.open(sys.argv[1], os.O_RDWR)
size = os.fstat(fd).st_size
m = mmap.mmap(fd, size)
n = (size + 4095) // 4096
for i in range(n): m[i * 4096]
address = ctypes.addressof(ctypes.c_char.from_buffer(m))
with open('/proc/self/pagemap', 'rb') as p:
    p.seek(address // 4096 * 8)
    pages = [e & ((1 << 55) - 1) for e in struct.unpack('%dQ' % n, p.read(8 * n))]
assert pages[0] and pages == list(range(pages[0], pages[0] + n)), 'not one run'
print(pages[0] * 4096)
END
}

# A run that no machine has free, and that takes long to look for in vain.
much() { echo "contiguous,capacity=$(($(state . size) / 3 * 2))"; }

@test "contiguous memory is one run in a client's mapping, of every size" {
	for size in 4K 8K 12K 64K 1M 2M 3M 16M; do
		spec "run-$size" "contiguous,capacity=$size"
		run frames "run-$size"
		assert_success
		bytes=$(stat -c %s "run-$size")
		assert_equal "$(state "run-$size" longest_run)" "$bytes"
		assert_equal "$(state "run-$size" wired)" "$bytes"
		assert_equal "$(state "run-$size" pinned)" yes
		# It costs what it holds: 8 KiB are not 2 MiB.
		assert_equal "$(state "run-$size" allocated)" "$bytes"
		# New memory is clear.
		run cmp -n "$bytes" "run-$size" /dev/zero
		assert_success
	done
}

@test "an alignment above a page is that of the physical start" {
	for align in 8K 64K 2M 4M; do
		spec "aligned-$align" "align=$align,capacity=8K"
		at=$(frames "aligned-$align")
		want=$(numfmt --from=iec "$align")
		assert_equal $((at % want)) 0
		assert_equal "$(state "aligned-$align" allocated)" 8192
	done
}

@test "memory under a 32-bit mask is below 4 GiB, page by page" {
	spec low 'contiguous,mask=0xffffffff,capacity=4M'
	at=$(frames low)
	assert [ $((at + (4 << 20))) -le $((1 << 32)) ]
	spec scattered 'mask=0xffffffff,capacity=3M'
	while read -r address size; do
		assert [ $((address + size)) -le $((1 << 32)) ]
	done < <(getfattr --only-values -n user.iobuf.segments scattered)
}

@test "a mask that no memory has is ENOMEM and leaves nothing" {
	touch nowhere
	used=$(state . used)
	assert_equal "$(errno_of 'os.setxattr(m + "nowhere", "user.iobuf", b"mask=0x1000,capacity=64K")')" ENOMEM
	assert_equal "$(stat -c '%s %b' nowhere)" '0 0'
	assert_equal "$(state . used)" "$used"
	assert_equal "$(state nowhere kind)" empty
	assert_equal "$(state . contiguous)" 0
}

@test "more than all memory is ENOMEM, and the state tells the longest run" {
	touch huge
	# One unit less than the limit, and under no zone's size.
	run setfattr -n user.iobuf -v "contiguous,capacity=300M,mask=0x7ffffff" huge
	assert_output --partial 'Cannot allocate memory'
	assert_equal "$(state huge kind)" empty
	assert [ "$(state huge longest_run)" -ge 0 ]
	assert_equal "$(stat -c '%s %b' huge)" '0 0'
}

@test "the first size of a contiguous buffer is its capacity, a bare write is ENOSPC" {
	spec late contiguous
	assert_equal "$(errno_of 'os.pwrite(os.open(m + "late", os.O_RDWR), b"x", 0)')" ENOSPC
	truncate -s 10000 late
	assert_equal "$(state late capacity)" 12288
	assert_equal "$(stat -c %s late)" 10000
	truncate -s 12288 late
	run frames late
	assert_success
	spec reserved contiguous
	fallocate -l 64K reserved
	assert_equal "$(state reserved longest_run)" 65536
}

@test "segments are for callers with CAP_SYS_ADMIN only: EPERM" {
	spec seen 'contiguous,capacity=64K'
	at=$(frames seen)
	assert_equal "$(getfattr --only-values -n user.iobuf.segments seen)" \
		"$(printf '0x%x 65536' "$at")"
	run setpriv --reuid=nobody --regid=nogroup --clear-groups \
		getfattr -n user.iobuf.segments seen
	assert_output --partial 'Operation not permitted'
	run unshare -Ur getfattr -n user.iobuf.segments seen
	assert_output --partial 'Operation not permitted'
}

@test "a contiguous run survives compaction" {
	spec stays 'contiguous,capacity=4M'
	at=$(frames stays)
	echo 1 >/proc/sys/vm/compact_memory
	assert_equal "$(frames stays)" "$at"
}

@test "a contiguous buffer is the same run after its worker was killed" {
	spec kept 'contiguous,capacity=4M'
	at=$(frames kept)
	kill -9 "$(worker)"
	eventually state_is kept pinned yes
	assert_equal "$(frames kept)" "$at"
}

@test "a signal interrupts a creation that takes long: EINTR, nothing is kept" {
	spec target contiguous
	used=$(state . used)
	run python3 - "$MNT" "$(much)" <<'END'
import errno, os, signal, sys
f = sys.argv[1] + '/target'
def ring(*_): raise InterruptedError(errno.EINTR, '')
signal.signal(signal.SIGALRM, ring)
signal.setitimer(signal.ITIMER_REAL, 0.05, 0.05)
try:
    os.setxattr(f, 'user.iobuf', sys.argv[2].encode())
    print('made')
except OSError as e:
    print(errno.errorcode[e.errno])
END
	assert_output EINTR
	assert_equal "$(stat -c '%s %b' target)" '0 0'
	assert_equal "$(state . used)" "$used"
	assert_equal "$(state . contiguous)" 0
}

@test "other requests are served while a run is looked for" {
	touch slow
	setfattr -n user.iobuf -v "$(much)" slow \
		2>/dev/null 3>&- &
	pid=$!
	for i in 1 2 3 4 5; do
		echo "$i" >"other-$i"
		stat "other-$i" >/dev/null
	done
	wait "$pid" || true
	assert_equal "$(cat other-5)" 5
}

@test "a request that three workers crashed over is refused: EIO, and all goes on" {
	touch slow
	started=$(state . workers_started)
	setfattr -n user.iobuf -v "$(much)" slow \
		2>"$BATS_TEST_TMPDIR/said" 3>&- &
	pid=$!
	# Asleep in the kernel, for our answer.
	waits() { grep -q request_wait_answer "/proc/$pid/wchan"; }
	eventually waits
	for i in 1 2 3; do
		# A crash, by a signal that nobody handles: who is killed from outside dies of
		# no request.
		kill -VTALRM "$(worker)"
		# Answered by the next worker, after what it got again.
		assert_equal "$(state . workers_started)" $((started + i))
	done
	# Not by run, whose subshell has no such child and would not wait.
	status=0
	wait "$pid" || status=$?
	assert_equal "$status" 1
	assert_equal "$(cat "$BATS_TEST_TMPDIR/said")" 'setfattr: slow: Input/output error'
	assert_equal "$(stat -c '%s %b' slow)" '0 0'
	echo on >slow
	assert_equal "$(cat slow)" on
}
