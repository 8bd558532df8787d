# base/: what is read from outside.
ssmd_test(NAME test_base_text LABEL unit SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/test_base_text.c LIBS base)
ssmd_test(NAME test_paths LABEL unit SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/test_paths.c LIBS base)
ssmd_test(NAME test_log LABEL unit SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/test_log.c LIBS base)
ssmd_test(NAME test_log_file LABEL unit SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/test_log_file.c LIBS base)
ssmd_test(NAME test_fs LABEL unit SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/test_fs.c LIBS base)
ssmd_test(NAME test_sha256 LABEL unit SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/test_sha256.c LIBS base OpenSSL::Crypto)
