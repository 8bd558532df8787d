/* What the making and the checking of a signature share. */
#ifndef SSMD_TRANSPORT_SIGV4_INTERNAL_H
#define SSMD_TRANSPORT_SIGV4_INTERNAL_H

#include <stdbool.h>

/* A list such as "host;x-amz-date" contains this name, in any case. */
bool sigv4_list_has(const char *list, const char *name);

#endif
