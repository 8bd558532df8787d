/* What the service manager is told, so that `systemctl status` says what the agent does: datagrams
 * to $NOTIFY_SOCKET, as sd_notify(3) sends them. There is no watchdog: a commit may take as long as
 * the disk does, and a healthy agent must not be killed for it. The loop's thread; nothing blocks,
 * and at rest nothing wakes. */
#ifndef SSMD_AGENT_MANAGER_H
#define SSMD_AGENT_MANAGER_H

#include <stdbool.h>
#include <stddef.h>
#include <uv.h>

#include "base/err.h"

#define MANAGER_TEXT_SIZE 400

struct manager;

struct manager_options {
    uv_loop_t *loop;
    /* What the agent does, in one line. */
    void (*describe)(void *ctx, char *ret_text, size_t size);
    /* Asked in each turn of the loop, so cheap: something that `describe` tells and that nobody
     * notes. A change is told. */
    bool (*is_well)(void *ctx);
    void *ctx;
};

/* NULL in *ret_manager where nobody listens. The variable is taken out of the environment, for it
 * is not for scripts: before anything is started. ERR_SYSTEM, ERR_INVALID: the socket cannot be
 * used. */
int manager_new(const struct manager_options *o, struct manager **ret_manager, struct err *err)
    MUST_CHECK;
/* The agent has started; changes are told from now on. NULL is allowed, as below. */
void manager_ready(struct manager *m);
/* Something has changed: it is told within a second. */
void manager_note(struct manager *m);
/* The agent stops. The memory is freed by the loop. */
void manager_close(struct manager *m);

#endif
