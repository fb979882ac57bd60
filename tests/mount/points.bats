# A worker that dies before or after any system call that it makes for a request:
# nobody is told, and what is there is what would be there otherwise. Each file
# operation that there is, at each point of it; see points/operations.c.
load helper

SIGVTALRM=26 # which nobody handles

# A sanitizer makes a worker's start ten times as long, and has calls of its own.
[ -z "${SANITIZED:-}" ] || export POINTS_STEP=${POINTS_STEP:-10}

setup() {
	[ "$(id -u)" = 0 ] || skip "tracing the daemon needs root"
	mount_fs -o size=256M,reserve=0,pressure_stall=0
}
teardown() { unmount_fs; }

# die HOW_MANY SIGNAL [OPERATION]
die() {
	run "$BUILD/bin/death_points" "$MNT" "$@"
	echo "# ${lines[*]: -1}" >&3
}

@test "one death at any point of any operation changes nothing of its outcome" {
	die 1 9
	assert_success
	assert_equal "$(ls -A "$MNT")" ''
}

@test "nor do two in a row" {
	for operation in create mkdir rename 'rename over another' exchange \
		unlink link append 'tmpfile and a name for it' volatile \
		'configure as wired' 'convert to contiguous'; do
		die 2 9 "$operation"
		assert_success
	done
}

@test "a request that was there when ten workers were killed is answered" {
	die 10 9 'unlink nothing'
	assert_success
}

@test "a request that three workers crash over is refused, and no other" {
	export POINTS_STEP=1 # it has few points
	die 2 $SIGVTALRM 'unlink nothing'
	assert_success
	die 3 $SIGVTALRM 'unlink nothing'
	assert_failure
	assert_output --partial 'it is told -5, not -2'
	run grep -c 'ended its workers: refused with EIO' "$LOG"
	[ "$output" -gt 0 ]
	assert_equal "$(ls -A "$MNT")" ''
}
