# Accounting: who has how much of a mount, and how much a user may have.
load helper

teardown() {
	[ -z "${READERS:-}" ] || kill "$READERS" 2>/dev/null || true
	unmount_fs
}

ANN=1001
BOB=1002

# start [OPTION...]: a mount that two users work in.
start() {
	mount_fs -o "allow_other,size=64M,reserve=0,pressure_stall=0${1:+,$1}"
	cd "$MNT" || return
	chmod 1777 .
}

as() { # UID COMMAND...
	local uid=$1
	shift
	setpriv --reuid="$uid" --regid="$uid" --clear-groups "$@"
}

spec_as() { # UID FILE SPEC
	as "$1" touch "$2" && as "$1" setfattr -n user.iobuf -v "$3" "$2"
}

account() { # ROW KEY: a figure of the root's state
	state . "$1" | tr ' ' '\n' | sed -n "s/^$2://p"
}

account_is() { [ "$(account "$1" "$2")" = "$3" ]; } # ROW KEY VALUE

seen_by() { # UID: the rows of the state that a user sees
	as "$1" getfattr --only-values -n user.iobuf.state . |
		sed -n 's/^\(total\|owner\.[0-9]*\|tag\.[^=]*\|task\.[0-9]*\)=.*/\1/p' |
		xargs
}

refused() { # ERRNO CODE: in python, m is the mount
	assert_equal "$(errno_of "$2")" "$1"
}

set_spec() { # FILE SPEC: python that sets it
	echo "os.setxattr(m + '$1', 'user.iobuf', b'$2')"
}

@test "each owner has a row of what is his, and the total is of all" {
	start
	spec_as $ANN a 'capacity=1M'
	spec_as $ANN a2 'wired,capacity=2M'
	as $BOB sh -c 'head -c 8192 /dev/zero >b'
	as $BOB truncate -s 1G sparse
	assert_equal "$(account owner.$ANN buffers)" 2
	assert_equal "$(account owner.$ANN asked)" 3145728
	assert_equal "$(account owner.$ANN resident)" 3145728
	assert_equal "$(account owner.$ANN wired)" 2097152
	assert_equal "$(account owner.$BOB buffers)" 2
	assert_equal "$(account owner.$BOB asked)" $(((1 << 30) + 8192))
	assert_equal "$(account owner.$BOB resident)" 8192
	assert_equal "$(account owner.$BOB wired)" 0
	assert_equal "$(account total buffers)" 4
	assert_equal "$(account total wired)" 2097152
	chown $BOB a
	assert_equal "$(account owner.$BOB buffers)" 3
	rm a a2 b sparse
	eventually account_is total buffers 0
	assert_equal "$(state . owner.$ANN)" ''
}

@test "each tag has a row, whoever owns the buffers" {
	start
	spec_as $ANN a 'capacity=1M,tag=camera 1'
	spec_as $BOB b 'capacity=2M,tag=camera 1'
	spec c 'capacity=4096,tag=other=x'
	assert_equal "$(account 'tag.camera 1' buffers)" 2
	assert_equal "$(account 'tag.camera 1' asked)" 3145728
	assert_equal "$(account 'tag.other=x' asked)" 4096
	mv a renamed
	ln renamed again
	assert_equal "$(account 'tag.camera 1' buffers)" 2
}

@test "each task that buffers are bound to has a row" {
	start
	sleep 600 3>&- &
	READERS=$!
	touch a
	run setfattr -n user.iobuf -v "capacity=1M,task=$READERS" a
	[ "$status" = 0 ] || skip "buffers are not bound to tasks"
	assert_equal "$(account "task.$READERS" buffers)" 1
	assert_equal "$(account "task.$READERS" asked)" 1048576
	run iobuf top -s asked
	assert_line --regexp "^task $READERS sleep .* 1.0M "
}

@test "rows are sorted by what was asked for, owners first" {
	start
	spec_as $ANN a 'capacity=1M,tag=small'
	spec_as $BOB b 'capacity=2M,tag=large'
	run seen_by 0
	assert_output "total owner.$BOB owner.$ANN tag.large tag.small"
}

@test "users see the total and their own, root and CAP_SYS_ADMIN all" {
	start
	spec_as $ANN a 'capacity=1M,tag=shared'
	spec_as $BOB b 'capacity=2M,tag=shared'
	spec_as $BOB secret 'capacity=1M,tag=secret'
	assert_equal "$(seen_by $ANN)" "total owner.$ANN tag.shared"
	assert_equal "$(seen_by $BOB)" "total owner.$BOB tag.shared tag.secret"
	assert_equal "$(seen_by 1003)" total
	run as $ANN getfattr --only-values -n user.iobuf.state .
	assert_line --partial 'tag.shared=buffers:1 asked:1048576 '
	assert_line --partial 'total=buffers:3 '
	# A user namespace of one's own gives no right to it.
	if as $ANN unshare -Ur true; then
		run as $ANN unshare -Ur getfattr --only-values -n user.iobuf.state .
		refute_output --partial secret
	fi
}

@test "an open file without a name counts until it is closed" {
	start
	exec 4<>open
	head -c 10000 /dev/zero >&4
	rm open
	assert_equal "$(account total asked)" 10000
	assert_equal "$(account owner.0 buffers)" 1
	exec 4>&-
	eventually account_is total buffers 0
}

@test "volatile bytes and purges are counted" {
	start
	spec p 'purgeable'
	head -c 65536 /dev/zero >p
	setfattr -n user.iobuf.purgeable -v volatile p
	assert_equal "$(account owner.0 volatile)" 65536
	setfattr -n user.iobuf.purgeable -v empty p
	assert_equal "$(account owner.0 volatile)" 0
	assert_equal "$(account owner.0 purged)" 1
	assert_equal "$(account owner.0 resident)" 0
}

@test "rows that do not fit are left out, the smallest, and counted" {
	start
	python3 - "$MNT" <<'END'
import os, sys
for i in range(1500):
    f = '%s/%d' % (sys.argv[1], i)
    open(f, 'wb').close()
    os.setxattr(f, 'user.iobuf', b'tag=t%d' % i)
    os.truncate(f, 4096 + i)
END
	shown=$(state . 'tag\.[^=]*' | wc -l)
	assert [ "$shown" -gt 100 ]
	assert_equal "$(state . omitted)" $((1500 - shown))
	assert_equal "$(account tag.t1499 asked)" $((4096 + 1499))
	assert_equal "$(account owner.0 buffers)" 1500
	assert_equal "$(account tag.t0 asked)" ''
	run iobuf top
	assert_line "and $((1500 - shown)) more"
	# Whoever looks for the mount finds it.
	run bufferfs "$MNT"
	assert_output --partial 'already mounted'
}

@test "readers of the figures do not keep others from being served" {
	start
	python3 - "$MNT" <<'END' 3>&- &
import os, sys, threading
def read():
    while True:
        state = os.getxattr(sys.argv[1], 'user.iobuf.state')
        assert b'total=' in state
for _ in range(300): threading.Thread(target=read).start()
END
	READERS=$!
	for i in $(seq 100); do
		echo "$i" >"file$i"
		assert_equal "$(cat "file$i")" "$i"
	done
	kill "$READERS"
	wait "$READERS" || true
	eventually account_is total buffers 100
}

@test "user_max bounds the fixed buffers of a user: EDQUOT, and the log names it" {
	start user_max=4M
	spec_as $ANN a 'capacity=3M'
	as $ANN touch b
	run as $ANN setfattr -n user.iobuf -v 'capacity=2M' b
	assert_output --partial 'Disk quota exceeded'
	run grep "limit of user $ANN.*raise -o user_max=" "$LOG"
	assert_success
	assert_equal "$(state b kind)" empty
	assert_equal "$(stat -c '%s %b' b)" '0 0'
	as $ANN setfattr -n user.iobuf -v 'capacity=1M' b
	# Each user has a limit of his own, and root is a user.
	spec_as $BOB c 'capacity=4M'
	touch d
	refused EDQUOT "$(set_spec d capacity=5M)"
	spec d 'capacity=4M'
	# What is neither fixed nor wired is not bounded by it.
	as $ANN sh -c 'head -c 6M /dev/zero >elastic'
}

@test "user_max bounds wired memory, and what it grows by" {
	start user_max=4M
	spec grows wired
	truncate -s 3M grows
	refused EDQUOT "os.truncate(m + 'grows', 5 << 20)"
	refused EDQUOT "os.pwrite(os.open(m + 'grows', os.O_WRONLY), b'x', 4 << 20)"
	assert_equal "$(stat -c %s grows)" 3145728
	assert_equal "$(state grows wired)" 3145728
	touch fixed
	refused EDQUOT "$(set_spec fixed wired,capacity=2M)"
	assert_equal "$(locked_kib)" 3072
	truncate -s 1M grows
	setfattr -n user.iobuf -v 'wired,capacity=3M' fixed
	refused EDQUOT "os.truncate(m + 'grows', 2 << 20)"
}

@test "a directory's defaults are bounded by user_max too" {
	start user_max=4M
	mkdir -m 777 dir
	setfattr -n user.iobuf -v 'capacity=3M' dir
	as $ANN touch dir/one
	run as $ANN touch dir/two
	assert_output --partial 'Disk quota exceeded'
	assert_not_exist dir/two
	as $BOB touch dir/two
}

@test "a buffer goes to a new owner who has room for it, or EDQUOT" {
	start user_max=4M
	spec_as $ANN a 'capacity=3M'
	spec_as $BOB b 'wired,capacity=2M'
	refused EDQUOT "os.chown(m + 'a', $BOB, -1)"
	assert_equal "$(stat -c %u a)" $ANN
	spec_as $ANN a2 'capacity=1M' # it is still hers, and counted once
	chown $ANN:$ANN a
	chown $BOB a2
	spec_as $ANN a3 'capacity=1M'
	as $BOB touch b2
	run as $BOB setfattr -n user.iobuf -v 'capacity=2M' b2
	assert_output --partial 'Disk quota exceeded'
	chgrp $ANN b
}

@test "what a removed buffer had can be had again at once" {
	start user_max=4M
	for _ in $(seq 30); do
		spec f 'capacity=4M'
		rm f
		spec f 'wired,capacity=4M'
		rm f
	done
	# Not while it is mapped or open.
	spec held 'capacity=4M'
	exec 4<>held
	rm held
	touch next
	refused EDQUOT "$(set_spec next capacity=4M)"
	exec 4>&-
	setfattr -n user.iobuf -v 'capacity=4M' next
}

@test "one user at the limit does not hold up another" {
	start user_max=1M
	spec_as $ANN a 'capacity=1M'
	# No function: $! is to be the program's own.
	PATH=/usr/bin:/bin setpriv --reuid=$ANN --regid=$ANN --clear-groups \
		python3 - <<'END' 3>&- &
import os, threading
def ask(k):
    f = 'over%d' % k
    open(f, 'wb').close()
    while True:
        try:
            os.setxattr(f, 'user.iobuf', b'capacity=4096')
        except OSError:
            continue
        raise SystemExit('not bounded')
for k in range(300): threading.Thread(target=ask, args=(k,)).start()
END
	READERS=$!
	for _ in $(seq 20); do
		spec_as $BOB b 'capacity=1M'
		as $BOB rm b
	done
	kill "$READERS"
	wait "$READERS" || true
	assert_equal "$(find . -name 'over*' -size +0 | wc -l)" 0
}

@test "limits count what there is after a worker's death" {
	start user_max=4M
	spec_as $ANN fixed 'capacity=1M'
	spec_as $ANN wired 'wired,capacity=1M'
	spec_as $ANN grows wired
	truncate -s 1M grows
	exec 4<>open
	setfattr -n user.iobuf -v 'capacity=2M' open
	chown $ANN open || true # too much
	chown $BOB open
	rm open
	kill -9 "$(worker)"
	as $ANN touch more
	run as $ANN setfattr -n user.iobuf -v 'capacity=2M' more
	assert_output --partial 'Disk quota exceeded'
	assert_equal "$(state . wired)" 2097152
	spec_as $BOB b 'capacity=2M'
	as $BOB touch b2
	run as $BOB setfattr -n user.iobuf -v 'capacity=4096' b2
	assert_output --partial 'Disk quota exceeded'
	exec 4>&-
	as $BOB setfattr -n user.iobuf -v 'capacity=2M' b2
	as $ANN rm fixed wired
	as $ANN setfattr -n user.iobuf -v 'capacity=3M' more
}

@test "what was wired is wired again, whatever the others ask for meanwhile" {
	start wired_max=4M
	spec kept 'wired,capacity=4M'
	touch more
	kill -9 "$(worker)"
	refused ENOMEM "$(set_spec more wired,capacity=4M)"
	eventually state_is kept wired 4194304
}

@test "an adopted pool counts as its owners'" {
	start
	spec_as $ANN fixed 'capacity=3M'
	spec_as $BOB wired 'wired,capacity=1M'
	old=$(worker)
	cd /
	kill -9 "$(cat "$BATS_FILE_TMPDIR/holder")"
	tail --pid="$old" -s 0.05 -f /dev/null
	start user_max=4M
	as $ANN touch more
	run as $ANN setfattr -n user.iobuf -v 'capacity=2M' more
	assert_output --partial 'Disk quota exceeded'
	as $BOB touch b
	run as $BOB setfattr -n user.iobuf -v 'capacity=4M' b
	assert_output --partial 'Disk quota exceeded'
	as $ANN rm fixed
	as $ANN setfattr -n user.iobuf -v 'capacity=4M' more
	kill -9 "$(worker)"
	refused EDQUOT "os.chown(m + 'more', $BOB, -1)"
}

@test "without user_max nothing is remembered of an idle fixed buffer" {
	start
	spec_as $ANN f 'capacity=1M'
	chown $BOB f
	assert_equal "$(stat -c %u f)" $BOB
	run bufferfs -o user_max=lots "$MNT"
	assert_failure
	run bufferfs --help
	assert_line --partial 'user_max='
}

@test "iobuf top prints a table once where there is no terminal" {
	start
	spec_as $ANN a 'capacity=1M,tag=small'
	spec b 'wired,capacity=2M,tag=large'
	mkdir -p deep/er
	cd deep/er
	run iobuf top
	assert_success
	assert_line --index 0 --partial "$MNT: "
	assert_line --index 1 --regexp '^ +BUFFERS +ASKED +RESIDENT +WIRED +HUGE +VOLATILE +PURGED$'
	assert_line --index 2 --regexp '^total +2 +3.0M +3.0M +2.0M .* 0 +0$'
	assert_line --index 3 --regexp '^owner root +1 +2.0M '
	assert_line --index 4 --regexp "^owner $ANN +1 +1.0M "
	assert_line --index 5 --regexp '^tag large +1 +2.0M '
	assert_line --index 6 --regexp '^tag small +1 +1.0M '
	assert_equal "${#lines[@]}" 7
	assert_equal "$output" "$(iobuf top "$MNT")"
}

@test "iobuf top sorts by a column and repeats as often as asked" {
	start
	spec_as $ANN a 'capacity=1M'
	spec_as $ANN a2 'capacity=1M'
	spec_as $BOB b 'capacity=4M'
	run iobuf top -s buffers -n 2 -d 0.1
	assert_success
	assert_line --index 3 --regexp "^owner $ANN "
	assert_equal "$(grep -c '^total' <<<"$output")" 2
	run iobuf top -s asked
	assert_line --index 3 --regexp "^owner $BOB "
	for bad in '-s nonsense' '-n 0' '-d 0' '-d x' '-x' '. .'; do
		# shellcheck disable=SC2086
		run iobuf top $bad
		assert_failure 2
		assert_line --partial 'usage: iobuf top'
	done
	run iobuf top /
	assert_failure 1
	assert_output --partial 'not on a bufferfs mount'
	run iobuf top "$MNT/absent"
	assert_failure 1
	assert_output --partial 'No such file'
}

# on_terminal ACTION: run iobuf top on a terminal, and when it has shown the
# table twice, do that; it has to end and to leave the terminal as it was.
on_terminal() {
	python3 - "$BUILD/bin/iobuf" "$MNT" "$1" <<'END'
import fcntl, os, pty, re, select, signal, struct, sys, termios
iobuf, mount, action = sys.argv[1:]
master, slave = pty.openpty()
fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack('HHHH', 10, 80, 0, 0))
before = termios.tcgetattr(slave)
pid = os.fork()
if pid == 0:
    os.login_tty(slave) if hasattr(os, 'login_tty') else (os.setsid(),
        fcntl.ioctl(slave, termios.TIOCSCTTY, 0),
        [os.dup2(slave, fd) for fd in (0, 1, 2)])
    os.execv(iobuf, ['iobuf', 'top', '-d', '0.2', mount])
out, acted = b'', False
def read():
    global out
    if not select.select([master], [], [], 60)[0]: sys.exit('nothing comes')
    out += os.read(master, 65536)
while out.count(b'total') < 2: read()
if termios.tcgetattr(slave)[3] & (termios.ICANON | termios.ECHO):
    sys.exit('keys are shown')
if action == 'term': os.kill(pid, signal.SIGTERM)
elif action == 'stop':
    os.write(master, b'\x1a')
    if not os.WIFSTOPPED(os.waitpid(pid, os.WUNTRACED)[1]): sys.exit('not stopped')
    if termios.tcgetattr(slave) != before: sys.exit('the terminal is not given up')
    os.kill(pid, signal.SIGCONT)
    shown = out.count(b'total')
    while out.count(b'total') < shown + 2: read()
    os.write(master, b'q')
else: os.write(master, action.encode().decode('unicode_escape').encode())
status = os.waitpid(pid, 0)[1]
while not out.endswith(b'\x1b[?25h'): read() # the cursor is shown again
if termios.tcgetattr(slave) != before: sys.exit('the terminal is not as it was')
if status: sys.exit('it ended with %d' % status)
screen = out.split(b'\x1b[H')[-1]
if screen.count(b'\n') >= 10: sys.exit('more lines than the screen has')
if any(len(line) >= 80 for line in re.sub(rb'\x1b\[[?0-9]*[a-zA-Z]', b'',
                                          screen).splitlines()[1:]):
    sys.exit('a line of the table is longer than the screen')
if out.rfind(b'\x1b[?7h') < out.rfind(b'\x1b[?7l'): sys.exit('lines stay cut off')
END
}

@test "iobuf top refreshes on a terminal, until q or a signal, and restores it" {
	start
	for i in $(seq 12); do spec "f$i" "capacity=4096,tag=t$i"; done
	on_terminal q
	on_terminal '\x03'
	on_terminal term
	on_terminal stop
}
