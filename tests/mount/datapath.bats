# Which way the data goes, and that ways are never mixed for a buffer.
load helper

setup_file() { mount_fs -o allow_other; }
teardown_file() { unmount_fs; }
setup() { cd "$MNT" || exit; }

@test "an unshared buffer is read and written but not mapped: ENODEV" {
	spec private 'unshared,capacity=1M'
	assert_equal "$(state private datapath)" direct
	printf data | dd of=private conv=notrunc status=none
	assert_equal "$(head -c 4 private)" data
	assert_equal "$(errno_of '
    f = open(m + "private", "r+b")
    mmap.mmap(f.fileno(), 4096)')" ENODEV
}

@test "an open for writing only of an empty buffer freezes its options: EBUSY" {
	touch frozen
	exec 4>>frozen
	assert_equal "$(errno_of 'os.setxattr(m + "frozen", "user.iobuf", b"wired")')" EBUSY
	exec 4>&-
	eventually setfattr -n user.iobuf -v wired frozen
	assert_equal "$(getfattr --only-values -n user.iobuf.options frozen)" \
		'wired,inout,shared'
}

@test "options can be set on an empty buffer that is open for reading and writing" {
	touch open
	exec 4<>open
	setfattr -n user.iobuf -v 'capacity=4096' open
	printf 'through the old descriptor' >&4
	assert_equal "$(head -c 7 open)" through
	assert_equal "$(stat -c %s open)" 4096
	run dd if=/dev/zero of=open bs=1 seek=4096 count=1 conv=notrunc
	assert_output --partial 'File too large'
	exec 4>&-
}

@test "sharing cannot change under an open descriptor: EBUSY" {
	touch opened
	exec 4<>opened
	assert_equal "$(errno_of 'os.setxattr(m + "opened", "user.iobuf", b"unshared")')" EBUSY
	exec 4>&-
}

@test "a descriptor that skips the daemon cannot outlive its options" {
	echo data >elastic
	exec 4<>elastic
	: >elastic
	assert_equal "$(errno_of 'os.setxattr(m + "elastic", "user.iobuf", b"capacity=4096")')" EBUSY
	assert_equal "$(errno_of 'os.setxattr(m + "elastic", "user.iobuf.direction", b"in")')" EBUSY
	exec 4>&-
}

@test "a buffer can be open in many ways at once" {
	spec ways 'capacity=1M'
	exec 4<>ways 5<ways 6>>ways
	printf abc >&4
	assert_equal "$(head -c 3 <&5)" abc
	assert_equal "$(errno_of '
    fds = [os.open(m + "ways", os.O_RDWR) for _ in range(100)]
    maps = [mmap.mmap(fd, 4096) for fd in fds]
    assert all(x[0:3] == b"abc" for x in maps)')" 0
	exec 4>&- 5<&- 6>&-
	eventually state_is ways opens 0
}

@test "passthrough writes are seen in the size at once" {
	printf 12345 >size
	assert_equal "$(stat -c %s size)" 5
	printf 678 >>size
	assert_equal "$(stat -c %s size)" 8
	assert_equal "$(wc -c <size)" 8
	: >size
	assert_equal "$(stat -c %s size)" 0
}

@test "a size that an xattr changed is seen at once by who has it open" {
	touch grown
	assert_equal "$(errno_of '
    fd = os.open(m + "grown", os.O_RDWR)
    assert os.lseek(fd, 0, os.SEEK_END) == 0
    os.setxattr(m + "grown", "user.iobuf", b"capacity=8192")
    assert os.lseek(fd, 0, os.SEEK_END) == 8192
    assert os.fstat(fd).st_size == 8192')" 0
}

@test "options can be set as soon as close returned" {
	assert_equal "$(errno_of '
    for i in range(300):
        f = m + "fresh%d" % i
        os.close(os.open(f, os.O_CREAT | os.O_WRONLY))
        os.setxattr(f, "user.iobuf", b"unshared,capacity=4096")
        os.unlink(f)')" 0
}

@test "a buffer that was wired and is empty again can become another kind" {
	spec again wired
	: >again
	setfattr -n user.iobuf -v 'pageable,capacity=64K' again
	assert_equal "$(errno_of '
    fd = os.open(m + "again", os.O_RDWR)
    x = mmap.mmap(fd, 65536)
    os.pwrite(fd, b"0123456789", 0)
    x[60000] = 1
    assert os.fstat(fd).st_size == 65536')" 0
	assert_equal "$(state again allocated)" 65536
	spec limited wired
	: >limited
	setfattr -n user.iobuf -v 'wired,out' limited
	run dd if=/dev/zero of=limited bs=1 count=1
	assert_output --partial 'not permitted'
}

@test "set-ID bits do not survive a write, whoever's rights it runs with" {
	printf data >setid
	chmod 4777 setid
	printf new | setpriv --reuid=nobody --regid=nogroup --clear-groups \
		dd of=setid conv=notrunc status=none
	assert_equal "$(stat -c %a setid)" 777
	assert_equal "$(cat setid)" newa
}

@test "O_APPEND writes go to the length, wherever it was moved" {
	spec appended 'capacity=64K'
	setfattr -n user.iobuf.length -v 8192 appended
	assert_equal "$(errno_of '
    fd = os.open(m + "appended", os.O_WRONLY | os.O_APPEND)
    os.setxattr(m + "appended", "user.iobuf.length", b"0")
    os.write(fd, b"hi")
    assert os.fstat(fd).st_size == 2
    os.write(fd, b"there")
    assert open(m + "appended", "rb").read() == b"hithere"')" 0
}

@test "the state of a sparse file of terabytes is told from its bytes alone" {
	truncate -s 500T sparse
	printf x | dd of=sparse bs=1 seek=1T conv=notrunc status=none
	assert_equal "$(state sparse resident)" "$(state sparse allocated)"
	assert_not_equal "$(state sparse resident)" 0
	assert_equal "$(state sparse length)" 549755813888000
}

@test "an access list lets in whom the mode keeps out, and the other way round" {
	touch listed
	chmod 600 listed
	# rw for user 65534, r for the mask: 65534 may read and not write.
	setfattr -n system.posix_acl_access -v 0x0200000001000600ffffffff02000600feff000004000000ffffffff10000400ffffffff20000000ffffffff listed
	run setpriv --reuid=65534 --regid=65534 --clear-groups cat listed
	assert_success
	run setpriv --reuid=65534 --regid=65534 --clear-groups sh -c 'echo x >>listed'
	assert_failure
	run setpriv --reuid=65533 --regid=65533 --clear-groups cat listed
	assert_failure
	assert_equal "$(stat -c %a listed)" 640
}

@test "system attributes that nobody knows are not taken: EOPNOTSUPP" {
	touch listed
	assert_equal "$(errno_of 'os.setxattr(m + "listed", "system.other", b"x")')" EOPNOTSUPP
}

@test "splicing a buffer whose reads ask the daemon is refused, not stale" {
	spec spliced 'capacity=64K'
	assert_equal "$(errno_of '
    f = os.open(m + "spliced", os.O_RDWR)
    os.sendfile(os.open("/dev/null", os.O_WRONLY), f, 0, 4096)')" EINVAL
	echo elastic >plain
	assert_equal "$(errno_of '
    f = os.open(m + "plain", os.O_RDWR)
    r, w = os.pipe()
    assert os.sendfile(w, f, 0, 4096) == 8')" 0
}
