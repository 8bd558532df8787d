/* The libraries that ssmd stands on, started where a want of memory, threads or descriptors can
 * still end the process in order. Main thread, once. */
#ifndef SSMD_AGENT_LIBRARIES_H
#define SSMD_AGENT_LIBRARIES_H

#include <uv.h>

#include "base/err.h"

/* Initialise *loop (the caller's) with its pool of threads, and OpenSSL.
 *
 * libuv ends a program for which it finds no memory, and OpenSSL is unusable for good, or crashes,
 * when it finds none while it sets itself up. In either case this process says so and ends with
 * EXIT_SYSTEM, so that it is started again; runners and the journal do not mind. Once OpenSSL is
 * set up, what it has no memory for fails like any other call. ERR_SYSTEM: there is no loop.
 * libcurl is transport/http.h's, by the same rule. */
int libraries_start(uv_loop_t *loop, struct err *err) MUST_CHECK;

#endif
