# Very many files: BUFFERFS_MANY_FILES of them (100,000 unless it says else), by
# a daemon that may open 1,024 files.
load helper

FILES=${BUFFERFS_MANY_FILES:-100000}

setup_file() {
	AS='prlimit --nofile=1024:1024'
	mount_fs
}

teardown_file() { unmount_fs; }
setup() { cd "$MNT" || exit; }

fds() { find "/proc/$(worker)/fd" -mindepth 1 2>/dev/null | wc -l; }

memory() { # bytes that are the worker's own, or shared with its successors
	awk '/^Rss(Anon|Shmem)/ { kb += $2 } END { print kb * 1024 }' \
		"/proc/$(worker)/status"
}

phase() { # NAME FILES: run it, print and note its rate
	rate=$("$BUILD/bin/many" "$1" . "$2")
	echo "$rate" >"$BATS_FILE_TMPDIR/$1-$2"
	echo "# $1 $2 files: $rate/s" >&3
}

@test "10,000 files are made, found, read and removed" {
	for name in create stat read remove; do
		phase $name 10000
	done
	assert_equal "$(find . -mindepth 1 | wc -l)" 0
}

@test "$FILES files are made, found and read" {
	fds >"$BATS_FILE_TMPDIR/fds"
	memory >"$BATS_FILE_TMPDIR/memory"
	for name in create stat read; do
		phase $name "$FILES"
	done
	assert_equal "$(find . -type f | wc -l)" "$FILES"
}

@test "an idle file costs the daemon no descriptor" {
	# The last close reaches the daemon on its own time.
	few() { [ "$(fds)" -le $(($(cat "$BATS_FILE_TMPDIR/fds") + 16)) ]; }
	eventually few
}

@test "a known file costs the daemon less than 200 bytes" {
	[ -z "${SANITIZED:-}" ] || skip 'a sanitizer takes memory of its own'
	grown=$(($(memory) - $(cat "$BATS_FILE_TMPDIR/memory")))
	echo "# $((grown / FILES)) bytes a file" >&3
	assert [ $grown -lt $((FILES * 200)) ]
}

@test "$FILES files are removed one by one" {
	phase remove "$FILES"
	assert_equal "$(find . -mindepth 1 | wc -l)" 0
	for name in create stat read remove; do
		awk -v name=$name -v files="$FILES" 'NR == 1 { few = $1 }
			NR == 2 { printf "# %s: %.2f of the rate at 10,000\n",
				name, $1 / few }' \
			"$BATS_FILE_TMPDIR/$name-10000" \
			"$BATS_FILE_TMPDIR/$name-$FILES" >&3
	done
}

@test "rm -rf removes $FILES files" {
	phase create "$FILES"
	rm -rf "${MNT:?}"/*
	assert_equal "$(find . -mindepth 1 | wc -l)" 0
}

@test "no memory of the pool stays with removed files" {
	eventually state_is . used 0
}
