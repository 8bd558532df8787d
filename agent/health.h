/* Telling the service that this node is there: UpdateInstanceInformation (spec 02, section 3.1).
 * The first report is the short one, which proves credentials and registration; while the service
 * does not take it, it is tried again with a growing pause, and status says that the node waits.
 * After it come full reports, at once and then every Ssm.HealthFrequencyMinutes. Unlike the
 * reference (07, section 17) nothing else waits for the first report: channels try by themselves.
 * The loop's thread. */
#ifndef SSMD_AGENT_HEALTH_H
#define SSMD_AGENT_HEALTH_H

#include "agent/config.h"
#include "executors/platform.h"
#include "transport/aws.h"

struct health;

struct health_options {
    uv_loop_t *loop;
    struct aws *aws; /* this and the next two are borrowed, and outlive the health */
    const struct config *config;
    const struct platform *platform;
    int64_t first_pause_ms; /* after the first failure; 0: 2 s */
};

int health_new(const struct health_options *o, struct health **ret_health, struct err *err)
    MUST_CHECK;
void health_start(struct health *h);
/* The channel that full reports name: "ssmmessages", "ec2messages" (borrowed), "" before it is
 * known. A change is reported at once. */
void health_set_channel(struct health *h, const char *channel);
/* Report now: the network came back, credentials changed, the frequency is another. */
void health_report_now(struct health *h);
const char *health_trouble(const struct health *h); /* why the last report was not taken, or "" */
bool health_is_known(const struct health *h);       /* the service took a report of this process */
/* Report `status` once, beside the ordinary reports, as an agent of this version; what comes of it
 * is told to `done` alone. */
int health_send_status(struct health *h, const char *agent_version, const char *status,
                       aws_done_fn done, void *ctx, struct err *err) MUST_CHECK;
/* A call under way ends with aws_close(). Handles close with the loop's next turns. */
void health_stop(struct health *h);
void health_free(struct health *h); /* after the loop has run out */
/* The members "node" and "health" of ctl's status, each as `"name":{...},`. */
void health_add_status(const struct health *h, struct buf *b);

#endif
