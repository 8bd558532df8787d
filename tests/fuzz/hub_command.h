/* A hub whose store has a command that waits, with ids that the lines of an input can speak of. */
#ifndef SSMD_TESTS_FUZZ_HUB_COMMAND_H
#define SSMD_TESTS_FUZZ_HUB_COMMAND_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#include "hub/store.h"

#define COMMAND "2b196342-d7d4-436e-8f09-3883a1116ac3"
#define INSTANCE "i-0123456789abcdef0"
#define MESSAGE "aws.ssm." COMMAND "." INSTANCE

static inline void require(bool is_so)
{
    if (!is_so)
        abort();
}

static inline void add_command(struct store *store)
{
    const struct command_row command = {.id = COMMAND,
                                        .document_name = "AWS-RunShellScript",
                                        .document_version = "$DEFAULT",
                                        .comment = "",
                                        .parameters = "{}",
                                        .echo = "",
                                        .s3_bucket = "",
                                        .s3_prefix = "",
                                        .s3_region = "",
                                        .cloud_watch = "",
                                        .steps = "[\"aws:runShellScript\"]",
                                        .expires_ms = INT64_MAX};
    const struct invocation_row invocation = {.command_id = COMMAND,
                                              .instance_id = INSTANCE,
                                              .message_id = MESSAGE,
                                              .deliver_by_ms = INT64_MAX,
                                              .expires_ms = INT64_MAX};
    const struct message_row message = {.id = MESSAGE,
                                        .destination = INSTANCE,
                                        .command_id = COMMAND,
                                        .topic = "aws.ssm.sendCommand.us.east.1.1",
                                        .payload = "{}",
                                        .state = "queued",
                                        .deliver_by_ms = INT64_MAX};
    struct err err;

    require(store_begin(store, &err) == 0);
    require(store_instance_put(store, INSTANCE, NULL, 1, 0, &err) == 0);
    require(store_command_add(store, &command, &err) == 0);
    require(store_invocation_add(store, &invocation, &err) == 0);
    require(store_message_add(store, &message, &err) == 0);
    require(store_commit(store, &err) == 0);
}

#endif
