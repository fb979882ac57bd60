# Cache modes: transfers in each of them give the right bytes, fsync(2) works,
# and what clients do to shared pages does not end the daemon.
load helper

setup_file() { mount_fs -o allow_other,size=64M; }
teardown_file() { unmount_fs; }

setup() {
	cd "$MNT" || exit
	rm -rf "${MNT:?}"/*
}

MODES='default inhibit writethru copyback writecombine'
KINDS='pageable wired pageable,capacity=1M wired,capacity=1M unshared,capacity=1M'

@test "read and write give the right bytes in every mode and kind" {
	head -c 1000000 /dev/urandom >"$BATS_TEST_TMPDIR/bytes"
	for mode in $MODES; do
		for kind in $KINDS; do
			spec "f" "$kind,cache=$mode"
			dd if="$BATS_TEST_TMPDIR/bytes" of=f bs=4093 \
				conv=notrunc,fsync status=none
			truncate -s 1000000 f
			cmp f "$BATS_TEST_TMPDIR/bytes"
			dd if=f bs=977 status=none |
				cmp - "$BATS_TEST_TMPDIR/bytes"
			rm f
		done
	done
}

@test "a mapping and transfers see each other's bytes" {
	for mode in $MODES; do
		for kind in 'pageable' 'wired,capacity=8K'; do
			spec f "$kind,cache=$mode"
			truncate -s 8192 f
			assert_equal "$(errno_of "
    fd = os.open(m + 'f', os.O_RDWR)
    p = mmap.mmap(fd, 8192)
    os.pwrite(fd, b'written', 4093)
    assert p[4093:4100] == b'written'
    p[4093:4100] = b'touched'
    os.fsync(fd)
    os.fdatasync(fd)
    p.flush()
    assert os.pread(fd, 9, 4092) == bytes(1) + b'touched' + bytes(1)")" 0
			rm f
		done
	done
}

@test "writes within and past the length keep to the capacity in every mode" {
	for mode in $MODES; do
		spec f "wired,capacity=8K,cache=$mode"
		truncate -s 10 f
		assert_equal "$(errno_of "
    fd = os.open(m + 'f', os.O_RDWR)
    assert os.pwrite(fd, b'x' * 100, 8100) == 92
    assert os.pread(fd, 9000, 0) == bytes(8100) + b'x' * 92
    os.pwrite(fd, b'x', 8192)")" EFBIG
		rm f
	done
}

@test "a write in every mode changes the file's time" {
	for mode in $MODES; do
		spec f "wired,capacity=8K,cache=$mode"
		for _ in 1 2; do
			touch -d @1 f
			printf x | dd of=f conv=notrunc status=none
			[ "$(stat -c %Y f)" -gt 1 ]
		done
		rm f
	done
}

@test "fsync of a sparse file takes no memory, and no time" {
	spec f cache=inhibit
	truncate -s 1T f
	printf x | dd of=f bs=1 seek=500G conv=notrunc,fsync status=none
	[ "$(stat -c %b f)" -le 4096 ]
	timeout 10 sync f
	assert_equal "$(dd if=f bs=1 skip=500G count=2 status=none | od -An -tx1)" \
		' 78 00'
}

@test "the state shows the mode among the options" {
	for mode in inhibit writethru copyback writecombine; do
		spec f "wired,capacity=8K,cache=$mode"
		assert_regex "$(state f options)" "(^|,)cache=$mode(,|\$)"
		assert_equal "$(state f datapath)" passthrough
		rm f
	done
	run getfattr --absolute-names --only-values -n user.iobuf.state .
	refute_output --partial 'cache='
}

@test "a new worker reads and writes in the mode of its predecessor" {
	spec f 'wired,capacity=8K,cache=inhibit'
	printf before >f
	old=$(worker)
	kill -9 "$old"
	assert_equal "$(head -c 6 f)" before
	printf after | dd of=f conv=notrunc,fsync status=none
	assert_equal "$(head -c 6 f)" aftere
	refute [ "$(worker)" = "$old" ]
}

# punch_and_fill: take the file's second page away by a mapping, and the rest of
# the pool by another file; then do what $1 says. Prints an errno's name.
punch_and_fill() {
	errno_of "
    fd = os.open(m + 'f', os.O_RDWR)
    p = mmap.mmap(fd, 16384)
    p[0:16384] = b'p' * 16384
    p.madvise(9, 4096, 4096) # MADV_REMOVE
    filler = os.open(m + 'filler', os.O_RDWR | os.O_CREAT)
    try:
        while True:
            os.write(filler, bytes(4096))
    except OSError:
        pass
    $1"
}

@test "memory that a client punched away in a full pool is ENOSPC" {
	for mode in $MODES; do
		for kind in pageable wired; do
			before=$(worker)
			spec f "$kind,capacity=16K,cache=$mode"
			assert_equal "$(punch_and_fill "
    assert os.pread(fd, 4096, 4096) == bytes(4096)
    assert os.pwrite(fd, b'w' * 4096, 0) == 4096
    os.fsync(fd)
    os.pwrite(fd, b'w' * 4096, 4096)")" ENOSPC
			assert_equal "$(worker)" "$before"
			rm f filler
			eventually state_is . used 0
		done
	done
}
