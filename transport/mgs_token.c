/* The token out of its answer. */
#include "transport/mgs_token.h"

#include <expat.h>
#include <string.h>

#include "base/str.h"
#include "schema/json.h"

#define MAX_DEPTH 16u
#define MAX_BODY_BYTES (1u << 20)

struct walk {
    XML_Parser parser;
    unsigned depth;
    bool is_in_token, has_token;
    struct buf token;
};

/* With or without a namespace's prefix. */
static bool is_token_name(const char *name)
{
    const char *colon = strrchr(name, ':');

    return str_eq(colon != NULL ? colon + 1 : name, "TokenValue");
}

static void XMLCALL on_start(void *ctx, const XML_Char *name, const XML_Char **attributes)
{
    struct walk *w = ctx;

    (void)attributes;
    if (++w->depth > MAX_DEPTH) {
        (void)XML_StopParser(w->parser, XML_FALSE); /* fails only when it is stopped already */
        return;
    }
    w->is_in_token = w->depth == 2 && is_token_name(name) && !w->has_token;
    w->has_token = w->has_token || w->is_in_token;
}

static void XMLCALL on_end(void *ctx, const XML_Char *name)
{
    struct walk *w = ctx;

    (void)name;
    w->depth--;
    w->is_in_token = false;
}

static void XMLCALL on_text(void *ctx, const XML_Char *text, int n)
{
    struct walk *w = ctx;

    if (w->is_in_token && buf_add(&w->token, text, (size_t)n) < 0)
        (void)XML_StopParser(w->parser, XML_FALSE);
}

/* An answer of the service has no reason to bring a document type, and what one can do (entities
 * that grow) is not wanted. */
static void XMLCALL on_doctype(void *ctx, const XML_Char *name, const XML_Char *system_id,
                               const XML_Char *public_id, int has_internal_subset)
{
    struct walk *w = ctx;

    (void)name;
    (void)system_id;
    (void)public_id;
    (void)has_internal_subset;
    (void)XML_StopParser(w->parser, XML_FALSE);
}

static int keep(const char *token, struct secret *ret_token, struct err *err)
{
    size_t n = strlen(token);

    if (n == 0 || n > MGS_MAX_TOKEN_BYTES)
        return err_set(err, ERR_PROTOCOL, "the answer has a token of %zu bytes instead of 1 to %u",
                       n, MGS_MAX_TOKEN_BYTES);
    return secret_set(ret_token, token, err);
}

static int read_xml(const char *body, size_t n, struct secret *ret_token, struct err *err)
{
    struct walk w = {.parser = XML_ParserCreate(NULL)};
    int r;

    if (w.parser == NULL)
        return err_set(err, ERR_NOMEM, "read a token: out of memory");
    buf_init(&w.token, MGS_MAX_TOKEN_BYTES);
    XML_SetUserData(w.parser, &w);
    XML_SetElementHandler(w.parser, on_start, on_end);
    XML_SetCharacterDataHandler(w.parser, on_text);
    XML_SetStartDoctypeDeclHandler(w.parser, on_doctype);
    if (XML_Parse(w.parser, body, (int)n, 1) != XML_STATUS_OK)
        r = XML_GetErrorCode(w.parser) == XML_ERROR_NO_MEMORY
                ? err_set(err, ERR_NOMEM, "read a token: out of memory")
                : err_set(err, ERR_PROTOCOL, "the answer is no XML that could be used: %s",
                          XML_ErrorString(XML_GetErrorCode(w.parser)));
    else if (!w.has_token)
        r = err_set(err, ERR_PROTOCOL, "the answer has no TokenValue");
    else
        r = keep(buf_str(&w.token), ret_token, err);
    if (w.token.data != NULL)
        explicit_bzero(w.token.data, w.token.cap);
    buf_done(&w.token);
    XML_ParserFree(w.parser);
    return r;
}

static int read_json(const char *body, size_t n, struct secret *ret_token, struct err *err)
{
    AUTO(cJSON_Delete) cJSON *root = NULL;
    const cJSON *value;
    struct err why;
    int r = json_parse(body, n, MAX_BODY_BYTES, JSON_REFUSE, "answer", &root, &why);

    if (r == ERR_NOMEM)
        return err_set(err, r, "read a token: out of memory");
    if (r < 0)
        return err_set(err, ERR_PROTOCOL, "the answer is no JSON that could be used");
    value = json_get(root, "TokenValue");
    if (!cJSON_IsString(value))
        return err_set(err, ERR_PROTOCOL, "the answer has no TokenValue");
    return keep(value->valuestring, ret_token, err);
}

int mgs_token_read(const char *body, size_t n, struct secret *ret_token, struct err *err)
{
    size_t first = 0;

    if (n > MAX_BODY_BYTES)
        return err_set(err, ERR_PROTOCOL, "an answer of %zu bytes", n);
    while (first < n && strchr(" \t\r\n", body[first]) != NULL && body[first] != '\0')
        first++;
    return first < n && body[first] == '{' ? read_json(body, n, ret_token, err)
                                           : read_xml(body, n, ret_token, err);
}
