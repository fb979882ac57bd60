# A new binary takes over a mount that is in use, or leaves it as it was.
load helper

setup() {
	# A daemon does not run what others may write: the build's directory may
	# be anybody's.
	mkdir -m 700 "$BATS_TEST_TMPDIR/bin"
	PROGRAM=$BATS_TEST_TMPDIR/bin/bufferfs
	cp "$BUILD/bin/bufferfs" "$PROGRAM"
	BUILD=$BATS_TEST_TMPDIR mount_fs -o size=64M
	echo before >"$MNT/file"
}
teardown() { unmount_fs; }

# As packages do: another file by that name.
replace_by() {
	cp "$1" "$PROGRAM.new"
	mv "$PROGRAM.new" "$PROGRAM"
}

serves_as_before() { # WORKER
	assert_equal "$(worker)" "$1"
	assert_equal "$(cat "$MNT/file")" before
	echo after >"$MNT/other"
}

@test "--reload: a worker from the binary that is on disk now serves" {
	spec "$MNT/wired" 'wired,capacity=1M'
	exec 4<"$MNT/file"
	old=$(worker)
	replace_by "$BUILD/bin/bufferfs"
	run "$PROGRAM" --reload "$MNT"
	assert_success
	assert_output ''
	assert_not_equal "$(worker)" "$old"
	assert_equal "$(readlink "/proc/$(worker)/exe")" "$PROGRAM"
	assert_equal "$(state "$MNT" workers_started)" 2
	assert_equal "$(cat "$MNT/file")" before
	assert_equal "$(cat <&4)" before
	assert_equal "$(state "$MNT/file" opens)" 1
	exec 4<&-
	eventually state_is "$MNT/wired" wired 1048576
	# And it is what the next one is started from.
	old=$(worker)
	kill -9 "$old"
	assert_equal "$(cat "$MNT/file")" before
	assert_equal "$(readlink "/proc/$(worker)/exe")" "$PROGRAM"
}

@test "SIGHUP to the holder does the same" {
	old=$(worker)
	kill -HUP "$(cat "$BATS_FILE_TMPDIR/holder")"
	another() { [ "$(worker)" != "$old" ]; }
	eventually another
	assert_equal "$(cat "$MNT/file")" before
}

@test "a binary that does not start leaves the old one serving, and says why" {
	old=$(worker)
	for broken in /bin/false /bin/true "$BATS_TEST_FILENAME"; do
		replace_by "$broken"
		chmod 755 "$PROGRAM"
		run "$BUILD/bin/bufferfs" --reload "$MNT"
		assert_failure 1
		assert_output --partial "$MNT: "
		serves_as_before "$old"
	done
	assert_output --partial 'cannot start a worker'
	rm "$PROGRAM"
	run "$BUILD/bin/bufferfs" --reload "$MNT"
	assert_failure 1
	assert_output --partial 'No such file or directory'
	serves_as_before "$old"
	run grep -c 'not reloaded: ' "$LOG"
	assert_output 4
}

@test "a binary whose shared memory is another is refused" {
	old=$(worker)
	version() { # add to the version of the block, as the holder has it
		python3 - "$(cat "$BATS_FILE_TMPDIR/holder")" "$1" <<'END'
import glob, os, struct, sys
for link in glob.glob('/proc/%s/fd/*' % sys.argv[1]):
    if 'bufferfs-shared' in os.readlink(link):
        fd = os.open(link, os.O_RDWR)
        version, = struct.unpack('I', os.pread(fd, 4, 4))
        os.pwrite(fd, struct.pack('I', version + int(sys.argv[2])), 4)
END
	}
	version 1
	run "$PROGRAM" --reload "$MNT"
	version -1
	assert_failure 1
	assert_output --partial 'another version'
	serves_as_before "$old"
	run "$PROGRAM" --reload "$MNT"
	assert_success
}

@test "a binary that others may write is not run" {
	old=$(worker)
	chmod 777 "$PROGRAM"
	run "$PROGRAM" --reload "$MNT"
	assert_failure 1
	assert_output --partial "$PROGRAM: others may write it"
	chmod 755 "$PROGRAM"
	chmod 777 "$(dirname "$PROGRAM")"
	run "$PROGRAM" --reload "$MNT"
	assert_failure 1
	assert_output --partial "$(dirname "$PROGRAM"): others may write it"
	serves_as_before "$old"
	chmod 700 "$(dirname "$PROGRAM")"
	run "$PROGRAM" --reload "$MNT"
	assert_success
}

@test "--reload of what is no bufferfs says so" {
	run "$PROGRAM" --reload "$BATS_TEST_TMPDIR"
	assert_failure 1
	assert_output --partial 'no bufferfs serves here'
}

@test "10 reloads under load are seen by nobody" {
	run timeout 120 python3 - "$MNT" "$PROGRAM" <<'END'
import os, subprocess, sys, threading
m = sys.argv[1] + '/'
errors, done = [], threading.Event()
def load(k):
    n, f, fixed = 0, m + 'f%d' % k, m + 'fixed%d' % k
    open(fixed, 'wb').close()
    os.setxattr(fixed, 'user.iobuf', b'capacity=8192')
    while not done.is_set():
        try:
            data = b'%09d' % n
            with open(f, 'xb') as x: x.write(data)
            os.rename(f, f + '.new')
            with open(f + '.new', 'rb') as x: assert x.read() == data
            os.unlink(f + '.new')
            os.mkdir(f)
            os.rmdir(f)
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
for _ in range(10):
    r = subprocess.run([sys.argv[2], '--reload', m[:-1]], capture_output=True)
    if r.returncode: errors.append(r.stderr)
done.set()
for t in threads: t.join()
print(errors[:5])
sys.exit(bool(errors))
END
	assert_success
	assert_equal "$(state "$MNT" workers_started)" 11
}
