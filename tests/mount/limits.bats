# Limits: the pool's size, the lock limit.
load helper

setup() { cd /; }
teardown() { unmount_fs; }

@test "a full pool answers ENOSPC and serves on" {
	mount_fs -o size=8M
	cd "$MNT"
	run dd if=/dev/zero of=big bs=1M count=9
	assert_output --partial 'No space left on device'
	run spec fits 'capacity=4096'
	assert_output --partial 'No space left on device'
	rm big
	spec fits2 'capacity=4096'
	assert_equal "$(state fits2 kind)" fixed
}

@test "what a sparse file has already is nothing that the pool lacks" {
	mount_fs -o size=64M
	python3 - "$MNT/sparse" <<'END'
import os, sys
fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
os.ftruncate(fd, (1 << 30) + (40 << 20))
os.pwrite(fd, bytes(40 << 20), 1 << 30)
os.posix_fallocate(fd, 1 << 30, 40 << 20)
END
}

@test "without CAP_IPC_LOCK the lock limit is ENOMEM, and nothing stays" {
	AS='prlimit --memlock=4194304 setpriv --bounding-set=-ipc_lock --inh-caps=-ipc_lock'
	mount_fs
	cd "$MNT"
	spec small 'wired,capacity=1M'
	assert_equal "$(state small wired)" 1048576
	used=$(state . used)
	touch large
	assert_equal "$(errno_of 'os.setxattr(m + "large", "user.iobuf", b"wired,capacity=4M")')" ENOMEM
	assert_equal "$(state . used)" "$used"
	run grep 'lock limit without CAP_IPC_LOCK: 4194304 bytes' "$LOG"
	assert_success
	assert_equal "$(state large kind)" empty
	assert_equal "$(stat -c '%s %b' large)" '0 0'
	assert_equal "$(locked_kib)" 1024
}

@test "a wired elastic buffer past the lock limit refuses to grow: ENOMEM" {
	AS='prlimit --memlock=2097152 setpriv --bounding-set=-ipc_lock --inh-caps=-ipc_lock'
	mount_fs
	cd "$MNT"
	spec grows wired
	head -c 1M /dev/zero >grows
	assert_equal "$(errno_of 'os.truncate(m + "grows", 4 << 20)')" ENOMEM
	assert_equal "$(stat -c %s grows)" 1048576
	assert_equal "$(state grows wired)" 1048576
}

@test "an elastic write that fills the pool is ENOSPC, what was there stays" {
	mount_fs -o size=4M
	cd "$MNT"
	echo keep >keep
	run dd if=/dev/zero of=fill bs=64K
	assert_output --partial 'No space left on device'
	assert_equal "$(cat keep)" keep
}

@test "wired_max bounds wired memory in total: ENOMEM, and the log names it" {
	mount_fs -o wired_max=4M
	cd "$MNT"
	spec first 'wired,capacity=3M'
	touch second
	assert_equal "$(errno_of 'os.setxattr(m + "second", "user.iobuf", b"wired,capacity=2M")')" ENOMEM
	assert_equal "$(state second kind)" empty
	run grep 'raise -o wired_max=' "$LOG"
	assert_success
	spec elastic wired
	assert_equal "$(errno_of 'os.truncate(m + "elastic", 2 << 20)')" ENOMEM
	truncate -s 1M elastic
	assert_equal "$(state . wired)" 4194304
	rm first
	eventually state_is . wired 1048576
	setfattr -n user.iobuf -v 'wired,capacity=2M' second
	: >elastic
	assert_equal "$(state . wired)" 2097152
}

@test "wired memory is counted again after a worker's death" {
	mount_fs -o wired_max=4M
	cd "$MNT"
	spec kept 'wired,capacity=3M'
	kill -9 "$(worker)"
	eventually state_is . wired 3145728
	touch more
	assert_equal "$(errno_of 'os.setxattr(m + "more", "user.iobuf", b"wired,capacity=2M")')" ENOMEM
}

@test "contiguous_max bounds contiguous memory in total: ENOMEM" {
	mount_fs -o contiguous_max=300M
	cd "$MNT"
	spec first 'contiguous,capacity=2M'
	touch second
	assert_equal "$(errno_of 'os.setxattr(m + "second", "user.iobuf", b"contiguous,capacity=299M")')" ENOMEM
	run grep 'raise -o contiguous_max=' "$LOG"
	assert_success
	assert_equal "$(state . contiguous)" 2097152
}
