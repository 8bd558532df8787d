# transport/: signatures, HTTP, credentials, service clients.
ssmd_test(NAME test_sigv4 LABEL unit SOURCES test_sigv4.c LIBS transport base)
