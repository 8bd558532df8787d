/* aws:downloadContent: a step whose process is ssmd-download. So it outlives ssmd, is stopped and
 * probed like any, and what it reads from the network it reads outside of this process. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/engine_internal.h"
#include "base/secret.h"
#include "base/str.h"
#include "schema/download.h"
#include "schema/plugin.h"

#define REQUEST_NAME "_request.json"

bool download_is_unit(const struct job *job, const struct document_unit *unit)
{
    return str_eq(job->task->document->plugins[unit->plugin].name, PLUGIN_DOWNLOAD_CONTENT);
}

/* What the helper needs to know. Values of secure parameters are not in it: only their names are,
 * as the document has them. */
static int make_request(const struct engine *e, const struct job *job,
                        const struct document_unit *unit, struct buf *text, struct err *err)
{
    const struct config *c = e->config;
    char downloads[PATH_MAX], agent[128];
    const struct download_request q = {.inputs = unit->inputs,
                                       .downloads = downloads,
                                       .socket = e->paths->ctl_socket,
                                       .region = config_signing_region(c),
                                       .domain = c->service_domain,
                                       .s3_endpoint = c->s3_endpoint,
                                       .github_endpoint = c->github_endpoint,
                                       .ca_file = c->ca_file,
                                       .user_agent = agent};

    (void)snprintf(agent, sizeof(agent), "%s/%s", c->agent_name, c->agent_version);
    if (snprintf(downloads, sizeof(downloads), "%s/%s/downloads", e->paths->jobs_dir,
                 job->inst.id) >= (int)sizeof(downloads))
        return err_set(err, ERR_LIMIT, "directory of %s: the path is too long", job->inst.id);
    download_request_write(&q, text);
    return buf_error(text, "request", err);
}

int download_start(struct engine *e, const struct job *job, const struct step_key *key,
                   const struct document_unit *unit, struct err *err)
{
    AUTO(buf_done) struct buf request = {0};
    AUTO(free) char **environment = secret_clean_environment();
    char step_dir[PATH_MAX], path[PATH_MAX + sizeof(REQUEST_NAME)];
    const char *argv[] = {e->config->download_path, path, NULL};
    struct step_spec spec = {
        .key = *key,
        .argv = argv,
        .env = (const char *const *)environment,
        .cwd = "/",
        .script_name = REQUEST_NAME,
        .limit_ms = command_unit_at(&job->inst, (size_t)key->step)->limit_ms,
        .grace_ms = e->config->kill_grace_ms,
        .cap_bytes = fx_output_cap(e, job),
        .boot_id = e->boot_id,
    };
    int r;

    buf_init(&request, DOWNLOAD_MAX_REQUEST_BYTES);
    if (environment == NULL)
        return err_set(err, ERR_NOMEM, "environment of the download: out of memory");
    if (access(e->config->download_path, X_OK) < 0) /* else the runner blames a program's name */
        return err_set(err, ERR_STATE, "%s cannot be run: %s; it belongs to ssmd: install it again",
                       e->config->download_path, strerror(errno));
    if ((r = steps_path(e->steps, key, step_dir, sizeof(step_dir), err)) < 0 ||
        (r = make_request(e, job, unit, &request, err)) < 0)
        return r;
    (void)snprintf(path, sizeof(path), "%s/%s", step_dir, REQUEST_NAME); /* fits */
    spec.script = request.data;
    spec.script_len = request.len;
    return steps_start(e->steps, &spec, err);
}
