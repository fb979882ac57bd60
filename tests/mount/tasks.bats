# Names that go with a process, or with the last close.
load helper

setup() {
	OWNERS=$BATS_TEST_TMPDIR/owners
	: >"$OWNERS"
	# Ordinary users have to reach the mount point.
	chmod a+rx "$BATS_RUN_TMPDIR" "$BATS_FILE_TMPDIR"
	mount_fs -o allow_other,size=64M
	cd "$MNT" || exit
	chmod 777 .
}

teardown() {
	[ -z "${MAPPER_PID:-}" ] || kill "$MAPPER_PID" 2>/dev/null || true
	# Where a test has stopped it.
	kill -CONT "$(cat "$BATS_FILE_TMPDIR/holder")" 2>/dev/null || true
	while read -r pid; do
		kill -9 "$pid" 2>/dev/null || true
	done <"$OWNERS"
	unmount_fs
}

# start_owner [COMMAND...]: a process that does nothing until it is killed; sets
# $OWNER.
start_owner() {
	"$@" sleep infinity 3>&- &
	OWNER=$!
	echo "$OWNER" >>"$OWNERS"
}

AS_NOBODY=(setpriv --reuid=nobody --regid=nogroup --clear-groups)

# The process is gone, and the shell has nothing to say about it.
kill_owner() { kill -9 "$1"; wait "$1" 2>/dev/null || true; }

gone() { # NAME...: all of them
	for name; do
		[ ! -e "$name" ] || return 1
	done
}

task_of() { getfattr --absolute-names --only-values -n user.iobuf.task "$1"; }

spec_of() { getfattr --absolute-names --only-values -n user.iobuf "$1"; }

set_spec() { # FILE SPEC: the error's name, or 0
	errno_of "os.setxattr(m + '$1', 'user.iobuf', b'$2')"
}

@test "SIGKILL of its task takes the name of a buffer" {
	start_owner
	spec mine "task=$OWNER,capacity=64K"
	spec other 'capacity=64K'
	assert_equal "$(task_of mine)" "$OWNER"
	assert_equal "$(task_of other)" kernel
	kill_owner "$OWNER"
	eventually gone mine
	assert_equal "$(ls)" other
	assert_equal "$(set_spec mine capacity=4K)" ENOENT
}

@test "a process that ends by itself takes its buffers with it" {
	python3 - "$MNT" <<'END'
import os, sys
os.chdir(sys.argv[1])
open('mine', 'w').close()
os.setxattr('mine', 'user.iobuf', b'task=self,capacity=4K')
assert os.getxattr('mine', 'user.iobuf.task') == str(os.getpid()).encode()
assert os.path.exists('mine')
END
	eventually gone mine
}

@test "a thread that says self, and the id of a thread, mean the process" {
	python3 - "$MNT" <<'END'
import os, sys, threading
os.chdir(sys.argv[1])
def work(name, words):
    open(name, 'w').close()
    os.setxattr(name, 'user.iobuf', words())
t = threading.Thread(target=work, args=('a', lambda: b'task=self'))
t.start(); t.join()
t = threading.Thread(target=work, args=(
    'b', lambda: b'task=%d' % threading.get_native_id()))
t.start(); t.join()
for name in 'a', 'b':
    assert os.getxattr(name, 'user.iobuf.task') == str(os.getpid()).encode()
    os.stat(name)
END
	eventually gone a b
}

@test "mappings and open files of others live on" {
	start_owner
	spec mine "task=$OWNER,capacity=64K"
	coproc MAPPER { exec "$BUILD/bin/mapper" mine 65536 3>&-; }
	read -r line <&"${MAPPER[0]}"
	assert_equal "$line" ready
	exec 4<>mine
	echo 'put 0 before' >&"${MAPPER[1]}"
	read -r line <&"${MAPPER[0]}"
	kill_owner "$OWNER"
	eventually gone mine
	echo 'put 6 after' >&"${MAPPER[1]}"
	read -r line <&"${MAPPER[0]}"
	assert_equal "$line" 'done'
	assert_equal "$(head -c 11 <&4)" beforeafter
	assert_equal "$(stat -L -c %h /proc/self/fd/4)" 0
	exec 4>&-
	echo 'get 0 11' >&"${MAPPER[1]}"
	read -r line <&"${MAPPER[0]}"
	assert_equal "$line" beforeafter
}

@test "who only opened a buffer never takes its name" {
	start_owner
	spec mine "task=$OWNER,capacity=4K"
	coproc MAPPER { exec "$BUILD/bin/mapper" mine 4096 3>&-; }
	read -r line <&"${MAPPER[0]}"
	mapper=$MAPPER_PID
	kill_owner "$mapper"
	eventually state_is mine opens 0
	assert_exist mine
	kill_owner "$OWNER"
	eventually gone mine
}

@test "hard links in any directory go too" {
	start_owner
	mkdir -p a/b
	spec mine "task=$OWNER"
	ln mine a/b/second
	mv a moved
	ln mine third
	ls -R . >/dev/null
	kill_owner "$OWNER"
	eventually gone mine moved/b/second third
	assert_equal "$(find . -type f)" ''
}

@test "what has taken the name over stays" {
	start_owner
	spec mine "task=$OWNER"
	mv mine renamed
	echo kept >mine
	kill_owner "$OWNER"
	eventually gone renamed
	assert_equal "$(cat mine)" kept
}

@test "memory of the pool goes with the name" {
	eventually state_is . used 0
	for i in 1 2 3; do
		start_owner
		spec "mine$i" "task=$OWNER,capacity=8M"
		[ $i != 2 ] || rm mine2
	done
	# Without what the kernel remembers of them.
	[ ! -w /proc/sys/vm/drop_caches ] || echo 2 >/proc/sys/vm/drop_caches
	while read -r pid; do kill_owner "$pid"; done <"$OWNERS"
	eventually state_is . used 0
}

@test "a worker that died in between binds again" {
	start_owner
	spec mine "task=$OWNER,capacity=4K"
	old=$(worker)
	kill -9 "$old"
	assert_not_equal "$(worker)" "$old"
	assert_exist mine
	assert_equal "$(task_of mine)" "$OWNER"
	kill_owner "$OWNER"
	eventually gone mine
}

@test "an end that no worker saw is made up for by the next" {
	start_owner
	first=$OWNER
	start_owner
	spec mine "task=$first,capacity=4K"
	spec other "task=$OWNER,capacity=4K"
	kill -STOP "$(cat "$BATS_FILE_TMPDIR/holder")"
	kill -9 "$(worker)"
	kill_owner "$first"
	kill -CONT "$(cat "$BATS_FILE_TMPDIR/holder")"
	eventually gone mine
	assert_exist other
	kill_owner "$OWNER"
	eventually gone other
}

@test "an adopted pool's buffers are bound again" {
	start_owner
	first=$OWNER
	start_owner
	spec mine "task=$first"
	spec other "task=$OWNER,capacity=4K"
	old=$(worker)
	cd /
	kill -9 "$(cat "$BATS_FILE_TMPDIR/holder")"
	tail --pid="$old" -s 0.05 -f /dev/null
	kill_owner "$first"
	mount_fs -o allow_other
	eventually gone "$MNT/mine"
	assert_exist "$MNT/other"
	kill_owner "$OWNER"
	eventually gone "$MNT/other"
}

@test "a recycled process id is not mistaken for the task" {
	[ -w /proc/sys/kernel/ns_last_pid ] || skip 'process ids cannot be chosen'
	start_owner
	spec mine "task=$OWNER,capacity=4K"
	kill -STOP "$(cat "$BATS_FILE_TMPDIR/holder")"
	kill -9 "$(worker)"
	kill_owner "$OWNER"
	first=$OWNER
	for _ in $(seq 100); do
		echo $((first - 1)) >/proc/sys/kernel/ns_last_pid
		start_owner
		[ "$OWNER" != "$first" ] || break
	done
	[ "$OWNER" = "$first" ] || skip 'the process id was taken by another'
	kill -CONT "$(cat "$BATS_FILE_TMPDIR/holder")"
	eventually gone mine
	kill -0 "$OWNER"
}

@test "another user's process takes the right to signal it: EPERM" {
	start_owner
	run "${AS_NOBODY[@]}" /usr/bin/python3 - "$MNT" "$OWNER" <<'END'
import errno, os, sys
os.chdir(sys.argv[1])
open('f', 'w').close()
for pid in sys.argv[2], '1':
    try:
        os.setxattr('f', 'user.iobuf', b'capacity=4K,task=' + pid.encode())
        print('passed')
    except OSError as e:
        print(errno.errorcode[e.errno])
print(os.getxattr('f', 'user.iobuf.task').decode(), os.stat('f').st_size)
END
	assert_output $'EPERM\nEPERM\nkernel 0'
	kill_owner "$OWNER"
	assert_exist f
	start_owner "${AS_NOBODY[@]}"
	is_nobodys() { [ "$(stat -c %U "/proc/$OWNER")" = nobody ]; }
	eventually is_nobodys
	"${AS_NOBODY[@]}" setfattr -n user.iobuf -v "task=$OWNER" f
	kill_owner "$OWNER"
	eventually gone f
}

@test "who may only write to a file does not take its names" {
	chmod 755 .
	: >empty
	echo data >full
	echo mine >own
	chmod 666 empty full
	chown nobody own
	run "${AS_NOBODY[@]}" /usr/bin/python3 - "$MNT" <<'END'
import errno, os, sys
os.chdir(sys.argv[1])
for name, text in (('empty', b'task=self'), ('empty', b'life=lastclose'),
                   ('full', b'task=self,length=5'),
                   ('full', b'life=lastclose,length=5'),
                   ('empty', b'tag=a'), ('own', b'life=lastclose,length=5')):
    try:
        os.setxattr(name, 'user.iobuf', text)
        print('passed')
    except OSError as e:
        print(errno.errorcode[e.errno])
for name in 'empty', 'full', 'own':
    os.close(os.open(name, os.O_RDWR))
END
	assert_output $'EPERM\nEPERM\nEPERM\nEPERM\npassed\npassed'
	eventually gone own
	assert_equal "$(cat full)" data
	assert_exist empty
}

@test "who may only write to a file does not set it free from what takes its names" {
	chmod 755 .
	start_owner
	touch bound
	chmod 666 bound
	setfattr -n user.iobuf -v "task=$OWNER" bound
	run "${AS_NOBODY[@]}" setfattr -x user.iobuf bound
	assert_output --partial 'Operation not permitted'
	kill_owner "$OWNER"
	eventually gone bound
}

@test "a process that has ended is ESRCH" {
	start_owner
	kill_owner "$OWNER"
	touch f
	assert_equal "$(set_spec f "task=$OWNER,capacity=4K")" ESRCH
	assert_equal "$(stat -c %s f)" 0
	mkdir d
	assert_equal "$(set_spec d "task=$OWNER")" ESRCH
}

@test "a task without pageable is EINVAL" {
	touch f
	assert_equal "$(set_spec f 'task=1,wired')" EINVAL
	assert_equal "$(set_spec f 'task=self,contiguous,capacity=64K')" EINVAL
}

@test "another process id namespace: self is bound, a number EOPNOTSUPP" {
	unshare --pid --fork --mount-proc true || skip 'no process id namespaces'
	touch f
	run unshare --pid --fork --mount-proc python3 - "$MNT" <<'END'
import errno, os, sys
os.chdir(sys.argv[1])
try:
    os.setxattr('f', 'user.iobuf', b'task=%d' % os.getpid())
except OSError as e:
    print(errno.errorcode[e.errno].replace('ENOTSUP', 'EOPNOTSUPP'))
os.setxattr('f', 'user.iobuf', b'task=self')
print(os.path.exists('f'))
END
	assert_output $'EOPNOTSUPP\nTrue'
	eventually gone f
}

@test "files made in a directory with task=self are their maker's" {
	mkdir d
	setfattr -n user.iobuf -v task=self d
	mkdir d/below
	assert_equal "$(task_of d/below)" self
	python3 - "$MNT/d/below" <<'END'
import os, stat, sys
os.chdir(sys.argv[1])
me = str(os.getpid()).encode()
open('made', 'w').close()
os.mknod('node', 0o600 | stat.S_IFREG)
os.mknod('fifo', 0o600 | stat.S_IFIFO)
for name in 'made', 'node':
    assert os.getxattr(name, 'user.iobuf.task') == me
os.setxattr('made', 'user.iobuf', b'capacity=4K')
assert os.getxattr('made', 'user.iobuf.task') == me
assert sorted(os.listdir()) == ['fifo', 'made', 'node']
END
	eventually gone d/below/made d/below/node
	assert_exist d/below/fifo
}

@test "files of a directory whose process has ended cannot be made" {
	start_owner
	mkdir d
	setfattr -n user.iobuf -v "task=$OWNER" d
	touch d/f
	assert_equal "$(task_of d/f)" "$OWNER"
	kill_owner "$OWNER"
	eventually gone d/f
	assert_equal "$(errno_of "open(m + 'd/g', 'w')")" ESRCH
	assert_equal "$(ls d)" ''
}

@test "a mount can bind every file to its maker, but to no process" {
	unmount_fs
	run "$BUILD/bin/bufferfs" -o options=task=1 "$MNT"
	assert_failure
	assert_output --partial 'task=self'
	mount_fs -o options=task=self,pageable
	cd "$MNT"
	start_owner sh -c 'echo mine >f; exec sleep infinity'
	eventually test -s f
	assert_equal "$(task_of f)" "$OWNER"
	kill_owner "$OWNER"
	eventually gone f
}

thread_status() { # KEY: of the thread that waits for processes to end
	for task in /proc/"$(worker)"/task/*; do
		[ "$(cat "$task/comm")" != bufferfs-tasks ] ||
			awk -v key="$1:" '$1 == key { print $2 }' "$task/status"
	done
}

@test "10,000 buffers of 100 processes: no descriptor a buffer, no work while idle" {
	fds() { find "/proc/$(worker)/fd" -mindepth 1 2>/dev/null | wc -l; }
	few() { [ "$(fds)" -le $((before + 100 + 16)) ]; }
	before=$(fds)
	mkfifo "$BATS_TEST_TMPDIR/ready"
	cat >"$BATS_TEST_TMPDIR/owners.py" <<'END'
import os, signal, sys
os.chdir(sys.argv[1])
for k in range(100):
    if os.fork() == 0:
        try:
            for i in range(100):
                name = '%d-%d' % (k, i)
                os.close(os.open(name, os.O_CREAT | os.O_WRONLY, 0o600))
                os.setxattr(name, 'user.iobuf', b'task=self')
            os.write(1, b'%d\n' % os.getpid())
        except OSError as error:
            os.write(1, b'%s\n' % repr(error).encode())
            os._exit(1)
        while True:
            signal.pause()
END
	python3 "$BATS_TEST_TMPDIR/owners.py" "$MNT" >"$BATS_TEST_TMPDIR/ready" 3>&- &
	for _ in $(seq 100); do
		read -r pid
		case $pid in
		*[!0-9]*) failed=$pid ;;
		*) echo "$pid" >>"$OWNERS" ;;
		esac
	done <"$BATS_TEST_TMPDIR/ready"
	[ -z "${failed:-}" ] || fail "$failed"
	assert_equal "$(find . -type f | wc -l)" 10000
	eventually few
	slept=$(thread_status voluntary_ctxt_switches)
	[ -n "$slept" ]
	for i in $(seq 100); do
		state "$i-0" opens >/dev/null 2>&1 || true
	done
	assert_equal "$(thread_status voluntary_ctxt_switches)" "$slept"
	kill -9 "$(worker)"
	assert_equal "$(find . -type f | wc -l)" 10000
	xargs kill -9 <"$OWNERS"
	empty() { [ "$(find . -type f | wc -l)" = 0 ]; }
	eventually empty
	few() { [ "$(fds)" -le $((before + 16)) ]; }
	eventually few
}

@test "life=lastclose: the name goes when its last open file closes" {
	spec f 'life=lastclose,capacity=4K'
	ln f g
	assert_exist f # nobody has opened it yet
	exec 4<>f 5<f
	exec 4>&-
	eventually state_is f opens 1
	assert_exist f
	exec 5<&-
	eventually gone f g
	eventually state_is . used 0
}

@test "a mapping does not keep the name, and keeps the memory" {
	spec f 'life=lastclose,capacity=64K'
	coproc MAPPER { exec "$BUILD/bin/mapper" f 65536 3>&-; }
	read -r line <&"${MAPPER[0]}"
	assert_equal "$line" ready
	echo 'put 0 bytes' >&"${MAPPER[1]}"
	read -r line <&"${MAPPER[0]}"
	assert_exist f
	echo close >&"${MAPPER[1]}"
	read -r line <&"${MAPPER[0]}"
	eventually gone f
	echo 'get 0 5' >&"${MAPPER[1]}"
	read -r line <&"${MAPPER[0]}"
	assert_equal "$line" bytes
}

@test "a file made in a directory with life=lastclose is its first opener's" {
	mkdir d
	setfattr -n user.iobuf -v life=lastclose d
	exec 4>d/f
	echo bytes >&4
	assert_equal "$(cat d/f)" bytes
	assert_exist d/f
	exec 4>&-
	eventually gone d/f
}

@test "copies are of the same kind, and their names stay" {
	start_owner
	spec bound "task=$OWNER,capacity=64K,tag=of a task"
	spec closed 'life=lastclose,capacity=64K'
	exec 4<>closed
	echo bytes | tee bound >&4
	mkdir d
	setfattr -n user.iobuf -v "task=$OWNER,tag=of a task" d
	setfattr -n user.iobuf -v "$(spec_of bound)" bound
	setfattr -n user.iobuf -v "$(spec_of closed)" closed
	assert_equal "$(task_of bound) $(state bound task)" "$OWNER $OWNER"
	assert_equal "$(state closed life)" lastclose
	mkdir cp tar rsync
	cp -a bound closed d cp
	tar --xattrs --xattrs-include='*' -cf "$BATS_TEST_TMPDIR/tar" \
		bound closed d
	tar --xattrs --xattrs-include='*' -xf "$BATS_TEST_TMPDIR/tar" -C tar
	rsync -aX bound closed d rsync
	kill_owner "$OWNER"
	exec 4>&-
	eventually gone bound closed
	for by in cp tar rsync; do
		assert_equal "$(head -c 5 "$by/bound")" bytes
		assert_equal "$(head -c 5 "$by/closed")" bytes
		assert_equal "$(state "$by/bound" capacity)" 65536
		assert_equal "$(state "$by/bound" tag)" 'of a task'
		assert_equal "$(state "$by/closed" kind)" fixed
		touch "$by/d/made"
		assert_equal "$(state "$by/d/made" tag)" 'of a task'
	done
}

@test "a copy into a directory with life=lastclose is what the original is" {
	mkdir d
	setfattr -n user.iobuf -v life=lastclose d
	spec f 'capacity=4K'
	cp -a f d
	cp f d/g
	eventually gone d/g
	assert_equal "$(state d/f kind)" fixed
}

@test "a last close that a worker died over is finished by the next" {
	spec f 'life=lastclose,capacity=4K'
	spec g 'life=lastclose,capacity=4K'
	exec 4<>f 5<>g
	old=$(worker)
	kill -9 "$old"
	assert_not_equal "$(worker)" "$old" # one that can be stopped from starting
	assert_exist f
	kill -STOP "$(cat "$BATS_FILE_TMPDIR/holder")"
	kill -9 "$(worker)"
	exec 4>&-
	kill -CONT "$(cat "$BATS_FILE_TMPDIR/holder")"
	eventually gone f
	assert_exist g
	exec 5>&-
	eventually gone g
}

waits_in() { # PID: in the kernel, for the page that does not come
	grep -q -e handle_userfault "/proc/$1/stack"
}

@test "a client that holds a directory keeps no name of another one" {
	mkdir held other
	start_owner
	local held=$OWNER
	start_owner
	spec held/bound "task=$held"
	spec other/bound "task=$OWNER"
	for i in $(seq 40); do spec "held/closed$i" life=lastclose; done
	spec other/closed life=lastclose
	coproc READER { exec hold_directory held 3>&-; }
	local holder=$READER_PID
	echo "$holder" >>"$OWNERS"
	read -r _ <&"${READER[0]}" ||
		skip 'THIS KERNEL HAS NO userfaultfd(2), by which to hold a directory'
	eventually waits_in "$holder"
	kill_owner "$held"
	for i in $(seq 40); do : <"held/closed$i"; done
	kill_owner "$OWNER"
	: <other/closed
	eventually gone other/bound other/closed
	kill_owner "$holder"
	eventually gone held/bound held/closed1 held/closed40
}

@test "a wired buffer is unlocked with its last close" {
	spec f 'wired,life=lastclose,capacity=1M'
	locked_is 1024
	exec 4<>f
	exec 4>&-
	eventually gone f
	eventually locked_is 0
}

@test "30 kills of the worker while tasks end and files close lose no name" {
	for i in $(seq 30); do
		start_owner
		spec "task$i" "task=$OWNER"
		spec "stays$i" 'capacity=4K'
		spec "life$i" life=lastclose
		exec 4<"life$i"
		kill -9 "$(worker)" "$OWNER"
		exec 4<&-
		wait "$OWNER" 2>/dev/null || true
	done
	mine() { find . -name 'task*' -o -name 'life*'; }
	empty() { [ -z "$(mine)" ]; }
	eventually empty
	assert_equal "$(find . -name 'stays*' | wc -l)" 30
}
