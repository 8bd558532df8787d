/* Buckets, and objects as pairs of files. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/str.h"
#include "hub/bucket_store_internal.h"

#define MAX_META_BYTES 16384u
#define DATA_SUFFIX ".data"
#define META_SUFFIX ".meta"
#define NAME_SIZE (SHA256_HEX_SIZE + sizeof(DATA_SUFFIX))

int record_read_file(int dirfd, const char *name, const char *kind, struct record *ret_record,
                     struct err *err)
{
    AUTO(buf_done) struct buf text = {0};
    int r;

    buf_init(&text, MAX_META_BYTES);
    r = fs_read_file(dirfd, name, &text, err);
    return r < 0 ? r : record_parse(buf_str(&text), text.len, kind, ret_record, err);
}

int record_write_file(int dirfd, const char *name, struct buf *b, struct err *err)
{
    int r;

    record_end(b);
    r = buf_error(b, name, err);
    return r < 0 ? r : fs_write_atomic(dirfd, name, b->data, b->len, 0600, false, err);
}

/* ---- the store ---- */

int bucket_store_open(int dirfd, const char *name, struct bucket_store **ret_store, struct err *err)
{
    AUTO(bucket_store_close) struct bucket_store *s = calloc(1, sizeof(*s));
    int r;

    if (s == NULL)
        return err_set(err, ERR_NOMEM, "object store: out of memory");
    s->dir_fd = s->tmp_fd = -1;
    r = fs_make_dir(dirfd, name, &s->dir_fd, err);
    if (r == 0) /* what an earlier life did not finish */
        r = fs_remove_tree(s->dir_fd, BUCKET_TMP, err);
    if (r == 0)
        r = fs_make_dir(s->dir_fd, BUCKET_TMP, &s->tmp_fd, err);
    if (r < 0)
        return err_wrap(err, "object store");
    *ret_store = TAKE(s);
    return 0;
}

void bucket_store_close(struct bucket_store *s)
{
    if (s == NULL)
        return;
    close_fd_cleanup(&s->dir_fd);
    close_fd_cleanup(&s->tmp_fd);
    free(s);
}

/* ---- buckets ---- */

bool bucket_name_is_valid(const char *name)
{
    size_t n = strlen(name);

    return n >= 3 && n <= BUCKET_NAME_MAX && name[0] != '.' && name[0] != '-' &&
           strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-_") == n;
}

int bucket_dir(struct bucket_store *s, const char *bucket, int *ret_fd, struct err *err)
{
    if (!bucket_name_is_valid(bucket))
        return err_set(err, ERR_INVALID, "The specified bucket is not valid.");
    return fs_open_dir(s->dir_fd, bucket, ret_fd, err);
}

static int write_info(int fd, const struct bucket_info *info, struct err *err)
{
    AUTO(buf_done) struct buf b = {0};

    buf_init(&b, MAX_META_BYTES);
    record_begin(&b, "bucket");
    record_add(&b, "region", info->region);
    record_add(&b, "algorithm", info->algorithm);
    record_add(&b, "key_id", info->key_id);
    record_add_i64(&b, "created", info->created_ms);
    return record_write_file(fd, BUCKET_INFO, &b, err);
}

int bucket_create(struct bucket_store *s, const char *bucket, const char *region, struct err *err)
{
    AUTO(close_fd) int fd = -1;
    struct bucket_info info = {.created_ms = clock_wall_ms()};
    int r = bucket_dir(s, bucket, &fd, err);

    if (r == 0)
        return err_set(err, ERR_EXISTS,
                       "Your previous request to create the named bucket succeeded and you "
                       "already own it.");
    if (r != ERR_NOT_FOUND)
        return r;
    (void)str_copy(info.region, sizeof(info.region), region); /* the hub's own: fits */
    r = fs_make_dir(s->dir_fd, bucket, &fd, err);
    return r < 0 ? r : write_info(fd, &info, err);
}

static void take(const struct record *r, const char *key, char *ret, size_t size)
{
    const char *value = record_get(r, key);

    (void)str_copy(ret, size, value != NULL ? value : ""); /* written by us: fits */
}

int bucket_find(struct bucket_store *s, const char *bucket, struct bucket_info *ret_info,
                struct err *err)
{
    AUTO(close_fd) int fd = -1;
    AUTO(record_done) struct record record = {0};
    int r = bucket_dir(s, bucket, &fd, err);

    if (r == 0)
        r = record_read_file(fd, BUCKET_INFO, "bucket", &record, err);
    if (r < 0)
        return r;
    *ret_info = (struct bucket_info){.created_ms = record_get_i64_or(&record, "created", 0)};
    take(&record, "region", ret_info->region, sizeof(ret_info->region));
    take(&record, "algorithm", ret_info->algorithm, sizeof(ret_info->algorithm));
    take(&record, "key_id", ret_info->key_id, sizeof(ret_info->key_id));
    return 0;
}

int bucket_set_encryption(struct bucket_store *s, const char *bucket, const char *algorithm,
                          const char *key_id, struct err *err)
{
    AUTO(close_fd) int fd = -1;
    struct bucket_info info;
    int r = bucket_find(s, bucket, &info, err);

    if (r == 0)
        r = bucket_dir(s, bucket, &fd, err);
    if (r < 0)
        return r;
    if (!str_copy(info.algorithm, sizeof(info.algorithm), algorithm) ||
        !str_copy(info.key_id, sizeof(info.key_id), key_id))
        return err_set(err, ERR_INVALID, "The encryption's algorithm or key is too long.");
    return write_info(fd, &info, err);
}

/* Call `each` with every name of a directory that ends in `suffix`. */
static int each_name(int dir_fd, const char *suffix,
                     int (*each)(void *ctx, const char *name, struct err *err), void *ctx,
                     struct err *err)
{
    int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    const struct dirent *entry;

    if (dir == NULL) {
        r = err_sys(err, ERR_IO, errno, "read a directory of the object store");
        close_fd_cleanup(&fd);
        return r;
    }
    while (r == 0 && (entry = readdir(dir)) != NULL)
        if (entry->d_name[0] != '.' && str_has_suffix(entry->d_name, suffix))
            r = each(ctx, entry->d_name, err);
    (void)closedir(dir);
    return r;
}

int bucket_each(struct bucket_store *s, int (*each)(void *ctx, const char *bucket, struct err *err),
                void *ctx, struct err *err)
{
    return each_name(s->dir_fd, "", each, ctx, err);
}

static int count_one(void *ctx, const char *name, struct err *err)
{
    (void)name;
    (void)err;
    *(int *)ctx += 1;
    return 0;
}

int bucket_delete(struct bucket_store *s, const char *bucket, struct err *err)
{
    AUTO(close_fd) int fd = -1;
    int n = 0, r = bucket_dir(s, bucket, &fd, err);

    if (r == 0)
        r = each_name(fd, META_SUFFIX, count_one, &n, err);
    if (r < 0)
        return r;
    if (n > 0)
        return err_set(err, ERR_STATE, "The bucket you tried to delete is not empty.");
    return fs_remove_tree(s->dir_fd, bucket, err);
}

/* ---- objects ---- */

static void object_names(const char *key, char ret_data[NAME_SIZE], char ret_meta[NAME_SIZE])
{
    char hash[SHA256_HEX_SIZE];

    sha256_hex_of(key, strlen(key), hash);
    (void)snprintf(ret_data, NAME_SIZE, "%s" DATA_SUFFIX, hash); /* fit */
    (void)snprintf(ret_meta, NAME_SIZE, "%s" META_SUFFIX, hash);
}

void object_info_write(struct buf *b, const struct object_info *info)
{
    record_add(b, "key", info->key);
    record_add_i64(b, "size", info->size);
    record_add_i64(b, "modified", info->modified_ms);
    record_add(b, "etag", info->etag);
    record_add(b, "content_type", info->content_type);
    record_add(b, "acl", info->acl);
    record_add(b, "algorithm", info->algorithm);
    record_add(b, "key_id", info->key_id);
}

void object_info_read(const struct record *r, struct object_info *ret_info)
{
    *ret_info = (struct object_info){.size = record_get_i64_or(r, "size", 0),
                                     .modified_ms = record_get_i64_or(r, "modified", 0)};
    take(r, "key", ret_info->key, sizeof(ret_info->key));
    take(r, "etag", ret_info->etag, sizeof(ret_info->etag));
    take(r, "content_type", ret_info->content_type, sizeof(ret_info->content_type));
    take(r, "acl", ret_info->acl, sizeof(ret_info->acl));
    take(r, "algorithm", ret_info->algorithm, sizeof(ret_info->algorithm));
    take(r, "key_id", ret_info->key_id, sizeof(ret_info->key_id));
}

int incoming_to_object(struct bucket_store *s, struct incoming *in, const char *bucket,
                       struct object_info *info, struct err *err)
{
    AUTO(close_fd) int fd = -1;
    AUTO(buf_done) struct buf b = {0};
    char data[NAME_SIZE], meta[NAME_SIZE];
    int r = bucket_dir(s, bucket, &fd, err);

    if (r < 0)
        return r;
    info->size = in->size;
    info->modified_ms = clock_wall_ms();
    object_names(info->key, data, meta);
    buf_init(&b, MAX_META_BYTES);
    record_begin(&b, "object");
    object_info_write(&b, info);
    if (renameat(s->tmp_fd, in->name, fd, data) < 0)
        return err_sys(err, ERR_IO, errno, "object store: keep %s", info->key);
    in->name[0] = '\0';
    return record_write_file(fd, meta, &b, err);
}

int object_find(struct bucket_store *s, const char *bucket, const char *key,
                struct object_info *ret_info, int *ret_fd, struct err *err)
{
    AUTO(close_fd) int fd = -1;
    AUTO(record_done) struct record record = {0};
    char data[NAME_SIZE], meta[NAME_SIZE];
    int r = bucket_dir(s, bucket, &fd, err);

    object_names(key, data, meta);
    if (r == 0)
        r = record_read_file(fd, meta, "object", &record, err);
    if (r < 0)
        return r;
    object_info_read(&record, ret_info);
    if (ret_fd == NULL)
        return 0;
    *ret_fd = openat(fd, data, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    return *ret_fd < 0 ? err_sys(err, ERR_IO, errno, "object store: open %s", key) : 0;
}

int object_delete(struct bucket_store *s, const char *bucket, const char *key, struct err *err)
{
    AUTO(close_fd) int fd = -1;
    char data[NAME_SIZE], meta[NAME_SIZE];
    int r = bucket_dir(s, bucket, &fd, err);

    object_names(key, data, meta);
    if (r == 0)
        r = fs_remove_tree(fd, meta, err); /* first: without it there is no object */
    return r < 0 ? r : fs_remove_tree(fd, data, err);
}

struct listing {
    int fd;
    const char *prefix;
    struct object_info *list;
    size_t n, cap;
};

static int list_one(void *ctx, const char *name, struct err *err)
{
    struct listing *l = ctx;
    AUTO(record_done) struct record record = {0};
    struct object_info *more;
    int r = record_read_file(l->fd, name, "object", &record, err);

    if (r < 0)
        return r;
    if (record_get(&record, "key") == NULL ||
        !str_has_prefix(record_get(&record, "key"), l->prefix))
        return 0;
    if (l->list == NULL || l->n == l->cap) {
        l->cap = l->cap > 0 ? 2 * l->cap : 16;
        more = realloc(l->list, l->cap * sizeof(*more));
        if (more == NULL)
            return err_set(err, ERR_NOMEM, "object store: out of memory");
        l->list = more;
    }
    object_info_read(&record, &l->list[l->n++]);
    return 0;
}

static int compare_keys(const void *a, const void *b)
{
    return strcmp(((const struct object_info *)a)->key, ((const struct object_info *)b)->key);
}

int object_list(struct bucket_store *s, const char *bucket, const char *prefix,
                struct object_info **ret_list, size_t *ret_n, struct err *err)
{
    AUTO(close_fd) int fd = -1;
    struct listing l = {.prefix = prefix};
    int r = bucket_dir(s, bucket, &fd, err);

    if (r < 0)
        return r;
    l.fd = fd;
    r = each_name(fd, META_SUFFIX, list_one, &l, err);
    if (r < 0) {
        free(l.list);
        return r;
    }
    if (l.n > 0)
        qsort(l.list, l.n, sizeof(*l.list), compare_keys);
    *ret_list = l.list;
    *ret_n = l.n;
    return 0;
}
