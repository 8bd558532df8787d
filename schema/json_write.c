/* The writers: JSON as Go's encoder makes it, and values as Go's %v prints them. */
#include "schema/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"

#define MAX_DIGITS 17 /* enough to tell any two doubles apart */

/* The shortest decimal digits d.ddd x 10^exponent that read back as |value|. */
static int shortest_digits(double value, char digits[MAX_DIGITS + 1], int *ret_exponent)
{
    char text[64];
    int precision, n = 0;
    const char *p;

    for (precision = 0; precision < MAX_DIGITS; precision++) {
        (void)snprintf(text, sizeof(text), "%.*e", precision, value);
        if (strtod(text, NULL) == value)
            break;
    }
    for (p = text; *p != '\0' && *p != 'e'; p++)
        if (*p >= '0' && *p <= '9' && n < MAX_DIGITS)
            digits[n++] = *p;
    *ret_exponent = *p == 'e' ? (int)strtol(p + 1, NULL, 10) : 0; /* what %e printed: in range */
    digits[n] = '\0';
    return n;
}

static void write_plain(struct buf *b, const char *digits, int n, int exponent)
{
    int i;

    if (exponent < 0) {
        (void)buf_add_str(b, "0.");
        for (i = exponent + 1; i < 0; i++)
            (void)buf_add_char(b, '0');
        (void)buf_add(b, digits, (size_t)n);
        return;
    }
    for (i = 0; i < n || i <= exponent; i++) {
        if (i == exponent + 1)
            (void)buf_add_char(b, '.');
        (void)buf_add_char(b, i < n ? digits[i] : '0');
    }
}

/* With an exponent outside min..max the form is d.ddde+XX, its exponent of at least `width` digits.
 */
static void write_number(struct buf *b, double value, int min, int max, int width)
{
    char digits[MAX_DIGITS + 1];
    int exponent, n;

    if (value < 0 || (value == 0 && 1 / value < 0)) {
        (void)buf_add_char(b, '-');
        value = -value;
    }
    n = shortest_digits(value, digits, &exponent);
    if (exponent >= min && exponent <= max) {
        write_plain(b, digits, n, exponent);
        return;
    }
    (void)buf_add_char(b, digits[0]);
    if (n > 1) {
        (void)buf_add_char(b, '.');
        (void)buf_add(b, digits + 1, (size_t)n - 1);
    }
    (void)buf_printf(b, "e%c%0*d", exponent < 0 ? '-' : '+', width, abs(exponent));
}

static bool is_plain(unsigned char c)
{
    return c >= 0x20 && c != '"' && c != '\\' && c != '<' && c != '>' && c != '&';
}

/* U+2028 and U+2029 end a line in JavaScript; Go escapes them. */
static bool is_line_separator(const char *s)
{
    return strncmp(s, "\xe2\x80\xa8", 3) == 0 || strncmp(s, "\xe2\x80\xa9", 3) == 0;
}

static void write_string(struct buf *b, const char *s)
{
    static const char escaped[] = "\"\\\n\r\t", letters[] = "\"\\nrt";
    const char *hit, *run;

    (void)buf_add_char(b, '"');
    while (*s != '\0') {
        for (run = s; is_plain((unsigned char)*s) && !is_line_separator(s);)
            s++;
        (void)buf_add(b, run, (size_t)(s - run));
        if (*s == '\0')
            break;
        hit = strchr(escaped, *s);
        if (is_line_separator(s)) {
            (void)buf_add_str(b, s[2] == '\xa8' ? "\\u2028" : "\\u2029");
            s += 3;
        } else if (hit != NULL) {
            (void)buf_printf(b, "\\%c", letters[hit - escaped]);
            s++;
        } else {
            (void)buf_printf(b, "\\u%04x", (unsigned char)*s);
            s++;
        }
    }
    (void)buf_add_char(b, '"');
}

static int compare_keys(const void *a, const void *b)
{
    const cJSON *const *x = a, *const *y = b;

    return strcmp((*x)->string, (*y)->string);
}

/* The members of an object in the order of their keys. NULL when memory is short or there is none.
 */
static const cJSON **sorted_members(const cJSON *object, size_t *ret_n)
{
    const cJSON **members, *item;
    size_t n = 0, i = 0;

    for (item = object->child; item != NULL; item = item->next)
        n++;
    members = n > 0 ? malloc(n * sizeof(*members)) : NULL;
    *ret_n = members != NULL ? n : 0;
    if (members == NULL)
        return NULL;
    for (item = object->child; item != NULL; item = item->next)
        members[i++] = item;
    qsort(members, n, sizeof(*members), compare_keys);
    return members;
}

/* One shape for both texts: they differ in the brackets, the separators and the scalars. */
struct form {
    const char *open_object, *close_object, *separator, *null;
    void (*string)(struct buf *b, const char *s);
    int min_exponent, max_exponent, exponent_width;
};

static void print_plain(struct buf *b, const char *s)
{
    (void)buf_add_str(b, s);
}

/* Where Go changes to exponents: the encoder below 1e-6 and from 1e21 on, %v below 1e-4 and from
 * 1e6 on (there it prints two digits of exponent at least). */
static const struct form encoder = {"{", "}", ",", "null", write_string, -6, 20, 1};
static const struct form verb_v = {"map[", "]", " ", "<nil>", print_plain, -4, 5, 2};

static void emit(struct buf *b, const struct form *form, const cJSON *item);

static void emit_object(struct buf *b, const struct form *form, const cJSON *object)
{
    size_t n, i;
    AUTO(free) const cJSON **members = sorted_members(object, &n);

    if (members == NULL && object->child != NULL) {
        if (b->failed == 0)
            b->failed = ERR_NOMEM;
        return;
    }
    (void)buf_add_str(b, form->open_object);
    for (i = 0; members != NULL && i < n; i++) {
        if (i > 0)
            (void)buf_add_str(b, form->separator);
        form->string(b, members[i]->string);
        (void)buf_add_char(b, ':');
        emit(b, form, members[i]);
    }
    (void)buf_add_str(b, form->close_object);
}

static void emit(struct buf *b, const struct form *form, const cJSON *item)
{
    const cJSON *child;

    switch (item != NULL ? item->type & 0xff : cJSON_NULL) {
    case cJSON_String:
        form->string(b, item->valuestring);
        break;
    case cJSON_Number:
        write_number(b, item->valuedouble, form->min_exponent, form->max_exponent,
                     form->exponent_width);
        break;
    case cJSON_True:
        (void)buf_add_str(b, "true");
        break;
    case cJSON_False:
        (void)buf_add_str(b, "false");
        break;
    case cJSON_Array:
        (void)buf_add_char(b, '[');
        for (child = item->child; child != NULL; child = child->next) {
            if (child != item->child)
                (void)buf_add_str(b, form->separator);
            emit(b, form, child);
        }
        (void)buf_add_char(b, ']');
        break;
    case cJSON_Object:
        emit_object(b, form, item);
        break;
    default:
        (void)buf_add_str(b, form->null);
        break;
    }
}

void json_write(struct buf *b, const cJSON *item)
{
    emit(b, &encoder, item);
}

void json_print_go(struct buf *b, const cJSON *item)
{
    emit(b, &verb_v, item);
}
