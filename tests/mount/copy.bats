# iobuf map and iobuf copy: bytes in and out of buffers.
bats_require_minimum_version 1.5.0
load helper

setup_file() { mount_fs -o size=128M,reserve=0,pressure_stall=0; }
teardown_file() { unmount_fs; }

setup() {
	cd "$MNT" || return
	find . -mindepth 1 -delete
}

teardown() {
	[ -z "${PROGRAM:-}" ] || kill -9 "$PROGRAM" 2>/dev/null || true
}

noise() { # FILE BYTES
	head -c "$2" /dev/urandom >"$1"
}

@test "map shows what a client's mapping has, over all of the capacity" {
	iobuf create f wired,capacity=8K
	printf 'hello' | dd of=f bs=1 seek=4096 conv=notrunc status=none
	python3 -c "
import mmap; f = open('f', 'r+b'); m = mmap.mmap(f.fileno(), 0); m[8190:] = b'\x00\xff'"
	run iobuf map f
	assert_success
	assert_equal "$output" "$(hexdump -C f)"
	run iobuf map -o 4098 --size 3 f
	assert_output --regexp '^00001002  6c 6c 6f +\|llo\|'
	assert_line 00001005
	setfattr -n user.iobuf.length -v 100 f
	run iobuf map f
	assert_line 00000064
	run iobuf map -o 4K -s 4K f
	assert_line --partial '|hello...'
	run iobuf map -o 4K -s 4097 f
	assert_failure 1
	assert_output --partial 'beyond its end, at 8192 bytes'
	run iobuf map -s 18446744073709551615 -o 1 f
	assert_failure 1
}

@test "map fills a range, and others see it in their mappings" {
	iobuf create f wired,capacity=12K
	PROGRAM=
	exec 5<>f
	iobuf map --fill 0x41 -o 4095 -s 4098 f
	python3 - <<'END'
d = open('f', 'rb').read()
assert d == bytes(4095) + b'A' * 4098 + bytes(12288 - 4095 - 4098), d
END
	exec 5>&-
	for bad in 256 -1 x 1.5 nan; do
		run iobuf map --fill "$bad" f
		assert_failure 2
	done
	chmod 400 f
	run setpriv --reuid=1001 --clear-groups iobuf map --fill 1 f
	assert_failure 1
}

@test "map prints JSON" {
	printf 'a\0\xff' >f
	run iobuf map --json f
	assert_success
	assert_equal "$(python3 -c 'import json, sys; j = json.load(sys.stdin)
print(j["path"], j["offset"], j["size"], bytes.fromhex(j["hex"]))' <<<"$output")" \
		"f 0 3 b'a\\x00\\xff'"
	: >empty
	run iobuf map --json empty
	assert_output --partial '"hex": ""'
	run iobuf map empty
	assert_success
	assert_output ''
}

@test "map says what it cannot map, and does not wait for a pipe" {
	iobuf create f unshared,capacity=4K
	run iobuf map f
	assert_failure 1
	assert_output --partial 'unshared'
	mkfifo fifo
	run iobuf map fifo
	assert_failure 1
	assert_output --partial 'not a file that can be mapped'
	run iobuf map .
	assert_failure 1
}

@test "map survives a file that is made shorter while it looks at it" {
	truncate -s 64M f
	# A pipe that is full holds it up; then its pages go.
	mkfifo "$BATS_TEST_TMPDIR/pipe"
	bash -c 'iobuf map --json f >"$1"; echo "status $?" >"$2"' - \
		"$BATS_TEST_TMPDIR/pipe" "$BATS_TEST_TMPDIR/status" \
		2>"$BATS_TEST_TMPDIR/words" 3>&- &
	PROGRAM=$!
	exec 5<"$BATS_TEST_TMPDIR/pipe"
	head -c 100 <&5 >/dev/null
	truncate -s 0 f
	cat <&5 >/dev/null
	exec 5<&-
	wait "$PROGRAM"
	assert_equal "$(cat "$BATS_TEST_TMPDIR/status")" 'status 1'
	grep 'made shorter' "$BATS_TEST_TMPDIR/words"
}

@test "copy makes a buffer of the kind that is asked for" {
	noise "$BATS_TEST_TMPDIR/in" 3000001
	iobuf copy --spec wired,tag=weights "$BATS_TEST_TMPDIR/in" f
	cmp "$BATS_TEST_TMPDIR/in" f
	assert_equal "$(state f wired)" $(((3000001 + 4095) / 4096 * 4096))
	assert_equal "$(state f tag)" weights
	iobuf copy --spec contiguous "$BATS_TEST_TMPDIR/in" c
	cmp "$BATS_TEST_TMPDIR/in" c
	iobuf copy --spec wired,capacity=4M "$BATS_TEST_TMPDIR/in" g
	cmp "$BATS_TEST_TMPDIR/in" g
	assert_equal "$(state g capacity)" 4194304
	run iobuf copy --spec capacity=1M "$BATS_TEST_TMPDIR/in" h
	assert_failure 1
	assert_not_exist h
	run iobuf copy --spec wired,contiguous,pageable "$BATS_TEST_TMPDIR/in" h
	assert_failure 2
	run iobuf copy --spec wired,task=1,capacity=4M "$BATS_TEST_TMPDIR/in" h
	assert_failure 1
	assert_not_exist h
}

@test "copy carries the kind of a buffer along, and out and back" {
	iobuf create f wired,capacity=1M,tag=kept
	noise noise 1048576
	iobuf copy noise f
	iobuf copy f g
	assert_equal "$(state g wired)" 1048576
	iobuf copy f "$BATS_TEST_TMPDIR/out"
	cmp "$BATS_TEST_TMPDIR/out" noise
	mkdir d
	iobuf copy "$BATS_TEST_TMPDIR/out" d
	cmp d/out noise
	if getfattr -n user.iobuf "$BATS_TEST_TMPDIR/out" >/dev/null 2>&1; then
		assert_equal "$(state d/out tag)" kept
	fi
	setfattr -n user.iobuf.direction -v out f
	iobuf copy f h
	cmp h noise
	assert_equal "$(getfattr --only-values -n user.iobuf.direction h)" out
}

@test "copy writes over a buffer in place: who maps it sees the new bytes" {
	iobuf create f wired,capacity=1M
	noise in 500000
	python3 - <<'END'
import mmap, subprocess
f = open('f', 'r+b')
m = mmap.mmap(f.fileno(), 0)
subprocess.run(['iobuf', 'copy', 'in', 'f'], check=True)
assert m[:500000] == open('in', 'rb').read()
END
	assert_equal "$(stat -c %s f)" 500000
	assert_equal "$(state f capacity)" 1048576
	noise large 1048577
	before=$(sha256sum <f)
	run iobuf copy large f
	assert_failure 1
	assert_output --partial 'nothing was changed'
	assert_equal "$(sha256sum <f)" "$before"
	run iobuf copy --spec wired in f
	assert_failure 1
	assert_output --partial '--spec'
	run iobuf copy f f
	assert_failure 1
	assert_output --partial 'same file'
	run iobuf copy f ./f
	assert_failure 1
}

@test "copy goes by hand where the kernel does not: pipes, /proc, devices, directions" {
	noise in 200000
	cat in | iobuf copy /dev/stdin from_pipe
	cmp in from_pipe
	assert_equal "$(iobuf copy in /dev/stdout | sha256sum)" "$(sha256sum <in)"
	iobuf copy /proc/self/status status
	grep -q '^Name:' status
	iobuf copy in /dev/null
	iobuf create f 'unshared,cache=inhibit,capacity=1M'
	iobuf copy in f
	cmp in f
	iobuf copy f out
	cmp in out
	iobuf create closed in,capacity=4K
	run iobuf copy closed other
	assert_failure 1
	assert_line --index 0 --partial 'closed: Operation not permitted'
	assert_not_exist other
}

@test "copy keeps holes, and takes a file that is larger than the pool for them" {
	truncate -s 1G sparse
	printf x | dd of=sparse bs=1 seek=$((700 << 20)) conv=notrunc status=none
	iobuf copy sparse copied
	assert_equal "$(stat -c %s copied)" $((1 << 30))
	[ "$(stat -c %b copied)" -le $((2 * (4 << 20) / 512)) ]
	assert_equal "$(dd if=copied bs=1 skip=$((700 << 20)) count=1 status=none)" x
}

@test "a copy that fails leaves nothing" {
	truncate -s 200M "$BATS_TEST_TMPDIR/in"
	fallocate -l 200M "$BATS_TEST_TMPDIR/in"
	run iobuf copy "$BATS_TEST_TMPDIR/in" f
	assert_failure 1
	assert_output --partial 'the pool is full'
	assert_not_exist f
	# It does not find out before it is there.
	run bash -c 'head -c 200M /dev/zero | iobuf copy /dev/stdin f'
	assert_failure 1
	assert_not_exist f
	rm "$BATS_TEST_TMPDIR/in"
}

@test "a copy that is interrupted leaves nothing, and ends by the signal" {
	mkfifo fifo
	for signal in INT TERM; do
		python3 -c "
import os, signal, subprocess
p = subprocess.Popen(['iobuf', 'copy', 'fifo', 'f'])
w = os.open('fifo', os.O_WRONLY)
os.write(w, b'x' * 100000)
while not (os.path.exists('f') and os.path.getsize('f') == 100000): pass
p.send_signal(signal.SIG$signal)
assert p.wait() == -signal.SIG$signal, p.returncode
assert not os.path.exists('f')"
	done
}

# copy_on_terminal SOURCE DEST PACE...: with a terminal for standard error; the
# other end of a pipe is moved in pieces until a line of progress shows.
copy_on_terminal() {
	python3 - "$@" <<'END'
import os, pty, select, sys, threading
source, dest, options = sys.argv[1], sys.argv[2], sys.argv[3:]
pid, master = pty.fork()
if pid == 0: os.execvp('iobuf', ['iobuf', 'copy', *options, source, dest])
done = threading.Event()
shown = b''
def pace():
    if source == 'fifo':
        with open('fifo', 'wb', buffering=0) as f:
            while not done.is_set(): f.write(b'x' * 4096); done.wait(0.02)
    else:
        with open('fifo', 'rb', buffering=0) as f:
            while f.read(65536): done.wait(0.02)
threading.Thread(target=pace).start()
while True:
    try: part = os.read(master, 65536)
    except OSError: break
    if not part: break
    shown += part
    if shown.count(b'/s') >= 2: done.set()
done.set()
sys.stdout.write(shown.decode())
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
END
}

@test "work that takes long shows how far it is, on a terminal alone" {
	mkfifo fifo
	truncate -s 16M in
	run copy_on_terminal in fifo
	assert_success
	assert_output --regexp '[0-9]+% \[#*\.*\] [0-9.]+[KM] of 16M, [0-9.]+[KM]/s, [0-9]+:[0-9]{2} left'
	# And nothing of it stays.
	assert_output --regexp $'\r\e\\[K$'
	run copy_on_terminal fifo out
	assert_success
	assert_output --regexp '[0-9.]+[KM], [0-9.]+[KM]/s'
	refute_output --partial '%'
	# What is soon done shows nothing.
	run copy_on_terminal in fifo --quiet
	assert_success
	assert_output ''
	run --separate-stderr iobuf copy in other
	assert_equal "$stderr" ''
}
