# iobuf bench: figures of each kind of buffer, and nothing that is left.
bats_require_minimum_version 1.5.0
load helper

setup_file() { mount_fs -o size=64M,reserve=0,pressure_stall=0; }
teardown_file() { unmount_fs; }

@test "bench prints figures of each kind, and leaves nothing" {
	run iobuf bench -s 2M "$MNT"
	assert_success
	assert_line --index 0 "buffers of 2.0M in $MNT"
	assert_line --index 1 --regexp '^KIND +CREATE us +TOUCH ms +MEMCPY GB/s +WRITE GB/s +READ GB/s +HUGE %$'
	for kind in elastic fixed wired purgeable writecombine inhibit; do
		assert_line --regexp "^$kind( +[0-9]+(\.[0-9]+)?){6}$"
	done
	assert_line --regexp '^unshared +[0-9.]+ +- +- +[0-9.]+ +[0-9.]+ '
	assert_line --regexp '^/dev/shm '
	assert_equal "$(find "$MNT" -mindepth 1)" ''
	eventually state_is "$MNT" used 0
}

@test "bench prints JSON, with the reason for what cannot be had" {
	run iobuf bench --json -s 128M "$MNT"
	assert_success
	python3 -c "import json, sys
j = json.load(sys.stdin)
assert j['size'] == 128 << 20
kinds = {k['kind']: k for k in j['kinds']}
assert kinds['fixed']['error'] == 'No space left on device'
assert kinds['elastic']['create_us'] is None and 'error' in kinds['elastic']
assert 'error' in kinds['/dev/shm'] or kinds['/dev/shm']['memcpy_gb_per_s'] > 0" <<<"$output"
	assert_equal "$(find "$MNT" -mindepth 1)" ''
}

@test "bench takes what room there is, and says where it cannot work" {
	run iobuf bench --json "$MNT"
	assert_success
	size=$(python3 -c 'import json, sys; print(json.load(sys.stdin)["size"])' <<<"$output")
	[ "$size" = $((32 << 20)) ]
	run iobuf bench /
	assert_failure 1
	assert_output --partial 'not on a bufferfs mount'
	run iobuf bench -s 4K "$MNT"
	assert_failure 2
	assert_output --partial 'at least 1M'
}
