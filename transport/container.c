/* Task metadata and credentials of a container. */
#include "transport/container.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "base/str.h"
#include "schema/json.h"
#include "transport/credentials_json.h"

#define RELATIVE_BASE "http://169.254.170.2"
#define TIMEOUT_MS INT64_C(2000)
#define TRIES 4
#define PAUSE_MS 1000
#define MAX_BYTES (256u << 10)
#define EARLY_MS (INT64_C(5) * 60 * 1000)
#define MAX_TOKEN_BYTES 8192u

/* ---- documents ---- */

static const char *after_last_slash(const char *text)
{
    const char *slash = strrchr(text, '/');

    return slash != NULL ? slash + 1 : text;
}

/* arn:aws:ecs:<region>:... */
static bool region_of(const char *arn, char *ret, size_t size)
{
    const char *p = arn;
    size_t n;
    int i;

    for (i = 0; i < 3 && p != NULL; i++) {
        p = strchr(p, ':');
        p = p != NULL ? p + 1 : NULL;
    }
    n = p != NULL ? strcspn(p, ":") : 0;
    if (n == 0 || n >= size)
        return false;
    memcpy(ret, p, n);
    ret[n] = '\0';
    return str_is_safe_name(ret, size - 1);
}

int container_parse(const char *task, size_t n_task, const char *container, size_t n_container,
                    struct container_task *ret_task, struct err *err)
{
    AUTO(cJSON_Delete) cJSON *t = NULL;
    AUTO(cJSON_Delete) cJSON *c = NULL;
    const char *cluster, *arn, *zone, *id;
    struct container_task out = {.region = ""};

    if (json_parse(task, n_task, MAX_BYTES, JSON_REFUSE, "task", &t, NULL) < 0 ||
        json_parse(container, n_container, MAX_BYTES, JSON_REFUSE, "container", &c, NULL) < 0)
        return err_set(err, ERR_PROTOCOL, "the task metadata is no JSON");
    cluster = cJSON_GetStringValue(json_get_exact(t, "Cluster"));
    arn = cJSON_GetStringValue(json_get_exact(t, "TaskARN"));
    zone = cJSON_GetStringValue(json_get_exact(t, "AvailabilityZone"));
    id = cJSON_GetStringValue(json_get_exact(c, "DockerId"));
    if (cluster == NULL || arn == NULL || id == NULL)
        return err_set(err, ERR_PROTOCOL,
                       "the task metadata names no Cluster, TaskARN or DockerId");
    cluster = after_last_slash(cluster);
    if (!str_is_safe_name(cluster, 255) || !str_is_safe_name(after_last_slash(arn), 64) ||
        !str_is_safe_name(id, 64) || !region_of(arn, out.region, sizeof(out.region)))
        return err_set(err, ERR_PROTOCOL,
                       "Cluster, TaskARN or DockerId of the task metadata cannot be used");
    (void)snprintf(out.instance_id, sizeof(out.instance_id), "ecs:%s_%s_%s", cluster,
                   after_last_slash(arn), id); /* all were bounded: fits */
    if (zone != NULL && str_is_safe_name(zone, sizeof(out.availability_zone) - 1))
        (void)str_copy(out.availability_zone, sizeof(out.availability_zone), zone); /* fits */
    *ret_task = out;
    return 0;
}

/* ---- who it is ---- */

struct container_ask {
    struct http *http;
    struct http_call *call;
    uv_timer_t timer; /* its close frees the struct */
    char base[600];
    struct buf task;
    bool has_task;
    unsigned n_tried;
    container_done_fn done;
    void *ctx;
};

static void ask_next(struct container_ask *ask);

static void on_closed(uv_handle_t *handle)
{
    struct container_ask *ask =
        container_of((uv_timer_t *)(void *)handle, struct container_ask, timer);

    buf_done(&ask->task);
    free(ask);
}

static void finish_ask(struct container_ask *ask, const struct container_task *task,
                       const struct err *err)
{
    ask->done(ask->ctx, task, err);
    uv_close((uv_handle_t *)&ask->timer, on_closed);
}

static void on_timer(uv_timer_t *timer)
{
    ask_next(container_of(timer, struct container_ask, timer));
}

static void on_metadata(void *ctx, const struct http_response *response)
{
    struct container_ask *ask = ctx;
    struct container_task task;
    struct err err = {0};

    ask->call = NULL;
    if (response->err != NULL || response->status != 200) {
        if (++ask->n_tried < TRIES) {
            (void)uv_timer_start(&ask->timer, on_timer, PAUSE_MS, 0); /* not closing */
            return;
        }
        if (response->err != NULL)
            err = *response->err;
        else
            (void)err_set(&err, ERR_SERVER, "HTTP %ld", response->status);
        (void)err_wrap(&err, "task metadata");
        finish_ask(ask, NULL, &err);
        return;
    }
    ask->n_tried = 0;
    if (!ask->has_task) {
        ask->has_task = true;
        if (buf_add(&ask->task, response->body, response->len) < 0) {
            (void)err_set(&err, ERR_NOMEM, "task metadata: out of memory");
            finish_ask(ask, NULL, &err);
            return;
        }
        ask_next(ask);
        return;
    }
    if (container_parse(buf_str(&ask->task), ask->task.len, response->body, response->len, &task,
                        &err) < 0)
        finish_ask(ask, NULL, &err);
    else
        finish_ask(ask, &task, NULL);
}

static void ask_next(struct container_ask *ask)
{
    char url[sizeof(ask->base) + 8];
    const struct http_request request = {.method = "GET",
                                         .url = url,
                                         .timeout_ms = TIMEOUT_MS,
                                         .max_response_bytes = MAX_BYTES,
                                         .is_direct = true};
    struct err err;

    (void)snprintf(url, sizeof(url), "%s%s", ask->base, ask->has_task ? "" : "/task"); /* fits */
    if (http_start(ask->http, &request, on_metadata, ask, &ask->call, &err) < 0)
        finish_ask(ask, NULL, &err);
}

int container_identify(uv_loop_t *loop, struct http *http, const struct env_source *env,
                       container_done_fn done, void *ctx, struct container_ask **ret_ask,
                       struct err *err)
{
    const char *base = env_get_nonempty(env, "ECS_CONTAINER_METADATA_URI_V4");
    struct container_ask *ask;

    if (base == NULL)
        base = env_get_nonempty(env, "ECS_CONTAINER_METADATA_URI");
    if (base == NULL)
        return err_set(err, ERR_NOT_FOUND,
                       "no container of ECS: ECS_CONTAINER_METADATA_URI_V4 is not set");
    ask = calloc(1, sizeof(*ask));
    if (ask == NULL)
        return err_set(err, ERR_NOMEM, "task metadata: out of memory");
    if (!str_copy(ask->base, sizeof(ask->base), base)) {
        free(ask);
        return err_set(err, ERR_INVALID, "ECS_CONTAINER_METADATA_URI_V4 is too long");
    }
    ask->http = http;
    ask->done = done;
    ask->ctx = ctx;
    buf_init(&ask->task, MAX_BYTES);
    (void)uv_timer_init(loop, &ask->timer); /* cannot fail */
    (void)uv_timer_start(&ask->timer, on_timer, 0, 0);
    *ret_ask = ask;
    return 0;
}

void container_cancel(struct container_ask *ask)
{
    if (ask == NULL)
        return;
    http_cancel(ask->call);
    uv_close((uv_handle_t *)&ask->timer, on_closed);
}

/* ---- its credentials ---- */

bool container_is_endpoint_allowed(const char *url)
{
    static const char *const hosts[] = {"169.254.170.2", "169.254.170.23", "[fd00:ec2::23]",
                                        "localhost", "[::1]"};
    char host[260];
    struct in_addr v4;
    size_t n, i;

    if (str_has_prefix(url, "https://"))
        return true;
    if (!str_has_prefix(url, "http://"))
        return false;
    url += strlen("http://");
    n = *url == '[' ? strcspn(url, "]") + 1 : strcspn(url, ":/?#");
    if (n >= sizeof(host) || memchr(url, '@', strcspn(url, "/?#")) != NULL)
        return false;
    memcpy(host, url, n);
    host[n] = '\0';
    for (i = 0; i < ARRAY_LEN(hosts); i++)
        if (str_eq(host, hosts[i]))
            return true;
    return inet_pton(AF_INET, host, &v4) == 1 && ntohl(v4.s_addr) >> 24 == IN_LOOPBACKNET;
}

struct role {
    struct http *http;
    const struct env_source *env;
    struct http_call *call;
    struct credentials_provider *provider;
};

bool container_has_credentials(const struct env_source *env)
{
    return env_get_nonempty(env, "AWS_CONTAINER_CREDENTIALS_FULL_URI") != NULL ||
           env_get_nonempty(env, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") != NULL;
}

static void on_credentials(void *ctx, const struct http_response *response)
{
    struct role *role = ctx;
    AUTO(credentials_done) struct credentials c = {0};
    char code[CREDENTIALS_CODE_SIZE];
    int64_t life = CREDENTIALS_NEVER_EXPIRE, date = http_date_ms(response);
    struct err err = {0};
    int r = 0;

    role->call = NULL;
    if (response->err != NULL) {
        err = *response->err;
        r = err.code;
    } else if (response->status != 200) {
        r = err_set(&err, ERR_SERVER, "HTTP %ld", response->status);
    } else {
        r = credentials_parse_document(response->body, response->len, &c, code, &err);
    }
    if (r < 0) {
        credentials_fetched(role->provider, NULL, 0, &err);
        return;
    }
    if (c.expires_unix_ms > 0)
        life = credentials_life_ms(c.expires_unix_ms, date);
    credentials_fetched(role->provider, &c, life, NULL);
}

static int read_token(const struct role *role, struct buf *ret, struct err *err)
{
    const char *path = env_get_nonempty(role->env, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
    const char *text = env_get_nonempty(role->env, "AWS_CONTAINER_AUTHORIZATION_TOKEN");
    char real[PATH_MAX];
    int r;

    buf_init(ret, MAX_TOKEN_BYTES);
    if (path != NULL) {
        r = fs_read_file(AT_FDCWD, realpath(path, real) != NULL ? real : path, ret, err);
        if (r < 0)
            return err_wrap(err, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
    } else if (text != NULL && buf_add_str(ret, text) < 0) {
        return buf_error(ret, "AWS_CONTAINER_AUTHORIZATION_TOKEN", err);
    }
    if (strpbrk(buf_str(ret), "\r\n") != NULL)
        return err_set(err, ERR_INVALID, "the authorization token holds an end of line");
    return 0;
}

static int start(struct role *role, struct err *err)
{
    const char *full = env_get_nonempty(role->env, "AWS_CONTAINER_CREDENTIALS_FULL_URI");
    const char *relative = env_get_nonempty(role->env, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
    AUTO(buf_done) struct buf token = {0};
    struct header headers[2] = {{"Accept", "application/json"}, {NULL, NULL}};
    char url[2048];
    struct http_request request = {.method = "GET",
                                   .url = url,
                                   .headers = headers,
                                   .n_headers = 1,
                                   .timeout_ms = TIMEOUT_MS,
                                   .max_response_bytes = MAX_BYTES,
                                   .is_direct = true};
    int r, n = full != NULL ? snprintf(url, sizeof(url), "%s", full)
                            : snprintf(url, sizeof(url), RELATIVE_BASE "%s",
                                       relative != NULL ? relative : "");

    if (n < 0 || n >= (int)sizeof(url))
        return err_set(err, ERR_INVALID, "the endpoint of the environment is too long");
    if (!container_is_endpoint_allowed(url))
        return err_set(err, ERR_INVALID,
                       "AWS_CONTAINER_CREDENTIALS_FULL_URI: http:// is allowed only to this "
                       "machine and to the container services' addresses");
    r = read_token(role, &token, err);
    if (r == 0 && token.len > 0)
        headers[request.n_headers++] = (struct header){"Authorization", token.data};
    if (r == 0)
        r = http_start(role->http, &request, on_credentials, role, &role->call, err);
    if (token.data != NULL)
        explicit_bzero(token.data, token.len);
    return r;
}

static void fetch(void *ctx, struct credentials_provider *p)
{
    struct role *role = ctx;
    struct err err;

    role->provider = p;
    if (start(role, &err) < 0)
        credentials_fetched(p, NULL, 0, &err);
}

static void cancel(void *ctx)
{
    struct role *role = ctx;

    http_cancel(role->call);
    role->call = NULL;
}

int container_credentials_new(uv_loop_t *loop, struct http *http, const struct env_source *env,
                              struct credentials_provider **ret_provider, struct err *err)
{
    struct role *role = calloc(1, sizeof(*role));
    const struct credentials_fetched_options fo = {.fetcher = {.name = "container credentials",
                                                               .fetch = fetch,
                                                               .cancel = cancel,
                                                               .free = free,
                                                               .ctx = role},
                                                   .early_ms = EARLY_MS};

    if (role == NULL)
        return err_set(err, ERR_NOMEM, "container credentials: out of memory");
    role->http = http;
    role->env = env;
    return credentials_fetched_new(loop, &fo, ret_provider, err);
}
