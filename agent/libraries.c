/* libuv and OpenSSL, and what becomes of ssmd when they find no memory. */
#define LOG_MODULE "main"
#include "agent/libraries.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/setup.h"
#include "base/log.h"
#include "base/sha256.h"
#include "transport/openssl.h"

static bool is_starting;

static void give_up(const char *whose)
{
    log_error("out of memory in %s: ssmd ends and has to be started again; running steps go on",
              whose);
    _exit(EXIT_SYSTEM);
}

/* ---- libuv ---- */

static void *loop_checked(void *p)
{
    if (p == NULL)
        give_up("the event loop");
    return p;
}

static void *loop_malloc(size_t n)
{
    return loop_checked(malloc(n > 0 ? n : 1));
}

static void *loop_calloc(size_t n, size_t size)
{
    return loop_checked(calloc(n > 0 ? n : 1, size > 0 ? size : 1));
}

static void *loop_realloc(void *p, size_t n)
{
    return loop_checked(realloc(p, n > 0 ? n : 1));
}

/* libuv has no other way to say that it lacks a pipe or a thread. */
static void on_abort(int number)
{
    static const char text[] = "ssmd: the event loop cannot be started for want of memory, threads "
                               "or descriptors; look at the limits of the service, and start it "
                               "again\n";

    (void)number;
    if (write(STDERR_FILENO, text, sizeof(text) - 1) < 0) {
        /* it ends all the same */
    }
    _exit(EXIT_SYSTEM);
}

static void do_nothing(uv_work_t *work)
{
    (void)work;
}

static void after_nothing(uv_work_t *work, int status)
{
    (void)work;
    (void)status;
}

static int start_loop(uv_loop_t *loop)
{
    static uv_work_t first; /* the pool's threads are made with the first work */
    struct sigaction ending = {.sa_handler = on_abort}, before;
    int r;

    (void)uv_replace_allocator(loop_malloc, loop_realloc, loop_calloc, free); /* none is NULL */
    (void)sigaction(SIGABRT, &ending, &before);                               /* cannot fail */
    r = uv_loop_init(loop);
    if (r == 0)
        r = uv_queue_work(loop, &first, do_nothing, after_nothing);
    (void)sigaction(SIGABRT, &before, NULL);
    return r;
}

/* ---- OpenSSL ---- */

static void *crypto_checked(void *p)
{
    if (p == NULL && is_starting)
        give_up("OpenSSL");
    return p;
}

static void *crypto_malloc(size_t n, const char *file, int line)
{
    (void)file;
    (void)line;
    return n == 0 ? NULL : crypto_checked(malloc(n));
}

static void *crypto_realloc(void *p, size_t n, const char *file, int line)
{
    (void)file;
    (void)line;
    if (n > 0)
        return crypto_checked(realloc(p, n));
    free(p);
    return NULL;
}

static void crypto_free(void *p, const char *file, int line)
{
    (void)file;
    (void)line;
    free(p);
}

/* It sets itself up at its first use, and cannot say that it lacked memory for that: now, where
 * give_up() says it. */
static void set_up_crypto(void)
{
    unsigned char digest[SHA256_SIZE];
    unsigned n = sizeof(digest);

    if (EVP_Digest("t", 1, digest, &n, EVP_sha256(), NULL) != 1)
        log_warning(
            "OpenSSL refuses SHA-256, so there will be no TLS (is its configuration broken?)");
}

int libraries_start(uv_loop_t *loop, struct err *err)
{
    int r;

    is_starting = true;
    if (CRYPTO_set_mem_functions(crypto_malloc, crypto_realloc, crypto_free) != 1)
        log_debug("OpenSSL is in use already: it keeps its own functions for memory");
    set_up_crypto();
    is_starting = false;
    r = start_loop(loop);
    return r < 0 ? err_set(err, ERR_SYSTEM, "event loop: %s", uv_strerror(r)) : 0;
}
