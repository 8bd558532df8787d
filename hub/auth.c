/* The check of a signature with the hub's own keys, those of a role, or a node's. */
#include "hub/auth.h"

#include <string.h>

#include "base/str.h"
#include "hub/store_node.h"
#include "transport/sigv4_rsa.h"

/* A key that was handed out for a node's role. */
struct role {
    char secret[256], token[512], node_id[129];
    int64_t expires_ms;
};

struct lookup {
    const struct access_keys *keys;
    struct store *store;
    struct role role;
    bool is_role;
    int failed;
    struct err *err;
};

static const char *find_secret(void *ctx, const char *access_key, const char **ret_token)
{
    struct lookup *l = ctx;
    AUTO(cursor_done) struct cursor c = {0};
    struct role_key_row row;
    size_t i;
    int r;

    for (i = 0; i < l->keys->n; i++) {
        const struct access_key *k = &l->keys->list[i];

        if (str_eq(k->access_key, access_key)) {
            *ret_token = secret_is_set(&k->token) ? secret_reveal(&k->token) : NULL;
            return secret_reveal(&k->secret);
        }
    }
    store_role_key_find(l->store, access_key, &c);
    r = cursor_next_role_key(&c, &row, l->err);
    if (r <= 0) {
        l->failed = r;
        return NULL;
    }
    l->is_role = true;
    l->role.expires_ms = row.expires_ms;
    (void)str_copy(l->role.secret, sizeof(l->role.secret), row.secret); /* the hub made them: fit */
    (void)str_copy(l->role.token, sizeof(l->role.token), row.token);
    (void)str_copy(l->role.node_id, sizeof(l->role.node_id), row.node_id);
    *ret_token = l->role.token;
    return l->role.secret;
}

static const char *header(const struct auth_request *q, const char *name)
{
    size_t i;

    for (i = 0; i < q->n_headers; i++)
        if (str_eq_nocase(q->headers[i].name, name))
            return q->headers[i].value;
    return NULL;
}

static int refuse(const char **ret_code, const char *code, int r)
{
    *ret_code = code;
    return r;
}

/* ---- a node's RSA signature ---- */

static int check_rsa_date(const struct auth_request *q, const struct sigv4_authorization *parts,
                          const char **ret_code, struct err *err)
{
    const char *date = header(q, "x-amz-date");
    int64_t at;

    if (date == NULL || sigv4_parse_date(date, &at) < 0)
        return refuse(ret_code, "IncompleteSignatureException",
                      err_set(err, ERR_AUTH, "the X-Amz-Date header is missing or malformed"));
    if (strncmp(date, parts->day, 8) != 0 || at - q->now_ms > AUTH_MAX_SKEW_MS ||
        q->now_ms - at > AUTH_MAX_SKEW_MS)
        return refuse(ret_code, "InvalidSignatureException",
                      err_set(err, ERR_AUTH,
                              "Signature expired or not yet current: X-Amz-Date is "
                              "%s",
                              date));
    if (!str_eq(parts->region, q->region) || !str_eq(parts->service, q->service))
        return refuse(ret_code, "InvalidSignatureException",
                      err_set(err, ERR_AUTH, "Credential is scoped to %s in %s, this is %s in %s",
                              parts->service, parts->region, q->service, q->region));
    return 0;
}

static int check_rsa(struct store *store, const struct auth_request *q,
                     const struct sigv4_request *request, const struct sigv4_authorization *parts,
                     const char **ret_code, struct err *err)
{
    AUTO(rsa_key_free) struct rsa_key *key = NULL;
    AUTO(cursor_done) struct cursor c = {0};
    struct node_row node;
    int r = check_rsa_date(q, parts, ret_code, err);

    if (r < 0)
        return r;
    store_node_find(store, parts->access_key, &c);
    r = cursor_next_node(&c, &node, err);
    if (r < 0)
        return refuse(ret_code, "InternalServerError", r);
    if (r == 0)
        return refuse(ret_code, "InvalidInstanceId",
                      err_set(err, ERR_AUTH, "Not existing InstanceId %s", parts->access_key));
    r = rsa_key_from_public(node.public_key, &key, err);
    if (r == 0)
        r = sigv4_rsa_verify(request, parts, header(q, "x-amz-date"), key, err);
    return r < 0 ? refuse(ret_code, "InvalidSignatureException", r) : 0;
}

int auth_check_added(const struct auth_caller *caller, const char *public_key, struct err *err)
{
    AUTO(rsa_key_free) struct rsa_key *key = NULL;
    int r;

    if (caller->added == NULL)
        return err_set(err, ERR_AUTH, "the header " SIGV4_RSA_HEADER " is missing");
    r = rsa_key_from_public(public_key, &key, err);
    return r < 0 ? r : sigv4_rsa_check_added(caller->authorization, caller->added, key, err);
}

/* ---- all of them ---- */

static int check_v4(struct access_keys *keys, struct store *store, const struct auth_request *q,
                    const struct sigv4_request *request, struct auth_caller *caller,
                    const char **ret_code, struct err *err)
{
    struct err store_err = {0};
    struct lookup lookup = {.keys = keys, .store = store, .err = &store_err};
    const struct sigv4_check check = {.secret = find_secret,
                                      .ctx = &lookup,
                                      .now_unix_ms = q->now_ms,
                                      .max_skew_ms = AUTH_MAX_SKEW_MS,
                                      .region = q->region,
                                      .service = q->service};
    struct sigv4_authorization parts;
    int r = sigv4_verify(request, &check, &parts, ret_code, err);

    if (lookup.failed < 0) {
        *err = store_err;
        r = refuse(ret_code, "InternalServerError", lookup.failed);
    }
    if (r == 0 && lookup.is_role && lookup.role.expires_ms <= q->now_ms)
        r = refuse(ret_code, "ExpiredTokenException",
                   err_set(err, ERR_AUTH, "The security token included in the request is expired"));
    if (r == 0) {
        (void)str_copy(caller->access_key, sizeof(caller->access_key), parts.access_key);
        (void)str_copy(caller->node_id, sizeof(caller->node_id), lookup.role.node_id);
    }
    explicit_bzero(&lookup.role, sizeof(lookup.role));
    return r;
}

int auth_check(struct access_keys *keys, struct store *store, const struct auth_request *q,
               struct auth_caller *ret_caller, const char **ret_code, struct err *err)
{
    const struct sigv4_request request = {.method = q->method != NULL ? q->method : "POST",
                                          .path = q->path != NULL ? q->path : "/",
                                          .query = q->query,
                                          .body_sha256 = q->body_sha256,
                                          .headers = q->headers,
                                          .n_headers = q->n_headers,
                                          .body = q->body,
                                          .body_len = q->n};
    struct auth_caller caller = {.authorization = header(q, "authorization"),
                                 .added = header(q, SIGV4_RSA_HEADER)};
    struct sigv4_authorization parts;
    int r;

    if (q->kind == AUTH_OPEN && caller.authorization == NULL) {
        *ret_caller = caller;
        return 0;
    }
    if (q->kind == AUTH_NODE && caller.authorization != NULL && caller.added == NULL &&
        sigv4_parse_authorization(caller.authorization, &parts, err) == 0 &&
        str_has_prefix(parts.access_key, "mi-")) {
        r = check_rsa(store, q, &request, &parts, ret_code, err);
        (void)str_copy(caller.access_key, sizeof(caller.access_key), parts.access_key);
        (void)str_copy(caller.node_id, sizeof(caller.node_id), parts.access_key);
        caller.is_node_key = true;
    } else {
        r = check_v4(keys, store, q, &request, &caller, ret_code, err);
    }
    if (r < 0)
        return r;
    *ret_caller = caller;
    return 0;
}
