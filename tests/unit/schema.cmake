# schema/: what comes from outside, and what goes back.
foreach(suite config json yaml message document document_warn parameters parameter_store precondition script downloads reply
    update_inputs)
  ssmd_test(NAME test_${suite} LABEL unit SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/test_${suite}.c LIBS schema)
endforeach()
ssmd_test(NAME test_conformance LABEL unit SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/test_conformance.c LIBS schema)

# Every allocation of the readers and writers fails once, by counting.
ssmd_test(NAME test_schema_memory LABEL unit SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/test_schema_memory.c LIBS schema)
failing_malloc(test_schema_memory)
ssmd_test(NAME test_status LABEL unit SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/test_status.c LIBS fsm schema)
