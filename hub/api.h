/* One call of the API on its way through the hub: what came in, what goes out, and how an operation
 * refuses. Main thread. */
#ifndef SSMD_HUB_API_H
#define SSMD_HUB_API_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "hub/auth.h"
#include "hub/bucket_store.h"
#include "hub/faults.h"
#include "hub/sealing_key.h"
#include "hub/store.h"
#include "schema/json.h"

#define API_MAX_BODY_BYTES (1u << 20)
#define API_MAX_REQUEST_BYTES (8u << 20) /* log events, as JSON */
#define API_MAX_ANSWER_BYTES (64u << 20)
#define ACCOUNT_ID "000000000000" /* the owner of documents, where the API wants to name one */

struct control; /* hub/control.h */

/* What all calls share. */
struct hub {
    struct store *store;            /* owned */
    struct bucket_store *buckets;   /* owned */
    struct faults faults;           /* test hooks; at rest without --faults */
    struct sealing_key sealing_key; /* for SecureStrings */
    const char *region;             /* borrowed */
    const char *url;                /* borrowed */
    int64_t poll_ms;                /* how long GetMessages waits for a message */
    int64_t date_offset_ms;
    int64_t role_token_ms;   /* how long the keys of a node's role are good */
    struct control *control; /* the server's; NULL while there is none */
    bool denies_control;     /* --no-control-channel */
    bool uses_both_channels; /* a fault: messages are offered on both, whichever is there */
    bool has_faults;         /* --faults */
    bool is_woken; /* an operation made messages: look at the waiting polls (server.c clears it) */
    int64_t next_expiry_ms; /* when an invocation is due to expire; INT64_MAX: none is open */
};

struct call {
    struct hub *hub;                  /* borrowed */
    const cJSON *in;                  /* borrowed; an object */
    struct buf *out;                  /* borrowed; the body of the answer, empty at first */
    const struct auth_caller *caller; /* borrowed; NULL in the test calls */
    int64_t now_ms;                   /* Unix time of the hub */
    bool is_last_look;                /* GetMessages: answer with what there is, even nothing */
    int64_t wait_ms; /* set by GetMessages instead of an answer: not before then, or a wake-up;
                      * 0: there is an answer */
    char error_code[64];
    char note[96]; /* for the log line */
};

/* An operation answers into call->out, or refuses with api_refuse(), or fails with any other error
 * (told to the client as an internal error, and logged). It runs inside a transaction, which is
 * rolled back unless it returns 0. */
typedef int (*api_operation)(struct call *call, struct err *err);

/* Set the API's error code and message; returns ERR_REFUSED. */
int api_refuse(struct call *call, struct err *err, const char *error_code, const char *fmt, ...)
    PRINTF_LIKE(4, 5);
/* HTTP status that AWS uses with this error code. */
unsigned api_http_status(const char *error_code);

/* Members of the input, checked as the service does before anything else: a wrong type is
 * SerializationException, a value out of bounds ValidationException. An absent member that is not
 * required leaves *ret_ untouched. Results are borrowed from the input. */
struct str_rule {
    const char *name;
    size_t min, max;     /* characters; max 0: no bound but that of the body */
    const char *pattern; /* of the whole value; NULL: any */
    bool is_required;
};
int api_str(struct call *call, const struct str_rule *rule, const char **ret_value, struct err *err)
    MUST_CHECK;
int api_i64(struct call *call, const char *name, int64_t min, int64_t max, int64_t *ret_value,
            struct err *err) MUST_CHECK;
int api_bool(struct call *call, const char *name, bool *ret_value, struct err *err) MUST_CHECK;
/* A list of strings; *ret_list is NULL when absent. */
int api_str_list(struct call *call, const cJSON *object, const char *name, int max_items,
                 const cJSON **ret_list, struct err *err) MUST_CHECK;
/* A list of objects with these two members (a string and a list of strings, or two strings). */
int api_object(struct call *call, const char *name, const cJSON **ret_object, struct err *err)
    MUST_CHECK;
int api_list(struct call *call, const char *name, int max_items, const cJSON **ret_list,
             struct err *err) MUST_CHECK;

/* MaxResults and NextToken, which is a number or a name in hexadecimal. */
struct page {
    int64_t size;
    int64_t before_seq; /* INT64_MAX: from the start */
    char after[256];    /* "": from the start */
};
int api_page(struct call *call, int64_t min, int64_t max, struct page *ret_page, struct err *err)
    MUST_CHECK;
/* The end of a list, and of the answer whose last member it is. `r` is the last cursor_next_x():
 * negative is returned; 1: there is more behind `last`, and a NextToken leads there. */
int api_end_page_seq(struct call *call, int r, int64_t last_seq) MUST_CHECK;
int api_end_page_name(struct call *call, int r, const char *last_name) MUST_CHECK;

extern const struct str_rule rule_command_id;  /* required */
extern const struct str_rule rule_instance_id; /* not required */

/* Whether the whole of `value` matches. A pattern that cannot be compiled, or takes too much work,
 * matches everything: where it is a document's, the agent looks again. */
bool api_matches(const char *pattern, const char *value);

/* The table of operations. NULL: there is none of that name. `target` is X-Amz-Target. */
struct api_entry {
    const char *prefix; /* AmazonSSM or EC2WindowsMessageDeliveryService */
    const char *name;
    const char *service; /* name that is signed for */
    api_operation run;
    enum auth_kind auth;
};
const struct api_entry *api_find(const char *target);

/* Run one operation inside a transaction, with `body` as its input. 0: answered, or waiting
 * (call->wait_ms). ERR_REFUSED: call->error_code and err->text are for the client. Other errors are
 * for the log. */
int api_run(struct call *call, const struct api_entry *entry, const char *body, size_t n,
            struct err *err) MUST_CHECK;

/* api_message.c */
int api_get_messages(struct call *call, struct err *err);
int api_acknowledge_message(struct call *call, struct err *err);
int api_send_reply(struct call *call, struct err *err);
int api_fail_message(struct call *call, struct err *err);
int api_delete_message(struct call *call, struct err *err);
int api_get_endpoint(struct call *call, struct err *err);
/* api_command.c */
int api_send_command(struct call *call, struct err *err);
int api_cancel_command(struct call *call, struct err *err);
/* api_query.c */
int api_list_commands(struct call *call, struct err *err);
int api_list_command_invocations(struct call *call, struct err *err);
int api_get_command_invocation(struct call *call, struct err *err);
/* The members of one command, without braces: what SendCommand and ListCommands give back. */
void api_put_command(struct buf *out, const struct command_row *row);
/* api_instance.c */
int api_update_instance_information(struct call *call, struct err *err);
int api_describe_instance_information(struct call *call, struct err *err);
/* api_activation.c */
int api_create_activation(struct call *call, struct err *err);
int api_describe_activations(struct call *call, struct err *err);
int api_delete_activation(struct call *call, struct err *err);
/* api_node.c */
int api_register_managed_instance(struct call *call, struct err *err);
int api_deregister_managed_instance(struct call *call, struct err *err);
int api_request_role_token(struct call *call, struct err *err);
int api_update_public_key(struct call *call, struct err *err);
/* api_document.c */
int api_create_document(struct call *call, struct err *err);
int api_update_document(struct call *call, struct err *err);
int api_update_document_default_version(struct call *call, struct err *err);
int api_get_document(struct call *call, struct err *err);
int api_describe_document(struct call *call, struct err *err);
int api_list_documents(struct call *call, struct err *err);
int api_list_document_versions(struct call *call, struct err *err);
int api_delete_document(struct call *call, struct err *err);

/* api_parameter.c */
int api_put_parameter(struct call *call, struct err *err);
int api_delete_parameter(struct call *call, struct err *err);
int api_delete_parameters(struct call *call, struct err *err);
int api_label_parameter_version(struct call *call, struct err *err);
int api_unlabel_parameter_version(struct call *call, struct err *err);
/* api_parameter_query.c */
int api_get_parameter(struct call *call, struct err *err);
int api_get_parameters(struct call *call, struct err *err);
int api_get_parameters_by_path(struct call *call, struct err *err);
int api_get_parameter_history(struct call *call, struct err *err);
int api_describe_parameters(struct call *call, struct err *err);

/* api_logs.c */
int api_create_log_group(struct call *call, struct err *err);
int api_create_log_stream(struct call *call, struct err *err);
int api_delete_log_group(struct call *call, struct err *err);
int api_put_log_events(struct call *call, struct err *err);
/* api_logs_query.c */
int api_describe_log_groups(struct call *call, struct err *err);
int api_describe_log_streams(struct call *call, struct err *err);
int api_get_log_events(struct call *call, struct err *err);
int api_filter_log_events(struct call *call, struct err *err);
/* api_kms.c */
int api_kms_encrypt(struct call *call, struct err *err);
int api_kms_decrypt(struct call *call, struct err *err);
int api_kms_generate_data_key(struct call *call, struct err *err);

/* test_api.c: /_state, /_inject, /_faults. Never signed; only with --faults, which insists on
 * loopback. `call->in` is NULL for a GET. ERR_NOT_FOUND: there is no such path; other permanent
 * errors are the caller's fault. */
int test_api_run(struct call *call, const char *path, struct err *err) MUST_CHECK;

#endif
