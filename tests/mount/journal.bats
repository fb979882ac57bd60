# What a killed worker had done already is not done again by the next one, and
# nobody is told of it. BUFFERFS_DEATHS says how often that is tried (200).
load helper

DEATHS=${BUFFERFS_DEATHS:-200}
SEED=${BUFFERFS_DEATHS_SEED:-$$}

setup() { mount_fs -o size=256M; cd "$MNT" || exit; }
teardown() { unmount_fs; }

@test "$DEATHS deaths at any moment: no error that is not true, no name lost or made twice" {
	echo "# seed $SEED" >&3
	run "$BUILD/bin/deaths" "$MNT" "$DEATHS" "$SEED"
	echo "# ${lines[*]: -1}" >&3
	assert_success
	assert_equal "$(state . workers_started)" $((DEATHS + 1))
	assert_equal "$(ls -A)" ''
}
