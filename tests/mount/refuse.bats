# Bad input: each is answered with the errno that is written here, and changes
# nothing.
load helper

setup_file() { mount_fs -o allow_other,size=64M; }
teardown_file() { unmount_fs; }

setup() {
	cd "$MNT" || exit
	rm -rf "${MNT:?}"/*
	touch empty
	spec fixed 'capacity=8192,tag=keep'
	printf 'contents' | dd of=fixed conv=notrunc status=none
	# The kernel gives up on its own time what rm and dd let go of.
	eventually state_is fixed opens 0
}

# All that can be seen of the tree: names, attributes, bytes, pool use.
snapshot() {
	for f in empty fixed; do
		stat -c '%n %s %b %a %u %g %i %h %y' $f
		getfattr --absolute-names -d -m - $f
		getfattr --only-values -n user.iobuf.state $f
		sha256sum <$f
	done
	ls -la | grep -v ' \.\.$'
	echo "used $(state . used)"
	awk '/VmLck/' "/proc/$(worker)/status"
}

# refuses ERRNO CODE: CODE (python) raises it, and nothing has changed.
refuses() {
	local before after
	before=$(snapshot)
	assert_equal "$(errno_of "$2")" "$1"
	after=$(snapshot)
	assert_equal "$after" "$before"
}

refuses_spec() { # ERRNO SPEC: on an empty buffer, also when it creates one
	refuses "$1" "os.setxattr(m + 'empty', 'user.iobuf', b'''$2''')"
}

@test "an unknown token is EINVAL" { refuses_spec EINVAL 'wired,bogus'; }
@test "a token with blanks is EINVAL" { refuses_spec EINVAL 'wired, inout'; }
@test "a trailing comma is EINVAL" { refuses_spec EINVAL 'wired,'; }
@test "an empty token is EINVAL" { refuses_spec EINVAL 'wired,,inout'; }
@test "an empty specification is EINVAL" { refuses_spec EINVAL ''; }
@test "capacity 0 is EINVAL" { refuses_spec EINVAL 'capacity=0'; }
@test "capacity 2^64 is EOVERFLOW" { refuses_spec EOVERFLOW 'capacity=18446744073709551616'; }
@test "capacity 2^64-1 is EOVERFLOW" { refuses_spec EOVERFLOW 'capacity=18446744073709551615'; }
@test "capacity 2^63 is EOVERFLOW" { refuses_spec EOVERFLOW 'capacity=8589934592G'; }
@test "a negative capacity is EINVAL" { refuses_spec EINVAL 'capacity=-1'; }
@test "capacity 12Q is EINVAL" { refuses_spec EINVAL 'capacity=12Q'; }
@test "capacity without a number is EINVAL" { refuses_spec EINVAL 'capacity='; }
@test "alignment 3 is EINVAL" { refuses_spec EINVAL 'align=3'; }
@test "alignment 0 is EINVAL" { refuses_spec EINVAL 'align=0'; }
@test "a duplicate token is EINVAL" { refuses_spec EINVAL 'wired,wired'; }
@test "contradicting tokens are EINVAL" { refuses_spec EINVAL 'wired,pageable'; }
@test "options= beside a token is EINVAL" { refuses_spec EINVAL 'options=0x10023,in'; }
@test "an unknown option bit is EINVAL" { refuses_spec EINVAL 'options=0x80000000'; }
@test "a 64 KiB value is EINVAL" { refuses EINVAL "os.setxattr(m + 'empty', 'user.iobuf', b'w' * 65536)"; }
@test "an embedded NUL is EINVAL" { refuses EINVAL "os.setxattr(m + 'empty', 'user.iobuf', b'wired\0inout')"; }
@test "a trailing NUL is EINVAL" { refuses EINVAL "os.setxattr(m + 'empty', 'user.iobuf', b'wired\0')"; }
@test "a tag over 63 bytes is EINVAL" { refuses EINVAL "os.setxattr(m + 'empty', 'user.iobuf', b'tag=' + b't' * 64)"; }
@test "purgeable and wired is EINVAL" { refuses_spec EINVAL 'purgeable,wired'; }
@test "a task and wired is EINVAL" { refuses_spec EINVAL 'task=1,wired'; }
@test "contiguous and pageable is EINVAL" { refuses_spec EINVAL 'contiguous,pageable'; }
@test "a format string is EINVAL" { refuses_spec EINVAL '%n%n%s%s'; }

@test "an unknown user.iobuf name is EINVAL to set, ENODATA to get" {
	refuses EINVAL "os.setxattr(m + 'empty', 'user.iobuf.bogus', b'1')"
	refuses ENODATA "os.getxattr(m + 'empty', 'user.iobuf.bogus')"
	refuses ENODATA "os.removexattr(m + 'empty', 'user.iobuf.bogus')"
}

@test "read-only attributes are EPERM to set" {
	refuses EPERM "os.setxattr(m + 'empty', 'user.iobuf.state', b'x')"
	refuses EPERM "os.setxattr(m + 'fixed', 'user.iobuf.segments', b'x')"
	refuses EPERM "os.removexattr(m + 'fixed', 'user.iobuf.state')"
}

@test "what is not set is ENODATA" {
	for name in '' .capacity .tag .physical_mask .purgeable; do
		refuses ENODATA "os.getxattr(m + 'empty', 'user.iobuf$name')"
	done
	refuses ENODATA "os.removexattr(m + 'empty', 'user.iobuf')"
}

@test "a value buffer that is too small is ERANGE" {
	refuses ERANGE "
    import ctypes
    libc = ctypes.CDLL(None, use_errno=True)
    b = ctypes.create_string_buffer(4)
    if libc.getxattr((m + 'fixed').encode(), b'user.iobuf', b, 4) < 0:
        raise OSError(ctypes.get_errno(), '')"
}

@test "setting after allocation is EBUSY, the same value is not" {
	refuses EBUSY "os.setxattr(m + 'fixed', 'user.iobuf', b'wired')"
	refuses EBUSY "os.setxattr(m + 'fixed', 'user.iobuf.capacity', b'16K')"
	refuses EBUSY "os.setxattr(m + 'fixed', 'user.iobuf.tag', b'other')"
	refuses EBUSY "os.removexattr(m + 'fixed', 'user.iobuf')"
	refuses 0 "os.setxattr(m + 'fixed', 'user.iobuf', b'capacity=8192,tag=keep')"
	refuses 0 "os.setxattr(m + 'fixed', 'user.iobuf.capacity', b'8K')"
}

@test "XATTR_CREATE and XATTR_REPLACE are kept" {
	refuses EEXIST "os.setxattr(m + 'fixed', 'user.iobuf', b'capacity=8192,tag=keep', os.XATTR_CREATE)"
	refuses ENODATA "os.setxattr(m + 'empty', 'user.iobuf', b'wired', os.XATTR_REPLACE)"
}

@test "a length past the capacity is EINVAL" {
	refuses EINVAL "os.setxattr(m + 'fixed', 'user.iobuf.length', b'8193')"
	refuses EINVAL "os.setxattr(m + 'fixed', 'user.iobuf.length', b'-1')"
	refuses EOPNOTSUPP "os.setxattr(m + 'empty', 'user.iobuf.length', b'1')"
}

@test "an unknown direction is EINVAL" {
	refuses EINVAL "os.setxattr(m + 'fixed', 'user.iobuf.direction', b'up')"
	refuses EINVAL "os.setxattr(m + 'fixed', 'user.iobuf.direction', b'wired')"
}

@test "a write past the capacity is EFBIG" {
	refuses EFBIG "os.pwrite(os.open(m + 'fixed', os.O_RDWR), b'x', 8192)"
	refuses EFBIG "os.pwrite(os.open(m + 'fixed', os.O_RDWR), b'x', 1 << 40)"
}

@test "truncate past the capacity is EFBIG" {
	refuses EFBIG "os.truncate(m + 'fixed', 8193)"
	refuses EFBIG "os.truncate(m + 'fixed', 1 << 62)"
}

@test "fallocate past the capacity is EFBIG" {
	refuses EFBIG "os.posix_fallocate(os.open(m + 'fixed', os.O_RDWR), 0, 8193)"
}

@test "a range cannot be collapsed out of a fixed buffer: EOPNOTSUPP" {
	refuses EOPNOTSUPP "
    import ctypes
    libc = ctypes.CDLL(None, use_errno=True)
    fd = os.open(m + 'fixed', os.O_RDWR)
    if libc.fallocate(fd, 8, ctypes.c_long(0), ctypes.c_long(4096)) < 0:
        raise OSError(ctypes.get_errno(), '')"
}

@test "more than the pool holds is ENOSPC" {
	refuses_spec ENOSPC 'capacity=65M'
	refuses_spec ENOSPC 'wired,capacity=65M'
	refuses ENOSPC "os.posix_fallocate(os.open(m + 'empty', os.O_RDWR), 0, 65 << 20)"
}

@test "names that are too long are ENAMETOOLONG" {
	refuses ENAMETOOLONG "os.open(m + 'n' * 256, os.O_CREAT)"
	refuses 0 "
    os.close(os.open(m + 'n' * 255, os.O_CREAT))
    os.unlink(m + 'n' * 255)"
}

@test "a refused specification leaves no file behind in a directory with defaults" {
	mkdir d
	setfattr -n user.iobuf -v 'capacity=48M' d
	touch d/first
	run touch d/second
	assert_output --partial 'No space left on device'
	assert_equal "$(ls d)" first
	rm -r d
}

@test "the log says which token was refused, and why" {
	setfattr -n user.iobuf -v 'wired,nonsense' empty 2>/dev/null || true
	run grep "unknown token 'nonsense'" "$LOG"
	assert_success
}
