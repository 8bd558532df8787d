/* The layout, in both directions. */
#include "transport/agent_message.h"

#include <string.h>

#include "base/sha256.h"
#include "base/str.h"

/* Where the fields are (spec 05a, section 4). HeaderLength counts up to PayloadLength. */
enum {
    AT_TYPE = 4,
    AT_SCHEMA = 36,
    AT_CREATED = 40,
    AT_SEQUENCE = 48,
    AT_FLAGS = 56,
    AT_ID = 64,
    AT_DIGEST = 80,
    AT_PAYLOAD_TYPE = 112,
    HEADER_LENGTH = 116,
    HALF_ID = 8,
};

static void put(unsigned char *at, uint64_t value, size_t n)
{
    while (n-- > 0) {
        at[n] = (unsigned char)(value & 0xff);
        value >>= 8;
    }
}

static uint64_t get(const unsigned char *at, size_t n)
{
    uint64_t value = 0;
    size_t i;

    for (i = 0; i < n; i++)
        value = value << 8 | at[i];
    return value;
}

static void digest_of(const void *bytes, size_t n, unsigned char ret_digest[SHA256_SIZE])
{
    struct sha256 s;

    sha256_init(&s);
    sha256_add(&s, bytes, n);
    sha256_end(&s, ret_digest);
}

static void read_id(const unsigned char *at, char ret_id[UUID_SIZE])
{
    unsigned char id[2 * HALF_ID];
    char hex[4 * HALF_ID + 1];

    memcpy(id, at + HALF_ID, HALF_ID);
    memcpy(id + HALF_ID, at, HALF_ID);
    str_hex(id, sizeof(id), hex);
    (void)snprintf(ret_id, UUID_SIZE, "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12, hex + 16,
                   hex + 20); /* 36 characters */
}

static int write_id(const char *text, unsigned char *at)
{
    unsigned char id[2 * HALF_ID];
    char hex[4 * HALF_ID + 1];

    if (!ids_is_uuid(text))
        return ERR_INVALID;
    (void)snprintf(hex, sizeof(hex), "%.8s%.4s%.4s%.4s%.12s", text, text + 9, text + 14, text + 19,
                   text + 24);
    if (!str_unhex(hex, id, sizeof(id)))
        return ERR_INVALID;
    memcpy(at, id + HALF_ID, HALF_ID);
    memcpy(at + HALF_ID, id, HALF_ID);
    return 0;
}

int agent_message_write(const struct agent_message *m, struct buf *b, struct err *err)
{
    unsigned char head[AGENT_MESSAGE_HEADER_BYTES];
    size_t n_type = strlen(m->type), before = b->len;

    if (n_type == 0 || n_type > AGENT_MESSAGE_TYPE_MAX)
        return err_set(err, ERR_INVALID, "message type \"%.40s\": 1 to %u bytes", m->type,
                       AGENT_MESSAGE_TYPE_MAX);
    if (m->payload_len > UINT32_MAX)
        return err_set(err, ERR_INVALID, "%s: a payload of %zu bytes is too large", m->type,
                       m->payload_len);
    put(head, HEADER_LENGTH, 4);
    memset(head + AT_TYPE, ' ', AGENT_MESSAGE_TYPE_MAX);
    memcpy(head + AT_TYPE, m->type, n_type);
    put(head + AT_SCHEMA, m->schema_version, 4);
    put(head + AT_CREATED, m->created_unix_ms, 8);
    put(head + AT_SEQUENCE, (uint64_t)m->sequence, 8);
    put(head + AT_FLAGS, m->flags, 8);
    if (write_id(m->id, head + AT_ID) < 0)
        return err_set(err, ERR_INVALID, "%s: message id \"%.40s\" is no UUID", m->type, m->id);
    digest_of(m->payload, m->payload_len, head + AT_DIGEST);
    put(head + AT_PAYLOAD_TYPE, m->payload_type, 4);
    put(head + HEADER_LENGTH, m->payload_len, 4);
    if (buf_add(b, head, sizeof(head)) == 0 && buf_add(b, m->payload, m->payload_len) == 0)
        return 0;
    b->len = before; /* all of a message or nothing */
    return buf_error(b, m->type, err);
}

static bool is_blank(char c)
{
    return c != '\0' && strchr(" \t\r\n\v\f", c) != NULL;
}

/* NULs at both ends, then white space at both ends, do not belong to it. False: one is left inside,
 * so that it would be two names. */
static bool read_type(const unsigned char *at, char ret_type[AGENT_MESSAGE_TYPE_MAX + 1])
{
    const char *from = (const char *)at, *to = from + AGENT_MESSAGE_TYPE_MAX;

    while (from < to && *from == '\0')
        from++;
    while (to > from && to[-1] == '\0')
        to--;
    while (from < to && is_blank(*from))
        from++;
    while (to > from && is_blank(to[-1]))
        to--;
    memcpy(ret_type, from, (size_t)(to - from));
    ret_type[to - from] = '\0';
    return memchr(from, '\0', (size_t)(to - from)) == NULL;
}

/* These two carry nothing that is needed, and may come with an empty header. */
static bool is_exempt(const char *type)
{
    return str_eq(type, "start_publication") || str_eq(type, "pause_publication");
}

/* Checks that need nothing but the message's own bytes. */
static int check(const struct agent_message *m, const unsigned char *digest, struct err *err)
{
    unsigned char is[SHA256_SIZE];

    if (m->type[0] == '\0')
        return err_set(err, ERR_PROTOCOL, "message without a type");
    if (m->created_unix_ms == 0 || m->created_unix_ms > INT64_MAX)
        return err_set(err, ERR_PROTOCOL, "message %s: no date of its making", m->type);
    digest_of(m->payload, m->payload_len, is);
    if (memcmp(is, digest, sizeof(is)) != 0)
        return err_set(err, ERR_PROTOCOL,
                       "message %s %s: its payload does not have the digest of its header", m->type,
                       m->id);
    return 0;
}

int agent_message_read(const void *bytes, size_t n, struct agent_message *ret_message,
                       struct err *err)
{
    const unsigned char *at = bytes;
    struct agent_message m = {.payload = ""};
    uint64_t header, stated;
    int r;

    if (n < AGENT_MESSAGE_HEADER_BYTES)
        return err_set(err, ERR_PROTOCOL, "message of %zu bytes: its header alone has %u", n,
                       AGENT_MESSAGE_HEADER_BYTES);
    header = get(at, 4);
    if (!read_type(at + AT_TYPE, m.type))
        return err_set(err, ERR_PROTOCOL, "message of type \"%s\" and more after a NUL", m.type);
    m.schema_version = (uint32_t)get(at + AT_SCHEMA, 4);
    m.created_unix_ms = get(at + AT_CREATED, 8);
    m.sequence = (int64_t)get(at + AT_SEQUENCE, 8);
    m.flags = get(at + AT_FLAGS, 8);
    read_id(at + AT_ID, m.id);
    m.payload_type = (uint32_t)get(at + AT_PAYLOAD_TYPE, 4);
    if (is_exempt(m.type)) {
        *ret_message = m;
        return 0;
    }
    if (header < AT_PAYLOAD_TYPE || header > n - 4)
        return err_set(err, ERR_PROTOCOL, "message %s of %zu bytes: a header of %llu", m.type, n,
                       (unsigned long long)header);
    stated = get(at + header, 4);
    if (stated > n - header - 4)
        return err_set(err, ERR_PROTOCOL, "message %s: %zu bytes of payload instead of %llu",
                       m.type, n - (size_t)header - 4, (unsigned long long)stated);
    m.payload = (const char *)at + header + 4;
    m.payload_len = (size_t)stated;
    r = check(&m, at + AT_DIGEST, err);
    if (r == 0)
        *ret_message = m;
    return r;
}
