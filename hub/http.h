/* HTTP for the hub: JSON-RPC 1.1 on POST / (spec 02, section 2.4), long polls, the test calls.
 * One thread: libmicrohttpd runs inside http_run(), beside the signals and the clock of the polls.
 */
#ifndef SSMD_HUB_HTTP_H
#define SSMD_HUB_HTTP_H

#include "hub/api.h"
#include "hub/credentials.h"

struct http;

struct http_config {
    struct hub *hub; /* borrowed until http_free, as everything here */
    struct credentials *credentials;
    int listen_fd;        /* taken over by a successful http_new */
    const char *cert_pem; /* NULL: plain HTTP */
    const char *key_pem;
};

/* ERR_SYSTEM: libmicrohttpd refused, for example a certificate that it cannot read. */
int http_new(const struct http_config *config, struct http **ret_http, struct err *err) MUST_CHECK;
/* Serve until signal_fd (a signalfd) can be read. ERR_SYSTEM. */
int http_run(struct http *http, int signal_fd, struct err *err) MUST_CHECK;
void http_free(struct http *http); /* answers the polls that wait; NULL is allowed */
DEFINE_AUTO(struct http *, http_free)

#endif
