/* What identifies this machine, for the fingerprint of a hybrid node (spec 01, section 5): the same
 * nine values as the reference agent's, so that its record goes on fitting. Runs programs and waits
 * for them: on the thread pool, never on the loop's thread. */
#ifndef SSMD_AGENT_HARDWARE_H
#define SSMD_AGENT_HARDWARE_H

#include "schema/fingerprint.h"

/* A source that fails gives "". `root` is "" or a directory in which /etc/machine-id is looked for.
 * Any thread. */
void hardware_collect(const char *root, struct hardware *ret);

/* Base64 of the MD5 of these bytes: how a program's output is compared. MD5 protects nothing here.
 */
void hardware_digest(const void *bytes, size_t n, char ret_text[FINGERPRINT_VALUE_SIZE]);

#endif
