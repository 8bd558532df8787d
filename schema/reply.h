/* Replies: the payload that tells the service how a command stands, its texts cut to their limits,
 * and the arithmetic of statuses. Also the way back, for the hub. Spec 03 sections 6,
 * 7, 11.3, 11.4. Any thread; no state. */
#ifndef SSMD_SCHEMA_REPLY_H
#define SSMD_SCHEMA_REPLY_H

#include "base/buf.h"
#include "base/clock.h"
#include "schema/json.h"

#define REPLY_MAX_CONTROL_CHANNEL_BYTES 120000u /* content of one agent_job_reply (section 5.4) */
#define REPLY_STREAM_BYTES 24000u               /* standardOutput, standardError, each */
#define REPLY_OUTPUT_BYTES 2500u                /* the combined output */
#define REPLY_STREAM_SUFFIX "--output truncated--"

/* ---- Statuses: names are what is sent and stored; the order of the table is that of merging ----
 */

enum reply_status {
    STATUS_NONE, /* "" */
    STATUS_SKIPPED,
    STATUS_SUCCESS,
    STATUS_SUCCESS_AND_REBOOT,
    STATUS_PASSED_AND_REBOOT,
    STATUS_NOT_STARTED,
    STATUS_IN_PROGRESS,
    STATUS_FAILED,
    STATUS_CANCELLED,
    STATUS_TIMED_OUT,
    STATUS_COUNT_,
};

const char *reply_status_name(enum reply_status status);
/* STATUS_COUNT_ for a name that is not in the table; NULL and "" are STATUS_NONE. */
enum reply_status reply_status_of(const char *name);
/* No later reply may change it: Success, Failed, TimedOut, Cancelled. */
bool reply_status_is_terminal(const char *name);

/* The final status of a document (section 7.3). */
const char *reply_document_status(const char *const *names, size_t n);
/* Two results of one plugin (section 7.4). Names that are not known lose against known ones. */
const char *reply_merge_status(const char *a, const char *b);

/* ---- Texts ---- */

/* Append a stream as standardOutput or standardError has it: valid UTF-8 (each bad byte U+FFFD),
 * and when it has REPLY_STREAM_BYTES or more, cut at a character boundary so that it and
 * REPLY_STREAM_SUFFIX have at most that. `n` may count only the first REPLY_STREAM_BYTES of a
 * longer stream. */
void reply_truncate_stream(const char *s, size_t n, struct buf *b);

/* Append the combined `output` of both streams (section 11.4): at most REPLY_OUTPUT_BYTES, cut at
 * character boundaries, valid UTF-8. Each may be only the beginning of a longer stream, provided
 * that it has REPLY_OUTPUT_BYTES. */
void reply_combine_output(const char *out, size_t n_out, const char *error, size_t n_error,
                          struct buf *b);

/* ---- Payloads ---- */

struct reply_agent {
    const char *lang, *name, *os, *osver, *ver;
};

/* -1 leaves ableToOpenMGSConnection out (replies that do not go through ec2messages). */
enum reply_mgs { REPLY_MGS_ABSENT = -1, REPLY_MGS_DOWN = 0, REPLY_MGS_UP = 1 };

struct reply_header {
    struct reply_agent agent;
    int64_t now_unix_ms;
    enum reply_mgs mgs;
    size_t max_bytes; /* of the payload; 0: no limit */
};

struct reply_text {
    const char *s; /* need not be valid UTF-8 nor NUL-terminated; NULL when len is 0 */
    size_t len;
};

/* One finished step. Failed with code 0 is sent with code 1. */
struct reply_plugin {
    const char *id, *name, *status;
    int64_t code;
    int64_t started_unix_ms, ended_unix_ms; /* 0: not set */
    struct reply_text output;               /* already combined, or the note of a step not run */
    struct reply_text standard_output, standard_error; /* already truncated */
    const char *s3_bucket;                             /* "" or NULL: no upload */
    const char *s3_prefix; /* of the document; sent as <prefix>/<plugin name without colons> */
    const char *step_name; /* colons are removed */
};

/* Append a payload to *b. When it would be larger than max_bytes the texts of its plugins are
 * shortened until it fits, the longest first. ERR_LIMIT when it does not fit without them either,
 * or not into *b; ERR_NOMEM.
 *
 * Steps of one id are one result: the last one's texts stand (output files are appended to, so they
 * hold both), the status is merged, the first code that is not 0 counts. */
int reply_document_level(const struct reply_header *h, const char *status, const char *trace,
                         struct buf *b, struct err *err) MUST_CHECK;
/* After a step: `finished` are all results so far, in the order in which they came; only the last
 * one is sent in full. n >= 1. */
int reply_plugin_level(const struct reply_header *h, const struct reply_plugin *finished, size_t n,
                       struct buf *b, struct err *err) MUST_CHECK;
/* The end. `status` NULL: computed from the results. */
int reply_final(const struct reply_header *h, const struct reply_plugin *finished, size_t n,
                const char *status, struct buf *b, struct err *err) MUST_CHECK;

/* ---- The way back ---- */

/* Texts are owned by the tree. A NUL in a text was replaced by U+FFFD. */
struct reply_result {
    const char *id, *name, *status;
    int64_t code;
    const char *output, *standard_output, *standard_error;
    const char *started, *ended; /* ISO, as sent */
    const char *s3_bucket, *s3_prefix, *step_name;
};

struct reply {
    cJSON *root; /* owned */
    const char *document_status;
    const char *trace;
    const cJSON *status_counts;   /* an object, or NULL */
    struct reply_result *results; /* owned; sorted by id */
    size_t n_results;
    enum reply_mgs mgs;
};

/* ERR_INVALID names the field; ERR_LIMIT, ERR_NOMEM. On success the caller owns *ret_reply. */
int reply_parse(const char *payload, size_t n, struct reply *ret_reply, struct err *err) MUST_CHECK;
void reply_done(struct reply *r);

static inline void reply_done_cleanup(struct reply *r)
{
    reply_done(r);
}

#endif
