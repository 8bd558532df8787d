/* Secrets, wiped when they end. */
#include "base/secret.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"

bool secret_is_variable(const char *entry)
{
    static const char *const names[] = {
        "AWS_ACCESS_KEY_ID=",     "AWS_ACCESS_KEY=", /* as the SDKs know them */
        "AWS_SECRET_ACCESS_KEY=", "AWS_SECRET_KEY=", "AWS_SESSION_TOKEN=", "AWS_SECURITY_TOKEN=",
    };
    size_t i;

    for (i = 0; i < ARRAY_LEN(names); i++)
        if (str_has_prefix(entry, names[i]))
            return true;
    return false;
}

/* "user:password@" before the first character that ends a URL's authority. */
static bool has_password(const char *authority)
{
    size_t n = strcspn(authority, "/?# \t\"'");
    const char *at = memchr(authority, '@', n);

    return at != NULL && memchr(authority, ':', (size_t)(at - authority)) != NULL;
}

bool secret_is_in_url(const char *entry)
{
    const char *value = strchr(entry, '='), *p;

    if (value == NULL)
        return false;
    if (has_password(value + 1)) /* a proxy may be written without its scheme */
        return true;
    for (p = value; (p = strstr(p, "://")) != NULL; p += 3)
        if (has_password(p + 3))
            return true;
    return false;
}

char **secret_clean_environment(void)
{
    size_t i, n = 0, k = 0;
    char **list;

    while (environ[n] != NULL)
        n++;
    list = calloc(n + 1, sizeof(*list));
    for (i = 0; list != NULL && i < n; i++)
        if (!secret_is_variable(environ[i]))
            list[k++] = environ[i];
    return list;
}

void secret_done(struct secret *s)
{
    if (s->value_do_not_print != NULL) {
        explicit_bzero(s->value_do_not_print, s->len);
        free(s->value_do_not_print);
    }
    *s = (struct secret){0};
}

int secret_set(struct secret *s, const char *value, struct err *err)
{
    char *copy = strdup(value);

    if (copy == NULL)
        return err_set(err, ERR_NOMEM, "secret: out of memory");
    secret_done(s);
    s->value_do_not_print = copy;
    s->len = strlen(copy);
    return 0;
}
