/* The shared credentials file: any bytes, in a block of exactly their length. */
#include <stdlib.h>
#include <string.h>

#include "transport/credentials.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t n);

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t n)
{
    AUTO(credentials_done) struct credentials c = {0};
    struct err err = {0};
    int r = credentials_parse_ini((const char *)data, n, "default", &c, &err);

    /* What came out is whole, and a failure says something. */
    if (r == 0 && (c.access_key[0] == '\0' || !secret_is_set(&c.secret_key) ||
                   strlen(secret_reveal(&c.secret_key)) != c.secret_key.len))
        abort();
    if (r < 0 && (err.code != r || err.text[0] == '\0'))
        abort();
    return 0;
}
