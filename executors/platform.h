/* What this machine is: distribution, name, address, as UpdateInstanceInformation tells them.
 * Spec 02 sections 3.2 and 3.3. Files are read below a root directory ("" for the machine), so that
 * tests use trees of their own. Main thread. */
#ifndef SSMD_EXECUTORS_PLATFORM_H
#define SSMD_EXECUTORS_PLATFORM_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>
#include <uv.h>

#include "base/err.h"

#define PLATFORM_TEXT_SIZE 256
#define PLATFORM_IP_SIZE 46 /* INET6_ADDRSTRLEN */

#define PLATFORM_TYPE "Linux" /* in lower case for the control channel and documents */
#define PLATFORM_UNKNOWN "NotAvailable"

struct platform {
    char name[PLATFORM_TEXT_SIZE];    /* "Ubuntu"; valid UTF-8 */
    char version[PLATFORM_TEXT_SIZE]; /* "22.04"; may be empty */
};

/* Both are PLATFORM_UNKNOWN where no file tells. Instead of running lsb_release, its file
 * /etc/lsb-release is read. ERR_IO: a file is there and cannot be read; both are empty
 * then, so that reports leave them out. */
int platform_read(const char *root, struct platform *ret_platform, struct err *err) MUST_CHECK;

/* One of the files that are read, in their order, as text. False: it does not decide, and
 * *ret_platform is as before. */
#define PLATFORM_SOURCES 6
bool platform_parse(size_t source, const char *text, struct platform *ret_platform) MUST_CHECK;

/* The name that `hostname --fqdn` prints (the resolver's canonical name of the kernel's host name),
 * else the kernel's. The resolver is asked on the thread pool. `done` is called once from the loop;
 * `name` is borrowed and never empty unless the kernel's is. ERR_NOMEM, ERR_SYSTEM. */
int platform_get_computer_name(uv_loop_t *loop, void (*done)(void *ctx, const char *name),
                               void *ctx, struct err *err) MUST_CHECK;

/* The address that the console shows, of all interfaces in system order; "" when there is none.
 * ERR_SYSTEM. */
int platform_get_ip(char ret_ip[PLATFORM_IP_SIZE], struct err *err) MUST_CHECK;
/* The choice alone: of n addresses (AF_INET, AF_INET6; others are skipped) the index, or n. */
size_t platform_choose_ip(const struct sockaddr *const *addresses, size_t n);

#endif
