/* Inputs of aws:downloadContent (spec 04, section 8), checked; and the request that the agent
 * leaves for ssmd-download. Any thread; no state. */
#ifndef SSMD_SCHEMA_DOWNLOAD_H
#define SSMD_SCHEMA_DOWNLOAD_H

#include "base/buf.h"
#include "schema/json.h"

#define DOWNLOAD_MAX_TEXT_BYTES 65536u /* of one field: a private key is the longest */
#define DOWNLOAD_MAX_REQUEST_BYTES (1u << 20)

enum download_source {
    DOWNLOAD_GITHUB,
    DOWNLOAD_GIT,
    DOWNLOAD_HTTP,
    DOWNLOAD_S3,
    DOWNLOAD_DOCUMENT,
};

enum download_auth { DOWNLOAD_AUTH_NONE, DOWNLOAD_AUTH_BASIC, DOWNLOAD_AUTH_DIGEST };

/* Texts are trimmed, never NULL, "" when absent, and borrowed from `root`. Those marked with R may
 * hold a reference to the Parameter Store in place of a value (section 8.9). */
struct download_inputs {
    cJSON *root; /* owned: a copy of sourceInfo */
    enum download_source source;
    const char *destination; /* as given; not trimmed; borrowed from the inputs */
    /* S3: path. SSMDocument: name. HTTP: url. Git: repository (a URL). */
    const char *location;
    enum download_auth auth;         /* HTTP */
    bool is_insecure_allowed;        /* HTTP: plain http is fine */
    const char *username, *password; /* HTTP, Git. R */
    const char *private_key;         /* Git. R */
    bool skips_host_key;             /* Git */
    const char *owner, *repository;  /* GitHub */
    const char *path;                /* GitHub; without a slash at its end; "": all of it */
    const char *token;               /* GitHub. R: a secure one, or "" */
    const char *branch, *commit;     /* Git, GitHub: getOptions; at most one is not "" */
};

/* The error text is what the step's user reads. ERR_INVALID, ERR_LIMIT, ERR_NOMEM. On success the
 * caller owns *ret_inputs: download_inputs_done(). */
int download_inputs_parse(const cJSON *inputs, struct download_inputs *ret_inputs, struct err *err)
    MUST_CHECK;
void download_inputs_done(struct download_inputs *i); /* wipes what may be secret */

/* Git over http(s), where a user has a password; else over ssh or from a directory. */
bool download_is_http_url(const char *url);

/* A reference in a field: the whole field stands for its value. False when there is none. The name
 * is copied without blanks; `ret_is_secure`: ssm-secure. */
bool download_reference(const char *field, char *ret_name, size_t size, bool *ret_is_secure);

/* What the agent tells ssmd-download beside the inputs. No secret is in it: the file lies on disk.
 */
struct download_request {
    cJSON *root;         /* owned when read: what the texts point into */
    const cJSON *inputs; /* as the document has them */
    const char
        *downloads;     /* absolute: where relative destinations are; without a slash at its end */
    const char *socket; /* the agent's, for credentials and parameters */
    const char *region, *domain, *s3_endpoint, *github_endpoint, *ca_file, *user_agent;
};
void download_request_write(const struct download_request *q, struct buf *ret_text);
/* ERR_INVALID, ERR_LIMIT, ERR_NOMEM. The caller ends *ret_request with download_request_done(). */
int download_request_parse(const char *text, size_t n, struct download_request *ret_request,
                           struct err *err) MUST_CHECK;
void download_request_done(struct download_request *q);

static inline void download_inputs_done_cleanup(struct download_inputs *i)
{
    download_inputs_done(i);
}
static inline void download_request_done_cleanup(struct download_request *q)
{
    download_request_done(q);
}

#endif
