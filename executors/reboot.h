/* Asking the machine for a reboot (spec 03, section 9.3). Who may ask, and when, is decided
 * elsewhere: here is the program and the question whether a shutdown is on its way. The loop's
 * thread. */
#ifndef SSMD_EXECUTORS_REBOOT_H
#define SSMD_EXECUTORS_REBOOT_H

#include <stdbool.h>
#include <uv.h>

#include "base/err.h"

struct reboot;

/* Run the program that reboots: argv NULL means /sbin/shutdown -r +1. It has a session and process
 * group of its own and outlives the agent. `done` is called once from the loop when it has ended:
 * NULL after status 0, else what went wrong; *ret_reboot is gone then. The loop must run until
 * then, or reboot_forget() be called. ERR_SYSTEM, ERR_NOT_FOUND: it could not be started; `done` is
 * not called. */
int reboot_request(uv_loop_t *loop, const char *const *argv,
                   void (*done)(void *ctx, const struct err *err), void *ctx,
                   struct reboot **ret_reboot, struct err *err) MUST_CHECK;
/* No event any more; the program goes on. */
void reboot_forget(struct reboot *r);

/* True when systemd has a shutdown or reboot scheduled, or is at it. `root` "" is the machine. */
bool reboot_is_scheduled(const char *root);

#endif
