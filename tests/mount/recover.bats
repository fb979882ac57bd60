# Nothing is lost when the worker, or all of the daemon, is killed.
load helper

setup() { mount_fs; cd "$MNT" || exit; }
teardown() {
	[ -z "${MAPPER_PID:-}" ] || kill "$MAPPER_PID" 2>/dev/null || true
	unmount_fs
	! mountpoint -q "$BATS_TEST_TMPDIR/pool" || umount "$BATS_TEST_TMPDIR/pool"
}

@test "a killed worker is replaced, names and bytes are there" {
	echo before >file
	mkdir dir && echo inside >dir/file
	old=$(worker)
	kill -9 "$old"
	assert_equal "$(cat file)" before
	assert_equal "$(cat dir/file)" inside
	assert_not_equal "$(worker)" "$old"
	assert_equal "$(state . workers_started)" 2
	echo after >>file
	assert_equal "$(cat file)" $'before\nafter'
}

@test "open files and mappings go on over a worker's death" {
	echo data >elastic
	spec fixed 'capacity=1M'
	coproc MAPPER { exec "$BUILD/bin/mapper" fixed 1048576 3>&-; }
	read -r line <&"${MAPPER[0]}"
	assert_equal "$line" ready
	exec 4<>elastic 5<>fixed
	kill -9 "$(worker)"
	echo 'put 0 mapped' >&"${MAPPER[1]}"
	read -r line <&"${MAPPER[0]}"
	assert_equal "$line" 'done'
	assert_equal "$(head -c 6 fixed)" mapped
	assert_equal "$(cat /proc/self/fd/4)" data
	assert_equal "$(head -c 6 <&5)" mapped
	echo more >&4
	exec 4>&- 5>&-
}

@test "an unlinked open file survives its worker" {
	spec gone 'capacity=4096'
	exec 4<>gone
	printf alive >&4
	rm gone
	kill -9 "$(worker)"
	assert_equal "$(head -c 5 /proc/self/fd/4)" alive
	exec 4>&-
}

@test "a wired buffer is wired again by the next worker" {
	spec wired 'wired,capacity=4M'
	printf kept | dd of=wired conv=notrunc status=none
	kill -9 "$(worker)"
	eventually state_is wired wired 4194304
	assert_equal "$(head -c 4 wired)" kept
	rm wired
	eventually locked_is 0
}

@test "an open that was counted before the death is given back after it" {
	spec counted 'capacity=4096'
	exec 4<>counted 5<>counted
	kill -9 "$(worker)"
	assert_equal "$(state counted opens)" 2
	exec 4>&- 5>&-
	eventually state_is counted opens 0
	exec 4<>counted
	assert_equal "$(state counted opens)" 1
	exec 4>&-
}

@test "20 kills under load are seen by nobody" {
	run python3 - "$MNT" <<'END'
import os, signal, sys, threading
m = sys.argv[1] + '/'
errors, done = [], threading.Event()
def worker():
    state = os.getxattr(m, 'user.iobuf.state').decode().split('\n')
    return int(dict(l.split('=', 1) for l in state if l)['worker_pid'])
def load(k):
    n = 0
    f = m + 'f%d' % k
    with open(f, 'wb') as x: x.write(b'start')
    fixed = m + 'fixed%d' % k
    open(fixed, 'wb').close()
    os.setxattr(fixed, 'user.iobuf', b'capacity=8192')
    while not done.is_set():
        try:
            os.stat(f)
            fd = os.open(f, os.O_RDWR)
            data = b'%09d' % n
            os.pwrite(fd, data, 0)
            assert os.pread(fd, 9, 0) == data
            os.close(fd)
            fd = os.open(fixed, os.O_RDWR)
            os.pwrite(fd, data, 100)
            assert os.pread(fd, 9, 100) == data
            os.close(fd)
            os.listdir(m)
        except Exception as e:
            errors.append(repr(e))
        n += 1
threads = [threading.Thread(target=load, args=(k,), daemon=True) for k in range(4)]
for t in threads: t.start()
for _ in range(20):
    w = worker()
    os.kill(w, signal.SIGKILL)
    while worker() == w: pass
done.set()
for t in threads: t.join()
print(errors[:5])
sys.exit(bool(errors))
END
	assert_success
	assert_equal "$(state . workers_started)" 21
}

@test "a killed holder: mappings go on, the next mount adopts the pool" {
	spec adopted 'wired,capacity=1M,tag=old'
	printf bytes | dd of=adopted conv=notrunc status=none
	echo text >plain
	chown 12:34 plain
	chmod 640 plain
	touch -d '2001-02-03 04:05' plain
	setfattr -n user.colour -v red plain
	ln plain link
	ln -s plain symbolic
	mkfifo -m 600 fifo
	mkdir dir
	setfattr -n user.iobuf -v capacity=8K,tag=inherited dir
	before=$(find . -printf '%p %y %m %U %G %n %s %T@ %l\n' | sort)
	coproc MAPPER { exec "$BUILD/bin/mapper" adopted 1048576 3>&-; }
	read -r line <&"${MAPPER[0]}"
	old_worker=$(worker)
	cd /
	kill -9 "$(cat "$BATS_FILE_TMPDIR/holder")"
	tail --pid="$old_worker" -s 0.05 -f /dev/null
	echo 'get 0 5' >&"${MAPPER[1]}"
	read -r line <&"${MAPPER[0]}"
	assert_equal "$line" bytes

	mount_fs
	run grep -c 'adopted the pool' "$LOG"
	assert_output 1
	assert_equal "$(cat "$MNT/plain")" text
	assert_equal "$(cd "$MNT" && find . -printf '%p %y %m %U %G %n %s %T@ %l\n' | sort)" "$before"
	assert_equal "$(getfattr --absolute-names --only-values -n user.colour "$MNT/plain")" red
	assert_equal "$(getfattr --absolute-names --only-values -n user.iobuf.tag "$MNT/dir")" inherited
	assert_equal "$(head -c 5 "$MNT/adopted")" bytes
	assert_equal "$(getfattr --absolute-names --only-values -n user.iobuf.tag "$MNT/adopted")" old
	eventually state_is "$MNT/adopted" wired 1048576
	echo 'put 0 BYTES' >&"${MAPPER[1]}"
	read -r line <&"${MAPPER[0]}"
	assert_equal "$(head -c 5 "$MNT/adopted")" BYTES
}

# A process that is left of it, and cannot end, keeps the connection: the kernel
# does not say that nobody answers.
@test "a dead mount that something keeps open is detached, and its pool adopted" {
	echo text >plain
	cd /
	coproc MAPPER { exec python3 -c "
import ctypes, os, signal, sys
libc = ctypes.CDLL(None)
pidfd_getfd = 438
worker = int(sys.argv[1])
for n in os.listdir('/proc/%d/fd' % worker):
    if os.readlink('/proc/%d/fd/%s' % (worker, n)) == '/dev/fuse':
        libc.syscall(pidfd_getfd, os.pidfd_open(worker), int(n), 0)
print('kept', flush=True)
signal.pause()
" "$(worker)" 3>&-; }
	read -r line <&"${MAPPER[0]}"
	assert_equal "$line" kept
	old_worker=$(worker)
	kill -9 "$(cat "$BATS_FILE_TMPDIR/holder")"
	tail --pid="$old_worker" -s 0.05 -f /dev/null
	cat "$MNT/plain" >"$BATS_TEST_TMPDIR/out" 2>&1 3>&- &
	client=$!
	waits() { grep -qs request_wait_answer "/proc/$client/stack"; }
	eventually waits

	mount_fs
	run grep -c 'detached the dead mount' "$LOG"
	assert_output 1
	assert_equal "$(cat "$MNT/plain")" text
	status=0
	wait "$client" || status=$?
	assert_equal "$status" 1
	assert_regex "$(cat "$BATS_TEST_TMPDIR/out")" \
		'Software caused connection abort|Transport endpoint is not connected'
}

@test "a mount that does not answer, and may again, is left alone" {
	local worker
	worker=$(worker)
	kill -STOP "$worker"
	run timeout 60 "$BUILD/bin/bufferfs" "$MNT"
	kill -CONT "$worker"
	assert_failure 1
	assert_output --partial 'another bufferfs serves it'
	assert_equal "$(worker)" "$worker"
}

@test "a log that nobody reads does not end the daemon" {
	unmount_fs
	mkdir -p "$MNT"
	mkfifo "$BATS_TEST_TMPDIR/log"
	cat "$BATS_TEST_TMPDIR/log" >/dev/null 3>&- &
	reader=$!
	"$BUILD/bin/bufferfs" -f "$MNT" >"$BATS_TEST_TMPDIR/log" 2>&1 3>&- &
	echo $! >"$BATS_FILE_TMPDIR/holder"
	serving() { [ -n "$(worker 2>/dev/null)" ]; }
	eventually serving
	kill "$reader"
	wait "$reader" || true
	old=$(worker)
	kill -9 "$old"
	echo alive >"$MNT/file"
	assert_equal "$(cat "$MNT/file")" alive
	assert_not_equal "$(worker)" "$old"
}

@test "a starter that ignores SIGCHLD gets a daemon that replaces its worker" {
	unmount_fs
	mkdir -p "$MNT"
	python3 - "$BUILD/bin/bufferfs" "$MNT" 3>&- <<'END'
import os, signal, subprocess, sys
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
os.spawnv(os.P_NOWAIT, sys.argv[1], [sys.argv[1], sys.argv[2]])
END
	serving() { [ -n "$(state "$MNT" worker_pid)" ]; }
	eventually serving
	state "$MNT" holder_pid >"$BATS_FILE_TMPDIR/holder"
	old=$(worker)
	kill -9 "$old"
	assert_not_equal "$(worker)" "$old"
}

@test "an adopted pool gets the size that is asked for now" {
	unmount_fs
	mount_fs -o size=64M
	old=$(worker)
	cd /
	kill -9 "$(cat "$BATS_FILE_TMPDIR/holder")"
	tail --pid="$old" -s 0.05 -f /dev/null
	mount_fs -o size=32M
	assert_equal "$(state "$MNT" size)" $((32 << 20))
}

# A worker that ran wild can have written anything into what it shares with the
# next one.
@test "a damaged table is not believed: the pool tells what is not in it" {
	spec wired 'wired,capacity=1M'
	echo text >plain
	exec 4<>plain
	cd / # which python looks at
	local old_worker
	old_worker=$(worker)
	kill -STOP "$old_worker"
	python3 - "$(cat "$BATS_FILE_TMPDIR/holder")" <<'END'
import glob, os, sys
SLOT_BYTES, SLOTS = 24, 1 << 20 # they are the last in the block
for link in glob.glob('/proc/%s/fd/*' % sys.argv[1]):
    if 'bufferfs-shared' in os.readlink(link):
        fd = os.open(link, os.O_RDWR)
        slots = os.fstat(fd).st_size - SLOT_BYTES * SLOTS
        for slot in 0, 1: # the wired file and the plain one
            assert os.pread(fd, 8, slots + slot * SLOT_BYTES) != bytes(8)
        os.pwrite(fd, b'\xff' * SLOT_BYTES, slots)
END
	kill -9 "$old_worker"
	assert_equal "$(cat "$MNT/plain")" text
	run grep -c 'left a damaged table' "$LOG"
	assert_output 1
	eventually state_is "$MNT/wired" wired 1048576
	echo more >&4
	exec 4<&-
	assert_equal "$(cat "$MNT/plain")" more
	rm "$MNT/plain" "$MNT/wired"
	eventually state_is "$MNT" used 0
	assert_equal "$(state "$MNT" workers_started)" 2
}

# half_convert FILE BYTES [FLAGS]: as a daemon leaves it that is killed with its
# worker: marked, and larger than it was.
half_convert() {
	python3 - "$@" <<'END'
import os, struct, sys
path, size, flags = sys.argv[1], int(sys.argv[2]), int(sys.argv[3], 0)
for name in 'trusted.iobuf.record', 'user.iobuf.record':
    if name in os.listxattr(path):
        record = bytearray(os.getxattr(path, name))
        old, = struct.unpack_from('=I', record, 4)
        struct.pack_into('=IQ', record, 4, old | flags, size)
        os.setxattr(path, name, record)
        os.truncate(path, 1 << 20)
END
}

@test "a buffer that a killed daemon was converting is what it was before" {
	unmount_fs
	mkdir "$BATS_TEST_TMPDIR/pool"
	mount -t tmpfs pool "$BATS_TEST_TMPDIR/pool"
	mount_fs -o "pool=$BATS_TEST_TMPDIR/pool"
	for file in opened found copied; do
		spec "$MNT/$file" tag=mine
		seq 1000 >"$MNT/$file"
	done
	seq 1000 >"$BATS_TEST_TMPDIR/before"
	unmount_fs
	half_convert "$BATS_TEST_TMPDIR/pool/opened" 3893 0x2
	half_convert "$BATS_TEST_TMPDIR/pool/found" 3893 0x2
	half_convert "$BATS_TEST_TMPDIR/pool/copied" 3893 0x12
	mount_fs -o "pool=$BATS_TEST_TMPDIR/pool"
	cmp "$MNT/opened" "$BATS_TEST_TMPDIR/before"
	size_is() { [ "$(stat -c %s "$1")" = "$2" ]; }
	eventually size_is "$BATS_TEST_TMPDIR/pool/found" 3893
	cmp "$MNT/found" "$BATS_TEST_TMPDIR/before"
	assert_equal "$(getfattr --absolute-names --only-values \
		-n user.iobuf.tag "$MNT/found")" mine
	# Its bytes were elsewhere, and are no more: the log says so.
	eventually size_is "$BATS_TEST_TMPDIR/pool/copied" 3893
	run grep -c 'contents of a buffer are lost' "$LOG"
	assert_output 1
	setfattr -n user.iobuf -v capacity=4K,length=3893 "$MNT/opened"
	cmp "$MNT/opened" "$BATS_TEST_TMPDIR/before"
}
