/* One question to ssmd through its socket, <run_dir>/ctl.sock: a JSON object on one line goes
 * there, one comes back, and the connection ends. ssmd answers every question at once or, for
 * `run`, as soon as it is committed; nothing is waited for longer than CLIENT_TIMEOUT_MS. One
 * thread. */
#ifndef SSMD_CTL_CLIENT_H
#define SSMD_CTL_CLIENT_H

#include <cjson/cJSON.h>

#include "base/buf.h"
#include "base/paths.h"

#define CLIENT_MAX_BYTES (4u << 20) /* of a question and of an answer, line end included */
#define CLIENT_TIMEOUT_MS 30000

/* `question`: one line without its end. Errors: ERR_NETWORK: nobody listens, ssmd is not running;
 * ERR_AUTH: the socket is not ours to use; ERR_TIMEOUT; ERR_PROTOCOL; ERR_LIMIT; ERR_SYSTEM; and
 * whatever code ssmd gave when it said no (ERR_NOT_FOUND, ERR_STATE, ERR_INVALID, ...). On success
 * the caller owns *ret_answer, an object whose "ok" is true: cJSON_Delete(). */
int client_ask(const struct paths *paths, const struct buf *question, cJSON **ret_answer,
               struct err *err) MUST_CHECK;

#endif
