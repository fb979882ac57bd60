# The command line, mounting and unmounting, and the scripts around them.
load helper

setup() { cd /; }
teardown() {
	unmount_fs
	[ ! -d "$BATS_TEST_TMPDIR/other" ] ||
		umount "$BATS_TEST_TMPDIR/other" 2>/dev/null || true
}

@test "--help lists every mount option and every token" {
	run bufferfs --help
	assert_success
	for word in --reload keep allow_other pool= size= options= debug pageable wired none in \
		out inout contiguous purgeable shared unshared cache=inhibit \
		capacity= align= mask= task= tag= options=; do
		assert_output --partial "$word"
	done
}

@test "bad usage is refused before anything is mounted" {
	mkdir -p "$MNT"
	for bad in '-o bogus' '-o size=12Q' '-o size=0' '-o options=bogus' \
		'-o options=wired,purgeable' '-o pool=/nonexistent' '-x'; do
		# shellcheck disable=SC2086
		run bufferfs $bad "$MNT"
		assert_failure 2
		assert_output --partial bufferfs
	done
	run bufferfs
	assert_failure 2
	run bufferfs "$MNT/nonexistent"
	assert_failure 2
	assert_output --partial 'No such file or directory'
}

@test "the daemon goes to the background, serves at once, and ends at umount" {
	mkdir -p "$BATS_TEST_TMPDIR/other"
	run bufferfs "$BATS_TEST_TMPDIR/other"
	assert_success
	holder=$(state "$BATS_TEST_TMPDIR/other" holder_pid)
	pool=$(state "$BATS_TEST_TMPDIR/other" pool)
	assert [ -d "$pool" ]
	run bufferfs "$BATS_TEST_TMPDIR/other"
	assert_failure 1
	assert_output --partial 'already mounted'
	umount "$BATS_TEST_TMPDIR/other"
	tail --pid="$holder" -s 0.05 -f /dev/null
	assert_not_exist "$pool"
}

@test "an own pool is a tmpfs that only root may enter" {
	mount_fs
	pool=$(state "$MNT" pool)
	assert_equal "$(stat -f -c %T "$pool")" tmpfs
	assert_equal "$(stat -c '%a %u' "$(dirname "$pool")")" '700 0'
}

@test "-o keep keeps the mount's own pool for the next one" {
	mount_fs -o keep,size=48M
	pool=$(state "$MNT" pool)
	echo kept >"$MNT/file"
	unmount_fs
	assert_equal "$(cat "$pool/file")" kept
	mount_fs
	assert_equal "$(cat "$MNT/file")" kept
	unmount_fs
	assert_not_exist "$pool"
}

@test "SIGTERM leaves a busy mount, and ends one that is not" {
	mount_fs
	exec 4>"$MNT/file"
	kill "$HOLDER"
	wait_for_log 'not unmounted'
	echo served >&4
	exec 4>&-
	eventually state_is "$MNT/file" opens 0
	kill "$HOLDER"
	tail --pid="$HOLDER" -s 0.05 -f /dev/null 3>&-
	run mountpoint -q "$MNT"
	assert_failure
}

@test "-o size= is the size of the pool" {
	mount_fs -o size=48M
	assert_equal "$(state "$MNT" size)" $((48 << 20))
}

@test "-o pool= serves a directory, and leaves it when it ends" {
	mkdir -p "$BATS_TEST_TMPDIR/pool"
	mount -t tmpfs -o size=32M test "$BATS_TEST_TMPDIR/pool"
	echo there >"$BATS_TEST_TMPDIR/pool/old"
	mount_fs -o "pool=$BATS_TEST_TMPDIR/pool"
	assert_equal "$(cat "$MNT/old")" there
	spec "$MNT/new" 'wired,capacity=1M'
	assert_equal "$(state "$MNT/new" wired)" 1048576
	assert_equal "$(state "$MNT/new" datapath)" passthrough
	unmount_fs
	assert_exist "$BATS_TEST_TMPDIR/pool/new"
	mount_fs -o "pool=$BATS_TEST_TMPDIR/pool"
	eventually state_is "$MNT/new" wired 1048576
	unmount_fs
	umount "$BATS_TEST_TMPDIR/pool"
}

@test "a pool on a disk filesystem works" {
	mkdir -p "$BATS_TEST_TMPDIR/disk"
	mount_fs -o "pool=$BATS_TEST_TMPDIR/disk"
	echo bytes >"$MNT/file"
	spec "$MNT/fixed" 'capacity=64K'
	printf abc | dd of="$MNT/fixed" conv=notrunc status=none
	kill -9 "$(worker)"
	assert_equal "$(cat "$MNT/file")" bytes
	assert_equal "$(head -c 3 "$MNT/fixed")" abc
}

@test "two daemons cannot serve one pool" {
	mkdir -p "$BATS_TEST_TMPDIR/shared" "$BATS_TEST_TMPDIR/other"
	mount_fs -o "pool=$BATS_TEST_TMPDIR/shared"
	run bufferfs -o "pool=$BATS_TEST_TMPDIR/shared" "$BATS_TEST_TMPDIR/other"
	assert_failure 1
	assert_output --partial 'another bufferfs serves it'
}

@test "SIGTERM unmounts, unless the mount is busy" {
	mount_fs
	exec 4<"$MNT"
	kill -TERM "$(cat "$BATS_FILE_TMPDIR/holder")"
	wait_for_log 'not unmounted'
	assert [ -n "$(worker)" ]
	exec 4<&-
	kill -TERM "$(cat "$BATS_FILE_TMPDIR/holder")"
	tail --pid="$(cat "$BATS_FILE_TMPDIR/holder")" -s 0.05 -f /dev/null
	run mountpoint -q "$MNT"
	assert_failure
}

@test "umount of a busy mount is refused" {
	mount_fs
	exec 4<"$MNT"
	run umount "$MNT"
	assert_failure
	assert_output --partial busy
	exec 4<&-
}

@test "scripts/up mounts once and says what to try; scripts/down undoes it" {
	run "$SOURCE/scripts/up" "$BATS_TEST_TMPDIR/other"
	assert_success
	assert_line --partial "bufferfs is mounted on $BATS_TEST_TMPDIR/other"
	assert_equal "${#lines[@]}" 4
	# The lines are to be typed as they are.
	for line in 1 2 3; do (cd "$BATS_TEST_TMPDIR/other" && sh -c "${lines[$line]}"); done
	assert_equal "$(head -c 5 "$BATS_TEST_TMPDIR/other/ring")" hello
	run "$SOURCE/scripts/up" "$BATS_TEST_TMPDIR/other"
	assert_success
	assert_output --partial 'already'
	run "$SOURCE/scripts/down" "$BATS_TEST_TMPDIR/other"
	assert_success
	run mountpoint -q "$BATS_TEST_TMPDIR/other"
	assert_failure
	run "$SOURCE/scripts/down" "$BATS_TEST_TMPDIR/other"
	assert_success
}

@test "-o noatime holds for reads past the daemon and by it" {
	mount_fs -o noatime
	echo content >"$MNT/plain"
	spec "$MNT/fixed" capacity=4K
	for file in plain fixed; do
		touch -a -d 1990-01-01 "$MNT/$file"
		head -c 1 "$MNT/$file" >/dev/null
		assert_equal "$(stat -c %x "$MNT/$file" | cut -c 1-10)" 1990-01-01
	done
}

@test "-o fsname= is the source that mount(8) shows" {
	mount_fs -o fsname=a-name
	assert_equal "$(findmnt -no SOURCE,FSTYPE "$MNT" | tr -s ' ')" \
		'a-name fuse.bufferfs'
}

@test "a mount right after an unmount finds its pool free, and empty" {
	mkdir -p "$BATS_TEST_TMPDIR/other"
	for _ in $(seq 20); do
		bufferfs "$BATS_TEST_TMPDIR/other"
		assert_equal "$(ls -A "$BATS_TEST_TMPDIR/other")" ''
		touch "$BATS_TEST_TMPDIR/other/file"
		umount "$BATS_TEST_TMPDIR/other"
	done
}
