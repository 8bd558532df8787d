/* Which version a manifest that is believed offers to this node, and whether it is installed: the
 * order of decisions of spec 06, sections 5.1 to 5.3, with what that chapter says to do instead.
 * Pure; any thread. */
#ifndef SSMD_UPDATE_CHOOSE_H
#define SSMD_UPDATE_CHOOSE_H

#include "schema/release.h"

#define CHOOSE_PACKAGE "ssmd"

struct choose_request {
    const char *package; /* what the document calls it: "ssmd", or as the reference is called */
    const char *asked;   /* "" or "None": "latest"; "latest"; "stable" (any case); or a version */
    const char *from;    /* the running version */
    const char *node_id;
    const char *source; /* URL of the update source, {Region} replaced */
    const char *region; /* "": not known */
    const char *arch;   /* "amd64", ...; NULL: of this program */
    bool allow_downgrade;
    int64_t now_unix_ms;
};

enum choose_verdict {
    CHOOSE_OK,
    CHOOSE_SKIP, /* there is nothing to do, and nothing wrong: the step succeeds */
    CHOOSE_FAIL,
};

struct choice {
    enum choose_verdict verdict;
    const char *code;                      /* spec 06, section 13; "" when there is none. static */
    char text[400];                        /* for people, without a line end; "" when OK */
    char target[VERSION_SIZE];             /* as far as it is known, else "" */
    const struct release_version *version; /* OK: borrowed from the manifest */
    char file[RELEASE_NAME_SIZE];          /* OK: "ssmd-linux-amd64.tar.gz" */
    char url[RELEASE_URI_SIZE];            /* OK */
};

void choose_version(const struct release_manifest *m, const struct choose_request *q,
                    struct choice *ret_choice);

/* The architecture this program was built for, as the names of packages have it. */
const char *choose_arch(void);

/* 0 to 9999, evenly over nodes, and another order of nodes for each version. A version of
 * RolloutPercent p is offered to those below 100 p; raising p takes no node out. */
unsigned choose_rollout_place(const char *node_id, const char *version);

#endif
