/* The control channels of agents: tokens, websockets, and what goes over them (spec 03, section 5;
 * 05a). Sockets are handed over by the HTTP server after the upgrade, and polled by it. Main
 * thread.
 */
#ifndef SSMD_HUB_CONTROL_H
#define SSMD_HUB_CONTROL_H

#include <poll.h>

#include "hub/api.h"

#define CONTROL_PATH "/v1/control-channel/"
#define CONTROL_TOKEN_SIZE 44 /* 43 characters and a NUL */
#define CONTROL_MAX_CHANNELS 256

struct control;

/* ERR_NOMEM. The caller ends *ret_control with control_free(). */
int control_new(struct hub *hub, struct control **ret_control, struct err *err) MUST_CHECK;
void control_free(struct control *c); /* closes every channel; NULL is allowed */
DEFINE_AUTO(struct control *, control_free)

/* A token that is good for one channel of this instance. */
void control_make_token(struct control *c, const char *instance_id,
                        char ret_token[CONTROL_TOKEN_SIZE]);

struct control_socket {
    int fd; /* non-blocking */
    void (*close)(void *ctx);
    void *ctx;
};
/* A websocket of this instance, `n` bytes of which were read already. Takes the socket over: it is
 * closed when the channel ends, or now, if there are too many. */
void control_add(struct control *c, const char *instance_id, const struct control_socket *s,
                 const void *bytes, size_t n);

/* What to wait for: fills fds[0..max) and says how many; control_serve() gets them back. */
size_t control_poll(const struct control *c, struct pollfd *fds, size_t max);
void control_serve(struct control *c, const struct pollfd *fds, size_t n);
/* Send what is due: jobs that may be offered, and what a fault has delayed. Says when to do it
 * again, INT64_MAX: when something happens. */
int64_t control_send_due(struct control *c, int64_t now_ms);

/* Jobs for this instance go over its channel. */
bool control_is_open(const struct control *c, const char *instance_id);

/* Faults on request, at once: "close" (in order), "cut" (reset), "silence" (neither read nor
 * written any more). False: there is no such channel, or no such fault. */
bool control_spoil(struct control *c, const char *instance_id, const char *how);
void control_write_state(const struct control *c, struct buf *out, const char *key);

#endif
