/* What GitHub's "contents" API answers (spec 04, section 8.8). Pure; any thread. */
#ifndef SSMD_SCHEMA_GITHUB_H
#define SSMD_SCHEMA_GITHUB_H

#include "base/buf.h"
#include "schema/json.h"

#define GITHUB_MAX_ANSWER_BYTES (8u << 20)
#define GITHUB_MAX_FILE_BYTES (4u << 20) /* the API gives at most 1 MB */
#define GITHUB_MAX_ENTRIES 10000u

enum github_kind { GITHUB_FILE, GITHUB_DIRECTORY, GITHUB_OTHER };

struct github_entry {
    enum github_kind kind;
    const char *type; /* as the API calls it */
    const char *name; /* one component, never "." or ".." */
    const char *path; /* from the repository's root */
};

struct github_answer {
    cJSON *root; /* owned; what the texts point into */
    bool is_directory;
    struct github_entry *entries; /* of a directory; owned */
    size_t n_entries;
    struct github_entry file; /* else */
    struct buf content;       /* of the file, decoded */
};

/* ERR_PROTOCOL: not such an answer, or a name in it is no name; ERR_UNSUPPORTED: a file without its
 * content (over 1 MB); ERR_LIMIT, ERR_NOMEM. On success the caller owns *ret_answer:
 * github_answer_done(). */
int github_answer_parse(const char *body, size_t n, struct github_answer *ret_answer,
                        struct err *err) MUST_CHECK;
void github_answer_done(struct github_answer *a);
/* The text of an error answer; "" when it has none. */
void github_error_text(const char *body, size_t n, char *ret_text, size_t size);

static inline void github_answer_done_cleanup(struct github_answer *a)
{
    github_answer_done(a);
}

#endif
