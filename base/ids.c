/* Random identifiers. */
#include "base/ids.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/str.h"

static void (*source)(void *bytes, size_t n);

void ids_set_source(void (*fill)(void *bytes, size_t n))
{
    source = fill;
}

void ids_random(void *bytes, size_t n)
{
    char *p = bytes;

    if (source != NULL) {
        source(bytes, n);
        return;
    }
    while (n > 0) {
        ssize_t k = getrandom(p, n, 0);

        if (k < 0 && errno == EINTR)
            continue;
        if (k <= 0)
            abort();
        p += k;
        n -= (size_t)k;
    }
}

uint32_t ids_random32(void)
{
    uint32_t value;

    ids_random(&value, sizeof(value));
    return value;
}

void ids_uuid4(char ret_uuid[UUID_SIZE])
{
    unsigned char b[16];
    char hex[33];

    ids_random(b, sizeof(b));
    b[6] = (unsigned char)((b[6] & 0x0f) | 0x40);
    b[8] = (unsigned char)((b[8] & 0x3f) | 0x80);
    str_hex(b, sizeof(b), hex);
    memcpy(ret_uuid, hex, 8);
    ret_uuid[8] = '-';
    memcpy(ret_uuid + 9, hex + 8, 4);
    ret_uuid[13] = '-';
    memcpy(ret_uuid + 14, hex + 12, 4);
    ret_uuid[18] = '-';
    memcpy(ret_uuid + 19, hex + 16, 4);
    ret_uuid[23] = '-';
    memcpy(ret_uuid + 24, hex + 20, 12);
    ret_uuid[36] = '\0';
}

bool ids_is_uuid(const char *s)
{
    size_t i;

    if (s == NULL || strlen(s) != 36)
        return false;
    for (i = 0; i < 36; i++) {
        bool is_dash = i == 8 || i == 13 || i == 18 || i == 23;

        if (is_dash ? s[i] != '-' : !((s[i] >= '0' && s[i] <= '9') || (s[i] >= 'a' && s[i] <= 'f')))
            return false;
    }
    return true;
}
