/* The metadata of an update source: bytes <-> checked structs, no I/O, no cryptography
 * (update/trust.h decides what is believed). The format is docs/release-format.md; the fields that
 * the reference's manifest has mean what they mean there (spec 06, section 4.2). Any thread; no
 * state.
 *
 * Names of fields are compared exactly, a key that stands twice is an error, fields that are not
 * known are ignored. Errors: ERR_INVALID and ERR_LIMIT name the field, ERR_NOMEM. */
#ifndef SSMD_SCHEMA_RELEASE_H
#define SSMD_SCHEMA_RELEASE_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/sha256.h"
#include "base/version.h"

#define RELEASE_ROOT_MAX_BYTES ((size_t)64 << 10)
#define RELEASE_TIMESTAMP_MAX_BYTES ((size_t)16 << 10)
#define RELEASE_MANIFEST_MAX_BYTES ((size_t)4 << 20)

#define RELEASE_KEYID_SIZE SHA256_HEX_SIZE
#define RELEASE_KEY_BYTES 32       /* an Ed25519 public key */
#define RELEASE_SIGNATURE_BYTES 64 /* an Ed25519 signature */
#define RELEASE_MAX_KEYS 32
#define RELEASE_MAX_SIGNATURES 64
#define RELEASE_MAX_NUMBER 2147483647 /* of a file's version */
#define RELEASE_MAX_PACKAGE_BYTES ((int64_t)512 << 20)
#define RELEASE_NAME_SIZE 128 /* of a package or a file, and its NUL */
#define RELEASE_URI_SIZE 1024 /* of UriFormat, and of what becomes of it */

/* Whose keys sign a file. The root's file says which keys each role has. */
enum release_role {
    RELEASE_ROOT,      /* <n>.root.json */
    RELEASE_RELEASE,   /* manifest.json */
    RELEASE_TIMESTAMP, /* timestamp.json */
    RELEASE_N_ROLES
};

extern const char *const release_role_names[RELEASE_N_ROLES];    /* "root", "release", ... */
extern const char *const release_payload_types[RELEASE_N_ROLES]; /* of the envelope */
size_t release_max_bytes(enum release_role role);

/* ---- the envelope (DSSE) ---- */

struct release_signature {
    char keyid[RELEASE_KEYID_SIZE];
    unsigned char bytes[RELEASE_SIGNATURE_BYTES];
};

struct release_envelope {
    enum release_role role;
    char *payload; /* owned, NUL-terminated behind its n_payload bytes */
    size_t n_payload;
    struct release_signature *signatures; /* owned; no two with one keyid */
    size_t n_signatures;
};

/* The whole of a file. Its payload's type must be that of `role`; a draft has no signatures yet. On
 * success the caller owns *ret_envelope: release_envelope_done(). */
int release_envelope_parse(const char *bytes, size_t n, enum release_role role,
                           struct release_envelope *ret_envelope, struct err *err) MUST_CHECK;
void release_envelope_done(struct release_envelope *e);
/* Take one more signature, in the place of one with the same keyid. ERR_LIMIT, ERR_NOMEM. */
int release_envelope_add(struct release_envelope *e, const struct release_signature *s,
                         struct err *err) MUST_CHECK;
/* Append the file; look at buf_error() afterwards. */
void release_envelope_write(const struct release_envelope *e, struct buf *ret_bytes);
/* Append what is signed: DSSE's pre-authentication encoding. */
void release_envelope_to_sign(const struct release_envelope *e, struct buf *ret_bytes);

/* ---- root ---- */

struct release_key {
    char id[RELEASE_KEYID_SIZE]; /* SHA-256 of the raw public key; checked */
    unsigned char public_key[RELEASE_KEY_BYTES];
};

struct release_role_keys {
    int64_t threshold; /* 1 to n_keys */
    size_t n_keys;
    unsigned char keys[RELEASE_MAX_KEYS]; /* places in root.keys, no two the same */
};

struct release_root {
    int64_t version, issued_unix_ms, expires_unix_ms;
    size_t n_keys;
    struct release_key keys[RELEASE_MAX_KEYS];
    struct release_role_keys roles[RELEASE_N_ROLES];
};

int release_root_parse(const char *payload, size_t n, struct release_root *ret_root,
                       struct err *err) MUST_CHECK;
void release_root_write(const struct release_root *root, struct buf *ret_payload);
/* The key, or NULL when the role does not have it. */
const struct release_key *release_role_key(const struct release_root *root, enum release_role role,
                                           const char *keyid);
void release_keyid_of(const unsigned char public_key[RELEASE_KEY_BYTES],
                      char ret_keyid[RELEASE_KEYID_SIZE]);

/* ---- timestamp ---- */

struct release_timestamp {
    int64_t version, issued_unix_ms, expires_unix_ms;
    int64_t manifest_version, manifest_length_bytes;
    char manifest_sha256[SHA256_HEX_SIZE];
};

int release_timestamp_parse(const char *payload, size_t n, struct release_timestamp *ret_timestamp,
                            struct err *err) MUST_CHECK;
void release_timestamp_write(const struct release_timestamp *t, struct buf *ret_payload);

/* ---- manifest ---- */

enum release_status {
    RELEASE_ACTIVE,
    RELEASE_INACTIVE,
    RELEASE_DEPRECATED,
    RELEASE_UNKNOWN, /* a word of a later format: never installed */
};

struct release_version {
    char version[VERSION_SIZE];
    char sha256[SHA256_HEX_SIZE]; /* of the package file; "": missing, so it is never installed */
    int64_t length_bytes;         /* of the package file; 0: missing, likewise */
    int64_t unpacked_bytes;       /* at most; 0: not said */
    enum release_status status;
    char minimum_source[VERSION_SIZE]; /* "": may be updated to from any version */
    int64_t rollout_percent;           /* 0 to 100 */
    int64_t not_before_unix_ms;        /* 0: at once */
};

struct release_file {
    char name[RELEASE_NAME_SIZE];
    struct release_version *versions; /* owned; no two compare as equal */
    size_t n_versions;
};

struct release_package {
    char name[RELEASE_NAME_SIZE];
    struct release_file *files; /* owned; names differ */
    size_t n_files;
};

struct release_manifest {
    int64_t version, issued_unix_ms, expires_unix_ms;
    char uri_format[RELEASE_URI_SIZE];
    char rollback_floor[VERSION_SIZE]; /* "": none */
    struct release_package *packages;  /* owned; names differ */
    size_t n_packages;
};

#define RELEASE_DEFAULT_URI_FORMAT "{Source}/{PackageName}/{PackageVersion}/{FileName}"

/* On success the caller owns *ret_manifest: release_manifest_done(). */
int release_manifest_parse(const char *payload, size_t n, struct release_manifest *ret_manifest,
                           struct err *err) MUST_CHECK;
void release_manifest_done(struct release_manifest *m);
void release_manifest_write(const struct release_manifest *m, struct buf *ret_payload);

/* Both names may be of any text. NULL: there is none. Borrowed from the manifest. */
const struct release_package *release_find_package(const struct release_manifest *m,
                                                   const char *name);
const struct release_file *release_find_file(const struct release_package *p, const char *name);
/* By what the version means, not by its text. */
const struct release_version *release_find_version(const struct release_file *f,
                                                   const char *version);
const char *release_status_name(enum release_status status);

/* Put `v` into the manifest, in the place of the version that compares as equal; package and file
 * are made when they are missing. ERR_LIMIT, ERR_NOMEM. */
int release_manifest_put(struct release_manifest *m, const char *package, const char *file,
                         const struct release_version *v, struct err *err) MUST_CHECK;

struct release_place {
    const char *source; /* URL of the update source, without a slash at its end */
    const char *region; /* "": not known */
    const char *package, *version, *file;
};

/* Where a package file is: UriFormat with {Source}, {Region}, {PackageName}, {PackageVersion} and
 * {FileName} replaced. Only http, https, and the source's own scheme come out. ERR_INVALID,
 * ERR_LIMIT. */
int release_uri(const char *uri_format, const struct release_place *place,
                char ret_url[RELEASE_URI_SIZE], struct err *err) MUST_CHECK;

static inline void release_envelope_done_cleanup(struct release_envelope *e)
{
    release_envelope_done(e);
}

static inline void release_manifest_done_cleanup(struct release_manifest *m)
{
    release_manifest_done(m);
}

#endif
