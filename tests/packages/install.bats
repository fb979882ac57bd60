# The packages in a clean Debian: install, use, upgrade, run by systemd, remove. The
# tests follow one another in one tree. The Debian is made by debootstrap once, from
# the archive of this machine, and kept in ~/.cache/bufferfs; PACKAGES is where
# packages are that were made before.
load ../mount/helper

# What programs are built and services run by; nothing that bufferfs needs.
INCLUDE=gcc,libc6-dev,pkg-config,systemd-sysv,attr

not_tested() { # WHY
	echo "# NOT TESTED: $1" >&3
	skip "NOT TESTED: $1"
}

# The archive that this machine uses for Debian's own packages.
main_archive() {
	apt-get indextargets --format '$(ORIGIN) $(LABEL) $(REPO_URI)' \
		'Created-By: Packages' |
		awk '$1 == "Debian" && $2 == "Debian" { print $3; exit }'
}

# A clean Debian of this machine's suite, in $IMAGE.
make_image() {
	local suite archive
	suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
	IMAGE=${XDG_CACHE_HOME:-$HOME/.cache}/bufferfs/debian-$suite
	[ ! -d "$IMAGE" ] || return 0
	archive=$(main_archive)
	[ -n "$archive" ] || not_tested 'no Debian archive is set up for apt'
	rm -rf "$IMAGE.new"
	debootstrap --variant=minbase --include=$INCLUDE "$suite" "$IMAGE.new" \
		"$archive" >"$BATS_FILE_TMPDIR/debootstrap" 2>&1 3>&- || {
		rm -rf "$IMAGE.new"
		tail -n 3 "$BATS_FILE_TMPDIR/debootstrap" | sed 's/^/# /' >&3
		not_tested 'no clean Debian can be made here'
	}
	mv "$IMAGE.new" "$IMAGE"
}

setup_file() {
	[ "$(id -u)" = 0 ] || not_tested 'chroot(2) takes root'
	for tool in debootstrap dpkg-deb lintian; do
		command -v $tool >/dev/null ||
			not_tested "$tool is missing: scripts/deps --packages"
	done
	make_image
	if [ -z "${PACKAGES:-}" ]; then
		BUFFERFS_PACKAGE_BUILD=$BATS_FILE_TMPDIR/build \
			"$SOURCE/scripts/package" >"$BATS_FILE_TMPDIR/package" 2>&1 3>&- ||
			{ cat "$BATS_FILE_TMPDIR/package" >&2; return 1; }
		PACKAGES=$BATS_FILE_TMPDIR/build/packages
	fi
	export ROOT=$BATS_FILE_TMPDIR/root
	mkdir -p "$ROOT" "$BATS_FILE_TMPDIR/upper" "$BATS_FILE_TMPDIR/work"
	mount -t overlay -o "lowerdir=$IMAGE,upperdir=$BATS_FILE_TMPDIR/upper,workdir=$BATS_FILE_TMPDIR/work" \
		clean "$ROOT"
	mkdir -p "$ROOT/packages"
	cp "$PACKAGES"/*.deb "$ROOT/packages"
}

teardown_file() {
	[ -n "${ROOT:-}" ] || return 0
	umount "$ROOT" 2>/dev/null || umount -l "$ROOT"
}

# inside SCRIPT: run it in the clean Debian, with file systems that end with it.
inside() {
	unshare --mount --propagation private sh -euc '
		mount -t proc proc "$ROOT/proc"
		mount --rbind /dev "$ROOT/dev"
		mount -t sysfs sysfs "$ROOT/sys"
		mount -t tmpfs tmpfs "$ROOT/run"
		export DEBIAN_FRONTEND=noninteractive LC_ALL=C
		exec chroot "$ROOT" /bin/sh -euc "$1"' sh '
		state() {
			getfattr --absolute-names --only-values -n user.iobuf.state "$1" |
				sed -n "s/^$2=//p"
		}
		not() { ! "$@" || return 1; } # `!` alone ends nothing
		down() {
			holder=$(state /mnt holder_pid 2>/dev/null)
			[ -n "$holder" ] || return 0
			exec 4<&-
			umount /mnt 2>/dev/null || umount -l /mnt
			while kill -0 "$holder" 2>/dev/null; do sleep 0.05; done
		}
		trap down EXIT
		'"$1" 3>&-
}

@test "packages install with what they depend on, and nothing else is asked for" {
	run inside 'apt-get install -qy --no-install-recommends /packages/*.deb'
	if [ $status != 0 ] && [[ $output == *'Failed to fetch'* ]]; then
		not_tested 'the archive cannot be reached'
	fi
	assert_success
	refute_output --partial 'dpkg: warning'
	run inside 'bufferfs --version; iobuf help >/dev/null; dpkg --audit'
	assert_success
	assert_output --regexp '^bufferfs [0-9.]+$'
}

@test "a program is built by pkg-config, shared and static, and runs" {
	cat >"$ROOT/root/x.c" <<'END'
#include <iobuf/iobuf.h>
#include <stdio.h>
int main(void)
{
	struct iobuf_spec spec = iobuf_spec_default;
	struct iobuf *buffer;

	spec.capacity = 65536;
	spec.given = IOBUF_GIVEN_CAPACITY;
	if (iobuf_create(&spec, &buffer, 0) < 0)
		return 1;
	printf("%llu\n", (unsigned long long)iobuf_get_capacity(buffer));
	iobuf_release(buffer);
	return 0;
}
END
	run inside '
		cd /root
		cc -Wall -Werror x.c $(pkg-config --cflags --libs libiobuf) -o shared
		./shared
		cc -Wall -Werror -static x.c \
			$(pkg-config --static --cflags --libs libiobuf) -o static
		./static
		readelf -d shared | grep -o "libiobuf.so[.0-9]*"'
	assert_success
	assert_output $'65536\n65536\nlibiobuf.so.0'
}

@test "mount(8) mounts there, and buffers are what they are elsewhere" {
	run inside '
		mount -t fuse.bufferfs -o size=64M frames /mnt
		touch /mnt/file
		setfattr -n user.iobuf -v wired,capacity=1M /mnt/file
		state /mnt/file wired
		state /mnt datapath'
	assert_success
	assert_output $'1048576\npassthrough'
}

@test "an upgrade leaves mounts as they are, served by the new binary" {
	run inside '
		mount -t fuse.bufferfs frames /mnt
		echo kept >/mnt/file
		exec 4</mnt/file
		dpkg --unpack /packages/bufferfs_*.deb
		worker=$(state /mnt worker_pid) holder=$(state /mnt holder_pid)
		dpkg --configure bufferfs
		[ "$(state /mnt worker_pid)" != "$worker" ]
		[ "$(state /mnt holder_pid)" = "$holder" ]
		cat <&4
		exec 4<&-'
	assert_success
	assert_line --index -1 kept
}

@test "an upgrade asks nothing of what an ordinary user has mounted" {
	run inside '
		mount -t fuse.bufferfs frames /mnt
		mkdir -p /srv/users /root/bin
		exec 5<>/dev/fuse # nobody answers
		mount -i -t fuse.bufferfs \
			-o fd=5,rootmode=40000,user_id=65534,group_id=65534 users /srv/users
		printf "#!/bin/sh\necho \$@ >>/root/calls\nexec /usr/bin/bufferfs \$@\n" \
			>/root/bin/bufferfs
		chmod +x /root/bin/bufferfs
		dpkg --unpack /packages/bufferfs_*.deb
		PATH=/root/bin:$PATH dpkg --configure bufferfs
		umount -l /srv/users
		exec 5<&-
		cat /root/calls'
	assert_success
	assert_line --index -1 -- '--reload /mnt'
	refute_output --partial /srv/users
}

@test "systemd mounts by the unit, reloads, restarts what was killed, unmounts" {
	command -v systemd-nspawn >/dev/null ||
		not_tested 'systemd-nspawn is missing: scripts/deps --packages'
	cp "$SOURCE/tests/packages/by_systemd" "$ROOT/root/"
	cat >"$ROOT/etc/systemd/system/check.service" <<'END'
[Unit]
After=basic.target
SuccessAction=poweroff-force
FailureAction=poweroff-force
[Service]
Type=oneshot
ExecStart=/root/by_systemd
StandardOutput=file:/root/out
StandardError=file:/root/errors
TimeoutStartSec=120
END
	timeout 180 systemd-nspawn --quiet --directory "$ROOT" --register=no \
		--keep-unit --bind=/dev/fuse --capability=all --boot \
		systemd.unit=check.service >"$BATS_TEST_TMPDIR/console" 2>&1 \
		3>&- </dev/null || true
	if [ ! -e "$ROOT/root/out" ]; then
		tail -n 5 "$BATS_TEST_TMPDIR/console" | sed 's/^/# /' >&3
		not_tested 'systemd does not start in a container here'
	fi
	run cat "$ROOT/root/out"
	assert_line --index -1 'all of it' || { cat "$ROOT/root/errors" >&2; false; }
}

@test "packages are removed without a trace" {
	run inside '
		dpkg -L bufferfs libiobuf0 libiobuf-dev | sort -u >/root/files
		dpkg --purge bufferfs libiobuf0 libiobuf-dev
		not dpkg -s bufferfs libiobuf0 libiobuf-dev 2>/dev/null
		while read -r file; do
			[ -d "$file" ] || [ ! -e "$file" ] || echo "left: $file"
		done </root/files
		[ ! -e /usr/share/doc/bufferfs ] && [ ! -e /usr/include/iobuf ]
		ldconfig -p | grep libiobuf || true'
	assert_success
	refute_output --partial left:
	refute_output --partial libiobuf.so
	refute_output --partial 'not empty'
}
