/* `ssmctl release verify`, which sees a directory as an agent would, and `release show`. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/str.h"
#include "ctl/jsonw.h"
#include "ctl/release.h"
#include "ctl/text.h"
#include "update/choose.h"
#include "update/trust.h"

#define CHUNK_BYTES 65536

/* ---- verify ---- */

struct report {
    struct ctl *c;
    struct jsonw w;
    bool has_failed;
};

static void say(struct report *rep, bool is_good, const char *what, const char *text)
{
    rep->has_failed = rep->has_failed || !is_good;
    if (rep->c->is_json) {
        jsonw_open_object(&rep->w, NULL);
        jsonw_str(&rep->w, "what", what);
        jsonw_bool(&rep->w, "good", is_good);
        jsonw_str(&rep->w, "text", text);
        jsonw_close_object(&rep->w);
        return;
    }
    (void)fputs(is_good ? "good  " : "BAD   ", rep->c->out);
    text_put(rep->c->out, what);
    (void)fputs(": ", rep->c->out);
    text_put(rep->c->out, text);
    (void)fputc('\n', rep->c->out);
}

/* Failures of the files are the verdict; only those of this machine are errors of the verb. */
static int check_metadata(struct report *rep, int dirfd, const char *root_file, int64_t now_unix_ms,
                          struct trust **ret_trust, struct err *err)
{
    AUTO(trust_free) struct trust *t = NULL;
    AUTO(buf_done) struct buf bytes = {0};
    struct trust_wanted wanted;
    int r = trust_open(root_file, -1, now_unix_ms, &t, err);

    while (r == 0 && trust_wanted(t, &wanted)) {
        buf_done(&bytes);
        buf_init(&bytes, wanted.max_bytes);
        r = fs_read_file(dirfd, wanted.name, &bytes, err);
        if (r == 0) {
            r = trust_take(t, buf_str(&bytes), bytes.len, err);
            if (r == 0)
                say(rep, true, wanted.name, "believed");
        } else if (r == ERR_NOT_FOUND) {
            r = trust_take_none(t, err);
        }
    }
    if (r == 0) {
        *ret_trust = TAKE(t);
        return 0;
    }
    if (r == ERR_IO || r == ERR_NOMEM)
        return r;
    say(rep, false, t != NULL ? "metadata" : "root", err->text);
    return 0;
}

static int check_package(struct report *rep, int dirfd, const char *file,
                         const struct release_version *v, struct err *err)
{
    char path[PATH_MAX], chunk[CHUNK_BYTES], hex[SHA256_HEX_SIZE];
    AUTO(close_fd) int fd = -1;
    struct sha256 hash;
    int64_t length = 0;
    ssize_t n;

    (void)snprintf(path, sizeof(path), "%s/%s/%s", CHOOSE_PACKAGE, v->version, file);
    if (v->sha256[0] == '\0' || v->length_bytes == 0) {
        say(rep, false, path, "Checksum or Length is missing: no agent installs it");
        return 0;
    }
    fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        say(rep, false, path, strerror(errno));
        return 0;
    }
    sha256_init(&hash);
    while ((n = read(fd, chunk, sizeof(chunk))) > 0) {
        sha256_add(&hash, chunk, (size_t)n);
        length += n;
    }
    if (n < 0)
        return err_sys(err, ERR_IO, errno, "%s: cannot be read", path);
    sha256_end_hex(&hash, hex);
    if (length != v->length_bytes)
        say(rep, false, path, "its length is not that of the manifest");
    else
        say(rep, str_eq(hex, v->sha256), path,
            str_eq(hex, v->sha256) ? "as the manifest says"
                                   : "its SHA-256 is not that of the manifest");
    return 0;
}

static int check_packages(struct report *rep, int dirfd, const struct release_manifest *m,
                          struct err *err)
{
    size_t i, j, k;
    int r = 0;

    if (!str_eq(m->uri_format, RELEASE_DEFAULT_URI_FORMAT)) {
        say(rep, true, "packages", "elsewhere (UriFormat): not looked at");
        return 0;
    }
    for (i = 0; i < m->n_packages; i++)
        for (j = 0; j < m->packages[i].n_files; j++)
            for (k = 0; r == 0 && k < m->packages[i].files[j].n_versions; k++) {
                const struct release_file *f = &m->packages[i].files[j];

                if (f->versions[k].status == RELEASE_ACTIVE)
                    r = check_package(rep, dirfd, f->name, &f->versions[k], err);
            }
    return r;
}

int ctl_run_release_verify(struct ctl *c, struct err *err)
{
    struct report rep = {.c = c};
    AUTO(trust_free) struct trust *t = NULL;
    AUTO(close_fd) int dirfd = open(c->args[0], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const char *root_file = ctl_value(c, "trust", NULL), *at = ctl_value(c, "at", NULL);
    int64_t now_unix_ms = clock_wall_ms();
    char first_root[PATH_MAX];
    int r;

    if (dirfd < 0)
        return err_sys(err, ERR_IO, errno, "%s: not a directory that can be opened", c->args[0]);
    if (at != NULL && clock_parse_iso(at, &now_unix_ms) < 0)
        return err_set(err, ERR_USAGE, "--at %s: it must be a time such as 2026-01-31T12:00:00Z",
                       at);
    if (root_file == NULL) {
        if (snprintf(first_root, sizeof(first_root), "%s/1.root.json", c->args[0]) >=
            (int)sizeof(first_root))
            return err_set(err, ERR_LIMIT, "%.100s...: the name is too long", c->args[0]);
        root_file = first_root;
    }
    if (c->is_json) {
        ctl_begin_json(c, &rep.w);
        jsonw_open_object(&rep.w, NULL);
        jsonw_open_list(&rep.w, "findings");
    }
    r = check_metadata(&rep, dirfd, root_file, now_unix_ms, &t, err);
    if (r == 0 && t != NULL)
        r = check_packages(&rep, dirfd, trust_manifest(t), err);
    if (r == 0 && c->is_json) {
        jsonw_close_list(&rep.w);
        jsonw_bool(&rep.w, "good", !rep.has_failed);
        jsonw_close_object(&rep.w);
        r = jsonw_end(&rep.w, err);
    }
    if (r < 0)
        return r;
    return rep.has_failed ? CTL_NO : CTL_OK;
}

/* ---- show ---- */

static void date_of(int64_t unix_ms, char ret_text[ISO_MS_SIZE])
{
    clock_format_iso_ms(unix_ms, ret_text);
}

static void print_root(struct ctl *c, const struct release_root *root)
{
    char expires[ISO_MS_SIZE];
    unsigned role;
    size_t i;

    date_of(root->expires_unix_ms, expires);
    (void)fprintf(c->out, "root %" PRId64 ", expires %s\n", root->version, expires);
    for (role = 0; role < RELEASE_N_ROLES; role++) {
        const struct release_role_keys *keys = &root->roles[role];

        (void)fprintf(c->out, "  %-9s %" PRId64 " of %zu keys:\n", release_role_names[role],
                      keys->threshold, keys->n_keys);
        for (i = 0; i < keys->n_keys; i++)
            (void)fprintf(c->out, "    %s\n", root->keys[keys->keys[i]].id);
    }
}

static int print_versions(struct ctl *c, const struct release_file *f, struct err *err)
{
    AUTO(table_done) struct table t = {0};
    size_t i;

    table_init(&t, 7, 0);
    table_cell(&t, "VERSION");
    table_cell(&t, "STATUS");
    table_cell(&t, "ROLLOUT");
    table_cell(&t, "FROM");
    table_cell(&t, "NOT BEFORE");
    table_cell(&t, "LENGTH");
    table_cell(&t, "SHA-256");
    for (i = 0; i < f->n_versions; i++) {
        const struct release_version *v = &f->versions[i];
        char when[ISO_MS_SIZE] = "";

        if (v->not_before_unix_ms != 0)
            date_of(v->not_before_unix_ms, when);
        table_cell(&t, "%s", v->version);
        table_cell(&t, "%s", release_status_name(v->status));
        table_cell(&t, "%" PRId64 " %%", v->rollout_percent);
        table_cell(&t, "%s", v->minimum_source);
        table_cell(&t, "%s", when);
        table_cell(&t, "%" PRId64, v->length_bytes);
        table_cell(&t, "%.16s", v->sha256);
    }
    return table_print(&t, 2, c->out, err);
}

static int print_manifest(struct ctl *c, const struct release_manifest *m, bool is_draft,
                          struct err *err)
{
    char expires[ISO_MS_SIZE];
    size_t i, j;
    int r = 0;

    date_of(m->expires_unix_ms, expires);
    (void)fprintf(c->out, "manifest %" PRId64 "%s, expires %s\n  UriFormat ", m->version,
                  is_draft ? " (draft)" : "", expires);
    text_put(c->out, m->uri_format);
    if (m->rollback_floor[0] != '\0')
        (void)fprintf(c->out, "\n  nothing below %s", m->rollback_floor);
    (void)fputc('\n', c->out);
    for (i = 0; i < m->n_packages; i++)
        for (j = 0; r == 0 && j < m->packages[i].n_files; j++) {
            (void)fprintf(c->out, "%s\n", m->packages[i].files[j].name);
            r = print_versions(c, &m->packages[i].files[j], err);
        }
    return r;
}

static void write_versions(struct jsonw *w, const struct release_file *f)
{
    size_t i;

    jsonw_open_list(w, "versions");
    for (i = 0; i < f->n_versions; i++) {
        const struct release_version *v = &f->versions[i];

        jsonw_open_object(w, NULL);
        jsonw_str(w, "version", v->version);
        jsonw_str(w, "status", release_status_name(v->status));
        jsonw_i64(w, "rollout_percent", v->rollout_percent);
        jsonw_str(w, "minimum_source", v->minimum_source[0] != '\0' ? v->minimum_source : NULL);
        jsonw_time(w, "not_before", v->not_before_unix_ms);
        jsonw_i64(w, "length", v->length_bytes);
        jsonw_i64(w, "unpacked_length", v->unpacked_bytes);
        jsonw_str(w, "sha256", v->sha256);
        jsonw_close_object(w);
    }
    jsonw_close_list(w);
}

static void write_manifest(struct jsonw *w, const struct release_manifest *m, bool is_draft)
{
    size_t i, j;

    jsonw_open_object(w, "manifest");
    jsonw_i64(w, "version", m->version);
    jsonw_bool(w, "draft", is_draft);
    jsonw_time(w, "expires", m->expires_unix_ms);
    jsonw_str(w, "uri_format", m->uri_format);
    jsonw_str(w, "rollback_floor", m->rollback_floor[0] != '\0' ? m->rollback_floor : NULL);
    jsonw_open_list(w, "files");
    for (i = 0; i < m->n_packages; i++)
        for (j = 0; j < m->packages[i].n_files; j++) {
            jsonw_open_object(w, NULL);
            jsonw_str(w, "package", m->packages[i].name);
            jsonw_str(w, "file", m->packages[i].files[j].name);
            write_versions(w, &m->packages[i].files[j]);
            jsonw_close_object(w);
        }
    jsonw_close_list(w);
    jsonw_close_object(w);
}

static void write_root(struct jsonw *w, const struct release_root *root)
{
    unsigned role;
    size_t i;

    jsonw_open_object(w, "root");
    jsonw_i64(w, "version", root->version);
    jsonw_time(w, "expires", root->expires_unix_ms);
    for (role = 0; role < RELEASE_N_ROLES; role++) {
        const struct release_role_keys *keys = &root->roles[role];

        jsonw_open_object(w, release_role_names[role]);
        jsonw_i64(w, "threshold", keys->threshold);
        jsonw_open_list(w, "keyids");
        for (i = 0; i < keys->n_keys; i++)
            jsonw_str(w, NULL, root->keys[keys->keys[i]].id);
        jsonw_close_list(w);
        jsonw_close_object(w);
    }
    jsonw_close_object(w);
}

static int read_timestamp(const struct release_dir *d, struct release_timestamp *ret,
                          bool *ret_is_there, struct err *err)
{
    AUTO(release_envelope_done) struct release_envelope e = {.role = RELEASE_TIMESTAMP};
    int r = release_read(d, RELEASE_TIMESTAMP_FILE, RELEASE_TIMESTAMP, &e, err);

    *ret_is_there = r == 0;
    if (r == ERR_NOT_FOUND)
        return 0;
    return r < 0 ? r : release_timestamp_parse(e.payload, e.n_payload, ret, err);
}

int ctl_run_release_show(struct ctl *c, struct err *err)
{
    AUTO(release_dir_done) struct release_dir d = {.fd = -1};
    AUTO(release_envelope_done) struct release_envelope e = {.role = RELEASE_RELEASE};
    AUTO(release_manifest_done) struct release_manifest m = {.version = 0};
    struct release_timestamp t;
    bool is_draft, has_timestamp;
    char expires[ISO_MS_SIZE];
    struct jsonw w;
    int r, r_manifest;

    if ((r = release_dir_open(c->args[0], false, &d, err)) < 0 ||
        (r = release_want_root(&d, err)) < 0 ||
        (r = read_timestamp(&d, &t, &has_timestamp, err)) < 0)
        return r;
    r_manifest = release_read_manifest(&d, &e, &m, &is_draft, err);
    if (r_manifest < 0 && r_manifest != ERR_NOT_FOUND)
        return r_manifest;
    if (c->is_json) {
        ctl_begin_json(c, &w);
        jsonw_open_object(&w, NULL);
        write_root(&w, &d.root);
        if (has_timestamp) {
            jsonw_open_object(&w, "timestamp");
            jsonw_i64(&w, "version", t.version);
            jsonw_time(&w, "expires", t.expires_unix_ms);
            jsonw_i64(&w, "manifest_version", t.manifest_version);
            jsonw_close_object(&w);
        }
        if (r_manifest == 0)
            write_manifest(&w, &m, is_draft);
        jsonw_close_object(&w);
        return jsonw_end(&w, err);
    }
    print_root(c, &d.root);
    if (has_timestamp) {
        date_of(t.expires_unix_ms, expires);
        (void)fprintf(c->out, "timestamp %" PRId64 " of manifest %" PRId64 ", expires %s\n",
                      t.version, t.manifest_version, expires);
    }
    return r_manifest == 0 ? print_manifest(c, &m, is_draft, err) : CTL_OK;
}
