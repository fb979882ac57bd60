# What a killed worker had done already is not done again by the next one, and
# nobody is told of it, whoever works on the mount meanwhile: who makes and moves
# names, who maps, who reads, who says what a buffer shall be. BUFFERFS_DEATHS
# says how often that is tried (500); see deaths/main.c.
load helper
load memory

DEATHS=${BUFFERFS_DEATHS:-500}
FAULTY_DEATHS=$(((DEATHS * 12 + 99) / 100))
SEED=${BUFFERFS_DEATHS_SEED:-$$}

setup() {
	[ "$(id -u)" = 0 ] || skip "looking into the holder needs root"
	cd /
}
teardown() { unmount_fs; remove_group; }

descriptors() { find "/proc/$1/fd" -mindepth 1 | wc -l; } # PID
descriptors_are() { [ "$(descriptors "$1")" = "$2" ]; } # PID NUMBER

# A worker that has taken over, as all will be that we look at.
replace_worker() {
	local old
	old=$(worker)
	kill -9 "$old"
	while [ "$(worker)" = "$old" ]; do :; done
}

# What keeps pages in place is made when it is needed first.
use_worker() {
	spec "$MNT/pinned" contiguous,capacity=4K
	rm "$MNT/pinned"
}

# die NUMBER [ERROR]: that often, and nothing is lost, made twice or left; ERROR is
# what may be told to who asks for memory.
die() {
	local of_holder of_worker
	replace_worker
	use_worker
	of_holder=$(descriptors "$(holder)")
	of_worker=$(descriptors "$(worker)")
	echo "# seed $SEED" >&3
	run "$BUILD/bin/deaths" "$MNT" "$1" "$SEED" ${2:+"$2"}
	echo "# ${lines[*]: -1}" >&3
	assert_success
	[ "$(state "$MNT" workers_started)" -ge $(($1 + 2)) ]
	[ -z "${GROUP:-}" ] || group_takes_no_more_than $((64 << 20))
	use_worker
	rm -rf "${MNT:?}"/*
	nothing_is_left "$of_holder" "$of_worker"
}

nothing_is_left() { # DESCRIPTORS_OF_HOLDER DESCRIPTORS_OF_WORKER
	assert_equal "$(find "$MNT" -mindepth 1)" ''
	assert_equal "$(find "$(state "$MNT" pool)" -mindepth 1)" ''
	for key in used wired contiguous; do
		eventually state_is "$MNT" "$key" 0
	done
	eventually locked_is 0
	eventually descriptors_are "$(holder)" "$1"
	eventually descriptors_are "$(worker)" "$2"
}

@test "$DEATHS deaths at any moment: no error that is not true, no name lost or made twice" {
	mount_fs -o size=256M
	die "$DEATHS"
}

@test "$FAULTY_DEATHS deaths with a full pool: ENOSPC and nothing else, which changes nothing" {
	mount_fs -o size=2M
	die "$FAULTY_DEATHS" ENOSPC
	refute_output --partial ' 0 refused'
}

@test "$FAULTY_DEATHS deaths at the limit of wired memory: ENOMEM" {
	mount_fs -o size=256M,wired_max=288K
	die "$FAULTY_DEATHS" ENOMEM
	refute_output --partial ' 0 refused'
}

@test "$FAULTY_DEATHS deaths at the limit of a user's memory: EDQUOT" {
	mount_fs -o size=256M,user_max=400K
	die "$FAULTY_DEATHS" EDQUOT
	refute_output --partial ' 0 refused'
}

@test "$FAULTY_DEATHS deaths at the limit of the daemon's control group: ENOMEM" {
	make_group $((128 << 20))
	AS=$BATS_FILE_TMPDIR/in_group
	mount_fs -o size=256M
	AS=
	replace_worker
	use_worker
	group_takes_no_more_than $(((2 + LEFT_ALONE) << 20))
	# The kernel may kill some, too.
	die "$FAULTY_DEATHS" ENOMEM
	# What a sanitizer takes is another amount in each worker.
	[ -n "${SANITIZED:-}" ] || refute_output --partial ' 0 refused'
}
