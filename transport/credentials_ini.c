/* The reading of a shared credentials file's text. Its bytes come from outside: bounded, tolerant,
 * never trusted to end where they should. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/str.h"
#include "transport/credentials.h"

/* A run of bytes inside the text. */
struct span {
    const char *at;
    size_t n;
};

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static struct span trim(struct span s)
{
    while (s.n > 0 && is_blank(s.at[0])) {
        s.at++;
        s.n--;
    }
    while (s.n > 0 && is_blank(s.at[s.n - 1]))
        s.n--;
    return s;
}

static bool span_is(struct span s, const char *text)
{
    return s.n == strlen(text) && memcmp(s.at, text, s.n) == 0;
}

static bool span_is_nocase(struct span s, const char *text)
{
    return s.n == strlen(text) && strncasecmp(s.at, text, s.n) == 0;
}

/* "[name]" with anything behind it. */
static bool parse_section(struct span line, struct span *ret_name)
{
    const char *close;

    if (line.n < 2 || line.at[0] != '[')
        return false;
    close = memchr(line.at, ']', line.n);
    if (close == NULL)
        return false;
    *ret_name = trim((struct span){line.at + 1, (size_t)(close - line.at) - 1});
    return true;
}

static bool is_profile(struct span name, const char *profile)
{
    static const char prefix[] = "profile";
    size_t k = sizeof(prefix) - 1;

    if (span_is(name, profile))
        return true;
    return name.n > k && memcmp(name.at, prefix, k) == 0 && is_blank(name.at[k]) &&
           span_is(trim((struct span){name.at + k, name.n - k}), profile);
}

static struct span without_comment(struct span value)
{
    size_t i;

    for (i = 1; i < value.n; i++) {
        if ((value.at[i] == '#' || value.at[i] == ';') && is_blank(value.at[i - 1]))
            return trim((struct span){value.at, i});
    }
    return value;
}

/* The values of the profile that were seen; a later one replaces an earlier one. */
struct found {
    bool has_profile;
    struct span access_key, secret_key, session_token;
};

static void take_line(struct span line, struct found *found)
{
    const char *equals = memchr(line.at, '=', line.n);
    struct span key, value;

    if (equals == NULL)
        return;
    key = trim((struct span){line.at, (size_t)(equals - line.at)});
    value = trim((struct span){equals + 1, line.n - (size_t)(equals - line.at) - 1});
    if (value.n > 0 && (value.at[0] == '#' || value.at[0] == ';'))
        value.n = 0;
    value = without_comment(value);
    if (span_is_nocase(key, "aws_access_key_id"))
        found->access_key = value;
    else if (span_is_nocase(key, "aws_secret_access_key"))
        found->secret_key = value;
    else if (span_is_nocase(key, "aws_session_token"))
        found->session_token = value;
}

static int check_value(struct span value, const char *profile, const char *name, size_t max,
                       bool is_needed, struct err *err)
{
    size_t i;

    if (value.n == 0 && is_needed)
        return err_set(err, ERR_INVALID, "profile [%.64s] has no %s", profile, name);
    if (value.n > max)
        return err_set(err, ERR_INVALID, "profile [%.64s]: %s is longer than %zu bytes", profile,
                       name, max);
    for (i = 0; i < value.n; i++) {
        if ((unsigned char)value.at[i] <= ' ' || (unsigned char)value.at[i] >= 0x7f)
            return err_set(err, ERR_INVALID,
                           "profile [%.64s]: %s holds a blank, a control character or a byte that "
                           "is not ASCII",
                           profile, name);
    }
    return 0;
}

static int set_secret(struct secret *s, struct span value, struct err *err)
{
    char *copy = strndup(value.at, value.n);
    int r;

    if (copy == NULL)
        return err_set(err, ERR_NOMEM, "credentials: out of memory");
    r = secret_set(s, copy, err);
    explicit_bzero(copy, value.n);
    free(copy);
    return r;
}

#define MAX_SECRET_BYTES 1024
#define MAX_TOKEN_BYTES 16384 /* AWS names no limit; today's are about 1 kB */

int credentials_parse_ini(const char *text, size_t n, const char *profile,
                          struct credentials *ret_credentials, struct err *err)
{
    struct found found = {false, {"", 0}, {"", 0}, {"", 0}};
    AUTO(credentials_done) struct credentials c = {0};
    const char *p = text, *end = text + n;
    bool is_inside = false;
    int r;

    if (n >= 3 && memcmp(p, "\xef\xbb\xbf", 3) == 0)
        p += 3;
    while (p < end) {
        const char *newline = memchr(p, '\n', (size_t)(end - p));
        struct span line = {p, (size_t)((newline != NULL ? newline : end) - p)};
        struct span name;
        bool is_continued = is_blank(p[0]) && p[0] != '\r'; /* nested values of the line above */

        line = trim(line);
        if (line.n > 0 && line.at[0] != '#' && line.at[0] != ';' && !is_continued) {
            if (parse_section(line, &name)) {
                is_inside = is_profile(name, profile);
                found.has_profile = found.has_profile || is_inside;
            } else if (is_inside) {
                take_line(line, &found);
            }
        }
        p = newline != NULL ? newline + 1 : end;
    }
    if (!found.has_profile)
        return err_set(err, ERR_NOT_FOUND, "there is no profile [%.64s]", profile);
    r = check_value(found.access_key, profile, "aws_access_key_id", CREDENTIALS_ACCESS_KEY_SIZE - 1,
                    true, err);
    if (r == 0)
        r = check_value(found.secret_key, profile, "aws_secret_access_key", MAX_SECRET_BYTES, true,
                        err);
    if (r == 0)
        r = check_value(found.session_token, profile, "aws_session_token", MAX_TOKEN_BYTES, false,
                        err);
    if (r == 0)
        r = set_secret(&c.secret_key, found.secret_key, err);
    if (r == 0 && found.session_token.n > 0)
        r = set_secret(&c.session_token, found.session_token, err);
    if (r < 0)
        return r;
    memcpy(c.access_key, found.access_key.at, found.access_key.n);
    *ret_credentials = TAKE_STRUCT(c);
    return 0;
}
