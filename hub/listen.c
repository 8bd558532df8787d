/* "ADDRESS:PORT" into a listening socket. */
#include "hub/listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

#include "base/str.h"

#define BACKLOG 512

static int parse(const char *text, struct sockaddr_storage *ret_addr, socklen_t *ret_len,
                 struct err *err)
{
    const char *colon = strrchr(text, ':');
    struct addrinfo hints = {.ai_flags = AI_NUMERICHOST, .ai_socktype = SOCK_STREAM}, *found;
    char host[64];
    size_t n;
    int64_t port;

    if (colon == NULL || !str_to_i64(colon + 1, 0, 65535, &port))
        return err_set(err, ERR_USAGE,
                       "--listen %s: must be ADDRESS:PORT, like 127.0.0.1:8080 or [::1]:8080",
                       text);
    n = (size_t)(colon - text);
    if (n >= 2 && text[0] == '[' && text[n - 1] == ']') {
        text++;
        n -= 2;
    }
    if (n == 0 || n >= sizeof(host))
        return err_set(err, ERR_USAGE, "--listen: the address before the port is missing");
    memcpy(host, text, n);
    host[n] = '\0';
    if (str_eq(host, "localhost"))
        (void)str_copy(host, sizeof(host), "127.0.0.1");
    if (getaddrinfo(host, NULL, &hints, &found) != 0)
        return err_set(err, ERR_USAGE, "--listen: %s is not a numeric address", host);
    memcpy(ret_addr, found->ai_addr, found->ai_addrlen);
    *ret_len = found->ai_addrlen;
    freeaddrinfo(found);
    if (ret_addr->ss_family == AF_INET6)
        ((struct sockaddr_in6 *)(void *)ret_addr)->sin6_port = htons((uint16_t)port);
    else
        ((struct sockaddr_in *)(void *)ret_addr)->sin_port = htons((uint16_t)port);
    return 0;
}

static void describe(const struct sockaddr_storage *addr, struct listener *l)
{
    char host[INET6_ADDRSTRLEN] = "?";

    if (addr->ss_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)addr;

        (void)inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof(host)); /* it fits */
        l->port = ntohs(in6->sin6_port);
        l->is_loopback = IN6_IS_ADDR_LOOPBACK(&in6->sin6_addr);
        (void)snprintf(l->authority, sizeof(l->authority), "[%s]:%d", host, l->port);
    } else {
        const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)addr;

        (void)inet_ntop(AF_INET, &in->sin_addr, host, sizeof(host)); /* it fits */
        l->port = ntohs(in->sin_port);
        l->is_loopback = ntohl(in->sin_addr.s_addr) >> 24 == 127;
        (void)snprintf(l->authority, sizeof(l->authority), "%s:%d", host, l->port);
    }
}

int listen_open(const char *text, struct listener *ret_listener, struct err *err)
{
    struct sockaddr_storage addr;
    AUTO(close_fd) int fd = -1;
    struct listener l = {0};
    socklen_t len = sizeof(addr);
    int one = 1, r;

    memset(&addr, 0, sizeof(addr));
    r = parse(text, &addr, &len, err);
    if (r < 0)
        return r;
    fd = socket(addr.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return err_sys(err, ERR_NETWORK, errno, "listen on %s", text);
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)); /* a convenience only */
    if (bind(fd, (const struct sockaddr *)&addr, len) < 0 || listen(fd, BACKLOG) < 0)
        return err_sys(err, ERR_NETWORK, errno, "listen on %s", text);
    if (getsockname(fd, (struct sockaddr *)&addr, &len) < 0)
        return err_sys(err, ERR_NETWORK, errno, "ask for the port of %s", text);
    describe(&addr, &l);
    l.fd = TAKE_FD(fd);
    *ret_listener = l;
    return 0;
}
