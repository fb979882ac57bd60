# The house itself: layers, headers, what is exported and installed.
load helper

@test "each public header compiles alone" {
	for header in "$SOURCE"/core/include/iobuf/*.h; do
		for language in c c++; do
			echo "#include <iobuf/$(basename "$header")>" |
				"${CC:-cc}" -x "$language" -fsyntax-only -Wall \
					-Werror -I"$SOURCE/core/include" -
		done
	done
}

@test "core knows nothing of fs or FUSE" {
	run grep -rnE '#include .*(fuse|bfs|fs/)' "$SOURCE/core"
	assert_failure 1
}

@test "fs knows nothing of mlock, pagemap or cache lines" {
	run grep -nE '\b(mlock2?|munlock|clflush|clwb|MADV_[A-Z]+)\b|/pagemap' \
		"$SOURCE"/fs/*.[ch]
	assert_failure 1
}

@test "only what runs the session or replies includes a FUSE header" {
	run grep -lE '#include .*(fuse_lowlevel\.h|ops\.h)' "$SOURCE"/fs/*.[ch]
	for file in $output; do
		[[ $(basename "$file") =~ ^(ops.*|notify\.c|session\.c|serve\.c|worker\.c)$ ]] ||
			fail "$file includes a FUSE header"
	done
}

@test "libiobuf.so exports what its headers declare, and nothing else" {
	# Header only: nothing of it is in the library.
	headers=$(grep -LE '^static inline' "$SOURCE"/core/include/iobuf/*.h)
	# shellcheck disable=SC2086
	declared=$(grep -hoE '\biobuf_[a-z_]+\(|extern const struct iobuf_spec iobuf_[a-z_]+' \
		$headers | grep -oE 'iobuf_[a-z_]+(\(|$)' |
		tr -d '(' | sort -u)
	exported=$(nm -D --defined-only "$BUILD/lib/libiobuf.so" |
		awk '$2 ~ /[TDRB]/ { print $3 }' | sed 's/@.*//' | sort -u)
	assert_equal "$exported" "$declared"
}

# man_part NAME: what the manual page has between the markers of NAME, as text.
man_part() {
	sed -n "/^\.\\\\\" $1 begins/,/^\.\\\\\" $1 ends/p" \
		"$SOURCE/core/man/iobuf.3" | sed '/^\./d; s/\\e/\\/g'
}

@test "the example of the manual page compiles, runs, and prints what it says" {
	man_part example >"$BATS_TEST_TMPDIR/example.c"
	"${CC:-cc}" ${SANITIZED:-} -Wall -Wextra -Werror "$BATS_TEST_TMPDIR/example.c" \
		-I"$SOURCE/core/include" -L"$BUILD/lib" -liobuf \
		-o "$BATS_TEST_TMPDIR/example"
	LD_LIBRARY_PATH=$BUILD/lib run "$BATS_TEST_TMPDIR/example"
	assert_success
	assert_output "$(man_part output)"
	[ -n "$output" ]
}

@test "the manual page has a prototype and a line for each public function" {
	page=$SOURCE/core/man/iobuf.3
	exported=$(nm -D --defined-only "$BUILD/lib/libiobuf.so" |
		awk '$2 == "T" { print $3 }' | sed 's/@.*//' | sort -u)
	prototypes=$(sed -nE 's/^\.F[no] (iobuf_[a-z_]+)( "[^"]+ .*)?$/\1/p' \
		<(sed '/^\.Sh DESCRIPTION/,$d' "$page") | sort -u)
	assert_equal "$prototypes" "$exported"
	for name in $exported; do
		sed '1,/^\.Sh DESCRIPTION/d' "$page" |
			grep -qE "\bFn $name\b" || fail "$name is not described"
	done
}

@test "the manual page is well-formed" {
	command -v groff >/dev/null || skip "groff is missing"
	run groff -mandoc -ww -z "$SOURCE/core/man/iobuf.3"
	assert_success
	assert_output ''
}

@test "install puts everything under DESTDIR" {
	DESTDIR=$BATS_TEST_TMPDIR cmake --install "$BUILD" --prefix /usr >/dev/null
	for file in bin/bufferfs bin/iobuf include/iobuf/iobuf.h \
		include/iobuf/spec.h share/man/man3/iobuf.3; do
		assert_exist "$BATS_TEST_TMPDIR/usr/$file"
	done
	pc=$(find "$BATS_TEST_TMPDIR/usr" -name libiobuf.pc)
	assert_exist "$pc"
	cat >"$BATS_TEST_TMPDIR/x.c" <<'END'
#include <iobuf/iobuf.h>
int main(void)
{
	struct iobuf_spec spec = iobuf_spec_default;
	struct iobuf *buffer;
	spec.capacity = 4096;
	spec.given = IOBUF_GIVEN_CAPACITY;
	if (iobuf_create(&spec, &buffer, 0) < 0)
		return 1;
	iobuf_release(buffer);
	return 0;
}
END
	lib=$(dirname "$(find "$BATS_TEST_TMPDIR/usr" -name libiobuf.so)")
	"${CC:-cc}" ${SANITIZED:-} "$BATS_TEST_TMPDIR/x.c" -I"$BATS_TEST_TMPDIR/usr/include" \
		-L"$lib" -liobuf -o "$BATS_TEST_TMPDIR/x"
	LD_LIBRARY_PATH=$lib "$BATS_TEST_TMPDIR/x"
}

@test "no source is over 600 lines" {
	run find "$SOURCE/core" "$SOURCE/fs" -name '*.[ch]' -exec \
		awk 'END { if (NR > 600) print FILENAME, NR }' {} \;
	assert_output ''
}
