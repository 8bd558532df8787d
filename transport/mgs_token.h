/* The answer of CreateControlChannel and CreateDataChannel: a token in XML (spec 02, section 6.1),
 * or in JSON as other services of the family answer. Pure. Any thread. */
#ifndef SSMD_TRANSPORT_MGS_TOKEN_H
#define SSMD_TRANSPORT_MGS_TOKEN_H

#include "base/secret.h"

#define MGS_MAX_TOKEN_BYTES 16384u

/* The text of TokenValue, a child of whatever the root element is; entities resolved. ERR_PROTOCOL:
 * no such document, no token in it, an empty or too long one; ERR_NOMEM. No text of the answer is
 * in the error: it may hold the token. */
int mgs_token_read(const char *body, size_t n, struct secret *ret_token, struct err *err)
    MUST_CHECK;

#endif
