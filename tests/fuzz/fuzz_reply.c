/* Replies both ways: any bytes are read without a crash, and any bytes as output make a payload
 * that is within its bound and can be read. */
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "schema/reply.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t n);

static void write_and_read(const char *s, size_t n)
{
    struct reply_plugin p = {.id = "step", .name = "aws:runShellScript", .status = "Success"};
    struct reply_header h = {.mgs = REPLY_MGS_ABSENT, .max_bytes = 700 + n};
    struct buf output, stream, payload;
    struct reply reply;
    struct err err;

    buf_init(&output, 3 * REPLY_OUTPUT_BYTES);
    buf_init(&stream, 3 * REPLY_STREAM_BYTES);
    buf_init(&payload, h.max_bytes);
    reply_combine_output(s, n / 2, s + n / 2, n - n / 2, &output);
    reply_truncate_stream(s, n, &stream);
    if (output.failed != 0 || stream.failed != 0 || !str_is_utf8(buf_str(&output), output.len) ||
        !str_is_utf8(buf_str(&stream), stream.len))
        abort();
    p.output = (struct reply_text){.s = buf_str(&output), .len = output.len};
    p.standard_output = (struct reply_text){.s = buf_str(&stream), .len = stream.len};
    p.standard_error = (struct reply_text){.s = s, .len = n};
    if (reply_final(&h, &p, 1, NULL, &payload, &err) < 0 || payload.len > h.max_bytes ||
        reply_parse(payload.data, payload.len, &reply, &err) < 0)
        abort();
    reply_done(&reply);
    buf_done(&output);
    buf_done(&stream);
    buf_done(&payload);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t n)
{
    struct reply reply;
    struct err err;

    if (reply_parse((const char *)data, n, &reply, &err) == 0)
        reply_done(&reply);
    write_and_read((const char *)data, n);
    return 0;
}
