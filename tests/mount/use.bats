# What a user does first: the README's example, and ordinary files.
load helper

setup_file() { mount_fs -o allow_other; }
teardown_file() { unmount_fs; }
setup() { cd "$MNT" || exit; }

@test "a wired buffer is fixed, wired and goes by passthrough" {
	touch ring
	setfattr -n user.iobuf -v 'wired,inout,shared,capacity=64M' ring
	assert_equal "$(state ring kind)" fixed
	assert_equal "$(state ring wired)" 67108864
	assert_equal "$(state ring resident)" 67108864
	assert_equal "$(state ring datapath)" passthrough
	assert_equal "$(stat -c %s ring)" 67108864
	rm ring
}

@test "python maps the buffer that the shell made" {
	spec hello 'wired,inout,shared,capacity=1M'
	python3 -c "import mmap
f = open('hello', 'r+b'); m = mmap.mmap(f.fileno(), 0); m[0:5] = b'hello'"
	assert_equal "$(head -c 5 hello)" hello
}

@test "a wired buffer adds to the worker's locked memory and gives it back" {
	before=$(locked_kib)
	spec locked 'wired,capacity=8M'
	during=$(locked_kib)
	assert_equal $((during - before)) 8192
	rm locked
	stat . >/dev/null
	# The kernel forgets the inode on its own time: wait for that.
	eventually locked_is "$before"
}

@test "cp, cat, append and truncate work as on any filesystem" {
	cp /usr/lib/os-release notes
	run diff /usr/lib/os-release notes
	assert_success
	echo more >>notes
	assert_equal "$(tail -n 1 notes)" more
	truncate -s 1G scratch
	assert_equal "$(stat -c %s scratch)" 1073741824
	assert_equal "$(stat -c %b scratch)" 0
}

@test "df tells the size of the pool and what is used of it" {
	total=$(df --output=size -B1 . | tail -n 1)
	assert_equal "$(state . size)" "$((total))"
	before=$(df --output=used -B1 . | tail -n 1)
	head -c 1M /dev/zero >million
	after=$(df --output=used -B1 . | tail -n 1)
	assert [ $((after - before)) -ge 1048576 ]
	rm million
}

@test "a file of one byte costs one page of the pool" {
	before=$(state . used)
	printf x >one
	assert_equal $(($(state . used) - before)) 4096
	assert_equal "$(state one allocated)" 4096
}

@test "a large buffer gets huge pages" {
	spec large 'wired,capacity=8M'
	assert_equal "$(state large huge)" 8388608
	rm large
}

@test "reads of a fixed buffer end at its length" {
	spec short 'capacity=8192'
	printf 'abc' | dd of=short conv=notrunc status=none
	truncate -s 3 short
	assert_equal "$(cat short)" abc
	assert_equal "$(stat -c %s short)" 3
	assert_equal "$(state short capacity)" 8192
}

@test "a fixed buffer that shrank and grows again reads zeros" {
	spec regrown 'capacity=8192'
	printf 'secret' | dd of=regrown conv=notrunc status=none
	truncate -s 2 regrown
	truncate -s 6 regrown
	assert_equal "$(od -An -tx1 regrown | tr -d ' ')" 736500000000
}

@test "user.iobuf.length moves the length without touching bytes" {
	spec moved 'capacity=8192'
	printf 'secret' | dd of=moved conv=notrunc status=none
	setfattr -n user.iobuf.length -v 2 moved
	assert_equal "$(cat moved)" se
	setfattr -n user.iobuf.length -v 6 moved
	assert_equal "$(cat moved)" secret
	assert_equal "$(getfattr --only-values -n user.iobuf.length moved)" 6
}

@test "a write past the capacity keeps what fits" {
	spec full 'capacity=4096'
	run dd if=/dev/zero of=full bs=8192 count=1 conv=notrunc
	assert_failure
	assert_output --partial 'File too large'
	assert_equal "$(stat -c %s full)" 4096
}

@test "writes to a wired elastic buffer are wired as it grows" {
	spec grows 'wired'
	head -c 3M /dev/urandom >"$BATS_TEST_TMPDIR/data"
	cat "$BATS_TEST_TMPDIR/data" >grows
	run cmp "$BATS_TEST_TMPDIR/data" grows
	assert_success
	assert_equal "$(state grows wired)" 3145728
	assert_equal "$(state grows kind)" elastic
	truncate -s 1M grows
	assert_equal "$(state grows wired)" 1048576
}

@test "direction in refuses read, out refuses write, and it may change" {
	spec oneway 'in,capacity=4096'
	echo data | dd of=oneway conv=notrunc status=none
	run cat oneway
	assert_output --partial 'Operation not permitted'
	setfattr -n user.iobuf.direction -v out oneway
	assert_equal "$(head -c 4 oneway)" data
	run dd if=/dev/zero of=oneway bs=1 count=1 conv=notrunc
	assert_output --partial 'Operation not permitted'
}

@test "names, directories and attributes are the user's own" {
	mkdir -m 2775 dir
	chgrp 7 dir
	touch dir/file
	assert_equal "$(stat -c %g dir/file)" 7
	mkdir dir/sub
	assert_equal "$(stat -c %a dir/sub)" 2755
	mv dir/file dir/renamed
	chmod 640 dir/renamed
	chown 12:34 dir/renamed
	touch -d '2001-02-03 04:05:06 UTC' dir/renamed
	assert_equal "$(TZ=UTC stat -c '%a %u %g %Y' dir/renamed)" \
		'640 12 34 981173106'
	run rmdir dir
	assert_output --partial 'Directory not empty'
	rm -r dir
	assert_not_exist dir
}

@test "a file belongs to who made it, in its mode and umask" {
	setpriv --reuid=nobody --regid=nogroup --clear-groups \
		sh -c 'umask 027; echo mine >theirs; mkdir theirdir'
	assert_equal "$(stat -c '%U %G %a' theirs)" 'nobody nogroup 640'
	assert_equal "$(stat -c '%U %G %a' theirdir)" 'nobody nogroup 750'
	chmod 600 notes
	run setpriv --reuid=nobody --regid=nogroup --clear-groups cat notes
	assert_output --partial 'Permission denied'
}

@test "links and special files are kept" {
	echo x >target
	ln target hard
	ln -s target soft
	mkfifo pipe
	assert_equal "$(stat -c %h target)" 2
	assert_equal "$(readlink soft)" target
	assert_equal "$(cat soft)" x
	assert [ -p pipe ]
}

@test "a directory of 1,000 names lists each of them once" {
	mkdir many
	(cd many && seq -f 'name-%.0f' 1000 | xargs touch)
	assert_equal "$(find many -name 'name-*' | sort -u | wc -l)" 1000
	assert_equal "$(ls -l many | grep -c name-)" 1000
	rm -r many
}

@test "an unlinked file lives until its last close" {
	exec 4<>gone
	echo alive >&4
	rm gone
	assert_equal "$(cat /proc/self/fd/4)" alive
	exec 4>&-
}

@test "set-user-ID is cleared when another user writes" {
	touch suid
	chmod 6777 suid
	setpriv --reuid=nobody --regid=nogroup --clear-groups sh -c 'echo x >suid'
	assert_equal "$(stat -c %a suid)" 777
	spec fixedsuid 'capacity=4096'
	chmod 6777 fixedsuid
	setpriv --reuid=nobody --regid=nogroup --clear-groups \
		dd if=/dev/zero of=fixedsuid bs=1 count=1 conv=notrunc status=none
	assert_equal "$(stat -c %a fixedsuid)" 777
}

@test "ordinary xattrs are kept beside ours, and our record is not shown" {
	spec attr 'wired,capacity=4096'
	setfattr -n user.color -v blue attr
	assert_equal "$(getfattr --only-values -n user.color attr)" blue
	run getfattr -d -m - attr
	assert_line --partial 'user.color="blue"'
	assert_line --partial 'user.iobuf="wired,inout,shared,capacity=4096'
	refute_output --partial 'trusted.iobuf'
	refute_output --partial 'state'
	run getfattr -n trusted.iobuf.record attr
	assert_output --partial 'No such attribute'
	run setfattr -n trusted.iobuf.record -v x attr
	assert_output --partial 'Operation not permitted'
}

@test "user.iobuf shows only where it was set" {
	touch plain
	run getfattr -n user.iobuf plain
	assert_output --partial 'No such attribute'
	assert_equal "$(getfattr --only-values -n user.iobuf.options plain)" \
		'pageable,inout,shared'
	setfattr -n user.iobuf -v wired plain
	run getfattr -d plain
	assert_output --partial 'user.iobuf="wired,inout,shared'
	setfattr -x user.iobuf plain
	run getfattr -d plain
	refute_output --partial 'user.iobuf'
}

@test "each field of a specification can be set alone, until it is allocated" {
	touch fields
	# Quoted, or setfattr(1) takes 0x for an encoding of its own.
	setfattr -n user.iobuf.options -v '"0x10001"' fields
	assert_equal "$(getfattr --only-values -n user.iobuf.options fields)" \
		'wired,in,shared'
	setfattr -n user.iobuf.options -v pageable,inout fields
	setfattr -n user.iobuf.tag -v camera fields
	setfattr -n user.iobuf.alignment -v 4096 fields
	assert_equal "$(state fields kind)" empty
	setfattr -n user.iobuf.capacity -v 5000 fields
	assert_equal "$(getfattr --only-values -n user.iobuf.capacity fields)" 8192
	assert_equal "$(state fields kind)" fixed
	assert_equal "$(state fields tag)" camera
}

@test "the mount's own state names its processes and its pool" {
	assert_equal "$(state . holder_pid)" "$(cat "$BATS_FILE_TMPDIR/holder")"
	assert [ -d "/proc/$(state . worker_pid)" ]
	assert [ -d "$(state . pool)" ]
	assert_equal "$(state . transport)" dev_fuse
	assert_equal "$(bufferfs --version)" "bufferfs $(state . version)"
}

@test "iobuf creates, shows and lists buffers" {
	mkdir shown
	run iobuf create shown/a 'wired,capacity=1M,tag=first'
	assert_success
	run iobuf info shown/a
	assert_success
	assert_line --regexp '^  kind +fixed$'
	assert_line --regexp '^  wired +1048576$'
	assert_line --regexp '^  specification +wired,inout,shared,capacity=1048576'
	run iobuf ls shown
	assert_line --regexp '^fixed +1048576 +1048576 +1048576 .* a$'
	run iobuf create shown/b 'wired,bogus'
	assert_failure 2
	assert_output --partial "unknown token 'bogus'"
	assert_not_exist shown/b
	run iobuf create shown/b 'wired,task=1'
	assert_failure 1
	assert_not_exist shown/b
}

@test "the daemon stays under 10 MiB resident with 100 files" {
	mkdir hundred
	for i in $(seq 100); do echo "$i" >"hundred/$i"; done
	cat hundred/* >/dev/null
	for f in hundred/*; do stat "$f"; done >/dev/null
	rss=$(cat "/proc/$(state . holder_pid)/status" \
		"/proc/$(state . worker_pid)/status" |
		awk '/^Rss(Anon|File)/ { kb += $2 } END { print kb }')
	[ -n "${SANITIZED:-}" ] || assert [ "$rss" -lt 10240 ]
}

@test "O_TMPFILE makes a file without a name, which a link can give it" {
	mkdir tmpfiles
	setfattr -n user.iobuf -v 'wired,capacity=64K' tmpfiles
	locked=$(locked_kib)
	run python3 - "$MNT/tmpfiles" <<'END'
import ctypes, os, sys
d = sys.argv[1]
fd = os.open(d, os.O_TMPFILE | os.O_RDWR, 0o640)
assert os.fstat(fd).st_nlink == 0 and os.listdir(d) == []
os.pwrite(fd, b'named', 0)
AT_FDCWD, AT_SYMLINK_FOLLOW = -100, 0x400
assert ctypes.CDLL(None).linkat(AT_FDCWD, b'/proc/self/fd/%d' % fd, AT_FDCWD,
                                (d + '/named').encode(), AT_SYMLINK_FOLLOW) == 0
other = os.open(d, os.O_TMPFILE | os.O_RDWR, 0o600)
os.pwrite(other, b'gone', 0)
END
	assert_success
	assert_equal "$(head -c 5 tmpfiles/named)" named
	assert_equal "$(stat -c '%a %h' tmpfiles/named)" '640 1'
	assert_equal "$(state tmpfiles/named wired)" 65536
	# The one without a name went with its last close.
	eventually locked_is $((locked + 64))
	rm -r tmpfiles
	eventually locked_is "$locked"
}

@test "SEEK_DATA and SEEK_HOLE find what an elastic buffer holds, and a fixed one's length" {
	truncate -s 16M holes
	printf x | dd of=holes bs=1M seek=9 conv=notrunc status=none
	spec whole 'capacity=8192'
	truncate -s 5000 whole
	assert_equal "$(errno_of '
    fd = os.open(m + "holes", os.O_RDONLY)
    # A huge page around it counts as data.
    assert 8 << 20 <= os.lseek(fd, 0, os.SEEK_DATA) <= 9 << 20
    assert os.lseek(fd, 0, os.SEEK_HOLE) == 0
    fd = os.open(m + "whole", os.O_RDONLY)
    assert os.lseek(fd, 10, os.SEEK_DATA) == 10
    assert os.lseek(fd, 10, os.SEEK_HOLE) == 5000')" 0
	assert_equal "$(errno_of 'os.lseek(os.open(m + "whole", os.O_RDONLY), 5000, os.SEEK_DATA)')" ENXIO
}
