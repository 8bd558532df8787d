/* One header of an HTTP request, as signing and sending both see it. */
#ifndef SSMD_TRANSPORT_HEADER_H
#define SSMD_TRANSPORT_HEADER_H

struct header {
    const char *name;  /* borrowed; any case */
    const char *value; /* borrowed; without CR, LF and NUL */
};

#endif
