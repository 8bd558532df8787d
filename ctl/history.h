/* The journal as the verbs use it: opened with an error text for operators, and a job found by the
 * beginning of its id. */
#ifndef SSMD_CTL_HISTORY_H
#define SSMD_CTL_HISTORY_H

#include "base/paths.h"
#include "journal/reader.h"

/* As reader_open() on the journal of `paths`. ERR_AUTH: it may not be read; ERR_NETWORK: there is
 * none. The caller owns *ret_reader: reader_close(). */
int history_open(const struct paths *paths, struct reader **ret_reader, struct err *err) MUST_CHECK;

/* As reader_get(). ERR_NOT_FOUND and ERR_INVALID (several) say what to try. */
int history_pick(struct reader *r, const char *prefix, struct reader_instance *ret_instance,
                 struct err *err) MUST_CHECK;

#endif
