# -o io_uring: the same filesystem, requests by another way.
load helper

PARAMETER=/sys/module/fuse/parameters/enable_uring

# What the module's parameter was is kept, and put back as soon as a mount has
# agreed: a mount that has io_uring keeps it.
setup_file() {
	[ ! -e $PARAMETER ] || cat $PARAMETER >"$BATS_FILE_TMPDIR/parameter"
}
teardown_file() { restore; }
teardown() {
	restore
	unmount_fs
}

restore() {
	[ ! -e $PARAMETER ] ||
		cat "$BATS_FILE_TMPDIR/parameter" >$PARAMETER
}

mount_uring() {
	[ -e $PARAMETER ] || skip 'this kernel has no FUSE over io_uring'
	pkg-config --exists 'fuse3 >= 3.18' ||
		PKG_CONFIG_PATH=${XDG_CACHE_HOME:-$HOME/.cache}/bufferfs/fuse3/lib/pkgconfig \
			pkg-config --exists 'fuse3 >= 3.18' ||
		skip 'libfuse is older than 3.18'
	echo Y >$PARAMETER
	mount_fs -o io_uring,reserve=0,pressure_stall=0
	restore
	assert_equal "$(state "$MNT" transport)" io_uring
	cd "$MNT" || return
}

@test "files, directories, links and xattrs work by io_uring" {
	mount_uring
	mkdir -p a/b
	seq 10000 >a/file
	assert_equal "$(tail -n 1 a/file)" 10000
	ln a/file a/b/link && ln -s ../file a/b/symlink
	assert_equal "$(stat -c %h a/file)" 2
	cmp a/file a/b/symlink
	setfattr -n user.note -v hello a/file
	assert_equal "$(getfattr --only-values -n user.note a/b/link)" hello
	mv a/file c
	assert_equal "$(find . | sort | tr '\n' ' ')" '. ./a ./a/b ./a/b/link ./a/b/symlink ./c '
	head -c 3M /dev/urandom >random
	cp random copy
	cmp random copy
	seq 1000 | xargs touch
	assert_equal "$(find . -name '[0-9]*' | wc -l)" 1000
	rm -r "${MNT:?}"/*
	assert_equal "$(ls -A)" ''
}

@test "errors are the same by io_uring" {
	mount_uring
	touch there
	assert_equal "$(errno_of 'os.stat(m + "absent")')" ENOENT
	assert_equal "$(errno_of 'os.open(m + "there", os.O_CREAT | os.O_EXCL)')" EEXIST
	assert_equal "$(errno_of 'os.setxattr(m + "there", "user.iobuf", b"bogus")')" EINVAL
	assert_equal "$(errno_of 'os.mkdir(m + "x" * 256)')" ENAMETOOLONG
}

@test "names go by themselves, and volatile buffers make room, by io_uring" {
	mount_uring
	for i in 1 2 3 4 5 6 7 8; do
		spec "closed$i" life=lastclose
		exec 4<>"closed$i"
		touch "others$i" & # who has the directory while names go
		exec 4>&-
		wait $!
		eventually test ! -e "closed$i"
	done
	sleep infinity 3>&- &
	spec bound "task=$!"
	kill $!
	eventually test ! -e bound
	spec cache purgeable
	head -c 1M /dev/zero | tr '\0' x >cache
	assert_equal "$(iobuf purgeable cache volatile)" nonvolatile
	assert_equal "$(iobuf purgeable cache empty)" volatile
	assert_equal "$(tr -d '\0' <cache | wc -c)" 0
}

@test "mappings are the buffer itself by io_uring" {
	mount_uring
	spec buffer 'capacity=1M'
	coproc MAPPER { exec "$BUILD/bin/mapper" buffer 1048576 3>&-; }
	read -r line <&"${MAPPER[0]}"
	echo 'put 4096 mapped' >&"${MAPPER[1]}"
	read -r line <&"${MAPPER[0]}"
	assert_equal "$(tail -c +4097 buffer | head -c 6)" mapped
	printf written | dd of=buffer conv=notrunc status=none
	echo 'get 0 7' >&"${MAPPER[1]}"
	read -r line <&"${MAPPER[0]}"
	assert_equal "$line" written
	kill "$MAPPER_PID"
}

@test "wired and contiguous buffers are made by io_uring" {
	mount_uring
	spec wired 'wired,capacity=4M'
	assert_equal "$(state wired wired)" 4194304
	spec run 'contiguous,capacity=2M'
	assert_equal "$(state run longest_run)" 2097152
	printf bytes | dd of=run conv=notrunc status=none
	assert_equal "$(head -c 5 run)" bytes
}

@test "16 clients at once find their own bytes by io_uring" {
	mount_uring
	run python3 - "$MNT" <<'END'
import os, sys
def client(k):
    d = sys.argv[1] + '/%d' % k
    os.mkdir(d)
    for n in range(100):
        f = d + '/f%d' % (n % 7)
        data = b'%d %d' % (k, n)
        with open(f, 'wb') as x: x.write(data)
        fixed = d + '/fixed%d' % n
        open(fixed, 'wb').close()
        os.setxattr(fixed, 'user.iobuf', b'capacity=8192')
        with open(fixed, 'r+b') as x: x.write(data)
        with open(fixed, 'rb') as x: assert x.read(len(data)) == data
        with open(f, 'rb') as x: assert x.read() == data
        os.rename(fixed, f)
        assert os.stat(f).st_size == 8192
        os.listdir(d)
        os.unlink(f)
    assert os.listdir(d) == []
children = []
for k in range(16):
    pid = os.fork()
    if pid == 0:
        try: client(k)
        except BaseException as e:
            print(k, repr(e), flush=True)
            os._exit(1)
        os._exit(0)
    children.append(pid)
sys.exit(any([os.waitpid(pid, 0)[1] for pid in children]))
END
	assert_success
	assert_output ''
}

@test "umount ends the daemon that serves by io_uring, and its pool" {
	mount_uring
	pool=$(state . pool)
	unmount_fs
	assert_not_exist "$pool"
}

@test "switched off: the mount goes on without, and says how to switch it on" {
	[ -e $PARAMETER ] || skip 'this kernel has no FUSE over io_uring'
	echo N >$PARAMETER
	mount_fs -o io_uring,reserve=0,pressure_stall=0
	assert_equal "$(state "$MNT" transport)" dev_fuse
	run grep -c "echo Y >$PARAMETER" "$LOG"
	assert_output 1
	echo text >"$MNT/file"
	assert_equal "$(cat "$MNT/file")" text
	old=$(worker)
	kill -9 "$old"
	assert_equal "$(cat "$MNT/file")" text
	assert_equal "$(state "$MNT" workers_started)" 2
}

@test "not asked for: requests do not go by io_uring" {
	[ ! -e $PARAMETER ] || echo Y >$PARAMETER
	mount_fs
	restore
	assert_equal "$(state "$MNT" transport)" dev_fuse
	run grep -c io_uring "$LOG"
	assert_output 0
}

@test "a worker that dies takes the mount with it, the pool is served again" {
	mount_uring
	echo text >file
	spec buffer 'capacity=4096,tag=kept'
	assert_equal "$(cat file)" text
	eventually state_is file opens 0
	cd /
	coproc MAPPER { exec "$BUILD/bin/mapper" "$MNT/buffer" 4096 3>&-; }
	read -r line <&"${MAPPER[0]}"
	old=$(worker)
	# Idle: nothing is in flight.
	kill -9 "$old"
	tail --pid="$(cat "$BATS_FILE_TMPDIR/holder")" -s 0.05 -f /dev/null 3>&-
	run mountpoint -q "$MNT"
	assert_failure
	run grep -c 'no worker can take over' "$LOG"
	assert_output 1
	echo 'put 0 mapped' >&"${MAPPER[1]}"
	read -r line <&"${MAPPER[0]}"
	assert_equal "$line" 'done'

	mount_fs
	assert_equal "$(cat "$MNT/file")" text
	assert_equal "$(head -c 6 "$MNT/buffer")" mapped
	kill "$MAPPER_PID"
}
