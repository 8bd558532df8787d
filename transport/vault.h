/* What a node knows of itself across restarts: its registrations, their keys, the fingerprint. All
 * in one directory of ours (0700, files 0600), each file whole or absent, synced. The journal says
 * what was decided; this holds what it may not: the private key.
 *
 *   registration, registration.ec2     base/record.h
 *   key.<id>                           Base64 of the PKCS#1 key
 *   fingerprint                        as the reference agent's (schema/fingerprint.h)
 *
 * Also reads the vault of the reference agent, so that a machine that changes over need not be
 * registered again (spec 01, section 3). Main thread. */
#ifndef SSMD_TRANSPORT_VAULT_H
#define SSMD_TRANSPORT_VAULT_H

#include <stdint.h>

#include "schema/fingerprint.h"
#include "transport/rsa_key.h"

#define VAULT_DIR "identity" /* below the state directory */

struct vault {
    int dirfd; /* owned; -1: not open */
};

/* Below the open state directory. `is_made` false: ERR_NOT_FOUND when there is none, and nothing is
 * changed. ERR_STATE: others could write to it. */
int vault_open(int state_dirfd, bool is_made, struct vault *ret_vault, struct err *err) MUST_CHECK;
void vault_done(struct vault *v);

enum vault_kind { VAULT_HYBRID, VAULT_EC2 };

struct vault_registration {
    char instance_id[128];
    char region[101];
    char key_id[RSA_KEY_ID_SIZE];
    int64_t key_created_unix_ms; /* 0: not known */
};

/* ERR_NOT_FOUND: there is none. ERR_CORRUPT, ERR_NEWER: it is there and cannot be used. */
int vault_read(const struct vault *v, enum vault_kind kind, struct vault_registration *ret,
               struct err *err) MUST_CHECK;
int vault_write(const struct vault *v, enum vault_kind kind, const struct vault_registration *g,
                struct err *err) MUST_CHECK;
int vault_remove(const struct vault *v, enum vault_kind kind, struct err *err) MUST_CHECK;

/* ERR_NOT_FOUND, ERR_CORRUPT. */
int vault_read_key(const struct vault *v, const char *key_id, struct rsa_key **ret_key,
                   struct err *err) MUST_CHECK;
/* *ret_id is what it is read by. */
int vault_write_key(const struct vault *v, const struct rsa_key *key, char ret_id[RSA_KEY_ID_SIZE],
                    struct err *err) MUST_CHECK;
int vault_remove_key(const struct vault *v, const char *key_id, struct err *err) MUST_CHECK;

int vault_read_fingerprint(const struct vault *v, struct fingerprint *ret, struct err *err)
    MUST_CHECK;
int vault_write_fingerprint(const struct vault *v, const struct fingerprint *f, struct err *err)
    MUST_CHECK;

/* ---- the reference agent's ---- */

struct vault_import {
    struct vault_registration registration; /* key_id is not set */
    struct rsa_key *key;                    /* owned */
    struct fingerprint fingerprint;         /* uuid "": it has none */
};
void vault_import_done(struct vault_import *i);

/* Read the registration below `root` ("" for the machine itself), changing nothing. ERR_NOT_FOUND:
 * none that is complete. ERR_INVALID, ERR_STATE: it is there and cannot be used, or could have been
 * written by another user. */
int vault_read_reference(const char *root, enum vault_kind kind, struct vault_import *ret,
                         struct err *err) MUST_CHECK;
/* The two records of that vault, for tests and for fuzzing. */
int vault_parse_reference(const char *text, size_t n, struct vault_import *ret, struct err *err)
    MUST_CHECK;

static inline void vault_done_cleanup(struct vault *v)
{
    vault_done(v);
}
static inline void vault_import_done_cleanup(struct vault_import *i)
{
    vault_import_done(i);
}

#endif
