# Debian packages by CPack, one for each component of the install rules:
# scripts/package makes them. libfuse is linked statically where scripts/deps built
# it, because Debian 12 has none that is new enough; else it becomes a dependency.
set(debian ${CMAKE_CURRENT_LIST_DIR})
set(packages bufferfs libiobuf0 libiobuf-dev)

configure_file(${debian}/changelog.in changelog @ONLY)
configure_file(${debian}/copyright copyright COPYONLY)
foreach(package ${packages})
	install(FILES ${CMAKE_BINARY_DIR}/changelog ${CMAKE_BINARY_DIR}/copyright
		COMPONENT ${package} DESTINATION share/doc/${package})
endforeach()
install(FILES README.md SECURITY.md COMPONENT bufferfs
	DESTINATION share/doc/bufferfs)

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME bufferfs)
set(CPACK_PACKAGE_CONTACT ${BUFFERFS_MAINTAINER})
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "") # each package has its own
set(CPACK_PACKAGE_VENDOR "The bufferfs authors")
set(CPACK_COMPONENTS_ALL ${packages})
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_SET_DESTDIR ON) # /etc is not below /usr
set(CPACK_STRIP_FILES ON)
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS
	OWNER_READ OWNER_WRITE OWNER_EXECUTE
	GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
set(CPACK_PRE_BUILD_SCRIPTS ${debian}/compress.cmake)

set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_COMPRESSION_TYPE xz)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS ON)
set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS_POLICY ">=")
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_DEBIAN_PACKAGE_SOURCE bufferfs)

set(CPACK_DEBIAN_BUFFERFS_PACKAGE_NAME bufferfs)
set(CPACK_DEBIAN_BUFFERFS_PACKAGE_SECTION utils)
set(CPACK_DEBIAN_BUFFERFS_PACKAGE_DEPENDS "mount")
set(CPACK_DEBIAN_BUFFERFS_PACKAGE_RECOMMENDS "fuse3")
set(CPACK_DEBIAN_BUFFERFS_PACKAGE_SUGGESTS "attr")
set(CPACK_DEBIAN_BUFFERFS_PACKAGE_CONTROL_EXTRA
	${debian}/conffiles;${debian}/postinst;${debian}/prerm;${debian}/postrm)
set(CPACK_COMPONENT_BUFFERFS_DESCRIPTION
"filesystem whose files are I/O buffers
Make a file, say with one extended attribute what memory it shall be (wired,
fixed in size, physically contiguous, purgeable), and any program opens and
maps it: the mapping is the buffer itself, the same physical pages in every
process.

This package has the daemon, the iobuf command, a mount helper for
/etc/fstab, and a systemd unit template.")

set(CPACK_DEBIAN_LIBIOBUF0_PACKAGE_NAME libiobuf0)
set(CPACK_DEBIAN_LIBIOBUF0_PACKAGE_SECTION libs)
set(CPACK_DEBIAN_LIBIOBUF0_PACKAGE_CONTROL_EXTRA ${debian}/triggers)
set(CPACK_COMPONENT_LIBIOBUF0_DESCRIPTION
"allocator of I/O buffers, shared library
Memory that is wired, reserved, physically contiguous, aligned or purgeable,
and tells what was obtained; after the IOBufferMemoryDescriptor of macOS.

This package has the shared library.")

set(CPACK_DEBIAN_LIBIOBUF-DEV_PACKAGE_NAME libiobuf-dev)
set(CPACK_DEBIAN_LIBIOBUF-DEV_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_LIBIOBUF-DEV_PACKAGE_DEPENDS
	"libiobuf0 (= ${PROJECT_VERSION})")
set(CPACK_DEBIAN_LIBIOBUF-DEV_PACKAGE_SHLIBDEPS OFF)
set(CPACK_COMPONENT_LIBIOBUF-DEV_DESCRIPTION
"allocator of I/O buffers, development files
Memory that is wired, reserved, physically contiguous, aligned or purgeable,
and tells what was obtained; after the IOBufferMemoryDescriptor of macOS.

This package has the headers, the static library and the manual page.")

include(CPack)
