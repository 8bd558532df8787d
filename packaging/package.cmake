# `cmake --build BUILD --target package` (or `cpack -G DEB`, `cpack -G RPM`): the package of a distribution. It has what
# `cmake --install` puts below /usr, without ssmhub, and no configuration: none is needed, and one that an administrator has put
# in its place before must not make dpkg ask what to do with it.
set(CPACK_PACKAGE_NAME ssmd)
set(CPACK_PACKAGE_VERSION ${PROJECT_VERSION})
if(SSMD_VERSION_OVERRIDE)
  set(CPACK_PACKAGE_VERSION ${SSMD_VERSION_OVERRIDE})
endif()
set(CPACK_PACKAGE_VENDOR ssmd)
set(CPACK_PACKAGE_CONTACT "The ssmd authors <ssmd@localhost>" CACHE STRING "Who answers for the package")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "agent for AWS Systems Manager that loses nothing")
set(CPACK_PACKAGE_DESCRIPTION "Runs commands, documents and updates that AWS Systems Manager sends to this machine, and reports
what became of them. What was accepted is journaled before it is done: it ends in exactly one result, over
restarts, reboots and losses of power. Scripts go on while the agent is restarted or upgraded.")
set(CPACK_STRIP_FILES ON)
set(CPACK_VERBATIM_VARIABLES ON)
# The unit names its program by the prefix, which is the one of the installed machine.
set(CPACK_SET_DESTDIR ON)
set(CPACK_INSTALL_PREFIX /usr)
set(CPACK_INSTALL_CMAKE_PROJECTS "${PROJECT_BINARY_DIR};ssmd;Unspecified;/")
set(CPACK_PRE_BUILD_SCRIPTS ${CMAKE_CURRENT_SOURCE_DIR}/package_files.cmake)
set(CPACK_GENERATOR DEB)

set(CPACK_DEBIAN_PACKAGE_RELEASE 1)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION admin)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_DEPENDS "init-system-helpers (>= 1.51)")
set(CPACK_DEBIAN_PACKAGE_RECOMMENDS "ca-certificates")
set(CPACK_DEBIAN_COMPRESSION_TYPE xz)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA ${CMAKE_CURRENT_SOURCE_DIR}/deb/postinst ${CMAKE_CURRENT_SOURCE_DIR}/deb/prerm
    ${CMAKE_CURRENT_SOURCE_DIR}/deb/postrm)
include(CPack)
