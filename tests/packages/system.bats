# Mounted as any other filesystem: by mount(8), fstab(5) and umount(8); the unit and
# the manual pages.
load ../mount/helper

# What `cmake --install` installs lies over /usr, for this suite alone: each test has
# a mount namespace of its own.
setup_file() {
	[ "$(id -u)" = 0 ] || skip 'NOT TESTED: only root has a mount namespace of his own'
	DESTDIR=$BATS_FILE_TMPDIR/root cmake --install "$BUILD" >/dev/null
	prefix=$(sed -n 's/^CMAKE_INSTALL_PREFIX:[A-Z]*=//p' "$BUILD/CMakeCache.txt")
	case $prefix in
	/usr | /usr/*) ;;
	*) skip "NOT TESTED: a build for $prefix" ;;
	esac
	# mount(8) looks nowhere else.
	root=$BATS_FILE_TMPDIR/root
	mkdir -p "$root/usr/sbin"
	for name in mount.bufferfs mount.fuse.bufferfs; do
		cp "$root$prefix/sbin/mount.bufferfs" "$root/usr/sbin/$name.new"
		mv "$root/usr/sbin/$name.new" "$root/usr/sbin/$name"
	done
	export PREFIX=$prefix
	open_fuse
}

teardown_file() {
	close_fuse
}

setup() {
	M=$BATS_TEST_TMPDIR/frames
	mkdir -p "$M"
	chmod 755 "$BATS_RUN_TMPDIR" "$BATS_FILE_TMPDIR" "$BATS_TEST_TMPDIR"
	: >"$BATS_TEST_TMPDIR/fstab"
}

# installed SCRIPT: run it where bufferfs is installed and $M is to be mounted on;
# its mounts and daemons end with it.
installed() {
	export M FSTAB=$BATS_TEST_TMPDIR/fstab ROOT=$BATS_FILE_TMPDIR/root
	export -f state
	unshare --mount --propagation private bash -euo pipefail -c '
		mount -t overlay -o "lowerdir=$ROOT/usr:/usr" overlay /usr
		mount --bind "$FSTAB" /etc/fstab
		PATH=$PREFIX/bin:/usr/bin:/usr/sbin:/bin:/sbin
		not() { ! "$@" || return 1; } # `!` alone ends nothing
		down() {
			holder=$(state "$M" holder_pid 2>/dev/null) || return 0
			umount "$M" 2>/dev/null || umount -l "$M"
			tail --pid="$holder" -s 0.05 -f /dev/null
		}
		trap down EXIT
		'"$1" 3>&-
}

@test "mount -t fuse.bufferfs mounts under the name that is given, umount unmounts" {
	run installed '
		mount -t fuse.bufferfs frames "$M"
		findmnt -no SOURCE,FSTYPE,OPTIONS "$M"
		state "$M" datapath
		holder=$(state "$M" holder_pid)
		umount "$M"
		tail --pid="$holder" -s 0.05 -f /dev/null
		not mountpoint -q "$M"'
	assert_success
	assert_line --index 0 --regexp '^frames +fuse.bufferfs +rw,nosuid,nodev,'
	assert_line --index 1 passthrough
}

@test "mount -t bufferfs does, too" {
	run installed '
		mount -t bufferfs -o size=32M none "$M"
		state "$M" size'
	assert_success
	assert_output $((32 << 20))
}

@test "a line of fstab may say what is for others, and quote a specification" {
	echo "frames $M fuse.bufferfs defaults,noauto,nofail,user,_netdev,x-systemd.automount,x-systemd.requires=a.service,x-gvfs-hide,comment=x,allow_other,options=\"wired,tag=a\",size=32M,noexec 0 0" \
		>"$BATS_TEST_TMPDIR/fstab"
	run installed '
		mount "$M"
		findmnt -no OPTIONS "$M"
		state "$M" size
		: >"$M/file"
		getfattr --only-values -n user.iobuf.tag "$M/file"'
	assert_success
	assert_line --index 0 --regexp 'noexec.*allow_other'
	assert_line --index 1 $((32 << 20))
	assert_line --index 2 --partial a
}

@test "mount -a mounts what fstab has, and leaves it when it is mounted" {
	echo "frames $M fuse.bufferfs size=32M 0 0" >"$BATS_TEST_TMPDIR/fstab"
	run installed '
		mount -a
		state "$M" holder_pid
		mount -a
		state "$M" holder_pid'
	assert_success
	assert_equal "${lines[0]}" "${lines[1]}"
}

@test "a source that is no name for fsname= is left out" {
	run installed '
		mount -t fuse.bufferfs "a,b" "$M"
		findmnt -no SOURCE "$M"'
	assert_success
	assert_output bufferfs
}

@test "remount makes a mount read-only and writable" {
	run installed '
		mount -t fuse.bufferfs frames "$M"
		mount -o remount,ro "$M"
		not touch "$M/file" 2>/dev/null
		mount -o remount,rw "$M"
		touch "$M/file"'
	assert_success
}

@test "mount --fake mounts nothing" {
	run installed '
		mount.fuse.bufferfs frames "$M" -f -o rw
		not mountpoint -q "$M"'
	assert_success
}

@test "what is wrong fails the mount and says why" {
	run installed 'mount -t fuse.bufferfs -o bogus frames "$M"'
	assert_failure
	assert_output --partial "unknown option bogus"
	run installed '
		mount -t fuse.bufferfs frames "$M"
		mount -t fuse.bufferfs frames "$M"'
	assert_failure
	assert_output --partial 'already mounted'
	run installed 'mount.fuse.bufferfs frames "$M" -N 1'
	assert_failure 1
	assert_output --partial usage:
}

@test "umount of a mount in use is refused" {
	run installed '
		mount -t fuse.bufferfs frames "$M"
		exec 4<"$M"
		not umount "$M" 2>&1
		exec 4<&-
		umount "$M"'
	assert_success
	assert_output --partial busy
}

@test "where libfuse's own helper is, bufferfs#NAME mounts by it" {
	command -v mount.fuse3 >/dev/null || skip 'NOT TESTED: fuse3 is missing'
	run installed '
		mount -t fuse -o size=32M,noexec "bufferfs#frames" "$M"
		findmnt -no FSTYPE,OPTIONS "$M"
		state "$M" size'
	assert_success
	assert_line --index 0 --regexp '^fuse.bufferfs .*noexec'
	assert_line --index 1 $((32 << 20))
}

@test "a user may mount and unmount what fstab lets him" {
	chown nobody "$M"
	echo "frames $M fuse.bufferfs user,noauto 0 0" \
		>"$BATS_TEST_TMPDIR/fstab"
	run installed '
		as() { setpriv --reuid nobody --regid nogroup --clear-groups "$@"; }
		as mount "$M"
		findmnt -no OPTIONS "$M"
		as touch "$M/file"
		as stat -c %U "$M/file"
		as umount "$M"
		not mountpoint -q "$M"'
	assert_success
	assert_line --partial user_id=65534
	assert_line nobody
}

@test "the unit is what systemd understands" {
	command -v systemd-analyze >/dev/null || skip 'NOT TESTED: systemd is missing'
	export UNIT=$BATS_FILE_TMPDIR/root$PREFIX/lib/systemd/system/bufferfs@.service
	cp "$UNIT" "$BATS_TEST_TMPDIR/bufferfs@mnt-frames.service"
	run installed '
		systemd-analyze verify --man=no \
			"${FSTAB%/*}/bufferfs@mnt-frames.service"'
	assert_success
	assert_output ''
}

@test "manual pages are well-formed, and list what --help lists" {
	pages=$BATS_FILE_TMPDIR/root$PREFIX/share/man
	for page in "$pages"/man7/iobuf.7 "$pages"/man8/bufferfs.8; do
		if command -v groff >/dev/null; then
			run groff -mandoc -Tutf8 -ww -z "$page"
			assert_success
			assert_output ''
		fi
		if command -v mandoc >/dev/null; then
			run mandoc -T lint -W warning "$page"
			assert_output ''
		fi
	done
	command -v mandoc >/dev/null || skip 'NOT TESTED: mandoc is missing'
	mandoc -T ascii "$pages/man7/iobuf.7" | col -b >"$BATS_TEST_TMPDIR/iobuf"
	mandoc -T ascii "$pages/man8/bufferfs.8" | col -b >"$BATS_TEST_TMPDIR/bufferfs"
	"$BUILD/bin/bufferfs" --help | sed '1,/^specification/d' |
		awk '{ print $1 }' >"$BATS_TEST_TMPDIR/words"
	[ "$(wc -l <"$BATS_TEST_TMPDIR/words")" -gt 20 ]
	while read -r word; do
		grep -qF -- " $word" "$BATS_TEST_TMPDIR/iobuf" ||
			fail "iobuf(7) has no $word"
	done <"$BATS_TEST_TMPDIR/words"
	"$BUILD/bin/bufferfs" --help | sed -n 's/^  -o \([^ ]*\).*/\1/p' \
		>"$BATS_TEST_TMPDIR/words"
	[ "$(wc -l <"$BATS_TEST_TMPDIR/words")" -gt 10 ]
	while read -r word; do
		grep -qE -- "^ +$word" "$BATS_TEST_TMPDIR/bufferfs" ||
			fail "bufferfs(8) has no $word"
	done <"$BATS_TEST_TMPDIR/words"
}
