/* What signed calls have in common, whatever it is that they sign: a timer that begins each try,
 * the wait for credentials, what is repaired at once (a wrong clock, refused credentials) and the
 * pause before another try (spec 02, sections 2 and 10). Embedded by the call: struct aws_call,
 * struct s3_call. Loop thread only. */
#ifndef SSMD_TRANSPORT_TRIES_H
#define SSMD_TRANSPORT_TRIES_H

#include <uv.h>

#include "transport/aws_classify.h"
#include "transport/credentials.h"
#include "transport/http.h"

struct tries;

/* What the calls of one client share. */
struct tries_client {
    uv_loop_t *loop;       /* borrowed */
    int64_t retry_unit_ms; /* of the "SSM" delays: 1000 as in the reference */
    int64_t offset_ms;     /* of the service's clock, as far as is known */
    struct tries *first;   /* doubly linked; each owns itself */
};

struct tries_ops {
    /* A try, from the loop: it ends in a request, in tries_in(), or in the end of the call. */
    void (*attempt)(struct tries *t);
    /* The memory of the call: its timer is closed. */
    void (*free)(struct tries *t);
};

struct tries {
    const struct tries_ops *ops;
    struct tries_client *client; /* not to be used after tries_unlink() */
    struct tries *prev, *next;
    uv_timer_t timer;
    struct http_call *http_call;              /* the caller's, while one is under way */
    struct credentials_provider *credentials; /* borrowed. NULL: none are used */
    struct credentials_waiter waiter;
    unsigned n_retries, n_tried; /* allowed; tries that the caller has counted */
    bool is_clock_repaired, are_credentials_repaired;
    char access_key[CREDENTIALS_ACCESS_KEY_SIZE]; /* that signed the last try */
    int64_t signed_offset_ms;                     /* by which clock */
};

/* `t` is zero but for what the caller has set: credentials, n_retries. From here on it goes away by
 * tries_close() only. */
void tries_init(struct tries *t, struct tries_client *client, const struct tries_ops *ops);
/* Among the client's calls from here on; the first attempt comes from the loop. */
void tries_begin(struct tries *t);
/* An attempt in so many milliseconds. */
void tries_in(struct tries *t, int64_t delay_ms);

/* What this try is to be signed with: *ret NULL where none are used. As credentials_get(), but
 * after ERR_BUSY `attempt` is called again when they are there. */
int tries_credentials(struct tries *t, const struct credentials **ret, struct err *err) MUST_CHECK;

/* Learn the service's time from its answer. True when the call would be signed with another time
 * now. */
bool tries_learn_clock(struct tries *t, const struct http_response *response, bool may_be_clock);

/* After an answer with the verdict `v`, said in *err: true when there will be another attempt, at
 * once (each repair once for a call) or after a pause. */
bool tries_again(struct tries *t, const struct aws_verdict *v, const struct http_response *response,
                 bool is_clock_changed, const struct err *err);

/* Out of the client, which may go away before tries_close(); nothing may be under way. */
void tries_unlink(struct tries *t);
void tries_close(struct tries *t);
/* Both, with whatever is under way. */
void tries_cancel(struct tries *t);
void tries_cancel_all(struct tries_client *client);

#endif
