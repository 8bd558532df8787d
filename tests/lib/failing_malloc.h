/* Allocations of a test program that fail when they are told to. Linked with --wrap for malloc,
 * calloc, realloc and strdup (failing_malloc() of tests/CMakeLists.txt): calls of ours come here,
 * those of libraries only through their hooks. One thread. */
#ifndef SSMD_TESTS_LIB_FAILING_MALLOC_H
#define SSMD_TESTS_LIB_FAILING_MALLOC_H

#include <stdbool.h>
#include <stddef.h>

/* So many allocations from now on succeed, the next one fails; negative: none fails. */
void failing_malloc_after(long n);
/* It has come to that one. */
bool failing_malloc_was_hit(void);

/* For hooks. */
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t size);
char *__wrap_strdup(const char *s);

#endif
