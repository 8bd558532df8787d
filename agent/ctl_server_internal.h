/* What connections (ctl_server.c) and requests (ctl_requests.c) of the control socket share. */
#ifndef SSMD_AGENT_CTL_SERVER_INTERNAL_H
#define SSMD_AGENT_CTL_SERVER_INTERNAL_H

#include "agent/ctl_server.h"
#include "schema/json.h"

struct ctl_server {
    uv_loop_t *loop;
    struct engine *engine;
    struct journal *journal;
    struct lookup *lookup; /* NULL: there is no service */
    void (*add_status)(void *ctx, struct buf *b);
    struct registrar *registrar;
    void (*registered)(void *ctx);
    void *ctx;
    uv_pipe_t listener;
    uv_timer_t watch; /* runs while there are clients, or one that could not be accepted */
    uint64_t patience_ms;
    bool is_accept_due;
    int dirfd;
    size_t n_clients;
    struct client *clients; /* open ones, newest first */
};

struct client {
    struct ctl_server *server;
    uv_pipe_t pipe;
    struct buf request, answer;
    uv_write_t write;
    uint64_t since_ms;         /* loop time: when it came, or when its answer was begun */
    bool is_overlong;          /* the rest of its request is read and thrown away */
    bool is_at_end;            /* it sends no more */
    bool is_answered;          /* and has its answer */
    bool is_waiting;           /* the engine still owes it an answer */
    const char *accepted_text; /* static; what to say when it comes */
    bool is_closed;            /* handle closed; freed once it does not wait */
    struct client *next, *prev;
};

/* ctl_server.c */
void ctl_client_free(struct client *c);
void ctl_client_send(struct client *c); /* what is in `answer`; the end of its request */
void ctl_client_send_error(struct client *c, const struct err *err);

/* ctl_requests.c: answer it now, or later, with one of the two above. On failure nothing was
 * answered. */
int ctl_serve(struct client *c, const cJSON *request, struct err *err) MUST_CHECK;

#endif
