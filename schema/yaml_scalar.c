/* Scalars of YAML 1.1 as the reference's library reads them. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "schema/yaml_internal.h"

#define TAG_PREFIX "tag:yaml.org,2002:"
#define MAX_NUMBER_BYTES 400u

static bool is_word_of(const char *text, const char *const *words, size_t n)
{
    size_t i;

    for (i = 0; i < n; i++)
        if (str_eq(text, words[i]))
            return true;
    return false;
}

static bool is_null(const char *text)
{
    static const char *const words[] = {"", "~", "null", "Null", "NULL"};

    return is_word_of(text, words, ARRAY_LEN(words));
}

static bool is_true(const char *text)
{
    static const char *const words[] = {"y",    "Y",    "yes", "Yes", "YES", "true",
                                        "True", "TRUE", "on",  "On",  "ON"};

    return is_word_of(text, words, ARRAY_LEN(words));
}

static bool is_false(const char *text)
{
    static const char *const words[] = {"n",     "N",     "no",  "No",  "NO", "false",
                                        "False", "FALSE", "off", "Off", "OFF"};

    return is_word_of(text, words, ARRAY_LEN(words));
}

/* Digits of one base, at least one. */
static bool are_digits(const char *p, int base)
{
    static const char digits[] = "0123456789abcdef";
    const char *start = p;

    for (; *p != '\0'; p++) {
        const char *d = memchr(digits, *p >= 'A' && *p <= 'F' ? *p - 'A' + 'a' : *p, (size_t)base);

        if (d == NULL)
            break;
    }
    return p > start && *p == '\0';
}

/* A whole number: sign, then decimal, 0x, 0o or a leading 0 (octal), 0b. */
static bool read_whole(const char *text, double *ret_value)
{
    const char *p = text + (text[0] == '+' || text[0] == '-' ? 1 : 0);
    double value = 0;
    int base = 10;

    if (p[0] == '0' && (p[1] == 'x' || p[1] == 'X'))
        base = 16;
    else if (p[0] == '0' && (p[1] == 'b' || p[1] == 'B'))
        base = 2;
    else if (p[0] == '0' && (p[1] == 'o' || p[1] == 'O'))
        base = 8;
    if (base != 10) {
        p += 2;
    } else if (p[0] == '0' && p[1] != '\0') {
        base = 8;
        p++;
    }
    if (!are_digits(p, base))
        return false;
    if (base == 10) {
        *ret_value = strtod(text, NULL); /* digits only: rounds as a JSON number does */
        return true;
    }
    for (; *p != '\0'; p++)
        value = value * base + (*p <= '9' ? *p - '0' : (*p | 0x20) - 'a' + 10);
    *ret_value = text[0] == '-' ? -value : value;
    return value <= 18446744073709551615.0;
}

static const char *skip_digits(const char *p)
{
    while (*p >= '0' && *p <= '9')
        p++;
    return p;
}

/* Sign, digits and a fraction, or a fraction alone; then perhaps an exponent. */
static bool read_fraction(const char *text, double *ret_value)
{
    const char *p = text + (text[0] == '+' || text[0] == '-' ? 1 : 0), *digits = p;

    p = skip_digits(p);
    if (p == digits && !(p[0] == '.' && p[1] >= '0' && p[1] <= '9'))
        return false;
    if (*p == '.')
        p = skip_digits(p + 1);
    if (*p == 'e' || *p == 'E') {
        p += p[1] == '+' || p[1] == '-' ? 2 : 1;
        if (skip_digits(p) == p)
            return false;
        p = skip_digits(p);
    }
    if (*p != '\0')
        return false;
    *ret_value = strtod(text, NULL);
    return isfinite(*ret_value);
}

/* Underscores between digits are for people. */
static bool read_number(const char *text, double *ret_value)
{
    char plain[MAX_NUMBER_BYTES];
    size_t n = 0;

    if (strlen(text) >= sizeof(plain) || text[0] == '_')
        return false;
    for (; *text != '\0'; text++)
        if (*text != '_')
            plain[n++] = *text;
    plain[n] = '\0';
    return read_whole(plain, ret_value) || read_fraction(plain, ret_value);
}

static cJSON *keep_words(cJSON *item, const char *text)
{
    size_t n = strlen(text) + 1;

    if (item == NULL)
        return NULL;
    item->valuestring = cJSON_malloc(n);
    if (item->valuestring == NULL) {
        cJSON_Delete(item);
        return NULL;
    }
    memcpy(item->valuestring, text, n);
    return item;
}

cJSON *yaml_plain_scalar(const char *text)
{
    double number;

    if (is_null(text))
        return keep_words(cJSON_CreateNull(), text);
    if (is_true(text) || is_false(text))
        return keep_words(cJSON_CreateBool(is_true(text)), text);
    if (read_number(text, &number))
        return keep_words(cJSON_CreateNumber(number), text);
    return cJSON_CreateString(text);
}

cJSON *yaml_tagged_scalar(const char *tag, const char *text, bool *ret_is_understood)
{
    const char *name = str_has_prefix(tag, TAG_PREFIX) ? tag + strlen(TAG_PREFIX) : "";
    double number;

    *ret_is_understood = true;
    if (str_eq(tag, "!") || str_eq(name, "str") || str_eq(name, "timestamp"))
        return cJSON_CreateString(text);
    if (str_eq(name, "null") && is_null(text))
        return keep_words(cJSON_CreateNull(), text);
    if (str_eq(name, "bool") && (is_true(text) || is_false(text)))
        return keep_words(cJSON_CreateBool(is_true(text)), text);
    if ((str_eq(name, "int") || str_eq(name, "float")) && read_number(text, &number) &&
        (str_eq(name, "float") || number == trunc(number)))
        return keep_words(cJSON_CreateNumber(number), text);
    *ret_is_understood = false;
    return NULL;
}
