/* Documents and instances in the store. */
#include "hub/store_internal.h"

int store_document_add(struct store *s, const struct document_row *row, struct err *err)
{
    return store_run(s, Q_DOCUMENT_ADD,
                     ARGS(TEXT(row->name), NUM(row->version), TEXT(row->version_name),
                          TEXT(row->format), TEXT(row->type), TEXT(row->content), TEXT(row->json),
                          TEXT(row->sha256), NUM(row->created_ms)),
                     err);
}

int store_document_set_default(struct store *s, const char *name, int64_t version, struct err *err)
{
    return store_run(s, Q_DOCUMENT_SET_DEFAULT, ARGS(TEXT(name), NUM(version)), err);
}

int store_document_delete(struct store *s, const char *name, int64_t version, struct err *err)
{
    int r = store_run(s, Q_DOCUMENT_DELETE, ARGS(TEXT(name), NUM(version)), err);

    return r < 0 ? r : store_run(s, Q_DOCUMENT_FORGET_DEFAULT, ARGS(TEXT(name)), err);
}

void store_document_versions(struct store *s, const char *name, struct cursor *ret_cursor)
{
    store_query(s, Q_DOCUMENT_VERSIONS, ARGS(TEXT(name)), ret_cursor);
}

void store_documents(struct store *s, const char *after, struct cursor *ret_cursor)
{
    store_query(s, Q_DOCUMENTS, ARGS(TEXT(after)), ret_cursor);
}

int cursor_next_document(struct cursor *c, struct document_row *ret_row, struct err *err)
{
    int r = store_step(c, err);

    if (r <= 0)
        return r;
    *ret_row = (struct document_row){
        .name = cursor_text(c, 0),
        .version = cursor_num(c, 1),
        .version_name = cursor_text(c, 2),
        .format = cursor_text(c, 3),
        .type = cursor_text(c, 4),
        .content = cursor_text(c, 5),
        .json = cursor_text(c, 6),
        .sha256 = cursor_text(c, 7),
        .created_ms = cursor_num(c, 8),
        .default_version = cursor_num(c, 9),
        .latest_version = cursor_num(c, 10),
    };
    return 1;
}

int store_instance_put(struct store *s, const char *id, const char *info, int64_t now_ms,
                       int64_t ping_ms, struct err *err)
{
    return store_run(s, Q_INSTANCE_PUT, ARGS(TEXT(id), TEXT(info), NUM(now_ms), NUM(ping_ms)), err);
}

void store_instances(struct store *s, const char *after, struct cursor *ret_cursor)
{
    store_query(s, Q_INSTANCES, ARGS(TEXT(after)), ret_cursor);
}

void store_instance_find(struct store *s, const char *id, struct cursor *ret_cursor)
{
    store_query(s, Q_INSTANCE_FIND, ARGS(TEXT(id)), ret_cursor);
}

int cursor_next_instance(struct cursor *c, struct instance_row *ret_row, struct err *err)
{
    int r = store_step(c, err);

    if (r <= 0)
        return r;
    *ret_row = (struct instance_row){
        .id = cursor_text(c, 0),
        .info = cursor_text(c, 1),
        .registered_ms = cursor_num(c, 2),
        .last_ping_ms = cursor_num(c, 3),
    };
    return 1;
}
