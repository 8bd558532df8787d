# fsm/: the engine, the laws of the tables, what each machine does.
ssmd_test(NAME test_fsm LABEL unit SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/test_fsm.c LIBS fsm base)
ssmd_test(NAME test_command LABEL unit SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/test_command.c LIBS fsm base)
