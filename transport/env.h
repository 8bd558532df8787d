/* The environment, behind a seam for tests. */
#ifndef SSMD_TRANSPORT_ENV_H
#define SSMD_TRANSPORT_ENV_H

#include <stdlib.h>

/* The zero value is getenv(). */
struct env_source {
    const char *(*get)(void *ctx, const char *name);
    void *ctx;
};

/* NULL when it is not set. `env` may be NULL. */
static inline const char *env_get(const struct env_source *env, const char *name)
{
    return env != NULL && env->get != NULL ? env->get(env->ctx, name) : getenv(name);
}

/* As env_get(), but "" counts as not set. */
static inline const char *env_get_nonempty(const struct env_source *env, const char *name)
{
    const char *value = env_get(env, name);

    return value != NULL && *value != '\0' ? value : NULL;
}

#endif
