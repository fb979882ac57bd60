# shellcheck shell=bash
# memory.bash - a memory control group and swap for a test, and their removal.

# MiB of its group that the daemon leaves alone, or more under a sanitizer.
LEFT_ALONE=2
# shellcheck disable=SC2034 # the suites do
[ -z "${SANITIZED:-}" ] || LEFT_ALONE=32

# make_group BYTES: a control group of its own for the test, in $GROUP, whose
# processes together have that much memory. Version 1 or 2, whichever the
# machine has the memory controller in.
make_group() {
	local top
	if top=$(findmnt -nr -t cgroup -O memory -o TARGET | head -n 1) &&
		[ -n "$top" ]; then
		GROUP_LIMIT=memory.limit_in_bytes
	else
		top=$(findmnt -nr -t cgroup2 -o TARGET | head -n 1)
		GROUP_LIMIT=memory.max
		[ -n "$top" ] && grep -qw memory "$top/cgroup.controllers" &&
			echo +memory >"$top/cgroup.subtree_control" ||
			skip "no memory control groups"
	fi
	GROUP=$top/bufferfs-test-$$
	echo "$GROUP" >"$BATS_FILE_TMPDIR/group"
	mkdir "$GROUP" || skip "may not make control groups"
	echo "$1" >"$GROUP/$GROUP_LIMIT"
	printf '#!/bin/sh\necho $$ >%s/cgroup.procs && exec "$@"\n' "$GROUP" \
		>"$BATS_FILE_TMPDIR/in_group"
	chmod +x "$BATS_FILE_TMPDIR/in_group"
}

# group_takes_no_more_than BYTES: than that on top of what it has now.
group_takes_no_more_than() {
	local usage=$GROUP/memory.usage_in_bytes
	[ -e "$usage" ] || usage=$GROUP/memory.current
	[ ! -e "$GROUP/memory.memsw.limit_in_bytes" ] ||
		echo -1 >"$GROUP/memory.memsw.limit_in_bytes"
	echo $(($(cat "$usage") + $1)) >"$GROUP/$GROUP_LIMIT"
	keep_from_swap
}

# Swap is no way out of the group's limit.
keep_from_swap() {
	if [ -e "$GROUP/memory.swap.max" ]; then
		echo 0 >"$GROUP/memory.swap.max"
	elif [ -e "$GROUP/memory.memsw.limit_in_bytes" ]; then
		cat "$GROUP/$GROUP_LIMIT" >"$GROUP/memory.memsw.limit_in_bytes"
	fi
}

in_group() { "$BATS_FILE_TMPDIR/in_group" "$@"; } # COMMAND...

# Bytes that a line of the group's memory.stat has.
group_stat() { sed -n "s/^$1 //p" "$GROUP/memory.stat"; }

# What is left in it was started by the test; it may be starting others.
end_group() { # DIR
	local pid
	for pid in $(cat "$1/cgroup.procs"); do
		kill -9 "$pid" 2>/dev/null || true
	done
	rmdir "$1" 2>/dev/null
}

# After unmount_fs.
remove_group() {
	local group
	group=$(cat "$BATS_FILE_TMPDIR/group" 2>/dev/null) || return 0
	rm "$BATS_FILE_TMPDIR/group"
	[ ! -d "$group" ] || eventually end_group "$group"
}

# swap_on MIB: swap in compressed memory, or skip.
swap_on() {
	[ -e /sys/block/zram0 ] || modprobe zram 2>/dev/null || true
	[ -w /sys/block/zram0/disksize ] && [ -b /dev/zram0 ] ||
		skip "no zram: paging cannot be seen"
	! grep -q '^/dev/zram0 ' /proc/swaps || skip "/dev/zram0 is in use"
	[ "$(cat /sys/block/zram0/disksize)" = 0 ] ||
		skip "/dev/zram0 is in use"
	echo "${1}M" >/sys/block/zram0/disksize
	: >"$BATS_FILE_TMPDIR/swap"
	mkswap /dev/zram0 >/dev/null
	swapon /dev/zram0
}

swap_off() {
	[ -e "$BATS_FILE_TMPDIR/swap" ] || return 0
	swapoff /dev/zram0 2>/dev/null || true
	echo 1 >/sys/block/zram0/reset
	rm "$BATS_FILE_TMPDIR/swap"
}
