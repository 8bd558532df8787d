/* ssmd-download: one aws:downloadContent step (spec 04, section 8), below a runner like a script.
 *
 * What is to be fetched stands in a file that holds no secrets; credentials and values of
 * parameters are asked from ssmd when they are needed, and live in memory only. One thread; calls
 * wait for their end by running the loop. */
#ifndef SSMD_DOWNLOAD_DOWNLOAD_H
#define SSMD_DOWNLOAD_DOWNLOAD_H

#include <uv.h>

#include "base/secret.h"
#include "download/dest.h"
#include "schema/download.h"
#include "transport/http.h"

#define DOWNLOAD_STALL_MS 60000 /* nothing moved for so long: the transfer has failed */

struct download {
    uv_loop_t *loop;
    struct http *http;
    struct download_request request;
    struct download_inputs in;
    char dest[PATH_MAX];     /* as the user reads it; a slash at its end is kept */
    char work_dir[PATH_MAX]; /* the step's own directory, where nobody else may write */
    bool is_stopped;         /* by SIGTERM: everything under way ends with ERR_CANCELLED */
};

/* Each source: fetch everything to d->dest, or nothing that is not said. */
int source_http(struct download *d, struct err *err) MUST_CHECK;
int source_git(struct download *d, struct err *err) MUST_CHECK;
int source_github(struct download *d, struct err *err) MUST_CHECK;
int source_s3(struct download *d, struct err *err) MUST_CHECK;
int source_document(struct download *d, struct err *err) MUST_CHECK;

/* ---- ask.c: what only ssmd has ---- */

/* One request over its socket, and its answer, {"ok":true,...}. ssmd may be on its way down and up
 * again: tried for two minutes. The caller owns *ret_answer. ERR_x of ssmd's answer, ERR_TIMEOUT,
 * ERR_CANCELLED. */
int ask(struct download *d, const char *request, cJSON **ret_answer, struct err *err) MUST_CHECK;
/* A field's value: itself, or what the reference in it stands for. */
int ask_value(struct download *d, const char *field, struct secret *ret_value, struct err *err)
    MUST_CHECK;
/* GetDocument, into *ret_content (initialised by the caller). */
int ask_document(struct download *d, const char *name, const char *version, struct buf *ret_content,
                 struct err *err) MUST_CHECK;

/* ---- fetch.c: HTTP, waited for ---- */

struct fetch {
    const char *url;
    const struct header *headers;
    size_t n_headers;
    struct dest_file *file;    /* where a 200's body goes; NULL: into `body` */
    size_t max_response_bytes; /* 0: 1 MiB */
    /* the answer */
    long status;
    struct buf body;         /* initialised by fetch_get(); buf_done() is the caller's */
    char authenticate[4096]; /* WWW-Authenticate, "" if none */
};
/* GET with up to ten redirects. Any HTTP status is a success. ERR_CANCELLED and those of http.h. */
int fetch_get(struct download *d, struct fetch *f, struct err *err) MUST_CHECK;
/* A URL for people: without user, password and query. */
void fetch_describe(const char *url, char *ret_text, size_t size);
/* Of a fetch whose status is not 200. */
int fetch_refused(const struct fetch *f, struct err *err);
/* Run the loop until *is_done. ERR_CANCELLED when the step is stopped meanwhile. */
int fetch_wait(struct download *d, const bool *is_done, struct err *err) MUST_CHECK;

#endif
