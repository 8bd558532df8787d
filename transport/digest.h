/* HTTP Digest authentication (RFC 7616; spec 04, section 8.6.4): a server's challenge, and the
 * answer to it. Pure; any thread. */
#ifndef SSMD_TRANSPORT_DIGEST_H
#define SSMD_TRANSPORT_DIGEST_H

#include <stdbool.h>

#include "base/buf.h"

#define DIGEST_MAX_TEXT 1024

struct digest_challenge {
    char realm[DIGEST_MAX_TEXT], nonce[DIGEST_MAX_TEXT], opaque[DIGEST_MAX_TEXT];
    bool has_opaque;
    bool is_sha256;  /* else MD5 */
    bool is_session; /* "-sess" */
    bool has_qop;    /* else as in RFC 2069 */
    bool is_auth_int;
    bool is_userhash;
    char algorithm[32]; /* as it was given; "" when it was not */
};

/* A WWW-Authenticate header's value. ERR_PROTOCOL: not a Digest challenge, or a malformed one;
 * ERR_UNSUPPORTED: an algorithm or a quality of protection that is not known. */
int digest_challenge_parse(const char *header, struct digest_challenge *ret_challenge,
                           struct err *err) MUST_CHECK;

/* The value of the Authorization header for a request without a body. `uri` is path and query as
 * they are sent. It holds no password, and is worth nothing for another request. *ret_header is
 * initialised by the caller. ERR_NOMEM, ERR_LIMIT, ERR_SYSTEM (no such hash in this OpenSSL). */
int digest_answer(const struct digest_challenge *c, const char *method, const char *uri,
                  const char *username, const char *password, const char *cnonce,
                  struct buf *ret_header, struct err *err) MUST_CHECK;

#endif
