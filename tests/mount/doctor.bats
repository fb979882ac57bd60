# iobuf doctor: what does not work, and the line that changes it.
bats_require_minimum_version 1.5.0
load helper

teardown() {
	[ -z "${STOPPED:-}" ] || kill -CONT "$STOPPED" 2>/dev/null || true
	unmount_fs
	umount -l "$MNT" 2>/dev/null || true
}

# A machine on which all is well, as far as files tell.
machine() {
	ROOT=$BATS_TEST_TMPDIR/machine
	mkdir -p "$ROOT"/{dev,boot,proc/self,proc/pressure,proc/sys/kernel} \
		"$ROOT"/sys/{kernel/mm/transparent_hugepage,module/fuse/parameters} \
		"$ROOT/sys/fs/cgroup/a/b"
	touch "$ROOT/dev/fuse"
	echo 6.12.9+deb13-amd64 >"$ROOT/proc/sys/kernel/osrelease"
	echo 0 >"$ROOT/proc/sys/kernel/io_uring_disabled"
	printf 'Name:\tiobuf\nCapEff:\t000001ffffffffff\n' >"$ROOT/proc/self/status"
	echo '         0          0 4294967295' >"$ROOT/proc/self/uid_map"
	limits 8388608 20000
	echo 0::/a/b >"$ROOT/proc/self/cgroup"
	echo '30 23 0:27 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw' >"$ROOT/proc/self/mountinfo"
	echo 'tmpfs /dev/shm tmpfs rw 0 0' >"$ROOT/proc/self/mounts"
	echo 'MemTotal:       16777216 kB' >"$ROOT/proc/meminfo"
	echo 'some avg10=0.00' >"$ROOT/proc/pressure/memory"
	echo 'always within_size advise [never] deny force' \
		>"$ROOT/sys/kernel/mm/transparent_hugepage/shmem_enabled"
	echo N >"$ROOT/sys/module/fuse/parameters/enable_uring"
	for group in a a/b; do
		echo max >"$ROOT/sys/fs/cgroup/$group/memory.max"
		echo 4096 >"$ROOT/sys/fs/cgroup/$group/memory.current"
	done
}

limits() { # LOCK FILES
	cat >"$ROOT/proc/self/limits" <<-END
		Limit                     Soft Limit           Hard Limit           Units
		Max open files            1024                 $2                files
		Max locked memory         65536                $1              bytes
	END
}

capabilities() { printf 'CapEff:\t%s\n' "$1" >"$ROOT/proc/self/status"; }

finds() { # VERDICT NAME WORDS [CHANGE]
	run iobuf doctor --root "$ROOT"
	if [ "$1" = no ]; then assert_failure 1; else assert_success; fi
	assert_line --regexp "^$1 +$2 +.*$3"
	[ -z "${4:-}" ] || assert_line --regexp "^ +$4"
	assert_equal "$(grep -c '^no ' <<<"$output")" "$([ "$1" = no ] && echo 1 || echo 0)"
}

@test "where all is well it says so, and ends with 0" {
	machine
	finds ok kernel 'Linux 6\.12'
	finds off io_uring 'switched off' 'echo Y >/sys/module/fuse/parameters/enable_uring'
	finds off mount 'none'
}

@test "each thing that is missing is one line, and the line that changes it" {
	machine
	rm "$ROOT/dev/fuse"
	finds no fuse 'No such file' 'modprobe fuse'

	machine
	echo "echo 'always within_size advise never [deny] force'" \
		>"$ROOT/sys/kernel/mm/transparent_hugepage/shmem_enabled"
	finds no 'huge pages' denied 'echo never >/sys/kernel/mm/transparent_hugepage/shmem_enabled'
	rm "$ROOT/sys/kernel/mm/transparent_hugepage/shmem_enabled"
	finds no 'huge pages' 'this kernel has none' 'boot a kernel with CONFIG_TRANSPARENT'

	machine
	echo 2 >"$ROOT/proc/sys/kernel/io_uring_disabled"
	finds no pins 'switched off' 'sysctl -w kernel.io_uring_disabled=0'
	echo 1 >"$ROOT/proc/sys/kernel/io_uring_disabled"
	finds ok pins 'in place'

	machine
	rm "$ROOT/proc/pressure/memory"
	finds no pressure 'does not tell' 'sed -i .*psi=1 .*update-grub'

	machine
	limits 8388608 1024
	finds no 'open files' 1024 'echo .:0 - nofile 65536'

	machine
	echo '# CONFIG_FUSE_PASSTHROUGH is not set' >"$ROOT/boot/config-6.12.9+deb13-amd64"
	finds no passthrough 'has none' 'boot a kernel'
}

@test "an old kernel has no passthrough" {
	machine
	echo 6.1.0-18-amd64 >"$ROOT/proc/sys/kernel/osrelease"
	run iobuf doctor --root "$ROOT"
	assert_failure 1
	assert_line --regexp '^no +kernel +Linux 6\.1\.0-18-amd64 '
	assert_line --regexp '^ +apt-get install -t bookworm-backports linux-image-amd64'
	for well in 6.9.0 6.10 7.0.1; do
		echo $well >"$ROOT/proc/sys/kernel/osrelease"
		finds ok kernel "Linux $well"
	done
}

@test "rights that are missing are told of: locks, page frames, passthrough" {
	machine
	capabilities 000001ffffffbfff # all but CAP_IPC_LOCK
	finds no 'lock limit' '8.0M can be wired' "echo ':0 - memlock unlimited' >>/etc/security/limits.d"
	limits unlimited 20000
	finds ok 'lock limit' none
	machine
	capabilities 000001ffffdfffff # all but CAP_SYS_ADMIN
	run iobuf doctor --root "$ROOT"
	assert_failure 1
	for name in passthrough 'page frames' 'huge pages' libfuse; do
		assert_line --regexp "^no +$name "
	done
	assert_line --regexp '^ +sudo bufferfs -o allow_other DIR$'
	assert_line --regexp '^ +apt-get install fuse3$'
	echo 'tmpfs /dev/shm tmpfs rw,huge=within_size 0 0' >"$ROOT/proc/self/mounts"
	run iobuf doctor --root "$ROOT"
	assert_line --regexp '^ok +huge pages'
	machine
	echo '0 100000 65536' >"$ROOT/proc/self/uid_map"
	run iobuf doctor --root "$ROOT"
	assert_line --regexp '^no +passthrough '
}

@test "a memory group that is smaller than a pool is told of, in both versions" {
	machine
	echo $((2 << 30)) >"$ROOT/sys/fs/cgroup/a/memory.max"
	finds no 'memory group' 'limited to 2.0G, less than a pool of 8.0G' \
		'echo max >/sys/fs/cgroup/a/memory.max # or mount with -o size=1024M'
	echo $((9 << 30)) >"$ROOT/sys/fs/cgroup/a/memory.max"
	finds ok 'memory group' 'limited to 9.0G, 4.0K used'
	echo '4:memory:/a/b' >"$ROOT/proc/self/cgroup"
	echo '35 31 0:32 / /sys/fs/cgroup rw - cgroup cgroup rw,memory' >"$ROOT/proc/self/mountinfo"
	finds ok 'memory group' 'no limit'
	echo 1073741824 >"$ROOT/sys/fs/cgroup/a/b/memory.limit_in_bytes"
	finds no 'memory group' 'limited to 1.0G' \
		'echo -1 >/sys/fs/cgroup/a/b/memory.limit_in_bytes'
}

@test "JSON has verdicts, and what changes them" {
	machine
	echo 2 >"$ROOT/proc/sys/kernel/io_uring_disabled"
	run iobuf doctor --json --root "$ROOT"
	assert_failure 1
	python3 -c "import json, sys
j = json.load(sys.stdin)
assert j['well'] is False
pins, = [c for c in j['checks'] if c['verdict'] == 'no']
assert pins['name'] == 'pins' and pins['change'] == 'sysctl -w kernel.io_uring_disabled=0'
assert j['checks'][0]['change'] is None" <<<"$output"
}

@test "a mount that serves is well; one that is dead or hangs is not" {
	mount_fs -o size=64M,reserve=0,pressure_stall=0,watchdog=0
	run iobuf doctor "$MNT"
	assert_line --regexp "^ok +mount +$MNT: passthrough, 0 of 64M used"
	mkdir "$MNT/deep"
	run iobuf doctor "$MNT/deep"
	assert_line --regexp "^ok +mount +$MNT: "
	run iobuf doctor --json "$MNT"
	assert_output --partial "\"found\": \"$MNT: passthrough"
	run iobuf doctor /
	assert_failure 1
	assert_line --regexp '^no +mount +/ is on no mount of bufferfs'

	STOPPED=$(worker)
	kill -STOP "$STOPPED"
	run iobuf doctor "$MNT"
	kill -CONT "$STOPPED"
	STOPPED=
	assert_failure 1
	assert_line --regexp "^no +mount +$MNT does not answer"
	assert_line --regexp "^ +bufferfs --reload $MNT"

	old=$(worker)
	kill -9 "$(holder)"
	tail --pid="$old" -s 0.05 -f /dev/null
	run iobuf doctor "$MNT"
	assert_failure 1
	assert_line --regexp "^no +mount +$MNT is dead"
	assert_line --regexp "^ +bufferfs $MNT$"
	# And that is the line.
	mount_fs -o size=64M,reserve=0,pressure_stall=0
	run iobuf doctor "$MNT"
	assert_line --regexp "^ok +mount +$MNT: "
}

@test "a hostile mount point is shown as what it is, and quoted in the line" {
	machine
	MNT=$BATS_TEST_TMPDIR/$'a \e[31m\'b'
	mkdir "$MNT"
	mount_fs -o size=64M,reserve=0,pressure_stall=0
	kill -9 "$(holder)" "$(worker)"
	eventually bash -c 'stat "$1" 2>&1 | grep -q "not connected"' - "$MNT"
	run iobuf doctor "$MNT"
	assert_line --partial 'a \x1b[31m'"'b is dead"
	line=$(sed -n 's/^ *bufferfs //p' <<<"$output")
	eval "[ $line = \"\$MNT\" ]"
	mount_fs -o size=64M,reserve=0,pressure_stall=0
}
