# The suites of journal/.
foreach(suite journal journal_replies)
  ssmd_test(NAME test_${suite} LABEL unit
    SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/test_${suite}.c ${CMAKE_CURRENT_SOURCE_DIR}/journal_lib.c
    LIBS journal fsm base)
endforeach()
ssmd_test(NAME test_journal_sqlite LABEL unit
  SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/test_journal_sqlite.c ${CMAKE_CURRENT_SOURCE_DIR}/journal_lib.c
          ${CMAKE_CURRENT_SOURCE_DIR}/../lib/count_vfs.c
  LIBS journal fsm base SQLite::SQLite3)
ssmd_test(NAME test_update_journal LABEL unit
  SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/test_update_journal.c ${CMAKE_CURRENT_SOURCE_DIR}/journal_lib.c
  LIBS journal fsm base)
foreach(suite retention audit)
  ssmd_test(NAME test_${suite} LABEL unit
    SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/test_${suite}.c ${CMAKE_CURRENT_SOURCE_DIR}/journal_lib.c
            ${CMAKE_CURRENT_SOURCE_DIR}/../lib/count_vfs.c
    LIBS journal fsm base SQLite::SQLite3)
endforeach()
ssmd_test(NAME test_reader LABEL unit
  SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/test_reader.c ${CMAKE_CURRENT_SOURCE_DIR}/journal_lib.c
          ${CMAKE_CURRENT_SOURCE_DIR}/../lib/count_vfs.c
  LIBS journal fsm base SQLite::SQLite3)

# Writes the journal that a release leaves behind in tests/fixtures/journal/.
add_executable(make_journal_fixture ${CMAKE_CURRENT_SOURCE_DIR}/make_journal_fixture.c
  ${CMAKE_CURRENT_SOURCE_DIR}/../lib/chronicle.c)
target_include_directories(make_journal_fixture PRIVATE ${PROJECT_SOURCE_DIR})
target_link_libraries(make_journal_fixture PRIVATE journal fsm base project_options)
add_test(NAME make_journal_fixture
  COMMAND make_journal_fixture ${CMAKE_CURRENT_BINARY_DIR}/journal_fixture)
set_tests_properties(make_journal_fixture PROPERTIES LABELS unit TIMEOUT 300)
ssmd_test(NAME test_journal_memory_faults LABEL unit
  SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/test_journal_memory_faults.c ${CMAKE_CURRENT_SOURCE_DIR}/journal_lib.c
  LIBS journal fsm base SQLite::SQLite3)
ssmd_test(NAME test_failed_syncs LABEL unit
  SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/test_failed_syncs.c ${CMAKE_CURRENT_SOURCE_DIR}/journal_lib.c
  LIBS journal fsm base SQLite::SQLite3)
