/* The fingerprint of a hybrid node: a random UUID that stays valid while the machine is, by nine
 * attributes, still the same one (spec 01, section 5). Pure. Any thread. */
#ifndef SSMD_SCHEMA_FINGERPRINT_H
#define SSMD_SCHEMA_FINGERPRINT_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/ids.h"

#define FINGERPRINT_N 9 /* attributes */
#define FINGERPRINT_VALUE_SIZE 300
#define FINGERPRINT_DEFAULT_THRESHOLD 40 /* per cent of the attributes that must be equal */
#define FINGERPRINT_NO_CHECK (-1)

enum fingerprint_attribute {
    FINGERPRINT_BIOS,
    FINGERPRINT_DISK,
    FINGERPRINT_HOST_NAME,
    FINGERPRINT_IP,
    FINGERPRINT_MAC,
    FINGERPRINT_MACHINE_ID,
    FINGERPRINT_MEMORY,
    FINGERPRINT_PROCESSOR,
    FINGERPRINT_SYSTEM,
};
/* The names as stored, which are in the order of their bytes. */
extern const char *const fingerprint_names[FINGERPRINT_N];

/* What identifies this machine; "" where a source gives nothing. */
struct hardware {
    char value[FINGERPRINT_N][FINGERPRINT_VALUE_SIZE];
};

struct fingerprint {
    char uuid[UUID_SIZE]; /* "": none was made yet */
    struct hardware hardware;
    bool has_hardware;
    int threshold; /* 1 to 100, or FINGERPRINT_NO_CHECK; 0: never set */
};

/* The record as the reference agent stores it. A missing member is empty; ERR_INVALID: no such
 * record. */
int fingerprint_parse(const char *text, size_t n, struct fingerprint *ret, struct err *err)
    MUST_CHECK;
void fingerprint_write(const struct fingerprint *f, struct buf *b);

/* Is the machine that is `now` the one that was stored? */
bool fingerprint_is_same(const struct fingerprint *stored, const struct hardware *now);
/* Equal attributes, for people. */
int fingerprint_count_equal(const struct fingerprint *stored, const struct hardware *now);

/* A threshold as a user may ask for it: 1 to 100, or -1. */
bool fingerprint_is_threshold(int64_t value);

#endif
