/* The configuration: any bytes. What is laid over the defaults stays within the bounds of the table
 * of keys, and what is refused changes nothing. */
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "schema/config_internal.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t n);

static void on_finding(void *ctx, const struct config_finding *f)
{
    const int *n_lines = ctx;

    if (f->line < 1 || f->line > *n_lines || f->key == NULL || f->key[0] == '\0' ||
        f->text[0] == '\0' || f->used == NULL)
        abort();
}

static void check_bounds(const struct config *c)
{
    const struct config_key *k;
    int64_t v;

    for (k = config_keys; k->section != NULL; k++) {
        if (k->size == 0)
            continue;
        if (k->type == CONFIG_NUMBER) {
            memcpy(&v, config_member_of(c, k), sizeof(v));
            if (v < k->min || v > k->max)
                abort();
        } else if (k->type == CONFIG_TEXT) {
            if (strnlen(config_member_of(c, k), k->size) == k->size)
                abort();
        } else if (k->type == CONFIG_LIST) {
            const struct config_list *list = config_member_of(c, k);

            if (list->n > CONFIG_MAX_LIST)
                abort();
        }
    }
    if (c->reboot_argv[0] == NULL)
        abort();
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t n)
{
    static struct config c, next;
    struct err err = {0};
    int n_lines = 1, r;
    char *text = malloc(n + 1);
    size_t i;

    if (text == NULL)
        abort();
    memcpy(text, data, n);
    text[n] = '\0';
    for (i = 0; i < n; i++)
        n_lines += text[i] == '\n';
    config_init(&c, "/opt/ssmd");
    config_init(&next, "/opt/ssmd");
    r = config_parse(&next, text, n, "configuration", on_finding, &n_lines, &err);
    if (r < 0 && (err.code != r || err.text[0] == '\0' || !str_eq(next.region, "")))
        abort();
    check_bounds(&next);
    config_copy(&c, &next);
    check_bounds(&c);
    free(text);
    return 0;
}
