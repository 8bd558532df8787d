/* The three calls that answer a message. */
#include <string.h>

#include "transport/mds_internal.h"

#define MAX_REQUEST_BYTES (8u << 20)

/* One object of text members; */
struct member {
    const char *name, *value;
    size_t n;
};

static int start(struct mds *m, const char *operation, const struct member *members,
                 size_t n_members, aws_done_fn done, void *ctx, struct aws_call **ret_call,
                 struct err *err)
{
    AUTO(buf_done) struct buf body = {0};
    size_t i;
    int r;

    buf_init(&body, MAX_REQUEST_BYTES);
    for (i = 0; i < n_members; i++) {
        (void)buf_printf(&body, "%s\"%s\":", i > 0 ? "," : "{", members[i].name);
        (void)buf_add_json_str(&body, members[i].value, members[i].n);
    }
    (void)buf_add_char(&body, '}');
    r = buf_error(&body, operation, err);
    if (r < 0)
        return r;
    return aws_start(m->aws,
                     &(struct aws_request){.service = AWS_EC2MESSAGES,
                                           .operation = operation,
                                           .body = body.data,
                                           .body_len = body.len,
                                           .timeout_ms = m->stop_timeout_ms,
                                           .n_retries = m->n_reply_retries},
                     done, ctx, ret_call, err);
}

int mds_send_reply(struct mds *mds, const char *message_id, const char *reply_id,
                   const char *payload, size_t n, aws_done_fn done, void *ctx,
                   struct aws_call **ret_call, struct err *err)
{
    const struct member members[] = {{"MessageId", message_id, strlen(message_id)},
                                     {"Payload", payload, n},
                                     {"ReplyId", reply_id, strlen(reply_id)}};

    return start(mds, "SendReply", members, ARRAY_LEN(members), done, ctx, ret_call, err);
}

int mds_acknowledge(struct mds *mds, const char *message_id, aws_done_fn done, void *ctx,
                    struct aws_call **ret_call, struct err *err)
{
    const struct member members[] = {{"MessageId", message_id, strlen(message_id)}};

    return start(mds, "AcknowledgeMessage", members, ARRAY_LEN(members), done, ctx, ret_call, err);
}

int mds_fail(struct mds *mds, const char *message_id, aws_done_fn done, void *ctx,
             struct aws_call **ret_call, struct err *err)
{
    static const char failure[] = "InternalHandlerException";
    const struct member members[] = {{"FailureType", failure, sizeof(failure) - 1},
                                     {"MessageId", message_id, strlen(message_id)}};

    return start(mds, "FailMessage", members, ARRAY_LEN(members), done, ctx, ret_call, err);
}
