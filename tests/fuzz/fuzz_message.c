/* Envelopes and payloads from any bytes: no crash, and what is accepted keeps its promises. */
#include <stdlib.h>
#include <string.h>

#include "schema/message.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t n);

static void check_command_id(const char *message_id)
{
    char id[COMMAND_ID_MAX + 1];

    if (message_command_id(message_id, id, NULL) == 0 &&
        (id[0] == '\0' || strchr(id, '/') != NULL || strcmp(id, "..") == 0))
        abort();
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t n)
{
    const char *text = (const char *)data;
    struct mds_messages m;
    struct agent_job job;
    struct agent_job_reply_ack ack;
    struct send_payload send;
    struct cancel_payload cancel;
    struct err err;
    struct buf b;
    size_t i;

    if (mds_messages_parse(text, n, &m, &err) == 0) {
        for (i = 0; i < m.n; i++) {
            if (m.items[i].problem[0] == '\0' ? !m.items[i].is_valid
                                              : m.items[i].is_valid && m.items[i].payload != NULL)
                abort();
            if (m.items[i].is_valid)
                check_command_id(m.items[i].message_id);
        }
        mds_messages_done(&m);
    }
    if (agent_job_parse(text, n, &job, &err) == 0) {
        check_command_id(job.job_id);
        agent_job_done(&job);
    }
    if (agent_job_reply_ack_parse(text, n, &ack, &err) == 0 &&
        ack.acknowledged_message_id[0] == '\0')
        abort();
    if (send_payload_parse(text, n, &send, &err) == 0) {
        buf_init(&b, 1u << 20);
        send_payload_s3_prefix(&send, "i-0123456789abcdef0", &b);
        send_payload_log_group(&send, &b);
        if (b.failed != 0)
            abort();
        buf_done(&b);
        send_payload_done(&send);
    }
    if (cancel_payload_parse(text, n, &cancel, &err) == 0)
        cancel_payload_done(&cancel);
    return 0;
}
