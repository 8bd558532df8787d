/* The metadata of the update source: fetched and kept, or taken from where it was kept; believed
 * only when every check of update/trust.h has passed; and what it offers to this node. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/str.h"
#include "update/stager_internal.h"

#define MANIFEST "manifest.json"
#define N_ROUNDS 3 /* through a source that is being changed meanwhile */
#define ROUND_PAUSE_MS 2000
#define CODE_URL "ErrorDownloadManifest_d1"
#define CODE_FOLDER "ErrorDownloadManifest_d2"
#define CODE_NETWORK "ErrorDownloadManifest_d3"
#define CODE_OTHER "ErrorDownloadManifest_d4"

/* ---- a small file into memory ---- */

static int take_bytes(void *ctx, const void *bytes, size_t n, struct err *err)
{
    struct buf *b = ctx;

    if (b->len + n > b->max) /* data without end: it stops here */
        return err_set(err, ERR_LIMIT, "it is larger than the %zu bytes that it may have", b->max);
    return buf_add(b, bytes, n) == 0 ? 0 : buf_error(b, "it", err);
}

static int forget_bytes(void *ctx, struct err *err)
{
    (void)err; /* cannot fail */
    buf_clear(ctx);
    return 0;
}

static int get_bytes(struct stager *s, const char *name, struct buf *ret_bytes, struct err *err)
{
    const struct stager_sink sink = {take_bytes, forget_bytes, ret_bytes};
    const char *source = s->q->source;
    size_t n = strlen(source);
    char url[sizeof(s->q->source) + sizeof("/") + sizeof(((struct trust_wanted *)NULL)->name)];

    while (n > 0 && source[n - 1] == '/')
        n--;
    (void)snprintf(url, sizeof(url), "%.*s/%s", (int)n, source, name); /* fits */
    return stager_get(s, url, &sink, err);
}

/* ---- the walk ---- */

typedef int (*read_fn)(struct stager *s, const char *name, struct buf *ret_bytes, struct err *err);

static int read_kept(struct stager *s, const char *name, struct buf *ret_bytes, struct err *err)
{
    int r = fs_read_file(s->work_fd, name, ret_bytes, err);

    return r < 0 ? err_wrap(err, "what was fetched") : 0;
}

static int read_wanted(struct stager *s, struct trust *t, const struct trust_wanted *w,
                       read_fn read_one, struct err *err)
{
    AUTO(buf_done) struct buf bytes = {0};
    int r;

    buf_init(&bytes, w->max_bytes);
    s->code = CODE_NETWORK;
    r = read_one(s, w->name, &bytes, err);
    if (r == ERR_NOT_FOUND && w->may_be_missing) {
        r = trust_take_none(t, err);
    } else if (r == 0) {
        r = trust_take(t, buf_str(&bytes), bytes.len, err);
        if (r == 0 && read_one == get_bytes && s->work_fd >= 0) {
            s->code = CODE_FOLDER;
            r = fs_write_atomic(s->work_fd, w->name, bytes.data, bytes.len, 0600, true, err);
            return r < 0 ? err_wrap(err, "keep the metadata") : 0;
        }
    } else if (r == ERR_LIMIT && str_eq(w->name, MANIFEST)) {
        r = ERR_PROTOCOL; /* longer than its timestamp says: of another one, as trust_take() has it
                           */
    } else if (r != ERR_LIMIT) { /* a mistake not of what came, but in how it came */
        return r;
    }
    if (r < 0)
        s->code = trust_wire_code(r);
    return r;
}

static int walk(struct stager *s, read_fn read_one, struct trust **ret_trust, struct err *err)
{
    AUTO(trust_free) struct trust *t = NULL;
    struct trust_wanted w;
    int r = trust_open(s->q->root_file, s->trust_fd, clock_wall_ms(), &t, err);

    if (r < 0) {
        s->code = trust_wire_code(r);
        return r;
    }
    while (trust_wanted(t, &w)) {
        r = read_wanted(s, t, &w, read_one, err);
        if (r < 0)
            return r;
    }
    *ret_trust = TAKE(t);
    return 0;
}

static int check_source(const char *source, struct err *err)
{
    const char *rest = strstr(source, "://");

    if (source[0] == '\0')
        return err_set(err, ERR_INVALID,
                       "no update source is configured; set Ssmd.UpdateSource in ssmd.json to the "
                       "URL of one");
    if (!str_has_prefix(source, "https://") && !str_has_prefix(source, "http://") &&
        !str_has_prefix(source, "file:///"))
        return err_set(err, ERR_INVALID,
                       "update source %.200s: not an https://, http:// or file:/// URL; correct "
                       "Ssmd.UpdateSource in ssmd.json",
                       source);
    rest += 3;
    if (memchr(rest, '@', strcspn(rest, "/?#")) != NULL)
        return err_set(err, ERR_INVALID,
                       "update source: a user or password in its URL would come into logs; what "
                       "is signed need not be secret, so let everybody read it");
    if (strpbrk(rest, "?#") != NULL)
        return err_set(err, ERR_INVALID,
                       "update source %.200s: it is a directory, to which names are added, so "
                       "there can be no \"?\" or \"#\"",
                       source);
    return 0;
}

/* What is kept of an earlier run, so that what is loaded is of this one alone. */
static int forget_kept(const struct stager *s, struct err *err)
{
    int fd = openat(s->work_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    struct dirent *entry;

    if (dir == NULL) {
        r = err_sys(err, ERR_IO, errno, "list %s/" STAGER_WORK, s->q->update_dir);
        close_fd_cleanup(&fd);
        return r;
    }
    while (r == 0 && (entry = readdir(dir)) != NULL) {
        if (!str_eq(entry->d_name, ".") && !str_eq(entry->d_name, "..") &&
            !str_has_prefix(entry->d_name, STAGER_PACKAGE))
            r = fs_remove_tree(s->work_fd, entry->d_name, err);
    }
    (void)closedir(dir);
    return r;
}

int stager_metadata_fetch(struct stager *s, struct trust **ret_trust, struct err *err)
{
    int r, i;

    s->code = CODE_URL;
    r = check_source(s->q->source, err);
    if (r < 0)
        return r;
    s->code = CODE_FOLDER;
    r = s->work_fd >= 0 ? forget_kept(s, err) : 0;
    if (r < 0)
        return r;
    for (i = 1;; i++) {
        r = walk(s, get_bytes, ret_trust, err);
        if (r != ERR_PROTOCOL || i == N_ROUNDS)
            return r;
        stager_say("%s; trying again", err->text);
        r = stager_wait(s, ROUND_PAUSE_MS, err);
        if (r < 0)
            return r;
    }
}

int stager_metadata_load(struct stager *s, struct trust **ret_trust, struct err *err)
{
    return walk(s, read_kept, ret_trust, err);
}

/* ---- the choice ---- */

void stager_choose(struct stager *s, const struct trust *t, struct choice *ret_choice)
{
    struct stager_answer *a = s->answer;
    const struct choose_request q = {
        .package = s->q->package,
        .asked = s->q->asked,
        .from = s->q->from,
        .node_id = s->q->node_id,
        .source = s->q->source,
        .region = s->q->region,
        .allow_downgrade = s->q->allow_downgrade,
        .now_unix_ms = clock_wall_ms(),
    };

    choose_version(trust_manifest(t), &q, ret_choice);
    a->manifest_version = trust_manifest(t)->version;
    a->root_version = trust_root(t)->version;
    (void)str_copy(a->target, sizeof(a->target), ret_choice->target); /* of the same size */
    if (ret_choice->verdict != CHOOSE_OK) {
        a->verdict = ret_choice->verdict == CHOOSE_SKIP ? STAGER_SKIP : STAGER_FAIL;
        (void)str_copy(a->code, sizeof(a->code), ret_choice->code);
        (void)str_copy(a->text, sizeof(a->text), ret_choice->text);
        return;
    }
    (void)str_copy(a->url, sizeof(a->url), ret_choice->url); /* of the same size, as the next */
    (void)str_copy(a->sha256, sizeof(a->sha256), ret_choice->version->sha256);
    a->length_bytes = ret_choice->version->length_bytes;
}

int stager_choose_again(struct stager *s, const struct trust *t, struct choice *ret_choice,
                        struct err *err)
{
    const struct stager_answer *a = s->answer;

    s->code = CODE_OTHER;
    stager_choose(s, t, ret_choice);
    if (ret_choice->verdict != CHOOSE_OK)
        return err_set(err, ERR_STATE, "what was chosen before is not offered any more: %s",
                       ret_choice->text);
    if (!str_eq(a->target, s->q->target) || !str_eq(a->sha256, s->q->sha256) ||
        a->length_bytes != s->q->length_bytes || a->manifest_version != s->q->manifest_version)
        return err_set(err, ERR_CORRUPT,
                       "the metadata kept in %.150s/" STAGER_WORK
                       " is not that of the update under way; begin the update again",
                       s->q->update_dir);
    return 0;
}
