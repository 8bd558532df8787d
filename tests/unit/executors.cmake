# Suites of the executors. Those with real runners share a small world.
foreach(suite runner runner_versions steps shell)
  ssmd_test(NAME test_${suite} LABEL unit
    SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/test_${suite}.c ${CMAKE_CURRENT_SOURCE_DIR}/step_world.c
    LIBS executors)
  target_compile_definitions(test_${suite} PRIVATE RUNNER_PATH="$<TARGET_FILE:ssmd-runner>")
  add_dependencies(test_${suite} ssmd-runner)
endforeach()
ssmd_test(NAME test_platform LABEL unit SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/test_platform.c LIBS executors)
