/* What the verbs `ssmctl release ...` share: the directory of an update source
 * (docs/release-format.md), its drafts, and key files. A file that agents read appears under its
 * name complete or not at all; what lacks signatures is a draft beside it. One thread. */
#ifndef SSMD_CTL_RELEASE_H
#define SSMD_CTL_RELEASE_H

#include "ctl/ctl.h"
#include "schema/release.h"
#include "update/signing.h"

#define RELEASE_ROOT_DRAFT "root.draft"
#define RELEASE_MANIFEST_DRAFT "manifest.draft"
#define RELEASE_MANIFEST_FILE "manifest.json"
#define RELEASE_TIMESTAMP_FILE "timestamp.json"
#define RELEASE_MAX_DAYS 36500
#define RELEASE_DAY_MS INT64_C(86400000)

struct release_dir {
    const char *path;         /* borrowed */
    int fd;                   /* owned; locked: one ssmctl at a time changes it */
    bool has_root;            /* there is a published root ... */
    struct release_root root; /* ... and this is the newest */
};

/* Open the directory and read its roots. It is made (0755) when `may_make`. ERR_BUSY, ERR_INVALID
 * (a root that is damaged), ERR_NOT_FOUND, ERR_IO. On success: release_dir_done(). */
int release_dir_open(const char *path, bool may_make, struct release_dir *ret_dir, struct err *err)
    MUST_CHECK;
void release_dir_done(struct release_dir *d);
/* ERR_NOT_FOUND with what to try, unless there is a published root. */
int release_want_root(const struct release_dir *d, struct err *err) MUST_CHECK;

void release_root_name(int64_t version, char ret_name[32]);

/* Read a file of the directory. ERR_NOT_FOUND; errors name the file. */
int release_read(const struct release_dir *d, const char *name, enum release_role role,
                 struct release_envelope *ret_envelope, struct err *err) MUST_CHECK;
/* Write it: atomically, synced, readable by all. */
int release_write(const struct release_dir *d, const char *name, const struct release_envelope *e,
                  struct err *err) MUST_CHECK;
int release_remove(const struct release_dir *d, const char *name, struct err *err) MUST_CHECK;
/* The draft if there is one, else the published manifest; *ret_is_draft says which. */
int release_read_manifest(const struct release_dir *d, struct release_envelope *ret_envelope,
                          struct release_manifest *ret_manifest, bool *ret_is_draft,
                          struct err *err) MUST_CHECK;

/* Into a manifest's payload that was written anew: what the one before said and this version does
 * not know. */
int release_keep_unknown(const char *old, size_t n_old, struct buf *payload, struct err *err)
    MUST_CHECK;

/* A private key's file; it must be readable by its owner only. */
int release_key_load(const char *path, struct signing_key **ret_key, struct err *err) MUST_CHECK;
/* Sign with every key file that was given as --<option>. Each key must be one that one of the roots
 * gives the envelope's role: ERR_REFUSED. */
int release_sign_all(const struct ctl *c, const char *option, struct release_envelope *e,
                     const struct release_root *const *roots, size_t n_roots, struct err *err)
    MUST_CHECK;

/* --days, or `otherwise`: that many days from now. */
int release_expiry(const struct ctl *c, int64_t otherwise_days, int64_t *ret_expires_unix_ms,
                   struct err *err) MUST_CHECK;

static inline void release_dir_done_cleanup(struct release_dir *d)
{
    release_dir_done(d);
}

#endif
