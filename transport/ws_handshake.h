/* The opening handshake of a websocket as a client sees it (RFC 6455, section 4.1): what is asked,
 * and whether the answer agrees. Text only: no sockets. Any thread. */
#ifndef SSMD_TRANSPORT_WS_HANDSHAKE_H
#define SSMD_TRANSPORT_WS_HANDSHAKE_H

#include <stdbool.h>

#include "base/buf.h"
#include "transport/header.h"

#define WS_HANDSHAKE_MAX_BYTES 16384u /* of an answer, its body included */

/* Append the request. `target` is path and query as they are sent; `headers` (Host among them) come
 * before our own. ERR_INVALID: a header or the target has a character that it may not have; errors
 * of *b. */
int ws_handshake_write(const char *target, const struct header *headers, size_t n_headers,
                       const char *key, struct buf *b, struct err *err) MUST_CHECK;

/* The first n bytes of the peer; `is_end`: there will be no more. 1: it agrees; *ret_used bytes
 * were the answer, what follows are frames. 0: more is needed. Below 0, with what the peer said in
 * the text: ERR_AUTH       401, 403 ERR_THROTTLED  429 ERR_SERVER     5xx ERR_REFUSED    any other
 * status that is not 101 ERR_PROTOCOL   not HTTP, too long, or not a handshake of a websocket with
 * `key` */
int ws_handshake_read(const char *bytes, size_t n, bool is_end, const char *key, size_t *ret_used,
                      struct err *err) MUST_CHECK;

#endif
