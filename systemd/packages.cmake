# Debian packages: `cpack` in the build folder makes them from what is built there, one of each component
# that the install() rules name. The build must be one for /usr, because the unit names its program and
# its configuration by path.
set(MREGION_MAINTAINER "mregiond maintainers <maintainers@mregiond.example.org>" CACHE STRING
    "Who answers for the packages: a name and an address")
set(MREGION_REVISION 1 CACHE STRING "Counts the packages of one version")

get_target_property(soversion mregion SOVERSION)
set(library libmregion${soversion})
string(TOUPPER ${library} LIBRARY)

set(CPACK_GENERATOR DEB)
set(CPACK_SOURCE_GENERATOR "")
set(CPACK_COMPONENTS_ALL mregiond mrcli ${library} libmregion-dev)
set(CPACK_DEB_COMPONENT_INSTALL ON)
foreach(package ${CPACK_COMPONENTS_ALL})
  string(TOUPPER ${package} PACKAGE)
  set(CPACK_DEBIAN_${PACKAGE}_PACKAGE_NAME ${package})
endforeach()
# The programs come out of it stripped, and what they lose is in a NAME-dbgsym of each.
set(CPACK_STRIP_FILES OFF)
set(CPACK_DEBIAN_DEBUGINFO_PACKAGE ON)
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE
    WORLD_READ WORLD_EXECUTE)
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_PRE_BUILD_SCRIPTS ${CMAKE_CURRENT_LIST_DIR}/packages_stage.cmake)
set(CPACK_POST_BUILD_SCRIPTS ${CMAKE_CURRENT_LIST_DIR}/packages_debug.cmake)
# For these scripts:
set(CPACK_MREGION_PREFIX ${CMAKE_INSTALL_PREFIX})
set(CPACK_MREGION_DEBIAN ${CMAKE_CURRENT_LIST_DIR}/debian)
set(CPACK_MREGION_OBJCOPY ${CMAKE_OBJCOPY})

set(CPACK_PACKAGE_NAME mregiond)
set(CPACK_PACKAGE_CONTACT ${MREGION_MAINTAINER})
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "") # each package has its own
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_COMPRESSION_TYPE xz)
set(CPACK_DEBIAN_PACKAGE_RELEASE ${MREGION_REVISION})
set(CPACK_DEBIAN_PACKAGE_SOURCE mregiond)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
# mrcli's own library is in no package yet; it is named below.
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS_PRIVATE_DIRS ${PROJECT_BINARY_DIR}/client)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
# The library's functions stay what they are while it has this soname, and become more.
set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS ON)
set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS_POLICY ">=")
set(CPACK_DEBIAN_ENABLE_COMPONENT_DEPENDS ON)

set(CPACK_COMPONENT_MREGIOND_DESCRIPTION "heap for blobs behind a socket: the server
A program hands mregiond a blob and gets an address back, with which it loads,
overwrites or removes the blob later. Blobs of any size are kept in regions,
flat address spaces in which removed bytes are used again at once; an answered
change is on stable storage.
.
This package has the server, which speaks MessagePack-RPC over TCP and Unix
sockets, and its service.")
set(CPACK_DEBIAN_MREGIOND_PACKAGE_SOURCE "")
set(CPACK_DEBIAN_MREGIOND_PACKAGE_SECTION database)
set(CPACK_DEBIAN_MREGIOND_PACKAGE_DEPENDS "systemd | systemd-standalone-sysusers | systemd-sysusers, \
systemd | systemd-standalone-tmpfiles | systemd-tmpfiles")
set(CPACK_DEBIAN_MREGIOND_PACKAGE_RECOMMENDS mrcli)
set(CPACK_DEBIAN_MREGIOND_PACKAGE_CONTROL_EXTRA ${CMAKE_CURRENT_LIST_DIR}/debian/conffiles)
foreach(script postinst prerm postrm)
  list(APPEND CPACK_DEBIAN_MREGIOND_PACKAGE_CONTROL_EXTRA ${CMAKE_CURRENT_LIST_DIR}/debian/${script})
endforeach()

set(CPACK_COMPONENT_MRCLI_DESCRIPTION "heap for blobs behind a socket: the command line
mrcli adds, loads and removes blobs of a server of mregiond, creates, checks
and draws its regions, and measures it; one command at a time, from a script,
or in a shell of its own.")
set(CPACK_DEBIAN_MRCLI_PACKAGE_SECTION database)
set(CPACK_DEBIAN_MRCLI_PACKAGE_DEPENDS "${library} (>= ${PROJECT_VERSION})")
set(CPACK_DEBIAN_MRCLI_PACKAGE_SUGGESTS "mregiond, libcairo2")

set(CPACK_COMPONENT_${LIBRARY}_DESCRIPTION "heap for blobs behind a socket: the client's library
libmregion speaks with a server of mregiond from C: blobs of any size, many
requests at a time, batches that happen together or not at all, and changes
that happen once, also over connections that break.")
set(CPACK_DEBIAN_${LIBRARY}_PACKAGE_SECTION libs)
set(CPACK_DEBIAN_${LIBRARY}_PACKAGE_CONTROL_EXTRA ${CMAKE_CURRENT_LIST_DIR}/debian/triggers)

set(CPACK_COMPONENT_LIBMREGION-DEV_DESCRIPTION "heap for blobs behind a socket: development with libmregion
The headers, the static library, the manual and the descriptions for pkg-config
and CMake of libmregion, which speaks with a server of mregiond.")
set(CPACK_COMPONENT_LIBMREGION-DEV_DEPENDS ${library}) # of this very version
set(CPACK_DEBIAN_LIBMREGION-DEV_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_LIBMREGION-DEV_PACKAGE_DEPENDS "libmsgpack-dev, libssl-dev")

include(CPack)
