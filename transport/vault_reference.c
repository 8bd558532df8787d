/* The vault of the reference agent, read and never written (spec 01, section 3; 07, section 13). */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/fs.h"
#include "base/str.h"
#include "schema/json.h"
#include "transport/vault.h"

#define VAULT "/var/lib/amazon/ssm/Vault"
#define STORE VAULT "/Store/"
#define MAX_FILE_BYTES (64u << 10)
#define MAX_KEY_TEXT 4096

static const char *const manifests[] = {[VAULT_HYBRID] = "Manifest", [VAULT_EC2] = "EC2Manifest"};
static const char *const record_keys[] = {
    [VAULT_HYBRID] = "RegistrationKey", [VAULT_EC2] = "EC2RegistrationKey"};

void vault_import_done(struct vault_import *i)
{
    rsa_key_free(i->key);
    i->key = NULL;
}

/* A file that only root or we ourselves can have written. */
static int read_trusted(int dirfd, const char *name, struct buf *ret, struct err *err)
{
    AUTO(close_fd) int fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    struct stat st;

    if (fd < 0)
        return err_sys(err, ERR_IO, errno, VAULT ": %s", name);
    if (fstat(fd, &st) < 0)
        return err_sys(err, ERR_IO, errno, VAULT ": %s", name);
    if (!S_ISREG(st.st_mode) || (st.st_uid != 0 && st.st_uid != geteuid()) ||
        (st.st_mode & 022) != 0)
        return err_set(err, ERR_STATE,
                       VAULT ": %s: not a file that root alone could have written; not used", name);
    buf_init(ret, MAX_FILE_BYTES);
    return fs_read_file(dirfd, name, ret, err);
}

/* The manifest maps a key to the absolute path of its file, which is always in the store. */
static int read_entry(int dirfd, const char *manifest, const char *key, struct buf *ret,
                      struct err *err)
{
    AUTO(buf_done) struct buf text = {0};
    AUTO(cJSON_Delete) cJSON *root = NULL;
    char name[NAME_MAX + sizeof("Store/")];
    const char *path;
    int r = read_trusted(dirfd, manifest, &text, err);

    if (r == 0)
        r = json_parse(buf_str(&text), text.len, MAX_FILE_BYTES, JSON_REFUSE, manifest, &root, err);
    if (r < 0)
        return r;
    path = cJSON_GetStringValue(json_get_exact(root, key));
    if (path == NULL)
        return err_set(err, ERR_NOT_FOUND, VAULT ": %s names no %s", manifest, key);
    if (!str_has_prefix(path, STORE) || !str_is_safe_name(path + strlen(STORE), NAME_MAX))
        return err_set(err, ERR_INVALID, VAULT ": %s: %s is not below " STORE, manifest, key);
    (void)snprintf(name, sizeof(name), "Store/%s", path + strlen(STORE)); /* fits */
    return read_trusted(dirfd, name, ret, err);
}

/* 2024-01-02 03:04:05[.123456789] +0100 CET */
static int64_t parse_created(const char *text)
{
    struct tm tm = {0};
    const char *rest = strptime(text, "%Y-%m-%d %H:%M:%S", &tm);
    int64_t hours, minutes;
    char zone[6];

    if (rest == NULL)
        return 0;
    if (*rest == '.')
        rest += 1 + strspn(rest + 1, "0123456789");
    rest += strspn(rest, " ");
    if ((rest[0] != '+' && rest[0] != '-') || strlen(rest) < 5)
        return 0;
    (void)snprintf(zone, sizeof(zone), "%.2s:%.2s", rest + 1, rest + 3);
    zone[2] = '\0';
    if (!str_to_i64(zone, 0, 23, &hours) || !str_to_i64(zone + 3, 0, 59, &minutes))
        return 0;
    return ((int64_t)timegm(&tm) - (rest[0] == '+' ? 1 : -1) * (hours * 3600 + minutes * 60)) *
           1000;
}

int vault_parse_reference(const char *text, size_t n, struct vault_import *ret, struct err *err)
{
    AUTO(cJSON_Delete) cJSON *root = NULL;
    struct vault_import i = {.key = NULL};
    const char *id, *region, *key, *created;
    int r;

    if ((r = json_parse(text, n, MAX_FILE_BYTES, JSON_REFUSE, "registration record", &root, err)) <
            0 ||
        (r = json_want_object(root, "registration record", err)) < 0 ||
        (r = json_get_string(root, "", "instanceID", 127, &id, err)) < 0 ||
        (r = json_get_string(root, "", "region", 100, &region, err)) < 0 ||
        (r = json_get_string(root, "", "privateKey", MAX_KEY_TEXT, &key, err)) < 0 ||
        (r = json_get_string(root, "", "privateKeyCreatedDate", 100, &created, err)) < 0)
        return r;
    if (id == NULL || id[0] == '\0' || region == NULL || region[0] == '\0' || key == NULL ||
        key[0] == '\0')
        return err_set(err, ERR_NOT_FOUND, "the registration record is empty");
    if (!str_is_safe_name(id, sizeof(i.registration.instance_id) - 1) ||
        !str_is_safe_name(region, sizeof(i.registration.region) - 1))
        return err_set(err, ERR_INVALID,
                       "registration record: instanceID or region holds "
                       "characters that no such name has");
    r = rsa_key_from_private(key, &i.key, err);
    if (r < 0)
        return err_wrap(err, "registration record");
    (void)str_copy(i.registration.instance_id, sizeof(i.registration.instance_id), id); /* fits */
    (void)str_copy(i.registration.region, sizeof(i.registration.region), region);
    i.registration.key_created_unix_ms = created != NULL ? parse_created(created) : 0;
    *ret = i;
    return 0;
}

static int read_fingerprint(int dirfd, struct fingerprint *ret, struct err *err)
{
    AUTO(buf_done) struct buf text = {0};
    int r = read_entry(dirfd, manifests[VAULT_HYBRID], "InstanceFingerprint", &text, err);

    return r < 0 ? r : fingerprint_parse(buf_str(&text), text.len, ret, err);
}

int vault_read_reference(const char *root, enum vault_kind kind, struct vault_import *ret,
                         struct err *err)
{
    AUTO(close_fd) int dirfd = -1;
    AUTO(buf_done) struct buf text = {0};
    AUTO(vault_import_done) struct vault_import i = {.key = NULL};
    char path[PATH_MAX];
    int r;

    if (snprintf(path, sizeof(path), "%s" VAULT, root) >= (int)sizeof(path))
        return err_set(err, ERR_LIMIT, "%s" VAULT ": the path is too long", root);
    if ((r = fs_open_dir(AT_FDCWD, path, &dirfd, err)) < 0 ||
        (r = read_entry(dirfd, manifests[kind], record_keys[kind], &text, err)) < 0)
        return r;
    r = vault_parse_reference(buf_str(&text), text.len, &i, err);
    if (text.data != NULL)
        explicit_bzero(text.data, text.len);
    if (r < 0)
        return r;
    if (kind == VAULT_HYBRID) {
        r = read_fingerprint(dirfd, &i.fingerprint, err);
        if (r < 0)
            return r;
    }
    *ret = TAKE_STRUCT(i);
    return 0;
}
