/* The socket that the hub listens on. */
#ifndef SSMD_HUB_LISTEN_H
#define SSMD_HUB_LISTEN_H

#include <stdbool.h>

#include "base/err.h"

struct listener {
    int fd; /* owned; below 0 when it is not, or no longer */
    int port;
    bool is_loopback;
    char authority[64]; /* "127.0.0.1:8080" or "[::1]:8080", with the real port */
};

/* Bind and listen on "ADDRESS:PORT"; the address is numeric, or "localhost". ERR_USAGE: malformed;
 * ERR_NETWORK: taken, or not an address of this machine. */
int listen_open(const char *text, struct listener *ret_listener, struct err *err) MUST_CHECK;

static inline void listener_done_cleanup(struct listener *l)
{
    close_fd_cleanup(&l->fd);
}

#endif
