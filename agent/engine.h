/* The interpreter: takes events, asks the machines, commits, performs. It knows journal and
 * executors; the service it knows as links, lookups and sources, which others in agent/ make of
 * transport. One thread: the loop's.
 *
 * A turn: every event that is ready -> fsm_step -> ONE commit -> effects (architecture, section 4).
 * Nothing happens in the world before its commit; what is made before it is a step's empty
 * directory, which means nothing without it (room.c). When a commit fails, everything in memory is
 * dropped (memory and disk may disagree), new work is refused, and once the journal can be written
 * again the engine loads and probes exactly as after a start. */
#ifndef SSMD_AGENT_ENGINE_H
#define SSMD_AGENT_ENGINE_H

#include <uv.h>

#include "agent/config.h"
#include "agent/courier.h"
#include "agent/link.h"
#include "agent/lookup.h"
#include "agent/parameter_source.h"
#include "base/paths.h"
#include "executors/platform.h"
#include "journal/journal.h"

struct engine;

struct engine_options {
    uv_loop_t *loop;
    struct journal *journal; /* borrowed; outlives the engine */
    const struct config *config;
    const struct paths *paths;
    const struct platform *platform;
    const char *boot_id;
    /* Called after a turn in which jobs ended, so that the ledger's head is published soon: they
     * have left so many files at most. May be NULL. */
    void (*ended)(void *ctx, int64_t n_files);
    /* Within a turn: what has begun and is not over may leave `n_open` files, may a command begin
     * that may leave `n_more`? False: it waits for engine_look_again(). May be NULL. */
    bool (*may_begin)(void *ctx, int64_t n_open, int64_t n_more);
    void *ctx;
};

/* The caller owns *ret_engine. engine_start() loads what is open and takes it up. */
int engine_new(const struct engine_options *o, struct engine **ret_engine, struct err *err)
    MUST_CHECK;
void engine_add_link(struct engine *e, struct link *link); /* borrowed; before engine_start */
/* Borrowed; before engine_start. NULL before it is closed. */
void engine_set_courier(struct engine *e, struct courier *courier);
void engine_set_lookup(struct engine *e, struct lookup *lookup); /* likewise */
/* Who is asked for {{ssm:...}} values; likewise. Without one a document that needs them fails. */
void engine_set_parameter_source(struct engine *e, struct parameter_source *source);
/* The file that scripts get AWS credentials from, and its profile; "" for none. Copied. */
void engine_set_shared_credentials(struct engine *e, const char *file, const char *profile);
/* For who journals effects of another machine than the engine's, on the same thread. */
int64_t engine_next_effect_id(struct engine *e);
int engine_start(struct engine *e, struct err *err) MUST_CHECK;
/* A turn, in which what waits asks again whether it may begin. */
void engine_look_again(struct engine *e);
/* A channel was opened: what waits to be sent need not wait any longer. */
void engine_way_opened(struct engine *e);
/* Commits what may wait, then lets go. Runners go on. Handles close with the loop's next turns. */
void engine_stop(struct engine *e);
void engine_free(struct engine *e); /* after the loop has run out */

/* A message as a channel delivered it. Copied; judged in the next turn. ERR_STATE: suspended, or
 * short of disk; not taken. */
struct engine_message {
    const char *channel;
    const char *message_id, *topic, *destination, *created_date, *payload;
    const char *problem; /* why payload is NULL though there was one; else NULL or "" */
};
int engine_receive(struct engine *e, const struct engine_message *m, struct err *err) MUST_CHECK;

/* Called once the message's commit is there (err NULL) or could not be made. */
typedef void (*engine_accepted_fn)(void *ctx, const char *job_id, const struct err *err);
int engine_run_local(struct engine *e, const char *name, const char *payload,
                     engine_accepted_fn done, void *ctx, struct err *err) MUST_CHECK;
/* Cancel by job id; `done` as above. ERR_NOT_FOUND, ERR_STATE. */
int engine_cancel(struct engine *e, const char *job_id, engine_accepted_fn done, void *ctx,
                  struct err *err) MUST_CHECK;

/* Begin an update of this agent (docs/internals/update.md); `done` as above, with the update's id.
 * ERR_BUSY: another one is under way; ERR_STATE: what stands against it. */
struct engine_update {
    const char *asked; /* "" or "latest", "stable", or a version; borrowed for the call */
    bool allow_downgrade;
    bool is_forced;   /* though the service is out of reach */
    bool is_by_clock; /* nobody asked */
    int64_t wait_ms;  /* for commands to end, at most; 0: they go on meanwhile */
};
int engine_update(struct engine *e, const struct engine_update *u, engine_accepted_fn done,
                  void *ctx, struct err *err) MUST_CHECK;

/* What such an update would do now: nothing is changed. One at a time: ERR_BUSY. ERR_STATE: this
 * machine cannot be updated so, or has no update source. */
struct engine_checked {
    const char *from, *target, *url; /* borrowed for the call, like the next; "": not known */
    const char *code, *text;         /* why not, or why there is nothing to do */
    const char *manager;             /* package manager that would be asked; "": none */
    const char *obstacle;            /* what stands against it at the moment */
    bool is_wanted, is_skipped;
    int64_t length_bytes, manifest_version;
};
typedef void (*engine_checked_fn)(void *ctx, const struct engine_checked *checked,
                                  const struct err *err);
int engine_check_update(struct engine *e, const struct engine_update *u, engine_checked_fn done,
                        void *ctx, struct err *err) MUST_CHECK;

struct engine_status {
    bool is_suspended; /* nothing is started or acknowledged */
    bool is_short;     /* of disk: nothing new is taken on; what runs goes on and is reported */
    char journal_text[512]; /* why, of either */
    size_t n_running, n_queued, n_reporting, n_rebooting;
    size_t n_runners; /* watched now */
    bool is_reboot_pending;
    int64_t n_duplicates, n_stale, n_unexpected;
    struct {
        int64_t at_unix_ms;
        char text[256];
    } last_errors[8]; /* newest first; at 0: none */
};
void engine_get_status(const struct engine *e, struct engine_status *ret_status);

#endif
