/* Inside of ssmd-stager: what its phases share. */
#ifndef SSMD_UPDATE_STAGER_INTERNAL_H
#define SSMD_UPDATE_STAGER_INTERNAL_H

#include <stdint.h>
#include <uv.h>

#include "base/sha256.h"
#include "transport/http.h"
#include "update/choose.h"
#include "update/stager_protocol.h"
#include "update/trust.h"

#define STAGER_WORK "work"   /* below update_dir */
#define STAGER_TRUST "trust" /* likewise */
#define STAGER_PACKAGE "package"
#define STAGER_MARGIN_BYTES (16ll << 20) /* what is left free on a disk that is written to */

struct stager {
    const struct stager_request *q;
    struct stager_answer *answer;
    /* Of spec 06, section 13: what a failure of the step under way is called. Static. */
    const char *code;
    uv_loop_t loop;
    struct http *http; /* owned; NULL until something is asked for */
    uv_timer_t limit;  /* of the whole phase */
    uv_timer_t pause;  /* between two tries */
    bool is_late;
    int work_fd, trust_fd; /* owned; -1: not there, and nothing is kept */
};

/* Before anything is read: limits, no privileges to gain, and an end together with the parent. */
int stager_confine(struct err *err) MUST_CHECK;
/* From now on nothing is written but below the directories that the phase prepares, by this process
 * and those it starts. Where the kernel has no such thing (Landlock), nothing changes. */
void stager_confine_writes(const struct stager_request *q);

/* Where bytes go. take: as http_sink_fn. restart: what came so far is void, it begins anew. */
struct stager_sink {
    int (*take)(void *ctx, const void *bytes, size_t n, struct err *err);
    int (*restart)(void *ctx, struct err *err);
    void *ctx;
};

/* One file from an http://, https:// or file:// URL, tried again while that may help.
 * ERR_NOT_FOUND: the source has none; ERR_NETWORK, ERR_TIMEOUT, ERR_SERVER, ERR_THROTTLED,
 * ERR_REFUSED, ERR_PROTOCOL, or what the sink says. The URL is in the text. */
int stager_get(struct stager *s, const char *url, const struct stager_sink *sink, struct err *err)
    MUST_CHECK;
/* Wait. ERR_TIMEOUT: the phase is over before. */
int stager_wait(struct stager *s, int64_t ms, struct err *err) MUST_CHECK;

/* The metadata, from the source (kept in work/ when that is open) or from work/ alone, every check
 * passed. On success the caller owns *ret_trust. */
int stager_metadata_fetch(struct stager *s, struct trust **ret_trust, struct err *err) MUST_CHECK;
int stager_metadata_load(struct stager *s, struct trust **ret_trust, struct err *err) MUST_CHECK;
/* What it offers; the answer gets all that is known of it. `ret_choice` borrows from the trust. */
void stager_choose(struct stager *s, const struct trust *t, struct choice *ret_choice);
/* The same again; it must be what the request names. */
int stager_choose_again(struct stager *s, const struct trust *t, struct choice *ret_choice,
                        struct err *err) MUST_CHECK;

/* The package into work/package, unless it is there. */
int stager_package_fetch(struct stager *s, const struct choice *c, struct err *err) MUST_CHECK;
/* work/package is of that length and hash; *ret_fd (the caller's) is at its beginning.
 * ERR_NOT_FOUND: there is none. ERR_CORRUPT: another one. */
int stager_package_open(struct stager *s, int64_t length_bytes, const char *sha256, int *ret_fd,
                        struct err *err) MUST_CHECK;

/* At least `bytes` and a margin are free where `fd` is; `where` is for the text. ERR_FULL. */
int stager_check_room(int fd, int64_t bytes, const char *where, struct err *err) MUST_CHECK;

/* How much the files of a package take at most, as far as the manifest says. */
static inline int64_t stager_unpacked_max_bytes(const struct release_version *v)
{
    return v->unpacked_bytes > 0 && v->unpacked_bytes < SLOTS_MAX_BYTES ? v->unpacked_bytes
                                                                        : SLOTS_MAX_BYTES;
}

/* ... and for how much there should be room: where the manifest does not say, as programs usually
 * compress. */
static inline int64_t stager_unpacked_room_bytes(const struct release_version *v)
{
    int64_t max_bytes = stager_unpacked_max_bytes(v);

    return v->unpacked_bytes == 0 && v->length_bytes * 4 < max_bytes ? v->length_bytes * 4
                                                                     : max_bytes;
}

/* The last phase, slots and all. */
int stager_stage(struct stager *s, struct err *err) MUST_CHECK;

/* Run <dirfd>/<program> --version: it must end with 0 within ten seconds and begin its output with
 * "<name> <version>". ERR_REFUSED says what it did instead. */
int stager_trial(int dirfd, const char *program, const char *version, struct err *err) MUST_CHECK;

/* "fetching <url>" and the like, one line for ssmd's log. */
void stager_say(const char *fmt, ...) PRINTF_LIKE(1, 2);

#endif
