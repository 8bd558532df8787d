/* seelog.xml: any bytes. */
#include <stdlib.h>
#include <string.h>

#include "schema/seelog.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t n);

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t n)
{
    const char *level = NULL;
    struct err err = {0};
    int r = seelog_level((const char *)data, n, &level, &err);

    if (r == 0 ? level == NULL : level != NULL || err.text[0] == '\0')
        abort();
    return 0;
}
