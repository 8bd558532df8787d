/* Named values in a small file. */
#include "base/record.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"

#define MAX_ITEMS 65536

void record_begin(struct buf *b, const char *kind)
{
    (void)buf_printf(b, "ssmd-record %d %s\n", RECORD_VERSION, kind); /* buf_error() tells */
}

void record_add(struct buf *b, const char *key, const char *value)
{
    const char *p;

    (void)buf_add_str(b, key);
    (void)buf_add_char(b, '=');
    for (p = value; *p != '\0';) {
        size_t run = strcspn(p, "%\r\n");

        (void)buf_add(b, p, run);
        p += run;
        if (*p != '\0')
            (void)buf_printf(b, "%%%02x", (unsigned char)*p++);
    }
    (void)buf_add_char(b, '\n');
}

void record_add_i64(struct buf *b, const char *key, int64_t value)
{
    (void)buf_printf(b, "%s=%" PRId64 "\n", key, value);
}

void record_end(struct buf *b)
{
    (void)buf_add_str(b, "end\n");
}

void record_done(struct record *r)
{
    free(r->text);
    free(r->items);
    *r = (struct record){0};
}

/* Undo the %xx escapes in place. */
static bool unescape(char *s)
{
    char *out = s;

    while (*s != '\0') {
        if (*s == '%') {
            char hex[3] = {s[1], s[1] != '\0' ? s[2] : '\0', '\0'};

            if (!str_unhex(hex, out, 1) || *out == '\0')
                return false;
            s += 3;
        } else {
            *out = *s++;
        }
        out++;
    }
    *out = '\0';
    return true;
}

static bool is_key(const char *s)
{
    return s[0] != '\0' && s[strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789_.")] == '\0';
}

static int parse_line(struct record *r, char *line, size_t *cap, struct err *err)
{
    char *eq = strchr(line, '=');

    if (eq == NULL)
        return err_set(err, ERR_CORRUPT, "record: a line without '='");
    *eq = '\0';
    if (!is_key(line) || !unescape(eq + 1))
        return err_set(err, ERR_CORRUPT, "record: malformed line");
    if (r->n_items == MAX_ITEMS)
        return err_set(err, ERR_CORRUPT, "record: more than %d values", MAX_ITEMS);
    if (r->n_items == *cap) {
        size_t n = *cap == 0 ? 16 : *cap * 2;
        struct record_item *p = realloc(r->items, n * sizeof(*p));

        if (p == NULL)
            return err_set(err, ERR_NOMEM, "record: out of memory");
        r->items = p;
        *cap = n;
    }
    r->items[r->n_items++] = (struct record_item){line, eq + 1};
    return 0;
}

/* "ssmd-record <version> <kind>" */
static int parse_header(struct record *r, char *line, const char *kind, struct err *err)
{
    static const char magic[] = "ssmd-record ";
    char *version = line + sizeof(magic) - 1, *space;
    int64_t number;

    if (!str_has_prefix(line, magic) || (space = strchr(version, ' ')) == NULL)
        return err_set(err, ERR_CORRUPT, "record: no header line");
    *space = '\0';
    if (!str_to_i64(version, 1, INT_MAX, &number))
        return err_set(err, ERR_CORRUPT, "record: no header line");
    r->version = (int)number;
    if (r->version > RECORD_VERSION)
        return err_set(err, ERR_NEWER, "record: protocol version %d, this program knows %d",
                       r->version, RECORD_VERSION);
    if (!str_copy(r->kind, sizeof(r->kind), space + 1) || !str_eq(r->kind, kind))
        return err_set(err, ERR_INVALID, "record: kind \"%s\" where \"%s\" was expected", r->kind,
                       kind);
    return 0;
}

static int parse(struct record *r, size_t n, const char *kind, struct err *err)
{
    char *line = r->text, *next, *end = r->text + n;
    size_t cap = 0;
    bool is_first = true;
    int rc;

    for (; line < end; line = next) {
        next = memchr(line, '\n', (size_t)(end - line));
        if (next == NULL)
            break;
        *next++ = '\0';
        if (is_first) {
            rc = parse_header(r, line, kind, err);
            if (rc < 0)
                return rc;
            is_first = false;
            continue;
        }
        if (str_eq(line, "end"))
            return next == end ? 0 : err_set(err, ERR_CORRUPT, "record: bytes after its end");
        rc = parse_line(r, line, &cap, err);
        if (rc < 0)
            return rc;
    }
    return err_set(err, ERR_CORRUPT, "record: cut off");
}

int record_parse(const char *bytes, size_t n, const char *kind, struct record *ret_record,
                 struct err *err)
{
    AUTO(record_done) struct record r = {0};
    int rc;

    if (n > RECORD_MAX_BYTES)
        return err_set(err, ERR_LIMIT, "record: larger than %u bytes", RECORD_MAX_BYTES);
    if (n > 0 && memchr(bytes, '\0', n) != NULL)
        return err_set(err, ERR_CORRUPT, "record: holds a NUL byte");
    r.text = malloc(n + 1);
    if (r.text == NULL)
        return err_set(err, ERR_NOMEM, "record: out of memory");
    if (n > 0)
        memcpy(r.text, bytes, n);
    r.text[n] = '\0';
    rc = parse(&r, n, kind, err);
    if (rc < 0)
        return rc;
    *ret_record = TAKE_STRUCT(r);
    return 0;
}

const char *record_get(const struct record *r, const char *key)
{
    size_t i;

    for (i = 0; i < r->n_items; i++)
        if (str_eq(r->items[i].key, key))
            return r->items[i].value;
    return NULL;
}

int record_get_i64(const struct record *r, const char *key, int64_t *ret_value, struct err *err)
{
    if (!str_to_i64(record_get(r, key), INT64_MIN, INT64_MAX, ret_value))
        return err_set(err, ERR_CORRUPT, "record %s: \"%s\" is missing or not a number", r->kind,
                       key);
    return 0;
}

int64_t record_get_i64_or(const struct record *r, const char *key, int64_t otherwise)
{
    int64_t v;

    return str_to_i64(record_get(r, key), INT64_MIN, INT64_MAX, &v) ? v : otherwise;
}
