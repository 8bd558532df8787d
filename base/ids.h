/* Random identifiers. The kernel's generator, behind a seam for tests. Any thread. */
#ifndef SSMD_BASE_IDS_H
#define SSMD_BASE_IDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define UUID_SIZE 37 /* 36 characters and a NUL */

/* Fill with random bytes. Ends the process if the kernel refuses: nothing safe can be done then. */
void ids_random(void *bytes, size_t n);

uint32_t ids_random32(void);

/* Tests only: a function that replaces ids_random; NULL puts the kernel back. */
void ids_set_source(void (*fill)(void *bytes, size_t n));

void ids_uuid4(char ret_uuid[UUID_SIZE]); /* lower case, hyphens */
bool ids_is_uuid(const char *s);          /* 8-4-4-4-12 lower-case hexadecimal */

#endif
