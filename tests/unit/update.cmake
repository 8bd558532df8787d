# update/: slots, packages, what its programs tell each other.
ssmd_test(NAME test_unpack LABEL unit SOURCES test_unpack.c LIBS update LibArchive::LibArchive base)
ssmd_test(NAME test_stager_protocol LABEL unit SOURCES test_stager_protocol.c LIBS update base)

# With every system call failing once.
set(FAULT_LINK_OPTIONS "")
foreach(call read write fsync fchmod fstat fstatat mkdir renameat symlinkat unlinkat openat)
  list(APPEND FAULT_LINK_OPTIONS "-Wl,--wrap=${call}")
endforeach()
foreach(suite slots handover_files)
  ssmd_test(NAME test_${suite} LABEL unit
    SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/test_${suite}.c ${PROJECT_SOURCE_DIR}/tests/lib/fault.c
    LIBS update_slots)
  target_link_options(test_${suite} PRIVATE ${FAULT_LINK_OPTIONS})
endforeach()

# Signed metadata, over an update source in memory.
foreach(suite release trust bad_metadata choose)
  ssmd_test(NAME test_${suite} LABEL unit
    SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/test_${suite}.c ${CMAKE_CURRENT_SOURCE_DIR}/release_world.c LIBS update_trust TIMEOUT 300)
endforeach()
ssmd_test(NAME test_updater_judge LABEL unit
  SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/test_updater_judge.c ${PROJECT_SOURCE_DIR}/update/updater_judge.c
  LIBS update_slots)
