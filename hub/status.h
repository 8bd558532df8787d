/* The words for how far a command is, and how the word of a command follows from those of its
 * invocations. Pure. */
#ifndef SSMD_HUB_STATUS_H
#define SSMD_HUB_STATUS_H

#include <stdbool.h>
#include <stdint.h>

/* Of an invocation. The API shows a status and status details; only the time-outs differ. */
#define HUB_STATUSES(X)                                                                            \
    X(HUB_PENDING, "Pending", "Pending", false)                                                    \
    X(HUB_IN_PROGRESS, "InProgress", "InProgress", false)                                          \
    X(HUB_CANCELLING, "Cancelling", "Cancelling", false)                                           \
    X(HUB_SUCCESS, "Success", "Success", true)                                                     \
    X(HUB_FAILED, "Failed", "Failed", true)                                                        \
    X(HUB_CANCELLED, "Cancelled", "Cancelled", true)                                               \
    X(HUB_DELIVERY_TIMED_OUT, "TimedOut", "DeliveryTimedOut", true)                                \
    X(HUB_EXECUTION_TIMED_OUT, "TimedOut", "ExecutionTimedOut", true)                              \
    X(HUB_UNDELIVERABLE, "Failed", "Undeliverable", true)

enum hub_status {
#define HUB_STATUS_ENUM_(code, status, details, is_terminal) code,
    HUB_STATUSES(HUB_STATUS_ENUM_)
#undef HUB_STATUS_ENUM_
        HUB_STATUS_END_
};

struct status_counts {
    int64_t n[HUB_STATUS_END_];
};

const char *hub_status_name(enum hub_status status);
const char *hub_status_details(enum hub_status status);
bool hub_status_is_terminal(enum hub_status status);
/* From the details, which are unique; false if there is no such word. */
bool hub_status_parse(const char *details, enum hub_status *ret_status);

int64_t status_counts_total(const struct status_counts *counts);
int64_t status_counts_completed(const struct status_counts *counts);
int64_t status_counts_errors(const struct status_counts *counts); /* failed or timed out */
/* What the command as a whole is. */
enum hub_status status_of_command(const struct status_counts *counts, bool is_cancelled);

/* documentStatus of a reply (spec 03, section 7) as a status of the invocation: InProgress and
 * SuccessAndReboot both mean that it is not over. False if there is no such word. */
bool status_of_reply(const char *document_status, enum hub_status *ret_status);

#endif
