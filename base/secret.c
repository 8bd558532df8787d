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
