/* Reading a challenge, and computing the answer. */
#include "transport/digest.h"

#include <string.h>
#include <strings.h>

#include "base/str.h"
#include "transport/openssl.h"

#define HASH_HEX_SIZE 65
#define NONCE_COUNT "00000001"

/* ---- the challenge ---- */

static const char *skip(const char *p)
{
    return p + strspn(p, " \t,");
}

/* One name=value, the value a token or quoted. NULL: malformed, or too long. */
static const char *next_pair(const char *p, char *name, size_t name_size, char *value,
                             size_t value_size)
{
    size_t n = strcspn(p, " \t=,"), k = 0;

    if (n == 0 || n >= name_size)
        return NULL;
    memcpy(name, p, n);
    name[n] = '\0';
    p += n;
    p += strspn(p, " \t");
    if (*p != '=')
        return NULL;
    p++;
    p += strspn(p, " \t");
    if (*p != '"') {
        n = strcspn(p, " \t,");
        if (n >= value_size)
            return NULL;
        memcpy(value, p, n);
        value[n] = '\0';
        return p + n;
    }
    for (p++; *p != '"'; p++) {
        if (*p == '\\')
            p++;
        if (*p == '\0' || k + 1 >= value_size)
            return NULL;
        value[k++] = *p;
    }
    value[k] = '\0';
    return p + 1;
}

static int read_algorithm(struct digest_challenge *c, const char *value, struct err *err)
{
    static const struct {
        const char *name;
        bool is_sha256, is_session;
    } known[] = {{"MD5", false, false},
                 {"MD5-sess", false, true},
                 {"SHA-256", true, false},
                 {"SHA-256-sess", true, true}};
    size_t i;

    for (i = 0; i < ARRAY_LEN(known); i++)
        if (str_eq_nocase(known[i].name, value)) {
            c->is_sha256 = known[i].is_sha256;
            c->is_session = known[i].is_session;
            (void)str_copy(c->algorithm, sizeof(c->algorithm), value); /* fits: just compared */
            return 0;
        }
    return err_set(
        err, ERR_UNSUPPORTED,
        "Digest: the server asks for the algorithm \"%.60s\"; MD5, MD5-sess, SHA-256 and "
        "SHA-256-sess are known",
        value);
}

/* The first of the list that is known. */
static int read_qop(struct digest_challenge *c, const char *value, struct err *err)
{
    const char *p;

    for (p = skip(value); *p != '\0'; p = skip(p)) {
        size_t n = strcspn(p, " \t,");

        c->has_qop = true;
        if (n == 4 && strncasecmp(p, "auth", n) == 0)
            return 0;
        if (n == 8 && strncasecmp(p, "auth-int", n) == 0) {
            c->is_auth_int = true;
            return 0;
        }
        p += n;
    }
    return c->has_qop
               ? err_set(err, ERR_UNSUPPORTED,
                         "Digest: the server asks for \"%.60s\"; auth and auth-int are known",
                         value)
               : 0;
}

static int read_pair(struct digest_challenge *c, const char *name, const char *value,
                     struct err *err)
{
    if (str_eq_nocase(name, "realm"))
        (void)str_copy(c->realm, sizeof(c->realm), value); /* of one size: fits */
    else if (str_eq_nocase(name, "nonce"))
        (void)str_copy(c->nonce, sizeof(c->nonce), value);
    else if (str_eq_nocase(name, "opaque"))
        c->has_opaque = str_copy(c->opaque, sizeof(c->opaque), value);
    else if (str_eq_nocase(name, "userhash"))
        c->is_userhash = str_eq_nocase(value, "true");
    else if (str_eq_nocase(name, "algorithm"))
        return read_algorithm(c, value, err);
    else if (str_eq_nocase(name, "qop"))
        return read_qop(c, value, err);
    return 0;
}

int digest_challenge_parse(const char *header, struct digest_challenge *ret_challenge,
                           struct err *err)
{
    struct digest_challenge c = {.realm = ""};
    char name[64], value[DIGEST_MAX_TEXT];
    const char *p = skip(header);
    int r = 0;

    if (strncasecmp(p, "Digest", 6) != 0 || strchr(" \t", p[6]) == NULL)
        return err_set(err, ERR_PROTOCOL, "the server does not ask for Digest authentication");
    for (p = skip(p + 6); *p != '\0' && r == 0; p = skip(p)) {
        p = next_pair(p, name, sizeof(name), value, sizeof(value));
        if (p == NULL)
            return err_set(err, ERR_PROTOCOL, "Digest: the server's challenge is malformed");
        r = read_pair(&c, name, value, err);
    }
    if (r == 0 && c.nonce[0] == '\0')
        r = err_set(err, ERR_PROTOCOL, "Digest: the server's challenge has no nonce");
    if (r == 0)
        *ret_challenge = c;
    return r;
}

/* ---- the answer ---- */

/* The hash of the parts with colons between them; the list ends with NULL. */
static int hash(const struct digest_challenge *c, const char *const *parts,
                char ret_hex[HASH_HEX_SIZE], struct err *err)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    bool is_done =
        ctx != NULL && EVP_DigestInit_ex(ctx, c->is_sha256 ? EVP_sha256() : EVP_md5(), NULL) == 1;
    size_t i;

    for (i = 0; parts[i] != NULL && is_done; i++)
        is_done = (i == 0 || EVP_DigestUpdate(ctx, ":", 1) == 1) &&
                  EVP_DigestUpdate(ctx, parts[i], strlen(parts[i])) == 1;
    is_done = is_done && EVP_DigestFinal_ex(ctx, digest, &n) == 1 && 2 * n < HASH_HEX_SIZE;
    EVP_MD_CTX_free(ctx);
    if (!is_done)
        return err_set(err, ERR_SYSTEM, "Digest: this system's OpenSSL does not compute %s",
                       c->is_sha256 ? "SHA-256" : "MD5");
    str_hex(digest, n, ret_hex);
    return 0;
}

#define HASH(c, hex, err, ...) hash(c, (const char *const[]){__VA_ARGS__, NULL}, hex, err)

static void add_quoted(struct buf *b, const char *name, const char *value)
{
    (void)buf_printf(b, "%s %s=\"", b->len > strlen("Digest") ? "," : "", name);
    for (; *value != '\0'; value++) {
        if (*value == '"' || *value == '\\')
            (void)buf_add_char(b, '\\');
        (void)buf_add_char(b, *value);
    }
    (void)buf_add_char(b, '"');
}

int digest_answer(const struct digest_challenge *c, const char *method, const char *uri,
                  const char *username, const char *password, const char *cnonce,
                  struct buf *ret_header, struct err *err)
{
    const char *qop = c->is_auth_int ? "auth-int" : "auth";
    char a1[HASH_HEX_SIZE] = "", a2[HASH_HEX_SIZE] = "", body[HASH_HEX_SIZE] = "";
    char user[HASH_HEX_SIZE] = "", response[HASH_HEX_SIZE] = "";
    int r = HASH(c, a1, err, username, c->realm, password);

    if (r == 0 && c->is_session)
        r = HASH(c, a1, err, a1, c->nonce, cnonce);
    if (r == 0 && c->is_auth_int)
        r = HASH(c, body, err, "");
    if (r == 0)
        r = c->is_auth_int ? HASH(c, a2, err, method, uri, body) : HASH(c, a2, err, method, uri);
    if (r == 0)
        r = c->has_qop ? HASH(c, response, err, a1, c->nonce, NONCE_COUNT, cnonce, qop, a2)
                       : HASH(c, response, err, a1, c->nonce, a2);
    if (r == 0 && c->is_userhash)
        r = HASH(c, user, err, username, c->realm);
    explicit_bzero(a1, sizeof(a1)); /* as good as the password, for this realm */
    if (r != 0)
        return r;
    (void)buf_add_str(ret_header, "Digest");
    add_quoted(ret_header, "username", c->is_userhash ? user : username);
    add_quoted(ret_header, "realm", c->realm);
    add_quoted(ret_header, "nonce", c->nonce);
    add_quoted(ret_header, "uri", uri);
    if (c->algorithm[0] != '\0')
        (void)buf_printf(ret_header, ", algorithm=%s", c->algorithm);
    if (c->has_qop)
        (void)buf_printf(ret_header, ", qop=%s, nc=" NONCE_COUNT, qop);
    if (c->has_qop || c->is_session)
        add_quoted(ret_header, "cnonce", cnonce);
    add_quoted(ret_header, "response", response);
    if (c->has_opaque)
        add_quoted(ret_header, "opaque", c->opaque);
    if (c->is_userhash)
        (void)buf_add_str(ret_header, ", userhash=true");
    return buf_error(ret_header, "Digest: the answer", err);
}
