/* Dotted numbers of any length, compared as text: a component may exceed every integer type. */
#include "base/version.h"

#include <stdio.h>
#include <string.h>

#define DIGITS "0123456789"

const char ssmd_version[] = SSMD_VERSION;
const char ssmd_version_four[] = SSMD_VERSION ".0";

bool version_is_valid(const char *text)
{
    const char *p = text;

    for (;;) {
        size_t n = strspn(p, DIGITS);

        if (n == 0)
            return false;
        p += n;
        if (*p == '\0')
            return p - text < VERSION_SIZE;
        if (*p++ != '.')
            return false;
    }
}

void version_four(const char *version, char *ret_text, size_t size)
{
    const char *p;
    int n = 1;

    for (p = version; *p != '\0'; p++)
        n += *p == '.';
    (void)snprintf(ret_text, size, "%s%s", version,
                   n >= 4   ? ""
                   : n == 3 ? ".0"
                   : n == 2 ? ".0.0"
                            : ".0.0.0");
}

int version_compare(const char *a, const char *b)
{
    while (*a != '\0' && *b != '\0') {
        size_t n_a, n_b;
        int order;

        a += strspn(a, "0");
        b += strspn(b, "0");
        n_a = strspn(a, DIGITS);
        n_b = strspn(b, DIGITS);
        if (n_a != n_b)
            return n_a < n_b ? -1 : 1;
        order = memcmp(a, b, n_a);
        if (order != 0)
            return order;
        a += n_a + (a[n_a] == '.');
        b += n_b + (b[n_b] == '.');
    }
    return (*a != '\0') - (*b != '\0');
}
