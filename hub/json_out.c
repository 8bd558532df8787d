/* JSON into a buf. Failures stick to the buf, so the results of the adds are not looked at here. */
#include "hub/json_out.h"

#include <inttypes.h>
#include <string.h>

static void begin(struct buf *b, const char *key)
{
    char last = b->len > 0 ? b->data[b->len - 1] : '\0';

    if (last != '\0' && last != '{' && last != '[' && last != ':')
        (void)buf_add_char(b, ',');
    if (key != NULL) {
        (void)buf_add_json_str(b, key, strlen(key));
        (void)buf_add_char(b, ':');
    }
}

void out_object(struct buf *b, const char *key)
{
    begin(b, key);
    (void)buf_add_char(b, '{');
}

void out_object_end(struct buf *b)
{
    (void)buf_add_char(b, '}');
}

void out_list(struct buf *b, const char *key)
{
    begin(b, key);
    (void)buf_add_char(b, '[');
}

void out_list_end(struct buf *b)
{
    (void)buf_add_char(b, ']');
}

void out_str(struct buf *b, const char *key, const char *value)
{
    if (value == NULL)
        return;
    begin(b, key);
    (void)buf_add_json_str(b, value, strlen(value));
}

void out_num(struct buf *b, const char *key, int64_t value)
{
    begin(b, key);
    (void)buf_printf(b, "%" PRId64, value);
}

void out_bool(struct buf *b, const char *key, bool value)
{
    begin(b, key);
    (void)buf_add_str(b, value ? "true" : "false");
}

void out_time(struct buf *b, const char *key, int64_t unix_ms)
{
    begin(b, key);
    (void)buf_printf(b, "%" PRId64 ".%03d", unix_ms / 1000, (int)(unix_ms % 1000));
}

void out_raw(struct buf *b, const char *key, const char *json)
{
    if (json == NULL || json[0] == '\0')
        return;
    begin(b, key);
    (void)buf_add_str(b, json);
}
