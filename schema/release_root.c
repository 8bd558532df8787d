/* The two small files of an update source: root, which says whose keys count, and timestamp, which
 * says what is current. */
#include "schema/release_internal.h"

#include <string.h>

#include "base/base64.h"
#include "base/str.h"

#define KEY_TYPE "ed25519"

void release_keyid_of(const unsigned char public_key[RELEASE_KEY_BYTES],
                      char ret_keyid[RELEASE_KEYID_SIZE])
{
    sha256_hex_of(public_key, RELEASE_KEY_BYTES, ret_keyid);
}

static size_t find_key(const struct release_root *root, const char *keyid)
{
    size_t i;

    for (i = 0; i < root->n_keys; i++)
        if (str_eq(root->keys[i].id, keyid))
            break;
    return i;
}

const struct release_key *release_role_key(const struct release_root *root, enum release_role role,
                                           const char *keyid)
{
    const struct release_role_keys *keys = &root->roles[role];
    size_t i;

    for (i = 0; i < keys->n_keys; i++)
        if (str_eq(root->keys[keys->keys[i]].id, keyid))
            return &root->keys[keys->keys[i]];
    return NULL;
}

static int read_key(const cJSON *item, const char *where, struct release_root *root,
                    struct err *err)
{
    struct release_key *key = &root->keys[root->n_keys];
    const char *keyid, *type, *text;
    size_t n;
    int r;

    if ((r = json_want_object(item, where, err)) < 0 ||
        (r = release_get_text(item, where, "KeyId", true, RELEASE_KEYID_SIZE, &keyid, err)) < 0 ||
        (r = release_get_text(item, where, "KeyType", true, 40, &type, err)) < 0 ||
        (r = release_get_text(item, where, "Public", true, 100, &text, err)) < 0)
        return r;
    if (!str_eq(type, KEY_TYPE))
        return err_set(err, ERR_INVALID, "%s.KeyType must be %s, not \"%s\"", where, KEY_TYPE,
                       type);
    if (!base64_decode(text, strlen(text), key->public_key, sizeof(key->public_key), &n) ||
        n != sizeof(key->public_key))
        return err_set(err, ERR_INVALID, "%s.Public must be Base64 of %d bytes", where,
                       RELEASE_KEY_BYTES);
    release_keyid_of(key->public_key, key->id);
    if (!str_eq(key->id, keyid))
        return err_set(err, ERR_INVALID, "%s.KeyId is not the SHA-256 of its public key", where);
    if (find_key(root, keyid) < root->n_keys)
        return err_set(err, ERR_INVALID, "%s.KeyId stands twice in Keys", where);
    root->n_keys++;
    return 0;
}

static int read_role(const cJSON *roles, enum release_role role, struct release_root *root,
                     struct err *err)
{
    struct release_role_keys *keys = &root->roles[role];
    const cJSON *object = json_get_exact(roles, release_role_names[role]), *list, *item;
    char where[RELEASE_WHERE_SIZE];
    size_t n, i;
    int r;

    (void)snprintf(where, sizeof(where), "Roles.%s", release_role_names[role]);
    if ((r = json_want_object(object, where, err)) < 0 ||
        (r = release_get_list(object, where, "KeyIds", 1, RELEASE_MAX_KEYS, &list, &n, err)) < 0)
        return r;
    cJSON_ArrayForEach(item, list)
    {
        size_t at = cJSON_IsString(item) ? find_key(root, item->valuestring) : root->n_keys;

        if (at == root->n_keys)
            return err_set(err, ERR_INVALID, "%s.KeyIds[%zu] is not the KeyId of one of Keys",
                           where, keys->n_keys);
        for (i = 0; i < keys->n_keys; i++)
            if (keys->keys[i] == at)
                return err_set(err, ERR_INVALID, "%s.KeyIds[%zu] stands there twice", where,
                               keys->n_keys);
        keys->keys[keys->n_keys++] = (unsigned char)at;
    }
    return release_get_number(object, where, "Threshold", true, 1, (int64_t)n, &keys->threshold,
                              err);
}

int release_root_parse(const char *payload, size_t n, struct release_root *ret_root,
                       struct err *err)
{
    AUTO(cJSON_Delete) cJSON *tree = NULL;
    struct release_root root = {.version = 0};
    const cJSON *keys, *roles, *item;
    size_t n_keys;
    unsigned role;
    int r;

    if ((r = release_parse_json(payload, n, RELEASE_ROOT_MAX_BYTES, "payload", &tree, err)) < 0 ||
        (r = release_get_header(tree, "Version", &root.version, &root.issued_unix_ms,
                                &root.expires_unix_ms, err)) < 0 ||
        (r = release_get_list(tree, "", "Keys", 1, RELEASE_MAX_KEYS, &keys, &n_keys, err)) < 0)
        return r;
    cJSON_ArrayForEach(item, keys)
    {
        char where[RELEASE_WHERE_SIZE];

        (void)snprintf(where, sizeof(where), "Keys[%zu]", root.n_keys);
        r = read_key(item, where, &root, err);
        if (r < 0)
            return r;
    }
    roles = json_get_exact(tree, "Roles");
    r = json_want_object(roles, "Roles", err);
    for (role = 0; r == 0 && role < RELEASE_N_ROLES; role++)
        r = read_role(roles, (enum release_role)role, &root, err);
    if (r == 0)
        *ret_root = root;
    return r;
}

static void write_role(const struct release_root *root, enum release_role role, bool *is_first,
                       struct buf *b)
{
    const struct release_role_keys *keys = &root->roles[role];
    bool is_first_member = true;
    size_t i;

    release_put_name(b, is_first, release_role_names[role]);
    (void)buf_add_char(b, '{'); /* here and below: the caller looks at buf_error() */
    release_put_name(b, &is_first_member, "KeyIds");
    for (i = 0; i < keys->n_keys; i++)
        (void)buf_printf(b, "%s\"%s\"", i == 0 ? "[" : ",", root->keys[keys->keys[i]].id);
    (void)buf_add_char(b, ']');
    release_put_number(b, &is_first_member, "Threshold", keys->threshold);
    (void)buf_add_char(b, '}');
}

void release_root_write(const struct release_root *root, struct buf *ret_payload)
{
    struct buf *b = ret_payload;
    char text[BASE64_SIZE(RELEASE_KEY_BYTES)];
    bool is_first = true;
    unsigned role;
    size_t i;

    (void)buf_add_char(b, '{');
    release_put_number(b, &is_first, "Version", root->version);
    release_put_time(b, &is_first, "Issued", root->issued_unix_ms);
    release_put_time(b, &is_first, "Expires", root->expires_unix_ms);
    release_put_name(b, &is_first, "Keys");
    for (i = 0; i < root->n_keys; i++) {
        bool is_first_member = true;

        base64_encode(root->keys[i].public_key, RELEASE_KEY_BYTES, text);
        (void)buf_add_str(b, i == 0 ? "[{" : ",{");
        release_put_text(b, &is_first_member, "KeyId", root->keys[i].id);
        release_put_text(b, &is_first_member, "KeyType", KEY_TYPE);
        release_put_text(b, &is_first_member, "Public", text);
        (void)buf_add_char(b, '}');
    }
    (void)buf_add_char(b, ']');
    release_put_name(b, &is_first, "Roles");
    (void)buf_add_char(b, '{');
    is_first = true;
    for (role = 0; role < RELEASE_N_ROLES; role++)
        write_role(root, (enum release_role)role, &is_first, b);
    (void)buf_add_str(b, "}}");
}

int release_timestamp_parse(const char *payload, size_t n, struct release_timestamp *ret_timestamp,
                            struct err *err)
{
    AUTO(cJSON_Delete) cJSON *tree = NULL;
    struct release_timestamp t = {.version = 0};
    const cJSON *manifest;
    const char *sha256;
    int r;

    if ((r = release_parse_json(payload, n, RELEASE_TIMESTAMP_MAX_BYTES, "payload", &tree, err)) <
            0 ||
        (r = release_get_header(tree, "Version", &t.version, &t.issued_unix_ms, &t.expires_unix_ms,
                                err)) < 0)
        return r;
    manifest = json_get_exact(tree, "Manifest");
    if ((r = json_want_object(manifest, "Manifest", err)) < 0 ||
        (r = release_get_number(manifest, "Manifest", "Version", true, 1, RELEASE_MAX_NUMBER,
                                &t.manifest_version, err)) < 0 ||
        (r = release_get_number(manifest, "Manifest", "Length", true, 1, RELEASE_MANIFEST_MAX_BYTES,
                                &t.manifest_length_bytes, err)) < 0 ||
        (r = release_get_text(manifest, "Manifest", "SHA256", true, SHA256_HEX_SIZE, &sha256,
                              err)) < 0 ||
        (r = release_want_hex(sha256, SHA256_SIZE, "Manifest", "SHA256", err)) < 0)
        return r;
    (void)str_copy(t.manifest_sha256, sizeof(t.manifest_sha256), sha256); /* it fits */
    *ret_timestamp = t;
    return 0;
}

void release_timestamp_write(const struct release_timestamp *t, struct buf *ret_payload)
{
    bool is_first = true;

    (void)buf_add_char(ret_payload, '{');
    release_put_number(ret_payload, &is_first, "Version", t->version);
    release_put_time(ret_payload, &is_first, "Issued", t->issued_unix_ms);
    release_put_time(ret_payload, &is_first, "Expires", t->expires_unix_ms);
    release_put_name(ret_payload, &is_first, "Manifest");
    (void)buf_add_char(ret_payload, '{');
    is_first = true;
    release_put_number(ret_payload, &is_first, "Version", t->manifest_version);
    release_put_number(ret_payload, &is_first, "Length", t->manifest_length_bytes);
    release_put_text(ret_payload, &is_first, "SHA256", t->manifest_sha256);
    (void)buf_add_str(ret_payload, "}}");
}
