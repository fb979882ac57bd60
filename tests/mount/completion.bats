# What the command writes of itself: its manual, and completions of three shells.
load helper

setup_file() {
	iobuf --completion bash >"$BATS_FILE_TMPDIR/iobuf.bash"
	iobuf --completion zsh >"$BATS_FILE_TMPDIR/_iobuf"
	iobuf --completion fish >"$BATS_FILE_TMPDIR/iobuf.fish"
	mkdir "$BATS_FILE_TMPDIR/dir"
	touch "$BATS_FILE_TMPDIR/dir/file"
	mkdir "$BATS_FILE_TMPDIR/dir/folder"
}

setup() { cd "$BATS_FILE_TMPDIR/dir" || return; }

# bash_completes LINE: what bash offers at its end, a word each.
bash_completes() {
	bash -c '. "$1"
		COMP_LINE=$2 COMP_POINT=${#2}
		_iobuf
		echo ${COMPREPLY[*]}' - "$BATS_FILE_TMPDIR/iobuf.bash" "$1"
}

fish_completes() {
	HOME=$BATS_TEST_TMPDIR fish --no-config -c "source $BATS_FILE_TMPDIR/iobuf.fish
		complete -C '$1'" | cut -f 1 | xargs
}

# zsh_completes LINE: in a zsh on a terminal, the line after a Tab.
zsh_completes() {
	python3 - "$BATS_FILE_TMPDIR/_iobuf" "$1" <<'END'
import os, pty, re, select, sys
script, line = sys.argv[1:]
pid, master = pty.fork()
if pid == 0:
    os.environ.update(TERM='dumb', PS1='', COLUMNS='200')
    os.execvp('zsh', ['zsh', '-f'])
out = b''
def until(mark):
    global out
    while mark not in out:
        if not select.select([master], [], [], 60)[0]: sys.exit('nothing comes: %r' % out)
        out += os.read(master, 65536)
def say(text): os.write(master, text.encode())
# The line as it is after the completion, from zsh itself.
say('unsetopt zle_bracketed_paste 2>/dev/null; autoload -Uz compinit; compinit -u -D; source ' + script + '\n')
say('show() { print -r -- "<""<$BUFFER>"">"; BUFFER=; zle accept-line }; zle -N show; bindkey "^Xs" show; bindkey "^I" complete-word\n')
say('print rea""dy\n')
until(b'ready')
say(line + '\t\x18s')
until(b'>>')
print(re.search(rb'<<(.*?)>>', out, re.S)[1].decode())
say('exit\n')
os.waitpid(pid, 0)
END
}

need() { command -v "$1" >/dev/null || skip "$1 is missing"; }

@test "the completions are what their shells can read" {
	bash -n "$BATS_FILE_TMPDIR/iobuf.bash"
	if command -v shellcheck >/dev/null; then
		shellcheck -s bash -S warning "$BATS_FILE_TMPDIR/iobuf.bash"
	fi
	need zsh
	zsh -n "$BATS_FILE_TMPDIR/_iobuf"
	need fish
	fish --no-config -n "$BATS_FILE_TMPDIR/iobuf.fish"
}

@test "bash completes commands, options, files and the words of each" {
	while IFS='|' read -r line words; do
		assert_equal "$line: $(bash_completes "$line")" "$line: $words"
	done <<-'END'
		iobuf cr|create
		iobuf help b|bench
		iobuf map --o|--offset
		iobuf create fi|file
		iobuf create f wired,con|wired,contiguous
		iobuf create f wired,cache=wr|writethru writecombine
		iobuf create f task=|kernel self
		iobuf create f life=l|lastclose
		iobuf create f wired |
		iobuf ls |folder
		iobuf info --json file |file folder
		iobuf purgeable f v|volatile
		iobuf top -s wi|wired
		iobuf top --sort=wi|wired
		iobuf set --direction i|in inout
		iobuf map --offset 4K fi|file
		iobuf copy -s wired,ali|wired,align=
	END
}

@test "fish completes the same" {
	need fish
	while IFS='|' read -r line words; do
		assert_equal "$line: $(fish_completes "$line")" "$line: $words"
	done <<-'END'
		iobuf cr|create
		iobuf help b|bench
		iobuf map --o|--offset
		iobuf create fi|file
		iobuf create f wired,con|wired,contiguous
		iobuf create f life=l|life=lastclose
		iobuf ls |folder/
		iobuf purgeable f v|volatile
		iobuf top -s wi|wired
		iobuf top --sort=wi|--sort=wired
		iobuf map --offset 4K fi|file
		iobuf copy --spec=wired,ali|--spec=wired,align=
	END
}

@test "zsh completes the same" {
	need zsh
	while IFS='|' read -r line after; do
		assert_equal "$line: $(zsh_completes "$line")" "$line: $after"
	done <<-'END'
		iobuf cre|iobuf create 
		iobuf create f wired,con|iobuf create f wired,contiguous
		iobuf top --sort=wi|iobuf top --sort=wired 
		iobuf map --off|iobuf map --offset=
		iobuf create fi|iobuf create file 
		iobuf purgeable f vol|iobuf purgeable f volatile 
	END
}

@test "every word of the library completes, in all three" {
	words=$(iobuf help create | sed -nE '/^A SPEC/,/^$/s/^  ([a-z]+=?).*/\1/p' | sort -u)
	[ "$(wc -l <<<"$words")" -gt 15 ]
	for word in $words; do
		for file in iobuf.bash _iobuf iobuf.fish; do
			grep -q -e "$word" "$BATS_FILE_TMPDIR/$file" ||
				fail "$word is not in $file"
		done
	done
}

@test "the manual has each sub-command, option and word, and is well-formed" {
	iobuf --man >"$BATS_TEST_TMPDIR/iobuf.1"
	for command in $(iobuf help | sed -nE '/^$/,/^"/s/^  ([a-z]+) .*/\1/p'); do
		[ "$command" != pageable ] || break
		grep -qx ".Ss iobuf $command" "$BATS_TEST_TMPDIR/iobuf.1" ||
			fail "$command is not in the manual"
		for option in $(iobuf help "$command" |
			grep -oE '^  .{4}--[a-z]+' | grep -oE -- '[a-z]+$'); do
			grep -q "Fl .-$option" "$BATS_TEST_TMPDIR/iobuf.1" ||
				fail "--$option is not in the manual"
		done
	done
	grep -qxF '.It "capacity=N[K|M|G]"' "$BATS_TEST_TMPDIR/iobuf.1"
	need groff
	run groff -mandoc -ww -z "$BATS_TEST_TMPDIR/iobuf.1"
	assert_success
	assert_output ''
}

@test "they are installed where their shells look" {
	DESTDIR=$BATS_TEST_TMPDIR cmake --install "$BUILD" --prefix /usr >/dev/null
	share=$BATS_TEST_TMPDIR/usr/share
	cmp "$share/bash-completion/completions/iobuf" "$BATS_FILE_TMPDIR/iobuf.bash"
	cmp "$share/zsh/vendor-completions/_iobuf" "$BATS_FILE_TMPDIR/_iobuf"
	cmp "$share/fish/vendor_completions.d/iobuf.fish" "$BATS_FILE_TMPDIR/iobuf.fish"
	assert_exist "$share/man/man1/iobuf.1"
}
