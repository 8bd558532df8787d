/* sourceType GitHub (spec 04, section 8.8): a file, or a directory with all below it. */
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "download/download.h"
#include "schema/github.h"
#include "transport/s3_address.h"

#define MAX_DEPTH 32
#define MAX_FILES 10000u
#define DEFAULT_REF "master" /* as users of the reference know it, whatever the repository's is */

struct walk {
    struct download *d;
    struct secret token;
    size_t n_files;
};

static int call(struct walk *w, const char *path, struct github_answer *ret_answer, struct err *err)
{
    const struct download_inputs *in = &w->d->in;
    const char *ref = in->commit[0] != '\0'   ? in->commit
                      : in->branch[0] != '\0' ? in->branch
                                              : DEFAULT_REF;
    AUTO(buf_done) struct buf url = {0};
    struct buf bearer = {0};
    struct header headers[3] = {{"Accept", "application/vnd.github.v3+json"},
                                {"X-GitHub-Api-Version", "2022-11-28"}};
    struct fetch f = {
        .headers = headers, .n_headers = 2, .max_response_bytes = GITHUB_MAX_ANSWER_BYTES};
    char why[300];
    int r;

    buf_init(&url, 16384);
    buf_init(&bearer, 65536);
    (void)buf_printf(&url, "%s/repos/", w->d->request.github_endpoint);
    s3_encode(&url, in->owner, false);
    (void)buf_add_char(&url, '/');
    s3_encode(&url, in->repository, false);
    (void)buf_add_str(&url, "/contents/");
    s3_encode(&url, path, true);
    (void)buf_add_str(&url, "?ref=");
    s3_encode(&url, ref, false);
    if (secret_is_set(&w->token)) {
        (void)buf_printf(&bearer, "Bearer %s", secret_reveal(&w->token));
        headers[f.n_headers++] = (struct header){"Authorization", buf_str(&bearer)};
    }
    r = buf_error(&url, "GitHub's URL", err);
    f.url = buf_str(&url);
    if (r == 0) {
        r = fetch_get(w->d, &f, err);
        if (r == 0 && f.status != 200) {
            github_error_text(buf_str(&f.body), f.body.len, why, sizeof(why));
            r = err_set(err, ERR_REFUSED, "GitHub answered with status %ld%s%s", f.status,
                        why[0] != '\0' ? ": " : "", why);
        }
        if (r == 0)
            r = github_answer_parse(buf_str(&f.body), f.body.len, ret_answer, err);
        buf_done(&f.body);
    }
    if (bearer.data != NULL)
        explicit_bzero(bearer.data, bearer.len);
    buf_done(&bearer);
    return r < 0 ? err_wrap(err, "%.100s/%.100s/%.200s", in->owner, in->repository, path) : 0;
}

static int refuse_kind(const struct github_entry *e, struct err *err)
{
    return err_set(err, ERR_UNSUPPORTED,
                   "GitHub: %.200s is neither a file nor a directory but \"%.40s\"; sourceType Git "
                   "can fetch it",
                   e->path, e->type);
}

/* `below` is where the directory's contents go, below the destination; "" for the first one. */
static int get_directory(struct walk *w, const struct github_answer *a, const char *below,
                         int depth, struct err *err);

static int get_entry(struct walk *w, const struct github_entry *e, const char *below, int depth,
                     struct err *err)
{
    AUTO(github_answer_done) struct github_answer a = {.root = NULL};
    char path[PATH_MAX];
    int r;

    if (e->kind == GITHUB_OTHER)
        return refuse_kind(e, err);
    if (snprintf(path, sizeof(path), "%s%s%s", below, below[0] != '\0' ? "/" : "", e->name) >=
        (int)sizeof(path))
        return err_set(err, ERR_LIMIT, "GitHub: %.200s: the path is too long", e->path);
    if (depth > MAX_DEPTH || ++w->n_files > MAX_FILES)
        return err_set(err, ERR_LIMIT,
                       "GitHub: more than %u entries, or %d levels; use sourceType Git", MAX_FILES,
                       MAX_DEPTH);
    r = call(w, e->path, &a, err);
    if (r < 0)
        return r;
    if (a.is_directory)
        return get_directory(w, &a, path, depth + 1, err);
    if (a.file.kind != GITHUB_FILE)
        return refuse_kind(&a.file, err);
    return dest_put(w->d->dest, path, buf_str(&a.content), a.content.len, err);
}

static int get_directory(struct walk *w, const struct github_answer *a, const char *below,
                         int depth, struct err *err)
{
    size_t i;
    int r = 0;

    for (i = 0; i < a->n_entries && r == 0; i++)
        r = get_entry(w, &a->entries[i], below, depth, err);
    return r;
}

int source_github(struct download *d, struct err *err)
{
    AUTO(github_answer_done) struct github_answer a = {.root = NULL};
    struct walk w = {.d = d};
    int r = d->in.token[0] != '\0' ? ask_value(d, d->in.token, &w.token, err) : 0;

    if (r == 0)
        r = call(&w, d->in.path, &a, err);
    if (r == 0 && a.is_directory)
        r = get_directory(&w, &a, "", 1, err);
    else if (r == 0 && a.file.kind != GITHUB_FILE)
        r = refuse_kind(&a.file, err);
    else if (r == 0)
        r = dest_put(d->dest, dest_is_directory(d->dest) ? a.file.name : NULL, buf_str(&a.content),
                     a.content.len, err);
    secret_done(&w.token);
    return r;
}
