/* Error bodies from any bytes: always a code, always text that can be logged. */
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "schema/message.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t n);

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t n)
{
    struct aws_error e;

    aws_error_parse((const char *)data, n, &e);
    if (!str_is_utf8(e.code, strlen(e.code)) || !str_is_utf8(e.message, strlen(e.message)))
        abort();
    return 0;
}
