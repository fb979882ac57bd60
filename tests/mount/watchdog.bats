# A worker that hangs is replaced, one that works for long is not.
load helper
load below

setup() {
	mount_fs -o size=1G,watchdog=1,reserve=0,pressure_stall=0
	echo hello >"$MNT/file"
}
teardown() { unmount_below; }

@test "a worker that does not read is replaced, and the request answered" {
	old=$(worker)
	kill -STOP "$old"
	run timeout 60 cat "$MNT/file"
	assert_success
	assert_output hello
	assert_not_equal "$(worker)" "$old"
	assert_equal "$(state "$MNT" workers_started)" 2
	run grep -c "worker $old has answered nothing for 1 s: killed" "$LOG"
	assert_output 1
}

# What it has read does not wait any more: only the probe tells.
@test "a worker that hangs with what it has read is replaced, and the request answered" {
	unmount_fs
	mount_over_below watchdog=1
	local old
	old=$(worker)
	hang
	timeout 60 mkdir "$MNT/made" 3>&- &
	local client=$! heard=0 status=0
	wait_for_log "worker $old has answered nothing" || heard=$?
	go_on
	wait "$client" || status=$?
	assert_equal "$heard $status" "0 0"
	assert [ -d "$MNT/made" ]
	assert_not_equal "$(worker)" "$old"
}

# They go one by one.
@test "long contiguous allocations hold up nobody else, and are not taken for a hang" {
	mkdir "$MNT/d"
	run flood "$MNT/d" 200 10
	echo "$output"
	assert_success
	assert_equal "$(state "$MNT" workers_started)" 1
	run ls "$MNT/d"
	assert_output ''
}

@test "watchdog= is seconds, 0 to a day" {
	for bad in '' x -1 1s 86401 0x1; do
		run "$BUILD/bin/bufferfs" -o "watchdog=$bad" "$BATS_TEST_TMPDIR"
		assert_failure 2
		assert_output --partial "watchdog=$bad: not seconds from 0 to 86400"
	done
}
