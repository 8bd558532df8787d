/* Managed nodes: they register, get the keys of their role, and change their own key (spec 01,
 * sections 4, 6 and 8). */
#include <stdio.h>
#include <string.h>

#include "base/ids.h"
#include "base/sha256.h"
#include "base/str.h"
#include "hub/access_keys.h"
#include "hub/api.h"
#include "hub/json_out.h"
#include "hub/store_node.h"
#include "transport/rsa_key.h"

#define NODE_ID_SIZE 21 /* mi- and 17 hexadecimal digits */
#define ACCESS_KEY_SIZE 21
#define SECRET_SIZE 41
#define TOKEN_SIZE 241

static int check_public_key(struct call *call, const char *text, const char *type, struct err *err)
{
    AUTO(rsa_key_free) struct rsa_key *key = NULL;
    struct err why;

    if (type != NULL && !str_eq(type, RSA_KEY_TYPE))
        return api_refuse(call, err, "ValidationException",
                          "The key type must be " RSA_KEY_TYPE ".");
    if (rsa_key_from_public(text, &key, &why) < 0)
        return api_refuse(call, err, "ValidationException", "%s", why.text);
    return 0;
}

/* ---- RegisterManagedInstance ---- */

struct registration {
    const char *code, *activation_id, *fingerprint, *public_key, *key_type, *iam_role;
};

/* The activation that this registration may use. */
static int check_activation(struct call *call, const struct registration *g,
                            const struct activation_row *row, struct err *err)
{
    char hash[SHA256_HEX_SIZE];

    sha256_hex_of(g->code, strlen(g->code), hash);
    if (row == NULL || !str_eq(hash, row->code_sha256))
        return api_refuse(call, err, "InvalidActivation",
                          "There is no activation with this id and code.");
    if (row->expires_ms <= call->now_ms)
        return api_refuse(call, err, "ActivationExpired", "The activation has expired.");
    if (row->n_nodes >= row->max_nodes)
        return api_refuse(call, err, "RegistrationLimitExceeded",
                          "The activation was used as often as it may be.");
    return 0;
}

static int register_with_activation(struct call *call, const struct registration *g,
                                    struct node_row *node, struct err *err)
{
    struct store *store = call->hub->store;
    AUTO(cursor_done) struct cursor c = {0};
    struct activation_row row;
    int r;

    store_activation_find(store, g->activation_id, &c);
    r = cursor_next_activation(&c, &row, err);
    if (r < 0)
        return r;
    r = check_activation(call, g, r > 0 ? &row : NULL, err);
    if (r < 0)
        return r;
    node->activation_id = row.id;
    node->name = row.name;
    node->iam_role = row.iam_role;
    r = store_node_add(store, node, err);
    return r < 0 ? r : store_activation_use(store, g->activation_id, err);
}

/* A machine that is somebody already, by the keys it signs with: an EC2 instance, a role. */
static int register_itself(struct call *call, const struct registration *g, struct node_row *node,
                           struct err *err)
{
    struct store *store = call->hub->store;
    AUTO(cursor_done) struct cursor c = {0};
    struct node_row found;
    int r;

    if (call->caller == NULL || call->caller->access_key[0] == '\0')
        return api_refuse(call, err, "MissingAuthenticationTokenException",
                          "A registration without an activation must be signed.");
    if (g->iam_role != NULL) { /* Greengrass: a new node, as with an activation */
        node->iam_role = g->iam_role;
        return store_node_add(store, node, err);
    }
    if (!str_has_prefix(g->fingerprint, "i-") || !str_is_safe_name(g->fingerprint, 100))
        return api_refuse(call, err, "ValidationException",
                          "The fingerprint of such a registration is the instance id.");
    node->id = g->fingerprint;
    store_node_find(store, node->id, &c);
    r = cursor_next_node(&c, &found, err);
    if (r < 0)
        return r;
    if (r > 0)
        return api_refuse(call, err, "InstanceAlreadyRegistered", "%s is registered.", node->id);
    cursor_done(&c);
    return store_node_add(store, node, err);
}

int api_register_managed_instance(struct call *call, struct err *err)
{
    static const struct str_rule code = {.name = "ActivationCode", .min = 20, .max = 250};
    static const struct str_rule id = {.name = "ActivationId", .min = 36, .max = 36};
    static const struct str_rule fingerprint = {
        .name = "Fingerprint", .min = 1, .max = 100, .is_required = true};
    static const struct str_rule key = {
        .name = "PublicKey", .min = 392, .max = 1024, .is_required = true};
    static const struct str_rule type = {.name = "PublicKeyType"};
    static const struct str_rule role = {.name = "IamRole", .min = 1, .max = 64};
    struct registration g = {0};
    char node_id[NODE_ID_SIZE] = "mi-";
    unsigned char random[8];
    struct node_row node = {.id = node_id,
                            .activation_id = "",
                            .name = "",
                            .iam_role = "",
                            .registered_ms = call->now_ms};
    int r;

    if ((r = api_str(call, &code, &g.code, err)) < 0 ||
        (r = api_str(call, &id, &g.activation_id, err)) < 0 ||
        (r = api_str(call, &fingerprint, &g.fingerprint, err)) < 0 ||
        (r = api_str(call, &key, &g.public_key, err)) < 0 ||
        (r = api_str(call, &type, &g.key_type, err)) < 0 ||
        (r = api_str(call, &role, &g.iam_role, err)) < 0 ||
        (r = check_public_key(call, g.public_key, g.key_type, err)) < 0)
        return r;
    ids_random(random, sizeof(random));
    str_hex(random, sizeof(random), node_id + 4);
    node_id[3] = '0'; /* 17 digits, as the service's ids have */
    node.public_key = g.public_key;
    node.fingerprint = g.fingerprint;
    if (g.code != NULL && g.activation_id != NULL)
        r = register_with_activation(call, &g, &node, err);
    else
        r = register_itself(call, &g, &node, err);
    if (r == 0)
        r = store_instance_put(call->hub->store, node.id, NULL, call->now_ms, 0, err);
    if (r < 0)
        return r;
    (void)str_copy(call->note, sizeof(call->note), node.id);
    out_object(call->out, NULL);
    out_str(call->out, "InstanceId", node.id);
    out_object_end(call->out);
    return 0;
}

int api_deregister_managed_instance(struct call *call, struct err *err)
{
    static const struct str_rule rule = {.name = "InstanceId",
                                         .min = 20,
                                         .max = 124,
                                         .pattern = "mi-[0-9a-f]{17}",
                                         .is_required = true};
    AUTO(cursor_done) struct cursor c = {0};
    struct node_row node;
    const char *id = NULL;
    int r = api_str(call, &rule, &id, err);

    if (r < 0)
        return r;
    store_node_find(call->hub->store, id, &c);
    r = cursor_next_node(&c, &node, err);
    if (r == 0)
        return api_refuse(call, err, "InvalidInstanceId", "Not existing InstanceId %s", id);
    cursor_done(&c);
    if (r > 0)
        r = store_node_delete(call->hub->store, id, err);
    if (r < 0)
        return r;
    out_object(call->out, NULL);
    out_object_end(call->out);
    return 0;
}

/* ---- what a node asks for itself ---- */

/* The node that calls: by its own key, or named by its fingerprint, with its key's second
 * signature. */
static int find_caller(struct call *call, const char *fingerprint, struct cursor *c,
                       struct node_row *ret_node, struct err *err)
{
    const struct auth_caller *caller = call->caller;
    struct err why;
    int r;

    if (caller == NULL)
        return api_refuse(call, err, "MissingAuthenticationTokenException",
                          "This call must be signed by a node.");
    store_node_find(call->hub->store, caller->is_node_key ? caller->node_id : fingerprint, c);
    r = cursor_next_node(c, ret_node, err);
    if (r < 0)
        return r;
    if (r == 0)
        return api_refuse(call, err, "AccessDeniedException",
                          "This node is not registered, or default host management is off.");
    if (!caller->is_node_key && auth_check_added(caller, ret_node->public_key, &why) < 0)
        return api_refuse(call, err, "AccessDeniedException", "%s", why.text);
    return 0;
}

int api_request_role_token(struct call *call, struct err *err)
{
    static const struct str_rule rule = {
        .name = "Fingerprint", .min = 1, .max = 100, .is_required = true};
    AUTO(cursor_done) struct cursor c = {0};
    char access_key[ACCESS_KEY_SIZE] = "ASIA", secret[SECRET_SIZE], token[TOKEN_SIZE];
    struct role_key_row row = {.access_key = access_key,
                               .secret = secret,
                               .token = token,
                               .expires_ms = call->now_ms + call->hub->role_token_ms};
    struct node_row node = {.id = NULL};
    char node_id[129];
    bool is_rotation_wanted;
    const char *fingerprint = NULL;
    int r = api_str(call, &rule, &fingerprint, err);

    if (r == 0)
        r = find_caller(call, fingerprint, &c, &node, err);
    if (r < 0)
        return r;
    if (!str_eq(fingerprint, node.fingerprint))
        return api_refuse(call, err, "MachineFingerprintDoesNotMatch",
                          "The fingerprint is not the one that %s registered with.", node.id);
    (void)str_copy(node_id, sizeof(node_id), node.id); /* the hub made it, or looked at it: fits */
    is_rotation_wanted = node.is_rotation_wanted;
    cursor_done(&c);
    access_keys_random(access_key + 4, sizeof(access_key) - 5, ACCESS_KEYS_BASE32);
    access_keys_random(secret, sizeof(secret) - 1, ACCESS_KEYS_BASE64);
    access_keys_random(token, sizeof(token) - 1, ACCESS_KEYS_BASE64);
    row.node_id = node_id;
    r = store_role_key_add(call->hub->store, &row, call->now_ms, err);
    if (r == 0) {
        (void)str_copy(call->note, sizeof(call->note), node_id);
        out_object(call->out, NULL);
        out_str(call->out, "AccessKeyId", access_key);
        out_str(call->out, "SecretAccessKey", secret);
        out_str(call->out, "SessionToken", token);
        out_time(call->out, "TokenExpirationDate", row.expires_ms);
        out_bool(call->out, "UpdateKeyPair", is_rotation_wanted);
        out_object_end(call->out);
    }
    explicit_bzero(secret, sizeof(secret));
    explicit_bzero(token, sizeof(token));
    return r;
}

int api_update_public_key(struct call *call, struct err *err)
{
    static const struct str_rule key = {
        .name = "NewPublicKey", .min = 392, .max = 1024, .is_required = true};
    static const struct str_rule type = {.name = "NewPublicKeyType", .is_required = true};
    const char *public_key = NULL, *key_type = NULL;
    int r = api_str(call, &key, &public_key, err);

    if (r == 0)
        r = api_str(call, &type, &key_type, err);
    if (r == 0)
        r = check_public_key(call, public_key, key_type, err);
    if (r == 0 && (call->caller == NULL || !call->caller->is_node_key))
        r = api_refuse(call, err, "AccessDeniedException",
                       "Only a hybrid node may change its key, signed by the one it has.");
    if (r == 0)
        r = store_node_set_key(call->hub->store, call->caller->node_id, public_key, err);
    if (r < 0)
        return r;
    (void)str_copy(call->note, sizeof(call->note), call->caller->node_id);
    out_object(call->out, NULL);
    out_object_end(call->out);
    return 0;
}
