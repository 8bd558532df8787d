/* What the files of the configuration's reader share. */
#ifndef SSMD_SCHEMA_CONFIG_INTERNAL_H
#define SSMD_SCHEMA_CONFIG_INTERNAL_H

#include "schema/config.h"
#include "schema/json.h"

#define CONFIG_NO_MAX INT64_C(1000000000000) /* the reference sets no bound; here it is this */

void *config_member(struct config *c, const struct config_key *k);
const void *config_member_of(const struct config *c, const struct config_key *k);
void config_set_default(struct config *c, const struct config_key *k);
void config_point_words(struct config *c, size_t n);
bool config_next_item(const char **at, char *dst, size_t size);

/* A stretch of a text that json_parse() took: the walk over it looks for ends only. */
struct config_span {
    const char *begin, *end;
};

/* The next member of an object (the next element of a list, with `ret_name` NULL) in *rest, which
 * is what stands between its brackets. False at the end. */
bool config_next_member(struct config_span *rest, struct config_span *ret_name,
                        struct config_span *ret_value);
/* Between the brackets of an object or list. */
struct config_span config_inside(struct config_span value);

/* Counting goes on from where it stood: places mostly come in order. */
struct config_lines {
    const char *at;
    int line;
};

struct config_reading {
    struct config *config;
    struct config *scratch; /* one entry of Identity.CustomIdentities */
    const char *text;       /* the whole file */
    struct config_lines *lines;
    const char *place; /* the value that is read */
    config_finding_fn found;
    void *ctx;
    int *seen; /* line on which each key of the table was read last, by its row; 0: not yet */
    int fatal; /* out of memory: the reading cannot go on */
};

int config_line(const struct config_reading *rd, const char *at);
void config_say(const struct config_reading *rd, enum config_severity severity, const char *kind,
                const char *key, const char *used, const char *fmt, ...) PRINTF_LIKE(6, 7);

/* A value into the member of its key; what cannot be used is a finding. */
void config_read_value(struct config_reading *rd, const struct config_key *k, const cJSON *value);
void config_read_identities(struct config_reading *rd, const struct config_key *k,
                            struct config_span list, const cJSON *value);
/* "Section.Name", shortened to the size. */
void config_key_name(const struct config_key *k, char *ret, size_t size);

/* What keys say against each other, when all are read. */
void config_check_together(struct config_reading *rd);

#endif
