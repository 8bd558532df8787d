/* An update source in memory, with keys made for the run, for the suites of update/'s metadata. */
#ifndef SSMD_TESTS_UNIT_RELEASE_WORLD_H
#define SSMD_TESTS_UNIT_RELEASE_WORLD_H

#include "update/signing.h"
#include "update/trust.h"

/* Three keys a role where two must sign, two where one must, and one that nobody knows. */
enum world_key {
    K_ROOT_A,
    K_ROOT_B,
    K_ROOT_C,
    K_RELEASE_A,
    K_RELEASE_B,
    K_RELEASE_C,
    K_TIME_A,
    K_TIME_B,
    K_STRANGER,
    K_N
};
#define ROOT_KEYS (BIT(K_ROOT_A) | BIT(K_ROOT_B))
#define RELEASE_KEYS (BIT(K_RELEASE_A) | BIT(K_RELEASE_B))
#define TIME_KEYS BIT(K_TIME_A)

#define WORLD_NOW 1800000000000 /* 2027-01-15T08:00:00Z */
#define DAY_MS 86400000ll
#define MANIFEST_VERSION 5
#define TIMESTAMP_VERSION 7

struct world_file {
    char name[40];
    char *bytes; /* owned */
    size_t n;
};

struct world {
    struct signing_key *keys[K_N];
    struct release_root root; /* what 1.root.json says */
    char *given;              /* owned: the root file that the machine has */
    size_t n_given;
    struct world_file files[160]; /* of the source */
    size_t n_files;
    char *stored; /* owned, or NULL: nothing yet */
    size_t n_stored;
    int64_t now_unix_ms;
};

/* A good source: 1.root.json, timestamp.json, manifest.json; the machine has 1.root.json. */
void world_init(struct world *w);
void world_done(struct world *w);

void world_put(struct world *w, const char *name, const char *bytes, size_t n);
void world_remove(struct world *w, const char *name);
struct world_file *world_file(struct world *w, const char *name);

/* A root of that version whose roles have the keys of the masks. */
void world_make_root(const struct world *w, int64_t version, const uint64_t keys[RELEASE_N_ROLES],
                     const int64_t thresholds[RELEASE_N_ROLES], struct release_root *ret_root);
void world_default_root(const struct world *w, int64_t version, struct release_root *ret_root);
/* Put `payload`, signed by the keys of the mask. */
void world_put_signed(struct world *w, const char *name, enum release_role role,
                      const char *payload, uint64_t keys);
void world_put_root(struct world *w, const struct release_root *root, uint64_t keys);
/* manifest.json with two versions, and timestamp.json over whatever manifest.json is there. */
void world_put_manifest(struct world *w, int64_t version, uint64_t keys);
void world_put_timestamp(struct world *w, int64_t version, int64_t manifest_version, uint64_t keys);
/* The usual manifest's payload. The caller owns it. */
char *world_manifest_payload(const struct world *w, int64_t version);

/* The file's payload with the first `from` replaced by `to`, signed anew by the keys of the mask; a
 * new manifest gets its timestamp. */
void world_edit(struct world *w, const char *name, const char *from, const char *to, uint64_t keys);
/* The same in the file's bytes, signed by nobody. */
void world_edit_bytes(struct world *w, const char *name, const char *from, const char *to);
/* Whose file it is, and which keys sign it rightly. */
enum release_role world_role(const char *name);
uint64_t world_keys(enum release_role role);

/* What a machine does: everything fetched and checked. On success the caller owns *ret_trust. */
int world_run(struct world *w, struct trust **ret_trust, struct err *err);
/* ... and what is stored is kept for the next run. It must succeed. */
void world_update(struct world *w);

#endif
