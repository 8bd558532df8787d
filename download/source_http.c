/* sourceType HTTP (spec 04, section 8.6). */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/base64.h"
#include "base/ids.h"
#include "base/str.h"
#include "download/download.h"
#include "transport/digest.h"

#define MAX_HEADER_BYTES 16384

static int basic(const struct secret *username, const struct secret *password, struct buf *header,
                 struct err *err)
{
    AUTO(buf_done) struct buf pair = {0};
    AUTO(free) char *text = NULL;
    int r;

    buf_init(&pair, MAX_HEADER_BYTES / 2);
    (void)buf_printf(&pair, "%s:%s", secret_reveal(username), secret_reveal(password));
    r = buf_error(&pair, "user and password", err);
    text = r == 0 ? malloc(BASE64_SIZE(pair.len)) : NULL;
    if (r == 0 && text == NULL)
        r = err_set(err, ERR_NOMEM, "out of memory");
    if (text != NULL) {
        base64_encode(pair.data, pair.len, text);
        (void)buf_printf(header, "Basic %s", text);
        explicit_bzero(text, strlen(text));
        r = buf_error(header, "user and password", err);
    }
    if (pair.data != NULL)
        explicit_bzero(pair.data, pair.len);
    return r;
}

/* Path and query as they are sent: what Digest signs. */
static const char *uri_of(const char *url)
{
    const char *p = strstr(url, "://");

    p = p != NULL ? p + 3 : url;
    p += strcspn(p, "/?#");
    return *p == '/' ? p : "/";
}

static int digest(struct download *d, const struct secret *username, const struct secret *password,
                  struct buf *header, struct err *err)
{
    struct fetch f = {.url = d->in.location};
    struct digest_challenge challenge;
    unsigned char random[8];
    char cnonce[17], uri[4096];
    int r = fetch_get(d, &f, err);

    buf_done(&f.body);
    if (r < 0)
        return r;
    if (f.status != 401)
        return err_set(err, ERR_REFUSED,
                       "the server answered with status %ld to a request without a user; Digest "
                       "authentication begins with 401",
                       f.status);
    r = digest_challenge_parse(f.authenticate, &challenge, err);
    if (r < 0)
        return r;
    ids_random(random, sizeof(random));
    str_hex(random, sizeof(random), cnonce);
    if (!str_copy(uri, sizeof(uri), uri_of(d->in.location)))
        return err_set(err, ERR_LIMIT, "the URL is too long");
    uri[strcspn(uri, "#")] = '\0';
    return digest_answer(&challenge, "GET", uri, secret_reveal(username), secret_reveal(password),
                         cnonce, header, err);
}

static int authorize(struct download *d, struct buf *header, struct err *err)
{
    AUTO(secret_done) struct secret username = {0};
    AUTO(secret_done) struct secret password = {0};
    int r;

    if (d->in.auth == DOWNLOAD_AUTH_NONE)
        return 0;
    if ((r = ask_value(d, d->in.username, &username, err)) < 0 ||
        (r = ask_value(d, d->in.password, &password, err)) < 0)
        return r;
    return d->in.auth == DOWNLOAD_AUTH_BASIC ? basic(&username, &password, header, err)
                                             : digest(d, &username, &password, header, err);
}

static int get(struct download *d, const struct buf *header, struct dest_file *file,
               struct err *err)
{
    const struct header headers[] = {{"Authorization", buf_str(header)}};
    struct fetch f = {.url = d->in.location,
                      .headers = headers,
                      .n_headers = header->len > 0 ? 1 : 0,
                      .file = file};
    int r = fetch_get(d, &f, err);

    buf_done(&f.body);
    if (r == 0 && f.status != 200)
        r = fetch_refused(&f, err);
    return r == 0 ? dest_commit(file, err) : r;
}

int source_http(struct download *d, struct err *err)
{
    AUTO(dest_done) struct dest_file file = {.fd = -1, .dirfd = -1};
    struct buf header = {0};
    char name[32], shown[300];
    int r;

    (void)snprintf(name, sizeof(name), "download%u", ids_random32()); /* fits */
    buf_init(&header, MAX_HEADER_BYTES);
    r = authorize(d, &header, err);
    if (r == 0)
        r = dest_begin(d->dest, dest_is_directory(d->dest) ? name : NULL, &file, err);
    if (r == 0)
        r = get(d, &header, &file, err);
    if (header.data != NULL)
        explicit_bzero(header.data, header.len);
    buf_done(&header);
    fetch_describe(d->in.location, shown, sizeof(shown));
    return r < 0 ? err_wrap(err, "download %s", shown) : 0;
}
