ssmd_test(NAME test_engine LABEL unit TIMEOUT 300
  SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/test_engine.c ${CMAKE_CURRENT_SOURCE_DIR}/engine_world.c
          ${CMAKE_CURRENT_SOURCE_DIR}/../lib/count_vfs.c
  LIBS agent SQLite::SQLite3)
add_dependencies(test_engine ssmd-runner)
set_property(TEST test_engine APPEND PROPERTY ENVIRONMENT "SSMD_RUNNER=$<TARGET_FILE:ssmd-runner>")
ssmd_test(NAME test_engine_faults LABEL unit TIMEOUT 300
  SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/test_engine_faults.c ${CMAKE_CURRENT_SOURCE_DIR}/engine_world.c
  LIBS agent SQLite::SQLite3)
add_dependencies(test_engine_faults ssmd-runner)
set_property(TEST test_engine_faults APPEND PROPERTY ENVIRONMENT "SSMD_RUNNER=$<TARGET_FILE:ssmd-runner>")
ssmd_test(NAME test_engine_room LABEL unit TIMEOUT 300
  SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/test_engine_room.c ${CMAKE_CURRENT_SOURCE_DIR}/engine_world.c
  LIBS agent SQLite::SQLite3)
target_link_options(test_engine_room PRIVATE -Wl,--wrap=mkdirat)
add_dependencies(test_engine_room ssmd-runner)
set_property(TEST test_engine_room APPEND PROPERTY ENVIRONMENT "SSMD_RUNNER=$<TARGET_FILE:ssmd-runner>")
ssmd_test(NAME test_engine_wait LABEL unit TIMEOUT 300
  SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/test_engine_wait.c ${CMAKE_CURRENT_SOURCE_DIR}/engine_world.c
  LIBS agent)
add_dependencies(test_engine_wait ssmd-runner)
set_property(TEST test_engine_wait APPEND PROPERTY ENVIRONMENT "SSMD_RUNNER=$<TARGET_FILE:ssmd-runner>")
ssmd_test(NAME test_health LABEL unit
  SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/test_health.c ${CMAKE_CURRENT_SOURCE_DIR}/../lib/script_server.c
          ${CMAKE_CURRENT_SOURCE_DIR}/../lib/aws_peer.c
  LIBS agent)
ssmd_test(NAME test_ctl_server LABEL unit
  SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/test_ctl_server.c ${CMAKE_CURRENT_SOURCE_DIR}/engine_world.c
  LIBS agent)
add_dependencies(test_ctl_server ssmd-runner)
set_property(TEST test_ctl_server APPEND PROPERTY ENVIRONMENT "SSMD_RUNNER=$<TARGET_FILE:ssmd-runner>")
ssmd_test(NAME test_upkeep LABEL unit
  SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/test_upkeep.c ${CMAKE_CURRENT_SOURCE_DIR}/engine_world.c
  LIBS agent)
add_dependencies(test_upkeep ssmd-runner)
set_property(TEST test_upkeep APPEND PROPERTY ENVIRONMENT "SSMD_RUNNER=$<TARGET_FILE:ssmd-runner>")
ssmd_test(NAME test_refresh LABEL unit
  SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/test_refresh.c ${CMAKE_CURRENT_SOURCE_DIR}/engine_world.c
  LIBS agent)
add_dependencies(test_refresh ssmd-runner)
set_property(TEST test_refresh APPEND PROPERTY ENVIRONMENT "SSMD_RUNNER=$<TARGET_FILE:ssmd-runner>")
ssmd_test(NAME test_clock_watch LABEL unit SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/test_clock_watch.c LIBS agent base)
target_link_options(test_clock_watch PRIVATE
  -Wl,--wrap=timerfd_create,--wrap=timerfd_settime,--wrap=read)
ssmd_test(NAME test_identity LABEL unit SOURCES test_identity.c LIBS agent transport schema base)
foreach(suite agent_update agent_update_step)
  ssmd_test(NAME test_${suite} LABEL unit TIMEOUT 300
    SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/test_${suite}.c ${CMAKE_CURRENT_SOURCE_DIR}/update_world.c
            ${CMAKE_CURRENT_SOURCE_DIR}/engine_world.c
    LIBS agent)
  add_dependencies(test_${suite} ssmd-runner)
  set_property(TEST test_${suite} APPEND PROPERTY ENVIRONMENT "SSMD_RUNNER=$<TARGET_FILE:ssmd-runner>")
endforeach()
ssmd_test(NAME test_update_package LABEL unit SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/test_update_package.c LIBS agent base)
