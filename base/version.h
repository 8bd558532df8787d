/* Versions of programs as dotted numbers: "1.2.3". Pure; any thread. Spec 06, section 5.2. */
#ifndef SSMD_BASE_VERSION_H
#define SSMD_BASE_VERSION_H

#include <stdbool.h>
#include <stddef.h>

#define VERSION_SIZE 64 /* of a version's text and its NUL */

/* Digits and single dots between them, at most VERSION_SIZE - 1 bytes: never a path. */
bool version_is_valid(const char *text);

/* Of this build. In one file, so that a build of another version compiles one file. */
extern const char ssmd_version[];
/* As four numbers, which the service compares and scripts cut apart. */
extern const char ssmd_version_four[];

/* "1.2.3" as the four numbers that the service shows, "1.2.3.0"; longer ones as they are. */
void version_four(const char *version, char *ret_text, size_t size);

/* Component by component, numerically, leading zeros ignored; of two that agree as far as the
 * shorter goes the longer is greater. Both must be valid. <0, 0, >0. */
int version_compare(const char *a, const char *b);

#endif
