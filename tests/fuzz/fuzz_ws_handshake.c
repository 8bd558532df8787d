/* Any bytes as the answer to an upgrade, and as the answer that holds a token: no crash, and no
 * agreement without the right key. */
#include <stdlib.h>
#include <string.h>

#include "transport/mgs_token.h"
#include "transport/ws_handshake.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t n);

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t n)
{
    static const char key[] = "dGhlIHNhbXBsZSBub25jZQ==", accept[] = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
    const char *text = (const char *)data;
    struct secret token = {0};
    struct err err;
    size_t used = 0;

    if (ws_handshake_read(text, n, n % 2 == 0, key, &used, &err) > 0 &&
        (used > n || memmem(text, n, accept, sizeof(accept) - 1) == NULL))
        abort();
    if (mgs_token_read(text, n, &token, &err) == 0 &&
        (token.len == 0 || token.len > MGS_MAX_TOKEN_BYTES))
        abort();
    secret_done(&token);
    return 0;
}
