/* Binary messages from any bytes: no crash, and what is read is written as the same message. */
#include <stdlib.h>
#include <string.h>

#include "transport/agent_message.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t n);

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t n)
{
    struct agent_message m, again;
    struct err err;
    struct buf b;

    if (agent_message_read(data, n, &m, &err) < 0)
        return 0;
    if (m.payload_len > n)
        abort();
    buf_init(&b, n + AGENT_MESSAGE_HEADER_BYTES);
    if (m.type[0] == '\0' || agent_message_write(&m, &b, &err) < 0)
        abort();
    if (m.created_unix_ms != 0 &&
        (agent_message_read(b.data, b.len, &again, &err) < 0 || strcmp(again.id, m.id) != 0 ||
         again.payload_len != m.payload_len ||
         memcmp(again.payload, m.payload, m.payload_len) != 0))
        abort();
    buf_done(&b);
    return 0;
}
