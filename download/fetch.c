/* One HTTP request, waited for. */
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "download/download.h"

#define MAX_REDIRECTS 10

struct call {
    struct fetch *fetch;
    bool is_done;
    struct err err;
};

int fetch_wait(struct download *d, const bool *is_done, struct err *err)
{
    while (!*is_done && !d->is_stopped)
        (void)uv_run(d->loop, UV_RUN_ONCE);
    return *is_done ? 0 : err_set(err, ERR_CANCELLED, "stopped");
}

static int take(void *ctx, const void *bytes, size_t n, struct err *err)
{
    const struct call *c = ctx;

    return dest_write(c->fetch->file, bytes, n, err);
}

static void on_done(void *ctx, const struct http_response *response)
{
    struct call *c = ctx;
    struct fetch *f = c->fetch;
    const char *authenticate = http_response_header(response, "WWW-Authenticate");

    c->is_done = true;
    f->status = response->status;
    if (response->err != NULL)
        c->err = *response->err;
    (void)buf_add(&f->body, response->body, response->len); /* of the same maximum */
    if (authenticate != NULL)
        (void)str_copy(f->authenticate, sizeof(f->authenticate), authenticate);
}

int fetch_get(struct download *d, struct fetch *f, struct err *err)
{
    struct call c = {.fetch = f};
    const struct http_request request = {.method = "GET",
                                         .url = f->url,
                                         .headers = f->headers,
                                         .n_headers = f->n_headers,
                                         .sink = f->file != NULL ? take : NULL,
                                         .sink_ctx = &c,
                                         .stall_timeout_ms = DOWNLOAD_STALL_MS,
                                         .max_response_bytes = f->max_response_bytes,
                                         .max_redirects = MAX_REDIRECTS};
    struct http_call *call = NULL;
    int r;

    buf_init(&f->body, f->max_response_bytes > 0 ? f->max_response_bytes : 1u << 20);
    f->status = 0;
    f->authenticate[0] = '\0';
    if (f->file != NULL && (r = dest_restart(f->file, err)) < 0)
        return r;
    r = http_start(d->http, &request, on_done, &c, &call, err);
    if (r == 0)
        r = fetch_wait(d, &c.is_done, err);
    if (r < 0) {
        if (!c.is_done)
            http_cancel(call);
        return r;
    }
    if (c.err.code != 0) {
        *err = c.err;
        return err->code;
    }
    return 0;
}

void fetch_describe(const char *url, char *ret_text, size_t size)
{
    const char *host = strstr(url, "://"), *at;
    size_t n;

    host = host != NULL ? host + 3 : url;
    n = strcspn(host, "/?#");
    at = memrchr(host, '@', n);
    (void)snprintf(ret_text, size, "%.*s%.*s", (int)(host - url), url, /* cut is fine */
                   (int)strcspn(at != NULL ? at + 1 : host, "?#"), at != NULL ? at + 1 : host);
}

int fetch_refused(const struct fetch *f, struct err *err)
{
    return err_set(err, ERR_REFUSED, "the server answered with status %ld, not 200", f->status);
}
