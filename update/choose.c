/* Which version, and whether: the order of the decisions is spec 06, section 5.3. */
#include "update/choose.h"

#include <string.h>

#include "base/clock.h"
#include "base/str.h"

#define REFERENCE_PACKAGE "amazon-ssm-agent"
#define ROLLOUT_PLACES 10000u

const char *choose_arch(void)
{
#if defined(__x86_64__)
    return "amd64";
#elif defined(__aarch64__)
    return "arm64";
#elif defined(__i386__)
    return "386";
#elif defined(__arm__)
    return "arm";
#else
    return ""; /* no packages are made for it */
#endif
}

unsigned choose_rollout_place(const char *node_id, const char *version)
{
    unsigned char digest[SHA256_SIZE];
    struct sha256 s;
    uint32_t value;

    sha256_init(&s);
    sha256_add(&s, node_id, strlen(node_id) + 1); /* its NUL parts it from the version */
    sha256_add(&s, version, strlen(version));
    sha256_end(&s, digest);
    value = (uint32_t)digest[0] << 24 | (uint32_t)digest[1] << 16 | (uint32_t)digest[2] << 8 |
            (uint32_t)digest[3];
    return value % ROLLOUT_PLACES;
}

static void end(struct choice *c, enum choose_verdict verdict, const char *code, const char *fmt,
                ...) PRINTF_LIKE(4, 5);

static void end(struct choice *c, enum choose_verdict verdict, const char *code, const char *fmt,
                ...)
{
    va_list ap;

    c->verdict = verdict;
    c->code = code;
    va_start(ap, fmt);
    (void)vsnprintf(c->text, sizeof(c->text), fmt, ap); /* a longer text is cut */
    va_end(ap);
}

/* A version without both of these would be installed unchecked. */
static bool is_checked(const struct release_version *v)
{
    return v->sha256[0] != '\0' && v->length_bytes > 0;
}

static bool is_below(const char *version, const char *floor)
{
    return floor[0] != '\0' && version_compare(version, floor) < 0;
}

enum resolver { RESOLVE_LATEST, RESOLVE_STABLE, RESOLVE_NONE };

/* May it be offered to anybody now? */
static bool is_offered(const struct release_manifest *m, const struct choose_request *q,
                       const struct release_version *v)
{
    return v->status == RELEASE_ACTIVE && is_checked(v) &&
           !is_below(v->version, m->rollback_floor) && v->not_before_unix_ms <= q->now_unix_ms;
}

/* ... and to this node, from the version it has? */
static bool is_offered_here(const struct choose_request *q, const struct release_version *v,
                            enum resolver resolver)
{
    if (is_below(q->from, v->minimum_source))
        return false; /* a lower one is the way there */
    if (resolver == RESOLVE_STABLE)
        return v->rollout_percent == 100;
    return choose_rollout_place(q->node_id, v->version) <
           v->rollout_percent * (ROLLOUT_PLACES / 100);
}

/* The highest that is offered here, or NULL; *ret_n_waiting counts what is offered to others. */
static const struct release_version *resolve(const struct release_manifest *m,
                                             const struct release_file *f,
                                             const struct choose_request *q, enum resolver resolver,
                                             size_t *ret_n_waiting)
{
    const struct release_version *best = NULL;
    size_t i;

    *ret_n_waiting = 0;
    for (i = 0; i < f->n_versions; i++) {
        const struct release_version *v = &f->versions[i];

        if (!is_offered(m, q, v))
            continue;
        if (!is_offered_here(q, v, resolver))
            ++*ret_n_waiting;
        else if (best == NULL || version_compare(v->version, best->version) > 0)
            best = v;
    }
    return best;
}

static enum resolver resolver_of(const char *asked)
{
    if (asked[0] == '\0' || str_eq(asked, "None") || str_eq(asked, "latest"))
        return RESOLVE_LATEST;
    return str_eq_nocase(asked, "stable") ? RESOLVE_STABLE : RESOLVE_NONE;
}

/* NULL with the choice ended. */
static const struct release_file *find_file(const struct release_manifest *m,
                                            const struct choose_request *q, struct choice *c)
{
    const char *arch = q->arch != NULL ? q->arch : choose_arch();
    const struct release_package *package = release_find_package(m, CHOOSE_PACKAGE);
    const struct release_file *file = NULL;

    if (!str_eq(q->package, CHOOSE_PACKAGE) && !str_eq(q->package, REFERENCE_PACKAGE)) {
        end(c, CHOOSE_FAIL, "ErrorInvalidPackage",
            "%.128s is not what this agent is called: agentName must be %s or %s", q->package,
            REFERENCE_PACKAGE, CHOOSE_PACKAGE);
        return NULL;
    }
    (void)snprintf(c->file, sizeof(c->file), CHOOSE_PACKAGE "-linux-%s.tar.gz", arch);
    if (package != NULL && arch[0] != '\0')
        file = release_find_file(package, c->file);
    if (file == NULL)
        end(c, CHOOSE_FAIL, "ErrorDownloadManifest_d6",
            "unsupported platform: the update source has no file %s of the package %s", c->file,
            CHOOSE_PACKAGE);
    return file;
}

/* A target that nobody named. Returns it, or NULL with the choice ended. */
static const struct release_version *take_best(const struct release_manifest *m,
                                               const struct release_file *f,
                                               const struct choose_request *q,
                                               enum resolver resolver, struct choice *c)
{
    const char *word = resolver == RESOLVE_STABLE ? "stable" : "latest";
    size_t n_waiting;
    char four[80];
    const struct release_version *v = resolve(m, f, q, resolver, &n_waiting);
    int order;

    if (v == NULL && n_waiting > 0)
        end(c, CHOOSE_SKIP, "",
            "%.128s: no version is offered to this node yet (rollout, or the version it comes "
            "from), update skipped",
            q->package);
    else if (v == NULL)
        end(c, CHOOSE_FAIL,
            resolver == RESOLVE_STABLE ? "ErrorGetStableVersionS3"
                                       : "ErrorGetLatestActiveVersionManifest",
            "%.128s: the update source offers no %s version in %s", q->package, word, c->file);
    if (v == NULL)
        return NULL;
    (void)str_copy(c->target, sizeof(c->target), v->version); /* it fits */
    order = version_compare(q->from, v->version);
    if (order < 0)
        return v;
    version_four(q->from, four, sizeof(four));
    if (order == 0)
        end(c, CHOOSE_SKIP, "", "%.128s %s has already been installed", q->package, four);
    else
        end(c, CHOOSE_SKIP, "",
            "%.128s %s is newer than %s, the %s version offered, update skipped", q->package,
            q->from, v->version, word);
    return NULL;
}

/* The service shows "1.2.3.0" where a version is "1.2.3", and that is what is asked for then. */
static bool drop_zero(const char *asked, char *ret_version, size_t size)
{
    size_t n_dots = 0, i, n = strlen(asked);

    for (i = 0; i < n; i++)
        n_dots += asked[i] == '.';
    if (!version_is_valid(asked) || n_dots != 3 || !str_has_suffix(asked, ".0") || n > size)
        return false;
    (void)snprintf(ret_version, size, "%.*s", (int)(n - strlen(".0")), asked);
    return true;
}

/* A target that was named: everything that speaks against it, in the order of the chapter. */
static const struct release_version *take_named(const struct release_manifest *m,
                                                const struct release_file *f,
                                                const struct choose_request *q, struct choice *c)
{
    const struct release_version *v = release_find_version(f, q->asked);
    struct choose_request plain;
    char when[ISO_MS_SIZE], three[64], four[80];
    int order;

    if (v == NULL && drop_zero(q->asked, three, sizeof(three)) &&
        (release_find_version(f, three) != NULL || version_compare(q->from, three) == 0)) {
        plain = *q;
        plain.asked = three;
        q = &plain;
        v = release_find_version(f, three);
    }
    if (!version_is_valid(q->asked)) {
        end(c, CHOOSE_FAIL, "ErrorInvalidTargetVersion",
            "target version \"%.64s\" is not a version such as 1.2.3, nor latest, nor stable",
            q->asked);
        return NULL;
    }
    (void)str_copy(c->target, sizeof(c->target), v != NULL ? v->version : q->asked); /* it fits */
    order = version_compare(q->from, q->asked);
    version_four(q->from, four, sizeof(four));
    if (order == 0)
        end(c, CHOOSE_SKIP, "", "%.128s %s has already been installed", q->package, four);
    else if (order > 0 && !q->allow_downgrade)
        end(c, CHOOSE_FAIL, "ErrorAttempToDowngrade",
            "Updating %s to an older version %s, please enable allow downgrade to proceed", q->from,
            q->asked);
    else if (v == NULL)
        end(c, CHOOSE_FAIL, "ErrorInvalidTargetVersion",
            "%.128s target version %s is unsupported on current platform", q->package, q->asked);
    else if (!is_checked(v))
        end(c, CHOOSE_FAIL, "ErrorInvalidTargetVersion",
            "%.128s version %s: the update source does not say the %s of its package, so it could "
            "not be checked",
            q->package, v->version, v->sha256[0] == '\0' ? "Checksum" : "Length");
    else if (is_below(v->version, m->rollback_floor))
        end(c, CHOOSE_FAIL, "ErrorUnsupportedVersion",
            "%.128s version %s is below %s, the lowest that the update source permits", q->package,
            v->version, m->rollback_floor);
    else if (v->status != RELEASE_ACTIVE)
        end(c, CHOOSE_SKIP, "InactiveAgentVersion",
            "%.128s version %s is deprecated/inactive, update skipped", q->package, v->version);
    else if (v->not_before_unix_ms > q->now_unix_ms) {
        clock_format_iso_ms(v->not_before_unix_ms, when);
        end(c, CHOOSE_SKIP, "InactiveAgentVersion",
            "%.128s version %s is not to be installed before %s, update skipped", q->package,
            v->version, when);
    } else if (is_below(q->from, v->minimum_source))
        end(c, CHOOSE_FAIL, "ErrorIncompatibleTargetVersion",
            "before updating to %s, first update to %s or a later version", v->version,
            v->minimum_source);
    else
        return v;
    return NULL;
}

/* Where the package is; a source may be given with slashes at its end. */
static void take_place(const struct release_manifest *m, const struct choose_request *q,
                       struct choice *c)
{
    char source[RELEASE_URI_SIZE];
    struct release_place place = {.source = source,
                                  .region = q->region != NULL ? q->region : "",
                                  .package = CHOOSE_PACKAGE,
                                  .version = c->target,
                                  .file = c->file};
    struct err err = {0};
    size_t n = strlen(q->source);

    while (n > 0 && q->source[n - 1] == '/')
        n--;
    if (n >= sizeof(source))
        n = sizeof(source) - 1; /* the URL would be too long, and release_uri() says so */
    memcpy(source, q->source, n);
    source[n] = '\0';
    if (release_uri(m->uri_format, &place, c->url, &err) < 0) {
        c->version = NULL;
        end(c, CHOOSE_FAIL, "ErrorTargetPkgDownload", "manifest.json: %.300s", err.text);
    }
}

void choose_version(const struct release_manifest *m, const struct choose_request *q,
                    struct choice *ret_choice)
{
    struct choice *c = ret_choice;
    enum resolver resolver = resolver_of(q->asked);
    const struct release_file *file;

    *c = (struct choice){.verdict = CHOOSE_OK, .code = ""};
    if (!version_is_valid(q->from)) {
        end(c, CHOOSE_FAIL, "ErrorInvalidSourceVersion",
            "the running version \"%.64s\" is not a version such as 1.2.3", q->from);
        return;
    }
    file = find_file(m, q, c);
    if (file == NULL)
        return;
    c->version =
        resolver == RESOLVE_NONE ? take_named(m, file, q, c) : take_best(m, file, q, resolver, c);
    if (c->version != NULL)
        take_place(m, q, c);
}
