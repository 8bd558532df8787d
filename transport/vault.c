/* Our own vault. */
#include "transport/vault.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/fs.h"
#include "base/record.h"
#include "base/str.h"

#define RECORD_KIND "registration"
#define FINGERPRINT_FILE "fingerprint"
#define FILE_MODE 0600
#define MAX_FILE_BYTES (64u << 10)

static const char *const record_files[] = {
    [VAULT_HYBRID] = "registration", [VAULT_EC2] = "registration.ec2"};

int vault_open(int state_dirfd, bool is_made, struct vault *ret_vault, struct err *err)
{
    int fd = -1, r;

    r = is_made ? fs_make_dir(state_dirfd, VAULT_DIR, &fd, err)
                : fs_open_dir(state_dirfd, VAULT_DIR, &fd, err);
    if (r < 0)
        return r;
    ret_vault->dirfd = fd;
    return 0;
}

void vault_done(struct vault *v)
{
    if (v->dirfd >= 0)
        (void)close(v->dirfd); /* only a name to open files by */
    v->dirfd = -1;
}

/* Into a buffer that the caller wipes. */
static int read_file(const struct vault *v, const char *name, struct buf *ret, struct err *err)
{
    buf_init(ret, MAX_FILE_BYTES);
    return fs_read_file(v->dirfd, name, ret, err);
}

static int remove_file(const struct vault *v, const char *name, struct err *err)
{
    if (unlinkat(v->dirfd, name, 0) < 0 && errno != ENOENT)
        return err_sys(err, ERR_IO, errno, "remove " VAULT_DIR "/%s", name);
    if (fsync(v->dirfd) < 0)
        return err_sys(err, ERR_IO, errno, "sync " VAULT_DIR);
    return 0;
}

/* ---- registrations ---- */

int vault_read(const struct vault *v, enum vault_kind kind, struct vault_registration *ret,
               struct err *err)
{
    AUTO(buf_done) struct buf text = {0};
    AUTO(record_done) struct record record = {0};
    struct vault_registration g = {.key_created_unix_ms = 0};
    const char *id, *region, *key;
    int r = read_file(v, record_files[kind], &text, err);

    if (r == 0)
        r = record_parse(buf_str(&text), text.len, RECORD_KIND, &record, err);
    if (r < 0)
        return r;
    id = record_get(&record, "instance_id");
    region = record_get(&record, "region");
    key = record_get(&record, "key");
    if (id == NULL || region == NULL || key == NULL ||
        !str_copy(g.instance_id, sizeof(g.instance_id), id) ||
        !str_copy(g.region, sizeof(g.region), region) ||
        !str_copy(g.key_id, sizeof(g.key_id), key) ||
        !str_is_safe_name(g.instance_id, sizeof(g.instance_id)) ||
        !str_is_safe_name(g.region, sizeof(g.region)) ||
        !str_is_safe_name(g.key_id, sizeof(g.key_id)))
        return err_set(err, ERR_CORRUPT,
                       VAULT_DIR "/%s: instance_id, region or key is missing or cannot be used",
                       record_files[kind]);
    g.key_created_unix_ms = record_get_i64_or(&record, "key_created_unix_ms", 0);
    *ret = g;
    return 0;
}

int vault_write(const struct vault *v, enum vault_kind kind, const struct vault_registration *g,
                struct err *err)
{
    AUTO(buf_done) struct buf b = {0};
    int r;

    buf_init(&b, MAX_FILE_BYTES);
    record_begin(&b, RECORD_KIND);
    record_add(&b, "instance_id", g->instance_id);
    record_add(&b, "region", g->region);
    record_add(&b, "key", g->key_id);
    record_add_i64(&b, "key_created_unix_ms", g->key_created_unix_ms);
    record_end(&b);
    r = buf_error(&b, "registration", err);
    return r < 0
               ? r
               : fs_write_atomic(v->dirfd, record_files[kind], b.data, b.len, FILE_MODE, true, err);
}

int vault_remove(const struct vault *v, enum vault_kind kind, struct err *err)
{
    return remove_file(v, record_files[kind], err);
}

/* ---- keys ---- */

static void name_of_key(const char *key_id, char ret_name[32])
{
    (void)snprintf(ret_name, 32, "key.%.*s", RSA_KEY_ID_SIZE - 1, key_id);
}

int vault_read_key(const struct vault *v, const char *key_id, struct rsa_key **ret_key,
                   struct err *err)
{
    AUTO(buf_done) struct buf text = {0};
    AUTO(rsa_key_free) struct rsa_key *key = NULL;
    char name[32], id[RSA_KEY_ID_SIZE];
    int r;

    name_of_key(key_id, name);
    r = read_file(v, name, &text, err);
    if (r < 0)
        return r;
    if (text.len > 0 && text.data[text.len - 1] == '\n')
        text.data[text.len - 1] = '\0';
    r = rsa_key_from_private(buf_str(&text), &key, err);
    if (text.data != NULL)
        explicit_bzero(text.data, text.len);
    if (r == 0)
        r = rsa_key_id(key, id, err);
    if (r == ERR_INVALID || (r == 0 && !str_eq(id, key_id)))
        return err_set(err, ERR_CORRUPT, VAULT_DIR "/%s: not the private key that its name says",
                       name);
    if (r < 0)
        return r;
    *ret_key = TAKE(key);
    return 0;
}

int vault_write_key(const struct vault *v, const struct rsa_key *key, char ret_id[RSA_KEY_ID_SIZE],
                    struct err *err)
{
    AUTO(secret_done) struct secret text = {0};
    char name[32], id[RSA_KEY_ID_SIZE];
    int r = rsa_key_id(key, id, err);

    if (r == 0)
        r = rsa_key_private_text(key, &text, err);
    if (r < 0)
        return r;
    name_of_key(id, name);
    r = fs_write_atomic(v->dirfd, name, secret_reveal(&text), text.len, FILE_MODE, true, err);
    if (r == 0)
        memcpy(ret_id, id, sizeof(id));
    return r;
}

int vault_remove_key(const struct vault *v, const char *key_id, struct err *err)
{
    char name[32];

    name_of_key(key_id, name);
    return remove_file(v, name, err);
}

/* ---- the fingerprint ---- */

int vault_read_fingerprint(const struct vault *v, struct fingerprint *ret, struct err *err)
{
    AUTO(buf_done) struct buf text = {0};
    int r = read_file(v, FINGERPRINT_FILE, &text, err);

    if (r == 0)
        r = fingerprint_parse(buf_str(&text), text.len, ret, err);
    if (r < 0 && r != ERR_NOT_FOUND)
        return err_wrap(err, VAULT_DIR "/" FINGERPRINT_FILE);
    return r;
}

int vault_write_fingerprint(const struct vault *v, const struct fingerprint *f, struct err *err)
{
    AUTO(buf_done) struct buf b = {0};
    int r;

    buf_init(&b, MAX_FILE_BYTES);
    fingerprint_write(f, &b);
    r = buf_error(&b, "fingerprint", err);
    return r < 0 ? r
                 : fs_write_atomic(v->dirfd, FINGERPRINT_FILE, b.data, b.len, FILE_MODE, true, err);
}
