/* `ssmctl release sign` and `release timestamp`: what makes a draft into what agents read. */
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/str.h"
#include "ctl/jsonw.h"
#include "ctl/release.h"

#define DEFAULT_TIMESTAMP_DAYS 7

/* What was done with one file. */
struct outcome {
    const char *file, *published; /* published NULL: still a draft */
    int64_t version, n_signatures, threshold;
};

static int print_outcomes(struct ctl *c, const struct outcome *outcomes, size_t n, struct err *err)
{
    struct jsonw w;
    size_t i;

    if (!c->is_json) {
        for (i = 0; i < n; i++) {
            const struct outcome *o = &outcomes[i];

            (void)fprintf(c->out, "%s: version %" PRId64 ", %" PRId64 " of %" PRId64 " signatures",
                          o->file, o->version, o->n_signatures, o->threshold);
            if (o->published != NULL)
                (void)fprintf(c->out, "; published as %s\n", o->published);
            else if (o->n_signatures < o->threshold)
                (void)fputs("; more key holders must sign it\n", c->out);
            else
                (void)fputs("; `ssmctl release timestamp` publishes it\n", c->out);
        }
        return CTL_OK;
    }
    ctl_begin_json(c, &w);
    jsonw_open_object(&w, NULL);
    jsonw_open_list(&w, "files");
    for (i = 0; i < n; i++) {
        jsonw_open_object(&w, NULL);
        jsonw_str(&w, "file", outcomes[i].file);
        jsonw_i64(&w, "version", outcomes[i].version);
        jsonw_i64(&w, "n_signatures", outcomes[i].n_signatures);
        jsonw_i64(&w, "threshold", outcomes[i].threshold);
        jsonw_str(&w, "published", outcomes[i].published);
        jsonw_close_object(&w);
    }
    jsonw_close_list(&w);
    jsonw_close_object(&w);
    return jsonw_end(&w, err);
}

/* Enough signatures? ERR_AUTH of the check is no error here, but of a signature that does not fit.
 */
static int count(const struct release_root *root, const struct release_envelope *e,
                 struct outcome *o, struct err *err)
{
    int64_t n = -1;
    int r = signing_check(root, e, &n, err);

    if (r < 0 && (r != ERR_AUTH || n < 0))
        return r;
    o->n_signatures = n;
    o->threshold = root->roles[e->role].threshold;
    return 0;
}

/* A root needs the thresholds of the root before it and of its own. */
static int sign_root(const struct ctl *c, struct release_dir *d, struct outcome *o, char *name,
                     struct err *err)
{
    AUTO(release_envelope_done) struct release_envelope e = {.role = RELEASE_ROOT};
    struct release_root root;
    const struct release_root *const roots[] = {&root, &d->root};
    struct outcome before = {.n_signatures = 0};
    int r;

    if ((r = release_read(d, RELEASE_ROOT_DRAFT, RELEASE_ROOT, &e, err)) < 0 ||
        (r = release_root_parse(e.payload, e.n_payload, &root, err)) < 0 ||
        (r = release_sign_all(c, "key", &e, roots, d->has_root ? 2 : 1, err)) < 0 ||
        (r = count(&root, &e, o, err)) < 0 ||
        (d->has_root && (r = count(&d->root, &e, &before, err)) < 0))
        return r;
    if (root.version != d->root.version + 1)
        return err_set(err, ERR_STATE,
                       "%s/%s: it is root %" PRId64 ", and root %" PRId64
                       " must follow; make it anew with `ssmctl release root`",
                       d->path, RELEASE_ROOT_DRAFT, root.version, d->root.version + 1);
    o->file = RELEASE_ROOT_DRAFT;
    o->version = root.version;
    if (before.n_signatures - before.threshold < o->n_signatures - o->threshold && d->has_root) {
        o->n_signatures = before.n_signatures; /* what is lacking most is told */
        o->threshold = before.threshold;
    }
    if (o->n_signatures < o->threshold)
        return release_write(d, RELEASE_ROOT_DRAFT, &e, err);
    release_root_name(root.version, name);
    o->published = name;
    r = release_write(d, name, &e, err);
    return r < 0 ? r : release_remove(d, RELEASE_ROOT_DRAFT, err);
}

/* Keys of a root that is not published yet may sign too, so that both generations of agents can
 * read what is signed while the root changes. *ret_n: 2 when there is such a draft, else 1. */
static int read_next_root(const struct release_dir *d, struct release_root *ret_next, size_t *ret_n,
                          struct err *err)
{
    AUTO(release_envelope_done) struct release_envelope draft = {.role = RELEASE_ROOT};
    int r = release_read(d, RELEASE_ROOT_DRAFT, RELEASE_ROOT, &draft, err);

    *ret_n = r == 0 ? 2 : 1;
    if (r == ERR_NOT_FOUND)
        return 0;
    return r < 0 ? r : release_root_parse(draft.payload, draft.n_payload, ret_next, err);
}

static int sign_manifest(const struct ctl *c, const struct release_dir *d, struct outcome *o,
                         struct err *err)
{
    AUTO(release_envelope_done) struct release_envelope e = {.role = RELEASE_RELEASE};
    AUTO(release_manifest_done) struct release_manifest m = {.version = 0};
    struct release_root next;
    const struct release_root *const roots[] = {&d->root, &next};
    size_t n_roots;
    int r;

    if ((r = release_want_root(d, err)) < 0 || (r = read_next_root(d, &next, &n_roots, err)) < 0 ||
        (r = release_read(d, RELEASE_MANIFEST_DRAFT, RELEASE_RELEASE, &e, err)) < 0 ||
        (r = release_manifest_parse(e.payload, e.n_payload, &m, err)) < 0 ||
        (r = release_sign_all(c, "key", &e, roots, n_roots, err)) < 0 ||
        (r = count(&d->root, &e, o, err)) < 0)
        return r;
    o->file = RELEASE_MANIFEST_DRAFT;
    o->version = m.version;
    return release_write(d, RELEASE_MANIFEST_DRAFT, &e, err);
}

static bool exists(const struct release_dir *d, const char *name)
{
    return faccessat(d->fd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

/* Which draft: the one that was named, else the only one there is. */
static int choose_draft(const struct ctl *c, const struct release_dir *d, bool *ret_is_root,
                        struct err *err)
{
    bool has_root = exists(d, RELEASE_ROOT_DRAFT), has_manifest = exists(d, RELEASE_MANIFEST_DRAFT);

    if (c->n_args > 1) {
        *ret_is_root = str_eq(c->args[1], "root");
        if (!*ret_is_root && !str_eq(c->args[1], "manifest"))
            return err_set(err, ERR_USAGE, "release sign DIR %s: it must be root or manifest",
                           c->args[1]);
        if (*ret_is_root ? has_root : has_manifest)
            return 0;
    } else if (has_root && has_manifest) {
        return err_set(err, ERR_USAGE,
                       "%s: there is a %s and a %s; say which: release sign DIR root, or manifest",
                       d->path, RELEASE_ROOT_DRAFT, RELEASE_MANIFEST_DRAFT);
    }
    if (!has_root && !has_manifest)
        return err_set(err, ERR_NOT_FOUND,
                       "%s: there is no draft to sign; `ssmctl release root`, `add` and `set` make "
                       "them",
                       d->path);
    if (c->n_args > 1)
        return err_set(err, ERR_NOT_FOUND, "%s: there is no draft of the %s to sign", d->path,
                       c->args[1]);
    *ret_is_root = has_root;
    return 0;
}

int ctl_run_release_sign(struct ctl *c, struct err *err)
{
    AUTO(release_dir_done) struct release_dir d = {.fd = -1};
    struct outcome o = {.file = NULL};
    char name[32];
    bool is_root = false;
    int r;

    if (!ctl_has(c, "key"))
        return err_set(err, ERR_USAGE, "release sign: --key FILE is missing");
    if ((r = release_dir_open(c->args[0], false, &d, err)) < 0 ||
        (r = choose_draft(c, &d, &is_root, err)) < 0)
        return r;
    r = is_root ? sign_root(c, &d, &o, name, err) : sign_manifest(c, &d, &o, err);
    return r < 0 ? r : print_outcomes(c, &o, 1, err);
}

/* ---- timestamp ---- */

static int next_version(const struct release_dir *d, int64_t *ret_version, struct err *err)
{
    AUTO(release_envelope_done) struct release_envelope e = {.role = RELEASE_TIMESTAMP};
    struct release_timestamp t = {.version = 0};
    int r = release_read(d, RELEASE_TIMESTAMP_FILE, RELEASE_TIMESTAMP, &e, err);

    if (r == ERR_NOT_FOUND) {
        *ret_version = 1;
        return 0;
    }
    if (r == 0)
        r = release_timestamp_parse(e.payload, e.n_payload, &t, err);
    if (r < 0)
        return r;
    *ret_version = t.version + 1;
    return 0;
}

/* Read a manifest's file and look whether enough have signed it: ERR_AUTH. */
static int read_manifest(const struct release_dir *d, const char *name, struct buf *ret_bytes,
                         struct outcome *o, struct err *err)
{
    AUTO(release_envelope_done) struct release_envelope e = {.role = RELEASE_RELEASE};
    AUTO(release_manifest_done) struct release_manifest m = {.version = 0};
    int r;

    buf_clear(ret_bytes);
    if ((r = fs_read_file(d->fd, name, ret_bytes, err)) < 0 ||
        (r = release_envelope_parse(buf_str(ret_bytes), ret_bytes->len, RELEASE_RELEASE, &e, err)) <
            0 ||
        (r = release_manifest_parse(e.payload, e.n_payload, &m, err)) < 0 ||
        (r = signing_check(&d->root, &e, &o->n_signatures, err)) < 0) {
        if (r != ERR_NOT_FOUND)
            (void)err_wrap(err, "%s/%s", d->path, name);
        return r;
    }
    o->file = name;
    o->version = m.version;
    o->threshold = d->root.roles[RELEASE_RELEASE].threshold;
    return 0;
}

/* The manifest that is to be current: the draft as soon as enough have signed it. */
static int choose_manifest(const struct release_dir *d, struct buf *ret_bytes, struct outcome *o,
                           struct err *err)
{
    struct outcome published = {.version = 0};
    struct err published_err = {0};
    AUTO(buf_done) struct buf published_bytes = {0};
    int r = read_manifest(d, RELEASE_MANIFEST_DRAFT, ret_bytes, o, err), r_published;

    if (r < 0 && r != ERR_NOT_FOUND && r != ERR_AUTH)
        return r;
    buf_init(&published_bytes, RELEASE_MANIFEST_MAX_BYTES);
    r_published =
        read_manifest(d, RELEASE_MANIFEST_FILE, &published_bytes, &published, &published_err);
    if (r == 0 && r_published == 0 && o->version <= published.version)
        return err_set(err, ERR_STATE,
                       "%s/%s: it is version %" PRId64 ", and version %" PRId64
                       " is published: it was drafted on an older copy; make it anew",
                       d->path, RELEASE_MANIFEST_DRAFT, o->version, published.version);
    if (r == 0) { /* whatever is published: it is replaced */
        o->published = RELEASE_MANIFEST_FILE;
        return 0;
    }
    if (r == ERR_AUTH && r_published == ERR_NOT_FOUND)
        return r; /* there is a draft only: what it lacks is the reason */
    if (r_published == ERR_NOT_FOUND)
        return err_set(err, ERR_NOT_FOUND,
                       "%s: there is no manifest; `ssmctl release add` makes one", d->path);
    if (r_published < 0) {
        *err = published_err;
        return r_published;
    }
    *o = published;
    buf_clear(ret_bytes);
    (void)buf_add(ret_bytes, published_bytes.data, published_bytes.len); /* buf_error() tells */
    return buf_error(ret_bytes, RELEASE_MANIFEST_FILE, err);
}

static int sign_timestamp(const struct ctl *c, const struct release_dir *d,
                          const struct release_timestamp *t, struct release_envelope *e,
                          struct outcome *o, struct err *err)
{
    AUTO(buf_done) struct buf payload = {0};
    struct release_root next;
    const struct release_root *const roots[] = {&d->root, &next};
    size_t n_roots;
    int r;

    buf_init(&payload, RELEASE_TIMESTAMP_MAX_BYTES);
    release_timestamp_write(t, &payload);
    r = buf_error(&payload, RELEASE_TIMESTAMP_FILE, err);
    if (r < 0)
        return r;
    e->n_payload = payload.len;
    e->payload = buf_take(&payload);
    if (e->payload == NULL)
        return err_set(err, ERR_NOMEM, "%s: out of memory", RELEASE_TIMESTAMP_FILE);
    if ((r = read_next_root(d, &next, &n_roots, err)) < 0 ||
        (r = release_sign_all(c, "key", e, roots, n_roots, err)) < 0 ||
        (r = signing_check(&d->root, e, &o->n_signatures, err)) < 0) {
        (void)err_wrap(err, "%s", RELEASE_TIMESTAMP_FILE);
        return r;
    }
    o->file = o->published = RELEASE_TIMESTAMP_FILE;
    o->version = t->version;
    o->threshold = d->root.roles[RELEASE_TIMESTAMP].threshold;
    return 0;
}

static int run_timestamp(struct ctl *c, struct err *err)
{
    AUTO(release_dir_done) struct release_dir d = {.fd = -1};
    AUTO(release_envelope_done) struct release_envelope e = {.role = RELEASE_TIMESTAMP};
    AUTO(buf_done) struct buf manifest = {0};
    struct release_timestamp t = {.issued_unix_ms = clock_wall_ms()};
    struct outcome outcomes[2] = {{.file = NULL}};
    bool is_draft;
    int r;

    buf_init(&manifest, RELEASE_MANIFEST_MAX_BYTES);
    if (!ctl_has(c, "key"))
        return err_set(err, ERR_USAGE, "release timestamp: --key FILE is missing");
    if ((r = release_expiry(c, DEFAULT_TIMESTAMP_DAYS, &t.expires_unix_ms, err)) < 0 ||
        (r = release_dir_open(c->args[0], false, &d, err)) < 0 ||
        (r = release_want_root(&d, err)) < 0 || (r = next_version(&d, &t.version, err)) < 0 ||
        (r = choose_manifest(&d, &manifest, &outcomes[0], err)) < 0)
        return r;
    is_draft = outcomes[0].published != NULL;
    t.manifest_version = outcomes[0].version;
    t.manifest_length_bytes = (int64_t)manifest.len;
    sha256_hex_of(buf_str(&manifest), manifest.len, t.manifest_sha256);
    /* The manifest first: a timestamp must never name what is not there. An agent that comes
     * between the two sees that they do not fit, and tries again later. */
    if ((r = sign_timestamp(c, &d, &t, &e, &outcomes[1], err)) < 0 ||
        (is_draft && (r = fs_write_atomic(d.fd, RELEASE_MANIFEST_FILE, buf_str(&manifest),
                                          manifest.len, 0644, true, err)) < 0) ||
        (r = release_write(&d, RELEASE_TIMESTAMP_FILE, &e, err)) < 0 ||
        (is_draft && (r = release_remove(&d, RELEASE_MANIFEST_DRAFT, err)) < 0))
        return r;
    return is_draft ? print_outcomes(c, outcomes, 2, err) : print_outcomes(c, outcomes + 1, 1, err);
}

int ctl_run_release_timestamp(struct ctl *c, struct err *err)
{
    int r = run_timestamp(c, err);

    if (r == ERR_AUTH) /* trying again does not sign it */
        r = err->code = ERR_REFUSED;
    return r;
}
