/* What ssmd asks ssmd-stager, and what it answers: one record (base/record.h) on its standard
 * input, one on its standard output; its standard error is for the log. Each phase may be done
 * again: it begins by looking at what is there. Exit status 0 whenever an answer was written. */
#ifndef SSMD_UPDATE_STAGER_PROTOCOL_H
#define SSMD_UPDATE_STAGER_PROTOCOL_H

#include <limits.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "update/slots.h"

#define STAGER_LIMIT_MS (28ll * 60 * 1000) /* a little less than the update machine's deadline */
#define STAGER_STALL_MS (60ll * 1000)
#define STAGER_MAX_REQUEST_BYTES (64u << 10)
#define STAGER_MAX_ANSWER_BYTES (16u << 10)

enum stager_phase {
    STAGER_CHECK,  /* metadata only: what would be installed (ssmctl update --check) */
    STAGER_FETCH,  /* metadata, verified; the choice; the package to work/package */
    STAGER_VERIFY, /* all of it again, from the disk alone; then trust/ is brought up to date */
    STAGER_STAGE,  /* unpack, try, seal, rename into versions/ */
    STAGER_N_PHASES
};

struct stager_request {
    enum stager_phase phase;
    char update_id[64];
    char source[1024]; /* URL of the update source, a directory; {Region} is replaced already */
    char root_file[PATH_MAX];       /* the keys that this machine was given */
    char update_dir[PATH_MAX];      /* <state>/update */
    char slots_dir[PATH_MAX];       /* /opt/ssmd */
    char package[128];              /* agentName: "ssmd", or what the reference is called */
    char asked[SLOTS_VERSION_SIZE]; /* "", "latest", "stable", or a version */
    char from[SLOTS_VERSION_SIZE];
    bool allow_downgrade;
    bool without_package; /* FETCH: the metadata and the choice are all that is wanted */
    char region[64];      /* for the places of packages; "": not known */
    char node_id[128];    /* decides, with the version, on which side of a rollout this node is */
    char ca_file[PATH_MAX], user_agent[128];
    int64_t limit_ms; /* of the whole phase; 0: STAGER_LIMIT_MS */
    int64_t stall_ms; /* a transfer in which nothing moves for so long has failed; 0:
                         STAGER_STALL_MS */
    /* of the fetched package, for VERIFY and STAGE: from FETCH's answer, by way of the journal */
    char target[SLOTS_VERSION_SIZE], sha256[65];
    int64_t length_bytes, manifest_version;
};

enum stager_verdict { STAGER_OK, STAGER_SKIP, STAGER_FAIL };

struct stager_answer {
    enum stager_verdict verdict;
    bool is_retry_worthwhile; /* a FAIL that may pass by itself, as the network's do */
    char code[64];            /* of spec 06, section 13; "" when OK */
    char text[400];           /* for people: what, to what, why, what to try */
    char target[SLOTS_VERSION_SIZE], url[1024], sha256[65];
    int64_t length_bytes, manifest_version, root_version;
};

/* Both directions. The buffers are the caller's (buf_init() with the maxima above; buf_error()
 * tells whether all of it fitted). parse: ERR_CORRUPT names the key; ERR_NEWER. In an answer,
 * whatever is not printable in `text` comes as '?': it may hold names that strangers chose. */
void stager_request_write(const struct stager_request *q, struct buf *ret_text);
int stager_request_parse(const char *bytes, size_t n, struct stager_request *ret_request,
                         struct err *err) MUST_CHECK;
void stager_answer_write(const struct stager_answer *a, struct buf *ret_text);
int stager_answer_parse(const char *bytes, size_t n, struct stager_answer *ret_answer,
                        struct err *err) MUST_CHECK;

#endif
