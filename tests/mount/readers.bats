# One pool, several mounts: one of them writes, the others look on (ro).
load helper

POOL=$BATS_FILE_TMPDIR/pool
READER=$BATS_FILE_TMPDIR/reader

setup_file() { mkdir -p "$POOL" "$READER"; }

setup() {
	mount -t tmpfs -o size=64M,huge=within_size test "$POOL"
}

teardown() {
	umount "$READER" 2>/dev/null || umount -l "$READER" 2>/dev/null || true
	unmount_fs
	umount "$BATS_FILE_TMPDIR"/view.* 2>/dev/null || true
	# The reader's daemon has its own end.
	eventually umount "$POOL"
}

# mount_both [POOL-OF-WRITER POOL-OF-READER]: a writer on $MNT, a reader on
# $READER.
mount_both() {
	mount_fs -o "pool=${1:-$POOL},reserve=0,pressure_stall=0"
	bufferfs -o "ro,pool=${2:-$POOL},reserve=0,pressure_stall=0" "$READER"
}

has() { [ "$(cat "$1")" = "$2" ]; } # FILE BYTES
size_is() { [ "$(stat -c %s "$1")" = "$2" ]; } # FILE BYTES
mode_is() { [ "$(stat -c %a "$1")" = "$2" ]; } # FILE MODE
gone() { [ ! -e "$1" ]; } # FILE

# is_read_from FD BYTES: by that open file, at its beginning.
is_read_from() {
	[ "$(python3 -c 'import os, sys; sys.stdout.buffer.write(
		os.pread(int(sys.argv[1]), 4096, 0))' "$1")" = "$2" ]
}

@test "readers see names, bytes and sizes that the writer changes" {
	mount_both
	mkdir "$MNT/dir"
	echo one >"$MNT/dir/file"
	assert_equal "$(cat "$READER/dir/file")" one
	echo more >>"$MNT/dir/file"
	eventually size_is "$READER/dir/file" 9
	assert_equal "$(tail -n 1 "$READER/dir/file")" more
	truncate -s 1M "$MNT/dir/file"
	eventually size_is "$READER/dir/file" 1048576
	chmod 600 "$MNT/dir/file"
	eventually mode_is "$READER/dir/file" 600
	mv "$MNT/dir/file" "$MNT/moved"
	eventually gone "$READER/dir/file"
	assert_equal "$(ls "$READER")" "$(printf 'dir\nmoved')"
	rm "$MNT/moved"
	eventually gone "$READER/moved"
}

@test "readers see what kind of buffer the writer made" {
	mount_both
	spec "$MNT/frames" wired,capacity=1M,tag=camera
	for key in kind options capacity length tag allocated datapath; do
		assert_equal "$(state "$READER/frames" $key)" \
			"$(state "$MNT/frames" $key)"
	done
	assert_equal "$(state "$READER/frames" kind)" fixed
	setfattr -n user.iobuf.length -v 5 "$MNT/frames"
	eventually size_is "$READER/frames" 5
	# Locked by who may change it.
	assert_equal "$(state "$MNT/frames" wired)" 1048576
	assert_equal "$(state "$READER/frames" wired)" 0
}

@test "a store in a mapping of the writer is in that of a reader" {
	mount_both
	spec "$MNT/frames" capacity=2M
	python3 - "$MNT/frames" "$READER/frames" <<'EOF'
import mmap, sys
writer, reader = open(sys.argv[1], "r+b"), open(sys.argv[2], "rb")
w = mmap.mmap(writer.fileno(), 0)
r = mmap.mmap(reader.fileno(), 0, prot=mmap.PROT_READ)
for at in range(0, len(w), 4096):
    w[at:at + 4] = at.to_bytes(4, "little")
    assert r[at:at + 4] == at.to_bytes(4, "little")
EOF
}

@test "a reader changes nothing, whatever its mount is made" {
	mount_both
	echo bytes >"$MNT/file"
	touch "$MNT/empty"
	run touch "$READER/file"
	assert_failure
	mount -i -o remount,rw "$READER"
	assert_equal "$(errno_of 'open(sys.argv[1] + "/../reader/file", "r+b")')" EROFS
	for command in "touch $READER/new" "rm $READER/file" \
		"mkdir $READER/dir" "mv $READER/file $READER/moved" \
		"ln $READER/file $READER/link" "chmod 600 $READER/file" \
		"truncate -s 0 $READER/file" \
		"setfattr -n user.other -v x $READER/file" \
		"setfattr -n user.iobuf -v tag=x $READER/empty"; do
		run $command
		assert_failure
		assert_output --partial 'Read-only file system'
	done
	assert_equal "$(cat "$MNT/file")" bytes
	assert_equal "$(ls "$POOL")" "$(printf 'empty\nfile')"
}

@test "a reader neither ends what is bound nor purges what is volatile" {
	mount_fs -o "pool=$POOL,reserve=0,pressure_stall=0"
	sleep 1000 3>&- &
	owner=$!
	spec "$MNT/bound" "task=$owner,capacity=4K"
	spec "$MNT/closed" life=lastclose
	spec "$MNT/volatile" purgeable,capacity=1M
	echo bytes | dd of="$MNT/volatile" conv=notrunc status=none
	setfattr -n user.iobuf.purgeable -v volatile "$MNT/volatile"
	kill -9 "$(holder)" "$(worker)" "$owner"
	wait "$owner" || true
	umount -l "$MNT"
	rm "$BATS_FILE_TMPDIR/holder"
	bufferfs -o "ro,pool=$POOL,reserve=60M,pressure_stall=0" "$READER"
	cat "$READER/bound" "$READER/closed" >/dev/null
	assert_equal "$(head -n 1 "$READER/volatile")" bytes
	assert_equal "$(ls "$READER")" "$(printf 'bound\nclosed\nvolatile')"
	# Its worker begins anew, and all the same.
	kill -9 "$(state "$READER" worker_pid)"
	assert_equal "$(ls "$READER")" "$(printf 'bound\nclosed\nvolatile')"
	# Who may, does.
	mount_fs -o "pool=$POOL,reserve=0,pressure_stall=0"
	eventually gone "$MNT/bound"
}

@test "readers come before the writer, stay when it ends, and do not keep it out" {
	bufferfs -o "ro,pool=$POOL" "$READER"
	mount_fs -o "pool=$POOL"
	echo first >"$MNT/file"
	eventually has "$READER/file" first
	run bufferfs -o "pool=$POOL" "$BATS_TEST_TMPDIR"
	assert_failure
	assert_output --partial 'another bufferfs serves it'
	unmount_fs
	assert_equal "$(cat "$READER/file")" first
	mount_fs -o "pool=$POOL"
	echo second >"$MNT/file"
	eventually has "$READER/file" second
	# Passthrough, though nothing was there when it began.
	assert_equal "$(state "$READER" datapath)" passthrough
}

@test "a reader of a pool below its own mount point serves" {
	mkdir -p "$POOL/below"
	echo there >"$POOL/below/file"
	timeout 20 bufferfs -o "ro,pool=$POOL/below,reserve=0,pressure_stall=0" "$POOL"
	timeout 20 cat "$POOL/file" >"$BATS_TEST_TMPDIR/read"
	assert_equal "$(cat "$BATS_TEST_TMPDIR/read")" there
	umount "$POOL"
}

@test "who cannot look on does not serve instead" {
	mount --make-unbindable "$POOL"
	run bufferfs -o "ro,pool=$POOL" "$READER"
	assert_failure
	run mountpoint -q "$READER"
	assert_failure
}

@test "locks are of one mount" {
	mount_both
	touch "$MNT/file"
	exec 4<"$MNT/file"
	flock -x -n 4
	run flock -x -n "$MNT/file" true
	assert_failure
	flock -x -n "$READER/file" true
	exec 4<&-
}

# As from two machines: a filesystem between, with inodes, a cache and locks of
# its own, on which there is no passthrough.
@test "on the cached path readers see the same, within a second" {
	command -v bindfs >/dev/null || skip "bindfs is missing"
	for view in 1 2; do
		mkdir -p "$BATS_FILE_TMPDIR/view.$view"
		bindfs "$POOL" "$BATS_FILE_TMPDIR/view.$view" 3>&-
	done
	mount_both "$BATS_FILE_TMPDIR/view.1" "$BATS_FILE_TMPDIR/view.2"
	look_at_cached
}

@test "a filesystem without O_TMPFILE can be a pool, and no create is lost" {
	command -v bindfs >/dev/null || skip "bindfs is missing"
	mkdir -p "$BATS_FILE_TMPDIR/view.1"
	bindfs "$POOL" "$BATS_FILE_TMPDIR/view.1" 3>&-
	mount_fs -o "pool=$BATS_FILE_TMPDIR/view.1,watchdog=0"
	mkdir "$MNT/dir"
	setfattr -n user.iobuf -v tag=handed-down "$MNT/dir"
	for _ in $(seq 20); do
		kill -9 "$(worker)"
		echo 1
	done >"$BATS_TEST_TMPDIR/kills" 3>&- &
	kills=$!
	python3 - "$MNT/dir" <<'EOF'
import os, sys
for i in range(1000):
    path = "%s/%d" % (sys.argv[1], i)
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o640))
    assert os.getxattr(path, "user.iobuf.tag") == b"handed-down"
    assert os.stat(path).st_mode == 0o100640
    try:
        os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR)
        assert False
    except FileExistsError:
        pass
EOF
	wait "$kills"
	assert_equal "$(ls -A "$MNT/dir" | wc -l)" 1000
	assert_equal "$(wc -l <"$BATS_TEST_TMPDIR/kills")" 20
	run python3 -c "import os; os.open('$MNT', os.O_TMPFILE | os.O_RDWR)"
	assert_output --partial 'Operation not supported'
}

# What holds for readers of the cached path: also while they have a file open and
# mapped, and when its size stays.
look_at_cached() {
	assert_equal "$(state "$READER" datapath)" cached
	mkdir "$MNT/dir"
	echo one >"$MNT/dir/file"
	exec 4<"$READER/dir/file"
	read -r line <&4
	assert_equal "$line" one
	echo two >"$MNT/dir/file"
	eventually has "$READER/dir/file" two
	eventually is_read_from 4 two
	python3 - "$MNT/dir/file" "$READER/dir/file" <<'EOF'
import mmap, os, sys, time
fd = os.open(sys.argv[2], os.O_RDONLY)
m = mmap.mmap(fd, 3, prot=mmap.PROT_READ)
assert m[:] == b"two"
with open(sys.argv[1], "r+b") as f:
    f.write(b"six")
end = time.monotonic() + 60
while m[:] != b"six":       # a mapping is looked at again when its file is
    os.fstat(fd)
    assert time.monotonic() < end
assert os.pread(fd, 3, 0) == b"six"
EOF
	exec 4<&-
	spec "$MNT/dir/tagged" tag=seen
	eventually state_is "$READER/dir/tagged" tag seen
	rm "$MNT/dir/file"
	eventually gone "$READER/dir/file"
	assert_equal "$(ls "$READER/dir")" tagged
}

@test "over NFS readers see the same" {
	grep -qw nfsd /proc/filesystems || modprobe -q nfsd 2>/dev/null ||
		skip "this kernel has no NFS server"
	grep -qw nfs4 /proc/filesystems || modprobe -q nfsv4 2>/dev/null ||
		skip "this kernel has no NFS client"
	command -v exportfs >/dev/null || skip "nfs-kernel-server is missing"
	rpc.nfsd 2 || skip "the NFS server does not start here"
	exportfs -o rw,no_root_squash,fsid=7,insecure "localhost:$POOL"
	for view in 1 2; do
		mkdir -p "$BATS_FILE_TMPDIR/view.$view"
		mount -t nfs4 -o nosharecache,actimeo=1 "localhost:$POOL" \
			"$BATS_FILE_TMPDIR/view.$view"
	done
	mount_both "$BATS_FILE_TMPDIR/view.1" "$BATS_FILE_TMPDIR/view.2"
	look_at_cached
	spec "$MNT/fixed" capacity=64K # it has fallocate(2)
	setfattr -n user.iobuf.length -v 5 "$MNT/fixed"
	eventually size_is "$READER/fixed" 5
	umount "$READER"
	unmount_fs
	umount "$BATS_FILE_TMPDIR"/view.*
	exportfs -u "localhost:$POOL"
}
