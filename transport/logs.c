/* Calls of CloudWatch Logs: make, look, put, and the repair of sequence tokens (which today's
 * service ignores, but others ask for). */
#include "transport/logs.h"

#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "schema/json.h"

#define RETRIES 5U
#define MAX_REQUEST_BYTES (10u << 20)
#define MAX_PAGES 20 /* of a description: the exact name comes among the first */
#define MAX_TOKEN_TRIES 3
#define PUT_TIMEOUT_MS 60000

struct logs_call {
    struct aws *aws;
    struct aws_call *call;
    char *group, *stream; /* owned; stream NULL: about the group */
    struct buf events;    /* of a put */
    char token[512];      /* "": none */
    unsigned n_pages, n_token_tries;
    struct err first_err; /* of a making that was refused */
    bool is_first_permanent;
    logs_done_fn done;
    void *ctx;
};

static void free_call(struct logs_call *c)
{
    free(c->group);
    free(c->stream);
    buf_done(&c->events);
    free(c);
}

void logs_cancel(struct logs_call *call)
{
    if (call == NULL)
        return;
    aws_cancel(call->call);
    free_call(call);
}

static void finish(struct logs_call *c, const struct err *err, bool is_gone, bool is_permanent)
{
    const struct logs_result result = {err, is_gone, is_permanent};

    c->done(c->ctx, &result);
    free_call(c);
}

static bool is_permanent(const struct aws_result *result)
{
    return str_eq(result->error_code, "AccessDeniedException") ||
           str_eq(result->error_code, "AccessDenied") || result->err->code == ERR_REFUSED ||
           result->err->code == ERR_INVALID || result->err->code == ERR_LIMIT;
}

static void finish_failed(struct logs_call *c, const struct aws_result *result)
{
    finish(c, result->err, str_eq(result->error_code, "ResourceNotFoundException"),
           is_permanent(result));
}

static void add_member(struct buf *b, const char *name, const char *value)
{
    if (value == NULL || *value == '\0')
        return;
    (void)buf_printf(b, "%s\"%s\":", b->len > 1 ? "," : "", name);
    (void)buf_add_json_str(b, value, strlen(value)); /* buf_error() is asked at the end */
}

static int start(struct logs_call *c, const char *operation, struct buf *body, aws_done_fn done,
                 struct err *err)
{
    int r;

    (void)buf_add_char(body, '}');
    r = buf_error(body, operation, err);
    if (r < 0)
        return r;
    const struct aws_request request = {.service = AWS_LOGS,
                                        .operation = operation,
                                        .body = body->data,
                                        .body_len = body->len,
                                        .timeout_ms = PUT_TIMEOUT_MS,
                                        .n_retries = RETRIES};
    return aws_start(c->aws, &request, done, c, &c->call, err);
}

static void begin(struct buf *body)
{
    buf_init(body, MAX_REQUEST_BYTES);
    (void)buf_add_char(body, '{');
}

/* ---- looking for a name ---- */

static int describe(struct logs_call *c, const char *next, aws_done_fn done, struct err *err)
{
    AUTO(buf_done) struct buf body = {0};

    begin(&body);
    if (c->stream != NULL) {
        add_member(&body, "logGroupName", c->group);
        add_member(&body, "logStreamNamePrefix", c->stream);
    } else {
        add_member(&body, "logGroupNamePrefix", c->group);
    }
    add_member(&body, "nextToken", next);
    return start(c, c->stream != NULL ? "DescribeLogStreams" : "DescribeLogGroups", &body, done,
                 err);
}

/* The row of the exact name, or NULL; *ret_next: borrowed, or NULL at the end. */
static const cJSON *find_row(const struct logs_call *c, const cJSON *root, const char **ret_next)
{
    const cJSON *rows = json_get_exact(root, c->stream != NULL ? "logStreams" : "logGroups"), *row;
    const char *wanted = c->stream != NULL ? c->stream : c->group;

    *ret_next = cJSON_GetStringValue(json_get_exact(root, "nextToken"));
    cJSON_ArrayForEach(row, rows)
    {
        const char *name = cJSON_GetStringValue(
            json_get_exact(row, c->stream != NULL ? "logStreamName" : "logGroupName"));

        if (str_eq(name, wanted))
            return row;
    }
    return NULL;
}

/* 1: found (its token, if it has one, is taken over); 0: not there; 2: another page was asked for;
 * negative: failed. */
static int look(struct logs_call *c, const struct aws_result *result, aws_done_fn again,
                struct err *err)
{
    AUTO(cJSON_Delete) cJSON *root = NULL;
    const cJSON *row;
    const char *next, *token;
    int r = json_parse(result->body, result->len, 1u << 20, JSON_MEND, "logs", &root, err);

    if (r < 0)
        return r;
    row = find_row(c, root, &next);
    if (row != NULL) {
        token = cJSON_GetStringValue(json_get_exact(row, "uploadSequenceToken"));
        if (token == NULL || !str_copy(c->token, sizeof(c->token), token))
            c->token[0] = '\0';
        return 1;
    }
    if (next == NULL || *next == '\0' || ++c->n_pages >= MAX_PAGES)
        return 0;
    r = describe(c, next, again, err);
    return r < 0 ? r : 2;
}

/* ---- making ---- */

static void on_looked(void *ctx, const struct aws_result *result)
{
    struct logs_call *c = ctx;
    int r = 0;

    c->call = NULL;
    if (result->err == NULL)
        r = look(c, result, on_looked, NULL);
    if (r == 2)
        return;
    if (r == 1)
        finish(c, NULL, false, false);
    else
        finish(c, &c->first_err, false, c->is_first_permanent);
}

static void on_created(void *ctx, const struct aws_result *result)
{
    struct logs_call *c = ctx;

    c->call = NULL;
    if (result->err == NULL || str_eq(result->error_code, "ResourceAlreadyExistsException")) {
        finish(c, NULL, false, false);
        return;
    }
    c->first_err = *result->err;
    c->is_first_permanent = is_permanent(result);
    if (result->http_status == 0 ||
        str_eq(result->error_code, "ResourceNotFoundException") || /* a stream without its group */
        describe(c, NULL, on_looked, NULL) < 0)
        finish_failed(c, result);
}

static struct logs_call *new_call(struct aws *aws, const char *group, const char *stream,
                                  logs_done_fn done, void *ctx, struct err *err)
{
    struct logs_call *c = calloc(1, sizeof(*c));

    if (c != NULL) {
        c->aws = aws;
        c->done = done;
        c->ctx = ctx;
        buf_init(&c->events, MAX_REQUEST_BYTES);
        c->group = strdup(group);
        c->stream = stream != NULL ? strdup(stream) : NULL;
    }
    if (c != NULL && c->group != NULL && (stream == NULL || c->stream != NULL))
        return c;
    if (c != NULL)
        free_call(c);
    (void)err_set(err, ERR_NOMEM, "log group %s: out of memory", group);
    return NULL;
}

static int hand_out(struct logs_call *c, int r, struct logs_call **ret_call)
{
    if (r < 0)
        free_call(c);
    else if (ret_call != NULL)
        *ret_call = c;
    return r;
}

int logs_create(struct aws *aws, const char *group, const char *stream, logs_done_fn done,
                void *ctx, struct logs_call **ret_call, struct err *err)
{
    AUTO(buf_done) struct buf body = {0};
    struct logs_call *c = new_call(aws, group, stream, done, ctx, err);

    if (c == NULL)
        return ERR_NOMEM;
    begin(&body);
    add_member(&body, "logGroupName", group);
    add_member(&body, "logStreamName", stream);
    return hand_out(
        c, start(c, stream != NULL ? "CreateLogStream" : "CreateLogGroup", &body, on_created, err),
        ret_call);
}

/* ---- putting ---- */

static int put(struct logs_call *c, struct err *err);

static void on_token(void *ctx, const struct aws_result *result)
{
    struct logs_call *c = ctx;
    struct err err = {0};
    int r;

    c->call = NULL;
    if (result->err != NULL) {
        finish_failed(c, result);
        return;
    }
    r = look(c, result, on_token, &err);
    if (r == 2)
        return;
    if (r == 0)
        r = err_set(&err, ERR_REFUSED, "log stream %s of group %s is not there", c->stream,
                    c->group);
    if (r == 1)
        r = put(c, &err);
    if (r < 0)
        finish(c, &err, r == ERR_REFUSED, r == ERR_REFUSED);
}

static void on_put(void *ctx, const struct aws_result *result)
{
    struct logs_call *c = ctx;
    struct err err = {0};

    c->call = NULL;
    if (result->err == NULL || str_eq(result->error_code, "DataAlreadyAcceptedException")) {
        finish(c, NULL, false, false);
        return;
    }
    if (!str_eq(result->error_code, "InvalidSequenceTokenException") ||
        ++c->n_token_tries > MAX_TOKEN_TRIES) {
        finish_failed(c, result);
        return;
    }
    c->n_pages = 0;
    if (describe(c, NULL, on_token, &err) < 0)
        finish(c, &err, false, false);
}

static int put(struct logs_call *c, struct err *err)
{
    AUTO(buf_done) struct buf body = {0};

    begin(&body);
    add_member(&body, "logGroupName", c->group);
    add_member(&body, "logStreamName", c->stream);
    add_member(&body, "sequenceToken", c->token);
    (void)buf_add_str(&body, ",\"logEvents\":[");
    (void)buf_add(&body, buf_str(&c->events), c->events.len);
    (void)buf_add_char(&body, ']');
    return start(c, "PutLogEvents", &body, on_put, err);
}

int logs_put(struct aws *aws, const char *group, const char *stream, const struct logs_batch *batch,
             logs_done_fn done, void *ctx, struct logs_call **ret_call, struct err *err)
{
    struct logs_call *c = new_call(aws, group, stream, done, ctx, err);
    int r = 0;

    if (c == NULL)
        return ERR_NOMEM;
    if (buf_add(&c->events, buf_str(&batch->events), batch->events.len) < 0)
        r = buf_error(&c->events, "log events", err);
    if (r == 0)
        r = put(c, err);
    return hand_out(c, r, ret_call);
}
