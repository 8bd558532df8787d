/* Where answers to a message go. One per channel ("ec2messages"; the control channel later). A
 * local job has none: its answers are taken at once by nobody. */
#ifndef SSMD_AGENT_LINK_H
#define SSMD_AGENT_LINK_H

#include "base/err.h"

/* `err` NULL: the service took it. Else its class decides: RETRY (the engine sends again),
 * PERMANENT (the service will never take it). Called from the loop, never from within the call that
 * asked for it. */
typedef void (*link_done_fn)(void *ctx, const struct err *err);

struct link {
    const char *name;
    /* Strings are borrowed for the call. A failure to even begin is returned; `done` is not called
     * then. */
    int (*reply)(struct link *l, const char *message_id, const char *reply_id, const char *payload,
                 link_done_fn done, void *ctx, struct err *err);
    int (*acknowledge)(struct link *l, const char *message_id, link_done_fn done, void *ctx,
                       struct err *err);
    int (*fail)(struct link *l, const char *message_id, link_done_fn done, void *ctx,
                struct err *err);
    /* The engine cannot keep what comes (its journal is suspended), or can again. */
    void (*set_open)(struct link *l, bool is_open);
};

#endif
