/* Exact names, bounds and places for the readers of a release's metadata, and the members that its
 * writers put. */
#include "schema/release_internal.h"

#include <inttypes.h>
#include <string.h>

#include "base/clock.h"

int release_parse_json(const char *bytes, size_t n, size_t max_bytes, const char *what,
                       cJSON **ret_root, struct err *err)
{
    AUTO(cJSON_Delete) cJSON *root = NULL;
    int r = json_parse(bytes, n, max_bytes, JSON_STRICT, what, &root, err);

    if (r == 0)
        r = json_want_object(root, what, err);
    if (r == 0)
        *ret_root = TAKE(root);
    return r;
}

static const char *dot(const char *where)
{
    return where[0] != '\0' ? "." : "";
}

static int fail_missing(const char *where, const char *name, struct err *err)
{
    return err_set(err, ERR_INVALID, "%s%s%s is missing", where, dot(where), name);
}

static int fail_type(const cJSON *item, const char *where, const char *name, const char *wanted,
                     struct err *err)
{
    return err_set(err, ERR_INVALID, "%s%s%s must be %s, not %s", where, dot(where), name, wanted,
                   json_type_name(item));
}

int release_get_text(const cJSON *object, const char *where, const char *name, bool is_required,
                     size_t max_bytes, const char **ret_text, struct err *err)
{
    const cJSON *item = json_get_exact(object, name);

    if (item == NULL && is_required)
        return fail_missing(where, name, err);
    if (item != NULL && !cJSON_IsString(item))
        return fail_type(item, where, name, "a string", err);
    if (item != NULL && strlen(item->valuestring) > max_bytes)
        return err_set(err, ERR_LIMIT, "%s%s%s has %zu bytes; at most %zu are accepted", where,
                       dot(where), name, strlen(item->valuestring), max_bytes);
    *ret_text = item != NULL ? item->valuestring : NULL;
    return 0;
}

int release_get_number(const cJSON *object, const char *where, const char *name, bool is_required,
                       int64_t min, int64_t max, int64_t *ret_value, struct err *err)
{
    const cJSON *item = json_get_exact(object, name);
    double value;

    if (item == NULL)
        return is_required ? fail_missing(where, name, err) : 0;
    if (!cJSON_IsNumber(item))
        return fail_type(item, where, name, "a number", err);
    value = item->valuedouble;
    /* The bounds are below 2^53, so that every number between them is exact. */
    if (!(value >= (double)min && value <= (double)max) || value != (double)(int64_t)value)
        return err_set(err, ERR_INVALID,
                       "%s%s%s must be a whole number from %" PRId64 " to %" PRId64 ", not %g",
                       where, dot(where), name, min, max, value);
    *ret_value = (int64_t)value;
    return 0;
}

int release_get_time(const cJSON *object, const char *where, const char *name, bool is_required,
                     int64_t *ret_unix_ms, struct err *err)
{
    const char *text = NULL;
    int r = release_get_text(object, where, name, is_required, 40, &text, err);

    if (r < 0 || text == NULL)
        return r;
    if (clock_parse_iso(text, ret_unix_ms) < 0)
        return err_set(err, ERR_INVALID,
                       "%s%s%s must be a time such as 2026-01-31T12:00:00Z, not \"%s\"", where,
                       dot(where), name, text);
    return 0;
}

int release_get_list(const cJSON *object, const char *where, const char *name, size_t min,
                     size_t max, const cJSON **ret_list, size_t *ret_n, struct err *err)
{
    const cJSON *list = json_get_exact(object, name), *item;
    size_t n = 0;

    if (list == NULL)
        return fail_missing(where, name, err);
    if (!cJSON_IsArray(list))
        return fail_type(list, where, name, "a list", err);
    cJSON_ArrayForEach(item, list) n++;
    if (n < min || n > max)
        return err_set(err, n < min ? ERR_INVALID : ERR_LIMIT,
                       "%s%s%s has %zu members; it must have %zu to %zu", where, dot(where), name,
                       n, min, max);
    *ret_list = list;
    *ret_n = n;
    return 0;
}

int release_want_hex(const char *text, size_t n_bytes, const char *where, const char *name,
                     struct err *err)
{
    if (strlen(text) != 2 * n_bytes || strspn(text, "0123456789abcdef") != 2 * n_bytes)
        return err_set(err, ERR_INVALID, "%s%s%s must be %zu hexadecimal digits in lower case",
                       where, dot(where), name, 2 * n_bytes);
    return 0;
}

int release_get_header(const cJSON *object, const char *version_name, int64_t *ret_version,
                       int64_t *ret_issued_unix_ms, int64_t *ret_expires_unix_ms, struct err *err)
{
    int r;

    if ((r = release_get_number(object, "", version_name, true, 1, RELEASE_MAX_NUMBER, ret_version,
                                err)) < 0 ||
        (r = release_get_time(object, "", "Issued", true, ret_issued_unix_ms, err)) < 0 ||
        (r = release_get_time(object, "", "Expires", true, ret_expires_unix_ms, err)) < 0)
        return r;
    if (*ret_expires_unix_ms <= *ret_issued_unix_ms)
        return err_set(err, ERR_INVALID, "Expires must be later than Issued");
    return 0;
}

/* What is added is checked once, with buf_error(), by who made the buffer. */
void release_put_name(struct buf *b, bool *is_first, const char *name)
{
    (void)buf_printf(b, "%s\"%s\":", *is_first ? "" : ",", name);
    *is_first = false;
}

void release_put_text(struct buf *b, bool *is_first, const char *name, const char *text)
{
    release_put_name(b, is_first, name);
    (void)buf_add_json_str(b, text, strlen(text));
}

void release_put_number(struct buf *b, bool *is_first, const char *name, int64_t value)
{
    release_put_name(b, is_first, name);
    (void)buf_printf(b, "%" PRId64, value);
}

void release_put_time(struct buf *b, bool *is_first, const char *name, int64_t unix_ms)
{
    char text[ISO_MS_SIZE];

    clock_format_iso_ms(unix_ms, text);
    release_put_text(b, is_first, name, text);
}
