/* A value that must not reach a log, the journal, argv or another program's environment. Being a
 * struct, it cannot be handed to a printf by accident; its bytes are wiped when it ends. */
#ifndef SSMD_BASE_SECRET_H
#define SSMD_BASE_SECRET_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

struct secret {
    char *value_do_not_print; /* owned, NUL-terminated, or NULL */
    size_t len;
};

int secret_set(struct secret *s, const char *value, struct err *err)
    MUST_CHECK; /* wipes what was there */
void secret_done(struct secret *s);
static inline bool secret_is_set(const struct secret *s)
{
    return s->value_do_not_print != NULL && s->len > 0;
}
/* The one way to its bytes; borrowed. Calls of this are what a reviewer searches for. */
static inline const char *secret_reveal(const struct secret *s)
{
    return s->value_do_not_print != NULL ? s->value_do_not_print : "";
}

/* True for "NAME=value" where NAME is one of the variables that an agent's own AWS credentials may
 * come in: they are not handed on to what it starts, nor written to a step's directory. */
bool secret_is_variable(const char *entry) MUST_CHECK;
/* True for "NAME=value" where the value holds a URL with a password, such as a proxy's: scripts
 * inherit it, as users of the reference expect, and no other program needs it. */
bool secret_is_in_url(const char *entry) MUST_CHECK;
/* environ without these of secret_is_variable(). NULL-terminated; the array is the caller's, its
 * strings are not. NULL only when memory is short. */
char **secret_clean_environment(void) MUST_CHECK;

static inline void secret_done_cleanup(struct secret *s)
{
    secret_done(s);
}

#endif
