/* The manifest of versions: which packages, files and versions there are. */
#include "schema/release_internal.h"

#include <stdlib.h>
#include <string.h>

#include "base/str.h"

#define MAX_PACKAGES 64
#define MAX_FILES 64
#define MAX_VERSIONS 1024

static const struct {
    const char *name;
    enum release_status status;
} statuses[] = {
    {"Active", RELEASE_ACTIVE},
    {"Inactive", RELEASE_INACTIVE},
    {"Deprecated", RELEASE_DEPRECATED},
};

const char *release_status_name(enum release_status status)
{
    size_t i;

    for (i = 0; i < ARRAY_LEN(statuses); i++)
        if (statuses[i].status == status)
            return statuses[i].name;
    return "Unknown";
}

static enum release_status status_of(const char *text)
{
    size_t i;

    if (text == NULL || text[0] == '\0')
        return RELEASE_ACTIVE;
    for (i = 0; i < ARRAY_LEN(statuses); i++)
        if (str_eq(statuses[i].name, text))
            return statuses[i].status;
    return RELEASE_UNKNOWN;
}

/* "" when it is missing and not required. */
static int get_version(const cJSON *object, const char *where, const char *name, bool is_required,
                       char ret_version[VERSION_SIZE], struct err *err)
{
    const char *text = NULL;
    int r = release_get_text(object, where, name, is_required, VERSION_SIZE - 1, &text, err);

    if (r < 0 || (text == NULL || (!is_required && text[0] == '\0')))
        return r;
    if (!version_is_valid(text))
        return err_set(err, ERR_INVALID, "%s%s%s must be a version such as 1.2.3, not \"%s\"",
                       where, where[0] != '\0' ? "." : "", name, text);
    (void)str_copy(ret_version, VERSION_SIZE, text); /* it fits */
    return 0;
}

static int get_name(const cJSON *object, const char *where, char ret_name[RELEASE_NAME_SIZE],
                    struct err *err)
{
    const char *text;
    int r = release_get_text(object, where, "Name", true, RELEASE_NAME_SIZE - 1, &text, err);

    if (r < 0)
        return r;
    if (!str_is_safe_name(text, RELEASE_NAME_SIZE - 1))
        return err_set(err, ERR_INVALID,
                       "%s.Name must be a file name of letters, digits, '.', '_' and '-'", where);
    (void)str_copy(ret_name, RELEASE_NAME_SIZE, text); /* it fits */
    return 0;
}

/* Users of the reference may have written it in capitals; kept in lower case. */
static int get_checksum(const cJSON *object, const char *where, char ret_sha256[SHA256_HEX_SIZE],
                        struct err *err)
{
    unsigned char digest[SHA256_SIZE];
    const char *text = NULL;
    int r = release_get_text(object, where, "Checksum", false, SHA256_HEX_SIZE, &text, err);

    if (r < 0 || text == NULL || text[0] == '\0')
        return r;
    if (strlen(text) != SHA256_HEX_SIZE - 1 || !str_unhex(text, digest, sizeof(digest)))
        return err_set(err, ERR_INVALID, "%s.Checksum must be 64 hexadecimal digits", where);
    str_hex(digest, sizeof(digest), ret_sha256);
    return 0;
}

static int read_version(const cJSON *item, const char *where, struct release_version *v,
                        struct err *err)
{
    const char *status;
    int r;

    v->rollout_percent = 100;
    if ((r = json_want_object(item, where, err)) < 0 ||
        (r = get_version(item, where, "Version", true, v->version, err)) < 0 ||
        (r = get_checksum(item, where, v->sha256, err)) < 0 ||
        (r = release_get_text(item, where, "Status", false, 100, &status, err)) < 0 ||
        (r = release_get_number(item, where, "Length", false, 1, RELEASE_MAX_PACKAGE_BYTES,
                                &v->length_bytes, err)) < 0 ||
        (r = release_get_number(item, where, "UnpackedLength", false, 1, RELEASE_MAX_PACKAGE_BYTES,
                                &v->unpacked_bytes, err)) < 0 ||
        (r = get_version(item, where, "MinimumSourceVersion", false, v->minimum_source, err)) < 0 ||
        (r = release_get_number(item, where, "RolloutPercent", false, 0, 100, &v->rollout_percent,
                                err)) < 0 ||
        (r = release_get_time(item, where, "NotBefore", false, &v->not_before_unix_ms, err)) < 0)
        return r;
    v->status = status_of(status);
    return 0;
}

static int by_version(const void *a, const void *b)
{
    const struct release_version *const *x = a, *const *y = b;

    return version_compare((*x)->version, (*y)->version);
}

/* Two entries for one version would leave open which is meant. */
static int refuse_equals(const struct release_file *f, const char *where, struct err *err)
{
    AUTO(free) const struct release_version **sorted = calloc(f->n_versions + 1, sizeof(*sorted));
    size_t i;

    if (sorted == NULL)
        return err_set(err, ERR_NOMEM, "%s: out of memory", where);
    for (i = 0; i < f->n_versions; i++)
        sorted[i] = &f->versions[i];
    qsort(sorted, f->n_versions, sizeof(struct release_version *), by_version);
    for (i = 0; i + 1 < f->n_versions; i++)
        if (version_compare(sorted[i]->version, sorted[i + 1]->version) == 0)
            return err_set(err, ERR_INVALID, "%s.AvailableVersions has the version %s twice", where,
                           sorted[i]->version);
    return 0;
}

static int read_file(const cJSON *item, const char *where, struct release_file *f, struct err *err)
{
    const cJSON *list, *version;
    size_t n;
    int r;

    if ((r = json_want_object(item, where, err)) < 0 ||
        (r = get_name(item, where, f->name, err)) < 0 ||
        (r = release_get_list(item, where, "AvailableVersions", 0, MAX_VERSIONS, &list, &n, err)) <
            0)
        return r;
    f->versions = calloc(n + 1, sizeof(*f->versions));
    if (f->versions == NULL)
        return err_set(err, ERR_NOMEM, "%s: out of memory", where);
    cJSON_ArrayForEach(version, list)
    {
        char place[RELEASE_WHERE_SIZE];

        (void)snprintf(place, sizeof(place), "%s.AvailableVersions[%zu]", where, f->n_versions);
        r = read_version(version, place, &f->versions[f->n_versions++], err);
        if (r < 0)
            return r;
    }
    return refuse_equals(f, where, err);
}

static int read_package(const cJSON *item, const char *where, struct release_package *p,
                        struct err *err)
{
    const cJSON *list, *file;
    size_t n;
    int r;

    if ((r = json_want_object(item, where, err)) < 0 ||
        (r = get_name(item, where, p->name, err)) < 0 ||
        (r = release_get_list(item, where, "Files", 0, MAX_FILES, &list, &n, err)) < 0)
        return r;
    p->files = calloc(n + 1, sizeof(*p->files));
    if (p->files == NULL)
        return err_set(err, ERR_NOMEM, "%s: out of memory", where);
    cJSON_ArrayForEach(file, list)
    {
        struct release_file *f = &p->files[p->n_files++];
        char place[RELEASE_WHERE_SIZE];

        (void)snprintf(place, sizeof(place), "%s.Files[%zu]", where, p->n_files - 1);
        r = read_file(file, place, f, err);
        if (r < 0)
            return r;
        if (release_find_file(p, f->name) != f)
            return err_set(err, ERR_INVALID, "%s.Name stands twice in %s", place, where);
    }
    return 0;
}

int release_manifest_parse(const char *payload, size_t n, struct release_manifest *ret_manifest,
                           struct err *err)
{
    AUTO(cJSON_Delete) cJSON *tree = NULL;
    AUTO(release_manifest_done) struct release_manifest m = {.version = 0};
    const cJSON *list, *package;
    const char *ignored, *uri_format;
    size_t n_packages;
    int r;

    if ((r = release_parse_json(payload, n, RELEASE_MANIFEST_MAX_BYTES, "payload", &tree, err)) <
            0 ||
        (r = release_get_header(tree, "ManifestVersion", &m.version, &m.issued_unix_ms,
                                &m.expires_unix_ms, err)) < 0 ||
        (r = release_get_text(tree, "", "SchemaVersion", true, 100, &ignored, err)) < 0 ||
        (r = release_get_text(tree, "", "UriFormat", true, RELEASE_URI_SIZE - 1, &uri_format,
                              err)) < 0 ||
        (r = get_version(tree, "", "RollbackFloor", false, m.rollback_floor, err)) < 0 ||
        (r = release_get_list(tree, "", "Packages", 0, MAX_PACKAGES, &list, &n_packages, err)) < 0)
        return r;
    if (uri_format[0] == '\0')
        return err_set(err, ERR_INVALID, "UriFormat is empty");
    (void)str_copy(m.uri_format, sizeof(m.uri_format), uri_format); /* it fits */
    m.packages = calloc(n_packages + 1, sizeof(*m.packages));
    if (m.packages == NULL)
        return err_set(err, ERR_NOMEM, "Packages: out of memory");
    cJSON_ArrayForEach(package, list)
    {
        struct release_package *p = &m.packages[m.n_packages++];
        char where[RELEASE_WHERE_SIZE];

        (void)snprintf(where, sizeof(where), "Packages[%zu]", m.n_packages - 1);
        r = read_package(package, where, p, err);
        if (r < 0)
            return r;
        if (release_find_package(&m, p->name) != p)
            return err_set(err, ERR_INVALID, "%s.Name stands twice in Packages", where);
    }
    *ret_manifest = TAKE_STRUCT(m);
    return 0;
}

void release_manifest_done(struct release_manifest *m)
{
    size_t i, j;

    for (i = 0; i < m->n_packages; i++) {
        for (j = 0; j < m->packages[i].n_files; j++)
            free(m->packages[i].files[j].versions);
        free(m->packages[i].files);
    }
    free(m->packages);
    *m = (struct release_manifest){.version = 0};
}

const struct release_package *release_find_package(const struct release_manifest *m,
                                                   const char *name)
{
    size_t i;

    for (i = 0; i < m->n_packages; i++)
        if (str_eq(m->packages[i].name, name))
            return &m->packages[i];
    return NULL;
}

const struct release_file *release_find_file(const struct release_package *p, const char *name)
{
    size_t i;

    for (i = 0; i < p->n_files; i++)
        if (str_eq(p->files[i].name, name))
            return &p->files[i];
    return NULL;
}

const struct release_version *release_find_version(const struct release_file *f,
                                                   const char *version)
{
    size_t i;

    if (!version_is_valid(version))
        return NULL;
    for (i = 0; i < f->n_versions; i++)
        if (version_compare(f->versions[i].version, version) == 0)
            return &f->versions[i];
    return NULL;
}
