/* The hub's own certificate, for clients that insist on TLS. */
#ifndef SSMD_HUB_TLS_H
#define SSMD_HUB_TLS_H

#include "base/buf.h"

#define TLS_CERT_FILE "cert.pem"
#define TLS_KEY_FILE "key.pem"
#define TLS_MAX_PEM_BYTES 65536

/* Read cert.pem and key.pem below dirfd; make them (0600; the key first) if there is no cert.pem: a
 * self-signed certificate for 127.0.0.1, ::1 and localhost that is its own authority. Both buffers
 * were initialised by the caller with TLS_MAX_PEM_BYTES. */
int tls_read_or_make(int dirfd, int64_t now_ms, struct buf *ret_cert, struct buf *ret_key,
                     struct err *err) MUST_CHECK;

#endif
