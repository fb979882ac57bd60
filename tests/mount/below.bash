# shellcheck shell=bash
# below.bash - a pool that hangs when it is told to: another bufferfs, whose
# worker is stopped. A request on $MNT waits for it for as long as a test wants.

BELOW=$BATS_FILE_TMPDIR/below

# mount_over_below OPTIONS: mount on $MNT, with a pool in $BELOW.
mount_over_below() {
	mkdir -p "$BELOW"
	"$BUILD/bin/bufferfs" -o size=64M,watchdog=0 "$BELOW"
	mkdir "$BELOW/pool"
	mount_fs -o "pool=$BELOW/pool,$1"
	BELOW_WORKER=$(state "$BELOW" worker_pid)
}

hang() { kill -STOP "$BELOW_WORKER"; }
go_on() { kill -CONT "$BELOW_WORKER"; }

unmount_below() {
	[ -z "${BELOW_WORKER-}" ] || go_on 2>/dev/null || true
	unmount_fs
	umount "$BELOW" 2>/dev/null || umount -l "$BELOW" 2>/dev/null || true
}
