/* The interpreter of the `registration` machine: registers this node with the service, keeps its
 * record in the vault, changes its key. Apart from the engine, because `ssmd register` runs it
 * without touching any command; like the engine it commits before it acts, and a restart looks at
 * open effects only. The loop's thread. */
#ifndef SSMD_AGENT_REGISTRAR_H
#define SSMD_AGENT_REGISTRAR_H

#include <uv.h>

#include "base/paths.h"
#include "fsm/registration.h"
#include "journal/journal.h"
#include "schema/config.h"
#include "transport/ssm_node.h"
#include "transport/vault.h"

struct registrar;

struct registrar_options {
    uv_loop_t *loop;
    struct journal *journal; /* borrowed; its only writers are we and who gives the ids */
    const struct config *config;
    const struct paths *paths;
    const char *boot_id;
    int64_t (*next_effect_id)(void *ctx); /* of the engine; NULL: counted on from the journal */
    void *ctx;
};

/* Opens the vault (made if missing), loads what is open and takes it up. ERR_x of journal and
 * vault. End it with registrar_close(); the loop frees it. */
int registrar_new(const struct registrar_options *o, struct registrar **ret_registrar,
                  struct err *err) MUST_CHECK;
void registrar_close(struct registrar *r); /* NULL is allowed */

/* The registration that counts now, or NULL. Borrowed until the next event. */
const struct registration *registrar_current(const struct registrar *r, enum vault_kind kind);
const struct vault *registrar_vault(const struct registrar *r);

/* err NULL: `node_id` is registered, and its record is stored. Once, from the loop. */
typedef void (*registrar_done_fn)(void *ctx, const char *node_id, const struct err *err);

struct registrar_request {
    const char *activation_id;
    const struct secret *activation_code; /* copied; never journaled */
    const char *region;
    bool is_check_off; /* the similarity check of the fingerprint */
    /* EC2, and Greengrass: without an activation, signed with these. */
    struct credentials_provider *credentials;
    struct aws *aws;         /* to call with; borrowed until done; NULL: one of our own */
    const char *instance_id; /* EC2: its own id, which is its fingerprint too; else NULL */
    const char *iam_role;    /* Greengrass; else NULL */
};

/* ERR_STATE: there is one under way. A registration that exists is replaced, once the new one is
 * complete. */
int registrar_register(struct registrar *r, const struct registrar_request *q,
                       registrar_done_fn done, void *ctx, struct err *err) MUST_CHECK;
/* Take over the registration of the reference agent. ERR_NOT_FOUND: it has none. */
int registrar_import(struct registrar *r, enum vault_kind kind, struct err *err) MUST_CHECK;
/* Forget it; the fingerprint's record is emptied too. Nothing is told to the service. */
int registrar_clear(struct registrar *r, struct err *err) MUST_CHECK;
/* ERR_NOT_FOUND: there is no fingerprint yet; ERR_INVALID: not 1 to 100, or -1. */
int registrar_set_threshold(struct registrar *r, int64_t threshold, struct err *err) MUST_CHECK;

/* Key rotation, of the hybrid registration. `aws` is borrowed until registrar_close(). A rotation
 * that a crash interrupted goes on now. `key_changed` gets the key that counts from now on, and
 * owns it. */
void registrar_attach(struct registrar *r, struct aws *aws, const char *fingerprint,
                      void (*key_changed)(void *ctx, struct rsa_key *key), void *ctx);
/* Begins, if none is under way. */
void registrar_rotate(struct registrar *r);
/* Days since the key was made; a large number when that is not known. */
int64_t registrar_key_age_days(const struct registrar *r);

#endif
