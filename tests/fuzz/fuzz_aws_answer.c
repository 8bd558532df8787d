/* The answer of a service: its error body to a verdict, its success body to a yes or no. */
#include <stdlib.h>
#include <string.h>

#include "schema/message.h"
#include "transport/aws_classify.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t n);

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t n)
{
    struct aws_error error;
    struct aws_verdict v;
    char *body;
    long status;

    if (n < 2)
        return 0;
    status = 100 + (data[0] * 256 + data[1]) % 500;
    body = malloc(n - 1); /* as HTTP hands it over: NUL-terminated, a NUL inside is possible */
    if (body == NULL)
        return 0;
    memcpy(body, data + 2, n - 2);
    body[n - 2] = '\0';
    aws_error_parse(body, n - 2, &error);
    v = aws_classify(status, error.code);
    if ((v.code == 0) != (status >= 200 && status < 300))
        abort();
    if (v.code == ERR_REFUSED &&
        (status < 400 || status >= 500 || strcmp(error.code, "SerializationError") == 0))
        abort();
    if (aws_is_success_body(body, n - 2, false) && memchr(body, '{', n - 2) == NULL)
        abort();
    free(body);
    return 0;
}
