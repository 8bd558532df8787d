/* What ssmhub does with a stranger's request: the Authorization header is taken apart, then path,
 * query and body are checked against it. Lines of the input: Authorization, path, query, body. */
#include <stdlib.h>
#include <string.h>

#include "transport/sigv4.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t n);

static const char *secret_of(void *ctx, const char *access_key, const char **ret_token)
{
    (void)ctx;
    (void)access_key;
    *ret_token = NULL;
    return "secret";
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t n)
{
    char *text = malloc(n + 1), *rest, *lines[4];
    const struct sigv4_check check = {.secret = secret_of};
    struct sigv4_authorization parts;
    const char *code = NULL;
    struct err err = {0};
    size_t i;
    int r;

    if (text == NULL)
        return 0;
    memcpy(text, data, n);
    text[n] = '\0';
    rest = text;
    for (i = 0; i < 4; i++)
        lines[i] = rest != NULL ? strsep(&rest, "\n") : text + n;
    const struct header headers[] = {{"Host", "hub"},
                                     {"X-Amz-Date", "20240102T030405Z"},
                                     {"X-Amz-Target", lines[3]},
                                     {"Authorization", lines[0]}};
    const struct sigv4_request request = {.method = "POST",
                                          .path = lines[1],
                                          .query = lines[2],
                                          .headers = headers,
                                          .n_headers = 4,
                                          .body = lines[3],
                                          .body_len = strlen(lines[3])};
    r = sigv4_verify(&request, &check, &parts, &code, &err);
    if (r == ERR_AUTH && (code == NULL || err.text[0] == '\0'))
        abort();
    if (r != 0 && r != ERR_AUTH && r != ERR_LIMIT && r != ERR_NOMEM)
        abort();
    free(text);
    return 0;
}
