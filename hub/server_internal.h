/* One request of the HTTP server, as its files share it: server.c takes it from the connection and
 * makes it wait, server_answer.c answers, server_control.c, server_s3.c and server_updates.c
 * serve what is not JSON.
 */
#ifndef SSMD_HUB_SERVER_INTERNAL_H
#define SSMD_HUB_SERVER_INTERNAL_H

#include <microhttpd.h>

#include "base/ids.h"
#include "hub/auth.h"
#include "hub/control.h"
#include "hub/s3.h"
#include "hub/server.h"
#include "transport/ws_codec.h"

struct request {
    struct server *server; /* borrowed */
    struct MHD_Connection *connection;
    struct request *previous, *next; /* in server->waiting */
    struct buf body;                 /* owned */
    char *target;                    /* owned; as it came, not decoded */
    struct s3_request *s3;           /* owned; NULL: not one of S3's */
    const struct api_entry *entry;   /* NULL for the test calls and for S3 */
    struct auth_caller caller;       /* once it was checked */
    char path[192];
    char accept[WS_ACCEPT_SIZE]; /* of an upgrade */
    char operation[64];          /* for the log and for fault rules */
    char note[96];
    char id[UUID_SIZE];
    int64_t started_us;
    int64_t wake_ms;  /* while waiting */
    int64_t until_ms; /* of a poll: the last look */
    bool is_begun;
    bool is_too_large;
    bool is_checked;  /* signature and faults were looked at */
    bool is_poll;     /* waits for a message rather than for the time alone */
    bool is_lost;     /* do the call, but do not answer */
    bool is_waiting;  /* suspended, and in server->waiting */
    bool is_finished; /* an answer is on its way */
};

struct server {
    struct server_config config;
    struct MHD_Daemon *daemon; /* owned */
    struct request *waiting;   /* suspended requests; owned by libmicrohttpd's connections */
    struct control *control;   /* owned */
    bool is_stopping;
};

/* server.c */
int64_t server_now_ms(const struct hub *hub);
/* Suspended until then, or until it is woken. */
void request_wait_until(struct request *request, int64_t wake_ms);
/* Whether the caller may, and whether this call is one to spoil. True: go on. */
bool request_admit(struct request *request, const char *method, enum MHD_Result *ret_result);

/* server_answer.c */
void request_log(const struct request *request, unsigned status, const char *error_code);
/* libmicrohttpd leaves the date to us, because ours can be shifted. */
void request_add_date(struct MHD_Response *response, int64_t now_ms);
/* These take the bytes of `body`. */
enum MHD_Result request_answer_as(struct request *request, unsigned status, const char *type,
                                  struct buf *body);
enum MHD_Result request_answer(struct request *request, unsigned status, struct buf *body);
enum MHD_Result request_refuse(struct request *request, unsigned status, const char *error_code,
                               const char *message);
enum MHD_Result request_reset(struct request *request); /* a fault: RST */

/* server_control.c */
bool request_is_control(const struct request *request);
enum MHD_Result request_serve_control(struct request *request, const char *method);

/* server_s3.c: of a request that has an s3_request, with its body */
enum MHD_Result request_serve_s3(struct request *request, const char *method);

/* server_updates.c */
bool request_is_update(const struct request *request);
enum MHD_Result request_serve_update(struct request *request, const char *method);

#endif
