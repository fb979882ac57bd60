# shellcheck shell=bash
# helper.bash - what every suite shares: a mount of its own, and words for what
# is to be checked.

BUILD=${BUILD:-$(cd "$BATS_TEST_DIRNAME/../../build" && pwd)}
SOURCE=${SOURCE:-$(cd "$BATS_TEST_DIRNAME/../.." && pwd)}
PATH=$BUILD/bin:$PATH
export LC_ALL=C

export BATS_LIB_PATH=${BATS_LIB_PATH:-/usr/lib/bats}
bats_load_library bats-support
bats_load_library bats-assert
bats_load_library bats-file

MNT=$BATS_FILE_TMPDIR/mnt
LOG=$BATS_FILE_TMPDIR/log

# mount_fs [OPTION...]: mount on $MNT, in the foreground so that the log is
# ours; returns when it serves. $HOLDER is the daemon's process id.
mount_fs() {
	mkdir -p "$MNT" 2>/dev/null || true
	: >"$LOG"
	${AS:-} "$BUILD/bin/bufferfs" -f "$@" "$MNT" >>"$LOG" 2>&1 3>&- &
	HOLDER=$!
	echo "$HOLDER" >"$BATS_FILE_TMPDIR/holder"
	wait_for_log serves
}

# wait_for_log TEXT: until the running daemon has written it; fails when it ends
# without.
wait_for_log() {
	tail -n +1 -s 0.05 --pid="$(cat "$BATS_FILE_TMPDIR/holder")" -f "$LOG" \
		3>&- | grep -q -m 1 -e "$1" || { cat "$LOG" >&2; return 1; }
}

# Debian's udev lets everybody open /dev/fuse; a machine without udev may not. For
# suites with ordinary users, until close_fuse.
open_fuse() {
	stat -c %a /dev/fuse >"$BATS_FILE_TMPDIR/fuse_mode"
	chmod a+rw /dev/fuse
}

close_fuse() {
	[ ! -e "$BATS_FILE_TMPDIR/fuse_mode" ] ||
		chmod "$(cat "$BATS_FILE_TMPDIR/fuse_mode")" /dev/fuse
}

# Unmount, wait for the daemon's end, and look at what it said.
unmount_fs() {
	local holder
	holder=$(cat "$BATS_FILE_TMPDIR/holder" 2>/dev/null) || return 0
	cd /
	umount "$MNT" 2>/dev/null || umount -l "$MNT" 2>/dev/null || true
	tail --pid="$holder" -s 0.05 -f /dev/null 3>&-
	rm -f "$BATS_FILE_TMPDIR/holder"
	! mountpoint -q "$MNT" || fail "a mount is left on $MNT"
	check_log
}

holder() { cat "$BATS_FILE_TMPDIR/holder"; }

# A sanitizer's report or a failed assertion fails the suite.
check_log() {
	if grep -E 'Sanitizer|runtime error|Assertion|BUG|leak' "$LOG" >&2; then
		return 1
	fi
}

state() { # FILE KEY: the value of a key of its state
	getfattr --absolute-names --only-values -n user.iobuf.state "$1" |
		sed -n "s/^$2=//p"
}

# eventually COMMAND...: until it succeeds; what the kernel or a thread does on
# its own time has no event to wait for. Fails when it has not come after long.
eventually() {
	local deadline=$((SECONDS + 60))
	until "$@"; do
		[ $SECONDS -lt $deadline ] || { fail "never: $*"; return 1; }
	done
}

state_is() { [ "$(state "$1" "$2")" = "$3" ]; } # FILE KEY VALUE

locked_kib() { awk '/VmLck/ { print $2 }' "/proc/$(worker)/status"; }
locked_is() { [ "$(locked_kib)" = "$1" ]; }

worker() { state "$MNT" worker_pid; }

spec() { # FILE SPEC: make FILE with it
	touch "$1" && setfattr -n user.iobuf -v "$2" "$1"
}

# errno_of CODE: run python CODE (os and mmap are there, p is $MNT/$1 ...);
# prints the name of the error it raises, or 0.
errno_of() {
	python3 - "$MNT" <<END
import errno, mmap, os, sys
m = sys.argv[1] + "/"
try:
    $1
    print(0)
except OSError as e:
    # Linux has one number for ENOTSUP and EOPNOTSUPP.
    print(errno.errorcode[e.errno].replace("ENOTSUP", "EOPNOTSUPP"))
END
}
