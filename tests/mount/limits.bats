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
