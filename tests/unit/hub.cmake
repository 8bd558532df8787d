# hub/: its store, what replies do to commands, parameters, the words of the command line; and the
# whole of it under the AWS CLI.
foreach(suite store operations nodes parameters options)
  ssmd_test(NAME test_hub_${suite} LABEL unit
    SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/test_hub_${suite}.c LIBS hub schema base)
endforeach()

find_program(SSMD_AWS_CLI aws PATHS /usr/bin)
if(SSMD_AWS_CLI)
  add_test(NAME hub_cli
    COMMAND /usr/bin/python3 -W ignore ${PROJECT_SOURCE_DIR}/tests/integration/hub_cli.py $<TARGET_FILE:ssmhub>)
  set_tests_properties(hub_cli PROPERTIES LABELS integration TIMEOUT 600)
  add_test(NAME hub_services
    COMMAND /usr/bin/python3 -W ignore ${PROJECT_SOURCE_DIR}/tests/integration/hub_services.py $<TARGET_FILE:ssmhub>)
  set_tests_properties(hub_services PROPERTIES LABELS integration TIMEOUT 600)
endif()
