/* curl_multi on a uv_loop: sockets, the timer, and the end of transfers. How one request is set up
 * and judged is in http_call.c.
 *
 * 1. curl's two callbacks only start and stop libuv handles; no curl function is called from them
 *    (but curl_multi_assign, which is made for that).
 * 2. Ends of transfers are read after curl_multi_socket_action has returned, from libuv's
 *    callbacks; users' callbacks run there, so they may start and cancel calls.
 * 3. The struct and its polls are freed in their uv_close callbacks and nowhere else. */
#include "transport/http.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LOG_MODULE "transport"
#include "base/log.h"
#include "base/version.h"
#include "transport/http_internal.h"

#define MAX_IDLE_CONNECTIONS 8L

struct poll {
    uv_poll_t handle;
    struct http *http;
    curl_socket_t fd;
};

static void release(struct http *http)
{
    if (--http->n_open_handles > 0)
        return;
    proxy_settings_done(&http->proxies);
    free(http->ca);
    free(http->ca_file);
    free(http->ca_path);
    free(http->user_agent);
    free(http);
}

static void read_ends(struct http *http)
{
    CURLMsg *message;
    int n_left;

    while (http->multi != NULL && (message = curl_multi_info_read(http->multi, &n_left)) != NULL) {
        struct http_call *call = NULL;
        CURLcode code = message->data.result; /* the message dies with curl_multi_remove_handle */

        if (message->msg != CURLMSG_DONE)
            continue;
        (void)curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&call);
        if (call->is_connection && code == CURLE_OK) { /* its owner goes on with it */
            http_call_finish(call, code);
            continue;
        }
        (void)curl_multi_remove_handle(http->multi, call->easy);
        if (call->next != NULL)
            call->next->prev = call->prev;
        if (call->prev != NULL)
            call->prev->next = call->next;
        else
            http->calls = call->next;
        http->n_calls--;
        http_call_finish(call, code);
        http_call_free(call);
    }
}

static void on_poll(uv_poll_t *handle, int status, int events)
{
    struct poll *poll = container_of(handle, struct poll, handle);
    struct http *http = poll->http;
    int flags = 0, n_running;

    /* A socket in error: let libcurl read from it and meet the true reason (reset, refused). */
    if (status < 0)
        flags = CURL_CSELECT_IN | CURL_CSELECT_OUT;
    if ((events & UV_READABLE) != 0)
        flags |= CURL_CSELECT_IN;
    if ((events & UV_WRITABLE) != 0)
        flags |= CURL_CSELECT_OUT;
    (void)curl_multi_socket_action(http->multi, poll->fd, flags, &n_running); /* see read_ends */
    read_ends(http);
}

static void on_poll_closed(uv_handle_t *handle)
{
    struct poll *poll = container_of((uv_poll_t *)(void *)handle, struct poll, handle);
    struct http *http = poll->http;

    free(poll);
    release(http);
}

static void on_timer(uv_timer_t *timer)
{
    struct http *http = container_of(timer, struct http, timer);
    int n_running;

    (void)curl_multi_socket_action(http->multi, CURL_SOCKET_TIMEOUT, 0, &n_running);
    read_ends(http);
}

static void on_timer_closed(uv_handle_t *handle)
{
    release(container_of((uv_timer_t *)(void *)handle, struct http, timer));
}

static int set_timer(CURLM *multi, long timeout_ms, void *ctx)
{
    struct http *http = ctx;

    (void)multi;
    if (uv_is_closing((uv_handle_t *)&http->timer))
        return 0;
    if (timeout_ms < 0) {
        (void)uv_timer_stop(&http->timer);
        return 0;
    }
    uv_update_time(http->loop); /* after a long commit the loop's idea of now is old */
    (void)uv_timer_start(&http->timer, on_timer, (uint64_t)timeout_ms,
                         0); /* callback is not NULL */
    return 0;
}

static int set_socket(CURL *easy, curl_socket_t fd, int what, void *ctx, void *socket_ctx)
{
    struct http *http = ctx;
    struct poll *poll = socket_ctx;
    int events = 0, r;

    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        if (poll != NULL) {
            (void)uv_poll_stop(&poll->handle);
            uv_close((uv_handle_t *)&poll->handle, on_poll_closed);
            (void)curl_multi_assign(http->multi, fd, NULL);
        }
        return 0;
    }
    if (poll == NULL) {
        poll = calloc(1, sizeof(*poll));
        /* A socket that cannot be watched makes its call time out. An error returned from here
         * would instead end every call of this multi, for good. */
        if (poll == NULL) {
            log_error("watch a connection: out of memory");
            return 0;
        }
        poll->http = http;
        poll->fd = fd;
        r = uv_poll_init_socket(http->loop, &poll->handle, fd);
        if (r < 0) {
            log_error("watch a connection: %s", uv_strerror(r));
            free(poll);
            return 0;
        }
        http->n_open_handles++;
        (void)curl_multi_assign(http->multi, fd, poll);
    }
    if ((what & CURL_POLL_IN) != 0)
        events |= UV_READABLE;
    if ((what & CURL_POLL_OUT) != 0)
        events |= UV_WRITABLE;
    r = uv_poll_start(&poll->handle, events, on_poll);
    if (r < 0)
        log_error("watch a connection: %s", uv_strerror(r));
    return 0;
}

static int copy_option(const char *value, char **ret)
{
    if (value == NULL)
        return 0;
    *ret = strdup(value);
    return *ret != NULL ? 0 : ERR_NOMEM;
}

/* ---- libcurl's memory ---- */

/* Where it lacks memory in the middle of its work it leaves requests behind for which it sets no
 * timer, or divides by the size of a table that it has just destroyed (7.88). */
static void *checked(void *p)
{
    if (p == NULL) {
        log_error("out of memory in libcurl: this program ends and has to be started again");
        _exit(HTTP_EXIT_NO_MEMORY);
    }
    return p;
}

static void *take(size_t n)
{
    return checked(malloc(n > 0 ? n : 1));
}

static void *take_zeroed(size_t n, size_t size)
{
    return checked(calloc(n > 0 ? n : 1, size > 0 ? size : 1));
}

static void *take_more(void *p, size_t n)
{
    return checked(realloc(p, n > 0 ? n : 1));
}

static char *take_copy(const char *s)
{
    return checked(strdup(s));
}

static int start_libcurl(struct err *err)
{
    const curl_version_info_data *info;

    /* The first call decides for the process. */
    if (curl_global_init_mem(CURL_GLOBAL_DEFAULT, take, free, take_more, take_copy, take_zeroed) !=
        CURLE_OK)
        return err_set(err, ERR_NOMEM, "start libcurl: out of memory");
    info = curl_version_info(CURLVERSION_NOW);
    if ((info->features & CURL_VERSION_ASYNCHDNS) == 0)
        return err_set(err, ERR_UNSUPPORTED,
                       "libcurl %s resolves names synchronously, which would stop the agent; a "
                       "build with the threaded resolver or c-ares is needed",
                       info->version);
    if ((info->features & CURL_VERSION_SSL) == 0)
        return err_set(err, ERR_UNSUPPORTED, "libcurl %s was built without TLS", info->version);
    return 0;
}

int http_new(uv_loop_t *loop, const struct http_options *options, struct http **ret_http,
             struct err *err)
{
    char agent[sizeof("ssmd/") + VERSION_SIZE];
    static const struct http_options defaults;
    struct http *http;
    int r = start_libcurl(err);

    if (r < 0)
        return r;
    http = calloc(1, sizeof(*http));
    if (http == NULL)
        return err_set(err, ERR_NOMEM, "start HTTP: out of memory");
    if (options == NULL)
        options = &defaults;
    http->loop = loop;
    http->env = options->env != NULL ? *options->env : (struct env_source){0};
    http->connect_timeout_ms =
        options->connect_timeout_ms > 0 ? options->connect_timeout_ms : 10000;
    http->trace = options->trace;
    http->trace_ctx = options->trace_ctx;
    (void)uv_timer_init(loop, &http->timer); /* cannot fail */
    http->n_open_handles = 1;
    http->multi = curl_multi_init();
    r = proxy_settings_read(&http->env, &http->proxies, err);
    if (r < 0) {
        http_close(http);
        return r;
    }
    (void)snprintf(agent, sizeof(agent), "ssmd/%s", ssmd_version);
    if (http->multi == NULL || copy_option(options->ca_file, &http->ca_file) < 0 ||
        copy_option(options->ca_path, &http->ca_path) < 0 ||
        copy_option(options->user_agent != NULL ? options->user_agent : agent, &http->user_agent) <
            0) {
        http_close(http);
        return err_set(err, ERR_NOMEM, "start HTTP: out of memory");
    }
    (void)curl_multi_setopt(http->multi, CURLMOPT_SOCKETFUNCTION, set_socket);
    (void)curl_multi_setopt(http->multi, CURLMOPT_SOCKETDATA, http);
    (void)curl_multi_setopt(http->multi, CURLMOPT_TIMERFUNCTION, set_timer);
    (void)curl_multi_setopt(http->multi, CURLMOPT_TIMERDATA, http);
    (void)curl_multi_setopt(http->multi, CURLMOPT_MAXCONNECTS, MAX_IDLE_CONNECTIONS);
    *ret_http = http;
    return 0;
}

void http_close(struct http *http)
{
    if (http == NULL || uv_is_closing((uv_handle_t *)&http->timer))
        return;
    while (http->calls != NULL)
        http_cancel(http->calls);
    while (http->n_pooled > 0)
        curl_easy_cleanup(http->pool[--http->n_pooled]);
    if (http->multi != NULL)
        (void)curl_multi_cleanup(http->multi); /* closes idle connections: stops their polls */
    http->multi = NULL;
    uv_close((uv_handle_t *)&http->timer, on_timer_closed);
}

static int begin(struct http *http, const struct http_request *request, bool is_connection,
                 http_done_fn done, void *ctx, struct http_call **ret_call, struct err *err)
{
    struct http_call *call;
    CURLMcode code;
    int r;

    if (http->multi == NULL)
        return err_set(err, ERR_STATE, "start a request: HTTP is closed");
    r = http_call_new(http, request, is_connection, done, ctx, &call, err);
    if (r < 0)
        return r;
    code = curl_multi_add_handle(http->multi, call->easy);
    if (code != CURLM_OK) {
        http_call_free(call);
        return err_set(err, ERR_NOMEM, "start a request: %s", curl_multi_strerror(code));
    }
    call->next = http->calls;
    if (call->next != NULL)
        call->next->prev = call;
    http->calls = call;
    http->n_calls++;
    if (ret_call != NULL)
        *ret_call = call;
    return 0;
}

int http_start(struct http *http, const struct http_request *request, http_done_fn done, void *ctx,
               struct http_call **ret_call, struct err *err)
{
    return begin(http, request, false, done, ctx, ret_call, err);
}

int http_connect(struct http *http, const char *url, int64_t timeout_ms, http_done_fn done,
                 void *ctx, struct http_call **ret_call, struct err *err)
{
    const struct http_request request = {.method = "GET", .url = url, .timeout_ms = timeout_ms};

    return begin(http, &request, true, done, ctx, ret_call, err);
}

void http_cancel(struct http_call *call)
{
    struct http *http;

    if (call == NULL)
        return;
    http = call->http;
    (void)curl_multi_remove_handle(http->multi, call->easy);
    if (call->next != NULL)
        call->next->prev = call->prev;
    if (call->prev != NULL)
        call->prev->next = call->next;
    else
        http->calls = call->next;
    http->n_calls--;
    http_call_free(call);
}

size_t http_calls_under_way(const struct http *http)
{
    return http->n_calls;
}
