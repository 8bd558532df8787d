/* The binary message of the ssmmessages channels, both directions (spec 05a, section 4): a header
 * of 116 bytes, the payload's length, the payload. Codec only: no sockets, no clock. Any thread. */
#ifndef SSMD_TRANSPORT_AGENT_MESSAGE_H
#define SSMD_TRANSPORT_AGENT_MESSAGE_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/ids.h"

#define AGENT_MESSAGE_HEADER_BYTES 120u /* up to and with the payload's length */
#define AGENT_MESSAGE_TYPE_MAX 32u
#define AGENT_MESSAGE_SYN UINT64_C(1)
#define AGENT_MESSAGE_FIN UINT64_C(2)

struct agent_message {
    char type[AGENT_MESSAGE_TYPE_MAX + 1]; /* agent_job, acknowledge ... */
    uint32_t schema_version;
    uint64_t created_unix_ms;
    int64_t sequence;
    uint64_t flags;
    char id[UUID_SIZE]; /* the usual text of the UUID; its halves are swapped on the wire */
    uint32_t payload_type;
    const char
        *payload; /* borrowed: from the bytes that were read, or the sender's; not a string */
    size_t payload_len;
};

/* Append the bytes of *m, with the digest of its payload. ERR_INVALID: an empty type or one of more
 * than 32 bytes, an id that is no UUID, a payload of 4 GiB or more; ERR_LIMIT and ERR_NOMEM of *b.
 */
int agent_message_write(const struct agent_message *m, struct buf *b, struct err *err) MUST_CHECK;

/* Read one message that came in whole. The payload points into `bytes`. ERR_PROTOCOL says what is
 * wrong with it: it is to be dropped without an answer. Bytes behind the length that the header
 * states belong to the payload of none and are ignored. `start_publication` and `pause_publication`
 * may come with a header of zeros. */
int agent_message_read(const void *bytes, size_t n, struct agent_message *ret_message,
                       struct err *err) MUST_CHECK;

#endif
