/* Asking the machine for a reboot. */
#include "executors/reboot.h"

#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/crashpoint.h"
#include "base/secret.h"

struct reboot {
    uv_process_t process;
    void (*done)(void *ctx, const struct err *err); /* NULL: forgotten */
    void *ctx;
};

static void on_closed(uv_handle_t *handle)
{
    free(container_of((uv_process_t *)handle, struct reboot, process));
}

static void on_ended(uv_process_t *process, int64_t status, int sig)
{
    struct reboot *r = container_of(process, struct reboot, process);
    void (*done)(void *, const struct err *) = r->done;
    void *ctx = r->ctx;
    struct err err;

    uv_close((uv_handle_t *)process, on_closed);
    if (done == NULL)
        return;
    if (sig != 0)
        (void)err_set(&err, ERR_SYSTEM, "the reboot program was killed by signal %d", sig);
    else if (status != 0)
        (void)err_set(&err, ERR_SYSTEM, "the reboot program ended with exit status %lld",
                      (long long)status);
    done(ctx, sig != 0 || status != 0 ? &err : NULL);
}

int reboot_request(uv_loop_t *loop, const char *const *argv,
                   void (*done)(void *ctx, const struct err *err), void *ctx,
                   struct reboot **ret_reboot, struct err *err)
{
    static const char *const default_argv[] = {"/sbin/shutdown", "-r", "+1", NULL};
    uv_process_options_t options = {.exit_cb = on_ended, .flags = UV_PROCESS_DETACHED, .cwd = "/"};
    AUTO(free) char **environment = secret_clean_environment();
    struct reboot *r = environment != NULL ? calloc(1, sizeof(*r)) : NULL;
    int e;

    if (r == NULL)
        return err_set(err, ERR_NOMEM, "request a reboot: out of memory");
    if (argv == NULL || argv[0] == NULL)
        argv = default_argv;
    r->done = done;
    r->ctx = ctx;
    options.file = argv[0];
    options.args = (char **)(uintptr_t)argv; /* libuv does not write to them */
    options.env = environment;
    crashpoint("reboot.before");
    e = uv_spawn(loop, &r->process, &options);
    if (e < 0) {
        uv_close((uv_handle_t *)&r->process, on_closed);
        return err_set(err, e == UV_ENOENT ? ERR_NOT_FOUND : ERR_SYSTEM,
                       "request a reboot: start %s: %s", argv[0], uv_strerror(e));
    }
    crashpoint("reboot.after");
    *ret_reboot = r;
    return 0;
}

void reboot_forget(struct reboot *r)
{
    if (r == NULL)
        return;
    r->done = NULL;
    uv_close((uv_handle_t *)&r->process, on_closed);
}

bool reboot_is_scheduled(const char *root)
{
    char path[PATH_MAX];

    if (snprintf(path, sizeof(path), "%s/run/systemd/shutdown/scheduled", root) >=
        (int)sizeof(path))
        return false;
    return access(path, F_OK) == 0;
}
