/* How a managed node proves who it is with its RSA key (spec 01, sections 6.2 and 8): the
 * canonical request of Signature Version 4, signed with RSA in place of the HMAC; or a second
 * signature over a finished Authorization header. Pure. Any thread. */
#ifndef SSMD_TRANSPORT_SIGV4_RSA_H
#define SSMD_TRANSPORT_SIGV4_RSA_H

#include "transport/rsa_key.h"
#include "transport/sigv4.h"

/* The header of Default Host Management; its value is "Signature=<Base64>". */
#define SIGV4_RSA_HEADER "SSM-AsymmetricKeyAuthorization"

/* Add the value of the Authorization header of a hybrid node. As sigv4_sign(), with the node's id
 * in the place of the access key. */
int sigv4_rsa_sign(const struct sigv4_request *request, const struct sigv4_scope *scope,
                   const char *instance_id, const struct rsa_key *key,
                   struct buf *ret_authorization, struct err *err) MUST_CHECK;
/* Check such a signature; `parts` is its Authorization header taken apart. The date is the
 * caller's business. ERR_AUTH. */
int sigv4_rsa_verify(const struct sigv4_request *request, const struct sigv4_authorization *parts,
                     const char *date, const struct rsa_key *key, struct err *err) MUST_CHECK;

/* Add the value of SIGV4_RSA_HEADER for a request with this Authorization header. */
int sigv4_rsa_add(const char *authorization, const struct rsa_key *key, struct buf *ret_value,
                  struct err *err) MUST_CHECK;
/* ERR_AUTH: `value` is no such header for it. */
int sigv4_rsa_check_added(const char *authorization, const char *value, const struct rsa_key *key,
                          struct err *err) MUST_CHECK;

#endif
