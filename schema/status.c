/* The arithmetic of statuses. Spec 03 section 7. */
#include <stddef.h>

#include "base/str.h"
#include "schema/reply.h"

static const struct {
    const char *name;
    bool is_terminal; /* for a document */
} statuses[STATUS_COUNT_] = {
    [STATUS_NONE] = {"", false},
    [STATUS_SKIPPED] = {"Skipped", false},
    [STATUS_SUCCESS] = {"Success", true},
    [STATUS_SUCCESS_AND_REBOOT] = {"SuccessAndReboot", false},
    [STATUS_PASSED_AND_REBOOT] = {"PassedAndReboot", false},
    [STATUS_NOT_STARTED] = {"NotStarted", false},
    [STATUS_IN_PROGRESS] = {"InProgress", false},
    [STATUS_FAILED] = {"Failed", true},
    [STATUS_CANCELLED] = {"Cancelled", true},
    [STATUS_TIMED_OUT] = {"TimedOut", true},
};

const char *reply_status_name(enum reply_status status)
{
    return status < STATUS_COUNT_ ? statuses[status].name : "";
}

enum reply_status reply_status_of(const char *name)
{
    enum reply_status s;

    if (name == NULL)
        return STATUS_NONE;
    for (s = STATUS_NONE; s < STATUS_COUNT_; s++)
        if (str_eq(statuses[s].name, name))
            return s;
    return STATUS_COUNT_;
}

bool reply_status_is_terminal(const char *name)
{
    enum reply_status s = reply_status_of(name);

    return s < STATUS_COUNT_ && statuses[s].is_terminal;
}

const char *reply_document_status(const char *const *names, size_t n)
{
    static const enum reply_status order[] = {STATUS_SUCCESS_AND_REBOOT, STATUS_FAILED,
                                              STATUS_TIMED_OUT, STATUS_CANCELLED};
    size_t counts[STATUS_COUNT_ + 1] = {0};
    size_t i;

    for (i = 0; i < n; i++)
        counts[reply_status_of(names[i])]++;
    for (i = 0; i < ARRAY_LEN(order); i++)
        if (counts[order[i]] > 0)
            return statuses[order[i]].name;
    if (counts[STATUS_SUCCESS] + counts[STATUS_SKIPPED] == n)
        return statuses[STATUS_SUCCESS].name;
    return statuses[STATUS_IN_PROGRESS].name;
}

const char *reply_merge_status(const char *a, const char *b)
{
    enum reply_status x = reply_status_of(a), y = reply_status_of(b);

    if (x == STATUS_COUNT_)
        x = STATUS_NONE;
    if (y == STATUS_COUNT_)
        y = STATUS_NONE;
    return statuses[x > y ? x : y].name;
}
