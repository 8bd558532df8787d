/* Bodies on their way into the object store, and objects that come in parts. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/ids.h"
#include "base/str.h"
#include "hub/bucket_store_internal.h"

#define ERR_STATE OPENSSL_ERR_STATE_ /* a type of theirs, a code of ours */
#include <openssl/evp.h>
#undef ERR_STATE

#define COPY_BYTES 65536
#define MAX_META_BYTES 16384u
#define MD5_HEX_SIZE 33

/* ---- one body ---- */

int incoming_begin(struct bucket_store *s, struct incoming *ret, struct err *err)
{
    char id[UUID_SIZE];

    *ret = (struct incoming){.fd = -1};
    ids_uuid4(id);
    (void)snprintf(ret->name, sizeof(ret->name), "body.%s", id); /* fits */
    ret->md5 = EVP_MD_CTX_new();
    if (ret->md5 == NULL || EVP_DigestInit_ex(ret->md5, EVP_md5(), NULL) != 1) {
        EVP_MD_CTX_free(ret->md5);
        ret->md5 = NULL;
        return err_set(err, ERR_NOMEM, "object store: MD5 is not to be had");
    }
    sha256_init(&ret->sha256);
    ret->fd =
        openat(s->tmp_fd, ret->name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (ret->fd < 0) {
        EVP_MD_CTX_free(ret->md5);
        ret->md5 = NULL;
        return err_sys(err, ERR_IO, errno, "object store: make a file");
    }
    return 0;
}

int incoming_add(struct incoming *in, const void *bytes, size_t n, struct err *err)
{
    sha256_add(&in->sha256, bytes, n);
    (void)EVP_DigestUpdate(in->md5, bytes, n); /* fails only uninitialised */
    in->size += (int64_t)n;
    return fs_write_all(in->fd, bytes, n, err);
}

void incoming_digests(struct incoming *in, char ret_sha256[SHA256_HEX_SIZE],
                      char ret_md5[MD5_HEX_SIZE], char ret_md5_base64[32])
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned n = 0;

    sha256_end_hex(&in->sha256, ret_sha256);
    (void)EVP_DigestFinal_ex(in->md5, digest, &n); /* as above */
    str_hex(digest, 16, ret_md5);
    (void)EVP_EncodeBlock((unsigned char *)ret_md5_base64, digest, 16); /* 24 characters */
}

void incoming_drop(struct bucket_store *s, struct incoming *in)
{
    if (in->fd >= 0) {
        (void)close(in->fd);
        if (in->name[0] != '\0')
            (void)unlinkat(s->tmp_fd, in->name, 0); /* else the next start does it */
    }
    EVP_MD_CTX_free(in->md5);
    *in = (struct incoming){.fd = -1};
}

/* ---- parts ---- */

static int upload_dir(struct bucket_store *s, const char *id, int *ret_fd, struct err *err)
{
    if (!ids_is_uuid(id))
        return err_set(err, ERR_NOT_FOUND, "The specified multipart upload does not exist.");
    return fs_open_dir(s->tmp_fd, id, ret_fd, err);
}

int upload_create(struct bucket_store *s, const struct object_info *info, const char *bucket,
                  char ret_id[UUID_SIZE], struct err *err)
{
    AUTO(close_fd) int fd = -1;
    AUTO(buf_done) struct buf b = {0};
    int r;

    ids_uuid4(ret_id);
    r = fs_make_dir(s->tmp_fd, ret_id, &fd, err);
    if (r < 0)
        return r;
    buf_init(&b, MAX_META_BYTES);
    record_begin(&b, "upload");
    record_add(&b, "bucket", bucket);
    object_info_write(&b, info);
    return record_write_file(fd, "upload", &b, err);
}

int upload_put_part(struct bucket_store *s, struct incoming *in, const char *id, unsigned part,
                    const char *md5, struct err *err)
{
    AUTO(close_fd) int fd = -1;
    AUTO(buf_done) struct buf b = {0};
    char name[32], meta[40];
    int r = upload_dir(s, id, &fd, err);

    if (r < 0)
        return r;
    (void)snprintf(name, sizeof(name), "%u", part); /* fit */
    (void)snprintf(meta, sizeof(meta), "%u.meta", part);
    if (renameat(s->tmp_fd, in->name, fd, name) < 0)
        return err_sys(err, ERR_IO, errno, "object store: keep part %u", part);
    in->name[0] = '\0';
    buf_init(&b, MAX_META_BYTES);
    record_begin(&b, "part");
    record_add(&b, "etag", md5);
    return record_write_file(fd, meta, &b, err);
}

static int check_part(int fd, const struct object_info *part, struct err *err)
{
    AUTO(record_done) struct record record = {0};
    char meta[40];

    (void)snprintf(meta, sizeof(meta), "%u.meta", (unsigned)part->size); /* fits */
    if (record_read_file(fd, meta, "part", &record, err) < 0 ||
        !str_eq(record_get(&record, "etag"), part->etag))
        return err_set(err, ERR_INVALID,
                       "One or more of the specified parts could not be found, or its ETag "
                       "does not match.");
    return 0;
}

static int append_part(int fd, unsigned part, struct incoming *in, struct err *err)
{
    AUTO(close_fd) int from = -1;
    char name[32], bytes[COPY_BYTES];
    ssize_t n;
    int r = 0;

    (void)snprintf(name, sizeof(name), "%u", part); /* fits */
    from = openat(fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (from < 0)
        return err_sys(err, ERR_IO, errno, "object store: open part %u", part);
    /* Not hashed again: its ETag was compared, and all other calls wait meanwhile. */
    while (r == 0 && (n = read(from, bytes, sizeof(bytes))) != 0) {
        r = n < 0 ? err_sys(err, ERR_IO, errno, "object store: read part %u", part)
                  : fs_write_all(in->fd, bytes, (size_t)n, err);
        in->size += n > 0 ? n : 0;
    }
    return r;
}

/* The ETag of such an object: the MD5 of the parts' MD5s, and how many there are. */
static int etag_of_parts(const struct object_info *parts, size_t n_parts, char *ret, size_t size,
                         struct err *err)
{
    EVP_MD_CTX *md5 = EVP_MD_CTX_new();
    unsigned char digest[EVP_MAX_MD_SIZE];
    char hex[MD5_HEX_SIZE];
    bool is_ok = md5 != NULL && EVP_DigestInit_ex(md5, EVP_md5(), NULL) == 1;
    unsigned n = 0;
    size_t i;

    for (i = 0; i < n_parts && is_ok; i++)
        is_ok = str_unhex(parts[i].etag, digest, 16) && EVP_DigestUpdate(md5, digest, 16) == 1;
    is_ok = is_ok && EVP_DigestFinal_ex(md5, digest, &n) == 1;
    EVP_MD_CTX_free(md5);
    if (!is_ok)
        return err_set(err, ERR_INVALID, "One or more of the ETags of the parts are not valid.");
    str_hex(digest, 16, hex);
    (void)snprintf(ret, size, "%s-%zu", hex, n_parts); /* fits */
    return 0;
}

int upload_complete(struct bucket_store *s, const char *id, const char *bucket,
                    const struct object_info *parts, size_t n_parts, struct object_info *ret_info,
                    struct err *err)
{
    AUTO(close_fd) int fd = -1;
    AUTO(record_done) struct record record = {0};
    struct incoming in = {.fd = -1};
    size_t i;
    int r = upload_dir(s, id, &fd, err);

    if (r == 0)
        r = record_read_file(fd, "upload", "upload", &record, err);
    if (r == 0 && !str_eq(record_get(&record, "bucket"), bucket))
        r = err_set(err, ERR_NOT_FOUND, "The specified multipart upload does not exist.");
    for (i = 0; i < n_parts && r == 0; i++)
        r = check_part(fd, &parts[i], err);
    if (r == 0)
        r = incoming_begin(s, &in, err);
    for (i = 0; i < n_parts && r == 0; i++)
        r = append_part(fd, (unsigned)parts[i].size, &in, err);
    if (r == 0) {
        object_info_read(&record, ret_info);
        r = etag_of_parts(parts, n_parts, ret_info->etag, sizeof(ret_info->etag), err);
    }
    if (r == 0)
        r = incoming_to_object(s, &in, bucket, ret_info, err);
    incoming_drop(s, &in);
    return r < 0 ? r : fs_remove_tree(s->tmp_fd, id, err);
}

int upload_abort(struct bucket_store *s, const char *id, struct err *err)
{
    AUTO(close_fd) int fd = -1;
    int r = upload_dir(s, id, &fd, err);

    return r < 0 ? r : fs_remove_tree(s->tmp_fd, id, err);
}
