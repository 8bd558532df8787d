/* One file from the update source: by HTTP on the event loop, or from this machine's own files. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/backoff.h"
#include "base/ids.h"
#include "base/str.h"
#include "update/stager_internal.h"

#define N_TRIES 3 /* of one phase; ssmd does the phase again */
#define BACKOFF_FIRST_MS 500
#define BACKOFF_CAP_MS 8000
#define MAX_REDIRECTS 5
#define CHUNK_BYTES 65536
#define FILE_SCHEME "file://"

struct call {
    uv_loop_t *loop;
    const struct stager_sink *sink;
    bool is_done;
    long status;
    int64_t retry_after_ms;
    struct err err;      /* of the transfer */
    struct err sink_err; /* code 0: the sink took all of it */
};

static int take(void *ctx, const void *bytes, size_t n, struct err *err)
{
    struct call *c = ctx;
    int r = c->sink->take(c->sink->ctx, bytes, n, &c->sink_err);

    if (r < 0)
        *err = c->sink_err;
    return r;
}

static void on_done(void *ctx, const struct http_response *response)
{
    struct call *c = ctx;

    c->is_done = true;
    c->status = response->status;
    c->retry_after_ms = http_retry_after_ms(response);
    if (response->err != NULL)
        c->err = *response->err;
    uv_stop(
        c->loop); /* it may be a timer's turn, behind which the loop would wait for another event */
}

static int too_late(const struct stager *s, struct err *err)
{
    int64_t limit_ms = s->q->limit_ms > 0 ? s->q->limit_ms : STAGER_LIMIT_MS;

    return err_set(err, ERR_TIMEOUT, "not done within %lld seconds", (long long)(limit_ms / 1000));
}

static void on_pause(uv_timer_t *timer)
{
    *(bool *)timer->data = true;
    uv_stop(timer->loop);
}

int stager_wait(struct stager *s, int64_t ms, struct err *err)
{
    bool is_over = false;

    s->pause.data = &is_over;
    (void)uv_timer_start(&s->pause, on_pause, (uint64_t)ms, 0); /* cannot fail: it has a callback */
    while (!is_over && !s->is_late)
        (void)uv_run(&s->loop, UV_RUN_ONCE);
    (void)uv_timer_stop(&s->pause);
    return is_over ? 0 : too_late(s, err);
}

static int need_http(struct stager *s, struct err *err)
{
    const struct http_options options = {
        .ca_file = s->q->ca_file[0] != '\0' ? s->q->ca_file : NULL,
        .user_agent = s->q->user_agent[0] != '\0' ? s->q->user_agent : NULL,
    };

    return s->http != NULL ? 0 : http_new(&s->loop, &options, &s->http, err);
}

/* Of an answer that came in whole. */
static int judge_status(long status, struct err *err)
{
    int code = status == 404 || status == 410   ? ERR_NOT_FOUND
               : status == 408                  ? ERR_TIMEOUT
               : status == 429                  ? ERR_THROTTLED
               : status >= 500 && status <= 599 ? ERR_SERVER
                                                : ERR_REFUSED;

    if (status == 200)
        return 0;
    if (status == 403) /* so does S3 answer for what is not there, to who may not list */
        return err_set(err, ERR_NOT_FOUND,
                       "the server answered with status 403: it is not there, or not for "
                       "everybody to read");
    return err_set(err, code, "the server answered with status %ld, not 200", status);
}

static int get_http(struct stager *s, const char *url, const struct stager_sink *sink,
                    int64_t *ret_retry_after_ms, struct err *err)
{
    struct call c = {.loop = &s->loop, .sink = sink, .retry_after_ms = -1};
    const struct http_request request = {
        .method = "GET",
        .url = url,
        .sink = take,
        .sink_ctx = &c,
        .stall_timeout_ms = s->q->stall_ms > 0 ? s->q->stall_ms : STAGER_STALL_MS,
        .max_redirects = MAX_REDIRECTS,
    };
    struct http_call *call = NULL;
    int r = need_http(s, err);

    if (r == 0)
        r = http_start(s->http, &request, on_done, &c, &call, err);
    if (r < 0)
        return r;
    while (!c.is_done && !s->is_late)
        (void)uv_run(&s->loop, UV_RUN_ONCE);
    if (!c.is_done) {
        http_cancel(call);
        return too_late(s, err);
    }
    *ret_retry_after_ms = c.retry_after_ms;
    if (c.status != 0 && (r = judge_status(c.status, err)) < 0)
        return r;
    if (c.sink_err.code != 0 || c.err.code != 0) {
        *err = c.sink_err.code != 0 ? c.sink_err : c.err;
        return err->code;
    }
    return 0;
}

static int get_file(const char *path, const struct stager_sink *sink, struct err *err)
{
    AUTO(close_fd) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    char chunk[CHUNK_BYTES];
    struct stat st;
    int r;

    if (fd < 0 || fstat(fd, &st) < 0)
        return err_sys(err, ERR_IO, errno, "open it");
    if (!S_ISREG(st.st_mode))
        return err_set(err, ERR_REFUSED, "it is not a file");
    for (;;) {
        ssize_t n = read(fd, chunk, sizeof(chunk));

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_sys(err, ERR_IO, errno, "read it");
        if (n == 0)
            return 0;
        r = sink->take(sink->ctx, chunk, (size_t)n, err);
        if (r < 0)
            return r;
    }
}

static bool may_pass(int code)
{
    return code == ERR_NETWORK || code == ERR_TIMEOUT || code == ERR_SERVER ||
           code == ERR_THROTTLED || code == ERR_PROTOCOL;
}

int stager_get(struct stager *s, const char *url, const struct stager_sink *sink, struct err *err)
{
    struct backoff backoff = {.first_ms = BACKOFF_FIRST_MS, .cap_ms = BACKOFF_CAP_MS};
    bool is_file = str_has_prefix(url, FILE_SCHEME);
    int r, i;

    for (i = 0;; i++) {
        int64_t wait_ms, retry_after_ms = -1;

        r = sink->restart(sink->ctx, err);
        if (r == 0)
            r = is_file ? get_file(url + sizeof(FILE_SCHEME) - 1, sink, err)
                        : get_http(s, url, sink, &retry_after_ms, err);
        if (r == 0 || !may_pass(r) || i == N_TRIES - 1 || s->is_late)
            break;
        wait_ms = backoff_fail_ms(&backoff, ids_random32());
        stager_say("get %s: %s; trying again", url, err->text);
        r = stager_wait(s, retry_after_ms > wait_ms ? retry_after_ms : wait_ms, err);
        if (r < 0)
            break;
    }
    return r < 0 ? err_wrap(err, "get %s", url) : 0;
}
