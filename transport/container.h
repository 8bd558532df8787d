/* What a container of ECS can ask: who it is, and the credentials of its role (spec 01, section 9).
 * Loop thread only. */
#ifndef SSMD_TRANSPORT_CONTAINER_H
#define SSMD_TRANSPORT_CONTAINER_H

#include "transport/credentials_fetched.h"
#include "transport/http.h"

struct container_task {
    char instance_id[400]; /* ecs:<cluster>_<task>_<container> */
    char region[101];
    char availability_zone[64];
};

/* Both documents of the task metadata, as they came. ERR_PROTOCOL names what is missing. Pure. */
int container_parse(const char *task, size_t n_task, const char *container, size_t n_container,
                    struct container_task *ret_task, struct err *err) MUST_CHECK;

struct container_ask;
/* err NULL: `task` is set. Once, from the loop. */
typedef void (*container_done_fn)(void *ctx, const struct container_task *task,
                                  const struct err *err);
/* ERR_NOT_FOUND: the environment names no task metadata: this is no such container. */
int container_identify(uv_loop_t *loop, struct http *http, const struct env_source *env,
                       container_done_fn done, void *ctx, struct container_ask **ret_ask,
                       struct err *err) MUST_CHECK;
void container_cancel(struct container_ask *ask); /* NULL is allowed */

/* Whether the environment names a credentials endpoint. */
bool container_has_credentials(const struct env_source *env);
/* Fetches from it. `env` is borrowed as long as the provider lives. */
int container_credentials_new(uv_loop_t *loop, struct http *http, const struct env_source *env,
                              struct credentials_provider **ret_provider, struct err *err)
    MUST_CHECK;
/* http:// is allowed to loopback and to the addresses of the container services only. Pure. */
bool container_is_endpoint_allowed(const char *url);

#endif
