/* See release_world.h. */
#include "release_world.h"

#include <check.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"

void world_put(struct world *w, const char *name, const char *bytes, size_t n)
{
    struct world_file *f = world_file(w, name);

    if (f == NULL) {
        ck_assert_uint_lt(w->n_files, ARRAY_LEN(w->files));
        f = &w->files[w->n_files++];
        *f = (struct world_file){.bytes = NULL};
        (void)str_copy(f->name, sizeof(f->name), name);
    }
    free(f->bytes);
    f->bytes = malloc(n + 1);
    ck_assert_ptr_nonnull(f->bytes);
    memcpy(f->bytes, bytes, n);
    f->bytes[n] = '\0';
    f->n = n;
}

struct world_file *world_file(struct world *w, const char *name)
{
    size_t i;

    for (i = 0; i < w->n_files; i++)
        if (str_eq(w->files[i].name, name))
            return &w->files[i];
    return NULL;
}

void world_remove(struct world *w, const char *name)
{
    struct world_file *f = world_file(w, name);

    ck_assert_ptr_nonnull(f);
    free(f->bytes);
    *f = w->files[--w->n_files];
}

void world_make_root(const struct world *w, int64_t version, const uint64_t keys[RELEASE_N_ROLES],
                     const int64_t thresholds[RELEASE_N_ROLES], struct release_root *ret_root)
{
    unsigned place[K_N], i, role;

    *ret_root = (struct release_root){.version = version,
                                      .issued_unix_ms = WORLD_NOW - 10 * DAY_MS,
                                      .expires_unix_ms = WORLD_NOW + 300 * DAY_MS};
    for (i = 0; i < K_N; i++) {
        struct release_key *key = &ret_root->keys[ret_root->n_keys];

        if (((keys[RELEASE_ROOT] | keys[RELEASE_RELEASE] | keys[RELEASE_TIMESTAMP]) & BIT(i)) == 0)
            continue;
        signing_key_public(w->keys[i], key->public_key);
        release_keyid_of(key->public_key, key->id);
        place[i] = (unsigned)ret_root->n_keys++;
    }
    for (role = 0; role < RELEASE_N_ROLES; role++) {
        struct release_role_keys *r = &ret_root->roles[role];

        r->threshold = thresholds[role];
        for (i = 0; i < K_N; i++)
            if ((keys[role] & BIT(i)) != 0)
                r->keys[r->n_keys++] = (unsigned char)place[i];
    }
}

void world_default_root(const struct world *w, int64_t version, struct release_root *ret_root)
{
    static const uint64_t keys[RELEASE_N_ROLES] = {
        BIT(K_ROOT_A) | BIT(K_ROOT_B) | BIT(K_ROOT_C),
        BIT(K_RELEASE_A) | BIT(K_RELEASE_B) | BIT(K_RELEASE_C),
        BIT(K_TIME_A) | BIT(K_TIME_B),
    };
    static const int64_t thresholds[RELEASE_N_ROLES] = {2, 2, 1};

    world_make_root(w, version, keys, thresholds, ret_root);
}

void world_put_signed(struct world *w, const char *name, enum release_role role,
                      const char *payload, uint64_t keys)
{
    AUTO(release_envelope_done)
    struct release_envelope e = {
        .role = role, .payload = strdup(payload), .n_payload = strlen(payload)};
    AUTO(buf_done) struct buf file = {0};
    struct err err = {0};
    unsigned i;

    buf_init(&file, 16u << 20);
    for (i = 0; i < K_N; i++)
        if ((keys & BIT(i)) != 0)
            ck_assert_msg(signing_sign(w->keys[i], &e, &err) == 0, "%s", err.text);
    release_envelope_write(&e, &file);
    ck_assert_int_eq(file.failed, 0);
    world_put(w, name, buf_str(&file), file.len);
}

void world_put_root(struct world *w, const struct release_root *root, uint64_t keys)
{
    AUTO(buf_done) struct buf payload = {0};
    char name[40];

    buf_init(&payload, 1u << 20);
    release_root_write(root, &payload);
    (void)snprintf(name, sizeof(name), "%" PRId64 ".root.json", root->version);
    world_put_signed(w, name, RELEASE_ROOT, buf_str(&payload), keys);
}

char *world_manifest_payload(const struct world *w, int64_t version)
{
    static const struct release_version versions[] = {
        {.version = "1.0.0",
         .sha256 = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
         .length_bytes = 1000,
         .unpacked_bytes = 5000,
         .rollout_percent = 100},
        {.version = "1.1.0",
         .sha256 = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb",
         .length_bytes = 2000,
         .unpacked_bytes = 6000,
         .minimum_source = "0.9",
         .rollout_percent = 50,
         .not_before_unix_ms = WORLD_NOW - DAY_MS},
    };
    AUTO(release_manifest_done)
    struct release_manifest m = {.version = version,
                                 .issued_unix_ms = WORLD_NOW - 2 * DAY_MS,
                                 .expires_unix_ms = WORLD_NOW + 90 * DAY_MS,
                                 .uri_format = RELEASE_DEFAULT_URI_FORMAT,
                                 .rollback_floor = "0.5"};
    AUTO(buf_done) struct buf payload = {0};
    struct err err = {0};
    size_t i;

    (void)w;
    buf_init(&payload, 1u << 20);
    for (i = 0; i < ARRAY_LEN(versions); i++)
        ck_assert_msg(
            release_manifest_put(&m, "ssmd", "ssmd-linux-amd64.tar.gz", &versions[i], &err) == 0,
            "%s", err.text);
    release_manifest_write(&m, &payload);
    ck_assert_int_eq(payload.failed, 0);
    return buf_take(&payload);
}

void world_put_manifest(struct world *w, int64_t version, uint64_t keys)
{
    AUTO(free) char *payload = world_manifest_payload(w, version);

    world_put_signed(w, "manifest.json", RELEASE_RELEASE, payload, keys);
}

void world_put_timestamp(struct world *w, int64_t version, int64_t manifest_version, uint64_t keys)
{
    const struct world_file *m = world_file(w, "manifest.json");
    struct release_timestamp t = {.version = version,
                                  .issued_unix_ms = WORLD_NOW - DAY_MS,
                                  .expires_unix_ms = WORLD_NOW + 7 * DAY_MS,
                                  .manifest_version = manifest_version,
                                  .manifest_length_bytes = (int64_t)m->n};
    AUTO(buf_done) struct buf payload = {0};

    buf_init(&payload, 1u << 20);
    sha256_hex_of(m->bytes, m->n, t.manifest_sha256);
    release_timestamp_write(&t, &payload);
    world_put_signed(w, "timestamp.json", RELEASE_TIMESTAMP, buf_str(&payload), keys);
}

static char *replace(const char *text, size_t n, const char *from, const char *to, size_t *ret_n)
{
    size_t n_from = strlen(from), n_to = strlen(to);
    const char *at = memmem(text, n, from, n_from);
    char *out = malloc(n + n_to + 1);

    ck_assert_msg(at != NULL, "there is no %s in %s", from, text);
    ck_assert_ptr_nonnull(out);
    memcpy(out, text, (size_t)(at - text));
    memcpy(out + (at - text), to, n_to);
    memcpy(out + (at - text) + n_to, at + n_from, n - (size_t)(at - text) - n_from);
    *ret_n = n - n_from + n_to;
    out[*ret_n] = '\0';
    return out;
}

enum release_role world_role(const char *name)
{
    return str_eq(name, "manifest.json")    ? RELEASE_RELEASE
           : str_eq(name, "timestamp.json") ? RELEASE_TIMESTAMP
                                            : RELEASE_ROOT;
}

uint64_t world_keys(enum release_role role)
{
    return role == RELEASE_ROOT ? ROOT_KEYS : role == RELEASE_RELEASE ? RELEASE_KEYS : TIME_KEYS;
}

void world_edit(struct world *w, const char *name, const char *from, const char *to, uint64_t keys)
{
    AUTO(release_envelope_done) struct release_envelope e = {.role = world_role(name)};
    const struct world_file *f = world_file(w, name);
    struct err err = {0};
    AUTO(free) char *payload = NULL;
    size_t n;

    ck_assert_msg(release_envelope_parse(f->bytes, f->n, e.role, &e, &err) == 0, "%s", err.text);
    payload = replace(e.payload, e.n_payload, from, to, &n);
    world_put_signed(w, name, e.role, payload, keys);
    if (e.role == RELEASE_RELEASE)
        world_put_timestamp(w, TIMESTAMP_VERSION, MANIFEST_VERSION, TIME_KEYS);
}

void world_edit_bytes(struct world *w, const char *name, const char *from, const char *to)
{
    const struct world_file *f = world_file(w, name);
    size_t n;
    AUTO(free) char *bytes = replace(f->bytes, f->n, from, to, &n);

    world_put(w, name, bytes, n);
}

void world_init(struct world *w)
{
    struct err err = {0};
    unsigned i;

    *w = (struct world){.now_unix_ms = WORLD_NOW};
    for (i = 0; i < K_N; i++)
        ck_assert_msg(signing_key_make(&w->keys[i], &err) == 0, "%s", err.text);
    world_default_root(w, 1, &w->root);
    world_put_root(w, &w->root, ROOT_KEYS);
    w->n_given = world_file(w, "1.root.json")->n;
    w->given = strdup(world_file(w, "1.root.json")->bytes);
    world_put_manifest(w, MANIFEST_VERSION, RELEASE_KEYS);
    world_put_timestamp(w, TIMESTAMP_VERSION, MANIFEST_VERSION, TIME_KEYS);
}

void world_done(struct world *w)
{
    size_t i;

    for (i = 0; i < K_N; i++)
        signing_key_free(w->keys[i]);
    for (i = 0; i < w->n_files; i++)
        free(w->files[i].bytes);
    free(w->given);
    free(w->stored);
}

int world_run(struct world *w, struct trust **ret_trust, struct err *err)
{
    AUTO(trust_free) struct trust *t = NULL;
    struct trust_wanted wanted;
    int r = trust_begin(w->given, w->n_given, w->stored, w->n_stored, w->now_unix_ms, &t, err);

    while (r == 0 && trust_wanted(t, &wanted)) {
        const struct world_file *f = world_file(w, wanted.name);

        ck_assert_ptr_null(trust_manifest(t)); /* nothing is told before all is checked */
        /* A fetcher stops one byte behind the bound. */
        r = f != NULL ? trust_take(t, f->bytes,
                                   f->n <= wanted.max_bytes ? f->n : wanted.max_bytes + 1, err)
                      : trust_take_none(t, err);
    }
    if (r == 0)
        *ret_trust = TAKE(t);
    else if (t != NULL)
        ck_assert(trust_manifest(t) == NULL && trust_timestamp(t) == NULL);
    return r;
}

void world_update(struct world *w)
{
    AUTO(trust_free) struct trust *t = NULL;
    AUTO(buf_done) struct buf record = {0};
    struct err err = {0};

    ck_assert_msg(world_run(w, &t, &err) == 0, "%s", err.text);
    buf_init(&record, TRUST_FILE_MAX_BYTES);
    ck_assert_msg(trust_record(t, &record, &err) == 0, "%s", err.text);
    free(w->stored);
    w->n_stored = record.len;
    w->stored = buf_take(&record);
}
