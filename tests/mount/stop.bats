# A clean stop takes nothing from who waits, and leaves nothing undone.
load helper
load below

teardown() { unmount_below; }

# Ends by the holder, with a request at work when it is told to.
waits_for_request() { # COMMAND...
	mount_over_below watchdog=0
	hang
	timeout 60 mkdir "$MNT/made" 3>&- &
	local client=$! status=0 heard=0
	eventually has_read
	"$@" || heard=$?
	go_on
	wait "$client" || status=$?
	assert_equal "$heard $status" "0 0"
	tail --pid="$HOLDER" -s 0.05 -f /dev/null 3>&-
	run mountpoint -q "$MNT"
	assert_failure
	assert [ -d "$BELOW/pool/made" ]
}

# The worker waits for the pool.
has_read() {
	grep -qs request_wait_answer /proc/"$(pgrep -P "$HOLDER")"/task/*/stack
}

@test "SIGTERM to the holder waits for requests" {
	terminate() {
		kill -TERM "$HOLDER"
		wait_for_log 'requests at work are waited for'
	}
	waits_for_request terminate
}

@test "scripts/down waits for requests" {
	down() {
		"$SOURCE/scripts/down" "$MNT" >"$BATS_TEST_TMPDIR/out" 2>&1 3>&- &
		DOWN=$!
		asks() { pgrep -f "getfattr .*$MNT" >/dev/null; }
		eventually asks
	}
	waits_for_request down
	wait "$DOWN"
	assert_equal "$(cat "$BATS_TEST_TMPDIR/out")" \
		"bufferfs on $MNT is unmounted"
}

@test "scripts/down leaves a mount that is busy, and says so" {
	mount_fs
	exec 4<"$MNT"
	run "$SOURCE/scripts/down" "$MNT"
	exec 4<&-
	assert_failure 1
	assert_output --partial busy
	assert [ -n "$(worker)" ]
}

# The kernel tells a close(2) when it comes to it, and not any more once the mount
# is gone.
@test "a buffer that was closed right before the unmount is closed: life=lastclose" {
	mkdir "$BATS_TEST_TMPDIR/pool"
	mount_fs -o "pool=$BATS_TEST_TMPDIR/pool,watchdog=0"
	local worker
	worker=$(worker)
	spec "$MNT/brief" life=lastclose
	exec 4>"$MNT/brief"
	kill -STOP "$worker"
	exec 4>&-
	python3 -c "import ctypes; print(ctypes.CDLL(None).umount2(b'$MNT', 0))" \
		>"$BATS_TEST_TMPDIR/out"
	kill -CONT "$worker"
	assert_equal "$(cat "$BATS_TEST_TMPDIR/out")" 0
	tail --pid="$HOLDER" -s 0.05 -f /dev/null 3>&-
	run ls "$BATS_TEST_TMPDIR/pool"
	assert_output ''
}

@test "a worker that dies when the mount is gone is the last one" {
	mount_fs -o watchdog=0
	local worker
	worker=$(worker)
	kill -STOP "$worker"
	python3 -c "import ctypes; ctypes.CDLL(None).umount2(b'$MNT', 0)"
	kill -9 "$worker"
	tail --pid="$HOLDER" -s 0.05 -f /dev/null 3>&-
	run grep -c serves "$LOG"
	assert_output 1
}
