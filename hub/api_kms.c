/* A stand-in for KMS (spec 02, section 9.1): data is sealed with the hub's own key, for the name of
 * a key and an encryption context. Every name is a key: nothing is made or looked up first. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/ids.h"
#include "base/str.h"
#include "hub/json_out.h"

#define ERR_STATE OPENSSL_ERR_STATE_ /* a type of theirs, a code of ours */
#include <openssl/evp.h>
#undef ERR_STATE

#include "hub/api.h"

#define MAX_PLAIN_BYTES 4096u
#define MAX_BASE64_BYTES 16384u
#define MAX_CONTEXT_BYTES 16384u
#define MAX_DATA_KEY_BYTES 1024

static const struct str_rule rule_key = {.name = "KeyId", .min = 1, .max = 2048};

/* A key by its name, its alias or its ARN is one and the same when the ARN is. */
static void key_arn(const struct call *call, const char *key_id, struct buf *b)
{
    if (str_has_prefix(key_id, "arn:"))
        (void)buf_add_str(b, key_id);
    else
        (void)buf_printf(b, "arn:aws:kms:%s:" ACCOUNT_ID ":%s%s", call->hub->region,
                         str_has_prefix(key_id, "alias/") ? "" : "key/", key_id);
}

/* What the sealed text is bound to: the key, and the context with its members in order. */
static int bind_to(struct call *call, const char *arn, struct buf *b, struct err *err)
{
    const cJSON *context = NULL;
    int r = api_object(call, "EncryptionContext", &context, err);

    if (r < 0)
        return r;
    (void)buf_printf(b, "kms %s ", arn);
    if (context != NULL)
        json_write(b, context); /* keys sorted */
    return buf_error(b, "encryption context", err);
}

/* base64 to bytes; false: it is none. */
static bool decode64(const char *text, unsigned char *ret, size_t size, size_t *ret_n)
{
    size_t n = strlen(text);
    int k;

    if (n % 4 != 0 || n / 4 * 3 > size)
        return false;
    k = EVP_DecodeBlock(ret, (const unsigned char *)text, (int)n);
    if (k < 0)
        return false;
    *ret_n = (size_t)k - (n > 0 && text[n - 1] == '=') - (n > 1 && text[n - 2] == '=');
    return true;
}

static void out_base64(struct call *call, const char *name, const void *bytes, size_t n)
{
    char text[MAX_BASE64_BYTES + 8];

    (void)EVP_EncodeBlock((unsigned char *)text, bytes, (int)n); /* callers keep it within */
    out_str(call->out, name, text);
}

static int answer_sealed(struct call *call, const char *key_id, const char *plain64,
                         bool is_plain_told, struct err *err)
{
    AUTO(buf_done) struct buf arn = {0}, context = {0}, sealed = {0};
    int r;

    buf_init(&arn, 4096);
    buf_init(&context, MAX_CONTEXT_BYTES);
    buf_init(&sealed, MAX_BASE64_BYTES);
    key_arn(call, key_id, &arn);
    r = buf_error(&arn, "key", err);
    if (r == 0)
        r = bind_to(call, arn.data, &context, err);
    if (r == 0) {
        (void)buf_printf(&sealed, "%s\n", arn.data);
        r = sealing_key_seal(&call->hub->sealing_key, context.data, plain64, &sealed, err);
    }
    if (r == 0 && sealed.len > (size_t)MAX_BASE64_BYTES / 4 * 3)
        r = err_set(err, ERR_LIMIT, "sealed data is too large");
    if (r < 0)
        return r;
    out_object(call->out, NULL);
    out_base64(call, "CiphertextBlob", sealed.data, sealed.len);
    out_str(call->out, "KeyId", arn.data);
    if (is_plain_told)
        out_str(call->out, "Plaintext", plain64);
    else
        out_str(call->out, "EncryptionAlgorithm", "SYMMETRIC_DEFAULT");
    out_object_end(call->out);
    return 0;
}

int api_kms_encrypt(struct call *call, struct err *err)
{
    struct str_rule key = rule_key;
    static const struct str_rule plaintext = {
        .name = "Plaintext", .min = 1, .max = MAX_BASE64_BYTES, .is_required = true};
    const char *key_id = NULL, *plain64 = "";
    unsigned char plain[MAX_BASE64_BYTES];
    size_t n = 0;
    int r;

    key.is_required = true;
    r = api_str(call, &key, &key_id, err);
    if (r == 0)
        r = api_str(call, &plaintext, &plain64, err);
    if (r < 0)
        return r;
    if (!decode64(plain64, plain, sizeof(plain), &n) || n > MAX_PLAIN_BYTES)
        return api_refuse(call, err, "ValidationException",
                          "Plaintext must be base64 of at most %u bytes.", MAX_PLAIN_BYTES);
    explicit_bzero(plain, sizeof(plain));
    return answer_sealed(call, key_id, plain64, false, err);
}

int api_kms_generate_data_key(struct call *call, struct err *err)
{
    struct str_rule key = rule_key;
    static const struct str_rule spec = {.name = "KeySpec", .pattern = "AES_256|AES_128"};
    const char *key_id = NULL, *key_spec = NULL;
    unsigned char data_key[MAX_DATA_KEY_BYTES];
    char plain64[MAX_DATA_KEY_BYTES / 3 * 4 + 8];
    int64_t n = 0;
    int r;

    key.is_required = true;
    r = api_str(call, &key, &key_id, err);
    if (r == 0)
        r = api_str(call, &spec, &key_spec, err);
    if (r == 0)
        r = api_i64(call, "NumberOfBytes", 1, MAX_DATA_KEY_BYTES, &n, err);
    if (r < 0)
        return r;
    if ((key_spec != NULL) == (n != 0))
        return api_refuse(call, err, "ValidationException",
                          "Please specify either number of bytes or key spec.");
    if (key_spec != NULL)
        n = str_eq(key_spec, "AES_256") ? 32 : 16;
    ids_random(data_key, (size_t)n);
    (void)EVP_EncodeBlock((unsigned char *)plain64, data_key, (int)n); /* fits */
    explicit_bzero(data_key, sizeof(data_key));
    r = answer_sealed(call, key_id, plain64, true, err);
    explicit_bzero(plain64, sizeof(plain64));
    return r;
}

static int invalid_ciphertext(struct call *call, struct err *err)
{
    return api_refuse(call, err, "InvalidCiphertextException",
                      "The ciphertext was not made here, was changed, or belongs to another "
                      "encryption context.");
}

int api_kms_decrypt(struct call *call, struct err *err)
{
    static const struct str_rule blob = {
        .name = "CiphertextBlob", .min = 1, .max = MAX_BASE64_BYTES, .is_required = true};
    AUTO(buf_done) struct buf arn = {0}, context = {0}, plain64 = {0};
    unsigned char sealed[MAX_BASE64_BYTES + 1];
    const char *key_id = NULL, *text = "";
    char *line_end;
    size_t n = 0;
    int r;

    buf_init(&arn, 4096);
    buf_init(&context, MAX_CONTEXT_BYTES);
    buf_init(&plain64, MAX_BASE64_BYTES);
    r = api_str(call, &rule_key, &key_id, err);
    if (r == 0)
        r = api_str(call, &blob, &text, err);
    if (r < 0)
        return r;
    if (!decode64(text, sealed, sizeof(sealed) - 1, &n))
        return invalid_ciphertext(call, err);
    sealed[n] = '\0';
    line_end = strchr((char *)sealed, '\n');
    if (line_end == NULL || strlen((char *)sealed) != n)
        return invalid_ciphertext(call, err);
    *line_end = '\0';
    if (key_id != NULL) {
        key_arn(call, key_id, &arn);
        if (!str_eq(buf_str(&arn), (char *)sealed))
            return api_refuse(call, err, "IncorrectKeyException",
                              "The key ID in the request does not identify a CMK that can "
                              "perform this operation.");
    }
    r = bind_to(call, (char *)sealed, &context, err);
    if (r == 0)
        r = sealing_key_open(&call->hub->sealing_key, context.data, line_end + 1, &plain64, err);
    if (r == ERR_CORRUPT || r == ERR_INVALID)
        return invalid_ciphertext(call, err);
    if (r < 0)
        return r;
    out_object(call->out, NULL);
    out_str(call->out, "KeyId", (char *)sealed);
    out_str(call->out, "Plaintext", buf_str(&plain64));
    out_str(call->out, "EncryptionAlgorithm", "SYMMETRIC_DEFAULT");
    out_object_end(call->out);
    return 0;
}
