/* From the file to struct config, and what a node needs to be served. */
#include "agent/config.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/fs.h"
#include "base/str.h"

struct warning_sink {
    config_warn_fn warn;
    void *ctx;
    const char *path;
};

static void on_finding(void *ctx, const struct config_finding *f)
{
    const struct warning_sink *sink = ctx;
    char line[2048];

    (void)snprintf(line, sizeof(line), "%s:%d: %s: %s%s%s%s", sink->path, f->line, f->key, f->text,
                   f->used[0] != '\0' ? "; " : "", f->used, f->used[0] != '\0' ? " is used" : "");
    sink->warn(sink->ctx, f->severity, line);
}

int config_read(struct config *c, const char *path, bool is_required, config_warn_fn warn,
                void *ctx, struct err *err)
{
    AUTO(buf_done) struct buf text = {0};
    struct warning_sink sink = {.warn = warn, .ctx = ctx, .path = path};
    char real[PATH_MAX];
    int r;

    buf_init(&text, CONFIG_MAX_BYTES);
    /* A link is the operator's own: many systems keep /etc as links into another place. */
    r = fs_read_file(AT_FDCWD, realpath(path, real) != NULL ? real : path, &text, err);
    if (r == 0)
        r = config_parse(c, buf_str(&text), text.len, path, warn != NULL ? on_finding : NULL, &sink,
                         err);
    else if (r == ERR_NOT_FOUND && !is_required)
        r = 0;
    if (r < 0)
        return err_wrap(err, "configuration");
    if (warn != NULL)
        config_check_files(c, fs_check_use, on_finding, &sink);
    return 0;
}

int config_check_identity(const struct config *c, struct err *err)
{
    if (c->instance_id[0] == '\0')
        return err_set(
            err, ERR_INVALID,
            "this node has no identity: set Identity.CustomIdentities[0].InstanceID in the "
            "configuration, for example {\"Identity\":{\"CustomIdentities\":[{\"InstanceID\":"
            "\"mi-0123456789abcdef0\",\"Region\":\"eu-west-1\"}]}}");
    if (!str_is_safe_name(c->instance_id, sizeof(c->instance_id)))
        return err_set(err, ERR_INVALID,
                       "Identity.CustomIdentities[0].InstanceID \"%s\": only letters, "
                       "digits, '.', '_' and '-' are allowed",
                       c->instance_id);
    if (config_signing_region(c)[0] == '\0')
        return err_set(err, ERR_INVALID,
                       "no region: set Agent.Region or "
                       "Identity.CustomIdentities[0].Region in the configuration");
    if (!str_is_safe_name(config_signing_region(c), 64))
        return err_set(err, ERR_INVALID,
                       "region \"%s\": only letters, digits, '.', '_' and '-' are allowed",
                       config_signing_region(c));
    return 0;
}
