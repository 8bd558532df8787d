/* One control channel, as its connection (control.c) and its messages (control_job.c) see it. */
#ifndef SSMD_HUB_CONTROL_INTERNAL_H
#define SSMD_HUB_CONTROL_INTERNAL_H

#include "base/ids.h"
#include "hub/control.h"
#include "transport/agent_message.h"
#include "transport/ws_codec.h"

#define CONTROL_MAX_TOKENS 64u

/* A frame that a fault holds back. */
struct held_frame {
    struct held_frame *next;
    int64_t due_ms;
    size_t n;
    char bytes[];
};

struct channel {
    struct channel *next;
    struct control *control;
    struct control_socket socket;
    struct ws_codec *codec; /* owned */
    char instance_id[129];
    int64_t since_ms;
    bool is_open;            /* the first message was right */
    bool is_over;            /* to be freed at the end of the turn */
    bool is_silent;          /* a fault: it stands, and nothing moves */
    struct held_frame *held; /* owned */
};

struct token {
    char text[CONTROL_TOKEN_SIZE];
    char instance_id[129];
};

struct control {
    struct hub *hub;
    struct channel *channels; /* owned */
    size_t n_channels;
    struct token tokens[CONTROL_MAX_TOKENS];
    size_t next_token;
};

/* control.c */
void channel_end(struct channel *ch, const char *why);
/* Queue a frame and write what the socket takes. */
void channel_send(struct channel *ch, const void *bytes, size_t n);
void channel_hold(struct channel *ch, const void *bytes, size_t n, int64_t due_ms);

/* control_job.c */
void job_receive(struct channel *ch, const struct agent_message *m, int64_t now_ms);
/* Offer what is due to this channel; when the next is due, or INT64_MAX. */
int64_t job_offer(struct channel *ch, int64_t now_ms);
/* What is not acknowledged may be offered again, at once and whichever way. */
void job_release(struct control *c, const char *instance_id, int64_t now_ms);

#endif
