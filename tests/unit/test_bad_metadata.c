/* An update source that lies: every file changed, withheld, replayed, mixed, made by the wrong
 * people or written in a way that could mean two things. None is believed, and the text says why.
 */
#include "release_world.h"

#include <check.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"

struct attack {
    const char *name;
    void (*act)(struct world *w, const struct attack *a);
    int code;
    const char *says; /* what the text must have in it */
    const char *file, *from, *to;
    uint64_t keys;
    int64_t number;
};

/* ---- ways to lie ---- */

/* There is no next root unless an attack needs one. */
static void want_file(struct world *w, const char *file)
{
    struct release_root next;

    if (world_role(file) != RELEASE_ROOT)
        return;
    world_default_root(w, 2, &next);
    world_put_root(w, &next, ROOT_KEYS);
}

/* Whoever holds the keys signs nonsense: what they sign is read with care all the same. */
static void sign_edited(struct world *w, const struct attack *a)
{
    want_file(w, a->file);
    world_edit(w, a->file, a->from, a->to, world_keys(world_role(a->file)));
}

static void edit_bytes(struct world *w, const struct attack *a)
{
    want_file(w, a->file);
    world_edit_bytes(w, a->file, a->from, a->to);
}

/* The timestamp's key is stolen, so that its hash protects the manifest no longer. */
static void edit_bytes_and_stamp(struct world *w, const struct attack *a)
{
    world_edit_bytes(w, a->file, a->from, a->to);
    world_put_timestamp(w, TIMESTAMP_VERSION, MANIFEST_VERSION, TIME_KEYS);
}

static void sign_manifest_with(struct world *w, const struct attack *a)
{
    world_put_manifest(w, MANIFEST_VERSION, a->keys);
    world_put_timestamp(w, TIMESTAMP_VERSION, MANIFEST_VERSION, TIME_KEYS);
}

static void sign_timestamp_with(struct world *w, const struct attack *a)
{
    world_put_timestamp(w, TIMESTAMP_VERSION, MANIFEST_VERSION, a->keys);
}

static void sign_next_root_with(struct world *w, const struct attack *a)
{
    struct release_root next;

    world_default_root(w, 2, &next);
    world_put_root(w, &next, a->keys);
}

/* A root of which the attacker's key is one, or all. */
static void take_over_root(struct world *w, const struct attack *a)
{
    const uint64_t keys[RELEASE_N_ROLES] = {BIT(K_STRANGER), BIT(K_STRANGER), BIT(K_STRANGER)};
    const int64_t thresholds[RELEASE_N_ROLES] = {1, 1, 1};
    struct release_root next;

    world_make_root(w, 2, keys, thresholds, &next);
    world_put_root(w, &next, a->keys);
    world_put_manifest(w, MANIFEST_VERSION, BIT(K_STRANGER));
    world_put_timestamp(w, TIMESTAMP_VERSION, MANIFEST_VERSION, BIT(K_STRANGER));
}

/* New root keys that have not signed their own root. */
static void unproven_new_keys(struct world *w, const struct attack *a)
{
    const uint64_t keys[RELEASE_N_ROLES] = {BIT(K_ROOT_A) | BIT(K_STRANGER), RELEASE_KEYS,
                                            TIME_KEYS};
    const int64_t thresholds[RELEASE_N_ROLES] = {2, 2, 1};
    struct release_root next;

    world_make_root(w, 2, keys, thresholds, &next);
    world_put_root(w, &next, a->keys);
}

static void root_of_version(struct world *w, const struct attack *a)
{
    struct release_root next;
    struct world_file *f;
    char name[40];

    world_default_root(w, a->number, &next);
    world_put_root(w, &next, ROOT_KEYS);
    (void)snprintf(name, sizeof(name), "%" PRId64 ".root.json", a->number);
    f = world_file(w, name);
    world_put(w, "2.root.json", f->bytes, f->n);
}

static void old_timestamp(struct world *w, const struct attack *a)
{
    world_update(w);
    world_put_timestamp(w, a->number, MANIFEST_VERSION, TIME_KEYS);
}

static void old_manifest(struct world *w, const struct attack *a)
{
    world_update(w);
    world_put_manifest(w, a->number, RELEASE_KEYS);
    world_put_timestamp(w, TIMESTAMP_VERSION + 1, a->number, TIME_KEYS);
}

/* The timestamp says one version, the manifest is another. */
static void disagreeing(struct world *w, const struct attack *a)
{
    world_put_manifest(w, MANIFEST_VERSION, RELEASE_KEYS);
    world_put_timestamp(w, TIMESTAMP_VERSION, a->number, TIME_KEYS);
}

/* Two true files that do not belong together. */
static void newer_manifest_without_timestamp(struct world *w, const struct attack *a)
{
    (void)a;
    world_put_manifest(w, MANIFEST_VERSION + 1, RELEASE_KEYS);
}

static void older_manifest_without_timestamp(struct world *w, const struct attack *a)
{
    (void)a;
    world_put_manifest(w, MANIFEST_VERSION - 1, RELEASE_KEYS);
}

static void resigned_manifest(struct world *w, const struct attack *a)
{
    world_put_manifest(w, MANIFEST_VERSION, a->keys);
}

static void at_time(struct world *w, const struct attack *a)
{
    w->now_unix_ms = WORLD_NOW + a->number;
}

/* The timestamp is kept up by who stole its key; what it names is not. */
static void at_time_with_timestamp(struct world *w, const struct attack *a)
{
    at_time(w, a);
    world_edit(w, "timestamp.json", "2027-01-22", "2028-01-22", TIME_KEYS);
}

static void expired_root(struct world *w, const struct attack *a)
{
    struct release_root next;

    (void)a;
    world_default_root(w, 2, &next);
    next.expires_unix_ms = WORLD_NOW - DAY_MS;
    world_put_root(w, &next, ROOT_KEYS);
}

static void missing(struct world *w, const struct attack *a)
{
    world_remove(w, a->file);
}

/* Blanks are harmless to JSON, and without end. */
static void endless(struct world *w, const struct attack *a)
{
    size_t n = 5u << 20;
    char *blanks = malloc(n);

    ck_assert_ptr_nonnull(blanks);
    memset(blanks, ' ', n);
    world_put(w, a->file, blanks, n);
    free(blanks);
}

static void longer_by_one(struct world *w, const struct attack *a)
{
    AUTO(buf_done) struct buf b = {0};
    struct world_file *f = world_file(w, a->file);

    buf_init(&b, 1u << 20);
    (void)buf_add(&b, f->bytes, f->n); /* both fit */
    (void)buf_add_char(&b, ' ');
    world_put(w, a->file, b.data, b.len);
}

static void put_bytes(struct world *w, const struct attack *a)
{
    world_put(w, a->file, a->to, strlen(a->to));
}

/* A file under another's name: replayed in its place. */
static void in_place_of(struct world *w, const struct attack *a)
{
    struct world_file *f = world_file(w, a->from);

    world_put(w, a->file, f->bytes, f->n);
}

/* The right keys sign the right payload as a file of another role. */
static void wrong_type(struct world *w, const struct attack *a)
{
    AUTO(release_envelope_done) struct release_envelope e = {.role = world_role(a->from)};
    struct world_file *f = world_file(w, a->from);
    struct err err = {0};

    ck_assert_int_eq(release_envelope_parse(f->bytes, f->n, e.role, &e, &err), 0);
    world_put_signed(w, a->file, world_role(a->file), e.payload, world_keys(world_role(a->file)));
    if (str_eq(a->file, "manifest.json"))
        world_put_timestamp(w, TIMESTAMP_VERSION, MANIFEST_VERSION, TIME_KEYS);
}

/* One signature twice, to reach a threshold of two. */
static void same_signature_twice(struct world *w, const struct attack *a)
{
    AUTO(release_envelope_done) struct release_envelope e = {.role = RELEASE_RELEASE};
    struct world_file *f;
    struct err err = {0};

    (void)a;
    world_put_manifest(w, MANIFEST_VERSION, BIT(K_RELEASE_A));
    f = world_file(w, "manifest.json");
    ck_assert_int_eq(release_envelope_parse(f->bytes, f->n, e.role, &e, &err), 0);
    e.signatures = reallocarray(e.signatures, 2, sizeof(*e.signatures));
    ck_assert_ptr_nonnull(e.signatures);
    e.signatures[1] = e.signatures[0];
    e.n_signatures = 2;
    AUTO(buf_done) struct buf b = {0};
    buf_init(&b, 1u << 20);
    release_envelope_write(&e, &b);
    world_put(w, "manifest.json", b.data, b.len);
    world_put_timestamp(w, TIMESTAMP_VERSION, MANIFEST_VERSION, TIME_KEYS);
}

/* One key's signature under the name of another, to be counted as that. */
static void under_another_keyid(struct world *w, const struct attack *a)
{
    AUTO(release_envelope_done) struct release_envelope e = {.role = RELEASE_RELEASE};
    AUTO(buf_done) struct buf b = {0};
    unsigned char public_key[RELEASE_KEY_BYTES];
    struct release_signature s;
    struct world_file *f;
    struct err err = {0};

    world_put_manifest(w, MANIFEST_VERSION, a->keys);
    f = world_file(w, "manifest.json");
    ck_assert_int_eq(release_envelope_parse(f->bytes, f->n, e.role, &e, &err), 0);
    s = e.signatures[e.n_signatures - 1];
    signing_key_public(w->keys[K_RELEASE_C], public_key);
    release_keyid_of(public_key, s.keyid);
    ck_assert_int_eq(release_envelope_add(&e, &s, &err), 0);
    buf_init(&b, 1u << 20);
    release_envelope_write(&e, &b);
    world_put(w, "manifest.json", b.data, b.len);
    world_put_timestamp(w, TIMESTAMP_VERSION, MANIFEST_VERSION, TIME_KEYS);
}

/* In what 2.root.json says of its first key. */
static void another_public_key(struct world *w, const struct attack *a)
{
    struct release_root next;

    (void)a;
    world_default_root(w, 2, &next);
    signing_key_public(w->keys[K_STRANGER], next.keys[0].public_key);
    world_put_root(w, &next, ROOT_KEYS);
}

static void one_key_under_two_ids(struct world *w, const struct attack *a)
{
    struct release_root next;

    (void)a;
    world_default_root(w, 2, &next);
    next.keys[1] = next.keys[0];
    world_put_root(w, &next, ROOT_KEYS);
}

static void one_key_twice_in_a_role(struct world *w, const struct attack *a)
{
    struct release_root next;

    (void)a;
    world_default_root(w, 2, &next);
    next.roles[RELEASE_RELEASE].keys[1] = next.roles[RELEASE_RELEASE].keys[0];
    world_put_root(w, &next, ROOT_KEYS);
}

static void too_many_roots(struct world *w, const struct attack *a)
{
    int64_t version;

    (void)a;
    for (version = 2; version <= TRUST_MAX_ROOTS + 2; version++) {
        struct release_root next;

        world_default_root(w, version, &next);
        world_put_root(w, &next, ROOT_KEYS);
    }
}

static void nested(struct world *w, const struct attack *a)
{
    char text[400] = "", *p = text;
    int i;

    want_file(w, a->file);
    p += snprintf(p, 20, ",\"x\":");
    for (i = 0; i < 100; i++)
        *p++ = '[';
    for (i = 0; i < 100; i++)
        *p++ = ']';
    (void)snprintf(p, 20, "%s", a->from);
    world_edit(w, a->file, a->from, text, world_keys(world_role(a->file)));
}

static void given_root(struct world *w, const struct attack *a)
{
    char *at = strstr(w->given, a->from);

    ck_assert_ptr_nonnull(at);
    memcpy(at, a->to, strlen(a->to));
}

static void given_root_is(struct world *w, const struct attack *a)
{
    free(w->given);
    w->given = strdup(a->to);
    w->n_given = strlen(a->to);
}

static void stored_is(struct world *w, const struct attack *a)
{
    world_update(w);
    if (a->from == NULL) {
        free(w->stored);
        w->stored = strdup(a->to);
        w->n_stored = strlen(a->to);
    } else {
        char *at = strstr(w->stored, a->from);

        ck_assert_ptr_nonnull(at);
        memcpy(at, a->to, strlen(a->to));
    }
}

/* ---- the table ---- */

#define M "manifest.json"
#define T "timestamp.json"
#define R "2.root.json"
#define V "\"Version\":\"1.0.0\""
#define SUM "\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\""

/* Signed by the right keys, and still refused: {name, where, what, by what, code, text}. */
#define EDIT(name, file, from, to, code, says)                                                     \
    {                                                                                              \
        name, sign_edited, code, says, file, from, to, 0, 0                                        \
    }
#define BYTES(name, file, from, to, code, says)                                                    \
    {                                                                                              \
        name, edit_bytes, code, says, file, from, to, 0, 0                                         \
    }
#define STAMPED(name, from, to, code, says)                                                        \
    {                                                                                              \
        name, edit_bytes_and_stamp, code, says, M, from, to, 0, 0                                  \
    }
#define ACT(name, act, code, says, keys, number)                                                   \
    {                                                                                              \
        name, act, code, says, NULL, NULL, NULL, keys, number                                      \
    }
#define FILE_ACT(name, act, code, says, file, from, to)                                            \
    {                                                                                              \
        name, act, code, says, file, from, to, 0, 0                                                \
    }

static const struct attack attacks[] = {
    /* arbitrary software: made by nobody we know */
    ACT("manifest by a stranger", sign_manifest_with, ERR_AUTH, "0 of the keys", BIT(K_STRANGER),
        0),
    ACT("manifest by nobody", sign_manifest_with, ERR_AUTH, "0 of the keys", 0, 0),
    ACT("timestamp by a stranger", sign_timestamp_with, ERR_AUTH, "0 of", BIT(K_STRANGER), 0),
    ACT("timestamp by nobody", sign_timestamp_with, ERR_AUTH, "0 of the keys", 0, 0),
    ACT("root by a stranger", sign_next_root_with, ERR_AUTH, "0 of the keys", BIT(K_STRANGER), 0),
    ACT("root by nobody", sign_next_root_with, ERR_AUTH, "0 of the keys", 0, 0),
    ACT("a root of the attacker's, signed by the attacker", take_over_root, ERR_AUTH, "0 of",
        BIT(K_STRANGER), 0),

    /* key compromise below the threshold */
    ACT("one release key is stolen", sign_manifest_with, ERR_AUTH, "by 1 of", BIT(K_RELEASE_B), 0),
    ACT("one release key and the timestamp's", sign_manifest_with, ERR_AUTH, "by 1 of",
        BIT(K_RELEASE_B) | BIT(K_TIME_A), 0),
    ACT("one release key and a stranger's", sign_manifest_with, ERR_AUTH, "by 1 of",
        BIT(K_RELEASE_B) | BIT(K_STRANGER), 0),
    ACT("one root key is stolen", sign_next_root_with, ERR_AUTH, "by 1 of", BIT(K_ROOT_C), 0),
    ACT("one root key and a takeover", take_over_root, ERR_AUTH, "by 1 of",
        BIT(K_ROOT_C) | BIT(K_STRANGER), 0),
    ACT("new root keys that have not signed", unproven_new_keys, ERR_AUTH, "by 1 of", ROOT_KEYS, 0),
    ACT("old root keys that have not signed", unproven_new_keys, ERR_AUTH, "by 1 of",
        BIT(K_ROOT_A) | BIT(K_STRANGER), 0),

    /* the wrong role's key */
    ACT("manifest by timestamp keys", sign_manifest_with, ERR_AUTH, "role release",
        BIT(K_TIME_A) | BIT(K_TIME_B), 0),
    ACT("manifest by root keys", sign_manifest_with, ERR_AUTH, "role release", ROOT_KEYS, 0),
    ACT("timestamp by release keys", sign_timestamp_with, ERR_AUTH, "role timestamp", RELEASE_KEYS,
        0),
    ACT("timestamp by root keys", sign_timestamp_with, ERR_AUTH, "role timestamp", ROOT_KEYS, 0),
    ACT("root by release keys", sign_next_root_with, ERR_AUTH, "role root", RELEASE_KEYS, 0),
    ACT("root by timestamp keys", sign_next_root_with, ERR_AUTH, "role root", TIME_KEYS, 0),

    /* the same key twice, and the wrong keyid */
    ACT("one signature twice", same_signature_twice, ERR_INVALID, "signed already", 0, 0),
    ACT("one key's signature under another's id", under_another_keyid, ERR_AUTH, "does not fit",
        BIT(K_RELEASE_A), 0),
    ACT("a stranger's signature under a key's id", under_another_keyid, ERR_AUTH, "does not fit",
        BIT(K_RELEASE_A) | BIT(K_STRANGER), 0),
    ACT("a third signature that does not fit", under_another_keyid, ERR_AUTH, "does not fit",
        RELEASE_KEYS, 0),
    ACT("a public key under another's id", another_public_key, ERR_INVALID, "Keys[0].KeyId", 0, 0),
    ACT("one key twice in Keys", one_key_under_two_ids, ERR_INVALID, "stands twice", 0, 0),

    ACT("one key twice in a role", one_key_twice_in_a_role, ERR_INVALID,
        "Roles.release.KeyIds[1] stands there twice", 0, 0),

    /* rollback */
    ACT("timestamp 6 after 7", old_timestamp, ERR_REFUSED, "version 7 was seen", 0, 6),
    ACT("timestamp 1 after 7", old_timestamp, ERR_REFUSED, "version 7 was seen", 0, 1),
    ACT("manifest 4 after 5", old_manifest, ERR_REFUSED, "version 5 was seen", 0, 4),
    ACT("manifest 1 after 5", old_manifest, ERR_REFUSED, "version 5 was seen", 0, 1),
    ACT("root 1 in the place of 2", root_of_version, ERR_REFUSED, "version 2 must follow", 0, 1),
    ACT("root 3 in the place of 2", root_of_version, ERR_REFUSED, "version 2 must follow", 0, 3),
    ACT("root 2147483647 in the place of 2", root_of_version, ERR_REFUSED, "version 2 must follow",
        0, 2147483647),

    /* freeze */
    ACT("expired timestamp", at_time, ERR_REFUSED, "expired", 0, 8 * DAY_MS),
    ACT("timestamp at its very end", at_time, ERR_REFUSED, "expired", 0, 7 * DAY_MS),
    ACT("the clock is in 2100", at_time, ERR_REFUSED, "expired", 0, 26663 * DAY_MS),
    ACT("expired manifest", at_time_with_timestamp, ERR_REFUSED, "manifest.json", 0, 91 * DAY_MS),
    ACT("expired root", at_time, ERR_REFUSED, "root 1", 0, 301 * DAY_MS),
    ACT("expired next root", expired_root, ERR_REFUSED, "root 2", 0, 0),
    ACT("the clock is in 1970", at_time, ERR_REFUSED, "set the clock", 0, -WORLD_NOW),
    ACT("the clock is before the root", at_time, ERR_REFUSED, "root 1", 0, -11 * DAY_MS),
    ACT("the clock is before the timestamp", at_time, ERR_REFUSED, "timestamp.json", 0,
        -2 * DAY_MS),

    /* mix and match */
    ACT("a newer manifest with an older timestamp", newer_manifest_without_timestamp, ERR_PROTOCOL,
        "not the manifest", 0, 0),
    ACT("an older manifest with a newer timestamp", older_manifest_without_timestamp, ERR_PROTOCOL,
        "not the manifest", 0, 0),
    ACT("the manifest, signed by other keys", resigned_manifest, ERR_PROTOCOL, "not the manifest",
        BIT(K_RELEASE_B) | BIT(K_RELEASE_C), 0),
    ACT("a timestamp that names version 6 of manifest 5", disagreeing, ERR_INVALID,
        "ManifestVersion is 5", 0, 6),
    ACT("a timestamp that names version 4 of manifest 5", disagreeing, ERR_INVALID,
        "ManifestVersion is 5", 0, 4),

    /* endless data */
    FILE_ACT("endless root", endless, ERR_LIMIT, "2.root.json", R, NULL, NULL),
    FILE_ACT("endless timestamp", endless, ERR_LIMIT, "timestamp.json", T, NULL, NULL),
    FILE_ACT("endless manifest", endless, ERR_PROTOCOL, "manifest.json", M, NULL, NULL),
    FILE_ACT("a manifest one byte longer", longer_by_one, ERR_PROTOCOL, "more than", M, NULL, NULL),
    ACT("more roots than are walked", too_many_roots, ERR_LIMIT, "more than 64 roots", 0, 0),

    /* withheld, and put in another's place */
    FILE_ACT("no timestamp", missing, ERR_NOT_FOUND, "timestamp.json", T, NULL, NULL),
    FILE_ACT("no manifest", missing, ERR_NOT_FOUND, "manifest.json", M, NULL, NULL),
    FILE_ACT("manifest in the place of timestamp", in_place_of, ERR_INVALID, "payloadType", T, M,
             NULL),
    FILE_ACT("root in the place of timestamp", in_place_of, ERR_INVALID, "payloadType", T,
             "1.root.json", NULL),
    FILE_ACT("timestamp in the place of manifest", in_place_of, ERR_PROTOCOL, "not the manifest", M,
             T, NULL),
    FILE_ACT("timestamp in the place of the next root", in_place_of, ERR_INVALID, "payloadType", R,
             T, NULL),
    FILE_ACT("a timestamp signed as a manifest", wrong_type, ERR_INVALID, "ManifestVersion", M, T,
             NULL),
    FILE_ACT("a manifest signed as a timestamp", wrong_type, ERR_INVALID, "Version is missing", T,
             M, NULL),
    FILE_ACT("a timestamp signed as a root", wrong_type, ERR_INVALID, "Keys is missing", R, T,
             NULL),
    FILE_ACT("a root signed as a timestamp", wrong_type, ERR_INVALID, "Manifest must be", T,
             "1.root.json", NULL),
    BYTES("the type is changed after signing", T, "vnd.ssmd.timestamp", "vnd.ssmd.manifest",
          ERR_INVALID, "payloadType"),
    STAMPED("the type of JSON in general", "vnd.ssmd.manifest+json", "json", ERR_INVALID,
            "payloadType"),

    /* the envelope, written otherwise */
    FILE_ACT("an empty timestamp", put_bytes, ERR_INVALID, "empty", T, NULL, ""),
    FILE_ACT("a web page", put_bytes, ERR_INVALID, "expected a value", T, NULL,
             "<!DOCTYPE html><title>Log in</title>"),
    FILE_ACT("a list", put_bytes, ERR_INVALID, "must be an object", T, NULL, "[]"),
    FILE_ACT("an empty object", put_bytes, ERR_INVALID, "payloadType is missing", T, NULL, "{}"),
    FILE_ACT("null", put_bytes, ERR_INVALID, "must be an object", T, NULL, "null"),
    FILE_ACT("only a payload type", put_bytes, ERR_INVALID, "payload is missing", T, NULL,
             "{\"payloadType\":\"application/vnd.ssmd.timestamp+json\"}"),
    FILE_ACT("signatures that are an object", put_bytes, ERR_INVALID, "must be a list", T, NULL,
             "{\"payloadType\":\"application/vnd.ssmd.timestamp+json\",\"payload\":\"e30=\","
             "\"signatures\":{}}"),
    FILE_ACT("no signatures at all", put_bytes, ERR_INVALID, "signatures is missing", T, NULL,
             "{\"payloadType\":\"application/vnd.ssmd.timestamp+json\",\"payload\":\"e30=\"}"),
    FILE_ACT("a signature that is a string", put_bytes, ERR_INVALID, "signatures[0]", T, NULL,
             "{\"payloadType\":\"application/vnd.ssmd.timestamp+json\",\"payload\":\"e30=\","
             "\"signatures\":[\"x\"]}"),
    BYTES("a second payload", T, "{\"payloadType\"", "{\"payload\":\"e30=\",\"payloadType\"",
          ERR_INVALID, "twice"),
    BYTES("second signatures", T, "{\"payloadType\"", "{\"signatures\":[],\"payloadType\"",
          ERR_INVALID, "twice"),
    BYTES("a second keyid", T, "{\"keyid\"", "{\"keyid\":\"\",\"keyid\"", ERR_INVALID, "twice"),
    BYTES("payload in capitals", T, "\"payload\":", "\"Payload\":", ERR_INVALID,
          "payload is missing"),
    BYTES("sig in capitals", T, "\"sig\":", "\"Sig\":", ERR_INVALID, "sig is missing"),
    BYTES("no keyid", T, "\"keyid\":", "\"kid\":", ERR_INVALID, "keyid is missing"),
    BYTES("a short keyid", T, "\"keyid\":\"", "\"keyid\":\"ab\",\"x\":\"", ERR_INVALID, "keyid"),
    BYTES("a keyid of other letters", T, "\"keyid\":\"", "\"keyid\":\"Z", ERR_INVALID, "keyid"),
    BYTES("a payload that is not Base64", T, "\"payload\":\"", "\"payload\":\"*", ERR_INVALID,
          "not Base64"),
    BYTES("padding within the payload", T, "\"payload\":\"", "\"payload\":\"ew==", ERR_INVALID,
          "not Base64"),
    BYTES("a line end in the payload", T, "\"payload\":\"", "\"payload\":\"\\n", ERR_INVALID,
          "not Base64"),
    BYTES("a payload that is a number", T, "\"payload\":\"", "\"payload\":1,\"x\":\"", ERR_INVALID,
          "payload must be a string"),
    BYTES("a signature of one byte", T, "\"sig\":\"", "\"sig\":\"AA==\",\"x\":\"", ERR_INVALID,
          "64 bytes"),
    BYTES("an empty signature", T, "\"sig\":\"", "\"sig\":\"\",\"x\":\"", ERR_INVALID, "64 bytes"),
    BYTES("a signature of 66 bytes", T, "\"sig\":\"", "\"sig\":\"AAAA", ERR_INVALID, "64 bytes"),
    BYTES("text behind the end", T, "}]}\n", "}]}{}", ERR_INVALID, "after the end"),
    BYTES("a byte order mark", T, "{\"payloadType\"", "\xef\xbb\xbf{\"payloadType\"", ERR_INVALID,
          "line 1"),
    BYTES("a payload put before the root's", R, "\"payload\":\"", "\"payload\":\"e30=", ERR_INVALID,
          "not Base64"),
    STAMPED("a manifest with a second payload", "{\"payloadType\"",
            "{\"payload\":\"e30=\",\"payloadType\"", ERR_INVALID, "twice"),
    STAMPED("a manifest whose signatures are gone", "\"signatures\":[", "\"signatures\":[],\"x\":[",
            ERR_AUTH, "0 of the keys"),

    /* a timestamp that its key holder, or a thief, wrote wrongly */
    EDIT("timestamp of version 0", T, "\"Version\":7", "\"Version\":0", ERR_INVALID,
         "Version must"),
    EDIT("timestamp of version -7", T, "\"Version\":7", "\"Version\":-7", ERR_INVALID, "Version"),
    EDIT("timestamp of version 7.5", T, "\"Version\":7", "\"Version\":7.5", ERR_INVALID, "whole"),
    EDIT("timestamp fast-forwarded out of range", T, "\"Version\":7", "\"Version\":2147483648",
         ERR_INVALID, "Version"),
    EDIT("timestamp of version 1e308", T, "\"Version\":7", "\"Version\":1e308", ERR_INVALID,
         "Version"),
    EDIT("timestamp of version 1e999", T, "\"Version\":7", "\"Version\":1e999", ERR_INVALID,
         "too large"),
    EDIT("timestamp of version \"7\"", T, "\"Version\":7", "\"Version\":\"7\"", ERR_INVALID,
         "must be a number"),
    EDIT("timestamp without a version", T, "\"Version\":7", "\"V\":7", ERR_INVALID, "is missing"),
    EDIT("timestamp with two versions", T, "\"Version\":7", "\"Version\":8,\"Version\":7",
         ERR_INVALID, "twice"),
    EDIT("timestamp without an end", T, "\"Expires\"", "\"Expiry\"", ERR_INVALID,
         "Expires is missing"),
    EDIT("timestamp that expires never", T, "\"Expires\":\"", "\"Expires\":\"never", ERR_INVALID,
         "Expires must be a time"),
    EDIT("timestamp that expires before it was made", T, "\"Expires\":\"2027", "\"Expires\":\"2020",
         ERR_INVALID, "later than Issued"),
    EDIT("timestamp whose end is a number", T, "\"Expires\":\"2027-01-22T08:00:00.000Z\"",
         "\"Expires\":9999999999999", ERR_INVALID, "Expires must be a string"),
    EDIT("timestamp made at no time", T, "\"Issued\"", "\"issued\"", ERR_INVALID,
         "Issued is missing"),
    EDIT("timestamp without a manifest", T, "\"Manifest\":{", "\"Manifest\":{},\"x\":{",
         ERR_INVALID, "Manifest.Version is missing"),
    EDIT("timestamp whose manifest is null", T, "\"Manifest\":{", "\"Manifest\":null,\"x\":{",
         ERR_INVALID, "Manifest must be an object"),
    EDIT("timestamp of a manifest without bytes", T,
         "\"Length\":", "\"Length\":0,\"x\":", ERR_INVALID, "Manifest.Length"),
    EDIT("timestamp of a manifest of -1 bytes", T,
         "\"Length\":", "\"Length\":-1,\"x\":", ERR_INVALID, "Manifest.Length"),
    EDIT("timestamp of an endless manifest", T,
         "\"Length\":", "\"Length\":99999999999,\"x\":", ERR_INVALID, "Manifest.Length"),
    EDIT("timestamp without a hash", T, "\"SHA256\"", "\"MD5\"", ERR_INVALID, "SHA256 is missing"),
    EDIT("timestamp with an empty hash", T, "\"SHA256\":\"", "\"SHA256\":\"\",\"x\":\"",
         ERR_INVALID, "SHA256"),
    EDIT("timestamp with another hash", T, "\"SHA256\":\"", "\"SHA256\":" SUM ",\"x\":\"",
         ERR_PROTOCOL, "not the manifest"),
    EDIT("timestamp with a hash in capitals", T, "\"SHA256\":\"", "\"SHA256\":\"A", ERR_INVALID,
         "SHA256"),
    EDIT("timestamp with a NUL", T, "{\"Version\"", "{\"\\u0000\":1,\"Version\"", ERR_INVALID,
         "NUL"),
    EDIT("timestamp in no encoding", T, "{\"Version\"", "{\"\xff\":1,\"Version\"", ERR_INVALID,
         "UTF-8"),
    EDIT("timestamp that is a list", T, "{\"Version\":7", "[{\"Version\":7", ERR_INVALID, "column"),
    FILE_ACT("timestamp nested deeply", nested, ERR_LIMIT, "nested", T, ",\"Manifest\"", NULL),

    /* a root that its key holders wrote wrongly */
    EDIT("root whose threshold is 0", R, "\"Threshold\":2", "\"Threshold\":0", ERR_INVALID,
         "Roles.root.Threshold"),
    EDIT("root whose threshold is -1", R, "\"Threshold\":2", "\"Threshold\":-1", ERR_INVALID,
         "Roles.root.Threshold"),
    EDIT("root whose threshold is out of reach", R, "\"Threshold\":2", "\"Threshold\":4",
         ERR_INVALID, "Roles.root.Threshold"),
    EDIT("root without a threshold", R, "\"Threshold\":2", "\"threshold\":2", ERR_INVALID,
         "Threshold is missing"),
    EDIT("root without the role timestamp", R, "\"timestamp\":", "\"targets\":", ERR_INVALID,
         "Roles.timestamp"),
    EDIT("root without the role release", R, "\"release\":", "\"Release\":", ERR_INVALID,
         "Roles.release"),
    EDIT("root with the role root twice", R, "\"Roles\":{", "\"Roles\":{\"root\":{},", ERR_INVALID,
         "twice"),
    EDIT("root without keys", R, "\"Keys\":[", "\"Keys\":[],\"x\":[", ERR_INVALID, "Keys has 0"),
    EDIT("root with a key of another kind", R, "\"KeyType\":\"ed25519\"", "\"KeyType\":\"rsa\"",
         ERR_INVALID, "KeyType"),
    EDIT("root with a key of no kind", R, "\"KeyType\"", "\"Keytype\"", ERR_INVALID,
         "KeyType is missing"),
    EDIT("root with a short public key", R, "\"Public\":\"", "\"Public\":\"AAAA\",\"x\":\"",
         ERR_INVALID, "Public"),
    EDIT("root with a role of no key", R, "\"KeyIds\":[", "\"KeyIds\":[],\"x\":[", ERR_INVALID,
         "KeyIds has 0"),
    EDIT("root with a role of an unknown key", R, "\"KeyIds\":[", "\"KeyIds\":[" SUM ",",
         ERR_INVALID, "not the KeyId"),
    EDIT("root with a role of a number", R, "\"KeyIds\":[", "\"KeyIds\":[1,", ERR_INVALID,
         "not the KeyId"),
    EDIT("root with keys that are a string", R, "\"Keys\":[", "\"Keys\":\"\",\"x\":[", ERR_INVALID,
         "Keys must be a list"),
    EDIT("root of version 2.5", R, "\"Version\":2", "\"Version\":2.5", ERR_INVALID, "whole"),
    EDIT("root of version true", R, "\"Version\":2", "\"Version\":true", ERR_INVALID,
         "must be a number"),
    FILE_ACT("root nested deeply", nested, ERR_LIMIT, "nested", R, ",\"Keys\"", NULL),

    /* a manifest that its key holders wrote wrongly */
    EDIT("a version with a path", M, V, "\"Version\":\"../../etc\"", ERR_INVALID, "Version must"),
    EDIT("a version with a slash", M, V, "\"Version\":\"1.0/0\"", ERR_INVALID, "Version must"),
    EDIT("a version of dots", M, V, "\"Version\":\"..\"", ERR_INVALID, "Version must"),
    EDIT("a version with a line end", M, V, "\"Version\":\"1.0\\n\"", ERR_INVALID, "Version must"),
    EDIT("an empty version", M, V, "\"Version\":\"\"", ERR_INVALID, "Version must"),
    EDIT("a version with a word", M, V, "\"Version\":\"1.0-rc1\"", ERR_INVALID, "Version must"),
    EDIT("a version that is a number", M, V, "\"Version\":1", ERR_INVALID, "must be a string"),
    EDIT("a version that is missing", M, V, "\"version\":\"1.0.0\"", ERR_INVALID, "is missing"),
    EDIT("a version that is too long", M, V,
         "\"Version\":\"1111111111111111111111111111111111111111111111111111111111111111\"",
         ERR_LIMIT, "Version has 64 bytes"),
    EDIT("a version twice", M, V, "\"Version\":\"1.1.0\"", ERR_INVALID, "1.1.0 twice"),
    EDIT("a version twice, written otherwise", M, V, "\"Version\":\"01.01.000\"", ERR_INVALID,
         "twice"),
    EDIT("a file name with a path", M, "\"Name\":\"ssmd-linux", "\"Name\":\"../ssmd-linux",
         ERR_INVALID, "Files[0].Name"),
    EDIT("a file name of a hidden file", M, "\"Name\":\"ssmd-linux", "\"Name\":\".ssmd-linux",
         ERR_INVALID, "Files[0].Name"),
    EDIT("a package name with a path", M, "\"Name\":\"ssmd\"", "\"Name\":\"../ssmd\"", ERR_INVALID,
         "Packages[0].Name"),
    EDIT("an empty package name", M, "\"Name\":\"ssmd\"", "\"Name\":\"\"", ERR_INVALID,
         "Packages[0].Name"),
    EDIT("a package twice", M, "\"Packages\":[", "\"Packages\":[{\"Name\":\"ssmd\",\"Files\":[]},",
         ERR_INVALID, "Packages[1].Name"),
    EDIT("a file twice", M, "\"Files\":[",
         "\"Files\":[{\"Name\":\"ssmd-linux-amd64.tar.gz\",\"AvailableVersions\":[]},", ERR_INVALID,
         "Files[1].Name"),
    EDIT("packages that are an object", M, "\"Packages\":[", "\"Packages\":{},\"x\":[", ERR_INVALID,
         "Packages must be a list"),
    EDIT("a package that is a string", M, "\"Packages\":[", "\"Packages\":[\"ssmd\",", ERR_INVALID,
         "Packages[0] must be an object"),
    EDIT("files that are missing", M, "\"Files\":", "\"files\":", ERR_INVALID, "Files is missing"),
    EDIT("versions that are a string", M, "\"AvailableVersions\":[",
         "\"AvailableVersions\":\"\",\"x\":[", ERR_INVALID, "AvailableVersions must be a list"),
    EDIT("a checksum of MD5", M, SUM, "\"d41d8cd98f00b204e9800998ecf8427e\"", ERR_INVALID,
         "Checksum"),
    EDIT("a checksum that is no number", M, SUM,
         "\"zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz\"", ERR_INVALID,
         "Checksum"),
    EDIT("a checksum that is a list", M, SUM, "[]", ERR_INVALID, "Checksum must be a string"),
    EDIT("two checksums", M, "\"Checksum\":", "\"Checksum\":\"\",\"Checksum\":", ERR_INVALID,
         "twice"),
    EDIT("a length of 0", M, "\"Length\":1000", "\"Length\":0", ERR_INVALID, "Length must"),
    EDIT("a negative length", M, "\"Length\":1000", "\"Length\":-1000", ERR_INVALID, "Length must"),
    EDIT("a huge length", M, "\"Length\":1000", "\"Length\":1e15", ERR_INVALID, "Length must"),
    EDIT("a length that is text", M, "\"Length\":1000", "\"Length\":\"1000\"", ERR_INVALID,
         "Length must be a number"),
    EDIT("a huge unpacked length", M, "\"UnpackedLength\":5000", "\"UnpackedLength\":1e12",
         ERR_INVALID, "UnpackedLength"),
    EDIT("a rollout of 101", M, "\"RolloutPercent\":50", "\"RolloutPercent\":101", ERR_INVALID,
         "RolloutPercent"),
    EDIT("a rollout of -1", M, "\"RolloutPercent\":50", "\"RolloutPercent\":-1", ERR_INVALID,
         "RolloutPercent"),
    EDIT("a rollout of half a node", M, "\"RolloutPercent\":50", "\"RolloutPercent\":0.5",
         ERR_INVALID, "RolloutPercent"),
    EDIT("a rollout that is text", M, "\"RolloutPercent\":50", "\"RolloutPercent\":\"50\"",
         ERR_INVALID, "RolloutPercent must be a number"),
    EDIT("not before no time", M, "\"NotBefore\":\"2027", "\"NotBefore\":\"soon", ERR_INVALID,
         "NotBefore"),
    EDIT("not before a number", M, "\"NotBefore\":\"2027-01-14T08:00:00.000Z\"",
         "\"NotBefore\":1800000000000", ERR_INVALID, "NotBefore must be a string"),
    EDIT("a minimum that is a path", M, "\"MinimumSourceVersion\":\"0.9\"",
         "\"MinimumSourceVersion\":\"/etc\"", ERR_INVALID, "MinimumSourceVersion"),
    EDIT("a floor that is a word", M, "\"RollbackFloor\":\"0.5\"", "\"RollbackFloor\":\"none\"",
         ERR_INVALID, "RollbackFloor"),
    EDIT("a floor that is a number", M, "\"RollbackFloor\":\"0.5\"", "\"RollbackFloor\":0.5",
         ERR_INVALID, "RollbackFloor must be a string"),
    EDIT("a status that is a number", M, "\"Status\":\"Active\"", "\"Status\":1", ERR_INVALID,
         "Status must be a string"),
    EDIT("no UriFormat", M, "\"UriFormat\"", "\"UrlFormat\"", ERR_INVALID, "UriFormat is missing"),
    EDIT("an empty UriFormat", M, "\"UriFormat\":\"", "\"UriFormat\":\"\",\"x\":\"", ERR_INVALID,
         "UriFormat is empty"),
    EDIT("no SchemaVersion", M, "\"SchemaVersion\"", "\"Schema\"", ERR_INVALID, "SchemaVersion"),
    EDIT("manifest of version 0", M, "\"ManifestVersion\":5", "\"ManifestVersion\":0", ERR_INVALID,
         "ManifestVersion"),
    EDIT("manifest of version -5", M, "\"ManifestVersion\":5", "\"ManifestVersion\":-5",
         ERR_INVALID, "ManifestVersion"),
    EDIT("manifest of two versions", M, "\"ManifestVersion\":5",
         "\"ManifestVersion\":6,\"ManifestVersion\":5", ERR_INVALID, "twice"),
    EDIT("manifest without an end", M, "\"Expires\"", "\"expires\"", ERR_INVALID,
         "Expires is missing"),
    EDIT("manifest that expired long ago", M, "\"Issued\":\"2027", "\"Issued\":\"2028", ERR_INVALID,
         "later than Issued"),
    FILE_ACT("manifest nested deeply", nested, ERR_LIMIT, "nested", M, ",\"Packages\"", NULL),

    /* what the machine has itself */
    FILE_ACT("the given root is empty", given_root_is, ERR_INVALID, "was given", NULL, NULL, ""),
    FILE_ACT("the given root is no root", given_root_is, ERR_INVALID, "was given", NULL, NULL,
             "{\"keys\":[]}"),
    FILE_ACT("the given root was changed", given_root, ERR_INVALID, "was given", NULL,
             "\"payload\":\"e", "\"payload\":\"f"),
    FILE_ACT("the given root's signature was changed", given_root, ERR_AUTH, "does not fit", NULL,
             "\"sig\":\"", "\"sig\":\"AAAAAAAAAA"),
    FILE_ACT("what is stored is no record", stored_is, ERR_CORRUPT, "is stored", NULL, NULL,
             "hello"),
    FILE_ACT("what is stored was cut off", stored_is, ERR_CORRUPT, "is stored", NULL, "\nend\n",
             "\nEND\n"),
    FILE_ACT("the stored root was changed", stored_is, ERR_CORRUPT, "does not fit", NULL,
             "\"sig\":\"", "\"sig\":\"AAAAAAAAAA"),
    FILE_ACT("a stored version was changed", stored_is, ERR_CORRUPT, "manifest_version", NULL,
             "manifest_version=5", "manifest_version=0"),
    FILE_ACT("stored by a later program", stored_is, ERR_NEWER, "is stored", NULL, "ssmd-record 1 ",
             "ssmd-record 9 "),
};

static struct world w;

static void set_up(void)
{
    world_init(&w);
}

static void tear_down(void)
{
    world_done(&w);
}

START_TEST(is_refused_and_the_text_says_why)
{
    const struct attack *a = &attacks[_i];
    AUTO(trust_free) struct trust *t = NULL;
    struct err err = {0};
    int r;

    a->act(&w, a);
    r = world_run(&w, &t, &err);
    ck_assert_msg(r == a->code, "%s: %s (%s), not %s", a->name, r == 0 ? "believed" : err_name(r),
                  err.text, err_name(a->code));
    ck_assert_int_eq(err.code, a->code);
    ck_assert_msg(strstr(err.text, a->says) != NULL, "%s: \"%s\" does not say %s", a->name,
                  err.text, a->says);
    ck_assert_ptr_null(t);
}
END_TEST

START_TEST(every_attack_has_a_name_of_its_own)
{
    size_t i, j;

    ck_assert_uint_ge(ARRAY_LEN(attacks), 120);
    for (i = 0; i < ARRAY_LEN(attacks); i++)
        for (j = 0; j < i; j++)
            ck_assert_str_ne(attacks[i].name, attacks[j].name);
}
END_TEST

static const char *const files[] = {"2.root.json", "timestamp.json", "manifest.json"};

/* Every file with just as many signatures as it needs, believed as it is. */
static void complete(const char *file)
{
    want_file(&w, file);
    world_update(&w);
    free(w.stored);
    w.stored = NULL;
    w.n_stored = 0;
}

/* Refused, and nothing is told. */
static void must_fail(const char *file, const char *what, size_t at)
{
    AUTO(trust_free) struct trust *t = NULL;
    struct err err = {0};
    int r = world_run(&w, &t, &err);

    ck_assert_msg(r < 0 && t == NULL && err.text[0] != '\0', "%s: believed with %s at %zu", file,
                  what, at);
}

START_TEST(no_byte_can_have_a_bit_flipped)
{
    struct world_file *f;
    size_t at;

    complete(files[_i]);
    f = world_file(&w, files[_i]);
    for (at = 0; at < f->n; at++) {
        unsigned bit = 1u << (at % 8);

        f->bytes[at] = (char)((unsigned char)f->bytes[at] ^ bit);
        must_fail(f->name, "a flipped bit", at);
        f->bytes[at] = (char)((unsigned char)f->bytes[at] ^ bit);
    }
    world_update(&w); /* it is good again */
}
END_TEST

/* The same where the timestamp's key is stolen: then only the manifest's own signatures protect it.
 */
START_TEST(no_bit_of_a_manifest_can_be_flipped_by_a_thief_of_the_timestamp_key)
{
    struct world_file *f;
    size_t at;

    complete("manifest.json");
    f = world_file(&w, "manifest.json");
    for (at = 0; at + 1 < f->n; at += 7) { /* its last byte is a line end */
        unsigned bit = 1u << (at % 7);

        f->bytes[at] = (char)((unsigned char)f->bytes[at] ^ bit);
        world_put_timestamp(&w, TIMESTAMP_VERSION, MANIFEST_VERSION, TIME_KEYS);
        must_fail(f->name, "a flipped bit", at);
        f->bytes[at] = (char)((unsigned char)f->bytes[at] ^ bit);
    }
}
END_TEST

START_TEST(no_beginning_is_believed)
{
    struct world_file *f;
    size_t n, whole;

    complete(files[_i]);
    f = world_file(&w, files[_i]);
    whole = f->n;
    for (n = whole % 17; n + 1 < whole; n += 17) {
        f->n = n;
        must_fail(f->name, "a cut", n);
    }
    f->n = whole;
    world_update(&w);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("bad metadata");
    TCase *t = tcase_create("attacks"), *bytes = tcase_create("bytes");
    SRunner *runner = srunner_create(s);
    int failed;

    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_test(t, every_attack_has_a_name_of_its_own);
    tcase_add_loop_test(t, is_refused_and_the_text_says_why, 0, (int)ARRAY_LEN(attacks));
    suite_add_tcase(s, t);
    tcase_add_checked_fixture(bytes, set_up, tear_down);
    tcase_set_timeout(bytes, 240);
    tcase_add_loop_test(bytes, no_byte_can_have_a_bit_flipped, 0, (int)ARRAY_LEN(files));
    tcase_add_loop_test(bytes, no_beginning_is_believed, 0, (int)ARRAY_LEN(files));
    tcase_add_test(bytes, no_bit_of_a_manifest_can_be_flipped_by_a_thief_of_the_timestamp_key);
    suite_add_tcase(s, bytes);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
