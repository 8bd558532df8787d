# The suites of journal/.
ssmd_test(NAME test_journal LABEL unit
  SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/test_journal.c ${CMAKE_CURRENT_SOURCE_DIR}/journal_lib.c
  LIBS journal fsm base)
