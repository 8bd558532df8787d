/* The envelope that every file of an update source is: payload, its type, and signatures over both
 * (DSSE). */
#include "schema/release_internal.h"

#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/str.h"

const char *const release_role_names[RELEASE_N_ROLES] = {
    [RELEASE_ROOT] = "root",
    [RELEASE_RELEASE] = "release",
    [RELEASE_TIMESTAMP] = "timestamp",
};

const char *const release_payload_types[RELEASE_N_ROLES] = {
    [RELEASE_ROOT] = "application/vnd.ssmd.root+json",
    [RELEASE_RELEASE] = "application/vnd.ssmd.manifest+json",
    [RELEASE_TIMESTAMP] = "application/vnd.ssmd.timestamp+json",
};

size_t release_max_bytes(enum release_role role)
{
    return role == RELEASE_ROOT        ? RELEASE_ROOT_MAX_BYTES
           : role == RELEASE_TIMESTAMP ? RELEASE_TIMESTAMP_MAX_BYTES
                                       : RELEASE_MANIFEST_MAX_BYTES;
}

static int read_signature(const cJSON *item, const char *where, struct release_signature *ret,
                          struct err *err)
{
    const char *keyid, *sig;
    size_t n;
    int r;

    if ((r = json_want_object(item, where, err)) < 0 ||
        (r = release_get_text(item, where, "keyid", true, RELEASE_KEYID_SIZE, &keyid, err)) < 0 ||
        (r = release_want_hex(keyid, RELEASE_KEYID_SIZE / 2, where, "keyid", err)) < 0 ||
        (r = release_get_text(item, where, "sig", true, 1000, &sig, err)) < 0)
        return r;
    if (!base64_decode(sig, strlen(sig), ret->bytes, sizeof(ret->bytes), &n) ||
        n != sizeof(ret->bytes))
        return err_set(err, ERR_INVALID, "%s.sig must be Base64 of the %zu bytes of a signature",
                       where, sizeof(ret->bytes));
    (void)str_copy(ret->keyid, sizeof(ret->keyid), keyid); /* it fits */
    return 0;
}

static int read_signatures(const cJSON *list, size_t n, struct release_envelope *e, struct err *err)
{
    const cJSON *item;
    size_t i;

    e->signatures = calloc(n + 1, sizeof(*e->signatures));
    if (e->signatures == NULL)
        return err_set(err, ERR_NOMEM, "signatures: out of memory");
    cJSON_ArrayForEach(item, list)
    {
        char where[RELEASE_WHERE_SIZE];
        int r;

        (void)snprintf(where, sizeof(where), "signatures[%zu]", e->n_signatures);
        r = read_signature(item, where, &e->signatures[e->n_signatures], err);
        if (r < 0)
            return r;
        for (i = 0; i < e->n_signatures; i++)
            if (str_eq(e->signatures[i].keyid, e->signatures[e->n_signatures].keyid))
                return err_set(err, ERR_INVALID, "%s.keyid has signed already, in signatures[%zu]",
                               where, i);
        e->n_signatures++;
    }
    return 0;
}

int release_envelope_parse(const char *bytes, size_t n, enum release_role role,
                           struct release_envelope *ret_envelope, struct err *err)
{
    AUTO(cJSON_Delete) cJSON *root = NULL;
    AUTO(release_envelope_done) struct release_envelope e = {.role = role};
    size_t max = release_max_bytes(role), n_signatures, n_text;
    const char *type, *payload;
    const cJSON *list;
    int r;

    if ((r = release_parse_json(bytes, n, max, "the envelope", &root, err)) < 0 ||
        (r = release_get_text(root, "", "payloadType", true, 100, &type, err)) < 0 ||
        (r = release_get_text(root, "", "payload", true, max, &payload, err)) < 0 ||
        (r = release_get_list(root, "", "signatures", 0, RELEASE_MAX_SIGNATURES, &list,
                              &n_signatures, err)) < 0)
        return r;
    if (!str_eq(type, release_payload_types[role]))
        return err_set(err, ERR_INVALID, "payloadType must be %s, not \"%s\"",
                       release_payload_types[role], type);
    n_text = strlen(payload);
    e.payload = malloc(n_text + 1); /* more than what comes out */
    if (e.payload == NULL)
        return err_set(err, ERR_NOMEM, "payload: out of memory");
    if (!base64_decode(payload, n_text, e.payload, n_text, &e.n_payload))
        return err_set(err, ERR_INVALID, "payload is not Base64");
    e.payload[e.n_payload] = '\0';
    r = read_signatures(list, n_signatures, &e, err);
    if (r == 0)
        *ret_envelope = TAKE_STRUCT(e);
    return r;
}

void release_envelope_done(struct release_envelope *e)
{
    free(e->payload);
    free(e->signatures);
    *e = (struct release_envelope){.role = e->role};
}

int release_envelope_add(struct release_envelope *e, const struct release_signature *s,
                         struct err *err)
{
    struct release_signature *grown;
    size_t i;

    for (i = 0; i < e->n_signatures; i++)
        if (str_eq(e->signatures[i].keyid, s->keyid)) {
            e->signatures[i] = *s;
            return 0;
        }
    if (e->n_signatures == RELEASE_MAX_SIGNATURES)
        return err_set(err, ERR_LIMIT, "signatures: there are %d already", RELEASE_MAX_SIGNATURES);
    grown = reallocarray(e->signatures, e->n_signatures + 1, sizeof(*grown));
    if (grown == NULL)
        return err_set(err, ERR_NOMEM, "signatures: out of memory");
    grown[e->n_signatures++] = *s;
    e->signatures = grown;
    return 0;
}

void release_envelope_write(const struct release_envelope *e, struct buf *ret_bytes)
{
    AUTO(free) char *payload = malloc(BASE64_SIZE(e->n_payload));
    char sig[BASE64_SIZE(RELEASE_SIGNATURE_BYTES)];
    size_t i;

    if (payload == NULL) {
        ret_bytes->failed = ERR_NOMEM;
        return;
    }
    base64_encode(e->payload, e->n_payload, payload);
    (void)buf_printf(ret_bytes, "{\"payloadType\":\"%s\",\"payload\":\"",
                     release_payload_types[e->role]);
    (void)buf_add_str(ret_bytes, payload); /* the caller looks at buf_error() */
    (void)buf_add_str(ret_bytes, "\",\"signatures\":[");
    for (i = 0; i < e->n_signatures; i++) {
        base64_encode(e->signatures[i].bytes, RELEASE_SIGNATURE_BYTES, sig);
        (void)buf_printf(ret_bytes, "%s{\"keyid\":\"%s\",\"sig\":\"%s\"}", i > 0 ? "," : "",
                         e->signatures[i].keyid, sig);
    }
    (void)buf_add_str(ret_bytes, "]}\n");
}

void release_envelope_to_sign(const struct release_envelope *e, struct buf *ret_bytes)
{
    const char *type = release_payload_types[e->role];

    (void)buf_printf(ret_bytes, "DSSEv1 %zu %s %zu ", strlen(type), type, e->n_payload);
    (void)buf_add(ret_bytes, e->payload, e->n_payload); /* the caller looks at buf_error() */
}
