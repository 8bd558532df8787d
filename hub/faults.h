/* Failures on request, for testing agents (--faults, POST /_faults). A rule waits for calls of an
 * operation and spoils the next `times` of them. Main thread. */
#ifndef SSMD_HUB_FAULTS_H
#define SSMD_HUB_FAULTS_H

#include <stdbool.h>
#include <stdint.h>

#include "schema/json.h"

#define FAULTS_MAX_RULES 64

enum fault_kind {
    FAULT_ERROR,     /* answer `status` and `code` without doing the call */
    FAULT_FORGET,    /* answer 500 without doing the call, as a service that lost it */
    FAULT_LOSE,      /* do the call, then reset the connection instead of answering */
    FAULT_RESET,     /* reset the connection without doing the call */
    FAULT_DELAY,     /* do the call after `delay_ms` */
    FAULT_DUPLICATE, /* GetMessages: every message of the answer stands `copies` times in it */
    FAULT_REORDER,   /* GetMessages: newest first */
    FAULT_KIND_END_
};

struct fault_rule {
    enum fault_kind kind;
    char operation[64]; /* "" or "*": any */
    int64_t times;      /* how many calls are left to spoil */
    int64_t delay_ms;
    int64_t copies;
    unsigned status;
    char code[64];
};

struct faults {
    struct fault_rule rules[FAULTS_MAX_RULES];
    size_t n_rules;
};

/* The first rule of one of these kinds (bits) for `operation`; uses up one of its times. False if
 * there is none. */
bool faults_take(struct faults *f, const char *operation, unsigned kinds,
                 struct fault_rule *ret_rule);
/* Add a rule from JSON: {"kind":"error","operation":"SendReply","times":3,"status":503,...}.
 * ERR_INVALID names the member. */
int faults_add(struct faults *f, const cJSON *json, struct err *err) MUST_CHECK;
void faults_clear(struct faults *f);
/* The rules that are left, as a JSON list under `key`. */
void faults_write(const struct faults *f, struct buf *out, const char *key);

#endif
