# update/: slots, packages, what its programs tell each other.
ssmd_test(NAME test_unpack LABEL unit SOURCES test_unpack.c LIBS update LibArchive::LibArchive base)
