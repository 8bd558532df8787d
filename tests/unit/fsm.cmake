# fsm/: the engine, the laws of the tables, what each machine does.
ssmd_test(NAME test_fsm LABEL unit SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/test_fsm.c LIBS fsm base)
foreach(suite command command_walk)
  ssmd_test(NAME test_${suite} LABEL unit
    SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/test_${suite}.c ${CMAKE_CURRENT_SOURCE_DIR}/command_story.c
    LIBS fsm base)
endforeach()
ssmd_test(NAME test_update_walk LABEL unit SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/test_update_walk.c LIBS fsm base)
