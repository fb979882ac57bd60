# 64 processes mix every operation for BUFFERFS_STRESS_SECONDS (10 unless it says
# else), on files of their own and on shared ones.
load helper

SECONDS_LONG=${BUFFERFS_STRESS_SECONDS:-10}
SEED=${BUFFERFS_STRESS_SEED:-$$}

setup_file() { mount_fs -o allow_other,size=2G; }
teardown_file() { unmount_fs; }
setup() { cd "$MNT" || exit; }

fds() { find "/proc/$(worker)/fd" -mindepth 1 2>/dev/null | wc -l; }
few_fds() { [ "$(fds)" -le $(($(cat "$BATS_FILE_TMPDIR/fds") + 4)) ]; }

@test "the stress is one that a tmpfs stands" {
	mkdir "$BATS_FILE_TMPDIR/tmpfs"
	mount -t tmpfs stress "$BATS_FILE_TMPDIR/tmpfs"
	run "$BUILD/bin/stress" "$BATS_FILE_TMPDIR/tmpfs" 2 64 "$SEED"
	umount "$BATS_FILE_TMPDIR/tmpfs"
	assert_success
}

@test "64 processes for $SECONDS_LONG s: every byte right, no error that tmpfs would not give" {
	fds >"$BATS_FILE_TMPDIR/fds"
	worker >"$BATS_FILE_TMPDIR/worker"
	echo "# seed $SEED" >&3
	run "$BUILD/bin/stress" . "$SECONDS_LONG" 64 "$SEED" buffers
	echo "# ${lines[*]: -1}" >&3
	assert_success
}

@test "the worker that served it serves still" {
	assert_equal "$(worker)" "$(cat "$BATS_FILE_TMPDIR/worker")"
}

@test "no file is open for the daemon when none is" {
	for file in $(find . -name 'f*' -type f | shuf -n 100); do
		eventually state_is "$file" opens 0
	done
}

@test "rm -rf leaves an empty tree, an empty pool, nothing wired" {
	rm -rf "${MNT:?}"/*
	assert_equal "$(find . -mindepth 1)" ''
	eventually state_is . wired 0
	eventually state_is . contiguous 0
	eventually state_is . used 0
	eventually locked_is 0
}

@test "no descriptor of the worker is left behind" {
	eventually few_fds
}
