/* The making of a Version 4 signature: canonical request, string to sign, key, header. Checking one
 * is in sigv4_verify.c. */
#include "transport/sigv4.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "base/str.h"
#include "transport/sigv4_internal.h"

#define ALGORITHM "AWS4-HMAC-SHA256"
#define DAY_LEN 8
#define MAX_QUERY_PARAMS 1024

static bool is_unreserved(unsigned char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

static void add_encoded(struct buf *b, unsigned char c)
{
    if (is_unreserved(c))
        (void)buf_add_char(b, (char)c); /* buf_error() is asked once, at the end */
    else
        (void)buf_printf(b, "%%%02X", c);
}

/* Services other than s3 encode the wire path once more, so that a '%' of the wire becomes %25. */
static void add_path_segment(struct buf *b, const char *s, size_t n, bool is_s3)
{
    size_t i;

    for (i = 0; i < n; i++) {
        if (is_s3)
            (void)buf_add_char(b, s[i]);
        else
            add_encoded(b, (unsigned char)s[i]);
    }
}

/* Empty and dot segments go (RFC 3986, section 5.2.4), except in s3, whose keys may hold them. */
static int add_path(struct buf *b, const char *path, bool is_s3, struct err *err)
{
    size_t starts[256]; /* where each kept segment begins in b */
    size_t n_kept = 0;
    const char *p = path != NULL ? path : "";
    bool ends_in_slash = true;

    if (is_s3) {
        if (*p != '/')
            (void)buf_add_char(b, '/');
        add_path_segment(b, p, strlen(p), true);
        return 0;
    }
    while (*p != '\0') {
        size_t n = strcspn(p, "/");

        ends_in_slash = p[n] == '/';
        if (n == 2 && p[0] == '.' && p[1] == '.') {
            if (n_kept > 0) {
                b->len = starts[--n_kept];
                b->data[b->len] = '\0';
            }
            ends_in_slash = true;
        } else if (n == 1 && p[0] == '.') {
            ends_in_slash = true;
        } else if (n > 0) {
            if (n_kept == ARRAY_LEN(starts))
                return err_set(err, ERR_LIMIT, "sigv4: path has more than %zu segments",
                               ARRAY_LEN(starts));
            starts[n_kept++] = b->len;
            (void)buf_add_char(b, '/');
            add_path_segment(b, p, n, false);
        }
        p += n;
        if (*p == '/')
            p++;
    }
    if (ends_in_slash || n_kept == 0)
        (void)buf_add_char(b, '/');
    return 0;
}

static int unhex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* One spelling for each name and value: percent escapes are undone, then everything that is not
 * unreserved is escaped. */
static void add_query_part(struct buf *b, const char *s, size_t n)
{
    size_t i;

    for (i = 0; i < n; i++) {
        if (s[i] == '%' && i + 2 < n && unhex_digit(s[i + 1]) >= 0 && unhex_digit(s[i + 2]) >= 0) {
            add_encoded(b, (unsigned char)(unhex_digit(s[i + 1]) * 16 + unhex_digit(s[i + 2])));
            i += 2;
        } else {
            add_encoded(b, (unsigned char)s[i]);
        }
    }
}

struct query_param {
    size_t name, name_len, value, value_len; /* within the scratch text */
    const char *text;
};

static int compare_bytes(const char *a, size_t n, const char *b, size_t m)
{
    int c = memcmp(a, b, n < m ? n : m);

    return c != 0 ? c : (n > m) - (n < m);
}

static int compare_params(const void *left, const void *right)
{
    const struct query_param *a = left, *b = right;
    int c = compare_bytes(a->text + a->name, a->name_len, b->text + b->name, b->name_len);

    if (c != 0)
        return c;
    return compare_bytes(a->text + a->value, a->value_len, b->text + b->value, b->value_len);
}

static int add_query(struct buf *b, const char *query, struct err *err)
{
    AUTO(buf_done) struct buf scratch = {0};
    AUTO(free) struct query_param *params = NULL;
    size_t n_params = 0, i;
    const char *p;

    buf_init(&scratch, SIGV4_MAX_CANONICAL_BYTES);
    if (query == NULL || *query == '\0')
        return 0;
    for (p = query, n_params = 1; (p = strchr(p, '&')) != NULL; p++)
        n_params++;
    if (n_params > MAX_QUERY_PARAMS)
        return err_set(err, ERR_LIMIT, "sigv4: more than %d query parameters", MAX_QUERY_PARAMS);
    params = calloc(n_params, sizeof(*params));
    if (params == NULL)
        return err_set(err, ERR_NOMEM, "sigv4: out of memory");

    n_params = 0;
    for (p = query;; p++) {
        size_t n = strcspn(p, "&"), name_len = strcspn(p, "=&");
        struct query_param *q = &params[n_params];

        if (n > 0) { /* "a&&b" has two parameters */
            n_params++;
            q->name = scratch.len;
            add_query_part(&scratch, p, name_len);
            q->name_len = scratch.len - q->name;
            q->value = scratch.len;
            if (name_len < n)
                add_query_part(&scratch, p + name_len + 1, n - name_len - 1);
            q->value_len = scratch.len - q->value;
        }
        p += n;
        if (*p == '\0')
            break;
    }
    if (scratch.failed != 0)
        return buf_error(&scratch, "sigv4: query", err);
    for (i = 0; i < n_params; i++)
        params[i].text = buf_str(&scratch); /* only now: the text moves while it grows */
    qsort(params, n_params, sizeof(*params), compare_params);
    for (i = 0; i < n_params; i++) {
        (void)buf_add_str(b, i > 0 ? "&" : "");
        (void)buf_add(b, params[i].text + params[i].name, params[i].name_len);
        (void)buf_add_char(b, '=');
        (void)buf_add(b, params[i].text + params[i].value, params[i].value_len);
    }
    return 0;
}

/* Trimmed, inner runs of blanks as one space. */
static void add_header_value(struct buf *b, const char *value)
{
    bool is_first = true;

    while (*value != '\0') {
        size_t n;

        value += strspn(value, " \t");
        n = strcspn(value, " \t");
        if (n > 0) {
            if (!is_first)
                (void)buf_add_char(b, ' ');
            (void)buf_add(b, value, n);
            is_first = false;
        }
        value += n;
    }
}

bool sigv4_list_has(const char *list, const char *name)
{
    size_t n = strlen(name);

    while (*list != '\0') {
        size_t k = strcspn(list, ";");

        if (k == n && strncasecmp(list, name, n) == 0)
            return true;
        list += k;
        if (*list == ';')
            list++;
    }
    return false;
}

static bool is_signed(const char *name, const char *signed_headers)
{
    if (signed_headers != NULL)
        return sigv4_list_has(signed_headers, name);
    return !str_eq_nocase(name, "authorization") && !str_eq_nocase(name, "user-agent") &&
           !str_eq_nocase(name, "x-amzn-trace-id");
}

struct indexed_header {
    const struct header *header;
    size_t i; /* keeps values of one name in the order of the wire */
};

static int compare_headers(const void *left, const void *right)
{
    const struct indexed_header *a = left, *b = right;
    int c = strcasecmp(a->header->name, b->header->name);

    return c != 0 ? c : (a->i > b->i) - (a->i < b->i);
}

static void add_lower(struct buf *b, const char *s)
{
    for (; *s != '\0'; s++)
        (void)buf_add_char(b, *s >= 'A' && *s <= 'Z' ? (char)(*s + 32) : *s);
}

static int add_headers(struct buf *b, struct buf *names, const struct sigv4_request *request,
                       const char *signed_headers, struct err *err)
{
    struct indexed_header sorted[SIGV4_MAX_HEADERS];
    size_t n = 0, n_names = 0, n_listed = 0, i;
    bool has_host = false;
    const char *p;

    for (i = 0; i < request->n_headers; i++) {
        if (!is_signed(request->headers[i].name, signed_headers))
            continue;
        if (n == SIGV4_MAX_HEADERS)
            return err_set(err, ERR_INVALID, "sigv4: more than %d headers", SIGV4_MAX_HEADERS);
        sorted[n++] = (struct indexed_header){&request->headers[i], i};
    }
    qsort(sorted, n, sizeof(sorted[0]), compare_headers);
    for (i = 0; i < n; i++) {
        const struct header *h = sorted[i].header;

        if (i > 0 && str_eq_nocase(h->name, sorted[i - 1].header->name)) {
            (void)buf_add_char(b, ',');
        } else {
            if (i > 0)
                (void)buf_add_char(b, '\n');
            (void)buf_add_str(names, n_names++ > 0 ? ";" : "");
            add_lower(names, h->name);
            add_lower(b, h->name);
            (void)buf_add_char(b, ':');
            has_host = has_host || str_eq_nocase(h->name, "host");
        }
        add_header_value(b, h->value);
    }
    (void)buf_add_char(b, '\n');
    if (!has_host)
        return err_set(err, ERR_INVALID, "sigv4: the host header is not signed");
    if (signed_headers == NULL)
        return 0;
    for (p = signed_headers, n_listed = 1; (p = strchr(p, ';')) != NULL; p++)
        n_listed++;
    if (n_listed != n_names)
        return err_set(
            err, ERR_INVALID,
            "sigv4: SignedHeaders names %zu headers, of which the request has %zu: %.200s",
            n_listed, n_names, signed_headers);
    return 0;
}

int sigv4_canonical(const struct sigv4_request *request, const char *service,
                    const char *signed_headers, struct buf *ret_canonical, struct buf *ret_signed,
                    struct err *err)
{
    AUTO(buf_done) struct buf names = {0};
    char hex[SHA256_HEX_SIZE];
    int r;

    buf_init(&names, SIGV4_MAX_CANONICAL_BYTES);
    (void)buf_add_str(ret_canonical, request->method);
    (void)buf_add_char(ret_canonical, '\n');
    r = add_path(ret_canonical, request->path, str_eq(service, "s3"), err);
    if (r < 0)
        return r;
    (void)buf_add_char(ret_canonical, '\n');
    r = add_query(ret_canonical, request->query, err);
    if (r < 0)
        return r;
    (void)buf_add_char(ret_canonical, '\n');
    r = add_headers(ret_canonical, &names, request, signed_headers, err);
    if (r < 0)
        return r;
    (void)buf_add_char(ret_canonical, '\n');
    (void)buf_add_str(ret_canonical, buf_str(&names));
    (void)buf_add_char(ret_canonical, '\n');
    if (request->body_sha256 == NULL)
        sha256_hex_of(request->body, request->body_len, hex);
    (void)buf_add_str(ret_canonical, request->body_sha256 != NULL ? request->body_sha256 : hex);
    if (ret_signed != NULL)
        (void)buf_add_str(ret_signed, buf_str(&names));
    if (names.failed != 0)
        return buf_error(&names, "sigv4: header names", err);
    return buf_error(ret_canonical, "sigv4: canonical request", err);
}

void sigv4_format_date(int64_t unix_ms, char ret_date[SIGV4_DATE_SIZE])
{
    const int64_t last_second = INT64_C(253402300799); /* 9999-12-31T23:59:59Z */
    int64_t s = unix_ms / 1000;
    time_t t = (time_t)(s < 0 ? 0 : s > last_second ? last_second : s);
    struct tm tm;

    if (gmtime_r(&t, &tm) == NULL ||
        strftime(ret_date, SIGV4_DATE_SIZE, "%Y%m%dT%H%M%SZ", &tm) == 0)
        memcpy(ret_date, "19700101T000000Z", SIGV4_DATE_SIZE); /* cannot happen: t is clamped */
}

int sigv4_parse_date(const char *date, int64_t *ret_unix_ms)
{
    struct tm tm = {0};
    char again[SIGV4_DATE_SIZE];
    const char *end;
    int64_t ms;

    if (date == NULL || strlen(date) != SIGV4_DATE_SIZE - 1)
        return ERR_INVALID;
    end = strptime(date, "%Y%m%dT%H%M%SZ", &tm);
    if (end == NULL || *end != '\0')
        return ERR_INVALID;
    ms = (int64_t)timegm(&tm) * 1000;
    sigv4_format_date(ms, again); /* strptime takes 31 February and blanks */
    if (strcmp(date, again) != 0)
        return ERR_INVALID;
    *ret_unix_ms = ms;
    return 0;
}

static int add_scope(struct buf *b, const struct sigv4_scope *scope, struct err *err)
{
    int64_t ignored;

    if (sigv4_parse_date(scope->date, &ignored) < 0)
        return err_set(err, ERR_INVALID,
                       "sigv4: date \"%.32s\" is not of the form "
                       "20240102T030405Z",
                       scope->date != NULL ? scope->date : "");
    return buf_printf(b, "%.*s/%s/%s/aws4_request", DAY_LEN, scope->date, scope->region,
                      scope->service);
}

int sigv4_string_to_sign(const struct sigv4_scope *scope, const char *canonical, size_t n,
                         struct buf *ret_text, struct err *err)
{
    char hex[SHA256_HEX_SIZE];
    int r;

    sha256_hex_of(canonical, n, hex);
    (void)buf_printf(ret_text, ALGORITHM "\n%s\n", scope->date != NULL ? scope->date : "");
    r = add_scope(ret_text, scope, err);
    if (r == ERR_INVALID)
        return r;
    (void)buf_printf(ret_text, "\n%s", hex);
    return buf_error(ret_text, "sigv4: string to sign", err);
}

int sigv4_signing_key(const char *secret, const struct sigv4_scope *scope,
                      unsigned char ret_key[SHA256_SIZE], struct err *err)
{
    const char *steps[] = {scope->region, scope->service, "aws4_request"};
    size_t secret_len = strlen(secret), i;
    char *seed;

    if (secret_len > 4096)
        return err_set(err, ERR_LIMIT, "sigv4: the secret key is longer than 4096 bytes");
    seed = malloc(secret_len + 5);
    if (seed == NULL)
        return err_set(err, ERR_NOMEM, "sigv4: out of memory");
    memcpy(seed, "AWS4", 4);
    memcpy(seed + 4, secret, secret_len + 1);
    sha256_hmac(seed, secret_len + 4, scope->date, DAY_LEN, ret_key);
    explicit_bzero(seed, secret_len + 4);
    free(seed);
    for (i = 0; i < ARRAY_LEN(steps); i++)
        sha256_hmac(ret_key, SHA256_SIZE, steps[i], strlen(steps[i]), ret_key);
    return 0;
}

void sigv4_hmac_hex(const unsigned char key[SHA256_SIZE], const char *text, size_t n,
                    char ret_hex[SHA256_HEX_SIZE])
{
    unsigned char mac[SHA256_SIZE];

    sha256_hmac(key, SHA256_SIZE, text, n, mac);
    str_hex(mac, sizeof(mac), ret_hex);
}

void sigv4_keys_done(struct sigv4_keys *keys)
{
    explicit_bzero(keys, sizeof(*keys));
}

static void tag_key(const char *secret, const struct sigv4_scope *scope,
                    unsigned char ret_tag[SHA256_SIZE])
{
    struct sha256 s;

    sha256_init(&s);
    sha256_add(&s, scope->date, DAY_LEN); /* sigv4_string_to_sign() looked at it */
    sha256_add(&s, scope->region, strlen(scope->region) + 1);
    sha256_add(&s, scope->service, strlen(scope->service) + 1);
    sha256_add(&s, secret, strlen(secret));
    sha256_end(&s, ret_tag);
    explicit_bzero(&s, sizeof(s));
}

/* The key itself goes to *ret_key, for the caller to wipe. */
static int find_key(struct sigv4_keys *keys, const char *secret, const struct sigv4_scope *scope,
                    unsigned char ret_key[SHA256_SIZE], struct err *err)
{
    unsigned char tag[SHA256_SIZE];
    size_t i;
    int r;

    if (keys == NULL)
        return sigv4_signing_key(secret, scope, ret_key, err);
    tag_key(secret, scope, tag);
    for (i = 0; i < SIGV4_N_KEYS; i++)
        if (keys->items[i].is_set && memcmp(keys->items[i].tag, tag, sizeof(tag)) == 0) {
            memcpy(ret_key, keys->items[i].key, SHA256_SIZE);
            return 0;
        }
    r = sigv4_signing_key(secret, scope, ret_key, err);
    if (r < 0)
        return r;
    i = keys->next;
    keys->next = (i + 1) % SIGV4_N_KEYS;
    keys->items[i].is_set = true;
    memcpy(keys->items[i].tag, tag, sizeof(tag));
    memcpy(keys->items[i].key, ret_key, SHA256_SIZE);
    return 0;
}

int sigv4_sign_again(const struct sigv4_request *request, const struct sigv4_scope *scope,
                     const char *access_key, const char *secret, struct sigv4_keys *keys,
                     struct buf *ret_authorization, struct err *err)
{
    AUTO(buf_done) struct buf canonical = {0};
    AUTO(buf_done) struct buf names = {0};
    AUTO(buf_done) struct buf text = {0};
    unsigned char key[SHA256_SIZE];
    char signature[SHA256_HEX_SIZE];
    int r;

    buf_init(&canonical, SIGV4_MAX_CANONICAL_BYTES);
    buf_init(&names, SIGV4_MAX_CANONICAL_BYTES);
    buf_init(&text, 1024);
    r = sigv4_canonical(request, scope->service, NULL, &canonical, &names, err);
    if (r < 0)
        return r;
    r = sigv4_string_to_sign(scope, buf_str(&canonical), canonical.len, &text, err);
    if (r < 0)
        return r;
    r = find_key(keys, secret, scope, key, err);
    if (r < 0)
        return r;
    sigv4_hmac_hex(key, buf_str(&text), text.len, signature);
    explicit_bzero(key, sizeof(key));
    (void)buf_printf(ret_authorization,
                     ALGORITHM " Credential=%s/%.*s/%s/%s/aws4_request, "
                               "SignedHeaders=%s, Signature=%s",
                     access_key, DAY_LEN, scope->date, scope->region, scope->service,
                     buf_str(&names), signature);
    return buf_error(ret_authorization, "sigv4: Authorization header", err);
}

int sigv4_sign(const struct sigv4_request *request, const struct sigv4_scope *scope,
               const char *access_key, const char *secret, struct buf *ret_authorization,
               struct err *err)
{
    return sigv4_sign_again(request, scope, access_key, secret, NULL, ret_authorization, err);
}
