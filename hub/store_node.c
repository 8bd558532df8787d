/* Activations, managed nodes and the keys of their roles in the store. */
#include "hub/store_node.h"

#include "hub/store_internal.h"

#define KEEP_EXPIRED_MS (INT64_C(24) * 3600 * 1000) /* so that the refusal can say "expired" */

int store_activation_add(struct store *s, const struct activation_row *row, struct err *err)
{
    return store_run(s, Q_ACTIVATION_ADD,
                     ARGS(TEXT(row->id), TEXT(row->code_sha256), TEXT(row->description),
                          TEXT(row->name), TEXT(row->iam_role), NUM(row->max_nodes),
                          NUM(row->expires_ms), NUM(row->created_ms), TEXT(row->tags)),
                     err);
}

void store_activations(struct store *s, int64_t before_seq, struct cursor *ret_cursor)
{
    store_query(s, Q_ACTIVATIONS, ARGS(NUM(before_seq)), ret_cursor);
}

void store_activation_find(struct store *s, const char *id, struct cursor *ret_cursor)
{
    store_query(s, Q_ACTIVATION_FIND, ARGS(TEXT(id)), ret_cursor);
}

int cursor_next_activation(struct cursor *c, struct activation_row *ret_row, struct err *err)
{
    int r = store_step(c, err);

    if (r <= 0)
        return r;
    *ret_row = (struct activation_row){
        .seq = cursor_num(c, 0),
        .id = cursor_text(c, 1),
        .code_sha256 = cursor_text(c, 2),
        .description = cursor_text(c, 3),
        .name = cursor_text(c, 4),
        .iam_role = cursor_text(c, 5),
        .max_nodes = cursor_num(c, 6),
        .n_nodes = cursor_num(c, 7),
        .expires_ms = cursor_num(c, 8),
        .created_ms = cursor_num(c, 9),
        .tags = cursor_text(c, 10),
    };
    return 1;
}

int store_activation_use(struct store *s, const char *id, struct err *err)
{
    return store_run(s, Q_ACTIVATION_USE, ARGS(TEXT(id)), err);
}

int store_activation_delete(struct store *s, const char *id, struct err *err)
{
    return store_run(s, Q_ACTIVATION_DELETE, ARGS(TEXT(id)), err);
}

int store_node_add(struct store *s, const struct node_row *row, struct err *err)
{
    return store_run(s, Q_NODE_ADD,
                     ARGS(TEXT(row->id), TEXT(row->public_key), TEXT(row->fingerprint),
                          TEXT(row->activation_id), TEXT(row->name), TEXT(row->iam_role),
                          NUM(row->registered_ms)),
                     err);
}

void store_nodes(struct store *s, struct cursor *ret_cursor)
{
    store_query(s, Q_NODES, NO_ARGS, ret_cursor);
}

void store_node_find(struct store *s, const char *id, struct cursor *ret_cursor)
{
    store_query(s, Q_NODE_FIND, ARGS(TEXT(id)), ret_cursor);
}

int cursor_next_node(struct cursor *c, struct node_row *ret_row, struct err *err)
{
    int r = store_step(c, err);

    if (r <= 0)
        return r;
    *ret_row = (struct node_row){
        .id = cursor_text(c, 0),
        .public_key = cursor_text(c, 1),
        .fingerprint = cursor_text(c, 2),
        .activation_id = cursor_text(c, 3),
        .name = cursor_text(c, 4),
        .iam_role = cursor_text(c, 5),
        .registered_ms = cursor_num(c, 6),
        .is_rotation_wanted = cursor_num(c, 7) != 0,
        .n_tokens = cursor_num(c, 8),
    };
    return 1;
}

int store_node_set_key(struct store *s, const char *id, const char *public_key, struct err *err)
{
    return store_run(s, Q_NODE_SET_KEY, ARGS(TEXT(id), TEXT(public_key)), err);
}

int store_node_want_rotation(struct store *s, const char *id, struct err *err)
{
    return store_run(s, Q_NODE_WANT_ROTATION, ARGS(TEXT(id)), err);
}

int store_node_delete(struct store *s, const char *id, struct err *err)
{
    int r = store_run(s, Q_NODE_DELETE, ARGS(TEXT(id)), err);

    if (r == 0)
        r = store_run(s, Q_INSTANCE_DELETE, ARGS(TEXT(id)), err);
    return r < 0 ? r : store_run(s, Q_ROLE_KEYS_FORGET, ARGS(TEXT(id), NUM(0)), err);
}

int store_role_key_add(struct store *s, const struct role_key_row *row, int64_t now_ms,
                       struct err *err)
{
    int r = store_run(s, Q_ROLE_KEYS_FORGET, ARGS(TEXT(""), NUM(now_ms - KEEP_EXPIRED_MS)), err);

    if (r == 0)
        r = store_run(s, Q_NODE_COUNT_TOKEN, ARGS(TEXT(row->node_id)), err);
    if (r == 0)
        r = store_run(s, Q_ROLE_KEY_ADD,
                      ARGS(TEXT(row->access_key), TEXT(row->secret), TEXT(row->token),
                           TEXT(row->node_id), NUM(row->expires_ms)),
                      err);
    return r;
}

void store_role_key_find(struct store *s, const char *access_key, struct cursor *ret_cursor)
{
    store_query(s, Q_ROLE_KEY_FIND, ARGS(TEXT(access_key)), ret_cursor);
}

int cursor_next_role_key(struct cursor *c, struct role_key_row *ret_row, struct err *err)
{
    int r = store_step(c, err);

    if (r <= 0)
        return r;
    *ret_row = (struct role_key_row){
        .secret = cursor_text(c, 0),
        .token = cursor_text(c, 1),
        .node_id = cursor_text(c, 2),
        .expires_ms = cursor_num(c, 3),
    };
    return 1;
}
