/* A JSON document on a stream. */
#include "ctl/jsonw.h"

#include <inttypes.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/str.h"

#define CHUNK_BYTES ((size_t)16384)

void jsonw_init(struct jsonw *w, FILE *f)
{
    *w = (struct jsonw){.f = f};
}

/* Bytes as the inside of a JSON string. */
static void put_inside(struct jsonw *w, const char *s, size_t n)
{
    AUTO(buf_done) struct buf b = {.data = NULL};
    size_t k;

    for (; n > 0; s += k, n -= k) {
        k = n <= CHUNK_BYTES ? n : str_utf8_cut(s, n, CHUNK_BYTES);
        if (k == 0)
            k = 1;
        buf_init(&b, 8 * CHUNK_BYTES); /* six bytes for one is the most that escaping makes */
        if (buf_add_json_str(&b, s, k) < 0)
            w->failed = ERR_NOMEM;
        else
            (void)fwrite(b.data + 1, 1, b.len - 2, w->f);
        buf_done(&b);
    }
}

static void put_str(struct jsonw *w, const char *s)
{
    (void)fputc('"', w->f);
    put_inside(w, s, strlen(s));
    (void)fputc('"', w->f);
}

/* Comma, line and key before a value. Values of the two outer levels stand on lines of their own,
 * so that the document can be read and compared. */
static void before(struct jsonw *w, const char *key)
{
    if (w->needs_comma)
        (void)fputc(',', w->f);
    if (w->depth > 0 && w->depth <= 2)
        (void)fprintf(w->f, "\n%*s", w->depth, "");
    if (key != NULL) {
        put_str(w, key);
        (void)fputc(':', w->f);
    }
    w->needs_comma = true;
}

static void open_one(struct jsonw *w, const char *key, char bracket)
{
    before(w, key);
    (void)fputc(bracket, w->f);
    w->needs_comma = false;
    w->depth++;
}

static void close_one(struct jsonw *w, char bracket)
{
    w->depth--;
    w->needs_comma = true;
    (void)fputc(bracket, w->f);
}

void jsonw_open_object(struct jsonw *w, const char *key)
{
    open_one(w, key, '{');
}

void jsonw_close_object(struct jsonw *w)
{
    close_one(w, '}');
}

void jsonw_open_list(struct jsonw *w, const char *key)
{
    open_one(w, key, '[');
}

void jsonw_close_list(struct jsonw *w)
{
    close_one(w, ']');
}

void jsonw_str(struct jsonw *w, const char *key, const char *value)
{
    before(w, key);
    if (value == NULL)
        (void)fputs("null", w->f);
    else
        put_str(w, value);
}

void jsonw_i64(struct jsonw *w, const char *key, int64_t value)
{
    before(w, key);
    (void)fprintf(w->f, "%" PRId64, value);
}

void jsonw_bool(struct jsonw *w, const char *key, bool value)
{
    before(w, key);
    (void)fputs(value ? "true" : "false", w->f);
}

void jsonw_raw(struct jsonw *w, const char *key, const char *json)
{
    before(w, key);
    (void)fputs(json, w->f);
}

void jsonw_time(struct jsonw *w, const char *key, int64_t unix_ms)
{
    char text[ISO_MS_SIZE];

    clock_format_iso_ms(unix_ms, text);
    jsonw_str(w, key, unix_ms == 0 ? NULL : text);
}

void jsonw_begin_str(struct jsonw *w, const char *key)
{
    before(w, key);
    (void)fputc('"', w->f);
}

void jsonw_add_str(struct jsonw *w, struct jsonw_pieces *carry, const char *bytes, size_t n)
{
    size_t whole;

    /* Complete, byte by byte, the character that the last piece left unfinished. */
    while (carry->n > 0 && n > 0) {
        if (((unsigned char)*bytes & 0xc0) != 0x80 || carry->n == sizeof(carry->bytes)) {
            put_inside(w, carry->bytes, carry->n);
            carry->n = 0;
            break;
        }
        carry->bytes[carry->n++] = *bytes++;
        n--;
        if (str_utf8_len(carry->bytes, carry->n) == carry->n) {
            put_inside(w, carry->bytes, carry->n);
            carry->n = 0;
        }
    }
    /* The last lead byte within reach of the end may begin such a character. */
    for (whole = n; whole > 0 && n - whole < 3; whole--)
        if (((unsigned char)bytes[whole - 1] & 0xc0) != 0x80)
            break;
    if (whole > 0 && (unsigned char)bytes[whole - 1] >= 0xc2 &&
        str_utf8_len(bytes + whole - 1, n - whole + 1) == 0 && carry->n == 0) {
        whole--;
        carry->n = n - whole;
        memcpy(carry->bytes, bytes + whole, carry->n);
    } else {
        whole = n;
    }
    put_inside(w, bytes, whole);
}

void jsonw_end_str(struct jsonw *w, struct jsonw_pieces *carry)
{
    put_inside(w, carry->bytes, carry->n);
    carry->n = 0;
    (void)fputc('"', w->f);
}

int jsonw_end(struct jsonw *w, struct err *err)
{
    (void)fputc('\n', w->f);
    if (w->failed != 0)
        return err_set(err, w->failed, "output as JSON: out of memory");
    return 0;
}
