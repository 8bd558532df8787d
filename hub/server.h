/* HTTP for the hub: JSON-RPC 1.1 on POST / (spec 02, section 2.4), long polls, the test calls.
 * One thread: libmicrohttpd runs inside server_run(), beside the signals and the clock of the
 * polls.
 */
#ifndef SSMD_HUB_SERVER_H
#define SSMD_HUB_SERVER_H

#include "hub/access_keys.h"
#include "hub/api.h"

struct server;

struct server_config {
    struct hub *hub; /* borrowed until server_free, as everything here */
    struct access_keys *credentials;
    int listen_fd;        /* taken over by a successful server_new */
    const char *cert_pem; /* NULL: plain HTTP */
    const char *key_pem;
    int updates_fd; /* the directory of --updates; -1: none */
};

/* ERR_SYSTEM: libmicrohttpd refused, for example a certificate that it cannot read. */
int server_new(const struct server_config *config, struct server **ret_server, struct err *err)
    MUST_CHECK;
/* Serve until signal_fd (a signalfd) can be read. ERR_SYSTEM. */
int server_run(struct server *server, int signal_fd, struct err *err) MUST_CHECK;
void server_free(struct server *server); /* answers the polls that wait; NULL is allowed */
DEFINE_AUTO(struct server *, server_free)

#endif
