/* Writes the histories of jobs into a journal through its real interface, as ssmd would: for tests
 * and for the programs that make journals for them. What goes wrong ends the program with a text,
 * which libcheck takes for a failure. */
#ifndef SSMD_TESTS_LIB_CHRONICLE_H
#define SSMD_TESTS_LIB_CHRONICLE_H

#include "fsm/command.h"
#include "journal/journal.h"

struct chronicle {
    struct journal *j;
    const char *boot_id;
    const char *node;     /* the instance id that messages are for */
    int64_t now, tick_ms; /* now moves on by tick_ms with each event */
    int64_t last_effect;  /* the newest id given */
    size_t payload_bytes; /* a message's and a reply's: at least so many, filled up */
    const char
        *reply_id_beginning; /* of 24 characters at most; an effect's id of 12 digits follows */
};

void chronicle_must(int r, const struct err *err, const char *what);

/* Any call that must succeed; `e_` is its struct err. */
#define CHRONICLE_MUST(call)                                                                       \
    do {                                                                                           \
        struct err chronicle_err_ = {0};                                                           \
        struct err *e_ = &chronicle_err_;                                                          \
        int chronicle_r_ = (call);                                                                 \
        chronicle_must(chronicle_r_, e_, #call);                                                   \
    } while (0)

/* "aws.ssm.<id>.<node>" */
void chronicle_message_id(const struct chronicle *c, const char *id, char *ret, size_t size);

/* All of these inside a transaction of the caller's. */

/* A new instance and the message that made it. The caller fills in what it knows of it and puts it
 * with put_instance. */
void chronicle_receive(struct chronicle *c, const struct fsm_machine *m, const char *id,
                       size_t n_units, struct fsm_instance *ret_inst);
/* The same of a command, with what every one has: its plugins and their time limits. */
void chronicle_receive_command(struct chronicle *c, const char *id, size_t n_units,
                               struct fsm_instance *ret_inst);
/* One event, completing the open effect of kind `completes` (-1: none), and the replies that are
 * owed by what it opened. */
void chronicle_step(struct chronicle *c, struct fsm_instance *inst, uint8_t event, int completes,
                    const void *detail);
/* The service takes every reply of a command that is over, the last one too: it is done. */
void chronicle_report(struct chronicle *c, struct fsm_instance *inst);

#endif
