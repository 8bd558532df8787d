/* The reader: one pass over the bytes, one cJSON node per value, the place of the first mistake. */
#include "schema/json.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"

#define MENDED (1 << 16) /* our own bit in cJSON's type word, above those that cJSON uses */
#define MAX_NUMBER_BYTES 400
#define FEW_MEMBERS 16 /* up to here comparing all pairs of keys is cheaper than sorting */

struct reader {
    const char *begin;
    const char *p;
    const char *end;
    const char *what;
    enum json_strings strings;
    unsigned depth;
    unsigned n_values;
    struct err *err;
};

static int read_value(struct reader *r, cJSON **ret_item);

/* err_set() returns the code it is given. That is said once more here: an analyzer sees by it that
 * no item is used after a failure. */
static int fail_at(const struct reader *r, const char *at, int code, const char *text)
{
    const char *q;
    size_t line = 1, column = 1;

    for (q = r->begin; q < at; q++) {
        if (*q == '\n') {
            line++;
            column = 1;
        } else if (((unsigned char)*q & 0xc0) != 0x80) {
            column++;
        }
    }
    (void)err_set(r->err, code, "%s: line %zu, column %zu: %s", r->what, line, column, text);
    return code;
}

static int fail(const struct reader *r, const char *text)
{
    if (r->p >= r->end)
        return fail_at(r, r->end, ERR_INVALID, "the text ends too early");
    return fail_at(r, r->p, ERR_INVALID, text);
}

static int fail_memory(const struct reader *r)
{
    (void)err_set(r->err, ERR_NOMEM, "%s: out of memory", r->what);
    return ERR_NOMEM;
}

static void skip_blanks(struct reader *r)
{
    while (r->p < r->end && (*r->p == ' ' || *r->p == '\t' || *r->p == '\n' || *r->p == '\r'))
        r->p++;
}

static bool take(struct reader *r, char c)
{
    if (r->p >= r->end || *r->p != c)
        return false;
    r->p++;
    return true;
}

static int new_item(struct reader *r, int type, cJSON **ret_item)
{
    cJSON *item;

    if (++r->n_values > JSON_MAX_VALUES)
        return fail_at(r, r->p, ERR_LIMIT, "too many values");
    item = cJSON_CreateNull();
    if (item == NULL)
        return fail_memory(r);
    item->type = type;
    *ret_item = item;
    return 0;
}

static bool read_hex4(const char *p, const char *end, unsigned *ret_unit)
{
    unsigned unit = 0;
    int i;

    if (end - p < 4)
        return false;
    for (i = 0; i < 4; i++) {
        char c = p[i];
        unsigned digit;

        if (c >= '0' && c <= '9')
            digit = (unsigned)(c - '0');
        else if (c >= 'a' && c <= 'f')
            digit = (unsigned)(c - 'a') + 10;
        else if (c >= 'A' && c <= 'F')
            digit = (unsigned)(c - 'A') + 10;
        else
            return false;
        unit = unit * 16 + digit;
    }
    *ret_unit = unit;
    return true;
}

static char *put_utf8(char *out, unsigned c)
{
    if (c < 0x80) {
        *out++ = (char)c;
    } else if (c < 0x800) {
        *out++ = (char)(0xc0 | (c >> 6));
        *out++ = (char)(0x80 | (c & 0x3f));
    } else if (c < 0x10000) {
        *out++ = (char)(0xe0 | (c >> 12));
        *out++ = (char)(0x80 | ((c >> 6) & 0x3f));
        *out++ = (char)(0x80 | (c & 0x3f));
    } else {
        *out++ = (char)(0xf0 | (c >> 18));
        *out++ = (char)(0x80 | ((c >> 12) & 0x3f));
        *out++ = (char)(0x80 | ((c >> 6) & 0x3f));
        *out++ = (char)(0x80 | (c & 0x3f));
    }
    return out;
}

/* After the backslash. At most 4 bytes are written for at least 2 read, see string_room(). */
static int read_escape(struct reader *r, char **out, bool *is_mended)
{
    static const char plain[] = "\"\\/bfnrt", meaning[] = "\"\\/\b\f\n\r\t";
    unsigned unit, low;
    const char *hit;

    if (r->p >= r->end)
        return fail(r, "");
    hit = *r->p != '\0' ? strchr(plain, *r->p) : NULL;
    if (hit != NULL) {
        *(*out)++ = meaning[hit - plain];
        r->p++;
        return 0;
    }
    if (*r->p != 'u' || !read_hex4(r->p + 1, r->end, &unit))
        return fail(r, "this is not an escape that JSON knows");
    if (unit == 0) {
        if (r->strings != JSON_MEND)
            return fail(r, "the character NUL (\\u0000) is not allowed here");
        *is_mended = true;
        unit = 0xfffd;
    }
    r->p += 5;
    if (unit >= 0xd800 && unit <= 0xdfff) {
        if (unit < 0xdc00 && r->end - r->p >= 6 && r->p[0] == '\\' && r->p[1] == 'u' &&
            read_hex4(r->p + 2, r->end, &low) && low >= 0xdc00 && low <= 0xdfff) {
            unit = 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
            r->p += 6;
        } else {
            unit = 0xfffd;
        }
    }
    *out = put_utf8(*out, unit);
    return 0;
}

/* Bytes that the string at r->p can need at most: an escape shrinks, a mended byte becomes three.
 */
static size_t string_room(const struct reader *r)
{
    const char *q;
    size_t room = 1;

    for (q = r->p; q < r->end && *q != '"'; q++) {
        if (*q == '\\' && q + 1 < r->end) { /* what is escaped does not end the string */
            q++;
            room++;
        }
        room += r->strings == JSON_MEND && (unsigned char)*q >= 0x80 ? 3 : 1;
    }
    return room;
}

/* From after the opening quote to after the closing one. The caller owns *ret_text (cJSON_free). */
static int read_string(struct reader *r, char **ret_text, bool *ret_is_mended)
{
    bool is_mended = false;
    char *text = cJSON_malloc(string_room(r)), *out = text;
    int result = 0;

    if (text == NULL)
        return fail_memory(r);
    while (result == 0 && !(r->p < r->end && *r->p == '"')) {
        size_t n = r->p < r->end ? str_utf8_len(r->p, (size_t)(r->end - r->p)) : 0;

        if (r->p >= r->end) {
            result = fail(r, "");
        } else if (*r->p == '\\') {
            r->p++;
            result = read_escape(r, &out, &is_mended);
        } else if ((unsigned char)*r->p < 0x20) {
            result = fail(r, "a control character in a string must be written as an escape");
        } else if (n > 0) {
            memcpy(out, r->p, n);
            out += n;
            r->p += n;
        } else if (r->strings != JSON_MEND) {
            result = fail(r, "the bytes are not valid UTF-8");
        } else {
            is_mended = true;
            out = put_utf8(out, 0xfffd);
            r->p++;
        }
    }
    if (result < 0) {
        cJSON_free(text);
        return result;
    }
    r->p++;
    *out = '\0';
    *ret_text = text;
    *ret_is_mended = is_mended;
    return 0;
}

static bool take_digits(struct reader *r)
{
    const char *from = r->p;

    while (r->p < r->end && *r->p >= '0' && *r->p <= '9')
        r->p++;
    return r->p > from;
}

static int read_number(struct reader *r, cJSON **ret_item)
{
    const char *from = r->p;
    char digits[MAX_NUMBER_BYTES + 1];
    double value;
    int result;

    (void)take(r, '-'); /* optional */
    if (!take(r, '0') && !take_digits(r))
        return fail(r, "expected a value");
    if (take(r, '.') && !take_digits(r))
        return fail(r, "expected a digit after the decimal point");
    if (take(r, 'e') || take(r, 'E')) {
        if (!take(r, '+'))
            (void)take(r, '-'); /* optional too */
        if (!take_digits(r))
            return fail(r, "expected a digit in the exponent");
    }
    if (r->p - from > MAX_NUMBER_BYTES)
        return fail_at(r, from, ERR_LIMIT, "the number has too many digits");
    memcpy(digits, from, (size_t)(r->p - from));
    digits[r->p - from] = '\0';
    value = strtod(digits, NULL);
    if (!isfinite(value))
        return fail_at(r, from, ERR_INVALID, "the number is too large");
    result = new_item(r, cJSON_Number, ret_item);
    if (result == 0)
        (void)cJSON_SetNumberHelper(*ret_item, value); /* returns the number it was given */
    return result;
}

static int read_word(struct reader *r, const char *word, int type, cJSON **ret_item)
{
    size_t n = strlen(word);

    if ((size_t)(r->end - r->p) < n || memcmp(r->p, word, n) != 0)
        return fail(r, "expected a value");
    r->p += n;
    return new_item(r, type, ret_item);
}

struct member {
    cJSON *item;
    size_t position;
};

static int compare_members(const void *a, const void *b)
{
    const struct member *x = a, *y = b;
    int order = strcmp(x->item->string, y->item->string);

    return order != 0 ? order : (x->position > y->position) - (x->position < y->position);
}

static int drop(struct reader *r, cJSON *object, cJSON *item)
{
    if (r->strings == JSON_STRICT)
        return fail_at(r, r->p - 1, ERR_INVALID, "a key stands twice in the object that ends here");
    cJSON_Delete(cJSON_DetachItemViaPointer(object, item));
    return 0;
}

/* Of members with one key only the last stays. */
static int drop_duplicates(struct reader *r, cJSON *object, size_t n)
{
    struct member *members;
    cJSON *item, *later, *next;
    size_t i = 0;
    int result = 0;

    if (n <= FEW_MEMBERS) {
        for (item = object->child; result == 0 && item != NULL; item = next) {
            next = item->next;
            for (later = next; later != NULL; later = later->next)
                if (strcmp(item->string, later->string) == 0)
                    break;
            if (later != NULL)
                result = drop(r, object, item);
        }
        return result;
    }
    members = malloc(n * sizeof(*members));
    if (members == NULL)
        return fail_memory(r);
    for (item = object->child; item != NULL; item = item->next, i++)
        members[i] = (struct member){.item = item, .position = i};
    qsort(members, n, sizeof(*members), compare_members);
    for (i = 0; result == 0 && i + 1 < n; i++)
        if (strcmp(members[i].item->string, members[i + 1].item->string) == 0)
            result = drop(r, object, members[i].item);
    free(members);
    return result;
}

static int read_member(struct reader *r, cJSON **ret_item)
{
    char *key = NULL;
    bool is_mended = false;
    int result;

    skip_blanks(r);
    if (!take(r, '"'))
        return fail(r, "expected a key in quotes");
    result = read_string(r, &key, &is_mended);
    if (result < 0)
        return result;
    skip_blanks(r);
    if (!take(r, ':')) {
        cJSON_free(key);
        return fail(r, "expected a colon after the key");
    }
    result = read_value(r, ret_item);
    if (result == 0)
        (*ret_item)->string = key;
    else
        cJSON_free(key);
    return result;
}

/* Lists and objects, from after the opening bracket. */
static int read_members(struct reader *r, cJSON *parent, bool is_object)
{
    char close = is_object ? '}' : ']';
    size_t n = 0;

    skip_blanks(r);
    if (take(r, close))
        return 0;
    for (;;) {
        cJSON *item = NULL;
        int result = is_object ? read_member(r, &item) : read_value(r, &item);

        if (result < 0)
            return result;
        (void)cJSON_AddItemToArray(parent, item); /* fails for NULL only; keeps the key */
        n++;
        skip_blanks(r);
        if (take(r, close))
            return is_object ? drop_duplicates(r, parent, n) : 0;
        if (!take(r, ','))
            return fail(r, is_object ? "expected a comma or }" : "expected a comma or ]");
    }
}

static int read_container(struct reader *r, bool is_object, cJSON **ret_item)
{
    AUTO(cJSON_Delete) cJSON *item = NULL;
    int result;

    if (++r->depth > JSON_MAX_DEPTH)
        return fail_at(r, r->p, ERR_LIMIT, "nested too deeply");
    result = new_item(r, is_object ? cJSON_Object : cJSON_Array, &item);
    if (result == 0) {
        r->p++;
        result = read_members(r, item, is_object);
    }
    r->depth--;
    if (result == 0)
        *ret_item = TAKE(item);
    return result;
}

static int read_value(struct reader *r, cJSON **ret_item)
{
    bool is_mended = false;
    char *text = NULL;
    int result;

    skip_blanks(r);
    if (r->p >= r->end)
        return fail(r, "");
    switch (*r->p) {
    case '{':
    case '[':
        return read_container(r, *r->p == '{', ret_item);
    case '"':
        r->p++;
        result = read_string(r, &text, &is_mended);
        if (result == 0)
            result = new_item(r, cJSON_String | (is_mended ? MENDED : 0), ret_item);
        if (result == 0)
            (*ret_item)->valuestring = text;
        else
            cJSON_free(text);
        return result;
    case 't':
        return read_word(r, "true", cJSON_True, ret_item);
    case 'f':
        return read_word(r, "false", cJSON_False, ret_item);
    case 'n':
        return read_word(r, "null", cJSON_NULL, ret_item);
    default:
        return read_number(r, ret_item);
    }
}

int json_parse(const char *bytes, size_t n, size_t max_bytes, enum json_strings strings,
               const char *what, cJSON **ret_root, struct err *err)
{
    struct reader r = {.begin = bytes, .p = bytes, .what = what, .strings = strings, .err = err};
    AUTO(cJSON_Delete) cJSON *root = NULL;
    int result;

    if (n > max_bytes)
        return err_set(err, ERR_LIMIT, "%s has %zu bytes; at most %zu are accepted", what, n,
                       max_bytes);
    if (n == 0)
        return err_set(err, ERR_INVALID, "%s is empty; expected JSON", what);
    r.end = bytes + n;
    result = read_value(&r, &root);
    if (result < 0)
        return result;
    skip_blanks(&r);
    if (r.p < r.end)
        return fail(&r, "unexpected text after the end of the JSON value");
    *ret_root = TAKE(root);
    return 0;
}

bool json_is_mended(const cJSON *string)
{
    return string != NULL && (string->type & MENDED) != 0;
}
