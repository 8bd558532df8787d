/* Buckets and objects on disk, for the S3-shaped half of the hub: DIR/s3/<bucket>/ holds two files
 * for each object, named for the SHA-256 of its key: <hash>.data, and <hash>.meta, a record
 * (base/record.h). A file that is not whole has another name. Main thread. */
#ifndef SSMD_HUB_BUCKET_STORE_H
#define SSMD_HUB_BUCKET_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/sha256.h"

#define BUCKET_NAME_MAX 255u
#define OBJECT_KEY_MAX 1024u

struct bucket_store;

/* Make or open <name> below dirfd. The caller ends *ret_store with bucket_store_close(). */
int bucket_store_open(int dirfd, const char *name, struct bucket_store **ret_store, struct err *err)
    MUST_CHECK;
void bucket_store_close(struct bucket_store *s); /* NULL is allowed */

bool bucket_name_is_valid(const char *name);
/* ERR_INVALID, ERR_EXISTS. `region` and `encryption` ("", "AES256", "aws:kms") are remembered. */
int bucket_create(struct bucket_store *s, const char *bucket, const char *region, struct err *err)
    MUST_CHECK;
int bucket_set_encryption(struct bucket_store *s, const char *bucket, const char *algorithm,
                          const char *key_id, struct err *err) MUST_CHECK;

struct bucket_info {
    char region[101], algorithm[32], key_id[512];
    int64_t created_ms;
};
/* ERR_NOT_FOUND. */
int bucket_find(struct bucket_store *s, const char *bucket, struct bucket_info *ret_info,
                struct err *err) MUST_CHECK;
/* Every bucket's name, in no order. */
int bucket_each(struct bucket_store *s, int (*each)(void *ctx, const char *bucket, struct err *err),
                void *ctx, struct err *err) MUST_CHECK;
int bucket_delete(struct bucket_store *s, const char *bucket, struct err *err)
    MUST_CHECK; /* ERR_STATE: not empty */

/* What is known of an object beside its bytes. */
struct object_info {
    char key[OBJECT_KEY_MAX + 1];
    int64_t size, modified_ms;
    char etag[64]; /* without quotes */
    char content_type[128], acl[64], algorithm[32], key_id[512];
};

/* A body on its way in: bytes go to a file of their own, which becomes an object, or a part, or
 * nothing. */
struct incoming {
    int fd;        /* -1: none */
    char name[80]; /* in the store's temporary directory */
    int64_t size;
    struct sha256 sha256;
    void *md5; /* EVP_MD_CTX, owned */
};
int incoming_begin(struct bucket_store *s, struct incoming *ret, struct err *err) MUST_CHECK;
int incoming_add(struct incoming *in, const void *bytes, size_t n, struct err *err) MUST_CHECK;
/* Of what came, hexadecimal, and the MD5 also as Content-MD5 has it. Once, after the last byte. */
void incoming_digests(struct incoming *in, char ret_sha256[SHA256_HEX_SIZE], char ret_md5[33],
                      char ret_md5_base64[32]);
void incoming_drop(struct bucket_store *s, struct incoming *in);
/* The file becomes the object info->key; size and time are filled in. */
int incoming_to_object(struct bucket_store *s, struct incoming *in, const char *bucket,
                       struct object_info *info, struct err *err) MUST_CHECK;

/* ERR_NOT_FOUND. ret_fd (may be NULL): its bytes, owned by the caller. */
int object_find(struct bucket_store *s, const char *bucket, const char *key,
                struct object_info *ret_info, int *ret_fd, struct err *err) MUST_CHECK;
int object_delete(struct bucket_store *s, const char *bucket, const char *key, struct err *err)
    MUST_CHECK; /* missing is success */

/* The objects of a bucket whose keys begin with `prefix`, in order of their keys. The caller owns
 * the list: free(). */
int object_list(struct bucket_store *s, const char *bucket, const char *prefix,
                struct object_info **ret_list, size_t *ret_n, struct err *err) MUST_CHECK;

/* Multipart: an upload is a record and a file for each part. ERR_NOT_FOUND: no such upload. */
int upload_create(struct bucket_store *s, const struct object_info *info, const char *bucket,
                  char ret_id[37], struct err *err) MUST_CHECK;
int upload_put_part(struct bucket_store *s, struct incoming *in, const char *id, unsigned part,
                    const char *md5, struct err *err) MUST_CHECK;
/* Puts the parts together as the object. ERR_INVALID: a part is missing or has another ETag. */
int upload_complete(struct bucket_store *s, const char *id, const char *bucket,
                    const struct object_info *parts /* etag and, in size, the number */,
                    size_t n_parts, struct object_info *ret_info, struct err *err) MUST_CHECK;
int upload_abort(struct bucket_store *s, const char *id, struct err *err) MUST_CHECK;

DEFINE_AUTO(struct bucket_store *, bucket_store_close)

#endif
