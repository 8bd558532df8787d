/* What the command line's reader and `help` share. */
#ifndef SSMD_CTL_CLI_INTERNAL_H
#define SSMD_CTL_CLI_INTERNAL_H

#include "ctl/ctl.h"

#define CTL_MAX_ARGS 4096

/* Options that every verb takes. */
extern const struct ctl_option ctl_global_options[];

/* The verb that words[0..n) begin with, and how many words its name takes; NULL when there is none.
 */
const struct ctl_verb *ctl_find_verb(const char *const *words, size_t n, size_t *ret_n_words);

/* ERR_USAGE: no such verb, with what may have been meant. */
int ctl_unknown_verb(const char *const *words, size_t n, struct err *err);

#endif
