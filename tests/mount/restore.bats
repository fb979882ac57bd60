# Copying a tree of buffers to another filesystem and back, with tools that know
# nothing of buffers, restores each one: kind, contents and length.
load helper

TREE=$MNT/tree

setup_file() {
	mount_fs -o allow_other,size=1G
	mkdir -p "$BATS_FILE_TMPDIR/tmpfs" "$BATS_FILE_TMPDIR/ext4"
	mount -t tmpfs -o size=256M restore "$BATS_FILE_TMPDIR/tmpfs"
	truncate -s 256M "$BATS_FILE_TMPDIR/image"
	mkfs.ext4 -q "$BATS_FILE_TMPDIR/image"
	mount -o loop "$BATS_FILE_TMPDIR/image" "$BATS_FILE_TMPDIR/ext4" ||
		echo '# NO LOOP DEVICES: in place of ext4, a directory of the disk' >&3
	make_tree
}

teardown_file() {
	umount "$BATS_FILE_TMPDIR/tmpfs" || true
	umount "$BATS_FILE_TMPDIR/ext4" 2>/dev/null || true
	unmount_fs
}

setup() {
	find "$MNT" -mindepth 1 -maxdepth 1 ! -name tree -exec rm -r {} +
	find "$BATS_FILE_TMPDIR/tmpfs" "$BATS_FILE_TMPDIR/ext4" -mindepth 1 \
		! -path "*/lost+found" -delete
}

# buffer NAME SPEC [BYTES [LENGTH]]: with random contents.
buffer() {
	touch "$TREE/$1"
	[ -z "$2" ] || setfattr -n user.iobuf -v "$2" "$TREE/$1"
	head -c "${3:-65536}" /dev/urandom |
		dd of="$TREE/$1" conv=notrunc iflag=fullblock bs=64K status=none
	[ -z "${4:-}" ] || truncate -s "$4" "$TREE/$1"
}

make_tree() {
	mkdir "$TREE"
	buffer plain '' 100000
	touch "$TREE/empty"
	spec "$TREE/empty-wired" wired
	buffer elastic pageable 70001
	buffer elastic-wired wired 70001
	buffer elastic-tag 'pageable,tag=of an elastic one' 3
	buffer fixed 'capacity=64K'
	buffer fixed-wired 'wired,capacity=64K'
	buffer fixed-short 'capacity=64K' 65536 5000
	buffer fixed-wired-short 'wired,capacity=64K' 65536 4096
	buffer fixed-zero 'wired,capacity=64K' 65536 0
	buffer fixed-odd 'wired,capacity=5001' 5001
	buffer contiguous 'contiguous,capacity=2M' 2097152
	buffer contiguous-short 'contiguous,capacity=64K' 65536 10000
	buffer aligned 'wired,capacity=64K,align=64K'
	buffer aligned-little 'wired,capacity=64K,align=128'
	buffer masked 'wired,capacity=64K,mask=0xffffffffffff000'
	buffer unshared 'wired,unshared,capacity=64K'
	buffer unshared-elastic 'unshared' 5000
	for mode in inhibit writethru copyback writecombine; do
		buffer "cache-$mode" "cache=$mode" 5000
		buffer "cache-$mode-fixed" "wired,cache=$mode,capacity=8K" 8192 7000
	done
	buffer purgeable 'purgeable,capacity=64K'
	buffer purgeable-elastic purgeable 5000
	buffer out 'wired,capacity=64K'
	setfattr -n user.iobuf.direction -v out "$TREE/out"
	buffer out-elastic '' 5000
	setfattr -n user.iobuf.direction -v out "$TREE/out-elastic"
	mkdir -p "$TREE/of-wired/below" "$TREE/of-fixed" "$TREE/of-nothing"
	setfattr -n user.iobuf -v 'wired,tag=inherited' "$TREE/of-wired"
	mkdir "$TREE/of-wired/below-too"
	setfattr -n user.iobuf -v 'wired,capacity=16K' "$TREE/of-fixed"
	buffer of-wired/one '' 5000
	buffer of-wired/below-too/two '' 5000
	buffer of-wired/below/plain '' 5000
	buffer of-wired/set 'pageable,capacity=4K' 4096
	buffer of-fixed/whole '' 16384
	buffer of-fixed/short '' 16384 3000
	# What was made before the directory had its defaults has none.
	buffer of-nothing/before '' 5000
	setfattr -n user.iobuf -v 'wired,tag=later' "$TREE/of-nothing"
	setfattr -n user.note -v kept "$TREE/fixed"
	ln "$TREE/fixed" "$TREE/fixed-hard"
	ln -s fixed "$TREE/soft"
	chmod 640 "$TREE/fixed" && chown nobody:nogroup "$TREE/fixed"
	find "$TREE" -type f,l -exec touch -hd '2001-02-03 04:05:06.5' {} +
}

# What makes a file the buffer that it is.
signature() { # FILE
	stat -c '%F %a %U %G %h' "$1"
	getfattr --absolute-names -d "$1" | sed '/^#/d'
	getfattr --absolute-names --only-values -n user.iobuf.options "$1"
	[ ! -L "$1" ] || readlink "$1"
	[ -f "$1" ] || return 0
	stat -c '%s %y' "$1"
	getfattr --absolute-names --only-values -n user.iobuf.state "$1" |
		grep -E '^(kind|options|capacity|length|alignment|wired|tag|datapath)='
	sha256sum <"$1"
}

signatures() { # DIRECTORY
	local path
	(
		cd "$1" || exit
		find . | sort | while read -r path; do
			echo "== $path"
			signature "$path" 2>&1
		done
		echo end
	)
}

same_buffers() { # DIRECTORY ANOTHER
	signatures "$1" >"$BATS_TEST_TMPDIR/expected"
	signatures "$2" >"$BATS_TEST_TMPDIR/actual"
	assert_equal "$(tail -n 1 "$BATS_TEST_TMPDIR/expected")" end
	diff "$BATS_TEST_TMPDIR/expected" "$BATS_TEST_TMPDIR/actual"
}

copy() { # TOOL FROM TO: what FROM holds into TO
	mkdir "$3"
	case $1 in
	cp) cp -a "$2/." "$3" ;;
	rsync) rsync -aHX "$2/" "$3" ;;
	tar) tar -C "$2" --xattrs --xattrs-include='*' -cf - . |
		tar -C "$3" --xattrs --xattrs-include='*' -xpf - ;;
	esac
}

restores() { # TOOL FILESYSTEM
	local away=$BATS_FILE_TMPDIR/$2/$1 back=$MNT/back
	copy "$1" "$TREE" "$away"
	run bash -c "set -o pipefail; $(declare -f copy); copy $1 $away $back"
	assert_output ''
	assert_success
	same_buffers "$TREE" "$back"
	# Nothing is different in the eyes of the tool that looks closest.
	assert_equal "$(rsync -aHXci --delete "$TREE/" "$back")" ''
	rm -r "$back" "$away"
}

@test "the value of user.iobuf says how many bytes a buffer holds" {
	cd "$TREE"
	value() { getfattr --only-values -n user.iobuf "$1"; }
	assert_regex "$(value elastic-wired)" '(^|,)length=70001(,|$)'
	assert_regex "$(value fixed-short)" '(^|,)length=5000(,|$)'
	assert_regex "$(value fixed-wired)" '(^|,)length=65536(,|$)'
	assert_regex "$(value empty-wired)" '(^|,)length=0(,|$)'
	refute_regex "$(value of-wired)" 'length='
}

@test "a specification with the length of what a file holds makes it that buffer" {
	cd "$MNT"
	local wired=$(state . wired)
	head -c 5000 /dev/urandom >"$BATS_TEST_TMPDIR/bytes"
	for kind in wired 'capacity=8K' 'wired,capacity=8K' \
		'contiguous,capacity=64K' 'wired,unshared,capacity=5000' \
		cache=inhibit 'wired,capacity=64K,align=64K'; do
		cp "$BATS_TEST_TMPDIR/bytes" file
		setfattr -n user.iobuf -v "$kind,length=5000" file
		cmp file "$BATS_TEST_TMPDIR/bytes"
		assert_equal "$(state file length)" 5000
		spec direct "$kind"
		for key in kind options capacity alignment; do
			assert_equal "$(state file $key)" "$(state direct $key |
				sed "s/^empty$/elastic/")"
		done
		rm file direct
	done
	eventually state_is . wired "$wired"
}

@test "without the length, or with another, what is allocated stays as it is: EBUSY" {
	cd "$MNT"
	echo content >file
	for kind in wired 'capacity=8K' 'wired,length=7' 'wired,length=9' \
		'capacity=8K,length=0'; do
		assert_equal "$(errno_of "os.setxattr(m + 'file', 'user.iobuf', b'$kind')")" EBUSY
	done
	assert_equal "$(state file kind)" elastic
	assert_equal "$(cat file)" content
	# One that would not fit is wrong whatever the file is.
	rm file
}

@test "a capacity below the length is EINVAL, and changes nothing" {
	cd "$MNT"
	head -c 5000 /dev/zero >file
	assert_equal "$(errno_of "os.setxattr(m + 'file', 'user.iobuf', b'capacity=4K,length=5000')")" EINVAL
	assert_equal "$(state file kind)" elastic
	rm file
}

@test "a buffer that cannot be had leaves the file and its contents" {
	cd "$MNT"
	echo content >file
	assert_equal "$(errno_of "os.setxattr(m + 'file', 'user.iobuf', b'capacity=2G,length=8')")" ENOSPC
	assert_equal "$(errno_of "os.setxattr(m + 'file', 'user.iobuf', b'wired,bogus,length=8')")" EINVAL
	assert_equal "$(state file kind)" elastic
	assert_equal "$(cat file)" content
	run getfattr -n user.iobuf file
	assert_output --partial 'No such attribute'
	rm file
}

@test "who has written a file may make it a buffer before closing it, as cp does" {
	cd "$MNT"
	exec 5>file
	echo content >&5
	setfattr -n user.iobuf -v 'wired,capacity=4K,length=8' file
	exec 5>&-
	assert_equal "$(cat file)" content
	assert_equal "$(state file kind)" fixed
	assert_equal "$(stat -c %s file)" 8
}

@test "a file that is open for reading past the daemon is not made a fixed buffer: EBUSY" {
	cd "$MNT"
	echo content >file
	exec 5<>file
	for kind in wired 'capacity=4K' 'contiguous,capacity=4K'; do
		run setfattr -n user.iobuf -v "$kind,length=8" file
		assert_output --partial 'Device or resource busy'
	done
	assert_equal "$(cat <&5)" content
	echo more >&5
	exec 5>&-
	assert_equal "$(cat file)" "content
more"
}

@test "a fixed buffer never becomes less than who maps it was promised" {
	cd "$MNT"
	spec file 'capacity=64K'
	assert_equal "$(errno_of "
    with open(m + 'file', 'r+b') as f:
        p = mmap.mmap(f.fileno(), 65536)
    p[0:65536] = b'm' * 65536
    for kind in b'pageable', b'contiguous,capacity=64K', b'capacity=32K', b'wired,capacity=128K':
        try:
            os.setxattr(m + 'file', 'user.iobuf', kind + b',length=65536')
        except OSError as e:
            assert e.errno in (errno.EBUSY, errno.EINVAL), e
        assert p[0:65536] == b'm' * 65536
        with open(m + 'file', 'rb') as f:
            assert f.read() == b'm' * 65536
    os.truncate(m + 'file', 0)
    p[0:65536] = bytes(65536)")" 0
}

@test "a fixed buffer that holds nothing does not move from under who maps it" {
	cd "$MNT"
	spec file 'capacity=64K'
	head -c 64K /dev/zero | tr '\0' m >file
	assert_equal "$(errno_of "
    fd = os.open(m + 'file', os.O_RDONLY)
    p = mmap.mmap(fd, 65536, prot=mmap.PROT_READ)
    os.close(fd)
    os.setxattr(m + 'file', 'user.iobuf.length', b'0')
    held = p[0:65536]
    try:
        os.setxattr(m + 'file', 'user.iobuf', b'contiguous,capacity=64K,length=0')
        print('moved')
    except OSError as e:
        assert e.errno == errno.EBUSY, e
    assert p[0:65536] == held")" 0
}

@test "cp -a to tmpfs and back restores every buffer" { restores cp tmpfs; }
@test "cp -a to ext4 and back restores every buffer" { restores cp ext4; }
@test "rsync -aX to tmpfs and back restores every buffer" { restores rsync tmpfs; }
@test "rsync -aX to ext4 and back restores every buffer" { restores rsync ext4; }
@test "tar --xattrs to tmpfs and back restores every buffer" { restores tar tmpfs; }
@test "tar --xattrs to ext4 and back restores every buffer" { restores tar ext4; }

@test "a tar archive of the tree, extracted on the mount, restores every buffer" {
	tar -C "$TREE" --xattrs --xattrs-include='*' \
		-cf "$BATS_FILE_TMPDIR/tmpfs/tree.tar" .
	mkdir "$MNT/back"
	tar -C "$MNT/back" --xattrs --xattrs-include='*' \
		-xpf "$BATS_FILE_TMPDIR/tmpfs/tree.tar"
	same_buffers "$TREE" "$MNT/back"
	rm -r "$MNT/back"
}

@test "cp -a within the mount copies every buffer" {
	cp -a "$TREE" "$MNT/copy"
	same_buffers "$TREE" "$MNT/copy"
	rm -r "$MNT/copy"
}

@test "rsync onto what is there already restores what changed" {
	rsync -aHX "$TREE/" "$BATS_FILE_TMPDIR/tmpfs/again"
	rsync -aHX "$BATS_FILE_TMPDIR/tmpfs/again/" "$MNT/back"
	printf changed | dd of="$MNT/back/fixed" conv=notrunc status=none
	truncate -s 10 "$MNT/back/elastic-wired"
	rm "$MNT/back/contiguous"
	rsync -aHX "$BATS_FILE_TMPDIR/tmpfs/again/" "$MNT/back"
	same_buffers "$TREE" "$MNT/back"
	rm -r "$MNT/back"
}

@test "what was restored is given back: nothing stays wired or allocated" {
	cd "$MNT"
	rm -r "$TREE"
	eventually state_is . wired 0
	eventually state_is . used 0
}
