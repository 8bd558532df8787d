/* The engine on a loop with a real journal and real runners; the service is a link that writes down
 * what it is told. */
#ifndef SSMD_TESTS_ENGINE_WORLD_H
#define SSMD_TESTS_ENGINE_WORLD_H

#include "agent/engine.h"

#define ENGINE_WORLD_MAX 4096

struct told {
    char what[16]; /* "reply", "acknowledge", "fail" */
    char message_id[JOURNAL_MESSAGE_ID_SIZE];
    char reply_id[40];
    char status[24]; /* documentStatus of a reply */
    char *payload;   /* owned */
};

struct engine_world {
    struct link link;
    uv_loop_t loop;
    uv_idle_t answers; /* answers come from the loop, as a real link's do */
    char dir[64];
    struct paths paths;
    struct config config;
    struct platform platform;
    struct journal *real, *journal; /* the SQLite one; it, or a fault decorator before it */
    struct engine *engine;
    struct told told[ENGINE_WORLD_MAX];
    size_t n_told;
    struct {
        link_done_fn done;
        void *ctx;
        bool is_acknowledge;
    } waiting[ENGINE_WORLD_MAX];
    size_t n_waiting, n_rejected;  /* acknowledgements that say so */
    bool is_open;                  /* as the engine last said */
    unsigned n_unbegun;            /* replies that cannot even be begun, from now on */
    struct err answer;             /* what the service says to the next calls; code 0: taken */
    struct err acknowledge_answer; /* the same for acknowledgements, where they differ */
    const char *vfs;               /* for the journal, or NULL */
    struct lookup *lookup;         /* or NULL; taken at the next start */
    struct parameter_source *parameters; /* likewise */
    struct journal_fault *fault;
    /* As of struct engine_options, where they are set; ctx is the world. */
    void (*ended)(void *ctx, int64_t n_files);
    bool (*may_begin)(void *ctx, int64_t n_open, int64_t n_more);
};

void engine_world_init(struct engine_world *w, const char *vfs, struct journal_fault *fault);
void engine_world_done(struct engine_world *w);
/* As a crash and a start: the engine and the journal are closed without a word and opened again. */
void engine_world_crash(struct engine_world *w);
void engine_world_start(struct engine_world *w, const char *boot_id);
void engine_world_restart(struct engine_world *w, const char *boot_id);

/* A send message for a document of n steps; each runs `script`. Returns its message id in a static
 * buffer. */
const char *engine_world_send(struct engine_world *w, int number, int n_steps, const char *script);
void engine_world_receive(struct engine_world *w, const char *topic, const char *message_id,
                          const char *payload);
/* Run the loop until the condition holds; a watchdog fails the test after a minute. */
void engine_world_until(struct engine_world *w, bool (*holds)(struct engine_world *w));
void engine_world_turns(struct engine_world *w, int n); /* n rounds of the loop, without blocking */

/* A script that writes a line into the world's file "mark" and then does the rest; and one that
 * waits in between, for engine_world_go() or the end of the world. Static buffers. */
const char *engine_world_marking(const struct engine_world *w, const char *rest);
const char *engine_world_waiting(const struct engine_world *w, const char *rest);
void engine_world_go(const struct engine_world *w);
size_t engine_world_n_marks(struct engine_world *w);
bool engine_world_is_marked(struct engine_world *w);

size_t engine_world_count(const struct engine_world *w, const char *what, const char *status);
bool engine_world_is_idle(struct engine_world *w); /* no open jobs */
int64_t engine_world_commits(struct engine_world *w);
/* Runners and scripts of this world that are still there, zombies not counted. */
size_t engine_world_processes(const struct engine_world *w);
/* The content of a file that scripts made in the world's directory, "" when it is not there; static
 * buffer. */
const char *engine_world_file(struct engine_world *w, const char *name);

#endif
