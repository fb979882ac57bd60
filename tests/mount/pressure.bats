# The monitor: volatile buffers go before memory is short, in their order, and
# no others.
load helper
load memory

setup() { cd /; }

teardown() {
	hidden umount -l "$MNT" 2>/dev/null || true
	unmount_fs
	remove_group
}

# volatile FILE MIB [STATE]: a purgeable fixed buffer full of random bytes.
volatile() {
	spec "$1" "purgeable,capacity=$2M"
	head -c "$2M" /dev/urandom | dd of="$1" conv=notrunc bs=1M status=none
	setfattr -n user.iobuf.purgeable -v "${3:-volatile}" "$1"
}

purgeable() { getfattr --only-values -n user.iobuf.purgeable "$1"; }
is_empty() { [ "$(purgeable "$1")" = empty ]; }

# Bytes that are free in the pool.
pool_free() { stat -f -c '%a * %S' "$MNT" | { read -r e; echo $((e)); }; }
pool_has() { [ "$(pool_free)" -ge "$1" ]; }

# Threads do not tell their names' holders: find the monitor's.
monitor() {
	grep -lx pressure "/proc/$(worker)"/task/*/comm | xargs -n 1 dirname
}

# A command in the daemon's mount namespace, if that is another one.
hidden() {
	[ -e "$BATS_FILE_TMPDIR/hidden" ] || return 0
	nsenter -t "$(cat "$BATS_FILE_TMPDIR/holder")" -m -- "$@"
}

@test "room is kept by purging in order: group by group, FIFO before LIFO" {
	mount_fs -o size=64M,reserve=8M,pressure_stall=0
	cd "$MNT"
	volatile other 4 volatile:group=1
	volatile lifo1 4 volatile:group=0:lifo
	volatile lifo2 4 volatile:lifo
	volatile fifo1 4 volatile:group=0:fifo
	volatile fifo2 4 volatile
	volatile last 4 volatile:group=7
	volatile again 4 volatile
	# To become volatile again is to become volatile now.
	setfattr -n user.iobuf.purgeable -v volatile fifo1
	order=
	for step in $(seq 14); do
		head -c 4M /dev/zero >>fill
		eventually pool_has $((8 << 20))
		for f in again fifo1 fifo2 last lifo1 lifo2 other; do
			if is_empty $f && [[ " $order " != *" $f "* ]]; then
				order="$order $f"
			fi
		done
	done
	assert_equal "$order" ' fifo2 again fifo1 lifo2 lifo1 other last'
}

@test "a nonvolatile buffer is never purged, however full the pool" {
	mount_fs -o size=64M,reserve=16M,pressure_stall=0
	cd "$MNT"
	volatile keep 8 nonvolatile
	volatile back 8
	setfattr -n user.iobuf.purgeable -v nonvolatile back
	volatile gone 8
	spec plain capacity=4M
	head -c 4M /dev/urandom | dd of=plain conv=notrunc bs=1M status=none
	sums=$(sha256sum keep back plain)
	run dd if=/dev/zero of=fill bs=4K
	assert_output --partial 'No space left on device'
	eventually is_empty gone
	assert_equal "$(purgeable keep)" nonvolatile
	assert_equal "$(state keep purge_count)" 0
	assert_equal "$(state back purge_count)" 0
	assert_equal "$(sha256sum keep back plain)" "$sums"
}

@test "a writer past the daemon never sees ENOSPC while buffers are volatile" {
	mount_fs -o size=128M,reserve=48M,pressure_stall=0
	cd "$MNT"
	for round in 1 2 3; do
		for f in a b c d e f g h i j; do volatile "$f$round" 8; done
		run dd if=/dev/zero of=fill bs=4K count=$((100 << 8))
		assert_success
		assert_equal "$(stat -c %s fill)" $((100 << 20))
		rm -f -- *
	done
}

@test "without a reserve such a writer meets a full pool" {
	mount_fs -o size=64M,reserve=0,pressure_stall=0
	cd "$MNT"
	volatile one 32
	run dd if=/dev/zero of=fill bs=4K count=$((40 << 8))
	assert_output --partial 'No space left on device'
	assert_equal "$(purgeable one)" volatile
}

@test "many who need room at once share what one buffer gives back" {
	mount_fs -o size=64M,reserve=0,pressure_stall=0
	cd "$MNT"
	for round in 1 2 3 4 5 6; do
		touch one
		setfattr -n user.iobuf -v purgeable one
		# Small pages take longest to give back.
		dd if=/dev/zero of=one bs=4K count=$((60 << 8)) status=none
		setfattr -n user.iobuf.purgeable -v volatile one
		jobs=
		for i in 1 2 3 4; do
			spec needs$i capacity=14M 3>&- &
			jobs="$jobs $!"
		done
		for job in $jobs; do
			wait "$job" || fail "ENOSPC in round $round"
		done
		rm -f -- *
	done
}

@test "the monitor goes on after a worker's death" {
	mount_fs -o size=64M,reserve=16M,pressure_stall=0
	cd "$MNT"
	volatile one 32
	kill -9 "$(worker)"
	eventually state_is . workers_started 2
	run dd if=/dev/zero of=fill bs=4K count=$((40 << 8))
	assert_success
	is_empty one
}

# Context switches of the monitor's thread.
switches() { awk '/ctxt_switches/ { n += $2 } END { print n }' "$1/status"; }

@test "the monitor sleeps while nothing is volatile" {
	mount_fs -o size=64M,pressure_stall=0
	cd "$MNT"
	volatile one 32
	asleep=$(monitor)
	setfattr -n user.iobuf.purgeable -v nonvolatile one
	# It looks once more, and then at nothing.
	before=-1
	for look in 1 2 3 4 5 6 7 8; do
		[ "$before" != "$(switches "$asleep")" ] || break
		before=$(switches "$asleep")
		sleep 1.5
	done
	dd if=/dev/zero of=fill bs=4K status=none count=$((28 << 8))
	assert_equal "$(switches "$asleep")" "$before"
}

# hog MIB: a process of the group that needs so much memory at once; it prints
# ok if it got it.
hog() {
	in_group python3 -c "b = b'x' * ($1 << 20); print('ok')"
}

# Buffers of 160 MiB in a group of 320 MiB: half volatile, or none.
fill_group() { # STATE
	make_group $((320 << 20))
	keep_from_swap
	AS=$BATS_FILE_TMPDIR/in_group
	mount_fs -o size=200M,reserve=64M,pressure_stall=0
	AS=
	cd "$MNT"
	in_group bash -c "
		$(declare -f spec volatile)
		volatile keep 20 nonvolatile
		for f in a b c d e f g; do volatile \$f 20 $1; done"
	sums=$(in_group sha256sum keep)
}

@test "a group whose buffers are all nonvolatile runs out of memory" {
	fill_group nonvolatile
	run hog 200
	refute_output ok
	assert_equal "$status" 137
	for f in keep a b c d e f g; do
		assert_equal "$(purgeable $f)" nonvolatile
	done
}

@test "the same group with volatile buffers does not, and the others are intact" {
	fill_group volatile
	for round in 1 2 3; do
		run hog 200
		assert_output ok
		assert_success
	done
	is_empty a
	assert_equal "$(purgeable keep)" nonvolatile
	assert_equal "$(sha256sum keep)" "$sums"
}

@test "more than the daemon's group has left is ENOMEM, and costs no worker its life" {
	make_group $(((94 + LEFT_ALONE) << 20))
	keep_from_swap
	AS=$BATS_FILE_TMPDIR/in_group
	mount_fs -o size=400M,reserve=0,pressure_stall=0
	AS=
	cd "$MNT"
	touch buffer
	volatile bystander 4
	for spec in wired,capacity=150M capacity=150M; do
		run setfattr -n user.iobuf -v "$spec" buffer
		assert_output 'setfattr: buffer: Cannot allocate memory'
	done
	# What all that is volatile could not give costs nobody his.
	assert_equal "$(purgeable bystander)" volatile
	rm bystander
	for spec in wired,capacity=150M capacity=150M contiguous,capacity=128M; do
		run setfattr -n user.iobuf -v "$spec" buffer
		assert_output 'setfattr: buffer: Cannot allocate memory'
		assert_equal "$(state buffer allocated)" 0
	done
	run fallocate -l 150M buffer
	assert_output 'fallocate: fallocate failed: Cannot allocate memory'
	run grep -c 'more than the control group has left' "$LOG"
	[ "$output" -ge 4 ]
	# What is there can be had, by the end of what is volatile, too.
	volatile one 30
	volatile two 30
	spec buffer wired,capacity=60M
	assert_equal "$(state buffer wired)" $((60 << 20))
	is_empty one
	assert_equal "$(state . workers_started)" 1
}

# Have processes wait for memory: they read more than their group may keep.
stall() {
	make_group $((24 << 20))
	# What is cached is charged to who had it read or written first.
	in_group dd if=/dev/zero of="$BATS_TEST_TMPDIR/data" bs=1M count=48 \
		conv=fsync status=none
	for reader in 1 2; do
		(
			cd / # not on the mount: it has to end
			exec "$BATS_FILE_TMPDIR/in_group" sh -c \
				"while cat '$BATS_TEST_TMPDIR/data'; do :; done"
		) >/dev/null 2>&1 3>&- &
	done
}

purged() { [ "$(state "$1" purge_count)" -gt 0 ]; } # FILE

@test "pressure that the kernel tells of purges" {
	[ -w /proc/pressure/memory ] || skip "no /proc/pressure/memory"
	mount_fs -o size=64M,reserve=0,pressure_stall=1
	cd "$MNT"
	volatile keep 4 nonvolatile
	volatile one 4
	volatile two 4
	stall
	eventually purged one
	eventually purged two
	assert_equal "$(state keep purge_count)" 0
}

pressure_fds() { find "/proc/$1/fd" -lname '*pressure*' | wc -l; } # PID

@test "a worker that dies takes the kernel's word of pressure from nobody" {
	[ -w /proc/pressure/memory ] || skip "no /proc/pressure/memory"
	mount_fs -o size=64M,reserve=0,pressure_stall=1
	# Closing it takes long: the holder keeps it open.
	[ "$(pressure_fds "$(holder)")" -ge 1 ]
	kill -9 "$(worker)"
	cd "$MNT"
	volatile one 4
	[ "$(pressure_fds "$(worker)")" -ge 1 ]
	stall
	eventually purged one
}

@test "pressure is not asked for with pressure_stall=0" {
	[ -w /proc/pressure/memory ] || skip "no /proc/pressure/memory"
	mount_fs -o size=64M
	[ "$(pressure_fds "$(worker)")" -ge 1 ]
	unmount_fs
	mount_fs -o size=64M,pressure_stall=0
	assert_equal "$(pressure_fds "$(worker)")" 0
	run grep pressure "$LOG"
	assert_failure
}

@test "a kernel without pressure is said once, and a full pool still purges" {
	mkdir "$BATS_TEST_TMPDIR/none"
	printf '#!/bin/sh\nmount --bind %s /proc/pressure && exec "$@"\n' \
		"$BATS_TEST_TMPDIR/none" >"$BATS_TEST_TMPDIR/hide"
	chmod +x "$BATS_TEST_TMPDIR/hide"
	AS="unshare -m $BATS_TEST_TMPDIR/hide"
	: >"$BATS_FILE_TMPDIR/hidden"
	mount_fs -o size=64M,reserve=0
	run grep -c 'does not tell of memory pressure' "$LOG"
	assert_output 1
	hidden bash -c "cd '$MNT' && $(declare -f spec volatile) && volatile one 40"
	hidden bash -c "cd '$MNT' && $(declare -f spec) && spec two capacity=40M"
	run hidden getfattr --absolute-names --only-values -n user.iobuf.purgeable "$MNT/one"
	assert_output empty
	run grep -c 'does not tell of memory pressure' "$LOG"
	assert_output 1
	hidden umount "$MNT"
	rm "$BATS_FILE_TMPDIR/hidden"
}

@test "values of the monitor's options that make no sense are refused" {
	for option in reserve= reserve=x reserve=-1 reserve=5% \
		pressure_stall=x pressure_stall=10001 pressure_stall=2001 \
		pressure_window=499 pressure_window=10001 pressure_window=1s; do
		run "$BUILD/bin/bufferfs" -o "$option" "$BATS_TEST_TMPDIR"
		assert_failure
		assert_output --partial "${option%%=*}="
	done
}
