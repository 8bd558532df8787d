/* One request of the S3-shaped store: from its head, through its body, to an answer that a server
 * can send (spec 02, section 7). Path style, or the bucket's name before the host. Signatures are
 * checked like all others; bodies are written to disk as they come. Main thread. */
#ifndef SSMD_HUB_S3_H
#define SSMD_HUB_S3_H

#include "hub/api.h"
#include "hub/bucket_store.h"
#include "transport/sigv4.h"

struct s3_request;

/* What the server knows of a request; borrowed until s3_request_free(). */
struct s3_head {
    const char *method, *target; /* as they came: "PUT", "/bucket/a%20b?uploads" */
    const struct header *headers;
    size_t n_headers;
};

/* Is it one of S3's? By the service it was signed for, or, unsigned, by being a HEAD. */
bool s3_is_request(const struct s3_head *head);

/* ERR_NOMEM, ERR_LIMIT (target). The caller ends *ret_request with s3_request_free(). */
int s3_request_new(struct hub *hub, struct access_keys *keys, const struct s3_head *head,
                   struct s3_request **ret_request, struct err *err) MUST_CHECK;
void s3_request_free(struct s3_request *q); /* NULL is allowed */
/* The name AWS gives it: "PutObject"; for fault rules and the log. */
const char *s3_request_operation(const struct s3_request *q);
/* A piece of the body. What is wrong with it is told in the answer. */
void s3_request_add(struct s3_request *q, const void *bytes, size_t n);

#define S3_MAX_ANSWER_HEADERS 12

struct s3_answer {
    unsigned status;
    struct buf body;     /* owned */
    int fd;              /* owned; >= 0: `len` bytes from `offset` of it instead */
    int64_t offset, len; /* of a HEAD: what a GET would have sent */
    char headers[S3_MAX_ANSWER_HEADERS][2][512];
    size_t n_headers;
    char error_code[64]; /* "" with a success */
};

/* After the body: check the signature, do it. `now_ms` is the hub's clock. The caller ends
 * *ret_answer with s3_answer_done(). */
void s3_request_run(struct s3_request *q, int64_t now_ms, struct s3_answer *ret_answer);
/* Do nothing, refuse. */
void s3_request_refuse(struct s3_request *q, unsigned status, const char *error_code,
                       const char *message, struct s3_answer *ret_answer);
void s3_answer_done(struct s3_answer *a);

#endif
