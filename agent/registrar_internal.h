/* What the files of the registrar share. */
#ifndef SSMD_AGENT_REGISTRAR_INTERNAL_H
#define SSMD_AGENT_REGISTRAR_INTERNAL_H

#include "agent/registrar.h"
#include "base/backoff.h"

/* One open registration. */
struct entry {
    struct fsm_instance inst;
    struct entry *next; /* newest first */
};

struct enrolment; /* a registration on its way (registrar_enrol.c) */
struct rotation;  /* a key on its way (registrar_rotate.c) */

struct registrar {
    uv_loop_t *loop;
    struct journal *journal;
    const struct config *config;
    const struct paths *paths;
    char boot_id[BOOT_ID_SIZE];
    int64_t (*next_effect_id)(void *ctx);
    void *ids_ctx;
    struct vault vault;
    struct entry *entries; /* owned */
    struct fsm_out out;
    struct enrolment *enrolment; /* owned; NULL: none */
    struct rotation *rotation;   /* owned; NULL: not attached */
    unsigned n_works;            /* on the thread pool; the struct is freed when there are none */
    bool is_closing;
};

/* One event of one instance: decided, committed, performed. ERR_x of the journal: nothing has
 * happened, and what is in memory is loaded again. */
int registrar_deliver(struct registrar *r, struct entry *e, uint8_t event, int64_t effect_id,
                      const void *detail, struct err *err) MUST_CHECK;
/* A new instance with its first event. */
int registrar_begin(struct registrar *r, uint8_t event, const struct registration_request *q,
                    struct entry **ret_entry, struct err *err) MUST_CHECK;
struct entry *registrar_find(const struct registrar *r, const char *kind);
struct entry *registrar_find_id(const struct registrar *r, const char *id);
void registrar_free_if_idle(struct registrar *r);
/* A newer registration of a kind ends the older ones. */
void registrar_end_replaced(struct registrar *r);

/* registrar_enrol.c */
void enrolment_perform(struct registrar *r, struct entry *e);
void enrolment_stop(struct registrar *r);
/* registrar_rotate.c */
void rotation_perform(struct registrar *r, struct entry *e, bool is_restart);
void rotation_stop(struct registrar *r);

#endif
