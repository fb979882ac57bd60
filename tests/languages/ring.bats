# Every language: programs in each make buffers, map them, and pass a counter round
# through one page that all share.
load ../mount/helper

ROUNDS=50
BYTES=65536

# A language is a row: its name; the specification of the buffer that it makes; how
# much of it is wired; what tells that the toolchain is there; how it is built; how it
# is run. $out is for what is built, $python has numpy.
languages() {
	cat <<'END'
c|wired,capacity=64K|65536|"$cc" --version|"$cc" -O2 turn.c -o $out/c|$out/c
c++|wired,contiguous,capacity=64K|65536|g++ --version|g++ -std=c++20 -O2 turn.cc -o $out/c++|$out/c++
python|capacity=64K|0|python3 --version|:|python3 turn.py
numpy|wired,inout,shared,capacity=64K|65536|$python -c "import numpy"|:|$python turn_numpy.py
multiprocessing|wired,align=4K,capacity=64K|65536|python3 --version|:|python3 turn_multiprocessing.py
perl|purgeable,capacity=64K|0|perl -MSys::Mmap -e 1|:|perl turn.pl
node.js|wired,capacity=64K|65536|node --version|:|node turn.js
java|wired,cache=writecombine,capacity=64K|65536|javac --version|javac -d $out Turn.java|java -cp $out Turn
rust|pageable,capacity=64K|0|rustc --version|rustc --edition 2021 -O turn.rs -o $out/rust|$out/rust
go|wired,life=unlink,capacity=64K|65536|go version|go build -o $out/go turn.go|$out/go
END
}

# there COMMAND: whether a toolchain is.
there() { (cd "$SOURCE/tests/languages" && eval "$1") >/dev/null 2>&1 </dev/null; }

find_python() {
	for python in python3 /usr/bin/python3; do
		! there "$python -c 'import numpy'" || return 0
	done
}

setup_file() {
	export out=$BATS_FILE_TMPDIR/out cc=${CC:-cc} python missing=
	# No compiled modules in the source.
	export PYTHONDONTWRITEBYTECODE=1
	mkdir "$out"
	find_python
	cd "$SOURCE/tests/languages" || return
	while IFS='|' read -r name spec wired check build run; do
		if ! there "$check"; then
			missing="$missing $name"
			echo "# no $name here, or not all that it takes:" \
				"the ring goes on without it" >&3
			continue
		fi
		eval "$build" </dev/null
		echo "$name|$spec|$wired|$run" >>"$out/ring"
	done < <(languages)
	mount_fs -o size=64M
}
teardown_file() { unmount_fs; }
setup() { cd "$SOURCE/tests/languages" || exit; }

# Start each member of the ring; wait until all have ended, or one has failed.
run_ring() {
	local name spec run ended index=0
	local -A running=()
	while IFS='|' read -r name spec _ run; do
		eval "exec timeout -k 5 120 $run" '"$MNT" "$name" "$spec,tag=$name"' \
			'$index $members $ROUNDS' >"$out/$name.log" 2>&1 </dev/null 3>&- &
		running[$!]=$name
		index=$((index + 1))
	done <"$out/ring"
	while [ ${#running[@]} -gt 0 ]; do
		if ! wait -n -p ended "${!running[@]}"; then
			kill "${!running[@]}" 2>/dev/null || true
			tail -n 20 "$out"/*.log >&2
			fail "${running[$ended]} failed"
		fi
		unset "running[$ended]"
	done
}

# expected INDEX BEFORE: the log of a member: whose turn it was, and who had the one
# before.
expected() {
	local turn counter before
	for ((turn = 0; turn < ROUNDS; turn++)); do
		counter=$((turn * members + $1))
		before=$2
		[ $counter -gt 0 ] || before=
		printf '%-15d%-16s\n' $counter "$before"
	done
}

check_member() { # NAME WIRED INDEX BEFORE
	assert_equal "$1 $(state "$MNT/$1" kind)" "$1 fixed"
	assert_equal "$1 $(state "$MNT/$1" capacity)" "$1 $BYTES"
	assert_equal "$1 $(state "$MNT/$1" wired)" "$1 $2"
	assert_equal "$1 $(state "$MNT/$1" tag)" "$1 $1"
	assert_equal "$(head -c $((ROUNDS * 32)) "$MNT/$1")" "$(expected "$3" "$4")"
}

@test "a counter goes round through a page by processes in every language" {
	members=$(wc -l <"$out/ring")
	spec "$MNT/page" 'wired,capacity=4K'
	run_ring
	assert_equal "$(od -An -tu4 -N4 "$MNT/page" | tr -d ' ')" \
		$((ROUNDS * members))
	before=$(tail -n 1 "$out/ring" | cut -d '|' -f 1)
	index=0
	while IFS='|' read -r name _ wired _; do
		check_member "$name" "$wired" $index "$before"
		before=$name
		index=$((index + 1))
	done <"$out/ring"
}

@test "no toolchain is missing" {
	[ -z "$missing" ] || skip "without$missing: see scripts/deps --languages"
}
