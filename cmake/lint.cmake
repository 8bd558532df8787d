# Targets that look at the source and build nothing: format, format-check, clang-tidy, cppcheck,
# gcc-analyzer. Each exists only where its tool does.
set(lint_folders base schema fsm journal transport executors download update agent ctl hub tests)
list(TRANSFORM lint_folders PREPEND ${PROJECT_SOURCE_DIR}/)
# The fixture of tests/lint breaks every rule on purpose.
set(lint_find find ${lint_folders} -path "*/lint/fixture" -prune -o -name "*.[ch]" -print0)

find_program(CLANG_FORMAT NAMES clang-format-14 clang-format)
if(CLANG_FORMAT)
  # Versions of clang-format disagree about details; the tree is kept in the form of 14.
  add_custom_target(format COMMAND ${lint_find} | xargs -0 ${CLANG_FORMAT} -i
    COMMENT "Formatting every source file" VERBATIM)
  add_custom_target(format-check COMMAND ${lint_find} | xargs -0 ${CLANG_FORMAT} --dry-run --Werror
    COMMENT "Looking for what `format` would change" VERBATIM)
endif()

find_program(RUN_CLANG_TIDY NAMES run-clang-tidy-14 run-clang-tidy)
find_program(CLANG_TIDY NAMES clang-tidy-14 clang-tidy)
if(RUN_CLANG_TIDY AND CLANG_TIDY)
  # Checks, and the reason for each that is off, are in .clang-tidy.
  add_custom_target(clang-tidy
    COMMAND /usr/bin/python3 ${PROJECT_SOURCE_DIR}/cmake/tidy_commands.py ${PROJECT_BINARY_DIR}/compile_commands.json
            ${PROJECT_BINARY_DIR}/tidy/compile_commands.json
    COMMAND ${RUN_CLANG_TIDY} -clang-tidy-binary ${CLANG_TIDY} -p ${PROJECT_BINARY_DIR}/tidy -j 2 -quiet
            "^${PROJECT_SOURCE_DIR}/(base|schema|fsm|journal|transport|executors|download|update|agent|ctl|hub)/"
    COMMENT "clang-tidy over everything but the tests" VERBATIM)
endif()

find_program(CPPCHECK cppcheck)
if(CPPCHECK)
  file(MAKE_DIRECTORY ${PROJECT_BINARY_DIR}/cppcheck)
  add_custom_target(cppcheck
    COMMAND /usr/bin/python3 ${PROJECT_SOURCE_DIR}/cmake/tidy_commands.py ${PROJECT_BINARY_DIR}/compile_commands.json
            ${PROJECT_BINARY_DIR}/tidy/compile_commands.json
    COMMAND ${CPPCHECK} --project=${PROJECT_BINARY_DIR}/tidy/compile_commands.json -j 2 --quiet
            --cppcheck-build-dir=${PROJECT_BINARY_DIR}/cppcheck --std=c11
            --library=${PROJECT_SOURCE_DIR}/cmake/cppcheck.cfg --enable=warning,performance,portability
            --inline-suppr --error-exitcode=1
            --suppressions-list=${PROJECT_SOURCE_DIR}/cmake/cppcheck-suppressions.txt
    COMMENT "cppcheck over everything that is compiled" VERBATIM)
endif()

if(CMAKE_C_COMPILER_ID STREQUAL "GNU")
  set(analyzed base schema fsm journal transport executors download update agent ctl hub)
  list(TRANSFORM analyzed PREPEND ${PROJECT_SOURCE_DIR}/)
  add_custom_target(gcc-analyzer
    COMMAND /usr/bin/python3 ${PROJECT_SOURCE_DIR}/cmake/analyze.py ${PROJECT_BINARY_DIR}/compile_commands.json ${analyzed}
    COMMENT "gcc -fanalyzer over everything but the tests" VERBATIM)
endif()
