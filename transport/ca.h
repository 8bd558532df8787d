/* Where the certificates of trusted authorities are. */
#ifndef SSMD_TRANSPORT_CA_H
#define SSMD_TRANSPORT_CA_H

#include <limits.h>

#include "transport/env.h"

/* "" means: none of this kind. Both may be "": then the TLS library's own default is used. */
struct ca_location {
    char file[PATH_MAX]; /* one PEM bundle */
    char dir[PATH_MAX];  /* hashed directories, colon between them */
};

/* `file` and `dir` as configured (NULL: not); else AWS_CA_BUNDLE, which replaces the system's
 * authorities; else SSL_CERT_FILE and SSL_CERT_DIR; else both are "". */
void ca_find_named(const struct env_source *env, const char *file, const char *dir,
                   struct ca_location *ret_location);

/* The same; where nobody names any, the first of the system's places that exists. */
void ca_find(const struct env_source *env, const char *file, const char *dir,
             struct ca_location *ret_location);

#endif
