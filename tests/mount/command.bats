# The command: what it prints for people and for programs, and its exit status.
bats_require_minimum_version 1.5.0
load helper

setup_file() { mount_fs -o size=64M,reserve=0,pressure_stall=0; }
teardown_file() { unmount_fs; }

setup() {
	cd "$MNT" || return
	find . -mindepth 1 -delete
}

# json CODE: is the output JSON, and is that true in python of j, what it says?
json() {
	python3 -c "import json, sys
j = json.loads(sys.stdin.buffer.read().decode('utf-8', 'strict'))
assert $1, j" <<<"$output"
}

# on_terminal COMMAND...: its standard output and standard error are one;
# prints what it wrote there.
on_terminal() {
	python3 - "$@" <<'END'
import os, pty, sys
pid, master = pty.fork()
if pid == 0: os.execvp(sys.argv[1], sys.argv[1:])
out = b''
while True:
    try: part = os.read(master, 65536)
    except OSError: break
    if not part: break
    out += part
sys.stdout.buffer.write(out)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
END
}

# What a terminal must not get from others: names and tags.
HOSTILE=$'a\e[31mred\n"\\\t\x7f\xc2\x9bx'
SHOWN='a\x1b[31mred\x0a"\\x09\x7f\xc2\x9bx'

@test "usage errors are 2 and failures 1, on standard error, and say what to do" {
	for bad in '' nonsense 'create' 'create f' 'create f wired extra' \
		'create f wired,bogus' 'info' 'info -x' 'ls . .' 'set' 'set f' \
		'set --length lots f' 'set --direction up f' 'purgeable' \
		'purgeable f fleeting' 'top -s' 'top --sort=age' 'map' 'copy f' \
		'copy --spec=x a b' 'help nonsense' 'bench . .' '--completion tcsh'; do
		# shellcheck disable=SC2086
		run --separate-stderr iobuf $bad
		assert_failure 2
		assert_output ''
		[ -n "$stderr" ] || fail "iobuf $bad says nothing"
	done
	for bad in 'create absent/f wired' 'info absent' 'ls absent' \
		'set absent wired' 'purgeable absent' 'top absent' 'map absent' \
		'copy absent new' 'bench absent'; do
		# shellcheck disable=SC2086
		run --separate-stderr iobuf $bad
		assert_failure 1
		[[ $stderr == 'iobuf: absent'*': No such file'* ]] ||
			fail "iobuf $bad: $stderr"
	done
	run --separate-stderr iobuf create f wired,bogus
	assert_equal "${stderr_lines[0]}" \
		"iobuf: unknown token 'bogus'; \"iobuf help create\" has the words"
	assert_equal "${stderr_lines[1]}" 'usage: iobuf create FILE SPEC'
	touch full
	run --separate-stderr iobuf set full capacity=1G
	assert_failure 1
	[[ $stderr == *'No space left'*'"df" tells'* ]]
	run --separate-stderr iobuf create / wired
	assert_failure 1
	run --separate-stderr iobuf info "$BATS_TEST_TMPDIR"
	[[ $stderr == *'bufferfs DIR'* || $stderr == *'not a buffer'* ]]
}

@test "output that cannot be written is a failure" {
	iobuf create f wired,capacity=4K
	for command in 'ls' 'info f' 'info --json f' 'top' 'help' '--man'; do
		run bash -c "iobuf $command >/dev/full"
		assert_failure 1
		assert_output --partial 'No space left on device'
	done
}

@test "options may stand anywhere, and -- ends them" {
	iobuf create -- --json capacity=4K
	run iobuf info -- --json
	assert_line '--json'
	run iobuf info ./--json --json
	json 'j[0]["capacity"] == 4096'
}

@test "create does not open what it makes" {
	iobuf create f unshared,capacity=4K
	iobuf create g life=lastclose,capacity=4K
	assert_equal "$(state g life)" lastclose
	cat g >/dev/null
	eventually [ ! -e g ]
	mkdir d
	iobuf set d capacity=4K
	run iobuf create d/f wired,capacity=8K
	assert_failure 1
	assert_output --partial 'make it elsewhere'
	assert_not_exist d/f
	(umask 077 && iobuf create private capacity=4K)
	assert_equal "$(stat -c %a private)" 600
}

@test "help tells of each sub-command, its options and the words" {
	run iobuf help
	assert_success
	for command in create info ls set purgeable map copy top bench doctor; do
		assert_line --regexp "^  $command +[a-z]"
		run iobuf help $command
		assert_success
		assert_line --regexp "^usage: iobuf $command "
		assert_equal "$output" "$(iobuf $command --help)"
		run iobuf help
	done
	run iobuf help create
	assert_line --regexp '^  contiguous +one physical run'
	run iobuf --version
	assert_output "iobuf $(state . version)"
}

@test "info prints JSON whose values have types" {
	iobuf create f 'wired,capacity=8K,tag=007'
	run iobuf info --json f .
	assert_success
	json 'j[0]["path"] == "f" and j[0]["wired"] == 8192 and j[0]["pinned"] in (True, False)'
	json 'j[0]["tag"] == "007" and "capacity=8192" in j[0]["specification"]'
	json 'j[1]["mountpoint"] == "'"$MNT"'" and j[1]["worker_pid"] == '"$(worker)"
	json '[a["kind"] for a in j[1]["accounts"]] == ["total", "owner", "tag"]'
	json 'j[1]["accounts"][2]["name"] == "007"'
	run --separate-stderr iobuf info --json f absent
	assert_failure 1
	json 'len(j) == 1'
	iobuf create yes 'capacity=4K,tag=yes'
	run iobuf info --json yes
	json 'j[0]["tag"] == "yes"'
}

@test "JSON has hostile names and tags exactly" {
	iobuf create "$HOSTILE" 'capacity=4K,tag=q"\é'
	touch $'\xff\xfe' $'\xed\xa0\x80' $'\xc0\xaf' $'\xf5\x80\x80\x80'
	run iobuf ls --json
	assert_success
	json '{bytes.fromhex(f["name_hex"]) if "name_hex" in f else f["name"].encode() for f in j} == set(__import__("os").listdir(b"."))'
	[[ $output != *$'\e'* && $output != *$'\xc2\x9b'* ]]
	run iobuf info --json "$HOSTILE"
	json 'j[0]["tag"] == "q\"\\é" and "tag=q\"\\é" in j[0]["specification"]'
	run iobuf top --json
	json 'j["accounts"][2]["name"] == "q\"\\é"'
	iobuf ls --json | python3 -m json.tool >/dev/null
}

@test "nothing that cannot be seen goes out raw, to a terminal or not" {
	iobuf create "$HOSTILE" $'capacity=4K,tag=t\xc2\x9b31m\xff'
	for command in 'ls' 'info "$1"' 'top -n 1' 'create "$1" wired' \
		'info "$1"x' 'top -s "$1"' 'create f "$1"' '"$1"' 'ls "$1"'; do
		for locale in C C.UTF-8; do
			LC_ALL=$locale run on_terminal bash -c "iobuf $command" - "$HOSTILE"
			# What the command itself writes there: colours.
			seen=$(sed 's/\x1b\[[0-9]*m//g' <<<"$output" | tr -d '\r\n')
			[[ $seen =~ a ]] || fail "$command: nothing"
			if LC_ALL=C grep -qP '[\x00-\x1f\x7f]|\xc2[\x80-\x9f]|\xff' <<<"$seen"; then
				fail "iobuf $command: $(cat -v <<<"$output")"
			fi
			[[ $output != *$'\e[31mred'* ]]
		done
	done
	run iobuf ls
	assert_line --partial " $SHOWN"
}

@test "colours and rounded numbers are for terminals, and NO_COLOR is heeded" {
	iobuf create f wired,capacity=1M
	TERM=xterm run on_terminal iobuf ls
	assert_output --partial $'\e[1m'
	assert_output --regexp 'fixed +1.0M +1.0M +1.0M'
	for off in 'NO_COLOR=1' 'TERM=dumb'; do
		run on_terminal env TERM=xterm "$off" iobuf ls
		refute_output --partial $'\e'
	done
	TERM=xterm run on_terminal iobuf info f
	assert_output --regexp 'wired +1048576 \(1.0M\)'
	run iobuf ls
	refute_output --partial $'\e'
	assert_output --regexp 'fixed +1048576 +1048576 +1048576'
}

@test "ls lists buffers alone, and hidden ones when asked" {
	iobuf create b capacity=4K
	touch a .hidden
	mkdir dir
	mkfifo fifo
	ln -s b link
	run iobuf ls
	assert_equal "$(awk 'NR > 1 { print $NF }' <<<"$output" | xargs)" 'a b'
	run iobuf ls -a
	assert_equal "$(awk 'NR > 1 { print $NF }' <<<"$output" | xargs)" '.hidden a b'
	run iobuf ls --json dir
	json 'j == []'
	run iobuf ls /
	assert_failure 1
	assert_output --partial 'not on a bufferfs mount'
}

@test "looking at a buffer does not count as opening it" {
	python3 - <<'END'
import os, subprocess
fd = os.open('f', os.O_CREAT | os.O_RDWR)
os.setxattr('f', 'user.iobuf', b'capacity=4096,life=lastclose')
for command in (['ls'], ['info', 'f'], ['info', '--json', 'f'], ['top']):
    subprocess.run(['iobuf'] + command, check=True, stdout=subprocess.DEVNULL)
END
	eventually [ ! -e f ]
	iobuf create g capacity=4K
	setfattr -n user.iobuf.length -v 100 g
	run iobuf info g
	assert_line --regexp 'opens +0$'
}

@test "set gives an empty buffer and a directory a specification" {
	touch f
	iobuf set f wired,capacity=8K
	assert_equal "$(state f wired)" 8192
	run iobuf set f contiguous,capacity=8K
	assert_failure 1
	assert_output --partial 'make a new one'
	mkdir d
	iobuf set d capacity=12K
	touch d/made
	assert_equal "$(state d/made capacity)" 12288
	iobuf set --remove d
	touch d/plain
	assert_equal "$(state d/plain kind)" empty
	run iobuf set --remove d wired
	assert_failure 2
}

@test "set changes direction, length and purgeable state at any time" {
	iobuf create f purgeable,capacity=8K
	iobuf set --length 4K --direction out --purgeable volatile:group=3 f
	assert_equal "$(stat -c %s f)" 4096
	assert_equal "$(getfattr --only-values -n user.iobuf.direction f)" out
	assert_equal "$(state f purgeable)" volatile:group=3
	run iobuf set --length 1M f
	assert_failure 1
	assert_equal "$(stat -c %s f)" 4096
}

@test "purgeable tells the old state in JSON, too" {
	iobuf create f purgeable,capacity=4K
	run iobuf purgeable --json f volatile
	json 'j == {"path": "f", "old_state": "nonvolatile"}'
	run iobuf purgeable --json f
	json 'j == {"path": "f", "state": "volatile"}'
	echo x >plain
	run iobuf purgeable plain
	assert_failure 1
	assert_output 'iobuf: plain: it was not made "purgeable"'
}

@test "top prints a JSON object a line, as often as asked" {
	iobuf create f capacity=4K
	run iobuf top --json -n 2 -d 0.1
	assert_success
	assert_equal "${#lines[@]}" 2
	output=${lines[1]}
	json 'j["mountpoint"] == "'"$MNT"'" and j["accounts"][0]["asked"] == 4096'
}
