# Programs that were never told about bufferfs run on it as on tmpfs.
# With ON=tmpfs in the environment they do run on a tmpfs: what fails there too
# is a test's fault.
load helper

setup_file() {
	if [ "${ON:-}" = tmpfs ]; then
		mkdir -p "$MNT" && mount -t tmpfs programs "$MNT"
	else
		mount_fs -o allow_other,suid,size=4G
	fi
}

teardown_file() {
	if [ "${ON:-}" = tmpfs ]; then umount "$MNT"; else unmount_fs; fi
}

setup() {
	cd "$MNT" || exit
	find . -mindepth 1 -delete
}

# What a test that failed has left running would keep the mount busy.
teardown() {
	local pid
	for pid in $(jobs -p) $(cat "$MNT/holder" 2>/dev/null); do
		kill -9 "$pid" 2>/dev/null || true
	done
	cd /
}

# in_each_kind COMMAND...: in a directory of plain files, and in one whose files
# are wired, so that reads and writes of them come to the daemon.
in_each_kind() {
	mkdir "$MNT/plain" "$MNT/wired"
	[ "${ON:-}" = tmpfs ] ||
		setfattr -n user.iobuf -v wired "$MNT/wired"
	for kind in plain wired; do
		cd "$MNT/$kind" || return
		echo "in the directory $kind:"
		"$@" # not in a condition: bats would go on after what fails
		cd "$MNT" || return
	done
}

# A small tree of sources, the same everywhere.
sources() { cp -r "$SOURCE/fs" "$SOURCE/core" "$1"; }

git_works() {
	export HOME=$BATS_TEST_TMPDIR GIT_CONFIG_NOSYSTEM=1
	git init -q -b trunk repo
	cd repo || return
	git config user.name test && git config user.email test@localhost
	sources .
	git add . && git commit -q -m 'first'
	git checkout -q -b side
	git mv fs moved && echo 'more' >>core/buffer.c && ln -s core link
	git add . && git commit -q -m 'second'
	git checkout -q trunk
	[ -d fs ] && [ ! -e moved ]
	git merge -q --no-edit side
	git gc -q --prune=now --aggressive
	git fsck --strict --full
	[ -z "$(git status --porcelain)" ]
	cd .. || return
	git clone -q repo hardlinked
	git clone -q "file://$PWD/repo" packed
	for clone in hardlinked packed; do
		diff -r -x .git repo "$clone"
		git -C "$clone" fsck --strict
		git -C "$clone" checkout -q -b back HEAD~1
		[ -z "$(git -C "$clone" status --porcelain)" ]
	done
	rm -rf repo hardlinked packed
}

@test "git commits, merges, collects garbage, clones and finds its repository sound" {
	in_each_kind git_works
}

# Rows of one writer, one transaction each.
inserts() { # WRITER
	echo '.timeout 60000'
	seq -f "INSERT INTO t VALUES ($1, %.0f, hex(randomblob(200)));" 200
}

sqlite_works() {
	assert_equal "$(sqlite3 db 'PRAGMA journal_mode=WAL;
		CREATE TABLE t (writer, n, bytes, PRIMARY KEY (writer, n));')" wal
	# A reader that is connected all the time sees what two others commit.
	coproc READER { exec sqlite3 db 3>&-; }
	# shellcheck disable=SC2154
	pid=$READER_PID
	echo 'SELECT count(*) FROM t;' >&"${READER[1]}"
	read -r -t 60 count <&"${READER[0]}"
	assert_equal "$count" 0
	assert_exist db-shm
	inserts 1 | sqlite3 db 3>&- &
	first=$!
	inserts 2 | sqlite3 db
	wait $first
	printf '%s\n' 'SELECT count(*) FROM t;' 'PRAGMA integrity_check;' \
		>&"${READER[1]}"
	read -r -t 60 count <&"${READER[0]}"
	read -r -t 60 check <&"${READER[0]}"
	assert_equal "$count" 400
	assert_equal "$check" ok
	echo .quit >&"${READER[1]}"
	wait "$pid"
	assert_equal "$(sqlite3 db 'PRAGMA wal_checkpoint(TRUNCATE);
		SELECT sum(n) FROM t; VACUUM;')" "0|0|0
40200"
	assert_not_exist db-shm
	assert_not_exist db-wal
	assert_equal "$(sqlite3 db 'PRAGMA integrity_check;')" ok
}

@test "sqlite3 in WAL mode: a reader sees what two writing processes commit" {
	in_each_kind sqlite_works
}

@test "sqlite3 with a mapped database and a rollback journal" {
	assert_equal "$(sqlite3 db 'PRAGMA mmap_size=67108864;
		PRAGMA journal_mode=DELETE; CREATE TABLE t (n);
		BEGIN; INSERT INTO t VALUES (1); ROLLBACK;
		INSERT INTO t SELECT value FROM generate_series(1, 20000);
		SELECT sum(n) FROM t; PRAGMA integrity_check;')" \
		"67108864
delete
200010000
ok"
	assert_not_exist db-journal
}

lmdb_works() {
	mkdir one two copy
	seq 5000 | sed 's/.*/key-&\nvalue of &/' | mdb_load -T one
	assert_equal "$(mdb_stat one | sed -n 's/ *Entries: //p')" 5000
	mdb_dump one >one.dump
	mdb_load two <one.dump
	mdb_dump two | cmp - one.dump
	mdb_copy -c one copy
	mdb_dump copy | cmp - one.dump
}

@test "LMDB loads, dumps and copies an environment" {
	in_each_kind lmdb_works
}

lmdb_writemap_works() {
	mkdir env
	"$BATS_FILE_TMPDIR/lmdb_writemap" env 200
	assert_equal "$(mdb_stat env | sed -n 's/ *Entries: //p')" 401
	mdb_dump env >/dev/null
}

@test "LMDB through a writable shared map, by two processes in turn" {
	${CC:-cc} -O1 -o "$BATS_FILE_TMPDIR/lmdb_writemap" \
		"$BATS_TEST_DIRNAME/lmdb_writemap.c" -llmdb
	in_each_kind lmdb_writemap_works
}

dd_works() {
	head -c 3000000 /dev/urandom >"$BATS_TEST_TMPDIR/bytes"
	dd if="$BATS_TEST_TMPDIR/bytes" of=copy bs=4093 status=none
	cmp copy "$BATS_TEST_TMPDIR/bytes"
	head -c 2M /dev/urandom >aligned
	dd if=aligned of=direct bs=64K oflag=direct iflag=direct status=none
	cmp aligned direct
	dd if=aligned of=direct bs=4K count=3 oflag=append conv=notrunc status=none
	assert_equal "$(stat -c %s direct)" $((2097152 + 12288))
	tail -c 12288 direct | cmp - <(head -c 12288 aligned)
	printf middle | dd of=copy bs=1 seek=1000000 conv=notrunc status=none
	assert_equal "$(dd if=copy bs=1 skip=1000000 count=6 status=none)" middle
	assert_equal "$(stat -c %s copy)" 3000000
	dd if=/dev/zero of=synced bs=10K count=10 oflag=dsync conv=fsync status=none
	dd if=/dev/null of=sparse bs=1M seek=20 status=none
	assert_equal "$(stat -c %s sparse)" 20971520
	[ "$kind" = wired ] || assert_equal "$(stat -c %b sparse)" 0
}

@test "dd: direct, appending, in the middle, synchronous, sparse" {
	in_each_kind dd_works
}

redirections_work() {
	echo one >file
	echo two >>file
	assert_equal "$(cat file)" "one
two"
	echo three >file
	assert_equal "$(cat file)" three
	: >file
	assert [ ! -s file ]
	# Two that append at a time lose no line of each other.
	(for i in $(seq 500); do echo "left $i" >>file; done) &
	for i in $(seq 500); do echo "right $i" >>file; done
	wait $!
	assert_equal "$(sort file | uniq | wc -l)" 1000
	assert_equal "$(grep -cxE '(left|right) [0-9]+' file)" 1000
	run bash -c 'set -C; echo over >file'
	assert_failure
	exec 5<>file
	echo over >&5
	exec 5>&-
	assert_equal "$(head -n 1 file)" over
	tee -a file <<<end >/dev/null
	assert_equal "$(tail -n 1 file)" end
}

@test "the shell's >, >>, <> and noclobber" {
	in_each_kind redirections_work
}

editors_work() {
	printf '%s\n' one two three >text
	chmod 640 text
	exec 5<text
	sed -i.old 's/two/2/' text
	perl -pi -e 's/three/3/' text
	patch -s text <<'END'
--- text
+++ text
@@ -1,3 +1,4 @@
+zero
 one
 2
 3
END
	vim.tiny -es -u NONE -c 'set nocp backup backupcopy=no backupskip=' \
		-c '%s/zero/0/' -c 'wq' text </dev/null
	assert_equal "$(tr '\n' ' ' <text)" '0 one 2 3 '
	assert_equal "$(stat -c %a text)" 640
	assert_equal "$(tr '\n' ' ' <text.old)" 'one two three '
	# Whoever had it open still reads what it was.
	assert_equal "$(cat <&5 | tr '\n' ' ')" 'one two three '
	exec 5<&-
	assert_equal "$(ls -A | tr '\n' ' ')" 'text text.old text~ '
}

@test "editors that rename over: sed -i, perl -i, patch, vim" {
	in_each_kind editors_work
}

iused() { df --output=iused . | tail -n 1 | tr -d ' '; }
iused_is() { [ "$(iused)" = "$1" ]; }

@test "find, du and df count what is there" {
	free=$(df --output=avail -B1 . | tail -n 1)
	inodes=$(iused)
	mkdir -p tree/deep/deeper
	head -c 1M /dev/urandom >tree/deep/million
	truncate -s 1G tree/hole
	ln tree/deep/million tree/deep/deeper/again
	ln -s nowhere tree/dangling
	touch -d '2001-02-03 04:05:06' tree/old
	chmod 4711 tree/old
	assert_equal "$(du -s --block-size=1K tree | cut -f 1)" 1024
	assert_equal "$(du -sb --apparent-size tree/hole | cut -f 1)" 1073741824
	assert_equal "$(find tree | wc -l)" 8
	assert_equal "$(find tree -type l)" tree/dangling
	assert_equal "$(find tree -xtype l)" tree/dangling
	assert_equal "$(find tree -links 2 -type f | wc -l)" 2
	assert_equal "$(find tree -samefile tree/deep/million | wc -l)" 2
	assert_equal "$(find tree -not -newermt 2002-01-01)" tree/old
	assert_equal "$(find tree -perm -4000)" tree/old
	assert_equal "$(find tree -size +500M)" tree/hole
	assert_equal "$(find tree -empty -type f)" tree/old
	now=$(df --output=avail -B1 . | tail -n 1)
	assert [ $((free - now)) -ge 1048576 ]
	# tmpfs counts each name of a file as an inode.
	assert_equal "$(iused)" $((inodes + 8))
	rm -r tree
	# The kernel may hold on to an inode for a moment.
	eventually iused_is "$inodes"
}

cp_works() {
	truncate -s 8M holes
	echo middle | dd of=holes bs=1M seek=4 conv=notrunc status=none
	for option in --reflink=auto --reflink=never --sparse=always \
		--sparse=never --sparse=auto -a; do
		cp "$option" holes copy
		cmp holes copy
		rm copy
	done
	cp --sparse=always holes sparse
	assert [ "$(stat -c %b sparse)" -le "$(stat -c %b holes)" ]
	run cp --reflink=always holes copy
	assert_output --partial 'Operation not supported'
	rm -f copy
	echo content >file
	touch -d '2001-02-03 04:05:06.789' file
	chown nobody:nogroup file
	chmod 6751 file
	assert_equal "$(stat -c '%U %G %a %Y' file)" 'nobody nogroup 6751 981173106'
	ln file hard
	ln -s file soft
	mkdir -m 2770 dir
	mkdir into && cp -a file hard soft dir into
	for name in file dir soft; do
		assert_equal "$(stat -c '%U %G %a %y' "into/$name")" \
			"$(stat -c '%U %G %a %y' $name)"
	done
	assert_equal "$(stat -c %h into/hard)" 2
	assert_equal "$(readlink into/soft)" file
	cp -l file linked && assert [ file -ef linked ]
	cp --remove-destination holes linked && cmp holes linked
	cp -b holes file && cmp holes file && assert_equal "$(cat file~)" content
}

@test "cp: sparse, reflink=auto, hard links, attributes, backups" {
	in_each_kind cp_works
}

@test "mv, over a file, into and out of the mount; install" {
	outside=$BATS_TEST_TMPDIR/outside
	mkdir "$outside"
	echo one >one && echo two >two
	mv one two
	assert_equal "$(cat two)" one
	assert_not_exist one
	mkdir -p dir/sub && mv two dir/sub && mv dir renamed
	assert_equal "$(cat renamed/sub/two)" one
	touch -d @1000000000.5 renamed/sub/two
	before='644 root 1000000000 4'
	assert_equal "$(stat -c '%a %U %Y %s' renamed/sub/two)" "$before"
	mv renamed "$outside/"
	assert_not_exist renamed
	mv "$outside/renamed" back
	assert_equal "$(stat -c '%a %U %Y %s' back/sub/two)" "$before"
	run mv back back/sub
	assert_failure
	mkdir full && touch full/back
	run mv -T back full
	assert_output --partial 'not empty'
	install -D -m 4755 -o nobody -g nogroup back/sub/two bin/deep/two
	assert_equal "$(stat -c '%a %U %G' bin/deep/two)" '4755 nobody nogroup'
	assert_equal "$(cat bin/deep/two)" one
}

rsync_works() {
	mkdir tree && sources tree
	ln tree/fs/main.c tree/hard && ln -s fs tree/soft
	setfattr -n user.note -v kept tree/fs/main.c
	touch -d @1000000000.25 tree/fs/main.c
	rsync -aHXS tree/ copy
	diff -r tree copy
	assert_equal "$(rsync -aHXi --checksum tree/ copy)" ''
	assert_equal "$(stat -c %Y copy/fs/main.c)" 1000000000
	assert_equal "$(getfattr --only-values -n user.note copy/fs/main.c)" kept
	assert [ copy/hard -ef copy/fs/main.c ]
	head -c 1M /dev/urandom >tree/big
	rsync -a tree/ copy
	printf changed | dd of=tree/big bs=1 seek=500000 conv=notrunc status=none
	inode=$(stat -c %i copy/big)
	rsync -aI --inplace --no-whole-file tree/ copy
	cmp tree/big copy/big
	assert_equal "$(stat -c %i copy/big)" "$inode"
	echo tail >>tree/big
	rsync -a --append-verify tree/ copy
	cmp tree/big copy/big
	rm -r tree/core
	rsync -a --delete tree/ copy
	diff -r tree copy
	assert_equal "$(find copy -name '.*' -type f)" ''
}

@test "rsync: attributes, in place, appending, deleting, nothing to do twice" {
	in_each_kind rsync_works
}

tar_works() {
	mkdir tree && sources tree
	truncate -s 5M tree/holes && echo end >>tree/holes
	ln tree/holes tree/hard && ln -s holes tree/soft && mkfifo tree/fifo
	setfattr -n user.note -v kept tree/fs/main.c
	tar -czSf tree.tgz --xattrs tree
	mkdir out && tar -xpf tree.tgz --xattrs -C out
	rm tree/fifo out/tree/fifo # diff(1) would open them
	diff -r tree out/tree
	tar -df tree.tgz --exclude=fifo tree
	assert_equal "$(getfattr --only-values -n user.note out/tree/fs/main.c)" kept
	assert_equal "$(stat -c %h out/tree/hard)" 2
	cp tree.tgz plain.gz && gzip -d plain.gz && gzip -9 plain
	tar -tzf plain.gz >/dev/null
}

@test "tar and gzip: sparse files, links, xattrs" {
	in_each_kind tar_works
}

@test "python: processes share memory through a file of the mount" {
	python3 - "$MNT" <<'END'
import mmap, multiprocessing, os, struct, sys, tempfile
tempfile.tempdir = sys.argv[1]

def add(path, lock, times):
    with open(path, 'r+b') as f, mmap.mmap(f.fileno(), 0) as m:
        for _ in range(times):
            with lock:
                m[8:16] = struct.pack('q', struct.unpack('q', m[8:16])[0] + 1)

def fill(arena, index):
    arena[index] = index * index

if __name__ == '__main__':
    context = multiprocessing.get_context('fork')
    path = os.path.join(sys.argv[1], 'counter')
    with open(path, 'wb') as f:
        f.truncate(4096)
    lock = context.Lock()
    workers = [context.Process(target=add, args=(path, lock, 2000)) for _ in range(4)]
    for w in workers: w.start()
    for w in workers: w.join(); assert w.exitcode == 0
    with open(path, 'rb') as f:
        assert struct.unpack('q', f.read()[8:16])[0] == 8000

    # Its own shared arrays live in an unlinked file of the mount.
    from multiprocessing import heap
    heap.Arena._dir_candidates = [sys.argv[1]]
    array = context.Array('q', 1000)
    assert sys.argv[1] in open('/proc/self/maps').read()
    with context.Pool(2, initializer=lambda: globals().update(arena=array)) as pool:
        pass
    workers = [context.Process(target=fill, args=(array, i)) for i in range(8)]
    for w in workers: w.start()
    for w in workers: w.join()
    assert list(array[:8]) == [i * i for i in range(8)]
END
}

python_works() {
	python3 - <<'END'
import mmap, os, shutil, tempfile
data = os.urandom(1 << 20)
with open('source', 'wb') as f: f.write(data)
shutil.copyfile('source', 'copied')                      # sendfile(2)
assert open('copied', 'rb').read() == data
with open('source', 'rb') as a, open('ranged', 'wb') as b:
    left = len(data)
    while left:
        left -= os.copy_file_range(a.fileno(), b.fileno(), left)
assert open('ranged', 'rb').read() == data
with open('copied', 'r+b') as f, mmap.mmap(f.fileno(), 0) as m:
    m[4090:4100] = b'0123456789'
    m.flush()
    os.pwrite(f.fileno(), b'abc', 0)
    assert m[:3] == b'abc'
    m.resize(2 << 20)
    assert os.fstat(f.fileno()).st_size == 2 << 20
    assert m[1 << 20:] == bytes(1 << 20)
    m[-1] = 7
    assert m.find(b'0123456789') == 4090
with open('copied', 'rb') as f, mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_COPY) as m:
    assert m[-1] == 7
    m[0] = 0
    assert os.pread(f.fileno(), 1, 0) == b'a'            # a private map
with tempfile.NamedTemporaryFile(dir='.') as t, tempfile.TemporaryFile(dir='.') as u:
    t.write(data); t.flush()
    assert os.path.getsize(t.name) == len(data)
    u.write(data); u.seek(10)
    assert u.read(10) == data[10:20]
    os.posix_fallocate(u.fileno(), 0, 3 << 20)
    assert os.fstat(u.fileno()).st_size == 3 << 20
fd = os.open('vector', os.O_RDWR | os.O_CREAT)
assert os.pwritev(fd, [b'one', b'two', b'three'], 5) == 11
a, b = bytearray(4), bytearray(7)
assert os.preadv(fd, [a, b], 5) == 11 and bytes(a + b) == b'onetwothree'
shutil.copytree('.', '../tree', copy_function=shutil.copy2)
shutil.rmtree('../tree')
END
}

@test "python: copyfile, copy_file_range, mmap and resize, temporary files" {
	in_each_kind python_works
}

make_works() {
	cat >lib.c <<'END'
int answer(void);
int answer(void) { return 42; }
END
	cat >main.c <<'END'
#include <stdio.h>
int answer(void);
int main(void) { printf("%d\n", answer()); return 0; }
END
	printf 'main: main.o liblib.so\n\t$(CC) -o $@ main.o -L. -llib\n' >Makefile
	printf 'liblib.so: lib.c\n\t$(CC) -shared -fPIC -o $@ lib.c\n' >>Makefile
	make -s CC="${CC:-cc}"
	assert_equal "$(LD_LIBRARY_PATH=. ./main)" 42
	run make
	assert_output --partial 'is up to date'
	touch -d '+1 minute' lib.c
	run make -q CC="${CC:-cc}"
	assert_failure 1
	ar rcs liball.a main.o && strip main
	assert_equal "$(LD_LIBRARY_PATH=. ./main)" 42
}

@test "make, cc, ar and strip build a program and a library, and they run" {
	in_each_kind make_works
}

runs() { [ "$(readlink "/proc/$1/exe")" = "$2" ]; } # PID PROGRAM

@test "a program is executed, and is busy for writers meanwhile" {
	cp /bin/sleep sleeper
	./sleeper 1000 3>&- &
	pid=$!
	eventually runs $pid "$MNT/sleeper"
	assert_equal "$(errno_of 'os.open(m + "sleeper", os.O_WRONLY)')" ETXTBSY
	assert_equal "$(errno_of 'os.truncate(m + "sleeper", 0)')" ETXTBSY
	cp --remove-destination /bin/true sleeper
	kill $pid
	./sleeper
	exec 5>>sleeper
	run ./sleeper
	assert_failure 126
	assert_output --partial 'Text file busy'
	exec 5>&-
	printf '#!/bin/sh\necho "script $1"\n' >script
	chmod +x script
	assert_equal "$(./script runs)" 'script runs'
	chmod -x script
	run ./script
	assert_failure 126
}

@test "flock(1) lets one in at a time, and a killed holder's lock goes" {
	echo 0 >counter
	add() {
		for _ in $(seq 50); do
			flock lock sh -c 'n=$(cat counter); echo $((n + 1)) >counter'
		done
	}
	add & add & add
	wait
	assert_equal "$(cat counter)" 150
	flock lock sh -c 'echo $$ >holder; exec sleep 1000' 3>&- &
	eventually test -s holder
	run flock -n lock true
	assert_failure 1
	run flock -n -s lock true
	assert_failure 1
	kill -9 "$(cat holder)" $!
	flock lock true
	flock -s lock flock -n -s lock true
}

@test "fcntl locks exclude other processes, and end with their holder" {
	python3 - "$MNT/file" <<'END'
import fcntl, os, signal, sys
path = sys.argv[1]
f = open(path, 'w+b')
f.write(bytes(100)); f.flush()
r, w = os.pipe()
child = os.fork()
if child == 0:
    g = open(path, 'r+b')
    fcntl.lockf(g, fcntl.LOCK_EX, 10, 20)
    os.write(w, b'x')
    signal.pause()
os.read(r, 1)
for start, free in ((0, True), (20, False), (29, False), (30, True)):
    try:
        fcntl.lockf(f, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, start)
        assert free, start
    except OSError:
        assert not free, start
os.kill(child, signal.SIGKILL)
fcntl.lockf(f, fcntl.LOCK_EX)          # waits until it is gone
os.waitpid(child, 0)
END
}

@test "inotify tells of files made, written, renamed and removed" {
	mkdir watched
	coproc WATCH { exec inotifywait -q -m --format '%e %f' \
		-e create,modify,close_write,moved_from,moved_to,delete,attrib watched \
		2>"$BATS_TEST_TMPDIR/inotify" 3>&-; }
	# shellcheck disable=SC2154
	pid=$WATCH_PID
	# It says nothing when its watch is up: until it sees a first file.
	eventually sh -c "touch watched/up; rm watched/up; grep -q inotify \
		/proc/$pid/fdinfo/*"
	(
		cd watched
		echo x >file
		chmod 600 file
		mv file other
		rm other
		touch last
	)
	seen=
	while read -r -t 60 event name <&"${WATCH[0]}"; do
		[ "$name" != up ] || continue
		seen="$seen$event $name;"
		[ "$event $name" != 'CREATE last' ] || break
	done
	kill "$pid"
	assert_equal "$seen" 'CREATE file;MODIFY file;CLOSE_WRITE,CLOSE file;ATTRIB file;MOVED_FROM file;MOVED_TO other;DELETE other;CREATE last;'
}

@test "tail -f shows what another process appends" {
	echo first >log
	coproc TAIL { exec tail -n +1 -f log 3>&-; }
	# shellcheck disable=SC2154
	pid=$TAIL_PID
	read -r -t 60 line <&"${TAIL[0]}"
	assert_equal "$line" first
	echo second >>log
	read -r -t 60 line <&"${TAIL[0]}"
	assert_equal "$line" second
	kill "$pid"
}

@test "unix sockets are bound, connected to and unlinked" {
	python3 - "$MNT" <<'END'
import os, socket, stat, sys
os.chdir(sys.argv[1])
server = socket.socket(socket.AF_UNIX)
server.bind('socket')
server.listen(1)
assert stat.S_ISSOCK(os.stat('socket').st_mode)
client = socket.socket(socket.AF_UNIX)
client.connect('socket')
peer, _ = server.accept()
client.sendall(b'hello')
assert peer.recv(5) == b'hello'
try:
    socket.socket(socket.AF_UNIX).bind('socket')
    sys.exit('bound twice')
except OSError:
    pass
os.rename('socket', 'moved')
socket.socket(socket.AF_UNIX).connect('moved')
server.close()
try:
    socket.socket(socket.AF_UNIX).connect('moved')
    sys.exit('connected to nobody')
except ConnectionRefusedError:
    pass
os.unlink('moved')
END
}

@test "mkfifo: bytes go from process to process" {
	mkfifo -m 600 fifo
	assert_equal "$(stat -c '%F %a' fifo)" 'fifo 600'
	seq 20000 >fifo 3>&- &
	assert_equal "$(wc -l <fifo)" 20000
	wait $!
}

@test "sort and split use the mount for their temporary files" {
	seq 200000 | tac >numbers
	mkdir tmp
	sort -n -S 100K -T tmp -o sorted numbers
	seq 200000 | cmp - sorted
	assert_equal "$(ls tmp)" ''
	split -l 1000 -d -a 3 sorted part.
	assert_equal "$(ls part.* | wc -l)" 200
	cat part.* | cmp - sorted
}

# A boot sector that says "r" at 0x600, waits for "g" at 0x601, says "d" at 0x602.
boot_sector() {
	printf '\061\300\216\330\306\006\000\006r\200\076\001\006g\165\371\306\006\002\006d\364\353\375'
	head -c $((510 - 24)) /dev/zero
	printf '\125\252'
}

byte_is() { [ "$(dd if="$1" bs=1 skip="$2" count=1 status=none | tr -d '\0')" = "$3" ]; }

qemu_works() { # MEMORY-FILE
	qemu-system-x86_64 -nodefaults -display none -accel tcg -m 64M \
		-object "memory-backend-file,id=ram,share=on,mem-path=$1,size=64M" \
		-machine q35,memory-backend=ram \
		-drive file=boot,format=raw,if=ide 3>&- &
	pid=$!
	eventually byte_is "$1" 1536 r
	printf g | dd of="$1" bs=1 seek=1537 conv=notrunc status=none
	eventually byte_is "$1" 1538 d
	kill $pid
	wait $pid || true
}

@test "qemu: a guest's memory is a file of the mount, and both sides see it" {
	command -v qemu-system-x86_64 >/dev/null ||
		skip 'QEMU IS NOT INSTALLED: scripts/deps installs it'
	{ boot_sector; head -c 1M /dev/zero; } >boot
	qemu_works "$MNT/elastic"
	[ "${ON:-}" != tmpfs ] || return 0
	spec fixed 'wired,capacity=64M'
	qemu_works "$MNT/fixed"
	assert_equal "$(state fixed kind)" fixed
}
