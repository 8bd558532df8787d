# transport/: signatures, HTTP, credentials, service clients.
set(script_server ${CMAKE_CURRENT_SOURCE_DIR}/../lib/script_server.c)
ssmd_test(NAME test_sigv4 LABEL unit SOURCES test_sigv4.c LIBS transport base)
ssmd_test(NAME test_agent_message LABEL unit SOURCES test_agent_message.c LIBS transport base)
ssmd_test(NAME test_ws_codec LABEL unit SOURCES test_ws_codec.c LIBS transport base)
ssmd_test(NAME test_proxy LABEL unit SOURCES test_proxy.c LIBS transport base)
ssmd_test(NAME test_http LABEL unit SOURCES test_http.c ${script_server} LIBS transport base)
ssmd_test(NAME test_credentials LABEL unit SOURCES test_credentials.c LIBS transport base)
ssmd_test(NAME test_rsa_key LABEL unit SOURCES test_rsa_key.c LIBS transport base)
ssmd_test(NAME test_endpoint LABEL unit SOURCES test_endpoint.c LIBS transport base)
set(aws_peer ${script_server} ${CMAKE_CURRENT_SOURCE_DIR}/../lib/aws_peer.c)
ssmd_test(NAME test_aws LABEL unit SOURCES test_aws.c ${aws_peer} LIBS transport schema base)
ssmd_test(NAME test_logs LABEL unit SOURCES test_logs.c ${aws_peer} LIBS transport schema base)
ssmd_test(NAME test_s3 LABEL unit SOURCES test_s3.c ${aws_peer} LIBS transport schema base)
ssmd_test(NAME test_mds LABEL unit SOURCES test_mds.c ${aws_peer} LIBS transport schema base)

set(ws_peer ${script_server} ${CMAKE_CURRENT_SOURCE_DIR}/../lib/ws_peer.c)
ssmd_test(NAME test_ws LABEL unit SOURCES test_ws.c ${ws_peer} LIBS transport base)

# Against other implementations.
add_executable(sigv4_sign ${CMAKE_CURRENT_SOURCE_DIR}/../integration/sigv4_sign.c)
target_link_libraries(sigv4_sign PRIVATE transport base project_options)
add_test(NAME sigv4_oracle COMMAND
  /usr/bin/python3 ${CMAKE_CURRENT_SOURCE_DIR}/../integration/sigv4_oracle.py $<TARGET_FILE:sigv4_sign>)
set_tests_properties(sigv4_oracle PROPERTIES LABELS integration TIMEOUT 120)
add_executable(https_probe ${CMAKE_CURRENT_SOURCE_DIR}/../integration/https_probe.c)
target_link_libraries(https_probe PRIVATE transport base project_options)
add_test(NAME tls COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/../integration/tls.sh $<TARGET_FILE:https_probe>)
set_tests_properties(tls PROPERTIES LABELS integration TIMEOUT 120)
