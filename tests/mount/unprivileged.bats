# An ordinary user: no passthrough, the cached path, by fusermount3.
load helper

setup_file() {
	open_fuse
	# The user has to reach the program and the mount point.
	chmod a+rx "$BATS_RUN_TMPDIR" "$BATS_FILE_TMPDIR"
	mkdir "$MNT" "$BATS_FILE_TMPDIR/bin" "$BATS_FILE_TMPDIR/other"
	chown nobody "$MNT" "$BATS_FILE_TMPDIR/other"
	cp "$BUILD/bin/bufferfs" "$BUILD/bin/iobuf" "$BUILD/bin/mapper" \
		"$BUILD/bin/stress" "$BATS_FILE_TMPDIR/bin"
	BUILD=$BATS_FILE_TMPDIR
	AS='prlimit --nofile=1024:1024 setpriv --reuid=nobody --regid=nogroup --clear-groups'
	mount_fs
}

teardown_file() {
	close_fuse
	unmount_fs
}

as_user() { # SCRIPT: run by the user, in the mount
	setpriv --reuid=nobody --regid=nogroup --clear-groups \
		sh -c "cd '$MNT' && $1"
}

user_state() {
	as_user "getfattr --only-values -n user.iobuf.state $1" |
		sed -n "s/^$2=//p"
}

@test "the mount says once that it goes by the cached path" {
	assert_equal "$(grep -c 'no passthrough' "$LOG")" 1
	assert_equal "$(user_state . datapath)" cached
}

@test "iobuf doctor tells an ordinary user what root would have" {
	run as_user 'iobuf doctor .'
	assert_failure 1
	assert_line --regexp "^no +mount +$MNT: cached, "
	assert_line --regexp '^no +passthrough '
	assert_line --regexp '^no +page frames '
	assert_line --regexp '^ +sudo bufferfs '
	# Without allow_other nobody else is let in.
	run iobuf doctor "$MNT"
	assert_line --regexp "^no +mount +$MNT: Permission denied"
}

@test "an ordinary user binds buffers to processes of his own alone" {
	# Others look like nobody in the namespace of nobody's worker.
	run as_user "iobuf create bound task=$$"
	assert_failure
	assert_output --partial 'not permitted'
	# shellcheck disable=SC2016
	run as_user 'iobuf create bound task=$$ && echo bound'
	assert_output bound
	eventually [ ! -e "$MNT/bound" ]
}

@test "an ordinary user's pool has the size of /dev/shm: size= is refused" {
	run setpriv --reuid=nobody --regid=nogroup --clear-groups \
		timeout 20 "$BATS_FILE_TMPDIR/bin/bufferfs" -f -o size=64M \
		"$BATS_FILE_TMPDIR/other"
	assert_failure 1
	assert_output --partial 'size= takes root'
}

@test "an ordinary user creates buffers and reads them back" {
	as_user 'echo hello >file && cat file'
	as_user 'touch fixed && setfattr -n user.iobuf -v capacity=1M fixed'
	assert_equal "$(user_state fixed kind)" fixed
	assert_equal "$(user_state fixed datapath)" cached
	assert_equal "$(as_user 'printf abc | dd of=fixed conv=notrunc status=none; head -c 3 fixed')" abc
	run as_user 'dd if=/dev/zero of=fixed bs=1M seek=1 count=1 conv=notrunc'
	assert_output --partial 'File too large'
}

@test "two processes of an ordinary user share a mapping" {
	as_user 'touch map && setfattr -n user.iobuf -v capacity=64K map'
	run as_user "python3 -c '
import mmap, os
f = open(\"map\", \"r+b\"); m = mmap.mmap(f.fileno(), 0)
m[0:6] = b\"parent\"
if os.fork() == 0:
    g = open(\"map\", \"r+b\"); n = mmap.mmap(g.fileno(), 0)
    assert n[0:6] == b\"parent\"
    n[6:12] = b\"child!\"
    os._exit(0)
assert os.wait()[1] == 0
assert m[0:12] == b\"parentchild!\"
m.flush()'"
	assert_success
	assert_equal "$(as_user 'head -c 12 map')" 'parentchild!'
}

@test "wired memory of an ordinary user is within its lock limit" {
	as_user 'touch wired && setfattr -n user.iobuf -v wired,capacity=64K wired'
	assert_equal "$(user_state wired wired)" 65536
}

@test "cache modes work on the cached path" {
	for mode in inhibit writethru writecombine; do
		as_user "touch $mode && setfattr -n user.iobuf -v cache=$mode $mode"
		as_user "echo $mode >$mode && sync $mode && echo more >>$mode"
		assert_equal "$(as_user "cat $mode")" "$mode"$'\nmore'
	done
}

@test "a direction that the cached path cannot keep is refused: EOPNOTSUPP" {
	run as_user 'touch in && setfattr -n user.iobuf -v in,capacity=4096 in'
	assert_output --partial 'Operation not supported'
}

@test "a killed worker of an ordinary user is replaced" {
	as_user 'mkdir -p d && echo kept >d/file'
	kill -9 "$(user_state . worker_pid)"
	assert_equal "$(as_user 'cat d/file')" kept
	as_user 'echo more >>d/file'
	assert_equal "$(as_user 'cat d/file')" $'kept\nmore'
}

@test "contiguous memory without the right to see page frames is EPERM" {
	run as_user 'touch run && setfattr -n user.iobuf -v contiguous,capacity=8K run'
	assert_output --partial 'Operation not permitted'
	assert_equal "$(as_user 'stat -c "%s %b" run')" '0 0'
}

# 16, for what is wired of their files to stay within the lock limit.
@test "16 processes mix every operation, and every byte is right" {
	as_user 'mkdir stress'
	run as_user "'$BUILD/bin/stress' stress 5 16 $$ cached"
	assert_success
	as_user 'rm -rf stress'
	assert_equal "$(as_user 'ls -d stress 2>/dev/null || true')" ''
}

@test "more files than the daemon may open are known, moved and removed" {
	run as_user "mkdir many && cd many && /usr/bin/python3 -c '
import os
for i in range(3000):
    with open(str(i), \"w\") as f: f.write(str(i))
os.mkdir(\"into\")
for i in range(0, 3000, 3): os.rename(str(i), \"into/%d\" % i)
os.rename(\"into\", \"moved\")
for i in range(3000):
    with open((\"moved/%d\" if i % 3 == 0 else \"%d\") % i) as f: assert f.read() == str(i)
f = open(\"1\"); os.unlink(\"1\")
for i in range(2, 3000, 3): os.stat(str(i))
assert f.read() == \"1\"
'"
	assert_success
	as_user 'rm -r many'
}

@test "what was opened before a mode forbade it is read and written on" {
	run as_user "/usr/bin/python3 -c '
import os
f = os.open(\"shut\", os.O_RDWR | os.O_CREAT, 0)
os.write(f, b\"written\")
assert os.pread(f, 9, 0) == b\"written\"
g = os.open(\"later\", os.O_RDWR | os.O_CREAT, 0o644)
os.fchmod(g, 0)
os.write(g, b\"too\")
assert os.fstat(g).st_size == 3
'"
	assert_success
}
