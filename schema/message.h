/* Messages as they come from the service: the answer of GetMessages and its messages, the payloads
 * of send and cancel messages, error bodies. Spec 03 sections 2, 3, 5.2; 02 sections 2.4, 5. Any
 * thread; no state. */
#ifndef SSMD_SCHEMA_MESSAGE_H
#define SSMD_SCHEMA_MESSAGE_H

#include "base/buf.h"
#include "schema/json.h"

#define MESSAGE_MAX_RESPONSE_BYTES (16u << 20)
#define MESSAGE_MAX_PAYLOAD_BYTES (4u << 20)
#define MESSAGE_MAX_NAME_BYTES 1024u /* ids, topics, names: any text that is not content */
#define MESSAGE_MAX_BATCH 1000u

/* One message of a GetMessages answer. Texts are owned by the batch. */
struct mds_message {
    const char *message_id;
    const char *destination;
    const char *topic;
    const char *created_date;
    const char *payload; /* NULL when absent or not usable as a text; for its parser to say */
    bool is_valid;       /* false: drop it without any call (spec 03, section 3.2) */
    char problem[160];   /* why it is not valid, or why its payload is NULL; else "" */
};

struct mds_messages {
    cJSON *root; /* owned; what the texts point into */
    struct mds_message *items;
    size_t n;
};

/* The body of a GetMessages answer. One bad message never hurts the others: it is marked. No list
 * at all, or null, is an empty batch. ERR_PROTOCOL when the body as a whole cannot be used,
 * ERR_NOMEM. On success the caller owns *ret_messages: mds_messages_done(). */
int mds_messages_parse(const char *body, size_t n, struct mds_messages *ret_messages,
                       struct err *err) MUST_CHECK;
void mds_messages_done(struct mds_messages *m);

/* The payload of an agent_job frame of the control channel. Texts point into root. */
struct agent_job {
    cJSON *root;         /* owned */
    const char *job_id;  /* the message id; never NULL or empty */
    const char *topic;   /* "" when absent */
    const char *content; /* as the payload of mds_message; "" when absent */
    int64_t schema_version;
};
int agent_job_parse(const char *payload, size_t n, struct agent_job *ret_job, struct err *err)
    MUST_CHECK;
void agent_job_done(struct agent_job *job);

/* What an agent_job_reply_ack payload acknowledges: ids are copied into the caller's arrays.
 * ERR_INVALID, ERR_LIMIT. */
struct agent_job_reply_ack {
    char job_id[MESSAGE_MAX_NAME_BYTES + 1];
    char acknowledged_message_id[64];
};
int agent_job_reply_ack_parse(const char *payload, size_t n, struct agent_job_reply_ack *ret_ack,
                              struct err *err) MUST_CHECK;

enum message_kind { MESSAGE_UNKNOWN, MESSAGE_SEND, MESSAGE_CANCEL };
enum message_kind message_kind_of_topic(const char *topic); /* by prefix; NULL is unknown */

/* The command id inside a message id: of aws.ssm.<command>.<instance> the part before the last,
 * else the whole (spec 03, section 3.3). It becomes a key of the journal and part of S3 keys, so
 * one that is empty, ".", "..", longer than COMMAND_ID_MAX, or holds '/' or a control character is
 * ERR_INVALID. */
#define COMMAND_ID_MAX 255u
int message_command_id(const char *message_id, char ret_command_id[COMMAND_ID_MAX + 1],
                       struct err *err) MUST_CHECK;

/* The payload of a send message (spec 03, section 3.4). Texts are never NULL and, like the two
 * trees, are borrowed from root. */
struct send_payload {
    cJSON *root;             /* owned */
    const cJSON *parameters; /* an object, or NULL */
    const cJSON *document;   /* an object */
    const char *command_id;
    const char *document_name;
    const char *s3_bucket;
    const char *s3_prefix;
    const char *log_group;
    bool is_cloudwatch_enabled;
};
/* The error text is meant for documentTraceOutput and names the field. ERR_INVALID, ERR_LIMIT,
 * ERR_NOMEM. `payload` may be NULL (absent). */
int send_payload_parse(const char *payload, size_t n, struct send_payload *ret_payload,
                       struct err *err) MUST_CHECK;
void send_payload_done(struct send_payload *p);
/* The payload that the service would send for this document; `parameters` may be NULL. Appends.
 * ERR_LIMIT, ERR_NOMEM. */
int send_payload_make(const char *command_id, const char *name, const cJSON *parameters,
                      const cJSON *document, struct buf *payload, struct err *err) MUST_CHECK;

/* Where the output goes (spec 03, section 3.4). Append to *b; look at buf_error() afterwards.
 *   S3 key prefix of the document: <OutputS3KeyPrefix>/<CommandId>/<instance>
 *   log group: the one that was given, else /aws/ssm/<document name>, odd characters as '.' */
void send_payload_s3_prefix(const struct send_payload *p, const char *instance_id, struct buf *b);
void send_payload_log_group(const struct send_payload *p, struct buf *b);

struct cancel_payload {
    cJSON *root;                   /* owned */
    const char *cancel_message_id; /* never empty */
};
int cancel_payload_parse(const char *payload, size_t n, struct cancel_payload *ret_payload,
                         struct err *err) MUST_CHECK;
void cancel_payload_done(struct cancel_payload *p);

/* An error body of an AWS JSON service: {"__type":"prefix#Code","message":"..."}. Never fails: a
 * body that is empty or not JSON gives the code "SerializationError" (spec 02, section 2.4). Texts
 * are cut to their size at a character boundary. */
struct aws_error {
    char code[128];
    char message[384];
};
void aws_error_parse(const char *body, size_t n, struct aws_error *ret_error);

static inline void mds_messages_done_cleanup(struct mds_messages *m)
{
    mds_messages_done(m);
}
static inline void agent_job_done_cleanup(struct agent_job *job)
{
    agent_job_done(job);
}
static inline void send_payload_done_cleanup(struct send_payload *p)
{
    send_payload_done(p);
}
static inline void cancel_payload_done_cleanup(struct cancel_payload *p)
{
    cancel_payload_done(p);
}

#endif
