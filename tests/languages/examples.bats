# The examples: a ring and a triple buffer between C and Python, each way.
load ../mount/helper

C=$BUILD/bin
EXAMPLES=$SOURCE/core/examples
export PYTHONPATH=$SOURCE/core/python PYTHONDONTWRITEBYTECODE=1

setup_file() { mount_fs -o size=64M; }
teardown_file() { unmount_fs; }
setup() { cd "$MNT" || exit; }

# program NAME LANGUAGE: how an example is started in it.
program() {
	case $2 in
	c) echo "$C/example_$1" ;;
	python) echo "python3 $EXAMPLES/$1.py" ;;
	esac
}

# both EXAMPLE ONE OTHER ARGUMENTS-OF-ONE -- ARGUMENTS-OF-OTHER: run an example in two
# languages at once; prints what the other one does.
both() {
	local one other pid arguments=()
	one=$(program "$1" "$2")
	other=$(program "$1" "$3")
	shift 3
	while [ "$1" != -- ]; do
		arguments+=("$1")
		shift
	done
	shift
	# shellcheck disable=SC2086
	timeout 120 $one "${arguments[@]}" <"${INPUT:-/dev/null}" 3>&- &
	pid=$!
	# shellcheck disable=SC2086
	timeout 120 $other "$@"
	wait "$pid"
}

pairs() { # FUNCTION: of each two languages
	for one in c python; do
		for other in c python; do
			"$1" $one $other
		done
	done
}

send_lines() {
	run cmp <(INPUT=$BATS_TEST_TMPDIR/lines both ring "$1" "$2" send lines -- \
		receive lines) "$BATS_TEST_TMPDIR/lines"
	assert_success
	assert_not_exist lines
}

# More of them than fit: each side has to wait for the other.
@test "lines go through a ring, from C and Python to C and Python" {
	seq 5000 >"$BATS_TEST_TMPDIR/lines"
	pairs send_lines
}

show_pictures() {
	run both latest "$1" "$2" camera camera 40 -- viewer camera
	assert_success
	assert_line --partial 'picture 40, whole'
	refute_output --partial torn
	# Each picture is seen once, and in order.
	assert_equal "$(awk '{ print $2 }' <<<"${output//,/}" | sort -nuc 2>&1)" ''
	assert_not_exist camera
}

@test "the latest picture is whole, from C and Python to C and Python" {
	pairs show_pictures
}

measure() {
	for way in spin sleep; do
		# Few rounds: two that spin on a busy CPU wait for each other long.
		run both latency "$1" "$2" pong pair $way -- ping pair $way 300
		assert_success
		assert_output --regexp '^[0-9]+\.[0-9]+$'
		echo "# $2, $1 and back, $way: $output us" >&3
	done
}

@test "a message comes back through two rings, between C and Python" {
	pairs measure
}
