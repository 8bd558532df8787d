/* Which channel messages come by, and when the other one takes over (spec 03, section 10). Both are
 * brought up at start. While the control channel is open ec2messages is not polled, from a grace
 * time on, in which what is under way there still arrives. It is polled again at once when the
 * control channel is denied, and soon when it stays lost. What comes by both runs once: the journal
 * knows it. docs/internals/channels.md. The loop's thread. */
#ifndef SSMD_AGENT_CHANNELS_H
#define SSMD_AGENT_CHANNELS_H

#include "agent/control.h"
#include "transport/mds.h"

struct channels;

struct channels_options {
    uv_loop_t *loop;
    struct engine *engine; /* this and the next four are borrowed, and outlive the channels */
    const struct config *config;
    struct aws *aws;
    struct http *http;
    struct mds *mds; /* is paused and resumed here, for MDS_PAUSE_CONTROL_CHANNEL */
    /* The channel that is in use is another one: "ssmmessages" or "ec2messages". */
    void (*active)(void *ctx, const char *name);
    /* A link, address or route of this machine came back. */
    void (*network_came_back)(void *ctx);
    void *ctx;
};

int channels_new(const struct channels_options *o, struct channels **ret_channels, struct err *err)
    MUST_CHECK;
struct link *channels_link(struct channels *c); /* "ssmmessages" */
void channels_start(struct channels *c);
/* Try again now what waits for its next try: the network, the credentials or the clock changed. */
void channels_wake(struct channels *c);
/* Before mds, aws and http are closed; handles close with the loop's next turns. NULL is allowed.
 */
void channels_stop(struct channels *c);
void channels_free(struct channels *c); /* after the loop has run out */
/* Members of ctl's status: "channel" (the one in use) and "channels", each as `"name":{...},`. */
void channels_add_status(const struct channels *c, struct buf *b);

#endif
