/* Signing a call: with AWS credentials, with the node's RSA key, with both, or not at all
 * (spec 01, sections 4.2, 6.2, 8 and 12). */
#include "transport/aws_sign.h"

#include <stdio.h>
#include <string.h>

#include "base/sha256.h"
#include "transport/sigv4_rsa.h"

#define CONTENT_TYPE "application/x-amz-json-1.1"

static void add(struct aws_headers *h, const char *name, const char *value)
{
    h->list[h->n++] = (struct header){name, value};
}

static int sign(const struct aws_sign *s, struct aws_headers *h, struct err *err)
{
    const struct sigv4_scope scope = {h->date, s->region, aws_service_name(s->service)};
    struct sigv4_request request = {.method = s->is_get ? "GET" : "POST",
                                    .path = s->path != NULL ? s->path : s->endpoint->path,
                                    .query = s->query,
                                    .headers = h->list,
                                    .body = s->body,
                                    .body_len = s->body_len};
    char length[24];
    int r;

    request.n_headers = h->n;
    if (s->path == NULL) { /* signed here; libcurl sends it itself */
        (void)snprintf(length, sizeof(length), "%zu", s->body_len);
        h->list[request.n_headers++] = (struct header){"Content-Length", length};
    }
    if (s->credentials != NULL)
        r = sigv4_sign_again(&request, &scope, s->credentials->access_key,
                             secret_reveal(&s->credentials->secret_key), s->keys, &h->authorization,
                             err);
    else
        r = sigv4_rsa_sign(&request, &scope, s->key->instance_id, s->key->rsa, &h->authorization,
                           err);
    if (r == 0 && s->credentials != NULL && s->key != NULL)
        r = sigv4_rsa_add(h->authorization.data, s->key->rsa, &h->added, err);
    return r;
}

int aws_headers_make(const struct aws_sign *s, struct aws_headers *h, struct err *err)
{
    int r;

    h->n = 0;
    buf_init(&h->authorization, 8192);
    buf_init(&h->added, 2048);
    add(h, "Host", s->endpoint->host);
    if (s->path == NULL) {
        (void)snprintf(h->target, sizeof(h->target), "%s%s", aws_service_target_prefix(s->service),
                       s->operation);
        add(h, "Content-Type", CONTENT_TYPE);
        add(h, "X-Amz-Target", h->target);
    } else if (!s->is_get) {
        add(h, "Content-Type", "application/json");
    }
    if (s->credentials == NULL && s->key == NULL)
        return 0;
    sigv4_format_date(s->now_ms, h->date);
    add(h, "X-Amz-Date", h->date);
    if (s->credentials != NULL && secret_is_set(&s->credentials->session_token))
        add(h, "X-Amz-Security-Token", secret_reveal(&s->credentials->session_token));
    r = sign(s, h, err);
    if (r < 0)
        return r;
    add(h, "Authorization", h->authorization.data);
    if (s->credentials == NULL) { /* sent, but not among the signed headers (section 6.2 step 7) */
        sha256_hex_of(s->body, s->body_len, h->body_sha256);
        add(h, "X-Amz-Content-Sha256", h->body_sha256);
    } else if (s->key != NULL) {
        add(h, SIGV4_RSA_HEADER, h->added.data);
    }
    return 0;
}

void aws_headers_done(struct aws_headers *h)
{
    buf_done(&h->authorization);
    buf_done(&h->added);
}
