/* Making a manifest: a version is put into it, it is written, and where its files are. */
#include "schema/release_internal.h"

#include <stdlib.h>
#include <string.h>

#include "base/str.h"

#define SCHEMA_VERSION "1.0"
#define MAX_MEMBERS 1024 /* what the reader takes at most, of versions */

/* Room for one more zeroed member of `size` bytes at the end of a list. */
static int grow(void **list, size_t n, size_t size, const char *what, struct err *err)
{
    char *grown;

    if (n >= MAX_MEMBERS)
        return err_set(err, ERR_LIMIT, "%s: there are %zu already", what, n);
    grown = reallocarray(*list, n + 1, size);
    if (grown == NULL)
        return err_set(err, ERR_NOMEM, "%s: out of memory", what);
    memset(grown + n * size, 0, size);
    *list = grown;
    return 0;
}

static int want_package(struct release_manifest *m, const char *name,
                        struct release_package **ret_package, struct err *err)
{
    const struct release_package *found = release_find_package(m, name);
    void *list = m->packages;
    int r;

    if (found == NULL) {
        r = grow(&list, m->n_packages, sizeof(*m->packages), "Packages", err);
        if (r < 0)
            return r;
        m->packages = list;
        (void)str_copy(m->packages[m->n_packages].name, RELEASE_NAME_SIZE, name); /* checked */
        found = &m->packages[m->n_packages++];
    }
    *ret_package = &m->packages[found - m->packages];
    return 0;
}

static int want_file(struct release_package *p, const char *name, struct release_file **ret_file,
                     struct err *err)
{
    const struct release_file *found = release_find_file(p, name);
    void *list = p->files;
    int r;

    if (found == NULL) {
        r = grow(&list, p->n_files, sizeof(*p->files), "Files", err);
        if (r < 0)
            return r;
        p->files = list;
        (void)str_copy(p->files[p->n_files].name, RELEASE_NAME_SIZE, name); /* checked */
        found = &p->files[p->n_files++];
    }
    *ret_file = &p->files[found - p->files];
    return 0;
}

int release_manifest_put(struct release_manifest *m, const char *package, const char *file,
                         const struct release_version *v, struct err *err)
{
    const struct release_version *found;
    struct release_package *p;
    struct release_file *f;
    void *list;
    int r;

    if (!str_is_safe_name(package, RELEASE_NAME_SIZE - 1) ||
        !str_is_safe_name(file, RELEASE_NAME_SIZE - 1) || !version_is_valid(v->version))
        return err_set(err, ERR_INVALID, "%s, %s, %s: not names and a version that can be used",
                       package, file, v->version);
    if ((r = want_package(m, package, &p, err)) < 0 || (r = want_file(p, file, &f, err)) < 0)
        return r;
    found = release_find_version(f, v->version);
    if (found != NULL) {
        f->versions[found - f->versions] = *v;
        return 0;
    }
    list = f->versions;
    r = grow(&list, f->n_versions, sizeof(*f->versions), "AvailableVersions", err);
    if (r < 0)
        return r;
    f->versions = list;
    f->versions[f->n_versions++] = *v;
    return 0;
}

/* What is not said is not written: a reader has the same defaults. */
static void write_version(const struct release_version *v, struct buf *b)
{
    bool is_first = true;

    (void)buf_add_char(b, '{'); /* here and below: the caller looks at buf_error() */
    release_put_text(b, &is_first, "Version", v->version);
    if (v->sha256[0] != '\0')
        release_put_text(b, &is_first, "Checksum", v->sha256);
    release_put_text(b, &is_first, "Status", release_status_name(v->status));
    if (v->length_bytes > 0)
        release_put_number(b, &is_first, "Length", v->length_bytes);
    if (v->unpacked_bytes > 0)
        release_put_number(b, &is_first, "UnpackedLength", v->unpacked_bytes);
    if (v->minimum_source[0] != '\0')
        release_put_text(b, &is_first, "MinimumSourceVersion", v->minimum_source);
    if (v->rollout_percent != 100)
        release_put_number(b, &is_first, "RolloutPercent", v->rollout_percent);
    if (v->not_before_unix_ms != 0)
        release_put_time(b, &is_first, "NotBefore", v->not_before_unix_ms);
    (void)buf_add_char(b, '}');
}

static void write_file(const struct release_file *f, struct buf *b)
{
    bool is_first = true;
    size_t i;

    (void)buf_add_char(b, '{');
    release_put_text(b, &is_first, "Name", f->name);
    release_put_name(b, &is_first, "AvailableVersions");
    (void)buf_add_char(b, '[');
    for (i = 0; i < f->n_versions; i++) {
        if (i > 0)
            (void)buf_add_char(b, ',');
        write_version(&f->versions[i], b);
    }
    (void)buf_add_str(b, "]}");
}

void release_manifest_write(const struct release_manifest *m, struct buf *ret_payload)
{
    struct buf *b = ret_payload;
    bool is_first = true;
    size_t i, j;

    (void)buf_add_char(b, '{');
    release_put_text(b, &is_first, "SchemaVersion", SCHEMA_VERSION);
    release_put_number(b, &is_first, "ManifestVersion", m->version);
    release_put_time(b, &is_first, "Issued", m->issued_unix_ms);
    release_put_time(b, &is_first, "Expires", m->expires_unix_ms);
    release_put_text(b, &is_first, "UriFormat", m->uri_format);
    if (m->rollback_floor[0] != '\0')
        release_put_text(b, &is_first, "RollbackFloor", m->rollback_floor);
    release_put_name(b, &is_first, "Packages");
    (void)buf_add_char(b, '[');
    for (i = 0; i < m->n_packages; i++) {
        bool is_first_member = true;

        (void)buf_add_str(b, i > 0 ? ",{" : "{");
        release_put_text(b, &is_first_member, "Name", m->packages[i].name);
        release_put_name(b, &is_first_member, "Files");
        (void)buf_add_char(b, '[');
        for (j = 0; j < m->packages[i].n_files; j++) {
            if (j > 0)
                (void)buf_add_char(b, ',');
            write_file(&m->packages[i].files[j], b);
        }
        (void)buf_add_str(b, "]}");
    }
    (void)buf_add_str(b, "]}");
}

static bool is_scheme_of(const char *url, const char *scheme)
{
    return str_has_prefix(url, scheme) && url[strlen(scheme)] != '\0';
}

/* A file of this machine comes from a source on this machine only. */
static bool is_url(const char *url, const char *source)
{
    const char *p;

    for (p = url; *p != '\0'; p++)
        if ((unsigned char)*p <= ' ' || (unsigned char)*p >= 0x7f || strchr("\"<>\\^`{|}", *p))
            return false;
    return is_scheme_of(url, "https://") || is_scheme_of(url, "http://") ||
           (is_scheme_of(url, "file:///") && str_has_prefix(source, "file://"));
}

int release_uri(const char *uri_format, const struct release_place *place,
                char ret_url[RELEASE_URI_SIZE], struct err *err)
{
    const struct {
        const char *name, *value;
    } words[] = {
        {"{Source}", place->source},          {"{Region}", place->region},
        {"{PackageName}", place->package},    {"{FileName}", place->file},
        {"{PackageVersion}", place->version},
    };
    AUTO(buf_done) struct buf url = {0};
    const char *p = uri_format;
    size_t i;

    buf_init(&url, RELEASE_URI_SIZE - 1);
    while (*p != '\0') {
        for (i = 0; i < ARRAY_LEN(words); i++)
            if (str_has_prefix(p, words[i].name))
                break;
        if (i == ARRAY_LEN(words)) {
            (void)buf_add_char(&url, *p++); /* buf_error() tells */
            continue;
        }
        if (words[i].value[0] == '\0')
            return err_set(err, ERR_INVALID, "UriFormat needs %s, which is not known here",
                           words[i].name);
        (void)buf_add_str(&url, words[i].value); /* buf_error() tells */
        p += strlen(words[i].name);
    }
    if (url.failed != 0)
        return buf_error(&url, "the package's URL", err);
    if (!is_url(buf_str(&url), place->source))
        return err_set(err, ERR_INVALID,
                       "UriFormat gives \"%s\", which is no URL that packages are fetched from",
                       buf_str(&url));
    (void)str_copy(ret_url, RELEASE_URI_SIZE, buf_str(&url)); /* it fits */
    return 0;
}
