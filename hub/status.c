/* Status words and what follows from them. */
#include "hub/status.h"

#include <stddef.h>

#include "base/cleanup.h"
#include "base/str.h"

static const struct {
    const char *status;
    const char *details;
    bool is_terminal;
} statuses[] = {
#define HUB_STATUS_ROW_(code, name, more, terminal) [code] = {name, more, terminal},
    HUB_STATUSES(HUB_STATUS_ROW_)
#undef HUB_STATUS_ROW_
};

const char *hub_status_name(enum hub_status status)
{
    return statuses[status].status;
}

const char *hub_status_details(enum hub_status status)
{
    return statuses[status].details;
}

bool hub_status_is_terminal(enum hub_status status)
{
    return statuses[status].is_terminal;
}

bool hub_status_parse(const char *details, enum hub_status *ret_status)
{
    size_t i;

    for (i = 0; i < ARRAY_LEN(statuses); i++)
        if (str_eq(statuses[i].details, details)) {
            *ret_status = (enum hub_status)i;
            return true;
        }
    return false;
}

int64_t status_counts_total(const struct status_counts *counts)
{
    int64_t n = 0;
    size_t i;

    for (i = 0; i < HUB_STATUS_END_; i++)
        n += counts->n[i];
    return n;
}

int64_t status_counts_completed(const struct status_counts *counts)
{
    int64_t n = 0;
    size_t i;

    for (i = 0; i < HUB_STATUS_END_; i++)
        if (statuses[i].is_terminal)
            n += counts->n[i];
    return n;
}

int64_t status_counts_errors(const struct status_counts *counts)
{
    return counts->n[HUB_FAILED] + counts->n[HUB_UNDELIVERABLE] +
           counts->n[HUB_DELIVERY_TIMED_OUT] + counts->n[HUB_EXECUTION_TIMED_OUT];
}

enum hub_status status_of_command(const struct status_counts *counts, bool is_cancelled)
{
    int64_t total = status_counts_total(counts);

    if (status_counts_completed(counts) < total) {
        if (is_cancelled)
            return HUB_CANCELLING;
        return counts->n[HUB_PENDING] == total ? HUB_PENDING : HUB_IN_PROGRESS;
    }
    if (counts->n[HUB_CANCELLED] > 0)
        return HUB_CANCELLED;
    if (counts->n[HUB_FAILED] > 0)
        return HUB_FAILED;
    if (counts->n[HUB_UNDELIVERABLE] > 0)
        return HUB_UNDELIVERABLE;
    if (counts->n[HUB_EXECUTION_TIMED_OUT] > 0)
        return HUB_EXECUTION_TIMED_OUT;
    if (counts->n[HUB_DELIVERY_TIMED_OUT] > 0)
        return HUB_DELIVERY_TIMED_OUT;
    return HUB_SUCCESS;
}

bool status_of_reply(const char *document_status, enum hub_status *ret_status)
{
    static const struct {
        const char *word;
        enum hub_status status;
    } words[] = {
        {"InProgress", HUB_IN_PROGRESS}, {"SuccessAndReboot", HUB_IN_PROGRESS},
        {"Success", HUB_SUCCESS},        {"Failed", HUB_FAILED},
        {"Cancelled", HUB_CANCELLED},    {"TimedOut", HUB_EXECUTION_TIMED_OUT},
    };
    size_t i;

    for (i = 0; i < ARRAY_LEN(words); i++)
        if (str_eq(words[i].word, document_status)) {
            *ret_status = words[i].status;
            return true;
        }
    return false;
}
