/* `ssmctl release root`: the first root of an update source, and those that follow on it. */
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/str.h"
#include "ctl/jsonw.h"
#include "ctl/release.h"

#define DEFAULT_DAYS 365
#define MAX_KEY_FILE_BYTES ((size_t)64 << 10)

static const struct {
    const char *keys, *threshold;
} role_options[RELEASE_N_ROLES] = {
    [RELEASE_ROOT] = {"root-key", "root-threshold"},
    [RELEASE_RELEASE] = {"release-key", "release-threshold"},
    [RELEASE_TIMESTAMP] = {"timestamp-key", "timestamp-threshold"},
};

static int read_public(const char *path, unsigned char ret_public_key[RELEASE_KEY_BYTES],
                       struct err *err)
{
    AUTO(buf_done) struct buf pem = {0};
    int r;

    buf_init(&pem, MAX_KEY_FILE_BYTES);
    r = fs_read_file(AT_FDCWD, path, &pem, err);
    if (r == 0) {
        r = signing_public_read(buf_str(&pem), pem.len, ret_public_key, err);
        if (r < 0)
            (void)err_wrap(err, "key file %s", path);
    }
    if (pem.data != NULL) /* it may be the private one */
        explicit_bzero(pem.data, pem.len);
    return r;
}

/* The place of a key in root->keys; it is added when it is new. */
static int place_of(struct release_root *root, const unsigned char *public_key, size_t *ret_place,
                    struct err *err)
{
    char keyid[RELEASE_KEYID_SIZE];
    size_t i;

    release_keyid_of(public_key, keyid);
    for (i = 0; i < root->n_keys; i++)
        if (str_eq(root->keys[i].id, keyid))
            break;
    if (i == RELEASE_MAX_KEYS)
        return err_set(err, ERR_LIMIT, "a root has at most %d keys", RELEASE_MAX_KEYS);
    if (i == root->n_keys) {
        memcpy(root->keys[i].public_key, public_key, RELEASE_KEY_BYTES);
        (void)str_copy(root->keys[i].id, RELEASE_KEYID_SIZE, keyid); /* it fits */
        root->n_keys++;
    }
    *ret_place = i;
    return 0;
}

static int add_key(struct release_root *root, enum release_role role,
                   const unsigned char *public_key, const char *what, struct err *err)
{
    struct release_role_keys *keys = &root->roles[role];
    size_t place, i;
    int r = place_of(root, public_key, &place, err);

    if (r < 0)
        return r;
    for (i = 0; i < keys->n_keys; i++)
        if (keys->keys[i] == place)
            return err_set(err, ERR_USAGE, "%s: this key was given to the role already", what);
    keys->keys[keys->n_keys++] = (unsigned char)place; /* n_keys of a root bound it */
    return 0;
}

/* The keys that were given for the role; without any, those it had in the root before. */
static int set_role(const struct ctl *c, const struct release_dir *d, enum release_role role,
                    struct release_root *root, struct err *err)
{
    struct release_role_keys *keys = &root->roles[role];
    const struct release_role_keys *before = &d->root.roles[role];
    unsigned char public_key[RELEASE_KEY_BYTES];
    size_t i;
    int r = 0;

    for (i = 0; r == 0 && i < c->n_given; i++)
        if (str_eq(c->given[i].option->name, role_options[role].keys)) {
            r = read_public(c->given[i].value, public_key, err);
            if (r == 0)
                r = add_key(root, role, public_key, c->given[i].value, err);
        }
    if (r == 0 && keys->n_keys == 0 && !d->has_root)
        return err_set(err, ERR_USAGE,
                       "--%s is missing: the first root must say whose key signs as %s",
                       role_options[role].keys, release_role_names[role]);
    for (i = 0; r == 0 && keys->n_keys == i && i < before->n_keys; i++)
        r = add_key(root, role, d->root.keys[before->keys[i]].public_key, "root", err);
    if (r < 0)
        return r;
    return ctl_value_i64(c, role_options[role].threshold, 1, (int64_t)keys->n_keys,
                         d->has_root && before->threshold <= (int64_t)keys->n_keys
                             ? before->threshold
                             : (int64_t)keys->n_keys / 2 + 1,
                         &keys->threshold, err);
}

static int print_root(struct ctl *c, const struct release_root *root, struct err *err)
{
    struct jsonw w;
    unsigned role;

    if (c->is_json) {
        ctl_begin_json(c, &w);
        jsonw_open_object(&w, NULL);
        jsonw_str(&w, "draft", RELEASE_ROOT_DRAFT);
        jsonw_i64(&w, "version", root->version);
        jsonw_time(&w, "expires", root->expires_unix_ms);
        jsonw_close_object(&w);
        return jsonw_end(&w, err);
    }
    (void)fprintf(c->out, "%s: root %" PRId64 "\n", RELEASE_ROOT_DRAFT, root->version);
    for (role = 0; role < RELEASE_N_ROLES; role++)
        (void)fprintf(c->out, "  %-9s %" PRId64 " of %zu keys\n", release_role_names[role],
                      root->roles[role].threshold, root->roles[role].n_keys);
    (void)fprintf(c->out, "`ssmctl release sign` signs it, and publishes it once enough have\n");
    return CTL_OK;
}

int ctl_run_release_root(struct ctl *c, struct err *err)
{
    AUTO(release_dir_done) struct release_dir d = {.fd = -1};
    AUTO(buf_done) struct buf payload = {0};
    struct release_root root = {.version = 1};
    struct release_envelope e = {.role = RELEASE_ROOT};
    unsigned role;
    int r = release_dir_open(c->args[0], true, &d, err);

    if (r < 0)
        return r;
    if (d.has_root)
        root.version = d.root.version + 1;
    root.issued_unix_ms = clock_wall_ms();
    r = release_expiry(c, DEFAULT_DAYS, &root.expires_unix_ms, err);
    for (role = 0; r == 0 && role < RELEASE_N_ROLES; role++)
        r = set_role(c, &d, (enum release_role)role, &root, err);
    if (r < 0)
        return r;
    buf_init(&payload, RELEASE_ROOT_MAX_BYTES);
    release_root_write(&root, &payload);
    r = buf_error(&payload, "root", err);
    if (r < 0)
        return r;
    e.payload = payload.data; /* borrowed from the buffer */
    e.n_payload = payload.len;
    r = release_write(&d, RELEASE_ROOT_DRAFT, &e, err);
    return r < 0 ? r : print_root(c, &root, err);
}
