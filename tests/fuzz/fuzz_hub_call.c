/* What operators and agents send to ssmhub: each line is a letter for the operation and a body. The
 * calls of one input share a store in memory, so that a reply can belong to a command. Whatever
 * comes, a call is answered as JSON or refused by name, and never fails inside. */
#include <string.h>

#include "hub/api.h"
#include "hub/document.h"
#include "tests/fuzz/hub_command.h"

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
