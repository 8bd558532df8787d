/* What S3 answers, out of its XML (spec 02, section 7). Bounded; document types and entities of
 * their own are refused. Pure. Any thread. */
#ifndef SSMD_TRANSPORT_S3_XML_H
#define SSMD_TRANSPORT_S3_XML_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "transport/s3_address.h"

#define S3_MAX_XML_BYTES (1u << 20)
#define S3_MAX_XML_DEPTH 16

/* <Error>. Members that are missing are "". */
struct s3_error {
    char code[128];
    char message[256];
    char region[S3_REGION_SIZE]; /* where the bucket is, when it says */
    char endpoint[300];
};

/* Tolerant: bytes that are no XML, or another document, give an empty *ret_error. */
void s3_xml_error(const char *body, size_t n, struct s3_error *ret_error);

/* One object or, where a delimiter was asked for, one folder (is_prefix; its key ends in it). */
struct s3_object {
    char *key;
    int64_t size_bytes;
    bool is_prefix;
};

struct s3_list {
    struct s3_object *objects; /* owned */
    size_t n_objects;
    bool is_truncated;
    char *next; /* owned; where the next page begins: a marker (version 1) or a token (version 2) */
};

/* ListBucketResult of either version. ERR_PROTOCOL: not one, or not XML; ERR_NOMEM, ERR_LIMIT. On
 * success the caller owns *ret_list: s3_list_done(). */
int s3_xml_list(const char *body, size_t n, struct s3_list *ret_list, struct err *err) MUST_CHECK;
void s3_list_done(struct s3_list *list);

struct s3_encryption {
    char algorithm[32]; /* "AES256", "aws:kms", another, or "" */
    char key_id[2049];  /* "" when none is named */
};

/* ServerSideEncryptionConfiguration: its first rule. ERR_PROTOCOL. */
int s3_xml_encryption(const char *body, size_t n, struct s3_encryption *ret_encryption,
                      struct err *err) MUST_CHECK;

#define S3_UPLOAD_ID_SIZE 1025

/* InitiateMultipartUploadResult. ERR_PROTOCOL. */
int s3_xml_upload_id(const char *body, size_t n, char ret_id[S3_UPLOAD_ID_SIZE], struct err *err)
    MUST_CHECK;

static inline void s3_list_done_cleanup(struct s3_list *list)
{
    s3_list_done(list);
}

#endif
