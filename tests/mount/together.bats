# The monitor, requests and the reaper of tasks, all at once.
load helper

setup() { cd /; }
teardown() { unmount_fs; }

bound_are_gone() { # the names of tasks that have ended; only tagged ones stay
	[ -z "$(getfattr --absolute-names -R -n user.iobuf.task "$MNT" 2>/dev/null |
		grep -v -e kernel -e '^#' -e '^$')" ]
}

# work PROCESSES LIVES: in a pool that is too small for all of it.
work() {
	mount_fs -o size=24M,reserve=6M,pressure_stall=1
	together "$MNT" "$1" "$2"
	eventually bound_are_gone
	run grep -c . <(getfattr --only-values -n user.iobuf.state "$MNT" |
		grep '^task\.')
	assert_output 0
	find "$MNT" -type f -delete
	eventually state_is "$MNT" used 0
}

@test "purging, figures and the ends of tasks go on side by side" {
	work 12 12
}

@test "and so they do while workers are killed" {
	mount_fs -o size=24M,reserve=6M
	together "$MNT" 8 12 3>&- &
	local clients=$!
	for _ in 1 2 3 4 5; do
		touch "$MNT/again"
		kill -9 "$(worker)"
	done
	wait "$clients"
	eventually bound_are_gone
}

@test "a thread sanitizer finds nothing between them" {
	[ -z "${SANITIZED:-}" ] || skip 'a sanitizer is at work already'
	local flags=(-G Ninja -DBUFFERFS_TSAN=ON -DBUILD_TESTING=OFF)
	command -v ninja >/dev/null || flags=("${flags[@]:2}")
	cmake -S "$SOURCE" -B "$BATS_TEST_TMPDIR/tsan" "${flags[@]}" \
		-DCMAKE_C_COMPILER="${CC:-cc}" >"$BATS_TEST_TMPDIR/out"
	cmake --build "$BATS_TEST_TMPDIR/tsan" --target bufferfs \
		>>"$BATS_TEST_TMPDIR/out" || { cat "$BATS_TEST_TMPDIR/out"; false; }
	BUILD=$BATS_TEST_TMPDIR/tsan work 8 6
}
