/* What the hub remembers of managed nodes: activations, the nodes that used them, and the keys of
 * their roles. As store.h: inside a transaction, main thread, text borrowed from the cursor. */
#ifndef SSMD_HUB_STORE_NODE_H
#define SSMD_HUB_STORE_NODE_H

#include "hub/store.h"

struct activation_row {
    int64_t seq; /* order of creation; given by the store */
    const char *id;
    const char *code_sha256; /* hexadecimal; the code itself is shown once */
    const char *description;
    const char *name; /* DefaultInstanceName */
    const char *iam_role;
    int64_t max_nodes, n_nodes; /* n_nodes: not used by add */
    int64_t expires_ms, created_ms;
    const char *tags; /* JSON list, or "" */
};

int store_activation_add(struct store *s, const struct activation_row *row, struct err *err)
    MUST_CHECK;
/* Newest first, older than `before_seq`. */
void store_activations(struct store *s, int64_t before_seq, struct cursor *ret_cursor);
void store_activation_find(struct store *s, const char *id, struct cursor *ret_cursor);
int cursor_next_activation(struct cursor *c, struct activation_row *ret_row, struct err *err)
    MUST_CHECK;
int store_activation_use(struct store *s, const char *id, struct err *err) MUST_CHECK;
int store_activation_delete(struct store *s, const char *id, struct err *err) MUST_CHECK;

struct node_row {
    const char *id;         /* mi-... , or i-... of one that registered itself */
    const char *public_key; /* Base64 of a SubjectPublicKeyInfo */
    const char *fingerprint;
    const char *activation_id; /* "" without one */
    const char *name;
    const char *iam_role;
    int64_t registered_ms;
    bool is_rotation_wanted; /* not used by add */
    int64_t n_tokens;        /* role tokens handed out; not used by add */
};

int store_node_add(struct store *s, const struct node_row *row, struct err *err) MUST_CHECK;
void store_nodes(struct store *s, struct cursor *ret_cursor); /* oldest first */
void store_node_find(struct store *s, const char *id, struct cursor *ret_cursor);
int cursor_next_node(struct cursor *c, struct node_row *ret_row, struct err *err) MUST_CHECK;
/* A new key also ends the wish for one. */
int store_node_set_key(struct store *s, const char *id, const char *public_key, struct err *err)
    MUST_CHECK;
int store_node_want_rotation(struct store *s, const char *id, struct err *err) MUST_CHECK;
/* The node, what it said of itself, and the keys of its role. */
int store_node_delete(struct store *s, const char *id, struct err *err) MUST_CHECK;

struct role_key_row {
    const char *access_key;
    const char *secret, *token;
    const char *node_id;
    int64_t expires_ms;
};

/* Also counts the token, and forgets keys that expired more than a day ago. */
int store_role_key_add(struct store *s, const struct role_key_row *row, int64_t now_ms,
                       struct err *err) MUST_CHECK;
void store_role_key_find(struct store *s, const char *access_key, struct cursor *ret_cursor);
/* access_key is not filled. */
int cursor_next_role_key(struct cursor *c, struct role_key_row *ret_row, struct err *err)
    MUST_CHECK;

#endif
