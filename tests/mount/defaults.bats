# What a specification does not mention: the directory's defaults, the mount's.
load helper

setup_file() { mount_fs -o allow_other,options=wired,inout,shared,tag=mounted; }
teardown_file() { unmount_fs; }
setup() { cd "$MNT" || exit; }

@test "a new file has the mount's defaults" {
	touch new
	assert_equal "$(getfattr --only-values -n user.iobuf.options new)" \
		'wired,inout,shared'
	assert_equal "$(getfattr --only-values -n user.iobuf.tag new)" mounted
	run getfattr -d new
	refute_output --partial user.iobuf
}

@test "what a specification names wins over the defaults, the rest is theirs" {
	spec mixed 'pageable,capacity=4096'
	assert_equal "$(getfattr --only-values -n user.iobuf mixed)" \
		'pageable,inout,shared,capacity=4096,align=4096,tag=mounted,length=4096'
}

@test "a directory's defaults win over the mount's" {
	mkdir dir
	setfattr -n user.iobuf -v 'pageable,unshared' dir
	touch dir/file
	assert_equal "$(getfattr --only-values -n user.iobuf.options dir/file)" \
		'pageable,inout,unshared'
}

@test "a default capacity allocates at creation" {
	mkdir sized
	setfattr -n user.iobuf -v 'wired,capacity=64K' sized
	touch sized/file
	assert_equal "$(state sized/file kind)" fixed
	assert_equal "$(state sized/file wired)" 65536
	assert_equal "$(stat -c %s sized/file)" 65536
}

@test "a new subdirectory copies its parent's defaults, which then are its own" {
	mkdir -p top
	setfattr -n user.iobuf -v 'wired,tag=top' top
	mkdir top/sub
	setfattr -n user.iobuf -v 'pageable,tag=changed' top
	touch top/sub/file
	assert_equal "$(getfattr --only-values -n user.iobuf.tag top/sub/file)" top
	touch top/file
	assert_equal "$(getfattr --only-values -n user.iobuf.tag top/file)" changed
}

@test "removing a directory's defaults restores the mount's" {
	mkdir restored
	setfattr -n user.iobuf -v 'pageable,tag=own' restored
	setfattr -x user.iobuf restored
	touch restored/file
	assert_equal "$(getfattr --only-values -n user.iobuf.tag restored/file)" mounted
	run setfattr -x user.iobuf restored
	assert_output --partial 'No such attribute'
}

@test "removing a file's specification restores what it was made with" {
	touch back
	setfattr -n user.iobuf -v 'pageable,tag=own' back
	setfattr -x user.iobuf back
	assert_equal "$(getfattr --only-values -n user.iobuf.options back)" \
		'wired,inout,shared'
}
