/* Which metadata of an update source this machine believes (docs/release-format.md): the rules of
 * TUF over the files of schema/release.h. Neither network nor clock is touched here. Who fetches
 * asks trust_wanted() which file is next and gives its bytes, until there is no next one:
 *
 *     trust_open(...);
 *     while (trust_wanted(t, &w)) {
 *         fetch at most w.max_bytes of <source>/<w.name>
 *         r = found ? trust_take(t, bytes, n, err) : trust_take_none(t, err);
 *         if (r < 0)
 *             the metadata is not to be believed; nothing of it may be used
 *     }
 *     choose from trust_manifest(t); later trust_store()
 *
 * What passed every check is remembered by trust_store() alone, as one file, so that the next run
 * accepts nothing older. The same bytes can be given again (from the disk): the answer is the same.
 *
 * Errors, whose text names file and field: ERR_INVALID, ERR_LIMIT (malformed or too large),
 * ERR_AUTH (fewer valid signatures than the threshold, or one that does not fit), ERR_REFUSED
 * (older than what was believed before, expired, or not yet made by this machine's clock),
 * ERR_PROTOCOL (not the manifest that the timestamp names: also seen while a source is being
 * changed, so that trying again may help), ERR_NOT_FOUND (a file that must be there is not),
 * ERR_CORRUPT (the stored file is damaged), ERR_NOMEM. One thread at a time. */
#ifndef SSMD_UPDATE_TRUST_H
#define SSMD_UPDATE_TRUST_H

#include "schema/release.h"

#define TRUST_FILE "trusted" /* in <state>/update/trust: a record of base/record.h */
#define TRUST_FILE_MAX_BYTES ((size_t)256 << 10)
#define TRUST_MAX_ROOTS 64           /* that are walked in one run */
#define TRUST_CLOCK_SLACK_MS 3600000 /* a file may be this much younger than the clock */

struct trust;

struct trust_wanted {
    char name[32];       /* "7.root.json", "timestamp.json", "manifest.json" */
    size_t max_bytes;    /* a longer file is refused: who fetches stops there */
    bool may_be_missing; /* its absence is an answer: trust_take_none() */
};

/* Begin. `root` is the root file that this machine was given, `stored` what trust_store() wrote
 * (n_stored 0: nothing yet). When the machine was given another root file since, one that the
 * stored chain has not passed through, the chain begins anew with that. Nothing is borrowed. On
 * success the caller owns *ret_trust: trust_free(). */
int trust_begin(const char *root, size_t n_root, const char *stored, size_t n_stored,
                int64_t now_unix_ms, struct trust **ret_trust, struct err *err) MUST_CHECK;
/* The same from files: the root's path, and TRUST_FILE in dirfd (-1: nothing is stored). */
int trust_open(const char *root_file, int dirfd, int64_t now_unix_ms, struct trust **ret_trust,
               struct err *err) MUST_CHECK;
void trust_free(struct trust *t);

/* The next file. False: everything is here and every check has passed. */
bool trust_wanted(const struct trust *t, struct trust_wanted *ret_wanted);
/* The bytes of that file, all of them. After a failure nothing more is taken (ERR_STATE). */
int trust_take(struct trust *t, const char *bytes, size_t n, struct err *err) MUST_CHECK;
/* The source has no such file. */
int trust_take_none(struct trust *t, struct err *err) MUST_CHECK;

/* NULL until every check has passed. Borrowed. */
const struct release_manifest *trust_manifest(const struct trust *t);
/* The root in force; it may become a newer one until everything was taken. Borrowed. */
const struct release_root *trust_root(const struct trust *t);
/* NULL until every check has passed. Borrowed. */
const struct release_timestamp *trust_timestamp(const struct trust *t);

/* Remember it, synced and atomically: in memory, or as TRUST_FILE in dirfd. ERR_STATE: not every
 * check has passed. */
int trust_record(const struct trust *t, struct buf *ret_record, struct err *err) MUST_CHECK;
int trust_store(const struct trust *t, int dirfd, struct err *err) MUST_CHECK;

/* The code of spec 06, section 13, for an error of this header. */
const char *trust_wire_code(int code);

DEFINE_AUTO(struct trust *, trust_free)

#endif
