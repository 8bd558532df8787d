/* The rules of TUF, one file after the other: roots, timestamp, manifest. */
#include "update/trust.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/record.h"
#include "base/str.h"
#include "update/signing.h"

#define RECORD_KIND "trust"
#define MAX_PASSED 256 /* roots whose hashes are kept; of more the newest */

enum stage { STAGE_ROOTS, STAGE_TIMESTAMP, STAGE_MANIFEST, STAGE_DONE, STAGE_FAILED };

struct trust {
    enum stage stage;
    int64_t now_unix_ms;
    struct release_root root;
    char *root_file;                          /* owned: the bytes that `root` was read from */
    char passed[MAX_PASSED][SHA256_HEX_SIZE]; /* of each root file of the chain, the newest last */
    size_t n_passed;
    unsigned n_walked;       /* roots taken in this run */
    int64_t least_timestamp; /* versions below are refused; 0: there is no such bound */
    int64_t least_manifest;
    struct release_timestamp timestamp;
    struct release_manifest manifest; /* owned */
};

/* ---- checks that every file has to pass ---- */

static int check_time(const struct trust *t, int64_t issued_unix_ms, int64_t expires_unix_ms,
                      struct err *err)
{
    char now[ISO_MS_SIZE], when[ISO_MS_SIZE];

    clock_format_iso_ms(t->now_unix_ms, now);
    if (t->now_unix_ms >= expires_unix_ms) {
        clock_format_iso_ms(expires_unix_ms, when);
        return err_set(err, ERR_REFUSED,
                       "it expired at %s, and this machine's clock says %s: the update source is "
                       "no longer kept up, or an old copy of it, or the clock is wrong",
                       when, now);
    }
    if (t->now_unix_ms < issued_unix_ms - TRUST_CLOCK_SLACK_MS) {
        clock_format_iso_ms(issued_unix_ms, when);
        return err_set(err, ERR_REFUSED,
                       "it was made at %s, and this machine's clock says %s: set the clock", when,
                       now);
    }
    return 0;
}

static int check_version(int64_t version, int64_t least, const char *what, struct err *err)
{
    if (version < least)
        return err_set(err, ERR_REFUSED,
                       "%s is version %" PRId64 ", and version %" PRId64
                       " was seen before: the update source is an old copy",
                       what, version, least);
    return 0;
}

/* ---- roots ---- */

static int read_root(const char *bytes, size_t n, const struct release_root *signer,
                     struct release_root *ret_root, struct err *err)
{
    AUTO(release_envelope_done) struct release_envelope e = {.role = RELEASE_ROOT};
    struct release_root root;
    int r;

    if ((r = release_envelope_parse(bytes, n, RELEASE_ROOT, &e, err)) < 0 ||
        (signer != NULL && (r = signing_check(signer, &e, NULL, err)) < 0) ||
        (r = release_root_parse(e.payload, e.n_payload, &root, err)) < 0 ||
        (r = signing_check(&root, &e, NULL, err)) < 0)
        return r;
    *ret_root = root;
    return 0;
}

static bool has_revoked(const struct release_root *before, const struct release_root *after,
                        enum release_role role)
{
    const struct release_role_keys *keys = &before->roles[role];
    size_t i;

    for (i = 0; i < keys->n_keys; i++)
        if (release_role_key(after, role, before->keys[keys->keys[i]].id) == NULL)
            return true;
    return false;
}

/* Who stole a key may have signed the highest version there is, and nothing would ever be newer.
 * So the versions that a key has signed count no longer than the key. */
static void forget_revoked(struct trust *t, const struct release_root *before,
                           const struct release_root *after)
{
    if (has_revoked(before, after, RELEASE_TIMESTAMP))
        t->least_timestamp = 0;
    if (has_revoked(before, after, RELEASE_RELEASE))
        t->least_manifest = 0;
}

static void note_passed(struct trust *t, const char *sha256)
{
    if (t->n_passed == MAX_PASSED) {
        memmove(t->passed, t->passed[1], sizeof(t->passed) - sizeof(t->passed[0]));
        t->n_passed--;
    }
    (void)str_copy(t->passed[t->n_passed++], SHA256_HEX_SIZE, sha256); /* it fits */
}

static bool has_passed(const struct trust *t, const char *sha256)
{
    size_t i;

    for (i = 0; i < t->n_passed; i++)
        if (str_eq(t->passed[i], sha256))
            return true;
    return false;
}

static int set_root(struct trust *t, const char *bytes, size_t n, const struct release_root *root,
                    struct err *err)
{
    char *copy = strndup(bytes, n); /* JSON: there is no NUL in it */

    if (copy == NULL)
        return err_set(err, ERR_NOMEM, "out of memory");
    free(t->root_file);
    t->root_file = copy;
    t->root = *root;
    return 0;
}

static int take_root(struct trust *t, const char *bytes, size_t n, struct err *err)
{
    struct release_root before = t->root, root;
    char sha256[SHA256_HEX_SIZE];
    int r;

    if (t->n_walked == TRUST_MAX_ROOTS)
        return err_set(err, ERR_LIMIT,
                       "more than %d roots have followed on the one of this machine: give it a "
                       "newer root file",
                       TRUST_MAX_ROOTS);
    r = read_root(bytes, n, &t->root, &root, err);
    if (r < 0)
        return r;
    if (root.version != t->root.version + 1)
        return err_set(err, ERR_REFUSED,
                       "it is version %" PRId64 " of the root, and version %" PRId64
                       " must follow here",
                       root.version, t->root.version + 1);
    r = set_root(t, bytes, n, &root, err);
    if (r < 0)
        return r;
    forget_revoked(t, &before, &root);
    sha256_hex_of(bytes, n, sha256);
    note_passed(t, sha256);
    t->n_walked++;
    return 0;
}

/* ---- timestamp and manifest ---- */

static int take_timestamp(struct trust *t, const char *bytes, size_t n, struct err *err)
{
    AUTO(release_envelope_done) struct release_envelope e = {.role = RELEASE_TIMESTAMP};
    struct release_timestamp stamp;
    int r;

    if ((r = release_envelope_parse(bytes, n, RELEASE_TIMESTAMP, &e, err)) < 0 ||
        (r = signing_check(&t->root, &e, NULL, err)) < 0 ||
        (r = release_timestamp_parse(e.payload, e.n_payload, &stamp, err)) < 0 ||
        (r = check_version(stamp.version, t->least_timestamp, "it", err)) < 0 ||
        (r = check_version(stamp.manifest_version, t->least_manifest, "the manifest that it names",
                           err)) < 0 ||
        (r = check_time(t, stamp.issued_unix_ms, stamp.expires_unix_ms, err)) < 0)
        return r;
    t->timestamp = stamp;
    t->stage = STAGE_MANIFEST;
    return 0;
}

static int take_manifest(struct trust *t, const char *bytes, size_t n, struct err *err)
{
    AUTO(release_envelope_done) struct release_envelope e = {.role = RELEASE_RELEASE};
    AUTO(release_manifest_done) struct release_manifest m = {.version = 0};
    char sha256[SHA256_HEX_SIZE];
    int r;

    sha256_hex_of(bytes, n, sha256);
    if ((uint64_t)t->timestamp.manifest_length_bytes != n ||
        !str_eq(sha256, t->timestamp.manifest_sha256))
        return err_set(err, ERR_PROTOCOL,
                       "it is not the manifest that timestamp.json names (%zu bytes, and it must "
                       "have %" PRId64 ", with SHA-256 %.16s...): the update source is being "
                       "changed, or damaged; try again later",
                       n, t->timestamp.manifest_length_bytes, t->timestamp.manifest_sha256);
    if ((r = release_envelope_parse(bytes, n, RELEASE_RELEASE, &e, err)) < 0 ||
        (r = signing_check(&t->root, &e, NULL, err)) < 0 ||
        (r = release_manifest_parse(e.payload, e.n_payload, &m, err)) < 0 ||
        (r = check_time(t, m.issued_unix_ms, m.expires_unix_ms, err)) < 0)
        return r;
    if (m.version != t->timestamp.manifest_version)
        return err_set(err, ERR_INVALID,
                       "ManifestVersion is %" PRId64 ", and timestamp.json says %" PRId64,
                       m.version, t->timestamp.manifest_version);
    t->manifest = TAKE_STRUCT(m);
    t->stage = STAGE_DONE;
    return 0;
}

/* ---- the run ---- */

bool trust_wanted(const struct trust *t, struct trust_wanted *ret_wanted)
{
    struct trust_wanted w = {.may_be_missing = false};

    switch (t->stage) {
    case STAGE_ROOTS:
        (void)snprintf(w.name, sizeof(w.name), "%" PRId64 ".root.json", t->root.version + 1);
        w.max_bytes = RELEASE_ROOT_MAX_BYTES;
        w.may_be_missing = true;
        break;
    case STAGE_TIMESTAMP:
        (void)str_copy(w.name, sizeof(w.name), "timestamp.json"); /* it fits, as below */
        w.max_bytes = RELEASE_TIMESTAMP_MAX_BYTES;
        break;
    case STAGE_MANIFEST:
        (void)str_copy(w.name, sizeof(w.name), "manifest.json");
        w.max_bytes = (size_t)t->timestamp.manifest_length_bytes;
        break;
    case STAGE_DONE:
    case STAGE_FAILED:
    default:
        return false;
    }
    *ret_wanted = w;
    return true;
}

static int end_step(struct trust *t, const struct trust_wanted *w, int r, struct err *err)
{
    if (r == 0)
        return 0;
    t->stage = STAGE_FAILED;
    (void)err_wrap(err, "%s of the update source", w->name);
    return r;
}

int trust_take(struct trust *t, const char *bytes, size_t n, struct err *err)
{
    struct trust_wanted w;
    int r;

    if (!trust_wanted(t, &w))
        return err_set(err, ERR_STATE, "no further file of the update source is wanted");
    if (n > w.max_bytes)
        r = err_set(err, t->stage == STAGE_MANIFEST ? ERR_PROTOCOL : ERR_LIMIT,
                    "it has more than the %zu bytes that it may have", w.max_bytes);
    else if (t->stage == STAGE_ROOTS)
        r = take_root(t, bytes, n, err);
    else if (t->stage == STAGE_TIMESTAMP)
        r = take_timestamp(t, bytes, n, err);
    else
        r = take_manifest(t, bytes, n, err);
    return end_step(t, &w, r, err);
}

int trust_take_none(struct trust *t, struct err *err)
{
    struct trust_wanted w;
    int r;

    if (!trust_wanted(t, &w))
        return err_set(err, ERR_STATE, "no further file of the update source is wanted");
    if (!w.may_be_missing) {
        r = err_set(err, ERR_NOT_FOUND, "there is none: is this the URL of an update source?");
        return end_step(t, &w, r, err);
    }
    /* No newer root: the one at hand is in force, if its time is not over. */
    r = check_time(t, t->root.issued_unix_ms, t->root.expires_unix_ms, err);
    if (r < 0) {
        t->stage = STAGE_FAILED;
        (void)err_wrap(err, "root %" PRId64 " of the update source", t->root.version);
        return r;
    }
    t->stage = STAGE_TIMESTAMP;
    return 0;
}

const struct release_manifest *trust_manifest(const struct trust *t)
{
    return t->stage == STAGE_DONE ? &t->manifest : NULL;
}

const struct release_root *trust_root(const struct trust *t)
{
    return &t->root;
}

const struct release_timestamp *trust_timestamp(const struct trust *t)
{
    return t->stage == STAGE_DONE ? &t->timestamp : NULL;
}

void trust_free(struct trust *t)
{
    if (t == NULL)
        return;
    free(t->root_file);
    release_manifest_done(&t->manifest);
    free(t);
}

/* ---- what is remembered ---- */

static int get_number(const struct record *r, const char *key, int64_t *ret_value, struct err *err)
{
    int64_t value = 0;
    int result = record_get_i64(r, key, &value, err);

    if (result < 0)
        return result;
    if (value < 1 || value > RELEASE_MAX_NUMBER)
        return err_set(err, ERR_CORRUPT, "%s is %" PRId64, key, value);
    *ret_value = value;
    return 0;
}

static int read_stored(struct trust *t, const char *bytes, size_t n, struct err *err)
{
    AUTO(record_done) struct record record = {.text = NULL};
    struct release_root root;
    const char *text;
    size_t i;
    int r;

    if ((r = record_parse(bytes, n, RECORD_KIND, &record, err)) < 0 ||
        (r = get_number(&record, "timestamp_version", &t->least_timestamp, err)) < 0 ||
        (r = get_number(&record, "manifest_version", &t->least_manifest, err)) < 0)
        return r;
    text = record_get(&record, "root");
    if (text == NULL)
        return err_set(err, ERR_CORRUPT, "root is missing");
    if ((r = read_root(text, strlen(text), NULL, &root, err)) < 0 ||
        (r = set_root(t, text, strlen(text), &root, err)) < 0)
        return r;
    for (i = 0; i < record.n_items; i++)
        if (str_eq(record.items[i].key, "passed")) {
            if (strlen(record.items[i].value) != SHA256_HEX_SIZE - 1)
                return err_set(err, ERR_CORRUPT, "passed is no SHA-256");
            note_passed(t, record.items[i].value);
        }
    return 0;
}

int trust_begin(const char *root, size_t n_root, const char *stored, size_t n_stored,
                int64_t now_unix_ms, struct trust **ret_trust, struct err *err)
{
    AUTO(trust_free) struct trust *t = calloc(1, sizeof(*t));
    struct release_root given;
    char sha256[SHA256_HEX_SIZE];
    int r;

    if (t == NULL)
        return err_set(err, ERR_NOMEM, "update source: out of memory");
    t->now_unix_ms = now_unix_ms;
    r = read_root(root, n_root, NULL, &given, err);
    if (r < 0) {
        (void)err_wrap(err, "the root file that this machine was given");
        return r;
    }
    if (n_stored > 0) {
        r = read_stored(t, stored, n_stored, err);
        if (r < 0) {
            if (r != ERR_NOMEM && r != ERR_NEWER)
                r = ERR_CORRUPT; /* it is our own file, whatever is wrong with it */
            if (err != NULL) {
                err->code = r;
                (void)err_wrap(err, "what is stored of earlier checks of the update source");
            }
            return r;
        }
    }
    sha256_hex_of(root, n_root, sha256);
    if (!has_passed(t, sha256)) {
        if (n_stored > 0)
            forget_revoked(t, &t->root, &given);
        t->n_passed = 0;
        note_passed(t, sha256);
        r = set_root(t, root, n_root, &given, err);
        if (r < 0)
            return r;
    }
    *ret_trust = TAKE(t);
    return 0;
}

/* Who may write this file decides what is installed. */
static int read_root_file(const char *path, struct buf *ret_bytes, struct err *err)
{
    AUTO(close_fd) int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    struct stat st;

    if (fd < 0 && errno == ENOENT)
        return err_set(err, ERR_NOT_FOUND,
                       "%s: there is no such file, so this machine knows no keys to check "
                       "updates with: put the root file of the update source there",
                       path);
    if (fd < 0 || fstat(fd, &st) != 0)
        return err_sys(err, ERR_IO, errno, "%s: cannot be read", path);
    if (!S_ISREG(st.st_mode))
        return err_set(err, ERR_INVALID, "%s: it is not a file", path);
    if ((st.st_uid != 0 && st.st_uid != geteuid()) || (st.st_mode & (S_IWGRP | S_IWOTH)) != 0)
        return err_set(err, ERR_AUTH,
                       "%s: others may write to it (mode %04o, owner %u); chown root, chmod 0644",
                       path, (unsigned)(st.st_mode & 07777), (unsigned)st.st_uid);
    return fs_read_fd(fd, path, ret_bytes, err);
}

int trust_open(const char *root_file, int dirfd, int64_t now_unix_ms, struct trust **ret_trust,
               struct err *err)
{
    AUTO(buf_done) struct buf root = {0};
    AUTO(buf_done) struct buf stored = {0};
    int r;

    buf_init(&root, RELEASE_ROOT_MAX_BYTES);
    buf_init(&stored, TRUST_FILE_MAX_BYTES);
    r = read_root_file(root_file, &root, err);
    if (r == 0 && dirfd >= 0) {
        r = fs_read_file(dirfd, TRUST_FILE, &stored, err);
        if (r == ERR_NOT_FOUND)
            r = 0;
        else if (r == 0 && stored.len == 0)
            r = err_set(err, ERR_CORRUPT, "%s: it is empty", TRUST_FILE);
    }
    if (r < 0)
        return r;
    return trust_begin(buf_str(&root), root.len, buf_str(&stored), stored.len, now_unix_ms,
                       ret_trust, err);
}

int trust_record(const struct trust *t, struct buf *ret_record, struct err *err)
{
    size_t i;

    if (t->stage != STAGE_DONE)
        return err_set(err, ERR_STATE, "metadata that has not passed every check is not kept");
    record_begin(ret_record, RECORD_KIND);
    record_add(ret_record, "root", t->root_file);
    record_add_i64(ret_record, "root_version", t->root.version);
    for (i = 0; i < t->n_passed; i++)
        record_add(ret_record, "passed", t->passed[i]);
    record_add_i64(ret_record, "timestamp_version", t->timestamp.version);
    record_add_i64(ret_record, "manifest_version", t->manifest.version);
    record_add_i64(ret_record, "checked_unix_ms", t->now_unix_ms);
    record_end(ret_record);
    return buf_error(ret_record, "what is stored of the update source", err);
}

int trust_store(const struct trust *t, int dirfd, struct err *err)
{
    AUTO(buf_done) struct buf record = {0};
    int r;

    buf_init(&record, TRUST_FILE_MAX_BYTES);
    r = trust_record(t, &record, err);
    return r < 0
               ? r
               : fs_write_atomic(dirfd, TRUST_FILE, buf_str(&record), record.len, 0600, true, err);
}

const char *trust_wire_code(int code)
{
    switch (code) {
    case ERR_NETWORK:
    case ERR_TIMEOUT:
    case ERR_SERVER:
    case ERR_NOT_FOUND:
        return "ErrorDownloadManifest_d3";
    case ERR_PROTOCOL:
        return "ErrorDownloadManifest_d4";
    case ERR_IO:
    case ERR_FULL:
        return "ErrorDownloadManifest_d2";
    default:
        return "ErrorDownloadManifest_d6";
    }
}
