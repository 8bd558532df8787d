/* The agent's side of the service: HTTP, credentials, the ec2messages channel as a link of the
 * engine, and the health ping (spec 02, section 3.1). The loop's thread. */
#ifndef SSMD_AGENT_SERVICE_H
#define SSMD_AGENT_SERVICE_H

#include <uv.h>

#include "agent/engine.h"

struct service;

struct service_options {
    uv_loop_t *loop;
    struct engine *engine; /* gets the messages */
    const struct config *config;
    const struct platform *platform;
    struct credentials_provider *credentials; /* borrowed until service_stop() */
};

int service_new(const struct service_options *o, struct service **ret_service, struct err *err)
    MUST_CHECK;
struct link *service_link(struct service *s);         /* "ec2messages" */
struct link *service_control_link(struct service *s); /* "ssmmessages" */
struct lookup *service_lookup(struct service *s);
struct parameter_source *service_parameters(struct service *s);
void service_start(struct service *s);
/* Try again now what waits for another try: credentials came back, the clock was set. */
void service_wake(struct service *s);
void service_report_health(struct service *s); /* now, whenever the next is due */
/* Ends polls and calls; handles close with the loop's next turns. */
void service_stop(struct service *s);
void service_free(struct service *s); /* after the loop has run out */
/* Why the service is out of reach, as far as it is known, or "". */
void service_describe_trouble(const struct service *s, char *ret_text, size_t size);
/* Members of ctl's "status" answer, each as `"name":value,`. */
void service_add_status(struct service *s, struct buf *b);

#endif
