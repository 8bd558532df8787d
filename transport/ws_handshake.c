/* Both halves of the opening handshake's text. */
#include "transport/ws_handshake.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/str.h"
#include "transport/ws_codec.h"

#define MAX_BODY_SHOWN 300

static bool is_line(const char *s)
{
    return strpbrk(s, "\r\n") == NULL;
}

int ws_handshake_write(const char *target, const struct header *headers, size_t n_headers,
                       const char *key, struct buf *b, struct err *err)
{
    size_t i;

    if (target[0] != '/' || strpbrk(target, " \t\r\n") != NULL)
        return err_set(err, ERR_INVALID, "websocket: \"%.100s\" is no path", target);
    (void)buf_printf(b, "GET %s HTTP/1.1\r\n", target);
    for (i = 0; i < n_headers; i++) {
        if (!is_line(headers[i].name) || !is_line(headers[i].value))
            return err_set(err, ERR_INVALID, "websocket: header \"%.60s\" has a line end",
                           headers[i].name);
        (void)buf_printf(b, "%s: %s\r\n", headers[i].name, headers[i].value);
    }
    (void)buf_printf(b,
                     "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                     "Sec-WebSocket-Key: %s\r\n\r\n",
                     key);
    return buf_error(b, "websocket: request", err);
}

/* ---- the answer ---- */

struct head {
    const char *bytes; /* from the status line to the empty line */
    size_t n;
};

/* The value of header number `nth` (from 0) of this name, without blanks around it. */
static bool find_header(const struct head *h, const char *name, size_t nth, const char **ret_value,
                        size_t *ret_n)
{
    const char *p = h->bytes, *end = h->bytes + h->n, *line_end;
    size_t n_name = strlen(name);

    for (; p < end; p = line_end + 1) {
        const char *value, *last;

        line_end = memchr(p, '\n', (size_t)(end - p));
        if (line_end == NULL)
            line_end = end;
        if ((size_t)(line_end - p) <= n_name || p[n_name] != ':' ||
            strncasecmp(p, name, n_name) != 0 || nth-- > 0)
            continue;
        value = p + n_name + 1;
        last = line_end;
        while (value < last && strchr(" \t", *value) != NULL)
            value++;
        while (last > value && strchr(" \t\r", last[-1]) != NULL)
            last--;
        *ret_value = value;
        *ret_n = (size_t)(last - value);
        return true;
    }
    return false;
}

/* Is `word` one of the words, with commas between them, of any header of this name? */
static bool has_word(const struct head *h, const char *name, const char *word)
{
    const char *value;
    size_t n, nth, n_word = strlen(word);

    for (nth = 0; find_header(h, name, nth, &value, &n); nth++) {
        const char *p = value, *end = value + n;

        while (p < end) {
            const char *comma = memchr(p, ',', (size_t)(end - p));
            const char *last = comma != NULL ? comma : end;

            while (p < last && strchr(" \t", *p) != NULL)
                p++;
            while (last > p && strchr(" \t", last[-1]) != NULL)
                last--;
            if ((size_t)(last - p) == n_word && strncasecmp(p, word, n_word) == 0)
                return true;
            if (comma == NULL)
                break;
            p = comma + 1;
        }
    }
    return false;
}

/* "HTTP/1.1 101 Switching Protocols" */
static bool read_status(const char *bytes, size_t n, int *ret_status)
{
    int i, status = 0;

    if (n < 12 || memcmp(bytes, "HTTP/1.", 7) != 0 || bytes[8] != ' ')
        return false;
    for (i = 9; i < 12; i++) {
        if (bytes[i] < '0' || bytes[i] > '9')
            return false;
        status = status * 10 + (bytes[i] - '0');
    }
    *ret_status = status;
    return true;
}

/* What the peer wrote, in one line of printable characters. */
static void show(const char *bytes, size_t n, char *ret_text, size_t size)
{
    size_t i;

    if (n > size - 1)
        n = size - 1;
    for (i = 0; i < n; i++)
        ret_text[i] = (bytes[i] >= ' ' && bytes[i] <= '~') ? bytes[i] : ' ';
    ret_text[n] = '\0';
}

static int refuse(const struct head *h, int status, const char *body, size_t n, bool is_end,
                  struct err *err)
{
    char text[MAX_BODY_SHOWN];
    const char *length;
    size_t n_length, wanted = 0;
    int code = status == 401 || status == 403 ? ERR_AUTH
               : status == 429                ? ERR_THROTTLED
               : status >= 500                ? ERR_SERVER
                                              : ERR_REFUSED;

    if (find_header(h, "Content-Length", 0, &length, &n_length))
        wanted = (size_t)strtoul(length, NULL, 10); /* only for how much of it is shown */
    if (!is_end && n < wanted && n < sizeof(text) && h->n + n < WS_HANDSHAKE_MAX_BYTES)
        return 0;
    show(body, n, text, sizeof(text));
    return err_set(err, code, "the websocket was refused with HTTP %d%s%s", status,
                   text[0] != '\0' ? ": " : "", text);
}

static int accept_head(const struct head *h, const char *key, struct err *err)
{
    char wanted[WS_ACCEPT_SIZE];
    const char *value;
    size_t n;
    int r = ws_accept_of_key(key, wanted, err);

    if (r < 0)
        return r;
    if (!has_word(h, "Upgrade", "websocket") || !has_word(h, "Connection", "upgrade"))
        return err_set(err, ERR_PROTOCOL, "the answer to the upgrade is not that of a websocket");
    if (!find_header(h, "Sec-WebSocket-Accept", 0, &value, &n) || n != strlen(wanted) ||
        memcmp(value, wanted, n) != 0)
        return err_set(err, ERR_PROTOCOL,
                       "the answer to the upgrade has a wrong Sec-WebSocket-Accept: it is not the "
                       "service's (a cache in between?)");
    if (find_header(h, "Sec-WebSocket-Extensions", 0, &value, &n) ||
        find_header(h, "Sec-WebSocket-Protocol", 0, &value, &n))
        return err_set(err, ERR_PROTOCOL,
                       "the answer to the upgrade has an extension that was not asked for");
    return 1;
}

int ws_handshake_read(const char *bytes, size_t n, bool is_end, const char *key, size_t *ret_used,
                      struct err *err)
{
    static const char start[] = "HTTP/1.";
    size_t n_start = n < sizeof(start) - 1 ? n : sizeof(start) - 1;
    const char *end = memmem(bytes, n, "\r\n\r\n", 4);
    struct head h = {.bytes = bytes};
    int status, r;

    if (memcmp(bytes, start, n_start) != 0)
        return err_set(err, ERR_PROTOCOL, "the answer to the upgrade is not HTTP");
    if (end == NULL && is_end)
        return err_set(err, ERR_NETWORK, "the peer closed the connection during the upgrade");
    if (end == NULL)
        return n < WS_HANDSHAKE_MAX_BYTES
                   ? 0
                   : err_set(err, ERR_PROTOCOL, "the answer to the upgrade is larger than %u bytes",
                             WS_HANDSHAKE_MAX_BYTES);
    h.n = (size_t)(end - bytes) + 2;
    if (!read_status(bytes, h.n, &status))
        return err_set(err, ERR_PROTOCOL, "the answer to the upgrade is not HTTP");
    if (status != 101)
        return refuse(&h, status, end + 4, n - h.n - 2, is_end, err);
    r = accept_head(&h, key, err);
    if (r > 0)
        *ret_used = h.n + 2;
    return r;
}
