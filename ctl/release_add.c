/* `ssmctl release add` and `release set`: the versions that a manifest offers. Both write a draft;
 * its signatures begin anew. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/str.h"
#include "ctl/jsonw.h"
#include "ctl/release.h"
#include "ctl/text.h"
#include "update/choose.h"

#define DEFAULT_DAYS 90
#define PREFIX CHOOSE_PACKAGE "-"
#define MIDDLE "-linux-"
#define SUFFIX ".tar.gz"
#define GZIP_TRAILER_BYTES 4
#define CHUNK_BYTES ((size_t)1 << 16)

/* ---- the draft ---- */

/* 0: there is none yet. */
static int published_version(const struct release_dir *d, int64_t *ret_version, struct err *err)
{
    AUTO(release_envelope_done) struct release_envelope e = {.role = RELEASE_RELEASE};
    AUTO(release_manifest_done) struct release_manifest m = {.version = 0};
    int r = release_read(d, RELEASE_MANIFEST_FILE, RELEASE_RELEASE, &e, err);

    if (r == 0)
        r = release_manifest_parse(e.payload, e.n_payload, &m, err);
    if (r < 0 && r != ERR_NOT_FOUND)
        return r;
    *ret_version = m.version;
    return 0;
}

/* What the next manifest begins as. */
static int begin_draft(const struct ctl *c, const struct release_dir *d,
                       struct release_manifest *ret_manifest, struct err *err)
{
    AUTO(release_envelope_done) struct release_envelope e = {.role = RELEASE_RELEASE};
    AUTO(release_manifest_done) struct release_manifest m = {.version = 0};
    bool is_draft = false;
    int r = release_read_manifest(d, &e, &m, &is_draft, err);

    if (r == ERR_NOT_FOUND) {
        (void)str_copy(m.uri_format, sizeof(m.uri_format), RELEASE_DEFAULT_URI_FORMAT);
        r = 0;
    }
    if (r < 0 || (r = release_expiry(c, DEFAULT_DAYS, &m.expires_unix_ms, err)) < 0 ||
        (r = published_version(d, &m.version, err)) < 0)
        return r;
    m.version++;
    m.issued_unix_ms = clock_wall_ms();
    *ret_manifest = TAKE_STRUCT(m);
    return 0;
}

static int write_draft(const struct release_dir *d, const struct release_manifest *m,
                       struct err *err)
{
    AUTO(release_envelope_done) struct release_envelope before = {.role = RELEASE_RELEASE};
    AUTO(release_manifest_done) struct release_manifest read = {.version = 0};
    AUTO(buf_done) struct buf payload = {0};
    struct release_envelope e = {.role = RELEASE_RELEASE};
    bool is_draft;
    int r;

    buf_init(&payload, RELEASE_MANIFEST_MAX_BYTES);
    release_manifest_write(m, &payload);
    r = buf_error(&payload, "manifest", err);
    if (r < 0)
        return r;
    r = release_read_manifest(d, &before, &read, &is_draft, err);
    if (r == 0)
        r = release_keep_unknown(before.payload, before.n_payload, &payload, err);
    if (r < 0 && r != ERR_NOT_FOUND) /* none: this is the first */
        return r;
    e.payload = payload.data; /* borrowed from the buffer */
    e.n_payload = payload.len;
    return release_write(d, RELEASE_MANIFEST_DRAFT, &e, err);
}

static int get_version(const struct ctl *c, const char *option, char *ret_version, struct err *err)
{
    const char *text = ctl_value(c, option, NULL);

    if (text == NULL)
        return 0;
    if (text[0] != '\0' && !version_is_valid(text))
        return err_set(err, ERR_USAGE, "--%s %s: not a version such as 1.2.3", option, text);
    (void)str_copy(ret_version, VERSION_SIZE, text); /* it fits */
    return 0;
}

static int get_status(const struct ctl *c, enum release_status *ret_status, struct err *err)
{
    const char *text = ctl_value(c, "status", NULL);
    unsigned i;

    for (i = 0; text != NULL && i < RELEASE_UNKNOWN; i++)
        if (str_eq_nocase(text, release_status_name((enum release_status)i))) {
            *ret_status = (enum release_status)i;
            text = NULL;
        }
    return text == NULL ? 0
                        : err_set(err, ERR_USAGE,
                                  "--status %s: it must be Active, Inactive or Deprecated", text);
}

/* The options that `add` and `set` share. */
static int apply_options(const struct ctl *c, struct release_version *v, struct err *err)
{
    const char *when = ctl_value(c, "not-before", NULL);
    int r;

    if ((r = get_status(c, &v->status, err)) < 0 ||
        (r = get_version(c, "minimum-source", v->minimum_source, err)) < 0 ||
        (r = ctl_value_i64(c, "rollout", 0, 100, v->rollout_percent, &v->rollout_percent, err)) < 0)
        return r;
    if (when != NULL && when[0] == '\0')
        v->not_before_unix_ms = 0;
    else if (when != NULL && clock_parse_iso(when, &v->not_before_unix_ms) < 0)
        return err_set(err, ERR_USAGE,
                       "--not-before %s: it must be a time such as 2026-01-31T12:00:00Z", when);
    return 0;
}

/* ---- the package file ---- */

/* "ssmd-linux-amd64.tar.gz", or "ssmd-1.2.3-linux-amd64.tar.gz" with the version in it. */
static int read_name(const char *path, char ret_file[RELEASE_NAME_SIZE],
                     char ret_version[VERSION_SIZE], struct err *err)
{
    const char *slash = strrchr(path, '/'), *name = slash != NULL ? slash + 1 : path;
    const char *middle = strstr(name, MIDDLE);
    char version[VERSION_SIZE] = "";

    if (!str_has_prefix(name, PREFIX) || middle == NULL || !str_has_suffix(name, SUFFIX) ||
        !str_is_safe_name(name, RELEASE_NAME_SIZE - 1))
        return err_set(err, ERR_INVALID,
                       "%s: the name of a package is " PREFIX "VERSION" MIDDLE "ARCH" SUFFIX
                       ", or without -VERSION, with --version",
                       path);
    if (middle + 1 > name + strlen(PREFIX)) {
        size_t n = (size_t)(middle - name) - strlen(PREFIX);

        if (n >= sizeof(version))
            return err_set(err, ERR_INVALID, "%s: the version in its name is too long", path);
        memcpy(version, name + strlen(PREFIX), n);
        version[n] = '\0';
        if (!version_is_valid(version))
            return err_set(err, ERR_INVALID, "%s: \"%s\" in its name is not a version", path,
                           version);
    }
    (void)snprintf(ret_file, RELEASE_NAME_SIZE, CHOOSE_PACKAGE "%s", middle); /* not longer */
    (void)str_copy(ret_version, VERSION_SIZE, version);                       /* it fits */
    return 0;
}

/* A file on its way into the directory: whole under its name, or not there. out_fd -1: only read.
 */
static int copy_bytes(int in_fd, const char *path, int out_fd, struct release_version *v,
                      struct err *err)
{
    AUTO(free) char *chunk = malloc(CHUNK_BYTES);
    unsigned char tail[GZIP_TRAILER_BYTES] = {0}, head[2] = {0};
    struct sha256 hash;
    ssize_t n;
    int r;

    if (chunk == NULL)
        return err_set(err, ERR_NOMEM, "%s: out of memory", path);
    sha256_init(&hash);
    while ((n = read(in_fd, chunk, CHUNK_BYTES)) > 0) {
        size_t at;

        sha256_add(&hash, chunk, (size_t)n);
        for (at = 0; at < (size_t)n && v->length_bytes + (int64_t)at < 2; at++)
            head[v->length_bytes + (int64_t)at] = (unsigned char)chunk[at];
        for (at = (size_t)n > sizeof(tail) ? (size_t)n - sizeof(tail) : 0; at < (size_t)n; at++) {
            memmove(tail, tail + 1, sizeof(tail) - 1);
            tail[sizeof(tail) - 1] = (unsigned char)chunk[at];
        }
        v->length_bytes += n;
        if (v->length_bytes > RELEASE_MAX_PACKAGE_BYTES)
            return err_set(err, ERR_LIMIT, "%s: a package has at most %" PRId64 " bytes", path,
                           RELEASE_MAX_PACKAGE_BYTES);
        if (out_fd >= 0 && (r = fs_write_all(out_fd, chunk, (size_t)n, err)) < 0)
            return r;
    }
    if (n < 0)
        return err_sys(err, ERR_IO, errno, "%s: cannot be read", path);
    sha256_end_hex(&hash, v->sha256);
    /* gzip ends with the number of bytes it was made from: those of the tar archive. */
    v->unpacked_bytes = (int64_t)((uint32_t)tail[3] << 24 | (uint32_t)tail[2] << 16 |
                                  (uint32_t)tail[1] << 8 | (uint32_t)tail[0]);
    if (head[0] != 0x1f || head[1] != 0x8b || v->unpacked_bytes < 1)
        return err_set(err, ERR_INVALID, "%s: it is not a tar archive packed with gzip", path);
    if (v->unpacked_bytes > RELEASE_MAX_PACKAGE_BYTES)
        return err_set(err, ERR_LIMIT, "%s: it holds more than %" PRId64 " bytes", path,
                       RELEASE_MAX_PACKAGE_BYTES);
    return 0;
}

static int make_dir(int dirfd, const char *name, int *ret_fd, struct err *err)
{
    if (mkdirat(dirfd, name, 0755) != 0 && errno != EEXIST)
        return err_sys(err, ERR_IO, errno, "directory %s: cannot be made", name);
    return fs_open_dir(dirfd, name, ret_fd, err);
}

/* Copy into <dir>/ssmd/<version>/<file>, hashing what is written. */
static int copy_package(const struct release_dir *d, int in_fd, const char *path, const char *file,
                        struct release_version *v, struct err *err)
{
    AUTO(close_fd) int package_fd = -1, version_fd = -1, out_fd = -1;
    char temporary[RELEASE_NAME_SIZE + 8];
    int r;

    (void)snprintf(temporary, sizeof(temporary), ".%s.new", file);
    if ((r = make_dir(d->fd, CHOOSE_PACKAGE, &package_fd, err)) < 0 ||
        (r = make_dir(package_fd, v->version, &version_fd, err)) < 0)
        return r;
    out_fd =
        openat(version_fd, temporary, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644);
    if (out_fd < 0)
        return err_sys(err, ERR_IO, errno, "%s: cannot be made", temporary);
    r = copy_bytes(in_fd, path, out_fd, v, err);
    if (r == 0 && (fsync(out_fd) != 0 || renameat(version_fd, temporary, version_fd, file) != 0 ||
                   fsync(version_fd) != 0 || fsync(package_fd) != 0))
        r = err_sys(err, ERR_IO, errno, "%s: cannot be written", file);
    if (r < 0)
        (void)unlinkat(version_fd, temporary, 0); /* the error that matters is at hand */
    return r;
}

/* What agents may have installed must not get another content under its number. */
static int refuse_other_content(const struct release_dir *d, const char *file,
                                const struct release_version *v, struct err *err)
{
    AUTO(release_envelope_done) struct release_envelope e = {.role = RELEASE_RELEASE};
    AUTO(release_manifest_done) struct release_manifest m = {.version = 0};
    const struct release_package *p;
    const struct release_file *f;
    const struct release_version *before = NULL;
    int r = release_read(d, RELEASE_MANIFEST_FILE, RELEASE_RELEASE, &e, err);

    if (r == ERR_NOT_FOUND)
        return 0;
    if (r < 0 || (r = release_manifest_parse(e.payload, e.n_payload, &m, err)) < 0)
        return r;
    p = release_find_package(&m, CHOOSE_PACKAGE);
    f = p != NULL ? release_find_file(p, file) : NULL;
    if (f != NULL)
        before = release_find_version(f, v->version);
    if (before != NULL && !str_eq(before->sha256, v->sha256))
        return err_set(err, ERR_EXISTS,
                       "version %s of %s is published with another content; give the new one a "
                       "higher number",
                       v->version, file);
    return 0;
}

static int print_added(struct ctl *c, const struct release_manifest *m, const char *file,
                       const struct release_version *v, bool is_copied, struct err *err)
{
    struct jsonw w;

    if (c->is_json) {
        ctl_begin_json(c, &w);
        jsonw_open_object(&w, NULL);
        jsonw_str(&w, "draft", RELEASE_MANIFEST_DRAFT);
        jsonw_i64(&w, "manifest_version", m->version);
        jsonw_time(&w, "expires", m->expires_unix_ms);
        jsonw_str(&w, "file", file);
        jsonw_str(&w, "version", v != NULL ? v->version : NULL);
        jsonw_str(&w, "sha256", v != NULL ? v->sha256 : NULL);
        jsonw_i64(&w, "length", v != NULL ? v->length_bytes : 0);
        jsonw_bool(&w, "copied", is_copied);
        jsonw_close_object(&w);
        return jsonw_end(&w, err);
    }
    if (v != NULL)
        (void)fprintf(c->out, "%s %s: %" PRId64 " bytes, SHA-256 %s\n", file, v->version,
                      v->length_bytes, v->sha256);
    if (v != NULL && !is_copied)
        (void)fprintf(c->out, "put it where the manifest's UriFormat says: %s\n", m->uri_format);
    (void)fprintf(c->out,
                  "%s: manifest %" PRId64 ", to be signed anew: `ssmctl release sign`, then "
                  "`release timestamp`\n",
                  RELEASE_MANIFEST_DRAFT, m->version);
    return CTL_OK;
}

int ctl_run_release_add(struct ctl *c, struct err *err)
{
    AUTO(release_dir_done) struct release_dir d = {.fd = -1};
    AUTO(release_manifest_done) struct release_manifest m = {.version = 0};
    AUTO(close_fd) int in_fd = -1;
    struct release_version v = {.rollout_percent = 100};
    const char *path = c->args[1];
    char file[RELEASE_NAME_SIZE];
    bool is_copied;
    int r;

    if ((r = read_name(path, file, v.version, err)) < 0 ||
        (r = get_version(c, "version", v.version, err)) < 0 || (r = apply_options(c, &v, err)) < 0)
        return r;
    if (v.version[0] == '\0')
        return err_set(err, ERR_USAGE, "%s: its name has no version; give --version V", path);
    if ((r = release_dir_open(c->args[0], false, &d, err)) < 0 ||
        (r = release_want_root(&d, err)) < 0 || (r = begin_draft(c, &d, &m, err)) < 0)
        return r;
    in_fd = open(path, O_RDONLY | O_CLOEXEC);
    if (in_fd < 0)
        return err_sys(err, ERR_IO, errno, "%s: cannot be opened", path);
    r = copy_bytes(in_fd, path, -1, &v, err);
    if (r < 0 || (r = refuse_other_content(&d, file, &v, err)) < 0)
        return r;
    is_copied = str_eq(m.uri_format, RELEASE_DEFAULT_URI_FORMAT);
    if (is_copied) {
        char sha256[SHA256_HEX_SIZE];

        (void)str_copy(sha256, sizeof(sha256), v.sha256); /* it fits */
        v.length_bytes = 0;
        if (lseek(in_fd, 0, SEEK_SET) != 0)
            return err_sys(err, ERR_IO, errno, "%s: cannot be read twice", path);
        r = copy_package(&d, in_fd, path, file, &v, err);
        if (r == 0 && !str_eq(sha256, v.sha256))
            r = err_set(err, ERR_STATE, "%s: it was changed while it was read; try again", path);
    }
    if (r < 0 || (r = release_manifest_put(&m, CHOOSE_PACKAGE, file, &v, err)) < 0 ||
        (r = write_draft(&d, &m, err)) < 0)
        return r;
    return print_added(c, &m, file, &v, is_copied, err);
}

/* ---- set ---- */

/* All platforms' files of one version. */
static int set_version(const struct ctl *c, struct release_manifest *m, const char *version,
                       struct err *err)
{
    size_t i, j, n = 0;
    int r;

    for (i = 0; i < m->n_packages; i++)
        for (j = 0; j < m->packages[i].n_files; j++) {
            const struct release_version *found =
                release_find_version(&m->packages[i].files[j], version);
            struct release_version v;

            if (found == NULL)
                continue;
            v = *found;
            if ((r = apply_options(c, &v, err)) < 0 ||
                (r = release_manifest_put(m, m->packages[i].name, m->packages[i].files[j].name, &v,
                                          err)) < 0)
                return r;
            n++;
        }
    if (n == 0)
        return err_set(err, ERR_NOT_FOUND, "version %s is not in the manifest", version);
    return 0;
}

int ctl_run_release_set(struct ctl *c, struct err *err)
{
    static const char *const of_version[] = {"status", "rollout", "not-before", "minimum-source"};
    AUTO(release_dir_done) struct release_dir d = {.fd = -1};
    AUTO(release_manifest_done) struct release_manifest m = {.version = 0};
    const char *uri = ctl_value(c, "uri-format", NULL);
    bool is_of_version = false;
    size_t i;
    int r;

    for (i = 0; i < ARRAY_LEN(of_version); i++) {
        is_of_version = is_of_version || ctl_has(c, of_version[i]);
        if (c->n_args < 2 && ctl_has(c, of_version[i]))
            return err_set(err, ERR_USAGE, "--%s is of a version: release set DIR VERSION --%s ...",
                           of_version[i], of_version[i]);
    }
    if (c->n_args > 1 && !is_of_version)
        return err_set(err, ERR_USAGE,
                       "nothing is said of version %s: --status, --rollout, --not-before or "
                       "--minimum-source does (the manifest alone is renewed by release set DIR)",
                       c->args[1]);
    if (uri != NULL && (uri[0] == '\0' || strlen(uri) >= sizeof(m.uri_format)))
        return err_set(err, ERR_USAGE, "--uri-format: it must have 1 to %zu bytes",
                       sizeof(m.uri_format) - 1);
    if ((r = release_dir_open(c->args[0], false, &d, err)) < 0 ||
        (r = release_want_root(&d, err)) < 0 || (r = begin_draft(c, &d, &m, err)) < 0 ||
        (r = get_version(c, "floor", m.rollback_floor, err)) < 0 ||
        (c->n_args > 1 && (r = set_version(c, &m, c->args[1], err)) < 0))
        return r;
    if (uri != NULL)
        (void)str_copy(m.uri_format, sizeof(m.uri_format), uri); /* it fits */
    r = write_draft(&d, &m, err);
    return r < 0 ? r : print_added(c, &m, NULL, NULL, false, err);
}
