# transport/: signatures, HTTP, credentials, service clients.
set(script_server ${CMAKE_CURRENT_SOURCE_DIR}/../lib/script_server.c)
ssmd_test(NAME test_sigv4 LABEL unit SOURCES test_sigv4.c LIBS transport base)
ssmd_test(NAME test_proxy LABEL unit SOURCES test_proxy.c LIBS transport base)
ssmd_test(NAME test_http LABEL unit SOURCES test_http.c ${script_server} LIBS transport base)
ssmd_test(NAME test_credentials LABEL unit SOURCES test_credentials.c LIBS transport base)
ssmd_test(NAME test_endpoint LABEL unit SOURCES test_endpoint.c LIBS transport base)
set(aws_peer ${script_server} ${CMAKE_CURRENT_SOURCE_DIR}/../lib/aws_peer.c)
ssmd_test(NAME test_aws LABEL unit SOURCES test_aws.c ${aws_peer} LIBS transport schema base)
