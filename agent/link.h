/* Where answers to a message go. One per channel ("ec2messages", "ssmmessages"). A local job has
 * none: its answers are taken at once by nobody. */
#ifndef SSMD_AGENT_LINK_H
#define SSMD_AGENT_LINK_H

#include <stdbool.h>

#include "base/err.h"

/* What became of an answer. The link decides, and nobody after it: it knows which words of its
 * service are the last. A result must not be lost to a wrong endpoint, a missing permission or a
 * proxy, whatever the class of their errors. */
enum link_end {
    LINK_TAKEN,
    LINK_AGAIN,   /* not taken; to be sent again */
    LINK_REFUSED, /* the service will never take it */
};

/* `err` says why it was not taken; NULL with LINK_TAKEN. Called from the loop, never from within
 * the call that asked for it. */
typedef void (*link_done_fn)(void *ctx, enum link_end end, const struct err *err);

/* Strings are borrowed for the call. */
struct link_reply {
    const char *message_id, *reply_id, *payload;
    bool is_receipt;   /* the message is here; nothing has happened yet */
    bool is_cancel;    /* of an order to cancel */
    bool is_rejection; /* the message cannot be run: this is the only reply */
};

enum link_verdict { LINK_ACCEPTED, LINK_DUPLICATE, LINK_REJECTED };

enum link_state {
    LINK_UP,
    LINK_DOWN,
    LINK_AWAY, /* refused, or down for so long that another channel may take its replies */
};

struct link {
    const char *name;
    /* Its acknowledgements say what became of the message, and are given for a rejected one and for
     * one that cannot be handled too; a duplicate is answered with nothing else. Such a link never
     * is asked to fail(). */
    bool has_verdicts;
    /* A failure to even begin is returned; `done` is not called then. */
    int (*reply)(struct link *l, const struct link_reply *reply, link_done_fn done, void *ctx,
                 struct err *err);
    int (*acknowledge)(struct link *l, const char *message_id, enum link_verdict verdict,
                       link_done_fn done, void *ctx, struct err *err);
    int (*fail)(struct link *l, const char *message_id, link_done_fn done, void *ctx,
                struct err *err);
    /* The engine cannot keep what comes (its journal is suspended), or can again. */
    void (*set_open)(struct link *l, bool is_open);
    enum link_state (*get_state)(struct link *l); /* NULL: always up */
};

static inline enum link_state link_state_of(struct link *l)
{
    return l->get_state != NULL ? l->get_state(l) : LINK_UP;
}

#endif
