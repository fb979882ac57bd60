# Clients that mean harm, beside one that only wants to work.
load helper

setup_file() {
	# Users have to reach the program and the mount point.
	chmod a+rx "$BATS_RUN_TMPDIR" "$BATS_FILE_TMPDIR"
	install -m 755 "$BUILD/bin/hostile" "$BATS_FILE_TMPDIR/hostile"
}

setup() {
	cd /
	PIDS=()
}

# serve OPTIONS: with a directory of the victim's, the attacker's and the
# bystander's, who is at work from now on.
serve() {
	mount_fs -o "allow_other,reserve=0,pressure_stall=0,${SPACE-size=128M}$1"
	for user in victim attacker bystander; do
		mkdir "$MNT/$user"
		chown "${!user}:${!user}" "$MNT/$user"
	done
	WORKER=$(worker)
	STARTED=$(state "$MNT" workers_started)
	FDS=$(fds "$WORKER")
	HOLDER_FDS=$(fds "$(holder)")
	KEEPS=$(keeps)
	ANON=$(anonymous)
	"${AS_BYSTANDER[@]}" "$BATS_FILE_TMPDIR/hostile" "$MNT/bystander" \
		bystander "${2:-}" >"$BATS_TEST_TMPDIR/bystander" 2>&1 3>&- &
	BYSTANDER=$!
	PIDS+=("$BYSTANDER")
}

victim=21001 attacker=21002 bystander=21003

as() { # UID: words that make a command that user's
	printf 'setpriv\n--reuid=%s\n--regid=%s\n--clear-groups\n' "$1" "$1"
}
mapfile -t AS_VICTIM < <(as $victim)
mapfile -t AS_ATTACKER < <(as $attacker)
mapfile -t AS_BYSTANDER < <(as $bystander)

# hostile CLIENT [ARGUMENT...]: as the attacker, in his directory.
hostile() {
	"${AS_ATTACKER[@]}" "$BATS_FILE_TMPDIR/hostile" "$MNT/attacker" "$@" 3>&-
}

fds() { find "/proc/$1/fd" -mindepth 1 2>/dev/null | wc -l; } # PID
anonymous() { awk '/^RssAnon/ { print $2 }' "/proc/$(worker)/status"; }
fds_are_back() {
	[ "$(fds "$(worker)")" -le $((FDS + 16)) ] &&
		[ "$(fds "$(holder)")" -le "$HOLDER_FDS" ]
}
# All that the state has of who has what.
keeps() { getfattr --absolute-names --only-values -n user.iobuf.state "$MNT" |
	grep -vE '^(worker|version|size|datapath)'; }
nothing_is_kept() { [ "$(keeps)" = "$KEEPS" ]; }
# A few MiB an arena of malloc's are kept where large transfers were: KEPT.
memory_is_back() {
	HELD=$(anonymous)
	[ "$HELD" -le $((ANON + ${KEPT:-8192})) ]
}

# All the time, and has seen nothing.
bystander_lived_on() {
	kill "$BYSTANDER"
	wait "$BYSTANDER" || { cat "$BATS_TEST_TMPDIR/bystander"; return 1; }
	run cat "$BATS_TEST_TMPDIR/bystander"
	assert_output --regexp '^[1-9][0-9]* rounds$'
	PIDS=()
}

# The bystander has lived on, the worker is the same, and has nothing left of
# what was done.
nothing_came_of_it() {
	bystander_lived_on
	[ -n "${MAY_DIE:-}" ] ||
		assert_equal "$(state "$MNT" workers_started)" "$STARTED"
	rm -rf "${MNT:?}"/*
	eventually state_is "$MNT" used 0
	eventually nothing_is_kept
	eventually fds_are_back
	[ -n "${SANITIZED:-}" ] || eventually memory_is_back ||
		fail "the worker had $ANON KiB, and has $HELD"
}

teardown() {
	local failed=0
	[ ${#PIDS[@]} -eq 0 ] || kill -9 "${PIDS[@]}" 2>/dev/null || true
	# Where a test has stopped it.
	kill -CONT "$(cat "$BATS_FILE_TMPDIR/holder")" 2>/dev/null || true
	cd /
	unmount_fs || failed=1
	for dir in plain connections; do
		umount "$BATS_TEST_TMPDIR/$dir" 2>/dev/null || true
	done
	return $failed
}

# What another user has, in DIRECTORY; a process of his has one open.
furnish() {
	mkdir "$1/open" "$1/private" "$1/sticky" "$1/own"
	chmod 700 "$1/private"
	chmod 1777 "$1/sticky"
	for file in open/secret open/readable private/secret sticky/secret; do
		echo "contents of $file" >"$1/$file"
		chmod 600 "$1/$file"
		setfattr -n user.comment -v theirs "$1/$file"
	done
	chmod 644 "$1/open/readable"
	chown -R $victim:$victim "$1"
	echo mine >"$1/own/file"
	chown -R $attacker:$attacker "$1/own"
	chmod 755 "$1"
}

# All that there is to see of a tree, times of access left out.
everything() {
	(cd "$1" && find . -path ./own -prune -o \
		-printf '%p %i %M %n %U %G %s %T@ %C@\n' | sort
	getfattr -R -d -m - . 2>/dev/null | sort
	find . -path ./own -prune -o -type f -exec sha256sum {} + | sort)
}

# tries PROGRAM: a way to run it, on MOUNT and on a plain tmpfs, and to end in
# the same.
tries() {
	everything "$MNT/victim" >"$BATS_TEST_TMPDIR/before"
	"$@" "$BATS_FILE_TMPDIR/hostile" "$MNT/victim" rights "$OWNER" \
		>"$BATS_TEST_TMPDIR/got"
	everything "$MNT/victim" | diff "$BATS_TEST_TMPDIR/before" -
	"$@" "$BATS_FILE_TMPDIR/hostile" "$BATS_TEST_TMPDIR/plain" rights \
		"$OWNER" >"$BATS_TEST_TMPDIR/plain.got" || true
	diff "$BATS_TEST_TMPDIR/plain.got" "$BATS_TEST_TMPDIR/got"
}

furnish_both() {
	serve ''
	furnish "$MNT/victim"
	mkdir "$BATS_TEST_TMPDIR/plain"
	chmod a+rx "$BATS_TEST_TMPDIR"
	mount -t tmpfs -o size=1M none "$BATS_TEST_TMPDIR/plain"
	furnish "$BATS_TEST_TMPDIR/plain"
	# shellcheck disable=SC2016
	"${AS_VICTIM[@]}" sh -c 'cd "$0" && exec sleep infinity 5<>secret' \
		"$MNT/victim/private" 3>&- &
	OWNER=$!
	PIDS+=("$OWNER")
	# shellcheck disable=SC2317
	is_victims() { [ "$(stat -c %u "/proc/$OWNER")" = $victim ] &&
		[ -e "/proc/$OWNER/fd/5" ]; }
	eventually is_victims
}

unfurnish() {
	kill "$OWNER"
	umount "$BATS_TEST_TMPDIR/plain"
	PIDS=("$BYSTANDER")
	nothing_came_of_it
}

@test "who has no rights gets what he gets on a tmpfs, and changes nothing" {
	furnish_both
	tries "${AS_ATTACKER[@]}"
	unfurnish
}

@test "who is root of a user namespace of his own has no more rights" {
	furnish_both
	"${AS_ATTACKER[@]}" unshare -Ur true || {
		unfurnish
		skip 'THIS MACHINE GIVES USERS NO USER NAMESPACES'
	}
	tries "${AS_ATTACKER[@]}" unshare -Ur
	unfurnish
}

@test "no word, state or ioctl of ours is for who has no rights" {
	furnish_both
	cd "$MNT/victim"
	spec open/cache 'purgeable,capacity=64K,tag=theirs'
	spec open/shown 'purgeable,capacity=64K'
	mv open/shown open/readable
	touch open/writable
	echo contents | tee open/cache >open/readable
	chown $victim:$victim open/*
	chmod 644 open/readable
	chmod 600 open/cache
	chmod 666 open/writable
	cd /
	everything "$MNT/victim" >"$BATS_TEST_TMPDIR/before"
	run "${AS_ATTACKER[@]}" "$BATS_FILE_TMPDIR/hostile" "$MNT/victim" own_rights
	assert_success
	everything "$MNT/victim" | diff "$BATS_TEST_TMPDIR/before" -
	assert_equal "$(awk '{ print $3 }' <<<"$output" | sort -u | xargs)" \
		'EACCES EBADF EPERM'
	unfurnish
}

# greedy CLIENT [ARGUMENT...]: runs on as $GREEDY; returns when it has all.
greedy() {
	local line='' ready=$BATS_TEST_TMPDIR/ready
	mkfifo "$ready"
	"${AS_ATTACKER[@]}" "$BATS_FILE_TMPDIR/hostile" "$MNT/attacker" "$@" \
		>"$ready" 3>&- &
	GREEDY=$!
	PIDS+=("$GREEDY")
	read -r line <"$ready" || true
	assert_equal "$line" ready
}

greedy_dies() {
	kill -9 "$GREEDY"
	wait "$GREEDY" 2>/dev/null || true
}

@test "who opens and never closes keeps nobody from opening" {
	AS='prlimit --nofile=1024:1024'
	serve ''
	greedy keeps_open 4 2000
	# More than the daemon may have.
	[ "$(state "$MNT/attacker/one" opens)" -gt 3000 ]
	echo works >"$MNT/bystander/another"
	assert_equal "$(cat "$MNT/bystander/another")" works
	greedy_dies
	eventually state_is "$MNT/attacker/one" opens 0
	nothing_came_of_it
}

@test "memory that thousands of mappings keep goes with the last process" {
	serve ''
	greedy maps_and_forks
	assert_equal "$(ls "$MNT/attacker")" ''
	[ "$(stat -f -c '(%b - %f) * %S' "$MNT" | bc)" -ge 4194304 ]
	greedy_dies
	nothing_came_of_it
}

@test "a mapping lives on with the heir of a dead process, and goes with it" {
	local MAY_DIE=1
	serve ''
	greedy inherits
	# What was bound to the dead one has lost its name.
	nobody_has_a_name() { [ -z "$(ls "$MNT/attacker")" ]; }
	eventually nobody_has_a_name
	for _ in 1 2; do
		[ "$(state "$MNT" used)" -ge 8388608 ]
		assert_equal "$(state "$MNT" wired)" 4194304
		kill -9 "$WORKER"
		WORKER=$(worker)
	done
	kill "$GREEDY"
	wait "$GREEDY"
	eventually state_is "$MNT" wired 0
	nothing_came_of_it
}

worker_threads() { find "/proc/$(worker)/task" -mindepth 1 -maxdepth 1 | wc -l; }
threads_are_back() { [ "$(worker_threads)" -le $((before + 16)) ]; }

@test "10,000 threads that open, look, read and close are all served" {
	serve ''
	local before each=2500
	# It slows the client's down as well.
	[ -z "${SANITIZED:-}" ] || each=500
	before=$(worker_threads)
	run hostile threads 4 $each
	assert_output ''
	assert_success
	eventually threads_are_back
	nothing_came_of_it
}

@test "who fills the pool gets ENOSPC, and what he has can be removed" {
	serve '' full
	for spec in - capacity=1M wired,capacity=1M contiguous,capacity=2M; do
		run hostile fills "$spec" ENOSPC
		assert_success
		state_is "$MNT" used 0 || eventually state_is "$MNT" used 0
	done
	nothing_came_of_it
}

@test "who uses up the lock limit or his quota harms nobody else" {
	serve ,wired_max=8M,contiguous_max=16M,user_max=24M
	run hostile fills wired,capacity=1M ENOMEM
	assert_output 9
	run hostile fills contiguous,capacity=1M ENOMEM
	assert_output 9
	run hostile fills capacity=1M EDQUOT
	assert_output 25
	nothing_came_of_it
}

# until_killed_at FILE... -- COMMAND...: the worker is killed when each is there.
until_killed_at() {
	local at=()
	while [ "$1" != -- ]; do at+=("$1"); shift; done
	shift
	"$@" >"$BATS_TEST_TMPDIR/out" 2>&1 3>&- &
	local pid=$!
	PIDS+=("$pid")
	for file in "${at[@]}"; do
		until [ -e "$MNT/attacker/$file" ] || [ ! -e "/proc/$pid" ]; do
			:
		done
		kill -9 "$(worker)"
	done
	wait "$pid" || { cat "$BATS_TEST_TMPDIR/out"; return 1; }
	run cat "$BATS_TEST_TMPDIR/out"
	assert_output --regexp "^$WANTED\$"
}

@test "limits are kept to the byte while the worker dies" {
	local MAY_DIE=1 WANTED
	serve ,wired_max=8M,contiguous_max=16M,user_max=24M
	WANTED=9
	until_killed_at fill2 fill6 -- hostile fills wired,capacity=1M ENOMEM
	until_killed_at fill2 fill6 -- hostile fills contiguous,capacity=1M ENOMEM
	WANTED=25
	until_killed_at fill5 fill20 -- hostile fills capacity=1M EDQUOT
	nothing_came_of_it
}

@test "a pool fills up while the worker dies, and is empty again" {
	local MAY_DIE=1 WANTED="12[89]"
	serve '' full
	until_killed_at fill10 fill60 fill110 -- \
		hostile fills capacity=1M ENOSPC
	nothing_came_of_it
}

waiting() { # requests without an answer
	cat "$BATS_TEST_TMPDIR/connections/$(mountpoint -d "$MNT" | cut -d: -f2)/waiting"
}
many_wait() { [ "$(waiting)" -ge 1500 ] || [ ! -e "/proc/$GREEDY" ]; }

@test "2,000 at once make, append, move and remove once, whoever kills the worker" {
	local MAY_DIE=1 holder
	serve ''
	holder=$(cat "$BATS_FILE_TMPDIR/holder")
	mkdir "$BATS_TEST_TMPDIR/connections"
	mount -t fusectl none "$BATS_TEST_TMPDIR/connections"
	greedy appends
	for _ in 1 2 3 4 5; do
		kill -STOP "$holder"
		kill -9 "$WORKER"
		eventually many_wait
		kill -CONT "$holder"
		WORKER=$(worker)
	done
	kill "$GREEDY"
	wait "$GREEDY"
	umount "$BATS_TEST_TMPDIR/connections"
	nothing_came_of_it
}

@test "a signal interrupts a call or does not, and leaves nothing half done" {
	local KEPT=98304
	serve ''
	run hostile signals
	assert_success
	assert_output --regexp '[1-9][0-9]* interrupted'
	nothing_came_of_it
}

@test "SIGKILL in the middle of a call keeps no lock, memory or descriptor" {
	local KEPT=98304
	serve ''
	run hostile killed 300
	assert_output ''
	assert_success
	nothing_came_of_it
}

@test "attributes without end, size or sense harm nobody, and go again" {
	serve ''
	run hostile attributes
	assert_output ''
	assert_success
	log_is_plain
	nothing_came_of_it
}

# Whatever it quotes is told in a way that a terminal can bear.
log_is_plain() {
	[ -s "$LOG" ]
	run grep -nP '[^\x09\x20-\x7e]' "$LOG"
	assert_output ''
}

@test "a name may be anything but a way out" {
	serve ''
	run hostile names
	assert_output ''
	assert_success
	log_is_plain
	assert_equal "$(ls -A "$MNT/attacker")" ''
	nothing_came_of_it
}

@test "names made and removed by the ten thousand leave nothing behind" {
	serve ''
	run hostile storms "${BUFFERFS_STORM:-20000}"
	assert_output ''
	assert_success
	nothing_came_of_it
}

@test "1,000 levels, 10,000 links and 10,000 locked ranges go as they came" {
	serve ''
	for client in 'deep 1000' 'links 10000' 'ranges 10000'; do
		# shellcheck disable=SC2086
		run hostile $client
		assert_output ''
		assert_success
	done
	nothing_came_of_it
}

@test "a directory that others change shows each name that stays once" {
	serve ''
	run hostile changing
	assert_output ''
	assert_success
	nothing_came_of_it
}

# swapped DIRECTORY OUTSIDE: the attacker swaps in there what root uses in the
# mount, and the daemon neither reads, changes nor makes anything outside.
swapped() {
	local outside=$2
	mkdir "$outside"
	chmod a+rx "$BATS_TEST_TMPDIR"
	for file in file bound outside; do echo canary >"$outside/$file"; done
	everything "$outside" >"$BATS_TEST_TMPDIR/before"
	# Seen from the pool as well as from the mount.
	for target in "$outside" ../../../../../../../../../../"$outside"; do
		"${AS_ATTACKER[@]}" "$BATS_FILE_TMPDIR/hostile" "$1" \
			swaps "$target" 3>&- &
		local swaps=$!
		chores &
		local chores=$!
		PIDS+=("$swaps" "$chores")
		run "$BUILD/bin/hostile" "$MNT/attacker" follows 150
		assert_output ''
		assert_success
		wait "$chores"
		kill "$swaps"
		wait "$swaps"
	done
	everything "$outside" | diff "$BATS_TEST_TMPDIR/before" -
}

# What an administrator's tools do with a tree; two workers are killed over it.
chores() {
	for i in $(seq 8); do
		find "$MNT/attacker" -ls || true
		chown -R root:root "$MNT/attacker/tree" || true
		chown -R $attacker:$attacker "$MNT/attacker/tree" || true
		getfattr -P -R -m - -d "$MNT/attacker" || true
		[ $((i % 4)) != 2 ] || kill -9 "$(worker)"
		rm -rf "$MNT/attacker/tree" || true
	done >/dev/null 2>&1 3>&-
}

@test "links that take the place of directories lead nowhere out of the pool" {
	local MAY_DIE=1
	serve ''
	swapped "$MNT/attacker" "$BATS_TEST_TMPDIR/outside"
	nothing_came_of_it
}

@test "nor do they where the client has the pool's directory itself" {
	local MAY_DIE=1 plain=$BATS_TEST_TMPDIR/plain
	local SPACE=pool=$plain/pool
	mkdir "$plain"
	mount -t tmpfs -o size=128M none "$plain"
	mkdir "$plain/pool"
	chmod a+rx "$BATS_TEST_TMPDIR" "$plain"
	serve ''
	# On the same filesystem, so that nothing but the daemon keeps it apart.
	swapped "$plain/pool/attacker" "$plain/outside"
	bystander_lived_on
	# Of what was put there behind its back, the mount cannot know all.
	unmount_fs
	rm -rf "${plain:?}"/*
	assert_equal "$(df --output=used "$plain" | tail -n 1 | xargs)" 0
}
