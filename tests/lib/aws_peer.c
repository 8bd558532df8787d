/* The checking peer and the client that is pointed at it. */
#include "tests/lib/aws_peer.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/str.h"
#include "transport/sigv4.h"

const char *aws_client_variables[16];

static const char *get_variable(void *ctx, const char *name)
{
    size_t i;

    (void)ctx;
    for (i = 0; aws_client_variables[i] != NULL; i += 2) {
        if (strcmp(aws_client_variables[i], name) == 0)
            return aws_client_variables[i + 1];
    }
    return NULL;
}

static const char *secret_of(void *ctx, const char *access_key, const char **ret_token)
{
    struct aws_peer *peer = ctx;

    if (strcmp(access_key, peer->access_key) != 0)
        return NULL;
    *ret_token = AWS_PEER_TOKEN;
    return peer->secret;
}

/* NULL, or AWS's name of what is wrong with the signature. */
static const char *check_signature(struct aws_peer *peer, const char *raw, size_t n,
                                   struct sigv4_authorization *parts)
{
    char *copy = strdup(raw), *line, *save = NULL, *body;
    struct header headers[32];
    struct sigv4_request request = {.headers = headers};
    char *target, *query;
    const char *code = NULL;
    const struct sigv4_check check = {.secret = secret_of,
                                      .ctx = peer,
                                      .now_unix_ms = clock_wall_ms() + peer->clock_offset_ms,
                                      .max_skew_ms = 300 * 1000,
                                      .region = peer->region};
    struct err err = {0};

    ck_assert_ptr_nonnull(copy);
    body = strstr(copy, "\r\n\r\n");
    ck_assert_ptr_nonnull(body);
    *body = '\0';
    request.body = raw + (body + 4 - copy);
    request.body_len = n - (size_t)(body + 4 - copy);
    line = strtok_r(copy, "\r\n", &save);
    target = strchr(line, ' ');
    ck_assert_msg(target != NULL && strstr(target, " HTTP/1.1") != NULL, "%s", line);
    *target++ = '\0';
    *strchr(target, ' ') = '\0';
    query = strchr(target, '?');
    if (query != NULL)
        *query++ = '\0';
    request.method = line;
    request.path = target;
    request.query = query;
    while ((line = strtok_r(NULL, "\r\n", &save)) != NULL) {
        char *colon = strchr(line, ':');

        ck_assert_ptr_nonnull(colon);
        ck_assert_uint_lt(request.n_headers, ARRAY_LEN(headers));
        *colon = '\0';
        headers[request.n_headers++] = (struct header){line, colon + 1 + strspn(colon + 1, " ")};
    }
    if (sigv4_verify(&request, &check, parts, &code, &err) == 0)
        code = NULL;
    free(copy);
    return code;
}

static void on_request(void *ctx, struct script_conn *conn, const char *raw, size_t n,
                       unsigned number)
{
    struct aws_peer *peer = ctx;
    struct aws_peer_request request = {.number = number, .raw = raw, .body = script_body(raw)};
    struct sigv4_authorization parts = {0};
    char target[128];

    script_header(raw, "X-Amz-Target", target, sizeof(target));
    request.target = target;
    request.operation = strrchr(target, '.') != NULL ? strrchr(target, '.') + 1 : "";
    request.refusal = check_signature(peer, raw, n, &parts);
    request.body_len = n - (size_t)(request.body - raw);
    request.region = parts.region;
    peer->on_request(peer->ctx, conn, &request);
}

void aws_peer_start(struct aws_peer *peer, uv_loop_t *loop)
{
    memset(peer, 0, sizeof(*peer));
    peer->region = "us-east-1";
    (void)str_copy(peer->access_key, sizeof(peer->access_key), "AKIDPEER");
    (void)str_copy(peer->secret, sizeof(peer->secret), "peer-secret");
    script_server_start(&peer->server, loop, on_request, peer);
}

void aws_peer_reply(struct aws_peer *peer, struct script_conn *conn, int status, const char *body)
{
    time_t now = (time_t)((clock_wall_ms() + peer->clock_offset_ms) / 1000);
    struct tm tm;
    char headers[128];

    ck_assert_ptr_nonnull(gmtime_r(&now, &tm));
    ck_assert_uint_gt(strftime(headers, sizeof(headers),
                               "Date: %a, %d %b %Y %H:%M:%S GMT\r\nx-amzn-RequestId: req-1\r\n",
                               &tm),
                      0);
    script_reply(conn, status, headers, body);
}

void aws_client_start(struct aws_client *c, struct aws_peer *peer, uv_loop_t *loop)
{
    static const struct env_source env = {get_variable, NULL};
    static const char *const defaults[] = {"AWS_ACCESS_KEY_ID",
                                           "AKIDPEER",
                                           "AWS_SECRET_ACCESS_KEY",
                                           "peer-secret",
                                           "AWS_SESSION_TOKEN",
                                           AWS_PEER_TOKEN,
                                           "HOME",
                                           "/nonexistent"};
    const struct http_options http_options = {.env = &env, .connect_timeout_ms = 2000};
    struct aws_options options = {.region = "us-east-1", .retry_unit_ms = 1};
    struct err err = {0};
    char url[64];
    int i;

    memset(aws_client_variables, 0, sizeof(aws_client_variables));
    memcpy(aws_client_variables, defaults, sizeof(defaults));
    (void)snprintf(url, sizeof(url), "http://127.0.0.1:%d", peer->server.port);
    for (i = 0; i < AWS_SERVICE_COUNT; i++)
        options.endpoints[i] = url;
    ck_assert_msg(http_new(loop, &http_options, &c->http, &err) == 0, "%s", err.text);
    ck_assert_int_eq(credentials_default_new(&env, &c->credentials, &err), 0);
    options.http = c->http;
    options.credentials = c->credentials;
    ck_assert_msg(aws_new(loop, &options, &c->aws, &err) == 0, "%s", err.text);
}

void aws_client_stop(struct aws_client *c)
{
    aws_close(c->aws);
    http_close(c->http);
    credentials_provider_free(c->credentials);
}
