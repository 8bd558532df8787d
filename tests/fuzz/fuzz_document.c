/* Documents from any bytes, followed by the inputs of their scripts. */
#include <stdlib.h>

#include "schema/document.h"
#include "schema/script.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t n);

static int resolve(void *ctx, const char *reference, const char **ret_type, const char **ret_value,
                   struct err *err)
{
    (void)ctx;
    (void)err;
    *ret_type = reference[0] == 'l' ? "StringList" : "String";
    *ret_value = "one,{{ssm:two}},";
    return 0;
}

static void check(const struct document *d)
{
    size_t i;

    for (i = 0; i < d->n_plugins; i++) {
        const struct document_plugin *p = &d->plugins[i];

        if ((p->disposition == DOCUMENT_RUN) != (p->note == NULL) ||
            (p->disposition == DOCUMENT_RUN) != (p->n_units > 0) || p->same_as > i ||
            p->first_unit + p->n_units > d->n_units || (p->is_finally && i + 1 < d->n_plugins))
            abort();
    }
    for (i = 0; i < d->n_units; i++) {
        struct script_inputs inputs;
        struct buf failure;
        struct err err;

        buf_init(&failure, 32768);
        if (script_inputs_parse(d->units[i].inputs, &inputs, &failure, &err) == 0)
            script_inputs_done(&inputs);
        else if (failure.failed != 0)
            abort();
        buf_done(&failure);
    }
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t n)
{
    static const struct document_resolver resolver = {.resolve = resolve};
    struct document_input in = {.resolver = &resolver};
    struct document_references references;
    struct document *d = NULL;
    cJSON *root = NULL;
    struct err err;

    if (json_parse((const char *)data, n, 1u << 20, JSON_REFUSE, "document", &root, &err) < 0)
        return 0;
    in.content = root;
    in.parameters = json_get(root, "fuzzParameters");
    in.is_nested = json_get(root, "fuzzNested") != NULL;
    if (document_parse(&in, &d, &err) == 0) {
        check(d);
        document_free(d);
    }
    if (document_find_ssm_references(&in, &references, &err) == 0)
        document_references_done(&references);
    cJSON_Delete(root);
    return 0;
}
