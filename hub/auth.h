/* Who calls (spec 01, sections 6.2, 8 and 12): Signature Version 4 with the hub's own keys or with
 * those of a node's role, or a node's RSA signature. Main thread. */
#ifndef SSMD_HUB_AUTH_H
#define SSMD_HUB_AUTH_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "hub/access_keys.h"
#include "hub/store.h"
#include "transport/sigv4.h"

#define AUTH_MAX_SKEW_MS (INT64_C(5) * 60 * 1000) /* AWS lets a request be five minutes off */

/* What an operation asks for. */
enum auth_kind {
    AUTH_SIGNED, /* Version 4 */
    AUTH_OPEN,   /* Version 4, or no signature at all */
    AUTH_NODE,   /* a node's RSA signature, or Version 4 with a second one by the node's key */
};

struct auth_caller {
    char access_key[129]; /* "": the call is not signed */
    char node_id[129];    /* whose RSA key signed; or whose role; "" for the hub's own keys */
    bool is_node_key;     /* signed by the node's RSA key alone */
    /* For the check of a second signature; NULL when there is none. Borrowed as long as the
     * request lives. */
    const char *authorization, *added;
};

struct auth_request {
    const char *region, *service;
    enum auth_kind kind;
    const char *method, *path, *query; /* NULL: of a POST to "/" */
    const struct header *headers;
    size_t n_headers;
    const void *body;
    size_t n;
    const char *body_sha256; /* as in struct sigv4_request */
    int64_t now_ms;
};

/* 0, or ERR_AUTH with *ret_code (static) the name AWS gives such a refusal; err->text is for
 * the client then. Others: ERR_NOMEM, ERR_LIMIT, those of the store. */
int auth_check(struct access_keys *keys, struct store *store, const struct auth_request *q,
               struct auth_caller *ret_caller, const char **ret_code, struct err *err) MUST_CHECK;

/* The second signature of such a call is by the node's key. ERR_AUTH. */
int auth_check_added(const struct auth_caller *caller, const char *public_key, struct err *err)
    MUST_CHECK;

#endif
