# ctl/: what ssmctl prints, asks and understands.
find_package(Threads REQUIRED)
set(ctl_tests ${CMAKE_CURRENT_SOURCE_DIR})
ssmd_test(NAME test_ctl_text LABEL unit SOURCES ${ctl_tests}/test_ctl_text.c LIBS ctl base)
ssmd_test(NAME test_ctl_params LABEL unit SOURCES ${ctl_tests}/test_ctl_params.c LIBS ctl schema base)
ssmd_test(NAME test_ctl_client LABEL unit
  SOURCES ${ctl_tests}/test_ctl_client.c ${ctl_tests}/ctl_world.c LIBS ctl schema base Threads::Threads)
ssmd_test(NAME test_ctl_verbs LABEL unit
  SOURCES ${ctl_tests}/test_ctl_verbs.c ${ctl_tests}/ctl_scribe.c ${ctl_tests}/../lib/chronicle.c ${ctl_tests}/ctl_world.c
  LIBS ctl journal fsm schema base SQLite::SQLite3 Threads::Threads)
ssmd_test(NAME test_ctl_actions LABEL unit
  SOURCES ${ctl_tests}/test_ctl_actions.c ${ctl_tests}/ctl_scribe.c ${ctl_tests}/../lib/chronicle.c ${ctl_tests}/ctl_world.c
  LIBS ctl journal fsm schema base Threads::Threads)
target_compile_definitions(test_ctl_actions PRIVATE SSMCTL_DIR="$<TARGET_FILE_DIR:ssmctl>")
add_dependencies(test_ctl_actions ssmctl)
