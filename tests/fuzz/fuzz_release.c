/* The metadata of an update source, from whoever serves it: envelopes, roots, timestamps,
 * manifests, and what is chosen from them. The first byte chooses. */
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "update/choose.h"
#include "update/signing.h"
#include "update/trust.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t n);

/* What was read is written, read again and written again: the same. */
static void root(const char *text, size_t n)
{
    AUTO(buf_done) struct buf first = {0};
    AUTO(buf_done) struct buf second = {0};
    struct release_root r;
    unsigned role;

    if (release_root_parse(text, n, &r, NULL) < 0)
        return;
    for (role = 0; role < RELEASE_N_ROLES; role++)
        if (r.roles[role].threshold < 1 || r.roles[role].threshold > (int64_t)r.roles[role].n_keys)
            abort();
    buf_init(&first, 1u << 20);
    buf_init(&second, 1u << 20);
    release_root_write(&r, &first);
    if (release_root_parse(buf_str(&first), first.len, &r, NULL) < 0)
        abort();
    release_root_write(&r, &second);
    if (!str_eq(buf_str(&first), buf_str(&second)))
        abort();
}

static void timestamp(const char *text, size_t n)
{
    struct release_timestamp t;

    if (release_timestamp_parse(text, n, &t, NULL) == 0 &&
        (t.version < 1 || t.manifest_length_bytes < 1 ||
         t.manifest_length_bytes > (int64_t)RELEASE_MANIFEST_MAX_BYTES ||
         strlen(t.manifest_sha256) != SHA256_HEX_SIZE - 1))
        abort();
}

static void choose(const struct release_manifest *m, const char *asked)
{
    const struct choose_request q = {.package = "ssmd",
                                     .asked = asked,
                                     .from = "1.0",
                                     .node_id = "i-1",
                                     .source = "https://h",
                                     .arch = "amd64",
                                     .allow_downgrade = true,
                                     .now_unix_ms = 1800000000000};
    struct choice c;

    choose_version(m, &q, &c);
    if ((c.verdict == CHOOSE_OK) != (c.version != NULL) ||
        (c.verdict != CHOOSE_OK && c.text[0] == '\0'))
        abort();
    if (c.version != NULL &&
        (c.version->sha256[0] == '\0' || c.version->length_bytes < 1 ||
         c.version->status != RELEASE_ACTIVE || !version_is_valid(c.target) ||
         strchr(c.target, '/') != NULL || version_compare(c.target, "1.0") == 0))
        abort();
}

static void manifest(const char *text, size_t n)
{
    AUTO(release_manifest_done) struct release_manifest m = {.version = 0};
    AUTO(release_manifest_done) struct release_manifest again = {.version = 0};
    AUTO(buf_done) struct buf b = {0};
    const struct release_package *p;

    if (release_manifest_parse(text, n, &m, NULL) < 0)
        return;
    choose(&m, "latest");
    choose(&m, "stable");
    p = release_find_package(&m, "ssmd");
    if (p != NULL && p->n_files > 0 && p->files[0].n_versions > 0)
        choose(&m, p->files[0].versions[0].version);
    buf_init(&b, 16u << 20);
    release_manifest_write(&m, &b);
    if (release_manifest_parse(buf_str(&b), b.len, &again, NULL) < 0 && b.len < 3u << 20)
        abort();
}

static void envelope(const char *text, size_t n, enum release_role role)
{
    AUTO(release_envelope_done) struct release_envelope e = {.role = role};
    AUTO(release_envelope_done) struct release_envelope again = {.role = role};
    AUTO(buf_done) struct buf b = {0};
    struct release_root keys = {.version = 1};

    if (release_envelope_parse(text, n, role, &e, NULL) < 0)
        return;
    keys.roles[role].threshold = 1;
    if (signing_check(&keys, &e, NULL, NULL) == 0) /* by no key at all */
        abort();
    buf_init(&b, 16u << 20);
    release_envelope_write(&e, &b);
    if (b.len <= release_max_bytes(role) &&
        (release_envelope_parse(buf_str(&b), b.len, role, &again, NULL) < 0 ||
         again.n_payload != e.n_payload || again.n_signatures != e.n_signatures))
        abort();
}

/* A machine that has the root file of these bytes, and a source that serves the same bytes as every
 * file. No bytes of a fuzzer's sign themselves. */
static void trust(const char *text, size_t n)
{
    AUTO(trust_free) struct trust *t = NULL;

    if (trust_begin(text, n, NULL, 0, 1800000000000, &t, NULL) == 0 &&
        trust_take(t, text, n, NULL) == 0)
        abort(); /* a root does not follow on itself */
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t n)
{
    char *text;

    if (n == 0)
        return 0;
    text = malloc(n);
    if (text == NULL)
        return 0;
    memcpy(text, data + 1, n - 1);
    text[n - 1] = '\0';
    switch (data[0] % 8) {
    case 0:
        root(text, n - 1);
        break;
    case 1:
        timestamp(text, n - 1);
        break;
    case 2:
        manifest(text, n - 1);
        break;
    case 3:
    case 4:
    case 5:
        envelope(text, n - 1, (enum release_role)(data[0] % 8 - 3));
        break;
    default:
        trust(text, n - 1);
        break;
    }
    free(text);
    return 0;
}
