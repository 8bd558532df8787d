/* What operators and agents send to ssmhub: each line is a letter for the operation and a body. The
 * calls of one input share a store in memory, so that a reply can belong to a command. Whatever
 * comes, a call is answered as JSON or refused by name, and never fails inside. */
#include <stdlib.h>
#include <string.h>

#include "hub/api.h"
#include "hub/document.h"

#define COMMAND "2b196342-d7d4-436e-8f09-3883a1116ac3"
#define INSTANCE "i-0123456789abcdef0"

static const char *const targets[] = {
    "EC2WindowsMessageDeliveryService.GetMessages",
    "EC2WindowsMessageDeliveryService.AcknowledgeMessage",
    "EC2WindowsMessageDeliveryService.SendReply",
    "EC2WindowsMessageDeliveryService.FailMessage",
    "EC2WindowsMessageDeliveryService.DeleteMessage",
    "AmazonSSM.UpdateInstanceInformation",
    "AmazonSSM.DescribeInstanceInformation",
    "AmazonSSM.SendCommand",
    "AmazonSSM.CancelCommand",
    "AmazonSSM.ListCommands",
    "AmazonSSM.ListCommandInvocations",
    "AmazonSSM.GetCommandInvocation",
    "AmazonSSM.CreateDocument",
    "AmazonSSM.UpdateDocument",
    "AmazonSSM.GetDocument",
    "AmazonSSM.DescribeDocument",
    "AmazonSSM.ListDocuments",
    "AmazonSSM.DeleteDocument",
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool is_so)
{
    if (!is_so)
        abort();
}

/* A command whose ids are known, so that lines can speak of it. */
static void add_command(struct store *store)
{
    const struct command_row command = {.id = COMMAND,
                                        .document_name = "AWS-RunShellScript",
                                        .document_version = "$DEFAULT",
                                        .comment = "",
                                        .parameters = "{}",
                                        .echo = "",
                                        .s3_bucket = "",
                                        .s3_prefix = "",
                                        .s3_region = "",
                                        .cloud_watch = "",
                                        .steps = "[\"aws:runShellScript\"]",
                                        .expires_ms = INT64_MAX};
    const struct invocation_row invocation = {.command_id = COMMAND,
                                              .instance_id = INSTANCE,
                                              .message_id = "aws.ssm." COMMAND "." INSTANCE,
                                              .deliver_by_ms = INT64_MAX,
                                              .expires_ms = INT64_MAX};
    const struct message_row message = {.id = "aws.ssm." COMMAND "." INSTANCE,
                                        .destination = INSTANCE,
                                        .command_id = COMMAND,
                                        .state = "queued",
                                        .deliver_by_ms = INT64_MAX};
    struct err err;

    require(store_begin(store, &err) == 0);
    require(store_instance_put(store, INSTANCE, NULL, 1, 0, &err) == 0);
    require(store_command_add(store, &command, &err) == 0);
    require(store_invocation_add(store, &invocation, &err) == 0);
    require(store_message_add(store, &message, &err) == 0);
    require(store_commit(store, &err) == 0);
}

static void call_one(struct hub *hub, const char *line, size_t n)
{
    AUTO(cJSON_Delete) cJSON *answer = NULL;
    AUTO(buf_done) struct buf out = {0};
    struct call call = {.hub = hub, .out = &out, .now_ms = 1000, .is_last_look = true};
    struct err err;
    int r;

    if (n == 0)
        return;
    buf_init(&out, API_MAX_ANSWER_BYTES);
    r = api_run(&call, api_find(targets[(unsigned char)line[0] % ARRAY_LEN(targets)]), line + 1,
                n - 1, &err);
    require(r == 0 || (r == ERR_REFUSED && call.error_code[0] != '\0'));
    if (r == 0)
        require(json_parse(buf_str(&out), out.len, API_MAX_ANSWER_BYTES, JSON_REFUSE, "answer",
                           &answer, &err) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO(store_close) struct store *store = NULL;
    struct hub hub = {.region = "us-east-1", .url = "http://hub", .poll_ms = 1000};
    const char *p = (const char *)data, *end = p + size;
    struct err err;

    require(store_open(":memory:", &store, &err) == 0);
    require(document_add_built_in(store, 1, &err) == 0);
    add_command(store);
    hub.store = store;
    while (p < end) {
        const char *newline = memchr(p, '\n', (size_t)(end - p));
        const char *stop = newline != NULL ? newline : end;

        call_one(&hub, p, (size_t)(stop - p));
        p = stop + 1;
    }
    return 0;
}
