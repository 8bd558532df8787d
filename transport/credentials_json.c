/* Credentials out of JSON. */
#include "transport/credentials_json.h"

#include <math.h>
#include <string.h>

#include "base/clock.h"
#include "base/str.h"
#include "schema/json.h"

#define MAX_DOCUMENT_BYTES (256u << 10)
#define MAX_SECRET_BYTES 1024
#define MAX_TOKEN_BYTES 16384
#define LAST_SECOND 253402300799.0 /* of the year 9999 */

/* Trees of these documents hold secrets; they are wiped before they are freed. */
static void wipe_and_delete(cJSON *root)
{
    cJSON *item;

    cJSON_ArrayForEach(item, root)
    {
        if (cJSON_IsString(item))
            explicit_bzero(item->valuestring, strlen(item->valuestring));
    }
    cJSON_Delete(root);
}

DEFINE_AUTO(cJSON *, wipe_and_delete)

bool credentials_is_clean(const char *value, size_t max_bytes)
{
    size_t i, n = strlen(value);

    for (i = 0; i < n; i++)
        if ((unsigned char)value[i] <= ' ' || (unsigned char)value[i] >= 0x7f)
            return false;
    return n > 0 && n <= max_bytes;
}

static int get(const cJSON *root, const char *name, size_t max, bool is_needed,
               const char **ret_value, struct err *err)
{
    const cJSON *item = json_get_exact(root, name);

    *ret_value = NULL;
    if (item == NULL && !is_needed)
        return 0;
    if (item == NULL || !cJSON_IsString(item) || (item->valuestring[0] == '\0' && is_needed))
        return err_set(err, ERR_PROTOCOL, "the member %s is missing, empty or no string", name);
    if (item->valuestring[0] == '\0')
        return 0;
    if (!credentials_is_clean(item->valuestring, max))
        return err_set(err, ERR_PROTOCOL,
                       "the member %s is longer than %zu bytes, or holds a blank, a control "
                       "character or a byte that is not ASCII",
                       name, max);
    *ret_value = item->valuestring;
    return 0;
}

static int take(const cJSON *root, const char *token_name, struct credentials *ret, struct err *err)
{
    AUTO(credentials_done) struct credentials c = {0};
    const char *key, *secret, *token;
    int r;

    if ((r = get(root, "AccessKeyId", CREDENTIALS_ACCESS_KEY_SIZE - 1, true, &key, err)) < 0 ||
        (r = get(root, "SecretAccessKey", MAX_SECRET_BYTES, true, &secret, err)) < 0 ||
        (r = get(root, token_name, MAX_TOKEN_BYTES, false, &token, err)) < 0 ||
        (r = secret_set(&c.secret_key, secret, err)) < 0 ||
        (token != NULL && (r = secret_set(&c.session_token, token, err)) < 0))
        return r;
    (void)str_copy(c.access_key, sizeof(c.access_key), key); /* its length was looked at */
    *ret = TAKE_STRUCT(c);
    return 0;
}

static int parse(const char *text, size_t n, cJSON **ret_root, struct err *err)
{
    int r = json_parse(text, n, MAX_DOCUMENT_BYTES, JSON_REFUSE, "answer", ret_root, err);

    if (r == 0)
        r = json_want_object(*ret_root, "answer", err);
    if (r < 0 && r != ERR_NOMEM)
        r = err->code = ERR_PROTOCOL;
    return r;
}

static void keep_code(const char *code, char ret_code[CREDENTIALS_CODE_SIZE])
{
    if (!credentials_is_clean(code, CREDENTIALS_CODE_SIZE - 1) ||
        !str_copy(ret_code, CREDENTIALS_CODE_SIZE, code))
        (void)str_copy(ret_code, CREDENTIALS_CODE_SIZE, "Unknown"); /* fits */
}

int credentials_parse_document(const char *text, size_t n, struct credentials *ret_credentials,
                               char ret_code[CREDENTIALS_CODE_SIZE], struct err *err)
{
    AUTO(wipe_and_delete) cJSON *root = NULL;
    AUTO(credentials_done) struct credentials c = {0};
    const char *code, *message, *expiration;
    struct err local = {0};
    int r;

    if (err == NULL)
        err = &local;
    ret_code[0] = '\0';
    r = parse(text, n, &root, err);
    if (r < 0)
        return r;
    code = cJSON_GetStringValue(json_get_exact(root, "Code"));
    message = cJSON_GetStringValue(json_get_exact(root, "Message"));
    if (code != NULL && !str_eq(code, "Success")) {
        keep_code(code, ret_code);
        return err_set(err, ERR_AUTH, "%s%s%.200s", ret_code, message != NULL ? ": " : "",
                       message != NULL ? message : "");
    }
    if ((r = take(root, "Token", &c, err)) < 0 ||
        (r = get(root, "Expiration", 64, false, &expiration, err)) < 0)
        return r;
    if (expiration != NULL && clock_parse_iso(expiration, &c.expires_unix_ms) < 0)
        return err_set(err, ERR_PROTOCOL,
                       "Expiration \"%.40s\" is not of the form "
                       "2006-01-02T15:04:05Z",
                       expiration);
    *ret_credentials = TAKE_STRUCT(c);
    return 0;
}

int credentials_parse_role_token(const char *text, size_t n, struct credentials *ret_credentials,
                                 bool *ret_is_rotation_wanted, struct err *err)
{
    AUTO(wipe_and_delete) cJSON *root = NULL;
    AUTO(credentials_done) struct credentials c = {0};
    struct err local = {0};
    const cJSON *item;
    int r;

    if (err == NULL)
        err = &local;
    r = parse(text, n, &root, err);
    if (r == 0)
        r = take(root, "SessionToken", &c, err);
    if (r < 0)
        return r;
    item = json_get_exact(root, "TokenExpirationDate");
    if (!cJSON_IsNumber(item) || !(item->valuedouble > 0) || item->valuedouble > LAST_SECOND)
        return err_set(err, ERR_PROTOCOL, "TokenExpirationDate is missing or no Unix time");
    if (!secret_is_set(&c.session_token))
        return err_set(err, ERR_PROTOCOL, "the member SessionToken is missing or empty");
    c.expires_unix_ms = (int64_t)llround(item->valuedouble * 1000);
    *ret_is_rotation_wanted = cJSON_IsTrue(json_get_exact(root, "UpdateKeyPair"));
    *ret_credentials = TAKE_STRUCT(c);
    return 0;
}
