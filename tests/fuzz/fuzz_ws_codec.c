/* Any bytes as a peer's frames, to both ends, in pieces of any size: no crash, messages within
 * their bound, and after a failure nothing more is told. */
#include <stdlib.h>

#include "transport/ws_codec.h"

#define MAX_MESSAGE 4096u

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t n);

static bool is_over;

static void received(void *ctx, enum ws_kind kind, const char *bytes, size_t n)
{
    (void)ctx;
    (void)bytes;
    if (is_over || n > (kind == WS_PONG ? WS_MAX_CONTROL_BYTES : MAX_MESSAGE))
        abort();
}

static void feed(enum ws_role role, size_t step, const unsigned char *data, size_t n)
{
    const struct ws_codec_options o = {.role = role,
                                       .max_message_bytes = MAX_MESSAGE,
                                       .max_pending_bytes = MAX_MESSAGE,
                                       .received = received};
    struct ws_codec *c;
    struct err err;
    size_t n_out;

    if (ws_codec_new(&o, &c, &err) < 0)
        return;
    is_over = false;
    while (n > 0) {
        size_t k = n < step ? n : step;

        if (ws_codec_feed(c, data, k, &err) < 0)
            is_over = true;
        data += k;
        n -= k;
        (void)ws_codec_pending(c, &n_out);
        if (n_out > MAX_MESSAGE)
            abort();
        if (is_over)
            break;
    }
    ws_codec_free(c);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t n)
{
    size_t step;

    if (n < 2)
        return 0;
    step = (size_t)data[0] + 1;
    feed(data[1] % 2 == 0 ? WS_CLIENT : WS_SERVER, step, data + 2, n - 2);
    return 0;
}
