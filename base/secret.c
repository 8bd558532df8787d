/* Secrets, wiped when they end. */
#include "base/secret.h"

#include <stdlib.h>
#include <string.h>

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
