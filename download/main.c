/* ssmd-download: reads its request, fetches, and says what became of it on stdout or stderr, which
 * are the step's. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "base/str.h"
#include "base/version.h"
#include "download/askpass.h"
#include "download/download.h"

#define EXIT_OK 0
#define EXIT_NO 1
#define EXIT_USAGE 100

/* Next to the request, which ssmd wrote into the step's directory. */
static int set_work_dir(struct download *d, const char *path, struct err *err)
{
    char *slash;

    if (!str_copy(d->work_dir, sizeof(d->work_dir), path))
        return err_set(err, ERR_LIMIT, "request: the path is too long");
    slash = strrchr(d->work_dir, '/');
    if (slash == NULL)
        return err_set(err, ERR_USAGE, "request: not a whole path");
    *slash = '\0';
    return 0;
}

static int read_request(struct download *d, const char *path, struct err *err)
{
    AUTO(buf_done) struct buf text = {0};
    int r;

    buf_init(&text, DOWNLOAD_MAX_REQUEST_BYTES);
    r = fs_read_file(AT_FDCWD, path, &text, err);
    if (r == 0)
        r = download_request_parse(buf_str(&text), text.len, &d->request, err);
    if (r == 0)
        r = download_inputs_parse(d->request.inputs, &d->in, err);
    return r;
}

/* A part ".." of a relative destination would leave the command's own directory; who wants to write
 * elsewhere gives an absolute one. */
static bool leaves(const char *path)
{
    for (; *path != '\0'; path += path[0] == '/' ? 1 : 0) {
        size_t n = strcspn(path, "/");

        if (n == 2 && path[0] == '.' && path[1] == '.')
            return true;
        path += n;
    }
    return false;
}

static int set_destination(struct download *d, struct err *err)
{
    const char *wanted = d->in.destination;
    bool is_absolute = wanted[0] == '/';

    if (!is_absolute && leaves(wanted))
        return err_set(
            err, ERR_INVALID,
            "destinationPath \"%.200s\" leaves the command's downloads; give an absolute "
            "path",
            wanted);
    if (snprintf(d->dest, sizeof(d->dest), "%s%s%s", is_absolute ? "" : d->request.downloads,
                 is_absolute ? "" : "/", wanted) >= (int)sizeof(d->dest))
        return err_set(err, ERR_LIMIT, "destinationPath: the path is too long");
    return 0;
}

static int fetch_all(struct download *d, struct err *err)
{
    switch (d->in.source) {
    case DOWNLOAD_GITHUB:
        return source_github(d, err);
    case DOWNLOAD_GIT:
        return source_git(d, err);
    case DOWNLOAD_HTTP:
        return source_http(d, err);
    case DOWNLOAD_S3:
        return source_s3(d, err);
    case DOWNLOAD_DOCUMENT:
    default:
        return source_document(d, err);
    }
}

static void on_stop(uv_signal_t *handle, int number)
{
    struct download *d = handle->data;

    (void)number;
    d->is_stopped = true;
}

static int work(struct download *d, const char *path, struct err *err)
{
    struct http_options ho = {.user_agent = NULL};
    int r = read_request(d, path, err);

    if (r == 0)
        r = set_work_dir(d, path, err);
    if (r == 0)
        r = set_destination(d, err);
    if (r < 0)
        return r;
    if (d->request.ca_file[0] != '\0')
        ho.ca_file = d->request.ca_file;
    if (d->request.user_agent[0] != '\0')
        ho.user_agent = d->request.user_agent;
    r = http_new(d->loop, &ho, &d->http, err);
    if (r < 0)
        return r;
    r = fetch_all(d, err);
    http_close(d->http);
    return r;
}

static int run(const char *path)
{
    uv_loop_t loop;
    uv_signal_t term;
    struct download d = {.loop = &loop};
    struct err err = {0};
    int r = uv_loop_init(&loop);

    (void)signal(SIGPIPE, SIG_IGN);
    if (r < 0) {
        (void)fprintf(stderr, "event loop: %s", uv_strerror(r));
        return EXIT_NO;
    }
    (void)uv_signal_init(&loop, &term); /* cannot fail on a fresh loop */
    term.data = &d;
    (void)uv_signal_start(&term, on_stop, SIGTERM);
    uv_unref((uv_handle_t *)&term);
    r = work(&d, path, &err);
    uv_close((uv_handle_t *)&term, NULL);
    (void)uv_run(&loop, UV_RUN_DEFAULT); /* what closes, closes */
    (void)uv_loop_close(&loop);
    if (r < 0)
        (void)fputs(err.text, stderr);
    else
        (void)printf("Content downloaded to %s", d.dest);
    download_inputs_done(&d.in);
    download_request_done(&d.request);
    return r < 0 ? EXIT_NO : EXIT_OK;
}

int main(int argc, char **argv)
{
    const char *descriptor = getenv(ASKPASS_VARIABLE);

    if (descriptor != NULL)
        return askpass(descriptor, argc > 1 ? argv[1] : "");
    if (argc == 2 && str_eq(argv[1], "--version")) {
        (void)printf("ssmd-download %s\n", ssmd_version);
        return EXIT_OK;
    }
    if (argc != 2 || argv[1][0] == '-') {
        (void)fputs("usage: ssmd-download REQUEST\n"
                    "\n"
                    "Started by ssmd for a step of the plugin aws:downloadContent.\n",
                    stderr);
        return EXIT_USAGE;
    }
    return run(argv[1]);
}
