/* AWS Signature Version 4, header form (spec 01, section 12): what the agent signs its requests
 * with and what ssmhub checks them with. Pure: no clock, no I/O. Any thread. */
#ifndef SSMD_TRANSPORT_SIGV4_H
#define SSMD_TRANSPORT_SIGV4_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/sha256.h"
#include "transport/header.h"

#define SIGV4_DATE_SIZE 17 /* 20240102T030405Z and a NUL */
#define SIGV4_MAX_HEADERS 128
#define SIGV4_MAX_CANONICAL_BYTES (1u << 20)
#define SIGV4_EMPTY_SHA256 "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

/* A request as it goes over the wire. Everything is borrowed. */
struct sigv4_request {
    const char *method;
    const char *path;  /* already percent-encoded, as sent; "" or NULL is "/" */
    const char *query; /* as sent, without '?'; NULL or "" is none. '+' means itself */
    /* Host must be among them. Of the headers present, all are signed but Authorization, User-Agent
     * and X-Amzn-Trace-Id; more than one value of a name is in the order of the wire. */
    const struct header *headers;
    size_t n_headers;
    const void *body;
    size_t body_len;
    const char *body_sha256; /* hexadecimal; when not NULL, used in place of hashing `body` */
};

struct sigv4_scope {
    const char *date; /* 20240102T030405Z */
    const char *region;
    const char *service; /* "s3" changes the path's encoding (section 12.1) */
};

/* Add the canonical request. `signed_headers` ("host;x-amz-date"; NULL: every one that
 * sigv4_sign would sign) selects the headers; the list used is added to *ret_signed, which may be
 * NULL. Both buffers were initialised by the caller. ERR_INVALID: no host header, a header named in
 * the list is missing, too many headers; ERR_LIMIT; ERR_NOMEM. */
int sigv4_canonical(const struct sigv4_request *request, const char *service,
                    const char *signed_headers, struct buf *ret_canonical, struct buf *ret_signed,
                    struct err *err) MUST_CHECK;

/* The four lines that are signed. ERR_INVALID: the date is malformed. */
int sigv4_string_to_sign(const struct sigv4_scope *scope, const char *canonical, size_t n,
                         struct buf *ret_text, struct err *err) MUST_CHECK;

/* Keys that were derived lately. Zeroed it is empty; wiped by sigv4_keys_done(). What a key is for,
 * its secret among that, is kept as a hash. */
#define SIGV4_N_KEYS 6 /* services of one agent */
struct sigv4_keys {
    struct {
        bool is_set;
        unsigned char tag[SHA256_SIZE], key[SHA256_SIZE];
    } items[SIGV4_N_KEYS];
    size_t next; /* the one that makes room */
};
void sigv4_keys_done(struct sigv4_keys *keys);

/* The key that is good for one day, region and service. Wipe it after use. */
int sigv4_signing_key(const char *secret, const struct sigv4_scope *scope,
                      unsigned char ret_key[SHA256_SIZE], struct err *err) MUST_CHECK;

/* HMAC-SHA256 in lower-case hexadecimal. */
void sigv4_hmac_hex(const unsigned char key[SHA256_SIZE], const char *text, size_t n,
                    char ret_hex[SHA256_HEX_SIZE]);

/* Unix time in the form of X-Amz-Date. Clamped to the years 1970 to 9999. */
void sigv4_format_date(int64_t unix_ms, char ret_date[SIGV4_DATE_SIZE]);
int sigv4_parse_date(const char *date, int64_t *ret_unix_ms) MUST_CHECK; /* ERR_INVALID */

/* Add the value of the Authorization header. X-Amz-Date (equal to scope->date) and, with temporary
 * credentials, X-Amz-Security-Token must be among the request's headers already: they are signed
 * like the others. Errors as sigv4_canonical(). */
int sigv4_sign(const struct sigv4_request *request, const struct sigv4_scope *scope,
               const char *access_key, const char *secret, struct buf *ret_authorization,
               struct err *err) MUST_CHECK;
/* The same, for who signs often: the key is looked for in *keys first, and kept there. */
int sigv4_sign_again(const struct sigv4_request *request, const struct sigv4_scope *scope,
                     const char *access_key, const char *secret, struct sigv4_keys *keys,
                     struct buf *ret_authorization, struct err *err) MUST_CHECK;

/* The parts of an Authorization header, copied. */
struct sigv4_authorization {
    char access_key[129];
    char day[9]; /* 20240102 */
    char region[101];
    char service[65];
    char signed_headers[2048];
    char signature[1024]; /* hexadecimal in SigV4; base64 in the RSA scheme of spec 01, section 6 */
};

/* ERR_INVALID names the part that is missing or malformed. */
int sigv4_parse_authorization(const char *value, struct sigv4_authorization *ret_parts,
                              struct err *err) MUST_CHECK;

/* The secret of an access key, or NULL when it is not known. *ret_token: the session token that
 * must come with it, or NULL. Both borrowed until sigv4_verify returns. */
typedef const char *(*sigv4_secret_fn)(void *ctx, const char *access_key, const char **ret_token);

struct sigv4_check {
    sigv4_secret_fn secret;
    void *ctx;
    int64_t now_unix_ms;
    int64_t max_skew_ms; /* 0: the date is not compared with `now` */
    const char *region;  /* NULL: any */
    const char *service; /* NULL: any; only "s3" or not matters to the encoding then */
};

/* Check a received request, whose headers include Authorization. 0 and *ret_parts, or ERR_AUTH with
 * what is wrong; *ret_code (never NULL on ERR_AUTH, static) is the name AWS gives such a refusal:
 * MissingAuthenticationTokenException, IncompleteSignatureException, InvalidSignatureException,
 * UnrecognizedClientException. Other errors: ERR_NOMEM, ERR_LIMIT. */
int sigv4_verify(const struct sigv4_request *request, const struct sigv4_check *check,
                 struct sigv4_authorization *ret_parts, const char **ret_code, struct err *err)
    MUST_CHECK;

#endif
