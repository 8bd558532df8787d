/* YAML from any bytes: what is accepted is a tree that is JSON, with all that schema/json.h says.
 */
#include <stdlib.h>

#include "schema/yaml.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t n);

static void check(const cJSON *tree)
{
    struct buf text;
    cJSON *again = NULL;
    struct err err;

    buf_init(&text, 64u << 20);
    json_write(&text, tree);
    if (text.failed == 0 &&
        json_parse(text.data, text.len, 64u << 20, JSON_REFUSE, "yaml", &again, &err) < 0)
        abort();
    cJSON_Delete(again);
    buf_done(&text);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t n)
{
    cJSON *tree = NULL;
    struct err err;

    if (yaml_parse((const char *)data, n, 1u << 20, "yaml", &tree, &err) == 0) {
        check(tree);
        cJSON_Delete(tree);
        tree = NULL;
    }
    if (document_text_parse((const char *)data, n, 1u << 20, "document", &tree, &err) == 0) {
        check(tree);
        cJSON_Delete(tree);
    }
    return 0;
}
