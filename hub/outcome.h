/* What a reply, an acknowledgement or a refusal by an agent does to the invocation it belongs to.
 * A terminal status stands: neither a late InProgress nor a second terminal status changes it, and
 * every reply is recorded with what came of it. Inside the caller's transaction; main thread. */
#ifndef SSMD_HUB_OUTCOME_H
#define SSMD_HUB_OUTCOME_H

#include "hub/store.h"

struct outcome {
    char status[24];     /* documentStatus, or "" when the payload cannot be read */
    const char *verdict; /* static: taken, late, repeat, conflict, not-a-command, unreadable */
};

/* Verdicts: `taken` counted; `late` is an InProgress after the end; `repeat` the same terminal
 * status again (the same reply id or another); `conflict` another terminal status after the end;
 * `not-a-command` belongs to no invocation (a cancel message, an injected one); `unreadable`. */
int outcome_of_reply(struct store *s, const char *message_id, const char *reply_id,
                     const char *payload, int64_t now_ms, struct outcome *ret_outcome,
                     struct err *err) MUST_CHECK;

/* The agent has acknowledged: a pending invocation is in progress from here on. */
int outcome_of_delivery(struct store *s, const char *message_id, int64_t now_ms, struct err *err)
    MUST_CHECK;
/* The agent cannot handle it. `why` becomes the trace output. */
int outcome_of_refusal(struct store *s, const char *message_id, const char *why, int64_t now_ms,
                       struct err *err) MUST_CHECK;

#endif
