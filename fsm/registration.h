/* The `registration` machine: this node's identity with the service, from the first call until it
 * is given up (spec 01, sections 4 and 6.3). One instance is one registration; private keys are in
 * the vault (transport/vault.h), and here is only which of them counts. */
#ifndef SSMD_FSM_REGISTRATION_H
#define SSMD_FSM_REGISTRATION_H

#include "fsm/fsm.h"

enum registration_state {
    REGISTRATION_UNREGISTERED,
    REGISTRATION_REGISTERING,
    REGISTRATION_REGISTERED,
    REGISTRATION_ROTATING,
    REGISTRATION_ENDING, /* what it left in the vault goes */
    REGISTRATION_ENDED,
    REGISTRATION_N_STATES
};

enum registration_event {
    REGISTRATION_EV_REGISTER,    /* detail: const struct registration_request * */
    REGISTRATION_EV_IMPORT,      /* one that exists; the same detail, with an instance id */
    REGISTRATION_EV_TAKEN,       /* the service knows the node; detail: const char *node_id */
    REGISTRATION_EV_FAILED,      /* ... or refused it; detail: const char *text */
    REGISTRATION_EV_LOST,        /* nobody knows what became of the call */
    REGISTRATION_EV_ROTATE,      /* the next key is in the vault; detail: a request with its id */
    REGISTRATION_EV_KEY_TAKEN,   /* the service was seen to accept the next key */
    REGISTRATION_EV_KEY_REFUSED, /* ... to accept the old one; detail: const char *text */
    REGISTRATION_EV_END,         /* cleared, or replaced; detail: const char *text */
    REGISTRATION_EV_ERASED,
    REGISTRATION_EV_RUNAWAY,
    REGISTRATION_N_EVENTS
};

enum registration_effect {
    REGISTRATION_FX_REGISTER, /* RegisterManagedInstance: uses an activation up, so never twice */
    REGISTRATION_FX_STORE,    /* the vault's record follows the journal's */
    REGISTRATION_FX_ROTATE,   /* UpdateManagedInstancePublicKey, then see which key counts */
    REGISTRATION_FX_ERASE,    /* record and keys of this registration, where they are its own */
    REGISTRATION_N_EFFECTS
};

struct registration {
    char kind[8];           /* "hybrid", "ec2" */
    char source[16];        /* "activation", "role", "import" */
    char activation_id[40]; /* not a secret; the code is one and is nowhere */
    char node_id[128];      /* mi-..., or an instance of EC2 */
    char region[101];
    char key_id[20];
    int64_t key_created_unix_ms; /* 0: not known */
    char next_key_id[20];        /* while rotating */
    int64_t next_key_created_unix_ms;
    char text[400]; /* why it ended, or why a key was not taken */
};

struct registration_request {
    const char *kind, *source, *activation_id, *node_id, *region, *key_id;
    int64_t key_created_unix_ms;
};

extern const struct fsm_machine registration_machine;

static inline struct registration *registration_of(const struct fsm_instance *inst)
{
    return inst->data;
}

#endif
