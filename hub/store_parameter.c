/* Parameters in the store. */
#include "hub/store_internal.h"

int store_parameter_add(struct store *s, const struct parameter_row *row, struct err *err)
{
    return store_run(s, Q_PARAMETER_ADD,
                     ARGS(TEXT(row->name), NUM(row->version), TEXT(row->type), TEXT(row->value),
                          TEXT(row->description), TEXT(row->pattern), TEXT(row->key_id),
                          TEXT(row->data_type), TEXT(row->tier), NUM(row->modified_ms)),
                     err);
}

int store_parameter_delete(struct store *s, const char *name, int64_t version, struct err *err)
{
    int r = store_run(s, Q_PARAMETER_DELETE, ARGS(TEXT(name), NUM(version)), err);

    if (r < 0 || version != 0)
        return r;
    return store_run(s, Q_PARAMETER_LABEL_DELETE, ARGS(TEXT(name), TEXT(NULL)), err);
}

int store_parameter_label(struct store *s, const char *name, const char *label, int64_t version,
                          struct err *err)
{
    return store_run(s, Q_PARAMETER_LABEL_PUT, ARGS(TEXT(name), TEXT(label), NUM(version)), err);
}

int store_parameter_unlabel(struct store *s, const char *name, const char *label, struct err *err)
{
    return store_run(s, Q_PARAMETER_LABEL_DELETE, ARGS(TEXT(name), TEXT(label)), err);
}

void store_parameter_versions(struct store *s, const char *name, struct cursor *ret_cursor)
{
    store_query(s, Q_PARAMETER_VERSIONS, ARGS(TEXT(name)), ret_cursor);
}

void store_parameters(struct store *s, const char *after, struct cursor *ret_cursor)
{
    store_query(s, Q_PARAMETERS, ARGS(TEXT(after)), ret_cursor);
}

int cursor_next_parameter(struct cursor *c, struct parameter_row *ret_row, struct err *err)
{
    int r = store_step(c, err);

    if (r <= 0)
        return r;
    *ret_row = (struct parameter_row){
        .name = cursor_text(c, 0),
        .version = cursor_num(c, 1),
        .type = cursor_text(c, 2),
        .value = cursor_text(c, 3),
        .description = cursor_text(c, 4),
        .pattern = cursor_text(c, 5),
        .key_id = cursor_text(c, 6),
        .data_type = cursor_text(c, 7),
        .tier = cursor_text(c, 8),
        .modified_ms = cursor_num(c, 9),
        .labels = cursor_text(c, 10),
    };
    return 1;
}
